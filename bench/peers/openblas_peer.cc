// SPDX-License-Identifier: Apache-2.0
// OpenBLAS: products of f32.
#include <cblas.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "peer.h"

namespace halfway_bench {
namespace {

solution make(const problem& p) {
  const bool is_product = p.what == operation::gemm || p.what == operation::gemm_packed;
  if (!is_product || p.from != element::f32 || p.weights != element::f32) return {};
  struct data {
    std::vector<float> x, w, y;
  };
  const auto d = std::make_shared<data>(data{p.x, p.w, std::vector<float>(p.rows * p.cols)});
  const auto m = static_cast<blasint>(p.rows), n = static_cast<blasint>(p.cols),
             k = static_cast<blasint>(p.depth);
  return {[=] {
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, d->x.data(), k,
                        d->w.data(), n, 0.0f, d->y.data(), n);
          },
          [d](std::size_t i) { return static_cast<double>(d->y[i]); }};
}

}  // namespace

peer openblas_peer() {
  openblas_set_num_threads(1);
  if (openblas_get_num_threads() != 1)
    throw std::runtime_error("OpenBLAS refuses to work on one thread");
  std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH..."
  config = config.substr(config.find(' ') + 1);
  return {"OpenBLAS", config.substr(0, config.find(' ')), make};
}

}  // namespace halfway_bench
