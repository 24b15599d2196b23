// SPDX-License-Identifier: Apache-2.0
// The `<cmath>` functions for small floats, and those of neural networks, found by
// argument-dependent lookup.
//
//   halfway::half x(2.0f);
//   halfway::half y = sqrt(x);   // the nearest half
//
// Correctly rounded, to nearest even, for every value of every format: sqrt, rsqrt, reciprocal,
// exp, exp2, log, log2, sin, cos, tanh, erf, sigmoid, softplus, silu, gelu, gelu_tanh. They are
// computed in double and rounded once; no result lies so near to where rounding changes that an
// error of 2^15 ULP of double would show (tests/types/functions_test.cc measures that, and compares
// all of them with MPFR). abs, copysign, nextafter, fmin, fmax, floor, ceil, trunc, round, rint and
// fmod are exact. The other functions round the double function of the C library once more: within
// 0.5 ULP of the format and 2^-42 of a ULP for each ULP that it errs.
//
// Outside its domain a function is NaN, at a pole infinite: log(0) = -inf, rsqrt(-0) =
// reciprocal(-0) = -inf, log(-1) = sqrt(-1) = sin(inf) = NaN. At the infinities the values are the
// limits: gelu(-inf) = gelu_tanh(-inf) = silu(-inf) = -0. Where the format lacks what a result
// takes (an infinity, a NaN, a sign), it is what the conversion from double makes of it.

#ifndef HALFWAY_TYPES_MATH_H_
#define HALFWAY_TYPES_MATH_H_

#include <cmath>
#include <cstdint>
#include <limits>

#include "halfway/types/minifloat.h"

namespace halfway {

/// Finite, not zero and not subnormal.
template <class F>
constexpr bool isnormal(minifloat<F> x) {
  return isfinite(x) && (x.bits() & detail::layout<F>::magnitude) >=
                            std::numeric_limits<minifloat<F>>::min().bits();
}

/// Clears the sign; a fnuz NaN stays NaN.
template <class F>
constexpr minifloat<F> abs(minifloat<F> x) {
  if constexpr (F::nan == nan_encoding::negative_zero) {
    if (isnan(x)) return x;
  }
  return minifloat<F>::from_bits(
      static_cast<typename F::storage>(x.bits() & detail::layout<F>::magnitude));
}
/// The same as abs.
template <class F>
constexpr minifloat<F> fabs(minifloat<F> x) {
  return abs(x);
}

/// |x| with the sign of `sign`. Where that value does not exist (a negative e8m0, a fnuz -0 or NaN)
/// x or its magnitude stays.
template <class F>
constexpr minifloat<F> copysign(minifloat<F> x, minifloat<F> sign) {
  const minifloat<F> magnitude = abs(x);
  return F::is_signed && signbit(sign) ? -magnitude : magnitude;
}

/// The next representable value from `from` in the direction of `to`; `to` where they are equal;
/// NaN where either is NaN.
template <class F>
constexpr minifloat<F> nextafter(minifloat<F> from, minifloat<F> to) {
  using L = detail::layout<F>;
  if (isnan(from)) return from;
  if (isnan(to) || from == to) return to;
  const std::uint32_t bits = from.bits();
  const std::uint32_t magnitude = bits & L::magnitude;
  if (L::has_zero && magnitude == 0) {
    return minifloat<F>::from_bits(static_cast<typename F::storage>(from < to ? 1u : L::sign | 1u));
  }
  const bool grows = (from < to) != signbit(from);
  const std::uint32_t next = grows ? bits + 1 : bits - 1;
  const bool no_such_zero = F::nan == nan_encoding::negative_zero && next == L::sign;
  return minifloat<F>::from_bits(static_cast<typename F::storage>(no_such_zero ? 0u : next));
}

/// The smaller, -0 below +0; the other one where one is NaN.
template <class F>
constexpr minifloat<F> fmin(minifloat<F> a, minifloat<F> b) {
  if (isnan(a)) return b;
  if (isnan(b)) return a;
  return a < b || (a == b && signbit(a)) ? a : b;
}
/// The larger, +0 above -0; the other one where one is NaN.
template <class F>
constexpr minifloat<F> fmax(minifloat<F> a, minifloat<F> b) {
  if (isnan(a)) return b;
  if (isnan(b)) return a;
  return a > b || (a == b && signbit(b)) ? a : b;
}

namespace detail {

inline double sigmoid_of(double x) { return 1.0 / (1.0 + std::exp(-x)); }

inline double softplus_of(double x) {
  return x > 0.0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

// x s(x), given s(x) in (0, 1) that falls off on the left and is 1/2 + c x + ... at 0, c > 0.
inline double times_step(double x, double s) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (x == -infinity) return -0.0;
  // A little above x / 2, which rounding sees where x / 2 is half-way between two subnormal
  // numbers.
  if (std::abs(x) < 0x1p-45) return std::nextafter(0.5 * x, x == 0.0 ? 0.5 * x : infinity);
  return x * s;
}
inline double silu_of(double x) { return times_step(x, sigmoid_of(x)); }
inline double gelu_of(double x) {
  return times_step(x, 0.5 * std::erfc(x * -0.70710678118654752440));
}
inline double gelu_tanh_of(double x) {
  return times_step(x, sigmoid_of(x * (1.5957691216057307118 + 0.071354816272600248776 * x * x)));
}

}  // namespace detail

// clang-format off
/// The square root, correctly rounded; NaN below zero.
template <class F> minifloat<F> sqrt(minifloat<F> x) { return minifloat<F>(std::sqrt(static_cast<double>(x))); }
/// As its namesake in `<cmath>`, exact. `round` takes ties away from zero; `rint` rounds in the
/// processor's mode, to nearest even by default.
/// @{
template <class F> minifloat<F> floor(minifloat<F> x) { return minifloat<F>(std::floor(static_cast<double>(x))); }
template <class F> minifloat<F> ceil(minifloat<F> x) { return minifloat<F>(std::ceil(static_cast<double>(x))); }
template <class F> minifloat<F> trunc(minifloat<F> x) { return minifloat<F>(std::trunc(static_cast<double>(x))); }
template <class F> minifloat<F> round(minifloat<F> x) { return minifloat<F>(std::round(static_cast<double>(x))); }
template <class F> minifloat<F> rint(minifloat<F> x) { return minifloat<F>(std::rint(static_cast<double>(x))); }
template <class F> minifloat<F> fmod(minifloat<F> x, minifloat<F> y) { return minifloat<F>(std::fmod(static_cast<double>(x), static_cast<double>(y))); }
/// @}

/// As its namesake in `<cmath>`; rsqrt(x) = 1 / sqrt(x) and reciprocal(x) = 1 / x. Correctly
/// rounded for every value of every format: rsqrt, reciprocal, exp, exp2, log, log2, sin, cos,
/// tanh, erf. The others are the C library's double rounded once more: within 0.5 ULP of the
/// format, and 2^-42 of a ULP for each ULP that the double errs.
/// @{
template <class F> minifloat<F> rsqrt(minifloat<F> x) { return minifloat<F>(1.0 / std::sqrt(static_cast<double>(x))); }
template <class F> minifloat<F> reciprocal(minifloat<F> x) { return minifloat<F>(1.0 / static_cast<double>(x)); }
template <class F> minifloat<F> exp(minifloat<F> x) { return minifloat<F>(std::exp(static_cast<double>(x))); }
template <class F> minifloat<F> exp2(minifloat<F> x) { return minifloat<F>(std::exp2(static_cast<double>(x))); }
template <class F> minifloat<F> expm1(minifloat<F> x) { return minifloat<F>(std::expm1(static_cast<double>(x))); }
template <class F> minifloat<F> log(minifloat<F> x) { return minifloat<F>(std::log(static_cast<double>(x))); }
template <class F> minifloat<F> log1p(minifloat<F> x) { return minifloat<F>(std::log1p(static_cast<double>(x))); }
template <class F> minifloat<F> log2(minifloat<F> x) { return minifloat<F>(std::log2(static_cast<double>(x))); }
template <class F> minifloat<F> log10(minifloat<F> x) { return minifloat<F>(std::log10(static_cast<double>(x))); }
template <class F> minifloat<F> sin(minifloat<F> x) { return minifloat<F>(std::sin(static_cast<double>(x))); }
template <class F> minifloat<F> cos(minifloat<F> x) { return minifloat<F>(std::cos(static_cast<double>(x))); }
template <class F> minifloat<F> tan(minifloat<F> x) { return minifloat<F>(std::tan(static_cast<double>(x))); }
template <class F> minifloat<F> asin(minifloat<F> x) { return minifloat<F>(std::asin(static_cast<double>(x))); }
template <class F> minifloat<F> acos(minifloat<F> x) { return minifloat<F>(std::acos(static_cast<double>(x))); }
template <class F> minifloat<F> atan(minifloat<F> x) { return minifloat<F>(std::atan(static_cast<double>(x))); }
template <class F> minifloat<F> sinh(minifloat<F> x) { return minifloat<F>(std::sinh(static_cast<double>(x))); }
template <class F> minifloat<F> cosh(minifloat<F> x) { return minifloat<F>(std::cosh(static_cast<double>(x))); }
template <class F> minifloat<F> tanh(minifloat<F> x) { return minifloat<F>(std::tanh(static_cast<double>(x))); }
template <class F> minifloat<F> erf(minifloat<F> x) { return minifloat<F>(std::erf(static_cast<double>(x))); }
template <class F> minifloat<F> pow(minifloat<F> x, minifloat<F> y) { return minifloat<F>(std::pow(static_cast<double>(x), static_cast<double>(y))); }
/// @}

/// 1 / (1 + e^-x).
template <class F> minifloat<F> sigmoid(minifloat<F> x) { return minifloat<F>(detail::sigmoid_of(static_cast<double>(x))); }
/// log(1 + e^x).
template <class F> minifloat<F> softplus(minifloat<F> x) { return minifloat<F>(detail::softplus_of(static_cast<double>(x))); }
/// x / (1 + e^-x), also called swish.
template <class F> minifloat<F> silu(minifloat<F> x) { return minifloat<F>(detail::silu_of(static_cast<double>(x))); }
/// x Phi(x), Phi the distribution function of the standard normal distribution: the exact ("erf")
/// form.
template <class F> minifloat<F> gelu(minifloat<F> x) { return minifloat<F>(detail::gelu_of(static_cast<double>(x))); }
/// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
template <class F> minifloat<F> gelu_tanh(minifloat<F> x) { return minifloat<F>(detail::gelu_tanh_of(static_cast<double>(x))); }
// clang-format on

}  // namespace halfway

#endif  // HALFWAY_TYPES_MATH_H_
