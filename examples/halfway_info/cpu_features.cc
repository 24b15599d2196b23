// SPDX-License-Identifier: Apache-2.0
#include "cpu_features.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <utility>

#include "formats.h"
#include "halfway/simd/cpu.h"
#include "halfway/simd/targets.h"
#include "hwy/targets.h"

#if HWY_ARCH_X86
#include <cpuid.h>
#elif HWY_ARCH_ARM_A64 && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace info {

#if HWY_ARCH_X86

namespace {

struct registers {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
};

// Zeros where the CPU has no such leaf.
registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

constexpr bool bit(std::uint64_t word, int index) { return (word >> index & 1) != 0; }

// The register files that the operating system saves: XCR0.
std::uint64_t saved_registers() {
  if (!bit(cpuid(1, 0).c, 27)) return 0;  // OSXSAVE: xgetbv may be executed
  std::uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));  // NOLINT(hicpp-no-assembler)
  return std::uint64_t{high} << 32 | low;
}

}  // namespace

// Bits from Intel's Software Developer's Manual, volume 2, CPUID, and its Architecture Instruction Set
// Extensions Programming Reference.
std::vector<cpu_feature> cpu_features() {
  const registers one = cpuid(1, 0), seven = cpuid(7, 0);
  const registers more = seven.a >= 1 ? cpuid(7, 1) : registers{};
  const std::uint64_t saved = saved_registers();
  const bool ymm = (saved & 0x6) == 0x6;           // SSE and AVX
  const bool zmm = ymm && (saved & 0xE0) == 0xE0;  // masks and both parts of the ZMM registers
  const bool tiles = (saved & 0x60000) == 0x60000;
  const std::int64_t target = target_facts_now().target;  // the better, the smaller
  const bool avx2 = target <= HWY_AVX2, avx3 = target <= HWY_AVX3, dl = target <= HWY_AVX3_DL,
             bf16 = target <= HWY_AVX3_ZEN4;

  const bool amx = target_facts_now().amx;
  const bool slow = halfway::detail::bfloat16_dot_is_slow();
  const std::string_view no_kernel = "no kernel for it";
  std::vector<cpu_feature> all = {
      {"avx2", ymm && bit(seven.b, 5), avx2, "every kernel of the target AVX2"},
      {"fma", ymm && bit(one.c, 12), avx2, "products of floats: one rounding a multiply-add"},
      {"f16c", ymm && bit(one.c, 29), avx2,
       "float16 to and from float32; 8-bit and narrower floats"},
      {"avx512f", zmm && bit(seven.b, 16), avx3, "every kernel of the targets AVX3*"},
      {"avx512bw", zmm && bit(seven.b, 30), avx3, "every kernel of the targets AVX3*"},
      {"avx512vl", zmm && bit(seven.b, 31), avx3, "every kernel of the targets AVX3*"},
      {"avx512_vbmi", zmm && bit(seven.c, 1), dl, "float8_e4m3fn by table look-ups"},
      {"avx512_vnni", zmm && bit(seven.c, 11), dl, "products of int8"},
      {"avx512_bf16", zmm && bit(more.a, 5), bf16,
       amx    ? "float32 to bfloat16, attention; not gemm: AMX is faster"
       : slow ? "float32 to bfloat16, attention; not gemm: slower than widening on this CPU"
              : "float32 to bfloat16, products of bfloat16"},
      {"avx512_fp16", zmm && bit(seven.d, 23), false, "float16 is widened, to sum in float32"},
      {"avx_vnni", ymm && bit(more.a, 4), false, no_kernel},
      {"avx_vnni_int8", ymm && bit(more.d, 4), false, no_kernel},
      {"avx_vnni_int16", ymm && bit(more.d, 10), false, no_kernel},
      {"avx_ne_convert", ymm && bit(more.d, 5), false, no_kernel},
      {"amx_tile", tiles && bit(seven.d, 24), amx, "products of bfloat16 and int8"},
      {"amx_int8", tiles && bit(seven.d, 25), amx, "products of int8"},
      {"amx_bf16", tiles && bit(seven.d, 22), amx, "products of bfloat16"},
      {"amx_fp16", tiles && bit(more.a, 21), false, no_kernel},
  };
  for (cpu_feature& f : all) f.used = f.used && f.present;
  return all;
}

std::string cpu_name() {
  std::array<std::uint32_t, 12> words{};
  for (std::uint32_t i = 0; i < 3; ++i) {
    const registers r = cpuid(0x80000002 + i, 0);
    const std::array<std::uint32_t, 4> part = {r.a, r.b, r.c, r.d};
    std::memcpy(words.data() + 4 * i, part.data(), sizeof part);
  }
  std::array<char, sizeof words + 1> text{};
  std::memcpy(text.data(), words.data(), sizeof words);
  const std::string name(text.data());
  const std::size_t first = name.find_first_not_of(' '), last = name.find_last_not_of(' ');
  return first == std::string::npos ? "" : name.substr(first, last + 1 - first);
}

#elif HWY_ARCH_ARM_A64 && defined(__linux__)

// Bits from Linux' arch/arm64/include/uapi/asm/hwcap.h: older headers than the kernel lack some names.
std::vector<cpu_feature> cpu_features() {
  const std::uint64_t one = getauxval(AT_HWCAP), two = getauxval(AT_HWCAP2);
  const auto bit = [](std::uint64_t word, int index) { return (word >> index & 1) != 0; };
  const target_facts facts = target_facts_now();
  const std::string_view no_kernel = "no kernel for it";
  std::vector<cpu_feature> all = {
      {"asimd", bit(one, 1), true, "every kernel; float16 to and from float32"},
      {"fphp", bit(one, 9), false, "float16 is widened, to sum in float32"},
      {"asimdhp", bit(one, 10), false, "float16 is widened, to sum in float32"},
      {"asimdfhm", bit(one, 23), false, no_kernel},
      {"asimddp", bit(one, 20), facts.int8_dot, "products of int8 on the target NEON_BF16"},
      {"bf16", bit(two, 14), facts.bfloat16_dot, "products of bfloat16"},
      {"i8mm", bit(two, 13), false, no_kernel},
      {"sve", bit(one, 22), false, "NEON is as fast on its CPUs"},
      {"sve2", bit(two, 1), false, "NEON is as fast on its CPUs"},
      {"sme", bit(two, 23), false, no_kernel},
  };
  for (cpu_feature& f : all) f.used = f.used && f.present;
  return all;
}

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  std::string implementer, part;
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    if (line.starts_with("CPU implementer")) implementer = line.substr(colon + 2);
    if (line.starts_with("CPU part")) part = line.substr(colon + 2);
  }
  return part.empty() ? "" : "implementer " + implementer + ", part " + part;
}

#else

std::vector<cpu_feature> cpu_features() { return {}; }
std::string cpu_name() { return {}; }

#endif

}  // namespace info
