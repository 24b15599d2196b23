// SPDX-License-Identifier: Apache-2.0
// The innermost part of GEMM: a tile of accumulators in registers, and the three kinds of
// multiply-add that fill it.
//
// A kind fixes a `unit` of 4 bytes: 1 float, 2 bfloat16 or 4 int8, neighbours along k. Each step
// broadcasts one unit of each row of A and multiplies it with kVecs vectors of B, in which each
// 4-byte lane holds the unit of one column. So one driver, one packed layout and one tile serve all
// types.

#if defined(HALFWAY_SIMD_GEMM_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_TILE_INL_H_
#undef HALFWAY_SIMD_GEMM_TILE_INL_H_
#else
#define HALFWAY_SIMD_GEMM_TILE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/types/bfloat16.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The tile: 8 x 3 vectors fill 24 of 32 registers, with 3 for B and the rest for broadcasts; 6 x 2
// fill 12 of 16. Measured on Zen 5 at 1024^3 with g++ 12 and clang 19 at -O2: 8 x 3 reaches 97% of
// the bf16 ceiling with both, while 12 x 2 spills with clang 19.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
static constexpr size_t kTileRows = 8;
static constexpr size_t kTileVecs = 3;
#else
static constexpr size_t kTileRows = 6;
static constexpr size_t kTileVecs = 2;
#endif

using GemmD32 = hn::ScalableTag<uint32_t>;
using GemmV32 = hn::VFromD<GemmD32>;

// f32 with fused multiply-add where the target has it. Other float formats are widened to it when
// packed.
struct GemmF32 {
  using Element = float;  // of packed A and B
  using Acc = float;
  static constexpr size_t kUnit = 1;

  static HWY_INLINE hn::Vec<hn::ScalableTag<float>> MultiplyAdd(
      GemmV32 a, GemmV32 b, hn::Vec<hn::ScalableTag<float>> acc) {
    const hn::ScalableTag<float> df;
    return hn::MulAdd(hn::BitCast(df, a), hn::BitCast(df, b), acc);
  }
};

// Pairs of bfloat16 summed into f32 by the native dot product instruction, which flushes subnormals
// and rounds each step in its own way. Targets without it widen to f32.
#if HWY_NATIVE_DOT_BF16
struct GemmBF16 {
  using Element = bfloat16;
  using Acc = float;
  static constexpr size_t kUnit = 2;

  static HWY_INLINE hn::Vec<hn::ScalableTag<float>> MultiplyAdd(
      GemmV32 a, GemmV32 b, hn::Vec<hn::ScalableTag<float>> acc) {
    const hn::ScalableTag<float> df;
    const hn::Repartition<hwy::bfloat16_t, decltype(df)> dbf;
    auto unused = hn::Zero(df);
    return hn::ReorderWidenMulAccumulate(df, hn::BitCast(dbf, a), hn::BitCast(dbf, b), acc, unused);
  }
};
#endif

// Quads of u8 * s8 summed into int32, without the 16-bit saturation of older instructions: exact
// modulo 2^32.
struct GemmI8 {
  using Element = int8_t;
  using Acc = int32_t;
  static constexpr size_t kUnit = 4;

  static HWY_INLINE hn::Vec<hn::ScalableTag<int32_t>> MultiplyAdd(
      GemmV32 a, GemmV32 b, hn::Vec<hn::ScalableTag<int32_t>> acc) {
    const hn::ScalableTag<int32_t> di32;
#if HWY_TARGET == HWY_SCALAR
    const uint32_t ua = hn::GetLane(a), ub = hn::GetLane(b);
    uint32_t sum = static_cast<uint32_t>(hn::GetLane(acc));
    for (int shift = 0; shift < 32; shift += 8) {
      const int32_t product = static_cast<uint8_t>(ua >> shift) * static_cast<int8_t>(ub >> shift);
      sum += static_cast<uint32_t>(product);
    }
    return hn::Set(di32, static_cast<int32_t>(sum));
#else
    const hn::Repartition<uint8_t, decltype(di32)> du8;
    const hn::Repartition<int8_t, decltype(di32)> di8;
    return hn::SumOfMulQuadAccumulate(di32, hn::BitCast(du8, a), hn::BitCast(di8, b), acc);
#endif
  }
};

// tile[r][v * lanes + j] (+)= sum over `units` of A's unit (r, u) with B's unit (u, column).
// a: first row, rows a_stride bytes apart, units one after the other. b: packed panel, kVecs
// vectors a unit. `tail` bytes (0 to 3) more of each row of A form a last unit, whose other bytes
// are zero and are not read. tile: kRows rows of kVecs vectors, 64-byte aligned.
template <class Kind, size_t kRows, size_t kVecs>
HWY_NOINLINE void MultiplyTile(const uint8_t* HWY_RESTRICT a, const size_t a_stride,
                               const uint32_t* HWY_RESTRICT b, const size_t units,
                               const size_t tail, typename Kind::Acc* HWY_RESTRICT tile,
                               const bool accumulate) {
  const hn::ScalableTag<typename Kind::Acc> d;
  const GemmD32 d32;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);

  // Without the pragmas g++ keeps the array in memory and loses two thirds of the speed.
  V acc[kRows][kVecs];
  if (accumulate) {
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) acc[r][v] = hn::Load(d, tile + (r * kVecs + v) * lanes);
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

  for (size_t u = 0; u < units; ++u) {
    GemmV32 bv[kVecs];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) bv[v] = hn::Load(d32, b + v * lanes);
    b += kVecs * lanes;
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
      uint32_t unit;
      hwy::CopyBytes<4>(row[r] + 4 * u, &unit);
      const GemmV32 av = hn::Set(d32, unit);
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) acc[r][v] = Kind::MultiplyAdd(av, bv[v], acc[r][v]);
    }
  }

  if (tail != 0) {
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
      uint8_t bytes[4] = {};
      for (size_t i = 0; i < tail; ++i) bytes[i] = row[r][4 * units + i];
      uint32_t unit;
      hwy::CopyBytes<4>(bytes, &unit);
      const GemmV32 av = hn::Set(d32, unit);
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) {
        acc[r][v] = Kind::MultiplyAdd(av, hn::Load(d32, b + v * lanes), acc[r][v]);
      }
    }
  }

#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) hn::Store(acc[r][v], d, tile + (r * kVecs + v) * lanes);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_TILE_INL_H_
