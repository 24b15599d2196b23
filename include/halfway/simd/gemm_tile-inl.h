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
#include "hwy/cache_control.h"
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

// Whether tiles are as wide as panels; only then a tile's reads of B are one stream.
static constexpr bool kPanelWide = kTileVecs * HWY_MAX_LANES_D(GemmDF) == detail::panel_columns;

// What a tile asks memory for before it is needed. Multiply-adds keep the CPU so busy that it looks
// too little ahead to read B from memory at full speed.
enum class Ahead {
  kNothing,
  kOwn,   // what it reads itself, kAheadBytes later
  kNext,  // as told, BytesAhead in each step
};
// Measured with B from memory: 4 rows of f32 read 20 GB/s without and 27 with, a row of int4 16 and 24;
// 4 rows of bf16 5% more than with 4096.
static constexpr size_t kAheadBytes = 8192;

// Two tiles as wide as a panel, or a narrow tile's passes over it, bring in all that comes next.
template <class Step, size_t kVecs>
constexpr size_t BytesAhead() {
  return kVecs * HWY_MAX_LANES_D(GemmDF) * sizeof(typename Step::Panel) * Step::kDepth /
         detail::panel_item<typename Step::Panel> / (kPanelWide ? 2 : 1);
}

// The scales of codes: each group of `units` has `step` of them, those of another panel stand `panel`
// further.
struct GroupScales {
  const float* of_first;
  size_t units;
  size_t step;
  size_t panel;
};

// p, of which the compiler forgets what it knows. Otherwise g++ keeps the address of each of a tile's
// vectors, on the stack, from where they are loaded to where they are stored: 3% of a sum over 256.
template <class T>
HWY_INLINE T* Forgotten(T* p) {
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
  __asm__("" : "+r"(p));
#endif
  return p;
}

template <size_t kBytes>
HWY_INLINE void PrefetchLines(const uint8_t* at) {
#pragma GCC unroll 8
  for (size_t i = 0; i < kBytes; i += 64) hwy::Prefetch(at + i);
}

template <size_t kRows>
HWY_INLINE GemmVU BroadcastUnit(const uint8_t* HWY_RESTRICT const (&row)[kRows], size_t r,
                                size_t u) {
  uint32_t unit;
  hwy::CopyBytes<4>(row[r] + 4 * u, &unit);
  return hn::Set(GemmDU(), unit);
}

// acc[r][v] += unit u of row r times vector v of unit s of a step.
template <class Step, size_t kRows, size_t kVecs, size_t kPanels, class V>
HWY_INLINE void MultiplyUnit(const uint8_t* HWY_RESTRICT const (&row)[kRows], const size_t u,
                             const typename Step::Panel* HWY_RESTRICT b, const size_t b_panel,
                             const size_t s, V (&acc)[kRows][kPanels * kVecs]) {
  typename Step::VB bv[kPanels * kVecs];
#pragma GCC unroll 2
  for (size_t p = 0; p < kPanels; ++p) {
    LoadVectors<Step, kVecs>(b + p * b_panel, s, bv + p * kVecs);
  }
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) {
    const GemmVU av = BroadcastUnit(row, r, u);
#pragma GCC unroll 8
    for (size_t v = 0; v < kPanels * kVecs; ++v) {
      acc[r][v] = Step::MultiplyAdd(av, bv[v], acc[r][v]);
    }
  }
}

// All units of a step.
template <class Step, size_t kRows, size_t kVecs, size_t kPanels, class V>
HWY_INLINE void MultiplyStep(const uint8_t* HWY_RESTRICT const (&row)[kRows], const size_t u,
                             const typename Step::Panel* HWY_RESTRICT b, const size_t b_panel,
                             V (&acc)[kRows][kPanels * kVecs]) {
  if constexpr (Step::kUnits <= 2) {
#pragma GCC unroll 2
    for (size_t s = 0; s < Step::kUnits; ++s) {
      MultiplyUnit<Step, kRows, kVecs, kPanels>(row, u + s, b, b_panel, s, acc);
    }
  } else if constexpr (kRows <= 3) {  // each lane is loaded once, which is what takes the time here
#pragma GCC unroll 8
    for (size_t v = 0; v < kPanels * kVecs; ++v) {
      const auto lane = Step::LoadLane(b + v / kVecs * b_panel, v % kVecs);
#pragma GCC unroll 8
      for (size_t s = 0; s < Step::kUnits; ++s) {
        const typename Step::VB bv = Step::FromLane(lane, s);
#pragma GCC unroll 16
        for (size_t r = 0; r < kRows; ++r) {
          acc[r][v] = Step::MultiplyAdd(BroadcastUnit(row, r, u + s), bv, acc[r][v]);
        }
      }
    }
  } else {  // long enough as it is
#pragma GCC unroll 1
    for (size_t s = 0; s < Step::kUnits; ++s) {
      MultiplyUnit<Step, kRows, kVecs, kPanels>(row, u + s, b, b_panel, s, acc);
    }
  }
}

// tile[r][v] (+)= the sum over k of row r of A with vector v of the panel.
//   a: the first row, rows a_stride bytes apart, `units` 4-byte units one after the other, a multiple
//   of Step::kUnits.
//   b: the panel at the tile's first column, b_step items from one step to the next.
//   tile: kRows rows of kVecs vectors, tile_stride elements apart.
//
// With kPanels, kVecs vectors of each of several panels, b_panel items apart; their columns stand
// side by side in the tile. With groups (`scales`, at the tile's first column), the sum of each is
// multiplied by its scale and added to the tile. With kAhead of kNext, `next` is what comes next.
template <class Step, size_t kRows, size_t kVecs, size_t kPanels = 1,
          Ahead kAhead = Ahead::kNothing>
HWY_NOINLINE void MultiplyTile(const uint8_t* HWY_RESTRICT a, const size_t a_stride,
                               const typename Step::Panel* HWY_RESTRICT b, const size_t b_step,
                               const size_t units, typename Step::Acc* HWY_RESTRICT tile,
                               const size_t tile_stride, const bool accumulate,
                               const size_t b_panel = 0, const GroupScales& scales = {},
                               const uint8_t* next = nullptr) {
  constexpr size_t kAll = kPanels * kVecs;
  const typename Step::DAcc d;
  using V = hn::VFromD<typename Step::DAcc>;
  const size_t lanes = hn::Lanes(d);

  // Without the pragmas g++ keeps the arrays in memory and loses two thirds of the speed.
  V acc[kRows][kAll];
  const uint8_t* HWY_RESTRICT row[kRows];
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) row[r] = a + r * a_stride;

  const float* HWY_RESTRICT scale = scales.of_first;
  size_t u = 0;
  do {  // once, or for each group
    const size_t end = kHasGroups<Step> ? HWY_MIN(units, u + scales.units) : units;
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (size_t v = 0; v < kAll; ++v) {
        acc[r][v] = !kHasGroups<Step> && accumulate
                        ? hn::LoadU(d, tile + r * tile_stride + v * lanes)
                        : hn::Zero(d);
      }
    }

#pragma GCC unroll 2
    for (; u < end; u += Step::kUnits) {
      constexpr size_t kNextBytes = BytesAhead<Step, kVecs>();
      if constexpr (kAhead == Ahead::kOwn) {
        constexpr size_t kBytes = kNextBytes * (kPanelWide ? 2 : 1);
#pragma GCC unroll 2
        for (size_t p = 0; p < kPanels; ++p) {
          PrefetchLines<kBytes>(reinterpret_cast<const uint8_t*>(b + p * b_panel) + kAheadBytes);
        }
      } else if constexpr (kAhead == Ahead::kNext) {
        PrefetchLines<kNextBytes>(next);
        next += kNextBytes;
      }
      MultiplyStep<Step, kRows, kVecs, kPanels>(row, u, b, b_panel, acc);
      b += b_step;
    }

    if constexpr (kHasGroups<Step>) {
      const bool add = accumulate || scale != scales.of_first;
#pragma GCC unroll 8
      for (size_t v = 0; v < kAll; ++v) {
        const V factor = hn::LoadU(d, scale + v / kVecs * scales.panel + v % kVecs * lanes);
#pragma GCC unroll 16
        for (size_t r = 0; r < kRows; ++r) {
          auto* HWY_RESTRICT to = tile + r * tile_stride + v * lanes;
          hn::StoreU(Step::AddProduct(acc[r][v], factor, add ? hn::LoadU(d, to) : hn::Zero(d)), d,
                     to);
        }
      }
      scale += scales.step;
    } else {
      auto* HWY_RESTRICT to = Forgotten(tile);
#pragma GCC unroll 16
      for (size_t r = 0; r < kRows; ++r, to += tile_stride) {
#pragma GCC unroll 8
        for (size_t v = 0; v < kAll; ++v) hn::StoreU(acc[r][v], d, to + v * lanes);
      }
    }
  } while (u < units);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_TILE_INL_H_
