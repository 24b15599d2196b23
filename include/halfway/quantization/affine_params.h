// SPDX-License-Identifier: Apache-2.0
// The two numbers of affine quantization, and how they follow from a range of values.
//
//   const auto p = halfway::choose_affine_params(-1.0f, 3.0f, halfway::dtype::uint8);
//   // x is stored as the integer nearest to x / p.scale, plus p.zero_point; 0 is exact
#ifndef HALFWAY_QUANTIZATION_AFFINE_PARAMS_H_
#define HALFWAY_QUANTIZATION_AFFINE_PARAMS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// real = (code - zero_point) * scale.
struct affine_params {
  float scale = 1.0f;           ///< positive, finite and not subnormal
  std::int32_t zero_point = 0;  ///< the code of 0; a value of the code's type

  /// Of both numbers.
  friend bool operator==(const affine_params&, const affine_params&) = default;
};

/// Where zero lies among the codes.
enum class affine_scheme {
  asymmetric,  ///< the whole range of codes; the zero point is where it has to be
  symmetric,   ///< codes at equal distances to both sides of zero: the zero point is 0, or the
               ///< middle of an unsigned type
};

namespace detail {

struct code_limits {
  std::int32_t lowest;
  std::int32_t largest;
};

inline code_limits limits_of_codes(std::string_view where, dtype type) {
  switch (type) {
    case dtype::int8:
      return {-128, 127};
    case dtype::uint8:
      return {0, 255};
    case dtype::int4:
      return {-8, 7};
    case dtype::uint4:
      return {0, 15};
    default:
      fail(concat(where, ": type (", name(type), ") must be int8, uint8, int4 or uint4"));
  }
}

}  // namespace detail

/// Parameters for values from `min` to `max`.
///
/// The range is first extended to hold zero. Asymmetric: scale = (max - min) / (largest - lowest
/// code), zero_point = round(lowest code - min / scale), ties to even, as in ONNX's
/// DynamicQuantizeLinear. Symmetric: scale = max(|min|, |max|) / 127 (7 with 4 bits), zero_point =
/// 0 (uint8: 128, uint4: 8), so that signed codes stay within ±127, as TensorFlow Lite's
/// specification of 8-bit quantization has it. Computed in double; the scale is rounded to float
/// once. Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient
/// integer-arithmetic-only inference", section 3.
///
/// Then |x - dequantized x| <= (0.5 + 2^-15) * scale for every x from min to max.
///
/// Hard inputs: min == max is a range from zero to that value; a range of nothing but zero has
/// scale 1 and zero point 0 (128, 8 for symmetric unsigned types); a scale below float's smallest
/// normal number becomes that number. Errors: min or max infinite or NaN, min above max, a type
/// that is not int8, uint8, int4 or uint4.
inline affine_params choose_affine_params(float min, float max, dtype type,
                                          affine_scheme scheme = affine_scheme::asymmetric) {
  constexpr std::string_view where = "halfway::choose_affine_params";
  const detail::code_limits codes = detail::limits_of_codes(where, type);
  if (!std::isfinite(min)) fail(detail::concat(where, ": min (", min, ") must be finite"));
  if (!std::isfinite(max)) fail(detail::concat(where, ": max (", max, ") must be finite"));
  if (min > max) fail(detail::concat(where, ": min (", min, ") must not be above max (", max, ")"));
  const double low = std::min(static_cast<double>(min), 0.0);
  const double high = std::max(static_cast<double>(max), 0.0);
  const bool symmetric = scheme == affine_scheme::symmetric;
  const std::int32_t middle = codes.lowest == 0 ? codes.largest / 2 + 1 : 0;
  if (low == high) return {1.0f, symmetric ? middle : 0};

  const double steps = symmetric ? codes.largest - middle : codes.largest - codes.lowest;
  const double extent = symmetric ? std::max(-low, high) : high - low;
  const float scale =
      std::max(static_cast<float>(extent / steps), std::numeric_limits<float>::min());
  if (symmetric) return {scale, middle};
  const double zero = std::nearbyint(codes.lowest - low / static_cast<double>(scale));
  return {scale, static_cast<std::int32_t>(std::clamp<double>(zero, codes.lowest, codes.largest))};
}

/// The same for a C++ type: int8, uint8, int4, uint4, std::int8_t, std::uint8_t.
template <class Code>
affine_params choose_affine_params(float min, float max,
                                   affine_scheme scheme = affine_scheme::asymmetric) {
  return choose_affine_params(min, max, dtype_of<Code>, scheme);
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_AFFINE_PARAMS_H_
