// SPDX-License-Identifier: Apache-2.0
// Elementary functions on vectors of f32: the same bits on every target.
//
//   const auto y = Exp(df, x);
//
// The coefficients come from Remez' exchange algorithm in 200-bit arithmetic, for the least maximum
// relative error of the function on the stated interval; each is rounded to float in turn, the
// remaining ones fitted again. The bounds in ULP are tested over all floats
// (tests/ops/elementary_test.cc).

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

// Whether Max is x86's maxps, which returns its second operand where one is NaN. Highway's emulated
// targets run on x86 as well.
#undef HALFWAY_SIMD_MAXPS
#define HALFWAY_SIMD_MAXPS (HWY_ARCH_X86 && HWY_TARGET < HWY_EMU128)

// The larger (smaller) of x and a bound that is no NaN; NaN where x is NaN.
template <class V>
HWY_INLINE V AtLeast(V x, V bound) {
#if HALFWAY_SIMD_MAXPS
  return hn::Max(bound, x);
#else
  return hn::IfThenElse(hn::Lt(x, bound), bound, x);
#endif
}
template <class V>
HWY_INLINE V AtMost(V x, V bound) {
#if HALFWAY_SIMD_MAXPS
  return hn::Min(bound, x);
#else
  return hn::IfThenElse(hn::Gt(x, bound), bound, x);
#endif
}

// The larger (smaller) of a and x, a where x is NaN.
template <class V>
HWY_INLINE V LargerOrFirst(V a, V x) {
#if HALFWAY_SIMD_MAXPS
  return hn::Max(x, a);
#else
  return hn::IfThenElse(hn::Gt(x, a), x, a);
#endif
}

template <class V>
HWY_INLINE V SmallerOrFirst(V a, V x) {
#if HALFWAY_SIMD_MAXPS
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

// 2^(j / 16).
alignas(64) inline constexpr float kSixteenthPowers[16] = {
    0x1.000000p+0f, 0x1.0b5586p+0f, 0x1.172b84p+0f, 0x1.2387a6p+0f, 0x1.306fe0p+0f, 0x1.3dea64p+0f,
    0x1.4bfdaep+0f, 0x1.5ab07ep+0f, 0x1.6a09e6p+0f, 0x1.7a1148p+0f, 0x1.8ace54p+0f, 0x1.9c4918p+0f,
    0x1.ae89fap+0f, 0x1.c199bep+0f, 0x1.d5818ep+0f, 0x1.ea4afap+0f};

// table[index[i] mod 16].
template <class DF>
HWY_INLINE hn::VFromD<DF> LookUp16(DF df, const float* table,
                                   hn::VFromD<hn::RebindToSigned<DF>> any_index) {
  const hn::RebindToSigned<DF> di;
  const auto index = hn::And(any_index, hn::Set(di, 15));
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
  if constexpr (hn::MaxLanes(df) == 16) {
#if !HWY_IS_DEBUG_BUILD
    const auto lanes = hn::IndicesFromVec(df, any_index);  // the instruction takes it modulo 16
#else
    const auto lanes = hn::IndicesFromVec(df, index);
#endif
    return hn::TableLookupLanes(hn::Load(df, table), lanes);
  } else if constexpr (hn::MaxLanes(df) == 8) {
    return hn::TwoTablesLookupLanes(df, hn::Load(df, table), hn::Load(df, table + 8),
                                    hn::IndicesFromVec(df, index));
  }
#endif
  return hn::GatherIndex(df, table, index);
}

// v[i] = e^v[i] for v[i] <= 0, where errors that grow with |v[i]| do no harm, as where it has been
// rounded: relative error at most (2.1 + 0.23 |v[i]|) 2^-24. Subnormal results are rounded once
// more. NaN gives NaN. kRough, for results that will be rounded to 16 bits: 8 * 2^-24 more. Several
// vectors step by step, as the chain of dependent instructions is long.
template <size_t N, bool kRough, class DF>
HWY_INLINE void ExpOfDifferences(DF df, hn::VFromD<DF> (&v)[N]) {
  const hn::RebindToSigned<DF> di;
  using V = hn::VFromD<DF>;
  const auto lowest = hn::Set(df, -104.0f);  // below, the result rounds to 0
  const auto log2_e = hn::Set(df, 0x1.715476p+0f);
  const auto shifter = hn::Set(df, 786432.0f);
  // 2^r = 1 + r q(r) on [-1/32, 1/32]: the Taylor series, economized to an error of 2^-28.6, or
  // 2^-21.1.
  const auto q0 = hn::Set(df, kRough ? 0x1.62e984p-1f : 0x1.62e430p-1f);
  const auto q1 = hn::Set(df, kRough ? 0x1.ebff92p-3f : 0x1.ebff92p-3f);
  const auto q2 = hn::Set(df, 0x1.c6b08ep-5f);
  V shifted[N], sixteenths[N], power[N], q[N];
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) v[i] = AtLeast(v[i], lowest);
  // e^v = 2^(k / 16) 2^r: adding 1.5 * 2^19 leaves k in the last digits.
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) shifted[i] = Fma(v[i], log2_e, shifter);
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) sixteenths[i] = hn::Sub(shifted[i], shifter);
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) {
    power[i] = LookUp16(df, kSixteenthPowers, hn::BitCast(di, shifted[i]));
  }
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) v[i] = FmaSub(v[i], log2_e, sixteenths[i]);
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) q[i] = kRough ? q1 : Fma(v[i], q2, q1);
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) q[i] = Fma(q[i], v[i], q0);
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) v[i] = hn::Mul(v[i], power[i]);
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) v[i] = Fma(v[i], q[i], power[i]);
  HWY_UNROLL(4)
  for (size_t i = 0; i < N; ++i) {
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86 && (HWY_MAJOR > 1 || HWY_MINOR >= 3)
    v[i] = hn::MulByFloorPow2(v[i], sixteenths[i]);
#else
    const auto k = hn::Sub(hn::BitCast(di, shifted[i]), hn::BitCast(di, shifter));
    v[i] = ScaleByPowerOf2(df, v[i], hn::ConvertTo(df, hn::ShiftRight<4>(k)));
#endif
  }
}

// The same of one vector.
template <bool kRough, class DF>
HWY_INLINE hn::VFromD<DF> ExpOfDifference(DF df, hn::VFromD<DF> z) {
  hn::VFromD<DF> v[1] = {z};
  ExpOfDifferences<1, kRough>(df, v);
  return v[0];
}

// 2^x. Error below 1 ULP, none for integers. 2^-inf = 0, 2^inf = inf; subnormal results are gradual.
template <class DF>
HWY_INLINE hn::VFromD<DF> Exp2(DF df, hn::VFromD<DF> x) {
  // Past these, the result is infinite or rounds to 0.
  const auto clamped = AtMost(AtLeast(x, hn::Set(df, -151.0f)), hn::Set(df, 128.0f));
  const auto shifter = hn::Set(df, 12582912.0f);
  const auto n = hn::Sub(hn::Add(clamped, shifter), shifter);
  const auto r = hn::Sub(clamped, n);
  // 2^r = 1 + r (ln 2 + q(r)) on [-1/2, 1/2], relative error 2^-28.5.
  const auto q = Polynomial(df, r, 0x1.4fde24p-26f, 0x1.ebfbdap-3f, 0x1.c6aef6p-5f, 0x1.3b2f5cp-7f,
                            0x1.5f37dep-10f, 0x1.4066cap-13f);
  const auto p = Fma(r, hn::Set(df, 0x1.62e430p-1f), hn::Mul(r, q));
  return ScaleByPowerOf2(df, hn::Add(p, hn::Set(df, 1.0f)), n);
}

// log(x) = n log(2) + f + f^2 q for x in (0, inf), f in [-0.293, 0.4143], relative error 2^-25.7.
template <class V>
struct LogParts {
  V n;
  V f;
  V f2;
  V q;
};
template <class DF>
HWY_INLINE LogParts<hn::VFromD<DF>> SplitLog(DF df, hn::VFromD<DF> x) {
  const hn::RebindToSigned<DF> di;
  const auto subnormal = hn::Lt(x, hn::Set(df, 0x1p-126f));
  const auto normal = hn::IfThenElse(subnormal, hn::Mul(x, hn::Set(df, 0x1p23f)), x);
  // x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
  const auto bits = hn::BitCast(di, normal);
  const auto k = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, 0x3F3504F3)));
  const auto f = hn::Sub(hn::BitCast(df, hn::Sub(bits, hn::ShiftLeft<23>(k))), hn::Set(df, 1.0f));
  const auto n = hn::Sub(hn::ConvertTo(df, k), hn::IfThenElseZero(subnormal, hn::Set(df, 23.0f)));
  const auto p =
      Polynomial(df, f, 0x1.555548p-2f, -0x1.00007p-2f, 0x1.99a54p-3f, -0x1.552f18p-3f,
                 0x1.23036ap-3f, -0x1.01139ap-3f, 0x1.f00196p-4f, -0x1.bae45p-4f, 0x1.a3dd78p-5f);
  return {n, f, hn::Mul(f, f), Fma(f, p, hn::Set(df, -0.5f))};
}

// A logarithm from its value where x is in (0, inf): -inf at 0, inf at inf, NaN below 0.
template <class DF>
HWY_INLINE hn::VFromD<DF> LogOfAny(DF df, hn::VFromD<DF> x, hn::VFromD<DF> finite) {
  const auto positive = hn::IfThenElse(hn::Lt(x, hn::Inf(df)), finite, x);  // inf and NaN stay
  const auto zero = hn::Zero(df);
  return hn::IfThenElse(hn::Gt(x, zero), positive,
                        hn::IfThenElse(hn::Eq(x, zero), hn::Neg(hn::Inf(df)), hn::NaN(df)));
}

// The natural logarithm. Error below 1 ULP. log(0) = -inf, log(inf) = inf, NaN below 0.
template <class DF>
HWY_INLINE hn::VFromD<DF> Log(DF df, hn::VFromD<DF> x) {
  const auto l = SplitLog(df, x);
  const auto tail = Fma(l.f2, l.q, hn::Mul(l.n, hn::Set(df, 0x1.7f7d1cp-20f)));
  return LogOfAny(df, x, Fma(l.n, hn::Set(df, 0x1.62e4p-1f), hn::Add(l.f, tail)));
}

// The logarithm to base 2. Error below 1 ULP, none for powers of 2. Specials as for Log.
template <class DF>
HWY_INLINE hn::VFromD<DF> Log2(DF df, hn::VFromD<DF> x) {
  const auto l = SplitLog(df, x);
  // (f + f^2 q) / ln 2 in two floats: the product with its error, and the rest.
  const auto log2_e = hn::Set(df, 0x1.715476p+0f);
  const auto product = RoundedProduct(l.f, log2_e);
  const auto product_low = Fma(l.f, hn::Set(df, 0x1.4ae0c0p-26f), FmaSub(l.f, log2_e, product));
  const auto low = Fma(hn::Mul(l.f2, l.q), log2_e, product_low);
  const auto sum = hn::Add(l.n, product);
  const auto sum_low = hn::Sub(product, hn::Sub(sum, l.n));
  return LogOfAny(df, x, hn::Add(sum, hn::Add(sum_low, low)));
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

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_MATH_INL_H_
