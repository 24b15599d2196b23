// SPDX-License-Identifier: Apache-2.0
// gelu(x) = x Phi(x), its tanh form, and the slopes of both, on vectors of f32: the same bits on
// every target.
//
//   const auto y = Gelu(df, x);
//
// With t = |x|, both forms are max(x, 0) - t q(t), where q is a positive function that falls off as
// fast as e^(-t^2 / 2): for the exact form Phi(-t), for the tanh form 1 / (1 + e^(2 z(t))). For t
// below 3.9 q is a polynomial from a table; beyond, where few elements of a layer lie, it comes
// from an exponential, so that the results keep their digits down to the smallest floats.

#if defined(HALFWAY_SIMD_GELU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GELU_INL_H_
#undef HALFWAY_SIMD_GELU_INL_H_
#else
#define HALFWAY_SIMD_GELU_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/gelu_table.h"
#include "halfway/simd/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// table[index[i]], indices in [0, 32).
template <class DF>
HWY_INLINE hn::VFromD<DF> LookUp32(DF df, const float* table,
                                   hn::VFromD<hn::RebindToSigned<DF>> index) {
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
  const hn::RebindToSigned<DF> di;
  if constexpr (hn::MaxLanes(df) == 16) {
    return hn::TwoTablesLookupLanes(df, hn::Load(df, table), hn::Load(df, table + 16),
                                    hn::IndicesFromVec(df, index));
  } else if constexpr (hn::MaxLanes(df) == 8) {
    const auto in_half = hn::IndicesFromVec(df, hn::And(index, hn::Set(di, 15)));
    const auto low =
        hn::TwoTablesLookupLanes(df, hn::Load(df, table), hn::Load(df, table + 8), in_half);
    const auto high =
        hn::TwoTablesLookupLanes(df, hn::Load(df, table + 16), hn::Load(df, table + 24), in_half);
    const auto is_high = hn::RebindMask(df, hn::Gt(index, hn::Set(di, 15)));
    return hn::IfThenElse(is_high, high, low);
  }
#endif
  return hn::GatherIndex(df, table, index);
}

// q(t) as high + low, for t < 3.9375; garbage beyond, NaN for NaN.
template <class V>
struct TailParts {
  V high;
  V low;
};
template <class DF>
HWY_INLINE TailParts<hn::VFromD<DF>> LookUpTail(DF df, hn::VFromD<DF> t,
                                                const detail::piecewise_polynomials& table) {
  const hn::RebindToSigned<DF> di;
  // Adding 1.5 * 2^20 leaves round(8 t) in the last digits.
  const auto shifter = hn::Set(df, 1572864.0f);
  const auto shifted = hn::Add(t, shifter);
  const auto d = hn::Sub(t, hn::Sub(shifted, shifter));
  const auto index = hn::And(hn::BitCast(di, shifted), hn::Set(di, 31));
  auto p = LookUp32(df, table.coefficient[5], index);
  p = Fma(p, d, LookUp32(df, table.coefficient[4], index));
  p = Fma(p, d, LookUp32(df, table.coefficient[3], index));
  p = Fma(p, d, LookUp32(df, table.coefficient[2], index));
  p = Fma(p, d, LookUp32(df, table.coefficient[1], index));
  const auto c0 = LookUp32(df, table.coefficient[0], index);
  const auto rest = Fma(p, d, LookUp32(df, table.low, index));  // less than a third of c0
  const auto high = hn::Add(c0, rest);
  return {high, hn::Sub(rest, hn::Sub(high, c0))};
}

// Where the table ends.
template <class DF>
HWY_INLINE hn::VFromD<DF> TableEnd(DF df) {
  return hn::Set(df, 3.9375f);
}

// ------------------------------ The exact form

// t Phi(-t) = e^(-t^2 / 2) (g + g_low) for t in [3.9, 15]; from 14.6 on it rounds to 0.
template <class V>
struct NormalTail {
  ExactExpParts<V> exp;
  V g;
  V g_low;
};
template <class DF>
HWY_INLINE NormalTail<hn::VFromD<DF>> SplitNormalTail(DF df, hn::VFromD<DF> t) {
  const auto square = hn::Mul(t, t);
  const auto square_error = NegFma(t, t, square);  // square - t^2
  const auto half = hn::Set(df, 0.5f);
  // g = 1 / sqrt(2 pi) + w p(w) with w = 1 / (t^2 + 4), relative error 2^-30.2.
  const auto w = hn::Div(hn::Set(df, 1.0f), hn::Add(square, hn::Set(df, 4.0f)));
  const auto p = Polynomial(df, w, -0x1.988430p-2f, -0x1.98afe4p-2f, -0x1.630d78p+1f,
                            0x1.ec2edcp-1f, -0x1.69cf70p+5f);
  const auto c0 = hn::Set(df, 0x1.988454p-2f);
  const auto g = Fma(w, p, c0);
  return {SplitExpExactly(df, hn::Mul(square, hn::Neg(half)), hn::Mul(square_error, half)), g,
          hn::Add(Fma(w, p, hn::Sub(c0, g)), hn::Set(df, -0x1.857936p-27f))};
}

// t Phi(-t) for t >= 3.9.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarGelu(DF df, hn::VFromD<DF> t) {
  const auto far = SplitNormalTail(df, hn::Min(t, hn::Set(df, 15.0f)));
  const auto rest = Fma(far.exp.p, far.g, Fma(far.exp.p_low, far.g, far.g_low));
  return ScaleByPowerOf2(df, hn::Add(far.g, rest), far.exp.n);
}

// gelu'(-t) = Phi(-t) - t phi(t), phi the density, for t >= 3.9.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarGeluSlope(DF df, hn::VFromD<DF> t_any) {
  const auto t = hn::Min(t_any, hn::Set(df, 15.0f));
  const auto far = SplitNormalTail(df, t);
  const auto factor = NegFma(t, hn::Set(df, 0x1.988454p-2f), hn::Div(far.g, t));
  return ScaleByPowerOf2(df, Fma(factor, hn::Add(far.exp.p, far.exp.p_low), factor), far.exp.n);
}

// ------------------------------ The tanh form

// 1 / (1 + e^(2 z(t))) for t >= 3.9, times factor: e^-2z (1 - e^-2z + ...).
template <class DF>
HWY_INLINE hn::VFromD<DF> FarLogisticOfCubic(DF df, hn::VFromD<DF> t, hn::VFromD<DF> factor) {
  // 2 z = a t + b t^3 in two floats, as the exponential of a large number takes more digits than
  // one has: the products with their errors, then Knuth's TwoSum.
  const auto a = hn::Set(df, 0x1.988454p+0f);
  const auto b = hn::Set(df, 0x1.2444f2p-4f);
  const auto square = hn::Mul(t, t);
  const auto cube = hn::Mul(square, t);
  const auto cube_error = Fma(square, t, hn::Neg(cube));
  const auto cube_low = Fma(Fma(t, t, hn::Neg(square)), t, cube_error);
  const auto linear = RoundedProduct(a, t);
  const auto cubic = RoundedProduct(b, cube);
  const auto linear_low = Fma(hn::Set(df, -0x1.857936p-25f), t, Fma(a, t, hn::Neg(linear)));
  const auto cubic_low =
      Fma(b, cube_low, Fma(hn::Set(df, 0x1.49b16ap-29f), cube, Fma(b, cube, hn::Neg(cubic))));
  const auto sum = hn::Add(linear, cubic);
  const auto cubic_part = hn::Sub(sum, linear);
  const auto sum_error =
      hn::Add(hn::Sub(linear, hn::Sub(sum, cubic_part)), hn::Sub(cubic, cubic_part));
  const auto sum_low = hn::Add(sum_error, hn::Add(linear_low, cubic_low));
  const auto e = SplitExpExactly(df, hn::Neg(sum), hn::Neg(sum_low));
  // factor (1 + p + p_low) in two floats, and e^-2z to the digits that count in 1 - e^-2z.
  const auto high = Fma(factor, e.p, factor);
  const auto low = Fma(factor, e.p_low, Fma(factor, e.p, hn::Sub(factor, high)));
  const auto power = PowerOf2(df, AtLeast(e.n, hn::Set(df, -126.0f)));
  const auto exp = Fma(power, e.p, power);
  return ScaleByPowerOf2(df, hn::Add(high, NegFma(high, NegFma(exp, exp, exp), low)), e.n);
}

// t / (1 + e^(2 z(t))) for t >= 3.9; from 10.8 on it rounds to 0.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarGeluTanh(DF df, hn::VFromD<DF> t_any) {
  const auto t = hn::Min(t_any, hn::Set(df, 11.0f));
  return FarLogisticOfCubic(df, t, t);
}

// s (1 - t (a + 3 b t^2) (1 - s)).
template <class DF>
HWY_INLINE hn::VFromD<DF> SlopeFactorOfGeluTanh(DF df, hn::VFromD<DF> t, hn::VFromD<DF> s) {
  const auto one = hn::Set(df, 1.0f);
  const auto slope_z = Fma(hn::Mul(t, t), hn::Set(df, static_cast<float>(3 * detail::gelu_tanh_b)),
                           hn::Set(df, static_cast<float>(detail::gelu_tanh_a)));
  return NegFma(hn::Mul(t, slope_z), hn::Sub(one, s), one);
}

// The slope at -t for t >= 3.9.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarGeluTanhSlope(DF df, hn::VFromD<DF> t_any) {
  const auto t = hn::Min(t_any, hn::Set(df, 11.0f));
  const auto s = FarLogisticOfCubic(df, t, hn::Set(df, 1.0f));
  return FarLogisticOfCubic(df, t, SlopeFactorOfGeluTanh(df, t, s));
}

// ------------------------------ For all x

// max(x, 0) - t q(t), rounded from a value with its remainder. Its sign is that of x, zeros
// included.
template <class DF>
HWY_INLINE hn::VFromD<DF> GeluFromTail(DF df, hn::VFromD<DF> x, hn::VFromD<DF> t,
                                       const TailParts<hn::VFromD<DF>>& q) {
  const auto base = AtLeast(x, hn::Zero(df));
  const auto y = NegFma(t, q.high, base);
  const auto y_low = NegFma(t, q.low, NegFma(t, q.high, hn::Sub(base, y)));
  return hn::CopySign(hn::Add(y, y_low), x);
}

// x Phi(x). Error below 1 ULP. -0 at -inf.
template <class DF>
HWY_INLINE hn::VFromD<DF> Gelu(DF df, hn::VFromD<DF> x) {
  const auto t = hn::Abs(x);
  auto y = GeluFromTail(df, x, t, LookUpTail(df, t, detail::gelu_table<>));
  const auto is_far = hn::Ge(t, TableEnd(df));
  if (HWY_UNLIKELY(!hn::AllFalse(df, is_far))) {
    y = hn::IfThenElse(is_far, hn::Sub(AtLeast(x, hn::Neg(hn::Zero(df))), FarGelu(df, t)), y);
  }
  return y;
}

// x / 2 (1 + tanh(z(x))), z(x) = sqrt(2 / pi) (x + 0.044715 x^3). Error below 1 ULP. -0 at -inf.
template <class DF>
HWY_INLINE hn::VFromD<DF> GeluTanh(DF df, hn::VFromD<DF> x) {
  const auto t = hn::Abs(x);
  auto y = GeluFromTail(df, x, t, LookUpTail(df, t, detail::gelu_tanh_table<>));
  const auto is_far = hn::Ge(t, TableEnd(df));
  if (HWY_UNLIKELY(!hn::AllFalse(df, is_far))) {
    y = hn::IfThenElse(is_far, hn::Sub(AtLeast(x, hn::Neg(hn::Zero(df))), FarGeluTanh(df, t)), y);
  }
  return y;
}

// The slope at x from the slope at -|x|: the two add up to 1.
template <class DF>
HWY_INLINE hn::VFromD<DF> SlopeFromTail(DF df, hn::VFromD<DF> x, hn::VFromD<DF> slope) {
  return hn::IfThenElse(hn::Gt(x, hn::Zero(df)), hn::Sub(hn::Set(df, 1.0f), slope), slope);
}

// The derivative of Gelu.
template <class DF>
HWY_INLINE hn::VFromD<DF> GeluSlope(DF df, hn::VFromD<DF> x) {
  const auto t = hn::Abs(x);
  const auto q = LookUpTail(df, t, detail::gelu_table<>);
  const auto e =
      SplitExp(df, hn::Mul(AtMost(hn::Mul(t, t), hn::Set(df, 100.0f)), hn::Set(df, -0.5f)));
  const auto power = hn::Mul(PowerOf2(df, e.n), hn::Set(df, 0x1.988454p-2f));
  auto slope = NegFma(t, Fma(power, e.p, power), q.high);
  const auto is_far = hn::Ge(t, TableEnd(df));
  if (HWY_UNLIKELY(!hn::AllFalse(df, is_far))) {
    slope = hn::IfThenElse(is_far, FarGeluSlope(df, t), slope);
  }
  return SlopeFromTail(df, x, slope);
}

// The derivative of GeluTanh.
template <class DF>
HWY_INLINE hn::VFromD<DF> GeluTanhSlope(DF df, hn::VFromD<DF> x) {
  const auto t = hn::Abs(x);
  const auto q = LookUpTail(df, t, detail::gelu_tanh_table<>);
  auto slope = hn::Mul(q.high, SlopeFactorOfGeluTanh(df, t, q.high));
  const auto is_far = hn::Ge(t, TableEnd(df));
  if (HWY_UNLIKELY(!hn::AllFalse(df, is_far))) {
    slope = hn::IfThenElse(is_far, FarGeluTanhSlope(df, t), slope);
  }
  return SlopeFromTail(df, x, slope);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GELU_INL_H_
