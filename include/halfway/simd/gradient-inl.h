// SPDX-License-Identifier: Apache-2.0
// Kernels on gradients between the backward pass and the optimizer's step, each one pass.
//
//   const size_t bad = AddScaledKernel(x, sum, n, factor);    // sum += x * factor
//   ClampKernel(x, n, limit);                                  // to [-limit, limit]
//   const float amax = ScaledCastKernel<Config>(x, y, n, s);   // y = x * s, in 8 bits

#if defined(HALFWAY_SIMD_GRADIENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GRADIENT_INL_H_
#undef HALFWAY_SIMD_GRADIENT_INL_H_
#else
#define HALFWAY_SIMD_GRADIENT_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/types/rounding.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sum[i] = x[i] * factor + sum[i], rounded once; returns how many sum[i] are infinite or NaN.
template <class T>
size_t AddScaledKernel(const T* x, float* sum, size_t n, float factor) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto vfactor = hn::Set(df, factor);
  size_t non_finite = 0;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto v = Fma(LoadF32(df, x + i), vfactor, LoadF32(df, sum + i));
    StoreF32(v, df, sum + i);
    non_finite += hn::CountTrue(df, hn::Not(hn::IsFinite(v)));
  }
  if (i != n) {
    // The lanes past the end hold zero; zero times a finite factor is finite.
    const auto v = Fma(LoadNF32(df, x + i, n - i), vfactor, LoadNF32(df, sum + i, n - i));
    StoreNF32(v, df, sum + i, n - i);
    non_finite += hn::CountTrue(df, hn::Not(hn::IsFinite(v)));
  }
  return non_finite;
}

// NaN stays NaN, whatever the target's minimum does.
inline void ClampKernel(float* x, size_t n, float limit) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto high = hn::Set(df, limit), low = hn::Set(df, -limit);
  const auto clamp = [&](auto v) HWY_ATTR {
    v = hn::IfThenElse(hn::Gt(v, high), high, v);
    return hn::IfThenElse(hn::Lt(v, low), low, v);
  };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(clamp(hn::LoadU(df, x + i)), df, x + i);
  if (i != n) hn::StoreN(clamp(hn::LoadN(df, x + i, n - i)), df, x + i, n - i);
}

// y[i] = x[i] * scale, rounded to float, then to Config::To, saturating. Returns the largest |x[i]|
// as AmaxKernel does.
template <class Config>
float ScaledCastKernel(const typename Config::From* x, typename Config::To* y, size_t n,
                       float scale) {
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> di;
  const size_t lanes = hn::Lanes(df);
  const auto vscale = hn::Set(df, scale);
  const auto magnitude = [&](auto v) HWY_ATTR { return hn::BitCast(di, hn::Abs(v)); };
  auto max0 = hn::Zero(di), max1 = max0;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    hn::VFromD<decltype(df)> v0, v1, v2, v3;
    Load4F32(df, x + i, v0, v1, v2, v3);
    max0 = hn::Max(max0, hn::Max(magnitude(v0), magnitude(v1)));
    max1 = hn::Max(max1, hn::Max(magnitude(v2), magnitude(v3)));
    Store4F32<overflow::saturate>(hn::Mul(v0, vscale), hn::Mul(v1, vscale), hn::Mul(v2, vscale),
                                  hn::Mul(v3, vscale), df, y + i);
  }
  for (; i < n; i += lanes) {
    const size_t count = HWY_MIN(lanes, n - i);
    const auto v = LoadNF32(df, x + i, count);
    max0 = hn::Max(max0, magnitude(v));
    StoreNF32<overflow::saturate>(hn::Mul(v, vscale), df, y + i, count);
  }
  return hn::GetLane(hn::BitCast(df, hn::MaxOfLanes(di, hn::Max(max0, max1))));
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GRADIENT_INL_H_
