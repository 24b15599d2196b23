// SPDX-License-Identifier: Apache-2.0
// Ranks that reduce in a loop until the last one is lost: stopped (`stop`), killed (`kill`) or gone
// (`exit`). The others must report an error; mpi_lost_rank.cmake looks that they do.
#include <mpi.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "halfway/interop/mpi.h"

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const std::string_view how = argc > 1 ? argv[1] : "";
  int code = 1;
  try {
    halfway::mpi::communicator world(MPI_COMM_WORLD, {.timeout = std::chrono::seconds(2)});
    std::vector<float> gradient(10000, 1.0f);
    halfway::mpi::gradient_reducer<halfway::half> reducer(world, {gradient},
                                                          {.bucket_bytes = 1000});
    for (int step = 0; step < 1000; ++step) {
      if (step == 20 && world.rank() == world.size() - 1) {
        if (how == "stop") std::raise(SIGSTOP);
        if (how == "kill") std::raise(SIGKILL);
        if (how == "exit") std::_Exit(0);
      }
      reducer.ready(0);
      reducer.finish();
    }
    std::puts("all steps done");
    code = 3;
  } catch (const halfway::mpi::communication_error& e) {
    std::printf("rank %d reports: %s\n", e.rank(), e.what());
    std::fflush(stdout);
    code = 4;
  }
  MPI_Abort(MPI_COMM_WORLD, code);
}
