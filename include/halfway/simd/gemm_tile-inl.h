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
// hold B and a broadcast. Measured on Zen 5 at 1024^3 with g++ 12 and clang 19 at -O2: 8 x 3
// reaches 97% of the bf16 ceiling with both, while 12 x 2 spills with clang 19.
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
static constexpr size_t kTileRows = 8;
static constexpr size_t kTileVecs = 3;
#elif HWY_ARCH_ARM_A64
static constexpr size_t kTileRows = 6;
static constexpr size_t kTileVecs = 4;
#else
static constexpr size_t kTileRows = 6;
static constexpr size_t kTileVecs = 2;
#endif

// tile[r][v] (+)= the sum over k of row r of A with vector v of the panel.
//   a: the first row, rows a_stride bytes apart, 4-byte units one after the other; `units` of them
//   are whole, and `tail`
//      bytes (0 to 3) more form a last one, whose other bytes count as zero and are not read.
//   b: the panel at the tile's first column, b_step elements from one step to the next.
//   tile: kRows rows of kVecs vectors, tile_stride elements apart.
template <class Step, size_t kRows, size_t kVecs>
HWY_NOINLINE void MultiplyTile(const uint8_t* HWY_RESTRICT a, const size_t a_stride,
                               const typename Step::Panel* HWY_RESTRICT b, const size_t b_step,
                               const size_t units, const size_t tail,
                               typename Step::Acc* HWY_RESTRICT tile, const size_t tile_stride,
                               const bool accumulate) {
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

  size_t u = 0;
  for (; u + Step::kUnits <= units; u += Step::kUnits) {
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

  // The last step, where it is not whole.
  for (size_t s = 0; u < units || tail != 0; ++u, ++s) {
    const size_t bytes = u < units ? 4 : tail;
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
      uint8_t unit_bytes[4] = {};
      for (size_t i = 0; i < bytes; ++i) unit_bytes[i] = row[r][4 * u + i];
      uint32_t unit;
      hwy::CopyBytes<4>(unit_bytes, &unit);
      const GemmVU av = hn::Set(du, unit);
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v)
        acc[r][v] = Step::MultiplyAdd(av, Step::LoadB(b, v, s), acc[r][v]);
    }
    if (u >= units) break;
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
