// SPDX-License-Identifier: Apache-2.0
// What this machine could do at most, measured in this process: the ceilings that every figure is
// compared with.
//
//   double share = gflops / halfway_bench::multiply_ceiling(halfway_bench::unit::f32);
#ifndef HALFWAY_BENCH_CEILINGS_H_
#define HALFWAY_BENCH_CEILINGS_H_

#include <cstddef>

namespace halfway_bench {

// The instruction that a product is made of on the chosen SIMD target: fused multiply-add of f32;
// dot product of bf16 pairs (f32's multiply-add where the CPU has no such instruction); dot product
// of u8 and s8 quads.
enum class unit { f32, bf16, i8 };

// 1e9 operations a second (a multiply and an add count two), register to register, one thread.
// Measured once, then kept.
double multiply_ceiling(unit u);

// 1e9 bytes a second, read plus written, of std::memcpy between buffers of `bytes` bytes in all,
// half of them read, half written, one thread. Measured once for each size, then kept.
double copy_bandwidth(std::size_t bytes);

// 1e9 bytes a second of reading `bytes` bytes: the best of one to eight streams, one thread.
// Measured once for each size.
double read_bandwidth(std::size_t bytes);

// The SIMD target that these ran on, and that this library's kernels run on: "AVX3_ZEN4", "AVX2"...
const char* simd_target();

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_CEILINGS_H_
