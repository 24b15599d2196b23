// SPDX-License-Identifier: Apache-2.0
// The shapes of the products: squares, layers of a transformer, ragged ones, and small batches
// against large weights.
#ifndef HALFWAY_BENCH_SHAPES_H_
#define HALFWAY_BENCH_SHAPES_H_

#include <cstddef>

namespace halfway_bench {

struct gemm_shape {
  std::size_t m, n, k;
};

inline constexpr gemm_shape gemm_shapes[] = {
    {256, 256, 256},  {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {128, 768, 768},
    {128, 3072, 768}, {127, 383, 509}, {16, 4096, 4096},   {4, 4096, 4096},    {1, 4096, 4096},
};

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_SHAPES_H_
