// SPDX-License-Identifier: Apache-2.0
// The innermost loop of attention's two products: six rows against packed columns.

#if defined(HALFWAY_SIMD_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ATTENTION_TILE_INL_H_
#undef HALFWAY_SIMD_ATTENTION_TILE_INL_H_
#else
#define HALFWAY_SIMD_ATTENTION_TILE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/gemm_step-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The columns of a tile are 64, the size of a head or half of one, where registers allow: 6 x 4
// accumulators of 16 lanes. (GEMM's 8 x 3 would leave a third tile of 16 columns, which is slower
// than the others.) g++ 12 and clang 19 keep all of them in registers at -O2.
static constexpr size_t kAttentionRows = 6;
#if (HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86) || HWY_ARCH_ARM_A64
static constexpr size_t kAttentionVecs = 4;
#else
static constexpr size_t kAttentionVecs = 2;
#endif

// tile[r][v] (+)= the sum over `units` 4-byte units (a multiple of Step::kUnits) of row r of `a`
// with vector v of the packed columns `b`, b_step elements from one step to the next.
template <class Step, size_t kVecs>
HWY_NOINLINE void AttentionTile(const uint8_t* HWY_RESTRICT a, const size_t a_stride,
                                const typename Step::Panel* HWY_RESTRICT b, const size_t b_step,
                                const size_t units, float* HWY_RESTRICT tile,
                                const size_t tile_stride, const bool accumulate) {
  const GemmDF df;
  const GemmDU du;
  const size_t lanes = hn::Lanes(df);

  // Without the pragmas g++ keeps the array in memory.
  GemmVF acc[kAttentionRows][kVecs];
  const uint8_t* HWY_RESTRICT row[kAttentionRows];
#pragma GCC unroll 8
  for (size_t r = 0; r < kAttentionRows; ++r) {
    row[r] = a + r * a_stride;
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) {
      acc[r][v] = accumulate ? hn::LoadU(df, tile + r * tile_stride + v * lanes) : hn::Zero(df);
    }
  }

  for (size_t u = 0; u < units; u += Step::kUnits) {
#pragma GCC unroll 4
    for (size_t s = 0; s < Step::kUnits; ++s) {
      typename Step::VB bv[kVecs];
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) bv[v] = Step::LoadB(b, v, s);
#pragma GCC unroll 8
      for (size_t r = 0; r < kAttentionRows; ++r) {
        uint32_t unit;
        hwy::CopyBytes<4>(row[r] + 4 * (u + s), &unit);
        const GemmVU av = hn::Set(du, unit);
#pragma GCC unroll 4
        for (size_t v = 0; v < kVecs; ++v) acc[r][v] = Step::MultiplyAdd(av, bv[v], acc[r][v]);
      }
    }
    b += b_step;
  }

#pragma GCC unroll 8
  for (size_t r = 0; r < kAttentionRows; ++r) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) {
      hn::StoreU(acc[r][v], df, tile + r * tile_stride + v * lanes);
    }
  }
}

// out[r][c] (+)= as above, for kAttentionRows rows and `cols` columns, a multiple of 16, of `width`
// packed ones.
template <class Step>
HWY_INLINE void MultiplyRows(const uint8_t* HWY_RESTRICT a, size_t a_stride,
                             const typename Step::Panel* HWY_RESTRICT b, size_t width, size_t units,
                             float* HWY_RESTRICT out, size_t out_stride, size_t cols,
                             bool accumulate) {
  const size_t lanes = hn::Lanes(GemmDF());
  const size_t b_step = width * Step::kDepth;
  size_t c = 0;
  for (; c + kAttentionVecs * lanes <= cols; c += kAttentionVecs * lanes) {
    AttentionTile<Step, kAttentionVecs>(a, a_stride, b + c * Step::kDepth, b_step, units, out + c,
                                        out_stride, accumulate);
  }
  if constexpr (kAttentionVecs == 4) {
    if (c + 2 * lanes <= cols) {
      AttentionTile<Step, 2>(a, a_stride, b + c * Step::kDepth, b_step, units, out + c, out_stride,
                             accumulate);
      c += 2 * lanes;
    }
    if (c + lanes <= cols) {
      AttentionTile<Step, 1>(a, a_stride, b + c * Step::kDepth, b_step, units, out + c, out_stride,
                             accumulate);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ATTENTION_TILE_INL_H_
