// SPDX-License-Identifier: Apache-2.0
// What one rounding, or a number of them, errs by: what every other error bound is made of.
//
//   double stored = halfway::rounding_error_bound(3.0, halfway::dtype::bfloat16);
//   double gamma_100 = halfway::relative_error_bound(100);
#ifndef HALFWAY_FIDELITY_ROUNDING_ERROR_H_
#define HALFWAY_FIDELITY_ROUNDING_ERROR_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"
#include "halfway/types/float4.h"
#include "halfway/types/float6.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "halfway/types/limits.h"

namespace halfway {

namespace detail {

struct rounding_limits {
  int digits;
  int min_exponent;  // of std::numeric_limits: 2^(min_exponent - 1) is the smallest normal number
};
template <class T>
constexpr rounding_limits rounding_limits_of() {
  return {std::numeric_limits<T>::digits, std::numeric_limits<T>::min_exponent};
}
inline rounding_limits limits_of_rounding(std::string_view where, dtype type) {
  switch (type) {
    case dtype::float64:
      return rounding_limits_of<double>();
    case dtype::float32:
      return rounding_limits_of<float>();
    case dtype::float16:
      return rounding_limits_of<half>();
    case dtype::bfloat16:
      return rounding_limits_of<bfloat16>();
    case dtype::float8_e4m3fn:
      return rounding_limits_of<float8_e4m3fn>();
    case dtype::float8_e5m2:
      return rounding_limits_of<float8_e5m2>();
    case dtype::float8_e4m3fnuz:
      return rounding_limits_of<float8_e4m3fnuz>();
    case dtype::float8_e5m2fnuz:
      return rounding_limits_of<float8_e5m2fnuz>();
    case dtype::float6_e2m3fn:
      return rounding_limits_of<float6_e2m3fn>();
    case dtype::float6_e3m2fn:
      return rounding_limits_of<float6_e3m2fn>();
    case dtype::float4_e2m1fn:
      return rounding_limits_of<float4_e2m1fn>();
    default:
      fail(concat(where, ": type (", name(type), ") must be a float format with a sign"));
  }
}

// Half the smallest subnormal number of float: what a result below 2^-126 is rounded by at most.
inline constexpr double float_underflow = 0x1p-150;

// Takes in that bounds themselves are computed with rounding, in double.
inline double safe(double bound) { return bound * (1 + 0x1p-40); }

inline double gamma(double n) {
  constexpr double u = 0x1p-24;
  return n * u < 1 ? n * u / (1 - n * u) : std::numeric_limits<double>::infinity();
}

// With `growth` the largest factor between a sum of magnitudes and any partial result.
inline bool may_overflow(double magnitudes, double growth) {
  return !(magnitudes * growth <= max_finite(dtype::float32));
}

inline void check_magnitude(std::string_view where, std::string_view name, double magnitude) {
  if (!(magnitude >= 0)) [[unlikely]]
    fail(concat(where, ": ", name, " (", magnitude, ") must not be negative"));
}

}  // namespace detail

/// gamma(n) with the unit roundoff of `type`: the relative error that n roundings to it can add up
/// to; infinite from n u = 1 on. Error: no float format with a sign.
inline double relative_error_bound(std::size_t n, dtype type = dtype::float32) {
  const auto limits = detail::limits_of_rounding("halfway::relative_error_bound", type);
  const double nu = static_cast<double>(n) * std::ldexp(1.0, -limits.digits);
  return nu < 1 ? detail::safe(nu / (1 - nu)) : std::numeric_limits<double>::infinity();
}

/// What rounding a value of at most this magnitude to `type` errs by: u |x|, or half the distance
/// of subnormal numbers; infinite where the value may be past the range. Also what storing operands
/// costs: with x rounded to bfloat16 first, a sum errs by sum_error_bound and the sum of these.
/// Errors: no float format with a sign, a negative or NaN magnitude.
inline double rounding_error_bound(double magnitude, dtype type) {
  constexpr std::string_view where = "halfway::rounding_error_bound";
  const auto limits = detail::limits_of_rounding(where, type);
  detail::check_magnitude(where, "magnitude", magnitude);
  if (magnitude > max_finite(type)) return std::numeric_limits<double>::infinity();
  return detail::safe(std::max(std::ldexp(magnitude, -limits.digits),
                               std::ldexp(1.0, limits.min_exponent - 1 - limits.digits)));
}

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_ROUNDING_ERROR_H_
