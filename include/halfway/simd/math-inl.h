// SPDX-License-Identifier: Apache-2.0
// Elementary functions on vectors of f32: the same bits on every target.
//
//   const auto y = Exp(df, x);
//
// The coefficients come from Remez' exchange algorithm in 200-bit arithmetic, for the least maximum
// relative error of the function on the stated interval; each is rounded to float in turn, the
// remaining ones fitted again. The bounds in ULP are tested over all floats
// (tests/simd/math_test.cc, tests/ops/activation_test.cc).

#if defined(HALFWAY_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_MATH_INL_H_
#undef HALFWAY_SIMD_MATH_INL_H_
#else
#define HALFWAY_SIMD_MATH_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/fma-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The larger (smaller) of x and a bound that is no NaN; NaN where x is NaN.
template <class V>
HWY_INLINE V AtLeast(V x, V bound) {
#if HWY_ARCH_X86
  return hn::Max(bound, x);  // maxps returns its second operand where one is NaN
#else
  return hn::IfThenElse(hn::Lt(x, bound), bound, x);
#endif
}
template <class V>
HWY_INLINE V AtMost(V x, V bound) {
#if HWY_ARCH_X86
  return hn::Min(bound, x);
#else
  return hn::IfThenElse(hn::Gt(x, bound), bound, x);
#endif
}

// The larger (smaller) of a and x, a where x is NaN.
template <class V>
HWY_INLINE V LargerOrFirst(V a, V x) {
#if HWY_ARCH_X86
  return hn::Max(x, a);
#else
  return hn::IfThenElse(hn::Gt(x, a), x, a);
#endif
}

template <class V>
HWY_INLINE V SmallerOrFirst(V a, V x) {
#if HWY_ARCH_X86
  return hn::Min(x, a);
#else
  return hn::IfThenElse(hn::Lt(x, a), x, a);
#endif
}

// c0 + c1 x + c2 x^2 + ..., by Horner's rule.
template <class DF>
HWY_INLINE hn::VFromD<DF> Polynomial(DF df, hn::VFromD<DF> /*x*/, float c0) {
  return hn::Set(df, c0);
}
template <class DF, class... Coefficients>
HWY_INLINE hn::VFromD<DF> Polynomial(DF df, hn::VFromD<DF> x, float c0, Coefficients... higher) {
  return Fma(Polynomial(df, x, higher...), x, hn::Set(df, c0));
}

// e^x taken apart: e^x = 2^n (1 + p).
template <class V>
struct ExpParts {
  V n;  // an integer
  V p;  // in [-0.293, 0.4143]
};

// n = x / ln 2 rounded to an integer; adding 1.5 * 2^23 leaves it in the last digits.
template <class DF>
HWY_INLINE hn::VFromD<DF> ExpExponent(DF df, hn::VFromD<DF> x) {
  const auto shifter = hn::Set(df, 12582912.0f);
  return hn::Sub(Fma(x, hn::Set(df, 0x1.715476p+0f), shifter), shifter);
}

// q in e^r = 1 + r + r^2 q(r) on [-ln(2)/2, ln(2)/2], fitted to the weight e^-3r so that it is most
// exact where the sum is below 1 and its last digit smallest: error 2^-29.4 there, 2^-27 above.
template <class DF>
HWY_INLINE hn::VFromD<DF> ExpPolynomial(DF df, hn::VFromD<DF> r) {
  return Polynomial(df, r, 0x1.fffff2p-2f, 0x1.5554a4p-3f, 0x1.5561eap-5f, 0x1.122ecep-7f,
                    0x1.630716p-10f);
}

// ln 2 in two parts, the first of 16 bits: n * high is exact for |n| < 256, and so is x - n * high.
constexpr float kLn2High = 0x1.62e4p-1f;
constexpr float kLn2Low = 0x1.7f7d1cp-20f;

// e^x = 2^n (1 + p) for |x| < 150; NaN gives NaN.
template <class DF>
HWY_INLINE ExpParts<hn::VFromD<DF>> SplitExp(DF df, hn::VFromD<DF> x) {
  const auto n = ExpExponent(df, x);
  const auto r = NegFma(n, hn::Set(df, kLn2Low), NegFma(n, hn::Set(df, kLn2High), x));
  return {n, Fma(hn::Mul(r, r), ExpPolynomial(df, r), r)};
}

// e^(x + low) = 2^n (1 + p + p_low), low an addend below the last digit of x.
template <class V>
struct ExactExpParts {
  V n;
  V p;
  V p_low;
};
template <class DF>
HWY_INLINE ExactExpParts<hn::VFromD<DF>> SplitExpExactly(DF df, hn::VFromD<DF> x,
                                                         hn::VFromD<DF> low) {
  const auto n = ExpExponent(df, x);
  const auto high = NegFma(n, hn::Set(df, kLn2High), x);
  const auto r = NegFma(n, hn::Set(df, kLn2Low), high);
  const auto r_low = hn::Add(NegFma(n, hn::Set(df, kLn2Low), hn::Sub(high, r)), low);
  const auto square = hn::Mul(r, r);
  const auto q = ExpPolynomial(df, r);
  const auto p = Fma(square, q, r);
  return {n, p, hn::Add(Fma(square, q, hn::Sub(r, p)), Fma(r_low, p, r_low))};
}

// 2^n for integers n in [-126, 127]: added to 1.5 * 2^23, the biased exponent stands in the last
// digits of a float, and the shift leaves nothing else.
template <class DF>
HWY_INLINE hn::VFromD<DF> PowerOf2(DF df, hn::VFromD<DF> n) {
  const hn::RebindToUnsigned<DF> du;
  return hn::BitCast(df, hn::ShiftLeft<23>(hn::BitCast(du, hn::Add(n, hn::Set(df, 12583039.0f)))));
}

// v * 2^n for integers n in [-250, 250], rounded once where v * 2^(n / 2) is a normal number:
// gradual underflow, overflow to infinity. NaN where v is NaN.
template <class DF>
HWY_INLINE hn::VFromD<DF> ScaleByPowerOf2(DF df, hn::VFromD<DF> v, hn::VFromD<DF> n) {
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86 && (HWY_MAJOR > 1 || HWY_MINOR >= 3)
  (void)df;
  return hn::MulByFloorPow2(v, n);  // one instruction
#else
  const auto shifter = hn::Set(df, 12582912.0f);
  const auto half = hn::Sub(hn::Add(hn::Mul(n, hn::Set(df, 0.5f)), shifter), shifter);
  return hn::Mul(hn::Mul(v, PowerOf2(df, half)), PowerOf2(df, hn::Sub(n, half)));
#endif
}

// e^x. Error below 1 ULP. e^-inf = 0, e^inf = inf; subnormal results are gradual.
template <class DF>
HWY_INLINE hn::VFromD<DF> Exp(DF df, hn::VFromD<DF> x) {
  // Past these, the result is infinite or rounds to 0.
  const auto clamped = AtMost(AtLeast(x, hn::Set(df, -104.0f)), hn::Set(df, 89.0f));
  const auto e = SplitExp(df, clamped);
  return ScaleByPowerOf2(df, hn::Add(e.p, hn::Set(df, 1.0f)), e.n);
}

// The natural logarithm. Error below 1 ULP. log(0) = -inf, log(inf) = inf, NaN below 0.
template <class DF>
HWY_INLINE hn::VFromD<DF> Log(DF df, hn::VFromD<DF> x) {
  const hn::RebindToSigned<DF> di;
  const auto subnormal = hn::Lt(x, hn::Set(df, 0x1p-126f));
  const auto normal = hn::IfThenElse(subnormal, hn::Mul(x, hn::Set(df, 0x1p23f)), x);
  // x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
  const auto bits = hn::BitCast(di, normal);
  const auto k = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, 0x3F3504F3)));
  const auto f = hn::Sub(hn::BitCast(df, hn::Sub(bits, hn::ShiftLeft<23>(k))), hn::Set(df, 1.0f));
  const auto n = hn::Sub(hn::ConvertTo(df, k), hn::IfThenElseZero(subnormal, hn::Set(df, 23.0f)));
  // log(1 + f) = f - f^2 / 2 + f^3 p(f), relative error 2^-25.7.
  const auto p =
      Polynomial(df, f, 0x1.555548p-2f, -0x1.00007p-2f, 0x1.99a54p-3f, -0x1.552f18p-3f,
                 0x1.23036ap-3f, -0x1.01139ap-3f, 0x1.f00196p-4f, -0x1.bae45p-4f, 0x1.a3dd78p-5f);
  const auto f2 = hn::Mul(f, f);
  const auto tail =
      Fma(f2, Fma(f, p, hn::Set(df, -0.5f)), hn::Mul(n, hn::Set(df, 0x1.7f7d1cp-20f)));
  const auto finite = Fma(n, hn::Set(df, 0x1.62e4p-1f), hn::Add(f, tail));
  const auto positive = hn::IfThenElse(hn::Lt(x, hn::Inf(df)), finite, x);  // inf and NaN stay
  const auto zero = hn::Zero(df);
  return hn::IfThenElse(hn::Gt(x, zero), positive,
                        hn::IfThenElse(hn::Eq(x, zero), hn::Neg(hn::Inf(df)), hn::NaN(df)));
}

// tanh x. Error below 1 ULP.
template <class DF>
HWY_INLINE hn::VFromD<DF> Tanh(DF df, hn::VFromD<DF> x) {
  const auto one = hn::Set(df, 1.0f);
  // Where |x| is large, 1 - 2 / (e^2|x| + 1); from 9.01 on that is 1.
  const auto t = AtMost(hn::Abs(x), hn::Set(df, 10.0f));
  const auto e = SplitExp(df, hn::Add(t, t));
  const auto power = PowerOf2(df, e.n);
  const auto large = hn::Sub(one, hn::Div(hn::Set(df, 2.0f), hn::Add(Fma(power, e.p, power), one)));
  // Where it is small, x + x^3 p(x^2) on [0, 0.9], relative error 2^-29.7.
  const auto u = hn::Mul(x, x);
  const auto p = Polynomial(df, u, -0x1.55554ep-2f, 0x1.110f38p-3f, -0x1.b9ca4ep-5f, 0x1.62f1cap-6f,
                            -0x1.0ed7a8p-7f, 0x1.529d4cp-9f, -0x1.ddd836p-12f);
  const auto small = Fma(hn::Mul(x, u), p, x);
  return hn::CopySign(hn::IfThenElse(hn::Lt(t, hn::Set(df, 0.9f)), small, large), x);
}

// What the logistic function of x and of -x are quotients of; t = |x|.
template <class V>
struct LogisticParts {
  V n;  // e^-t = 2^n (high + low)
  V high;
  V low;
  V denominator;  // 1 + e^-t = denominator + denominator_low
  V denominator_low;
  V reciprocal;  // of denominator
};

// e: of e^-t.
template <class DF>
HWY_INLINE LogisticParts<hn::VFromD<DF>> SplitLogistic(DF df, ExpParts<hn::VFromD<DF>> e) {
  const auto one = hn::Set(df, 1.0f);
  LogisticParts<hn::VFromD<DF>> s;
  s.n = e.n;
  s.high = hn::Add(one, e.p);
  s.low = hn::Sub(e.p, hn::Sub(s.high, one));
  const auto exp = ScaleByPowerOf2(df, s.high, e.n);
  const auto exp_low = ScaleByPowerOf2(df, s.low, e.n);
  s.denominator = hn::Add(one, exp);
  s.denominator_low = hn::Add(hn::Sub(exp, hn::Sub(s.denominator, one)), exp_low);
  s.reciprocal = hn::Div(one, s.denominator);
  return s;
}

// (high + low) / (1 + e^-t), rounded from a quotient with a remainder: error 0.5 ULP and little
// more.
template <class V>
HWY_INLINE V DivideByLogistic(V high, V low, const LogisticParts<V>& s) {
  const auto quotient = hn::Mul(high, s.reciprocal);
  const auto remainder =
      hn::Add(NegFma(quotient, s.denominator, high), NegFma(quotient, s.denominator_low, low));
  return Fma(remainder, s.reciprocal, quotient);
}

// factor / (1 + e^-x), e = e^-|x|.
template <class DF>
HWY_INLINE hn::VFromD<DF> ScaledSigmoid(DF df, hn::VFromD<DF> x, hn::VFromD<DF> factor,
                                        ExpParts<hn::VFromD<DF>> e) {
  const auto negative = hn::Lt(x, hn::Zero(df));
  const auto s = SplitLogistic(df, e);
  const auto one = hn::Set(df, 1.0f);
  const auto quotient = DivideByLogistic(hn::IfThenElse(negative, s.high, one),
                                         hn::IfThenElseZero(negative, s.low), s);
  return ScaleByPowerOf2(df, hn::Mul(factor, quotient), hn::IfThenElseZero(negative, s.n));
}

// 2^shift e / (1 + e)^2, e = e^-t: the derivative of the logistic function where shift is 0.
template <class DF>
HWY_INLINE hn::VFromD<DF> LogisticSlope(DF df, ExpParts<hn::VFromD<DF>> e, float shift) {
  const auto one = hn::Set(df, 1.0f);
  const auto significand = hn::Add(e.p, one);
  const auto sum = hn::Add(ScaleByPowerOf2(df, significand, e.n), one);
  return ScaleByPowerOf2(df, hn::Div(significand, hn::Mul(sum, sum)),
                         hn::Add(e.n, hn::Set(df, shift)));
}

// 1 / (1 + e^-x). Error below 1 ULP, also where the result is subnormal.
template <class DF>
HWY_INLINE hn::VFromD<DF> Sigmoid(DF df, hn::VFromD<DF> x) {
  const auto e = SplitExp(df, AtLeast(hn::Neg(hn::Abs(x)), hn::Set(df, -104.0f)));
  return ScaledSigmoid(df, x, hn::Set(df, 1.0f), e);
}

// x / (1 + e^-x). Error below 2 ULP, also where the result is subnormal. -0 at -inf.
template <class DF>
HWY_INLINE hn::VFromD<DF> Silu(DF df, hn::VFromD<DF> x) {
  const auto bound = hn::Set(df, -110.0f);  // below it the result rounds to 0
  const auto e = SplitExp(df, AtLeast(hn::Neg(hn::Abs(x)), bound));
  return ScaledSigmoid(df, x, AtLeast(x, bound), e);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_MATH_INL_H_
