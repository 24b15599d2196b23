// SPDX-License-Identifier: Apache-2.0
#include "peer.h"

namespace halfway_bench {

const std::vector<peer>& all_peers() {
  static const std::vector<peer> peers = {
      eigen_peer(),
#ifdef HALFWAY_BENCH_ONEDNN
      onednn_peer(),
#endif
#ifdef HALFWAY_BENCH_OPENBLAS
      openblas_peer(),
#endif
  };
  return peers;
}

}  // namespace halfway_bench
