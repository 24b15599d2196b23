// SPDX-License-Identifier: Apache-2.0
// The sine and the cosine on vectors of f32, for all arguments: the same bits on every target.
//
//   const auto y = Sin(df, x);

#if defined(HALFWAY_SIMD_SINE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_SINE_INL_H_
#undef HALFWAY_SIMD_SINE_INL_H_
#else
#define HALFWAY_SIMD_SINE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/math-inl.h"
#include "halfway/simd/two_over_pi.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// t = n pi/2 + high + low, |high| < 0.8; quadrant is n modulo 4 in its last two bits.
template <class DF>
struct Angle {
  hn::VFromD<DF> high;
  hn::VFromD<DF> low;
  hn::VFromD<hn::RebindToSigned<DF>> quadrant;
};

// Where t >= 2^16, infinities included.
template <class DF>
HWY_NOINLINE Angle<DF> ReduceLarge(DF df, hn::VFromD<DF> t, Angle<DF> angle) {
  const hn::RebindToSigned<DF> di;
  constexpr size_t kLanes = hn::MaxLanes(df);
  HWY_ALIGN float x[kLanes], high[kLanes], low[kLanes];
  HWY_ALIGN int32_t quadrant[kLanes];
  hn::Store(t, df, x);
  hn::Store(angle.high, df, high);
  hn::Store(angle.low, df, low);
  hn::Store(angle.quadrant, di, quadrant);
  for (size_t i = 0; i < hn::Lanes(df); ++i) {
    if (!(x[i] >= 0x1p16f)) continue;
    if (x[i] > std::numeric_limits<float>::max()) {
      high[i] = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    const detail::reduced_angle r = detail::reduce_by_quarter_turns(x[i]);
    high[i] = r.high;
    low[i] = r.low;
    quadrant[i] = r.quadrant;
  }
  return {hn::Load(df, high), hn::Load(df, low), hn::Load(di, quadrant)};
}

// t >= 0.
template <class DF>
HWY_INLINE Angle<DF> ReduceByQuarterTurns(DF df, hn::VFromD<DF> t) {
  const hn::RebindToSigned<DF> di;
  // n = round(t 2 / pi) below 2^16, in the last digits.
  const auto shifter = hn::Set(df, 12582912.0f);
  const auto shifted = Fma(t, hn::Set(df, 0x1.45f306p-1f), shifter);
  const auto n = hn::Sub(shifted, shifter);
  // pi / 2 in three parts of 24 bits (Cody and Waite). The first difference is exact: a multiple of
  // 2^-24 below 1, or of 2^-23 below 2. The product with the second part and the sum with it take
  // two floats: the error of the product, then Knuth's TwoSum.
  const auto first = NegFma(n, hn::Set(df, 0x1.921fb6p+0f), t);
  const auto second = hn::Set(df, 0x1.777a5cp-25f);
  const auto product = RoundedProduct(n, second);
  const auto product_low = FmaSub(n, second, product);
  const auto high = hn::Add(first, product);
  const auto part = hn::Sub(high, first);
  const auto sum_low = hn::Add(hn::Sub(first, hn::Sub(high, part)), hn::Sub(product, part));
  const auto low = Fma(n, hn::Set(df, 0x1.ee59dap-50f), hn::Add(sum_low, product_low));
  const Angle<DF> angle{high, low, hn::BitCast(di, shifted)};
  if (HWY_LIKELY(hn::AllFalse(df, hn::Ge(t, hn::Set(df, 0x1p16f))))) return angle;
  return ReduceLarge(df, t, angle);
}

// The sine of the angle plus `quarters` quarter turns, with the sign bit of `sign` flipped in.
template <class DF>
HWY_INLINE hn::VFromD<DF> SinOfAngle(DF df, Angle<DF> angle, int32_t quarters,
                                     hn::VFromD<DF> sign) {
  const hn::RebindToSigned<DF> di;
  const auto r = angle.high;
  const auto half = hn::Set(df, 0.5f);
  const auto u = hn::Mul(r, r);
  const auto half_u = hn::Mul(u, half);
  // sin(r + low) = r + (r u s(u) + low (1 - u / 2)), relative error of s 2^-32.
  const auto s =
      Polynomial(df, u, -0x1.555556p-3f, 0x1.111164p-7f, -0x1.a047e4p-13f, 0x1.77a158p-19f);
  const auto sine = hn::Add(r, Fma(hn::Mul(r, u), s, NegFma(half_u, angle.low, angle.low)));
  // cos(r + low) = 1 - u / 2 + (u^2 c(u) - r low), error of c 2^-33, with what rounding took from u
  // and from 1 - u / 2.
  const auto one = hn::Set(df, 1.0f);
  const auto c = Polynomial(df, u, 0x1.55554ap-5f, -0x1.6c0c16p-10f, 0x1.99deecp-16f);
  const auto first = hn::Sub(one, half_u);
  const auto first_low = hn::Sub(hn::Sub(one, first), half_u);
  const auto u_low = FmaSub(r, r, u);
  const auto rest = NegFma(r, angle.low, NegFma(half, u_low, first_low));
  const auto cosine = hn::Add(first, Fma(hn::Mul(u, u), c, rest));
  const auto quadrant = hn::Add(angle.quadrant, hn::Set(di, quarters));
  const auto is_odd = hn::RebindMask(df, hn::Ne(hn::And(quadrant, hn::Set(di, 1)), hn::Zero(di)));
  const auto flip = hn::BitCast(df, hn::ShiftLeft<30>(hn::And(quadrant, hn::Set(di, 2))));
  return hn::Xor(hn::IfThenElse(is_odd, cosine, sine), hn::Xor(flip, sign));
}

// sin x. NaN at the infinities.
template <class DF>
HWY_INLINE hn::VFromD<DF> Sin(DF df, hn::VFromD<DF> x) {
  const auto t = hn::Abs(x);
  return SinOfAngle(df, ReduceByQuarterTurns(df, t), 0, hn::Xor(x, t));
}

// cos x. NaN at the infinities.
template <class DF>
HWY_INLINE hn::VFromD<DF> Cos(DF df, hn::VFromD<DF> x) {
  return SinOfAngle(df, ReduceByQuarterTurns(df, hn::Abs(x)), 1, hn::Zero(df));
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_SINE_INL_H_
