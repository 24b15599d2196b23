// SPDX-License-Identifier: Apache-2.0
// Whether what a model sees or says still comes from the distribution that it came from.
//
//   halfway::drift_detector drift(amax_of_validation, 200, 0.01);   // windows of 200, 1 % for ever
//   for (const double amax : served) {
//     drift.add(amax);
//     if (drift.drifted()) raise("inputs are no longer those of the validation");
//   }
#ifndef HALFWAY_FIDELITY_DRIFT_H_
#define HALFWAY_FIDELITY_DRIFT_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"

namespace halfway {

/// What a test for one distribution says of two samples.
struct two_sample_test {
  /// The largest distance between the two empirical distribution functions, from 0 to 1.
  double statistic = 0;
  /// How often two samples of one distribution are this far apart or further.
  double p_value = 1;
};

namespace detail {

// P(|i / m - j / n| >= distance / (m n) somewhere along a path), of all paths from (0, 0) to (m, n)
// one step at a time, each as likely. A recursion over the last step (Hodges, "The significance
// probability of the Smirnov two-sample test", 1958), in probabilities, all of them positive: a
// relative error of at most (m + n) 2^-51.
inline double smirnov_p_value(std::size_t m, std::size_t n, std::uint64_t distance) {
  const auto far = [&](std::size_t i, std::size_t j) {
    const std::uint64_t a = std::uint64_t{i} * n, b = std::uint64_t{j} * m;
    return (a > b ? a - b : b - a) >= distance;
  };
  std::vector<double> row(n + 1);
  for (std::size_t i = 0; i <= m; ++i) {
    for (std::size_t j = 0; j <= n; ++j) {
      if (far(i, j)) {
        row[j] = 1;
        continue;
      }
      const double steps = static_cast<double>(i + j);
      const double from_x = i == 0 ? 0 : static_cast<double>(i) / steps * row[j];
      row[j] = from_x + (j == 0 ? 0 : static_cast<double>(j) / steps * row[j - 1]);
    }
  }
  return row[n];
}

inline void check_sample(std::string_view where, std::string_view name,
                         const std::vector<double>& x) {
  if (x.empty() || x.size() > 0xFFFFFFFF) [[unlikely]]
    fail(concat(where, ": ", name, ".size() (", x.size(), ") must be from 1 to 2^32 - 1"));
  for (std::size_t i = 0; i != x.size(); ++i) {
    if (std::isnan(x[i])) [[unlikely]]
      fail(concat(where, ": ", name, "[", i, "] (nan) must be a number"));
  }
}

// Both ascending.
inline two_sample_test smirnov_test(const std::vector<double>& x, const std::vector<double>& y) {
  const std::size_t m = x.size(), n = y.size();
  std::uint64_t distance = 0;  // times m n: an integer
  for (std::size_t i = 0, j = 0; i != m && j != n;) {
    const double at = std::min(x[i], y[j]);
    while (i != m && x[i] == at) ++i;
    while (j != n && y[j] == at) ++j;
    const std::uint64_t a = std::uint64_t{i} * n, b = std::uint64_t{j} * m;
    distance = std::max(distance, a > b ? a - b : b - a);
  }
  return {static_cast<double>(distance) / (static_cast<double>(m) * static_cast<double>(n)),
          smirnov_p_value(m, n, distance)};
}

}  // namespace detail

/// The two-sample test of Kolmogorov and Smirnov, with the exact p-value for samples of continuous
/// distributions; where values are equal it is an upper bound. Infinities are values as others.
/// Time m n. Errors: an empty sample, NaN.
inline two_sample_test kolmogorov_smirnov_test(std::vector<double> x, std::vector<double> y) {
  constexpr std::string_view where = "halfway::kolmogorov_smirnov_test";
  detail::check_sample(where, "x", x);
  detail::check_sample(where, "y", y);
  std::ranges::sort(x);
  std::ranges::sort(y);
  return detail::smirnov_test(x, y);
}

/// Compares each `window` values of a stream with a reference sample. Of a stream that does not
/// drift, however long, the probability that drifted() is ever true is at most `false_alarms`:
/// window k is tested at false_alarms / (k (k + 1)), which add up to false_alarms (Bonferroni's
/// inequality, which holds although all windows share the reference). Values must be independent
/// within a window; those of a stream that are not (consecutive frames, say) are to be thinned out
/// first.
///
/// What is detected: a shift of the distribution by D in the statistic from about
/// sqrt(-ln(level / 2) / 2 * (1 / reference + 1 / window)) on, which grows with ln(k) only.
///
/// NaN counts as the largest value: a stream that begins to hold it drifts. A value type; not for
/// several threads at once.
class drift_detector {
 public:
  /// Errors: an empty reference or NaN in it, a window of 0, false_alarms outside (0, 1).
  drift_detector(std::vector<double> reference, std::size_t window, double false_alarms)
      : reference_(std::move(reference)), window_(window), false_alarms_(false_alarms) {
    constexpr std::string_view where = "halfway::drift_detector";
    detail::check_sample(where, "reference", reference_);
    if (window == 0 || window > 0xFFFFFFFF) [[unlikely]]
      fail(detail::concat(where, ": window (", window, ") must be from 1 to 2^32 - 1"));
    if (!(false_alarms > 0 && false_alarms < 1)) [[unlikely]]
      fail(detail::concat(where, ": false_alarms (", false_alarms, ") must be within (0, 1)"));
    std::ranges::sort(reference_);
    current_.reserve(window);
  }

  /// Takes in a value; every `window` of them are tested: time reference * window.
  void add(double value) {
    current_.push_back(std::isnan(value) ? std::numeric_limits<double>::infinity() : value);
    if (current_.size() != window_) return;
    std::ranges::sort(current_);
    last_ = detail::smirnov_test(reference_, current_);
    current_.clear();
    ++windows_;
    if (!drifted_at_ && last_.p_value <= level(windows_)) drifted_at_ = windows_;
  }

  /// Whether any window so far was too far from the reference.
  bool drifted() const { return drifted_at_.has_value(); }
  /// Which, from 1 on.
  std::optional<std::size_t> drifted_at() const { return drifted_at_; }
  /// Windows tested.
  std::size_t windows() const { return windows_; }
  /// The last of them.
  const two_sample_test& last() const { return last_; }
  /// The p-value from which down window k, from 1 on, counts as drifted.
  double level(std::size_t k) const {
    const double d = static_cast<double>(k);
    return false_alarms_ / (d * (d + 1));
  }

 private:
  std::vector<double> reference_, current_;
  std::size_t window_;
  double false_alarms_;
  std::size_t windows_ = 0;
  two_sample_test last_;
  std::optional<std::size_t> drifted_at_;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_DRIFT_H_
