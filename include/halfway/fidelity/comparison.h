// SPDX-License-Identifier: Apache-2.0
// How far a candidate's values are from a baseline's: errors, SQNR, cosine, ULPs, chunk by chunk.
//
//   halfway::comparison c(halfway::dtype::bfloat16);
//   for (const auto& batch : batches) c.add(in_float32(batch), in_bfloat16(batch));
//   c.merge(of_another_thread);
//   const bool good = c.broken() == 0 && c.sqnr_db() >= 40;
#ifndef HALFWAY_FIDELITY_COMPARISON_H_
#define HALFWAY_FIDELITY_COMPARISON_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/fidelity/confidence.h"
#include "halfway/fidelity/rounding_error.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// Pairs of a baseline's value b and a candidate's value c, of which only sums and maxima are kept,
/// in double: of n pairs of floats the sums have a relative error of at most n 2^-52.
///
/// Pairs in which a value is infinite or NaN are counted and left out of every figure:
///
///   broken()   the candidate's is, the baseline's is not: never right, so ask for 0 of them first
///   excluded() the baseline's is: nothing to compare with
/// Of nothing to compare, count() == 0, every figure is NaN, and so fails whatever it must reach.
///
/// The same chunks in the same order give the same figures; merging differs from adding by rounding
/// only, and not at all in counts and maxima. A value type; not for several threads at once (give
/// each its own, then merge).
class comparison {
 public:
  /// `ulp_type`: the type whose units in the last place max_ulps() counts, as a rule the
  /// candidate's. Error: no float format with a sign and at most 24 digits.
  explicit comparison(dtype ulp_type = dtype::float32) : ulp_type_(ulp_type) {
    constexpr std::string_view where = "halfway::comparison";
    const auto limits = detail::limits_of_rounding(where, ulp_type);
    if (limits.digits > 24) [[unlikely]] {
      fail(detail::concat(where, ": ulp_type (", name(ulp_type), ") must be float32 or narrower"));
    }
    min_exponent_ = limits.min_exponent - 1;
    mantissa_bits_ = limits.digits - 1;
  }

  /// Takes in contiguous ranges of any float formats, element i of one against element i of the
  /// other. Errors: sizes that differ, null with a size.
  template <float_storage_vector Baseline, float_storage_vector Candidate>
  void add(const Baseline& baseline, const Candidate& candidate) {
    constexpr std::string_view where = "halfway::comparison::add";
    const auto b = detail::input_span(where, "baseline", baseline);
    const auto c = detail::input_span(where, "candidate", candidate);
    detail::check_same_size(where, "candidate", c, "baseline", b);
    for (std::size_t i = 0; i != b.size(); ++i) {
      add_pair(static_cast<float>(b[i]), static_cast<float>(c[i]));
    }
  }

  /// As if this had seen all that the other has. Error: other units in the last place.
  void merge(const comparison& other) {
    if (ulp_type_ != other.ulp_type_) [[unlikely]] {
      fail(detail::concat("halfway::comparison::merge: other.ulp_type (", name(other.ulp_type_),
                          ") must equal ulp_type (", name(ulp_type_), ")"));
    }
    count_ += other.count_;
    broken_ += other.broken_;
    excluded_ += other.excluded_;
    max_error_ = std::max(max_error_, other.max_error_);
    max_relative_ = std::max(max_relative_, other.max_relative_);
    max_ulps_ = std::max(max_ulps_, other.max_ulps_);
    errors_ += other.errors_;
    squared_errors_ += other.squared_errors_;
    fourth_powers_ += other.fourth_powers_;
    baseline_squares_ += other.baseline_squares_;
    candidate_squares_ += other.candidate_squares_;
    products_ += other.products_;
  }

  /// Pairs compared.
  std::size_t count() const { return count_; }
  /// Pairs in which the candidate alone is infinite or NaN.
  std::size_t broken() const { return broken_; }
  /// Pairs in which the baseline is infinite or NaN.
  std::size_t excluded() const { return excluded_; }
  dtype ulp_type() const { return ulp_type_; }  ///< whose units max_ulps() counts

  /// The largest |c - b|.
  double max_absolute_error() const { return figure(max_error_); }
  /// The largest |c - b| / |b| where b is not 0; 0 if all are.
  double max_relative_error() const { return figure(max_relative_); }
  /// The largest |c - b| in units in the last place of ulp_type at b, subnormal numbers' below the
  /// smallest normal one. For b of that type too, c is one of the b's neighbours at 1.
  double max_ulps() const { return figure(max_ulps_); }
  /// The mean of c - b: what a sum of many values drifts by.
  double mean_error() const { return figure(errors_ / static_cast<double>(count_)); }
  /// The root of the mean (c - b)^2.
  double rmse() const { return figure(std::sqrt(squared_errors_ / static_cast<double>(count_))); }

  /// Of the mean error, and of the RMSE, of all pairs that are like these and independent of each
  /// other: as mean_interval, of the errors and of their squares. NaN for fewer than 2 pairs.
  /// Error: a confidence outside (0, 1).
  confidence_interval mean_error_interval(double confidence = 0.95) const {
    return detail::mean_interval_of_sums(count_, errors_, squared_errors_, confidence);
  }
  /// As mean_error_interval(), of the RMSE: the roots of the ends for the mean square.
  confidence_interval rmse_interval(double confidence = 0.95) const {
    const auto [low, high] =
        detail::mean_interval_of_sums(count_, squared_errors_, fourth_powers_, confidence);
    return {low < 0 ? 0 : std::sqrt(low), std::sqrt(high)};
  }

  /// Signal to quantization noise, 10 log10(sum b^2 / sum (c - b)^2), in decibels. Infinite where
  /// nothing differs, -infinite where the baseline is 0 throughout and the candidate is not.
  double sqnr_db() const {
    if (squared_errors_ == 0) return figure(std::numeric_limits<double>::infinity());
    return figure(10 * (std::log10(baseline_squares_) - std::log10(squared_errors_)));
  }

  /// sum b c / sqrt(sum b^2 sum c^2), from -1 to 1. 1 where both are 0 throughout, 0 where one is.
  double cosine() const {
    if (baseline_squares_ == 0 || candidate_squares_ == 0) {
      return figure(baseline_squares_ == candidate_squares_ ? 1 : 0);
    }
    const double c = products_ / (std::sqrt(baseline_squares_) * std::sqrt(candidate_squares_));
    return figure(std::clamp(c, -1.0, 1.0));
  }

 private:
  double figure(double value) const {
    return count_ == 0 ? std::numeric_limits<double>::quiet_NaN() : value;
  }

  void add_pair(float baseline, float candidate) {
    if (!std::isfinite(baseline)) {
      ++excluded_;
      return;
    }
    if (!std::isfinite(candidate)) {
      ++broken_;
      return;
    }
    const double b = static_cast<double>(baseline), c = static_cast<double>(candidate);
    const double e = c - b, magnitude = std::abs(e);
    ++count_;
    errors_ += e;
    squared_errors_ += e * e;
    fourth_powers_ += e * e * e * e;
    baseline_squares_ += b * b;
    candidate_squares_ += c * c;
    products_ += b * c;
    max_error_ = std::max(max_error_, magnitude);
    if (b != 0) max_relative_ = std::max(max_relative_, magnitude / std::abs(b));
    // 1 / ulp as a double, from its exponent: subnormal floats are normal doubles.
    const auto field = static_cast<int>(std::bit_cast<std::uint64_t>(b) >> 52 & 0x7FF);
    const int exponent = std::max(field - 1023, min_exponent_) - mantissa_bits_;
    const double per_ulp = std::bit_cast<double>(static_cast<std::uint64_t>(1023 - exponent) << 52);
    max_ulps_ = std::max(max_ulps_, magnitude * per_ulp);
  }

  dtype ulp_type_;
  int min_exponent_ = 0;
  int mantissa_bits_ = 0;
  std::size_t count_ = 0, broken_ = 0, excluded_ = 0;
  double max_error_ = 0, max_relative_ = 0, max_ulps_ = 0;
  double errors_ = 0, squared_errors_ = 0, fourth_powers_ = 0;
  double baseline_squares_ = 0, candidate_squares_ = 0, products_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_COMPARISON_H_
