// SPDX-License-Identifier: Apache-2.0
// What this machine could do at most, measured in this process: the ceilings that every figure is
// compared with.
//
//   double share = gflops / halfway_bench::multiply_ceiling(halfway_bench::unit::f32);
#ifndef HALFWAY_BENCH_CEILINGS_CEILINGS_H_
#define HALFWAY_BENCH_CEILINGS_CEILINGS_H_

#include <cstddef>

namespace halfway_bench {

// The instruction that a product is made of on the chosen SIMD target: fused multiply-add of f32; of
// bf16 AMX's product of tiles, the dot product of pairs, or, where the CPU has none or a slow one,
// f32's multiply-add; of u8 and s8 AMX's or the dot product of quads. `bf16_dot` is the dot product of pairs whether or not products use it.
enum class unit { f32, bf16, bf16_dot, i8 };

// 1e9 operations a second (a multiply and an add count two), register to register, one thread. 0 for
// bf16_dot where the SIMD target has no such instruction. Measured once, then kept. `seconds`: how
// long to try; the best of many short runs counts.
double multiply_ceiling(unit u, double seconds = 0.2);

// 1e9 bytes a second, read plus written, of std::memcpy between buffers of `bytes` bytes in all,
// half of them read, half written, one thread. Measured once for each size, then kept.
double copy_bandwidth(std::size_t bytes, double seconds = 0.2);

// 1e9 bytes a second of reading `bytes` bytes: the best of one to eight streams, each tried for
// `seconds`, one thread. Measured once for each size.
double read_bandwidth(std::size_t bytes, double seconds = 0.2);

// The SIMD target that these ran on, and that this library's kernels run on: "AVX3_ZEN4", "AVX2"...
const char* simd_target();

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_CEILINGS_CEILINGS_H_
