// SPDX-License-Identifier: Apache-2.0
// Kernels that rescale gradients and look for non-finite values in one pass.
//
//   const size_t bad = UnscaleKernel(x, y, n, 1.0f / scale);  // bad: non-finite elements of y

#if defined(HALFWAY_SIMD_SCALE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_SCALE_INL_H_
#undef HALFWAY_SIMD_SCALE_INL_H_
#else
#define HALFWAY_SIMD_SCALE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// y[i] = x[i] * factor; returns how many y[i] are infinite or NaN. y may be x.
template <class T>
size_t UnscaleKernel(const T* x, float* y, size_t n, float factor) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto vfactor = hn::Set(df, factor);
  size_t non_finite = 0;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto v = hn::Mul(LoadF32(df, x + i), vfactor);
    StoreF32(v, df, y + i);
    non_finite += hn::CountTrue(df, hn::Not(hn::IsFinite(v)));
  }
  if (i != n) {
    // The lanes past the end hold zero; zero times a finite factor is finite.
    const auto v = hn::Mul(LoadNF32(df, x + i, n - i), vfactor);
    StoreNF32(v, df, y + i, n - i);
    non_finite += hn::CountTrue(df, hn::Not(hn::IsFinite(v)));
  }
  return non_finite;
}

template <class T>
size_t CountNonFiniteKernel(const T* x, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  size_t non_finite = 0;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    non_finite += hn::CountTrue(df, hn::Not(hn::IsFinite(LoadF32(df, x + i))));
  }
  if (i != n) {
    non_finite += hn::CountTrue(df, hn::Not(hn::IsFinite(LoadNF32(df, x + i, n - i))));
  }
  return non_finite;
}

// The largest |x[i]|; NaN if an element is NaN; 0 if n is 0.
template <class T>
float AmaxKernel(const T* x, size_t n) {
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> di;
  const size_t lanes = hn::Lanes(df);
  // Without their sign, floats are ordered as their bits are, infinity above the finite and NaN
  // above infinity: an integer maximum lets NaN win on every target, whatever its float maximum
  // does.
  const auto magnitude = [&](auto v) HWY_ATTR { return hn::BitCast(di, hn::Abs(v)); };
  auto max0 = hn::Zero(di), max1 = max0, max2 = max0, max3 = max0;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    hn::VFromD<decltype(df)> v0, v1, v2, v3;
    Load2EvenOdd(df, x + i, v0, v1);
    Load2EvenOdd(df, x + i + 2 * lanes, v2, v3);
    max0 = hn::Max(max0, magnitude(v0));
    max1 = hn::Max(max1, magnitude(v1));
    max2 = hn::Max(max2, magnitude(v2));
    max3 = hn::Max(max3, magnitude(v3));
  }
  for (; i < n; i += lanes) {
    max0 = hn::Max(max0, magnitude(LoadNF32(df, x + i, HWY_MIN(lanes, n - i))));
  }
  const auto largest = hn::Max(hn::Max(max0, max1), hn::Max(max2, max3));
  return hn::GetLane(hn::BitCast(df, hn::MaxOfLanes(di, largest)));
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_SCALE_INL_H_
