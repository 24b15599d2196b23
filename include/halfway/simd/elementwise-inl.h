// SPDX-License-Identifier: Apache-2.0
// Loops over ranges for operations that treat each element by itself.
//
//   struct SquareOp {                      // within HWY_NAMESPACE
//     template <class DF, class V>
//     HWY_INLINE V operator()(DF df, V x) const {
//       return hn::Mul(x, x);
//     }
//   };
//   MapElements(SquareOp(), x, y, n);      // y[i] = x[i]^2 in f32; any storage types
//
// y may be x. Elements past n are neither read nor written.

#if defined(HALFWAY_SIMD_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ELEMENTWISE_INL_H_
#undef HALFWAY_SIMD_ELEMENTWISE_INL_H_
#else
#define HALFWAY_SIMD_ELEMENTWISE_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// y[i] = op(x[i])
template <class Op, class X, class Y>
HWY_INLINE void MapElements(const Op& op, const X* x, Y* y, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreF32(op(df, LoadF32(df, x + i)), df, y + i);
  if (i != n) StoreNF32(op(df, LoadNF32(df, x + i, n - i)), df, y + i, n - i);
}

// z[i] = op(x[i], y[i])
template <class Op, class X, class Y, class Z>
HWY_INLINE void MapPairs(const Op& op, const X* x, const Y* y, Z* z, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    StoreF32(op(df, LoadF32(df, x + i), LoadF32(df, y + i)), df, z + i);
  }
  if (i != n) {
    StoreNF32(op(df, LoadNF32(df, x + i, n - i), LoadNF32(df, y + i, n - i)), df, z + i, n - i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ELEMENTWISE_INL_H_
