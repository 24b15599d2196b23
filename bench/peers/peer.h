// SPDX-License-Identifier: Apache-2.0
// Other libraries, each in one file of this folder. A new one is a file with a function that gives a
// `peer`, a line in all_peers.cc and, if it may be missing, an `if` in CMakeLists.txt.
#ifndef HALFWAY_BENCH_PEERS_PEER_H_
#define HALFWAY_BENCH_PEERS_PEER_H_

#include <functional>
#include <string>
#include <vector>

#include "../problem.h"

namespace halfway_bench {

struct peer {
  std::string name;
  std::string version;
  // A solution on one thread that owns its data; one without `run` where the peer lacks the
  // operation or the type, or takes forever.
  std::function<solution(const problem&)> make;
};

peer eigen_peer();
peer onednn_peer();    // where HALFWAY_BENCH_ONEDNN is defined
peer openblas_peer();  // where HALFWAY_BENCH_OPENBLAS is defined

// The peers that this program was built with, told to work on one thread.
const std::vector<peer>& all_peers();

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_PEERS_PEER_H_
