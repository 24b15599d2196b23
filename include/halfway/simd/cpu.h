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

// Where the kernels for AMX are compiled, and its permission can be asked for.
#if defined(__x86_64__) && defined(__linux__) && (defined(__GNUC__) || defined(__clang__))
#include <sys/syscall.h>
#include <unistd.h>
#define HALFWAY_CPU_MAY_HAVE_AMX 1
#else
#define HALFWAY_CPU_MAY_HAVE_AMX 0
#endif

#include <atomic>
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

/// Whether the CPU has AMX for bfloat16 and int8, and this process may use it. The first call asks
/// Linux for that, for all threads: from then on its signal frames have 8 KiB more where a thread has
/// used tiles, and sigaltstack refuses stacks that are too small for them. (If there is one already,
/// Linux refuses, and there is no AMX.)
inline bool has_amx() {
#if HALFWAY_CPU_MAY_HAVE_AMX
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c >> 27 & 1) == 0) return false;  // no xgetbv
    constexpr unsigned features = 1u << 22 | 1u << 24 | 1u << 25;  // bf16, tile, int8
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & features) != features) return false;
    std::uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    constexpr std::uint32_t saved = 3u << 17;  // the tiles' shapes and data
    if ((low & saved) != saved) return false;
    constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return ::syscall(SYS_arch_prctl, request, tile_data) == 0;
  }();
  return has;
#else
  return false;
#endif
}

/// Tests set it to false, to take the way of CPUs without AMX.
inline std::atomic<bool> amx_is_wanted{true};

/// Whether products of matrices run on AMX, on the target that has kernels for it.
inline bool uses_amx() { return amx_is_wanted.load(std::memory_order_relaxed) && has_amx(); }

}  // namespace halfway::detail

#undef HALFWAY_CPU_IS_X86

#endif  // HALFWAY_SIMD_CPU_H_
