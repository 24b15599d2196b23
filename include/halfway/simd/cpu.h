// SPDX-License-Identifier: Apache-2.0
// What the choice of a SIMD target does not tell of the CPU.
#ifndef HALFWAY_SIMD_CPU_H_
#define HALFWAY_SIMD_CPU_H_

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#define HALFWAY_CPU_IS_X86
#endif

#include <cstdint>

namespace halfway::detail {

/// Whether multiplying bfloat16 by the dot product instruction takes longer than widening and FMAs do.
/// Intel's vdpbf16ps is made of two: measured on Emerald Rapids, 256 x 784 x 1024, products by it
/// reach 84 GFLOP/s where FP32 has 162; on Zen 4 and 5 they have twice FP32's rate.
inline bool bfloat16_dot_is_slow() {
#if defined(HALFWAY_CPU_IS_X86)
  static const bool is_intel = [] {
    constexpr std::uint32_t genu = 0x756E6547;  // the first letters of "GenuineIntel"
#if defined(_MSC_VER)
    int registers[4] = {};
    __cpuid(registers, 0);
    return static_cast<std::uint32_t>(registers[1]) == genu;
#else
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(0, &a, &b, &c, &d) != 0 && b == genu;
#endif
  }();
  return is_intel;
#else
  return false;
#endif
}

}  // namespace halfway::detail

#undef HALFWAY_CPU_IS_X86

#endif  // HALFWAY_SIMD_CPU_H_
