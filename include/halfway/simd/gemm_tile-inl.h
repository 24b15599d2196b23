// SPDX-License-Identifier: Apache-2.0
// The innermost loop of GEMM: a tile of accumulators in registers, rows of A broadcast against
// vectors of B.

#if defined(HALFWAY_SIMD_GEMM_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_TILE_INL_H_
#undef HALFWAY_SIMD_GEMM_TILE_INL_H_
#else
#define HALFWAY_SIMD_GEMM_TILE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/gemm_step-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The largest tile, rows x vectors: 24 of 32 registers are accumulators, or 12 of 16; the others
// hold B and a broadcast. Measured on Zen 5 with operands in L1, g++ 12 and clang 19 at -O2: 6 x 4
// reaches 98 to 100% of the f32, bf16 and int8 ceilings with both; 8 x 3 stays at 92% in f32 (its
// eight row pointers leave no registers to unroll with), and 12 x 2 spills with clang.
static constexpr size_t kTileRows = 6;
#if (HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86) || HWY_ARCH_ARM_A64
static constexpr size_t kTileVecs = 4;
#else
static constexpr size_t kTileVecs = 2;
#endif

// tile[r][v] (+)= the sum over k of row r of A with vector v of the panel.
//   a: the first row, rows a_stride bytes apart, `units` 4-byte units one after the other, a multiple
//   of Step::kUnits.
//   b: the panel at the tile's first column, b_step elements from one step to the next.
//   tile: kRows rows of kVecs vectors, tile_stride elements apart.
template <class Step, size_t kRows, size_t kVecs>
HWY_NOINLINE void MultiplyTile(const uint8_t* HWY_RESTRICT a, const size_t a_stride,
                               const typename Step::Panel* HWY_RESTRICT b, const size_t b_step,
                               const size_t units, typename Step::Acc* HWY_RESTRICT tile,
                               const size_t tile_stride, const bool accumulate) {
  const typename Step::DAcc d;
  const GemmDU du;
  using V = hn::VFromD<typename Step::DAcc>;
  const size_t lanes = hn::Lanes(d);

  // Without the pragmas g++ keeps the array in memory and loses two thirds of the speed.
  V acc[kRows][kVecs];
  if (accumulate) {
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v)
        acc[r][v] = hn::LoadU(d, tile + r * tile_stride + v * lanes);
    }
  } else {
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) acc[r][v] = hn::Zero(d);
    }
  }

  const uint8_t* HWY_RESTRICT row[kRows];
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) row[r] = a + r * a_stride;

#pragma GCC unroll 2
  for (size_t u = 0; u < units; u += Step::kUnits) {
#pragma GCC unroll 4
    for (size_t s = 0; s < Step::kUnits; ++s) {
      typename Step::VB bv[kVecs];
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) bv[v] = Step::LoadB(b, v, s);
#pragma GCC unroll 16
      for (size_t r = 0; r < kRows; ++r) {
        uint32_t unit;
        hwy::CopyBytes<4>(row[r] + 4 * (u + s), &unit);
        const GemmVU av = hn::Set(du, unit);
#pragma GCC unroll 4
        for (size_t v = 0; v < kVecs; ++v) acc[r][v] = Step::MultiplyAdd(av, bv[v], acc[r][v]);
      }
    }
    b += b_step;
  }

#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) hn::StoreU(acc[r][v], d, tile + r * tile_stride + v * lanes);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_TILE_INL_H_
