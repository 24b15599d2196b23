// SPDX-License-Identifier: Apache-2.0
// Which SIMD targets are compiled unless the user says otherwise. Included before any Highway
// header.
//
// Each target costs over a second of compile time in every file that includes an operation, so
// those that no longer pay are left out: SSSE3 and SSE4 (CPUs without AVX2 are served by SSE2) and
// AVX10.2 (its CPUs run AVX3_SPR; no kernel uses its additions). Define HWY_DISABLED_TARGETS
// yourself, the same for the whole program, to choose others: 0 compiles all.
#ifndef HALFWAY_SIMD_TARGETS_H_
#define HALFWAY_SIMD_TARGETS_H_

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)

#if !defined(HWY_DISABLED_TARGETS)
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | (1LL << 3))  // bit 3: HWY_AVX10_2, which Highway 1.2 does not name
#endif

// Under -march=native on Zen 4 and later, Highway takes AVX3_DL, without bf16 instructions, unless
// asked.
#if defined(__AVX512BF16__) && !defined(__AVX512FP16__) && !defined(HWY_WANT_AVX3_ZEN4)
#define HWY_WANT_AVX3_ZEN4
#endif

#endif  // x86

// Vectors of SVE have no size that the compiler knows, so they can't be elements of arrays, which the
// tiles of GEMM and attention are. Its CPUs run NEON, with bf16 instructions, as fast: they have as
// many bits of NEON units as of SVE's.
#if (defined(__aarch64__) || defined(_M_ARM64)) && !defined(HWY_DISABLED_TARGETS)
#define HWY_DISABLED_TARGETS HWY_ALL_SVE
#endif

#include "hwy/detect_targets.h"  // IWYU pragma: export

#endif  // HALFWAY_SIMD_TARGETS_H_
