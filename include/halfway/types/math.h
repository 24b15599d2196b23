// SPDX-License-Identifier: Apache-2.0
// The <cmath> functions for small floats, found by argument-dependent lookup.
//
//   halfway::half x(2.0f);
//   halfway::half y = sqrt(x);   // nearest half
//
// abs, copysign, nextafter, fmin, fmax, floor, ceil, trunc, round, rint, fmod and sqrt are exact or
// correctly rounded. The transcendental functions round the float function of the C++ library once
// more: within 0.5 ULP of the format plus what that function errs in float (for half 2^-13 ULP per
// float ULP, for bfloat16 2^-16), so the result is one of the two neighbours and nearly always the
// nearest.

#ifndef HALFWAY_TYPES_MATH_H_
#define HALFWAY_TYPES_MATH_H_

#include <cmath>
#include <cstdint>
#include <limits>

#include "halfway/types/minifloat.h"

namespace halfway {

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

// clang-format off
template <class F> minifloat<F> sqrt(minifloat<F> x) { return minifloat<F>(std::sqrt(static_cast<float>(x))); }
template <class F> minifloat<F> floor(minifloat<F> x) { return minifloat<F>(std::floor(static_cast<float>(x))); }
template <class F> minifloat<F> ceil(minifloat<F> x) { return minifloat<F>(std::ceil(static_cast<float>(x))); }
template <class F> minifloat<F> trunc(minifloat<F> x) { return minifloat<F>(std::trunc(static_cast<float>(x))); }
template <class F> minifloat<F> round(minifloat<F> x) { return minifloat<F>(std::round(static_cast<float>(x))); }
template <class F> minifloat<F> rint(minifloat<F> x) { return minifloat<F>(std::rint(static_cast<float>(x))); }
template <class F> minifloat<F> fmod(minifloat<F> x, minifloat<F> y) { return minifloat<F>(std::fmod(static_cast<float>(x), static_cast<float>(y))); }

template <class F> minifloat<F> exp(minifloat<F> x) { return minifloat<F>(std::exp(static_cast<float>(x))); }
template <class F> minifloat<F> exp2(minifloat<F> x) { return minifloat<F>(std::exp2(static_cast<float>(x))); }
template <class F> minifloat<F> expm1(minifloat<F> x) { return minifloat<F>(std::expm1(static_cast<float>(x))); }
template <class F> minifloat<F> log(minifloat<F> x) { return minifloat<F>(std::log(static_cast<float>(x))); }
template <class F> minifloat<F> log1p(minifloat<F> x) { return minifloat<F>(std::log1p(static_cast<float>(x))); }
template <class F> minifloat<F> log2(minifloat<F> x) { return minifloat<F>(std::log2(static_cast<float>(x))); }
template <class F> minifloat<F> log10(minifloat<F> x) { return minifloat<F>(std::log10(static_cast<float>(x))); }
template <class F> minifloat<F> sin(minifloat<F> x) { return minifloat<F>(std::sin(static_cast<float>(x))); }
template <class F> minifloat<F> cos(minifloat<F> x) { return minifloat<F>(std::cos(static_cast<float>(x))); }
template <class F> minifloat<F> tan(minifloat<F> x) { return minifloat<F>(std::tan(static_cast<float>(x))); }
template <class F> minifloat<F> asin(minifloat<F> x) { return minifloat<F>(std::asin(static_cast<float>(x))); }
template <class F> minifloat<F> acos(minifloat<F> x) { return minifloat<F>(std::acos(static_cast<float>(x))); }
template <class F> minifloat<F> atan(minifloat<F> x) { return minifloat<F>(std::atan(static_cast<float>(x))); }
template <class F> minifloat<F> sinh(minifloat<F> x) { return minifloat<F>(std::sinh(static_cast<float>(x))); }
template <class F> minifloat<F> cosh(minifloat<F> x) { return minifloat<F>(std::cosh(static_cast<float>(x))); }
template <class F> minifloat<F> tanh(minifloat<F> x) { return minifloat<F>(std::tanh(static_cast<float>(x))); }
template <class F> minifloat<F> erf(minifloat<F> x) { return minifloat<F>(std::erf(static_cast<float>(x))); }
template <class F> minifloat<F> pow(minifloat<F> x, minifloat<F> y) { return minifloat<F>(std::pow(static_cast<float>(x), static_cast<float>(y))); }
// clang-format on

}  // namespace halfway

#endif  // HALFWAY_TYPES_MATH_H_
