// SPDX-License-Identifier: Apache-2.0
// More elements than int can count, all-reduced and broadcast by 2 ranks; needs 6 GB of memory. Exits
// with the number of wrong elements, at most 99.
#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

#include "halfway/interop/mpi.h"

namespace {

// Eighths of small numbers: sums of two are exact in e4m3 and half alike.
int code(std::size_t i, int rank) { return static_cast<int>((i * 2654435761u >> 7) % 8) + rank; }

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  std::size_t wrong = 0;
  {
    halfway::mpi::communicator world(MPI_COMM_WORLD);
    using element = halfway::float8_e4m3fn;
    const std::size_t n = static_cast<std::size_t>(std::numeric_limits<int>::max()) + 1003;
    std::vector<element> x(n);
    for (std::size_t i = 0; i < n; ++i) {
      x[i] = element(static_cast<float>(code(i, world.rank())) * 0.125f);
    }
    halfway::mpi::all_reduce<halfway::half>(world, x);
    const int ranks = world.size();
    for (std::size_t i = 0; i < n; ++i) {
      const float sum = static_cast<float>(ranks * code(i, 0) + ranks * (ranks - 1) / 2) * 0.125f;
      wrong += static_cast<float>(x[i]) == sum ? 0 : 1;
    }
    halfway::mpi::check_identical(world, x, "sums");
    if (world.rank() != 0) x[n - 1] = element(0.0f);
    halfway::mpi::broadcast(world, x);
    halfway::mpi::check_identical(world, x, "broadcast elements");
    std::printf("rank %d: %zu of %zu elements are wrong\n", world.rank(), wrong, n);
  }
  MPI_Finalize();
  return static_cast<int>(wrong > 99 ? 99 : wrong);
}
