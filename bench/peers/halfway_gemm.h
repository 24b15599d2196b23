// SPDX-License-Identifier: Apache-2.0
// A product with weights packed once, behind an interface without templates.
#ifndef HALFWAY_BENCH_PEERS_HALFWAY_GEMM_H_
#define HALFWAY_BENCH_PEERS_HALFWAY_GEMM_H_

#include <cstddef>
#include <functional>

// What to time: y = a * b for a (m x k) and b (k x n), row-major, of values that `type` (f32, bf16,
// f16, u8s8) can represent. Packs b, multiplies once and leaves the result in c (m x n).
std::function<void()> halfway_gemm(const char* type, std::size_t m, std::size_t n, std::size_t k,
                                   const float* a, const float* b, float* c);

#endif  // HALFWAY_BENCH_PEERS_HALFWAY_GEMM_H_
