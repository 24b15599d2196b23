// SPDX-License-Identifier: Apache-2.0
// Elementary functions of contiguous elements in any float storage type, computed in f32.
//
//   using Config = detail::elementary_config<detail::elementary::exp, half, half>;
//   ElementaryKernel<Config>(x, y, n);

#if defined(HALFWAY_SIMD_ELEMENTARY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ELEMENTARY_INL_H_
#undef HALFWAY_SIMD_ELEMENTARY_INL_H_
#else
#define HALFWAY_SIMD_ELEMENTARY_INL_H_
#endif

#include <cstddef>
#include <type_traits>

#include "halfway/simd/elementary_args.h"
#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/gelu-inl.h"
#include "halfway/simd/math-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sine-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 1 / sqrt(x). Error little above 1/2 ULP. 1 / sqrt(-0) = -inf, NaN below 0.
template <class DF>
HWY_INLINE hn::VFromD<DF> Rsqrt(DF df, hn::VFromD<DF> x) {
  // So that the residual below is no subnormal number.
  const auto is_small = hn::Lt(x, hn::Set(df, 0x1p-100f));
  const auto scaled = hn::IfThenElse(is_small, hn::Mul(x, hn::Set(df, 0x1p48f)), x);
  const auto s = hn::Sqrt(scaled);
  const auto one = hn::Set(df, 1.0f);
  const auto y = hn::Div(one, s);
  // With s^2 = x + d and s y = 1 - e: 1 / sqrt(x) = y (1 + e + d y^2 / 2), but for their squares.
  const auto e = NegFma(s, y, one);
  const auto d = FmaSub(s, s, scaled);
  const auto half_y2 = hn::Mul(hn::Mul(y, y), hn::Set(df, 0.5f));
  const auto corrected = Fma(y, Fma(d, half_y2, e), y);
  // NaN where y is 0 or infinite.
  const auto result = hn::IfThenElse(hn::Eq(corrected, corrected), corrected, y);
  return hn::IfThenElse(is_small, hn::Mul(result, hn::Set(df, 0x1p24f)), result);
}

// The error function. Error below 1 ULP.
template <class DF>
HWY_INLINE hn::VFromD<DF> Erf(DF df, hn::VFromD<DF> x) {
  const auto& table = detail::erf_table<5>;
  // From a table; from 3.92 on the result rounds to 1.
  const auto t = AtMost(hn::Abs(x), hn::Set(df, 3.93f));
  const auto tail = LookUpTail(df, t, table);
  const auto large = hn::Add(tail.first, tail.rest);
  // Where x is small, x + x p(x^2) on [0, 0.875], relative error 2^-30.1.
  const auto u = hn::Mul(x, x);
  const auto p = Polynomial(df, u, 0x1.06eba8p-3f, -0x1.812742p-2f, 0x1.ce2e00p-4f, -0x1.b80fd8p-6f,
                            0x1.54e274p-8f, -0x1.ab8e60p-11f, 0x1.624852p-14f);
  const auto small = Fma(x, p, x);
  return hn::IfThenElse(hn::Lt(t, hn::Set(df, 0.875f)), small, hn::CopySign(large, x));
}

// log(1 + e^-t) for t >= 7.8: e^-t (1 - e^-t / 2 + e^-2t / 3); from 104 on it rounds to 0.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarSoftplus(DF df, hn::VFromD<DF> t) {
  const auto one = hn::Set(df, 1.0f);
  const auto e = SplitExp(df, hn::Neg(hn::Min(t, hn::Set(df, 104.0f))));
  const auto high = hn::Add(one, e.p);
  const auto low = hn::Sub(e.p, hn::Sub(high, one));
  const auto power = PowerOf2(df, AtLeast(e.n, hn::Set(df, -126.0f)));
  const auto exp = Fma(power, e.p, power);
  const auto less = hn::Mul(exp, NegFma(exp, hn::Set(df, 0x1.555556p-2f), hn::Set(df, 0.5f)));
  return ScaleByPowerOf2(df, hn::Add(high, NegFma(high, less, low)), e.n);
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). Error below 1 ULP.
template <class DF>
HWY_INLINE hn::VFromD<DF> Softplus(DF df, hn::VFromD<DF> x) {
  const auto& table = detail::softplus_table<5>;
  const auto t = hn::Abs(x);
  const auto tail = LookUpTail(df, t, table);
  const auto base = AtLeast(x, hn::Zero(df));
  // The larger one plus the smaller one, with what rounding takes from the sum (Dekker's
  // Fast2Sum); NaN where x is.
  const auto larger = LargerOrFirst(base, tail.first);
  const auto smaller = hn::Min(tail.first, base);
  const auto sum = hn::Add(larger, smaller);
  const auto sum_low = hn::Sub(smaller, hn::Sub(sum, larger));
  const auto y = hn::Add(sum, hn::Add(sum_low, tail.rest));
  const auto is_far = IsPastTable(df, x, table);
  if (HWY_LIKELY(hn::AllFalse(df, is_far))) return y;
  return hn::IfThenElse(is_far, hn::Add(base, FarSoftplus(df, t)), y);
}

template <detail::elementary kFunction, class DF>
HWY_INLINE hn::VFromD<DF> Evaluate(DF df, hn::VFromD<DF> x) {
  using enum detail::elementary;
  if constexpr (kFunction == exp) return Exp(df, x);
  if constexpr (kFunction == exp2) return Exp2(df, x);
  if constexpr (kFunction == log) return Log(df, x);
  if constexpr (kFunction == log2) return Log2(df, x);
  if constexpr (kFunction == erf) return Erf(df, x);
  if constexpr (kFunction == softplus) return Softplus(df, x);
  if constexpr (kFunction == rsqrt) return Rsqrt(df, x);
  if constexpr (kFunction == reciprocal) return hn::Div(hn::Set(df, 1.0f), x);
  if constexpr (kFunction == sqrt) return hn::Sqrt(x);
  if constexpr (kFunction == sin) return Sin(df, x);
  if constexpr (kFunction == cos) return Cos(df, x);
}

// y, or where x is an exception, what is right there (simd/elementary_args.h).
template <detail::elementary kFunction, class DF>
HWY_INLINE hn::VFromD<DF> Correct(DF df, hn::VFromD<DF> x, hn::VFromD<DF> y) {
  using enum detail::elementary;
  constexpr bool kOdd = kFunction == sin || kFunction == erf;
  constexpr auto kCorrections = detail::corrections_for_half<kFunction>();
  const auto t = kOdd || kFunction == cos ? hn::Abs(x) : x;
  HWY_UNROLL(4)
  for (const detail::correction& c : kCorrections) {
    auto right = hn::Set(df, c.y);
    if constexpr (kOdd) right = hn::Xor(right, hn::Xor(x, t));
    y = hn::IfThenElse(hn::Eq(t, hn::Set(df, c.x)), right, y);
  }
  return y;
}

template <class X, class Y, detail::elementary kFunction>
struct ElementaryOp {
  static constexpr bool kLong = true;

  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    const V y = Evaluate<kFunction>(df, x);
    if constexpr (std::is_same_v<X, Y> && IsFormat<X>(formats::float16{})) {
      return Correct<kFunction>(df, x, y);
    } else {
      return y;
    }
  }
};

// y[i] = f(x[i]).
template <class Config>
void ElementaryKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  using Op = ElementaryOp<typename Config::X, typename Config::Y, Config::function>;
  MapElements(Op(), x, y, n, detail::streams(n * sizeof(*y), x, y));
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ELEMENTARY_INL_H_
