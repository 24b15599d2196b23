// SPDX-License-Identifier: Apache-2.0
// Affine quantization of n elements, and the range of values that its parameters come from.
//
//   struct Config { using From = float; using To = int8; };
//   QuantizeKernel<Config>(x, q, n, scale, zero_point);  // saturate(round(x / scale) + zero_point)
//   DequantizeKernel<Back>(q, y, n, scale, zero_point);  // (q - zero_point) * scale
//   RangeKernel<float>(x, n, range);
//   ScaleSumsKernel<float>(sums, row_scale, scales, bias, y, n);  // of an integer product

#if defined(HALFWAY_SIMD_QUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_QUANTIZE_INL_H_
#undef HALFWAY_SIMD_QUANTIZE_INL_H_
#else
#define HALFWAY_SIMD_QUANTIZE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/quantize_args.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class Config>
void QuantizeKernel(const typename Config::From* from, typename Config::To* to, size_t n,
                    float scale, int32_t zero_point) {
  using To = typename Config::To;
  constexpr int32_t kLowest = static_cast<int32_t>(std::numeric_limits<To>::lowest());
  constexpr int32_t kLargest = static_cast<int32_t>(std::numeric_limits<To>::max());
  const hn::ScalableTag<float> df;
  const hn::RebindToUnsigned<decltype(df)> du;
  const RawTag<To, decltype(df)> dr;
  const hn::RebindToUnsigned<decltype(dr)> dur;
  const size_t lanes = hn::Lanes(df);
  const auto vscale = hn::Set(df, scale);
  // Saturating before rounding and before the zero point is added gives the same, and keeps the sum
  // small.
  const auto lowest = hn::Set(df, static_cast<float>(kLowest - zero_point));
  const auto largest = hn::Set(df, static_cast<float>(kLargest - zero_point));
  const auto offset = hn::Set(du, static_cast<uint32_t>(zero_point));

  // A division, not a multiplication by the reciprocal, whose rounding would move values across
  // ties.
  const auto quantized = [&](hn::VFromD<decltype(df)> v) HWY_ATTR {
    auto ratio = hn::Div(v, vscale);
    ratio = hn::IfThenZeroElse(hn::IsNaN(ratio), ratio);
    ratio = hn::Min(hn::Max(ratio, lowest), largest);
    const auto code = hn::Add(RoundInLowBits(df, ratio), offset);
    return hn::BitCast(dr, hn::TruncateTo(dur, code));
  };
  auto* raw = reinterpret_cast<detail::raw_of<To>*>(to);
  size_t i = 0;
  for (const size_t whole = n - n % lanes; i < whole; i += lanes) {
    hn::StoreU(quantized(LoadF32(df, from + i)), dr, raw + i);
  }
  if (i != n) hn::StoreN(quantized(LoadNF32(df, from + i, n - i)), dr, raw + i, n - i);
}

template <class Config>
void DequantizeKernel(const typename Config::From* from, typename Config::To* to, size_t n,
                      float scale, int32_t zero_point) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto vscale = hn::Set(df, scale);
  const auto zero = hn::Set(df, static_cast<float>(zero_point));
  size_t i = 0;
  for (const size_t whole = n - n % lanes; i < whole; i += lanes) {
    const auto v = LoadF32(df, from + i);
    StoreF32(hn::Mul(hn::Sub(v, zero), vscale), df, to + i);
  }
  if (i != n) {
    const auto v = LoadNF32(df, from + i, n - i);
    StoreNF32(hn::Mul(hn::Sub(v, zero), vscale), df, to + i, n - i);
  }
}

// Widens `range` by the finite elements and counts the others.
template <class T>
void RangeKernel(const T* from, size_t n, detail::value_range& range) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto infinity = hn::Inf(df);
  auto smallest = infinity;
  auto largest = hn::Neg(infinity);
  size_t non_finite = 0;
  const auto add = [&](hn::VFromD<decltype(df)> v, hn::MFromD<decltype(df)> counted) HWY_ATTR {
    const auto finite = hn::And(counted, hn::IsFinite(v));
    smallest = hn::Min(smallest, hn::IfThenElse(finite, v, infinity));
    largest = hn::Max(largest, hn::IfThenElse(finite, v, hn::Neg(infinity)));
    non_finite += hn::CountTrue(df, hn::AndNot(finite, counted));
  };
  size_t i = 0;
  const auto all = hn::FirstN(df, lanes);
  for (const size_t whole = n - n % lanes; i < whole; i += lanes) add(LoadF32(df, from + i), all);
  if (i != n) add(LoadNF32(df, from + i, n - i), hn::FirstN(df, n - i));
  range.min = HWY_MIN(range.min, hn::ReduceMin(df, smallest));
  range.max = HWY_MAX(range.max, hn::ReduceMax(df, largest));
  range.finite += n - non_finite;
  range.non_finite += non_finite;
}

// y[j] = sums[j] * (row_scale * scales[j]) + bias[j], the sum with one rounding; bias may be null.
template <class T>
void ScaleSumsKernel(const float* sums, float row_scale, const float* scales, const float* bias,
                     T* y, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  for (size_t j = 0; j < n; j += lanes) {
    const size_t here = HWY_MIN(lanes, n - j);
    const auto scale = RoundedProduct(hn::Set(df, row_scale), hn::LoadN(df, scales + j, here));
    const auto offset = bias == nullptr ? hn::Zero(df) : hn::LoadN(df, bias + j, here);
    StoreNF32(Fma(hn::LoadN(df, sums + j, here), scale, offset), df, y + j, here);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_QUANTIZE_INL_H_
