// SPDX-License-Identifier: Apache-2.0
// The CPU's instructions for narrow numbers, and which of them this library uses.
#ifndef HALFWAY_EXAMPLES_HALFWAY_INFO_CPU_FEATURES_H_
#define HALFWAY_EXAMPLES_HALFWAY_INFO_CPU_FEATURES_H_

#include <string>
#include <string_view>
#include <vector>

namespace info {

struct cpu_feature {
  std::string_view name;      // as /proc/cpuinfo spells it, where it does
  bool present = false;       // the CPU has it and the operating system allows it
  bool used = false;          // by this library's kernels, on the SIMD target that was chosen
  std::string_view use = {};  // what the library does with it, or why nothing
};

// x86: from CPUID, of AVX, AVX-512 and AMX only what the operating system saves the registers of.
// 64-bit Arm on Linux: from AT_HWCAP. Elsewhere empty.
std::vector<cpu_feature> cpu_features();

// x86: CPUID's brand string. Arm on Linux: implementer and part, as /proc/cpuinfo has them. Else empty.
std::string cpu_name();

}  // namespace info

#endif  // HALFWAY_EXAMPLES_HALFWAY_INFO_CPU_FEATURES_H_
