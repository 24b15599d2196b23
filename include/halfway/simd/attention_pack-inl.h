// SPDX-License-Identifier: Apache-2.0
// Brings queries, keys and values of a block into the layouts that the tiles of attention read.
//
// Queries: dense rows of the step's type. Keys: transposed, kKeyColumns keys side by side. Values:
// as they are, all elements of a key (a pair of keys) side by side. Everything is filled up with
// zeros.

#if defined(HALFWAY_SIMD_ATTENTION_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ATTENTION_PACK_INL_H_
#undef HALFWAY_SIMD_ATTENTION_PACK_INL_H_
#else
#define HALFWAY_SIMD_ATTENTION_PACK_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/attention_args.h"
#include "halfway/simd/gemm_pack-inl.h"
#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Keys to a panel: four vectors of 16 lanes.
static constexpr size_t kKeyColumns = 64;

// to[0, n) = from[0, n) * scale, widened.
template <class From>
HWY_INLINE void PackScaledRun(const From* HWY_RESTRICT from, size_t n, float scale,
                              float* HWY_RESTRICT to) {
  const hn::ScalableTag<float> df;
  using V = hn::VFromD<decltype(df)>;
  const size_t lanes = hn::Lanes(df);
  const V factor = hn::Set(df, scale);
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    V v0, v1, v2, v3;
    Load4F32(df, from + i, v0, v1, v2, v3);
    hn::StoreU(hn::Mul(v0, factor), df, to + i);
    hn::StoreU(hn::Mul(v1, factor), df, to + i + lanes);
    hn::StoreU(hn::Mul(v2, factor), df, to + i + 2 * lanes);
    hn::StoreU(hn::Mul(v3, factor), df, to + i + 3 * lanes);
  }
  for (; i < n; i += lanes) {
    const size_t count = HWY_MIN(lanes, n - i);
    hn::StoreN(hn::Mul(LoadNF32(df, from + i, count), factor), df, to + i, count);
  }
}

// Rows of bfloat16 have no scales: they are copied.
HWY_INLINE void PackScaledRun(const bfloat16* HWY_RESTRICT from, size_t n, float /*scale*/,
                              bfloat16* HWY_RESTRICT to) {
  hwy::CopyBytes(from, to, n * sizeof(bfloat16));
}

#if HWY_TARGET != HWY_SCALAR  // which has no lanes to move

// The vector whose block b (of four lanes) is read from p + b * step bytes.
template <class DU>
HWY_INLINE hn::VFromD<DU> LoadBlocks(DU du, const uint8_t* HWY_RESTRICT p, size_t step) {
  if constexpr (HWY_MAX_LANES_D(DU) <= 4) {
    return hn::LoadU(du, reinterpret_cast<const uint32_t*>(p));
  } else {
    const hn::Half<DU> dh;
    const size_t half_blocks = hn::Lanes(dh) / 4;
    return hn::Combine(du, LoadBlocks(dh, p + half_blocks * step, step), LoadBlocks(dh, p, step));
  }
}

#endif  // HWY_SCALAR

// to[c * kKeyColumns + r] = the 4-byte unit c of row r, for kKeyColumns rows `stride` bytes apart;
// `units` is a multiple of 4.
template <class DU>
HWY_INLINE void TransposeUnits(DU du, const uint8_t* HWY_RESTRICT from, size_t stride, size_t units,
                               uint32_t* HWY_RESTRICT to) {
#if HWY_TARGET == HWY_SCALAR
  (void)du;
  for (size_t r = 0; r < kKeyColumns; ++r) {
    for (size_t c = 0; c < units; ++c) {
      hwy::CopyBytes<4>(from + r * stride + 4 * c, to + c * kKeyColumns + r);
    }
  }
#else
  const size_t lanes = hn::Lanes(du);
  for (size_t r = 0; r < kKeyColumns; r += lanes) {
    for (size_t c = 0; c < units; c += 4) {
      const uint8_t* HWY_RESTRICT p = from + r * stride + 4 * c;
      const auto v0 = LoadBlocks(du, p, 4 * stride);
      const auto v1 = LoadBlocks(du, p + stride, 4 * stride);
      const auto v2 = LoadBlocks(du, p + 2 * stride, 4 * stride);
      const auto v3 = LoadBlocks(du, p + 3 * stride, 4 * stride);
      const auto even_low = hn::InterleaveLower(du, v0, v2);
      const auto odd_low = hn::InterleaveLower(du, v1, v3);
      const auto even_high = hn::InterleaveUpper(du, v0, v2);
      const auto odd_high = hn::InterleaveUpper(du, v1, v3);
      uint32_t* HWY_RESTRICT out = to + c * kKeyColumns + r;
      hn::StoreU(hn::InterleaveLower(du, even_low, odd_low), du, out);
      hn::StoreU(hn::InterleaveUpper(du, even_low, odd_low), du, out + kKeyColumns);
      hn::StoreU(hn::InterleaveLower(du, even_high, odd_high), du, out + 2 * kKeyColumns);
      hn::StoreU(hn::InterleaveUpper(du, even_high, odd_high), du, out + 3 * kKeyColumns);
    }
  }
#endif
}

// 4-byte units of a row of queries or keys, filled up so that they can be transposed.
template <class Step>
constexpr size_t UnitsOfSize(size_t size) {
  return hwy::RoundUpTo(hwy::DivCeil(size * sizeof(typename Step::A), size_t{4}), size_t{4});
}

// Rows of queries, UnitsOfSize<Step>(size) units each.
template <class Step, class T>
HWY_INLINE void PackQuery(const T* HWY_RESTRICT q, size_t size, uint8_t* HWY_RESTRICT to) {
  using A = typename Step::A;
  const size_t bytes = 4 * UnitsOfSize<Step>(size);
  PackRun(q, size, reinterpret_cast<A*>(to));
  hwy::ZeroBytes(to + size * sizeof(A), bytes - size * sizeof(A));
}

// A panel of the first `keys` (at most kKeyColumns) rows of k. `staging`: kKeyColumns rows of
// UnitsOfSize<Step>(size) units, for what can't be transposed from where it lies.
template <class Step, class T>
HWY_NOINLINE void PackKeys(const T* HWY_RESTRICT k, size_t row_stride, size_t keys, size_t size,
                           detail::token_scales scales, uint8_t* HWY_RESTRICT staging,
                           typename Step::Panel* HWY_RESTRICT panel) {
  using A = typename Step::A;
  const size_t units = UnitsOfSize<Step>(size);
  const uint8_t* rows = reinterpret_cast<const uint8_t*>(k);
  size_t stride = row_stride * sizeof(T);
  if (!std::is_same_v<T, A> || scales.data != nullptr || keys != kKeyColumns ||
      size * sizeof(A) != 4 * units) {
    stride = 4 * units;
    for (size_t r = 0; r < keys; ++r) {
      uint8_t* HWY_RESTRICT to = staging + r * stride;
      PackScaledRun(k + r * row_stride, size, scales[r], reinterpret_cast<A*>(to));
      hwy::ZeroBytes(to + size * sizeof(A), stride - size * sizeof(A));
    }
    hwy::ZeroBytes(staging + keys * stride, (kKeyColumns - keys) * stride);
    rows = staging;
  }
  TransposeUnits(GemmDU(), rows, stride, units, reinterpret_cast<uint32_t*>(panel));
}

// The first `keys` rows of v, `width` columns.
template <class Step, class T>
HWY_NOINLINE void PackValues(const T* HWY_RESTRICT v, size_t row_stride, size_t keys, size_t size,
                             size_t width, detail::token_scales scales,
                             typename Step::Panel* HWY_RESTRICT panel) {
  using Panel = typename Step::Panel;
  if constexpr (std::is_same_v<Panel, float>) {
    for (size_t r = 0; r < keys; ++r) {
      float* HWY_RESTRICT to = panel + r * width;
      PackScaledRun(v + r * row_stride, size, scales[r], to);
      hwy::ZeroBytes(to + size, (width - size) * sizeof(float));
    }
  } else {
    PackB(v, row_stride, 1, keys, size, width, panel);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ATTENTION_PACK_INL_H_
