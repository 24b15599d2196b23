// SPDX-License-Identifier: Apache-2.0
// A-priori bounds of what the operations err by, from shapes, types and magnitudes alone.
//
//   double sum = halfway::sum_error_bound(4096, 4096 * 0.5);             // 4096 elements |x| <= 0.5
//   double product = halfway::gemm_error_bound(768, 768 * 2.0 * 0.1,     // sum of |a||b| at most
//                                              {.c = halfway::dtype::bfloat16});
//   bool close = std::abs(c_measured - c_exact) <= product;
//
// Every bound is of the absolute error of one element against the exact result for the operands as
// they are stored, the rounding to the result's type included. None is of first order only, and
// none can be exceeded by any data on any CPU, as long as subnormal numbers are not flushed to zero
// by the caller's own mode: the derivations are in docs/numerics.md. Bounds are monotone in each
// magnitude, so an upper estimate of a magnitude gives an upper bound. Where a result may overflow
// the bound is infinite.
//
// u = 2^-24 throughout, and gamma(n) = n u / (1 - n u) (Higham, Accuracy and Stability of Numerical
// Algorithms, 2002, lemma 3.1): what n roundings can multiply a value by, less 1.
#ifndef HALFWAY_FIDELITY_ERROR_BOUND_H_
#define HALFWAY_FIDELITY_ERROR_BOUND_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/fidelity/rounding_error.h"  // IWYU pragma: export
#include "halfway/simd/sum_order.h"
#include "halfway/types/dtype.h"

namespace halfway {

namespace detail {

// The bound of a result with this error in FP32, stored as `type`.
inline double stored(double magnitude, double error, dtype type) {
  if (type == dtype::float32) return safe(error);  // rounded already
  return safe(error + rounding_error_bound(magnitude + error, type));
}

// Sums whose elements go through d roundings, `steps` of which may round a product that is
// subnormal.
inline double sum_bound(double d, double magnitudes, double steps) {
  const double growth = gamma(d);
  if (may_overflow(magnitudes, 1 + growth)) return std::numeric_limits<double>::infinity();
  return safe(growth * magnitudes + (1 + growth) * steps * float_underflow);
}

// Sum2 and Dot2 of Ogita, Rump and Oishi: errors whose magnitudes add up to gamma(d) of the
// elements' are themselves summed, with two additions for each in the sum, and added in double.
inline double compensated_bound(double d, double magnitudes, double result, double steps) {
  const double growth = gamma(d);
  if (may_overflow(magnitudes, 2 + growth)) return std::numeric_limits<double>::infinity();
  const double error =
      gamma(2 * d + 2) * growth * magnitudes + (1 + growth) * steps * float_underflow;
  return safe(error + 0x1p-53 * (std::min(result, magnitudes) + error));
}

}  // namespace detail

/// halfway::sum of n elements whose magnitudes add up to at most sum_of_magnitudes:
/// gamma(d) sum_of_magnitudes, d = detail::additions(n) (69 for n = 4096, 132 for n = 2^18).
/// Reached to a factor of 1.01. Error: a negative or NaN magnitude.
inline double sum_error_bound(std::size_t n, double sum_of_magnitudes) {
  detail::check_magnitude("halfway::sum_error_bound", "sum_of_magnitudes", sum_of_magnitudes);
  return detail::sum_bound(static_cast<double>(detail::additions(n)), sum_of_magnitudes, 0);
}

/// halfway::dot, the magnitudes being those of the products: one rounding more, and 2^-150 for each
/// product. So too halfway::sum_of_squares. Reached to a factor of 1.02.
inline double dot_error_bound(std::size_t n, double sum_of_magnitudes) {
  detail::check_magnitude("halfway::dot_error_bound", "sum_of_magnitudes", sum_of_magnitudes);
  const double count = static_cast<double>(n);
  return detail::sum_bound(static_cast<double>(detail::additions(n) + (n != 0)), sum_of_magnitudes,
                           count);
}

/// halfway::sum_pairwise: d = 15 + log2(n / 1024) + 6 additions, rounded up.
inline double sum_pairwise_error_bound(std::size_t n, double sum_of_magnitudes) {
  detail::check_magnitude("halfway::sum_pairwise_error_bound", "sum_of_magnitudes",
                          sum_of_magnitudes);
  return detail::sum_bound(static_cast<double>(detail::pairwise_additions(n)), sum_of_magnitudes,
                           0);
}

/// halfway::dot_pairwise.
inline double dot_pairwise_error_bound(std::size_t n, double sum_of_magnitudes) {
  detail::check_magnitude("halfway::dot_pairwise_error_bound", "sum_of_magnitudes",
                          sum_of_magnitudes);
  return detail::sum_bound(static_cast<double>(detail::pairwise_additions(n) + (n != 0)),
                           sum_of_magnitudes, static_cast<double>(n));
}

/// halfway::sum_in_double: gamma with u = 2^-53, d = detail::wide_additions(n). Error: a negative
/// or NaN magnitude.
inline double sum_in_double_error_bound(std::size_t n, double sum_of_magnitudes) {
  detail::check_magnitude("halfway::sum_in_double_error_bound", "sum_of_magnitudes",
                          sum_of_magnitudes);
  return relative_error_bound(detail::wide_additions(n), dtype::float64) * sum_of_magnitudes;
}

/// halfway::dot_in_double: the same, as products of floats are exact in double.
inline double dot_in_double_error_bound(std::size_t n, double sum_of_magnitudes) {
  detail::check_magnitude("halfway::dot_in_double_error_bound", "sum_of_magnitudes",
                          sum_of_magnitudes);
  return sum_in_double_error_bound(n, sum_of_magnitudes);
}

/// halfway::sum_compensated: 2^-53 |sum| + gamma(d) gamma(2 d + 2) sum_of_magnitudes: about the
/// square of the relative error of a plain sum. `result`: the magnitude of the exact sum, where
/// something is known of it. Error: a negative or NaN magnitude.
inline double sum_compensated_error_bound(std::size_t n, double sum_of_magnitudes,
                                          double result = std::numeric_limits<double>::max()) {
  detail::check_magnitude("halfway::sum_compensated_error_bound", "sum_of_magnitudes",
                          sum_of_magnitudes);
  return detail::compensated_bound(static_cast<double>(detail::compensated_additions(n)),
                                   sum_of_magnitudes, result, 0);
}

/// halfway::dot_compensated: the same with one rounding more.
inline double dot_compensated_error_bound(std::size_t n, double sum_of_magnitudes,
                                          double result = std::numeric_limits<double>::max()) {
  detail::check_magnitude("halfway::dot_compensated_error_bound", "sum_of_magnitudes",
                          sum_of_magnitudes);
  return detail::compensated_bound(static_cast<double>(detail::compensated_additions(n) + (n != 0)),
                                   sum_of_magnitudes, result, 2 * static_cast<double>(n));
}

/// What gemm_error_bound has to know besides k and the magnitudes.
struct gemm_error_options {
  dtype a = dtype::float32;  ///< of the left operand
  dtype b = dtype::float32;  ///< of the right operand
  dtype c = dtype::float32;  ///< of the result
  /// The magnitude of alpha, times that of the element's row scale and column scale if there are
  /// any.
  double scale = 1.0;
  /// How many of row_scale and column_scale there are: each adds a rounding.
  int scales = 0;
  /// |beta c| + |bias|.
  double added = 0.0;
  /// a and b were rounded to their types, from values within their range whose products' magnitudes
  /// these are: the bound is of the difference from the product of those values.
  bool rounded_operands = false;
  /// As gemm_options has it: without it, products of bfloat16 may use instructions that take
  /// subnormal numbers as zero.
  bool reproducible = false;
  /// The largest magnitude in a and b, or 0 if neither holds subnormal numbers. Matters only where
  /// those are taken as zero, and with rounded_operands.
  double largest = 0.0;
};

/// halfway::gemm, an element of c = scale * a * b + added, sum_of_magnitudes being the sum over k
/// of
/// |a||b| (at most k times the largest of each):
/// gamma(k + 1 if scale is not 1 + scales + 2 if anything is added) (scale * sum_of_magnitudes +
/// added), what underflows, and the rounding to c's type. Reached to a factor of 1.02, for c in
/// FP32.
///
/// Where a and b are bfloat16 and not `reproducible`: gamma(k + 3 + ...), which covers both x86's
/// dot product instructions, a rounding for each product, and Arm's, which round to odd for each
/// pair; and 2^-125 for each product and 2^-126 `largest` for each operand that is subnormal, as
/// subnormal operands and results are taken as zero.
///
/// Of scales it is assumed that sums times some of them do not underflow. Errors: types that are no
/// float formats with a sign, a negative or NaN magnitude.
inline double gemm_error_bound(std::size_t k, double sum_of_magnitudes,
                               const gemm_error_options& options = {}) {
  constexpr std::string_view where = "halfway::gemm_error_bound";
  detail::check_magnitude(where, "sum_of_magnitudes", sum_of_magnitudes);
  detail::check_magnitude(where, "options.scale", options.scale);
  detail::check_magnitude(where, "options.added", options.added);
  detail::check_magnitude(where, "options.largest", options.largest);
  const auto a = detail::limits_of_rounding(where, options.a);
  const auto b = detail::limits_of_rounding(where, options.b);
  detail::limits_of_rounding(where, options.c);
  const double count = static_cast<double>(k);

  double of_storage = 0;
  if (options.rounded_operands) {
    const double ua = std::ldexp(1.0, -a.digits), ub = std::ldexp(1.0, -b.digits);
    const auto half_a_subnormal = [](detail::rounding_limits l) {
      return std::ldexp(1.0, l.min_exponent - 1 - l.digits);
    };
    // (1 + ua)(1 + ub) - 1, and what is lost where an operand is subnormal.
    const double of_products =
        (ua + ub + ua * ub) * sum_of_magnitudes +
        2 * count * options.largest * (half_a_subnormal(a) + half_a_subnormal(b));
    of_storage = options.scale * of_products;
    sum_of_magnitudes += of_products;
  }

  double roundings = count + (options.scale != 1 || options.scales != 0) + options.scales +
                     (options.added > 0 ? 2 : 0);
  double lost = count * detail::float_underflow;
  const bool flushes =
      options.a == dtype::bfloat16 && options.b == dtype::bfloat16 && !options.reproducible;
  if (flushes && k != 0) {
    roundings += 3;
    lost = count * 0x1p-125 + 2 * count * 0x1p-126 * options.largest;
  }
  const double magnitudes = options.scale * sum_of_magnitudes + options.added;
  const double growth = detail::gamma(roundings);
  if (detail::may_overflow(std::max(magnitudes, sum_of_magnitudes), 1 + growth)) {
    return std::numeric_limits<double>::infinity();
  }
  const double error =
      growth * magnitudes +
      (1 + growth) * (options.scale * lost +
                      (options.scale != 1 || options.added > 0 ? 4 : 0) * detail::float_underflow) +
      of_storage;
  return detail::stored(magnitudes, error, options.c);
}

namespace detail {

// Exponentials of differences err by (2.1 + 0.23 s) u, s the difference, which itself is rounded:
// by s u. For results of at most 11 digits by 8 u more (ExpOfDifferences, simd/math-inl.h).
inline double exponential_roundings(std::string_view where, dtype type) {
  return limits_of_rounding(where, type).digits > 11 ? 2.1 : 10.1;
}
// What is of second order, and exponentials below 2^-126 in a sum that is at least 1.
inline constexpr double second_order = 1.0001;

inline double log_of_count(std::size_t n) { return n == 0 ? 0 : std::log(static_cast<double>(n)); }

}  // namespace detail

/// halfway::softmax, an element of a row of n whose exact value is at most y (1: any element):
/// gamma(c) y, c = 1.23 (ln n - ln y) + d + 7, or 23 where the result has at most 11 digits; the
/// rounding to `type`, and 2^-148. d = detail::additions(n), as in one part.
///
/// It holds whatever the logits are: that an element is y, and that the entropy of n shares is ln n
/// at most, bounds their differences. `largest_logit`: where a scale or a mask is given, which
/// rounds the logits, the largest magnitude of those that are not hidden; adds 2 largest_logit + 1
/// to c. Reached to a factor of 1.3 in FP32. Errors: y outside of [0, 1], a negative magnitude, a
/// type that is no float format with a sign.
inline double softmax_error_bound(std::size_t n, double y = 1.0, dtype type = dtype::float32,
                                  double largest_logit = 0.0) {
  constexpr std::string_view where = "halfway::softmax_error_bound";
  const double exponential = detail::exponential_roundings(where, type);
  detail::check_magnitude(where, "y", y);
  detail::check_magnitude(where, "largest_logit", largest_logit);
  if (y > 1) fail(detail::concat(where, ": y (", y, ") must not be above 1"));
  const double minus_log_y = y > 0 ? -std::log(y) : 0;  // 0 times its logarithm is 0
  double c = 1.23 * (minus_log_y + detail::log_of_count(n)) + 2 * exponential +
             static_cast<double>(detail::additions_in_part(n)) + 2;
  if (largest_logit > 0) c += 2 * largest_logit + 1;
  if (largest_logit > 0x1p22) return 1.0;  // nothing is known but that shares are from 0 to 1
  const double error = std::min(1.0, detail::second_order * detail::gamma(c) * y) + 0x1p-148;
  return detail::stored(y, error, type);
}

/// halfway::log_softmax, an element of a row of n whose exact value has a magnitude of at most y:
/// (2 y + min(ln n, y)) u + gamma(1.23 ln n + d + 3), or + 11 where the result has at most 11
/// digits, and the rounding to `type`. Reached to a factor of 1.3 in FP32. Errors: as above.
inline double log_softmax_error_bound(std::size_t n, double y, dtype type = dtype::float32) {
  constexpr std::string_view where = "halfway::log_softmax_error_bound";
  const double exponential = detail::exponential_roundings(where, type);
  detail::check_magnitude(where, "y", y);
  const double log_n = detail::log_of_count(n);
  if (detail::may_overflow(y, 1.0001)) return std::numeric_limits<double>::infinity();
  const double error =
      detail::second_order * ((2 * y + std::min(log_n, y)) * 0x1p-24 +
                              detail::gamma(1.23 * log_n + exponential +
                                            static_cast<double>(detail::additions_in_part(n))));
  return detail::stored(y, error, type);
}

/// What the bounds of norms have to know besides n and z.
struct norm_error_options {
  double gamma = 1.0;        ///< its magnitude at the element
  double beta = 0.0;         ///< of layernorm
  dtype y = dtype::float32;  ///< the type of the result
  /// |mean| / sqrt(variance + epsilon), of layernorm. Below 2^24 it does not matter.
  double mean = 0.0;
};

/// halfway::layernorm, an element of a row of n whose exact normalized value has a magnitude of at
/// most z (sqrt(n) at most): gamma (rho z + gamma(d + 2) sqrt(1 + m^2) + (2 z + 2 m) u) + u |y|,
/// rho = gamma(d + 4) (1 + m^2 + 2 m sqrt(1 + m^2)) / 2 + 3 u, with d roundings in the moments'
/// sums and m the distance of the value that deviations are taken from to the mean, in deviations:
/// at most 1.01, or what the two passes of mean_variance make sure of; and the rounding to the
/// result's type.
///
/// Assumed: variance + epsilon is at least 2^-100, and the sum of the squared deviations is finite
/// in FP32. An adversary reaches a sixth of it, in FP32. Infinite where nothing can be said: where
/// the mean is so large that m^2 d u passes 0.01. Errors: as above.
inline double layernorm_error_bound(std::size_t n, double z,
                                    const norm_error_options& options = {}) {
  constexpr std::string_view where = "halfway::layernorm_error_bound";
  constexpr double u = 0x1p-24;
  detail::limits_of_rounding(where, options.y);
  detail::check_magnitude(where, "z", z);
  detail::check_magnitude(where, "options.gamma", options.gamma);
  detail::check_magnitude(where, "options.beta", options.beta);
  detail::check_magnitude(where, "options.mean", options.mean);
  // Of sums in 32 lanes, where the moments take two passes, or 64; each term is a product.
  const double d = static_cast<double>(detail::additions_in_part(n, detail::pair_lanes) + 1);
  const double root_n = std::sqrt(static_cast<double>(n));
  // The first pass: the mean of the distances from the first element, which are sqrt(n) + 1 at
  // most.
  const double m = std::max(1.01, 1.01 * (detail::gamma(d + 2) * (root_n + 1) + u * options.mean));
  const double r = std::sqrt(1 + m * m);
  const double of_variance = detail::gamma(d + 4) * (r * r + 2 * m * r);
  if (!(of_variance <= 0.01)) return std::numeric_limits<double>::infinity();
  const double rho = 0.505 * of_variance + 3 * u;
  const double of_z = 1.01 * (rho * z + detail::gamma(d + 2) * r + u * (2 * z + 2 * m));
  const double magnitude = options.gamma * z + options.beta;
  const double error =
      options.gamma * of_z + u * (magnitude + options.gamma * of_z) + 2 * detail::float_underflow;
  return detail::stored(magnitude, error, options.y);
}

/// halfway::rmsnorm, an element of a row of n whose exact normalized value has a magnitude of at
/// most z (sqrt(n) at most): (gamma(d + 2) / 2 + 5 u) gamma z, d = detail::additions(n), as in one
/// part, what underflows, and the rounding to the result's type. Reached to a factor of 1.2 in
/// FP32. Assumed: the mean of the squares + epsilon is at least 2^-100, and the sum of the squares
/// finite in FP32. Errors: as above.
inline double rmsnorm_error_bound(std::size_t n, double z, const norm_error_options& options = {}) {
  constexpr std::string_view where = "halfway::rmsnorm_error_bound";
  detail::limits_of_rounding(where, options.y);
  detail::check_magnitude(where, "z", z);
  detail::check_magnitude(where, "options.gamma", options.gamma);
  const double of_square = detail::gamma(static_cast<double>(detail::additions_in_part(n)) + 2);
  if (!(of_square <= 0.01)) return std::numeric_limits<double>::infinity();
  const double relative = 1.01 * (0.505 * of_square + 5 * 0x1p-24);
  const double magnitude = options.gamma * z;
  return detail::stored(magnitude,
                        relative * magnitude + 2 * (1 + options.gamma) * detail::float_underflow,
                        options.y);
}

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_ERROR_BOUND_H_
