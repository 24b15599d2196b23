// SPDX-License-Identifier: Apache-2.0
// How far a share or a mean of what was seen may be from that of what was not.
//
//   const auto [low, high] = halfway::wilson_interval(993, 1000);       // 0.985 to 0.997
//   halfway::sample_mean kl;
//   for (const double x : of_rows) kl.add(x);
//   const bool proven = kl.interval(0.99).high <= 1e-3;
#ifndef HALFWAY_FIDELITY_CONFIDENCE_H_
#define HALFWAY_FIDELITY_CONFIDENCE_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>

#include "halfway/core/error.h"

namespace halfway {

/// From low to high, both included. NaN where nothing is known, which fails every gate.
struct confidence_interval {
  double low = std::numeric_limits<double>::quiet_NaN();   ///< NaN: nothing is known
  double high = std::numeric_limits<double>::quiet_NaN();  ///< not less than low
};

namespace detail {

inline void check_confidence(std::string_view where, double confidence) {
  if (!(confidence > 0 && confidence < 1)) [[unlikely]]
    fail(concat(where, ": confidence (", confidence, ") must be within (0, 1)"));
}

// Where a decreasing function reaches `value`, to the last bits: halves [low, high] until no double
// is between.
template <class Function>
double where_decreasing(const Function& f, double value, double low, double high) {
  for (;;) {
    const double middle = low + (high - low) / 2;
    if (!(middle > low && middle < high)) return middle;
    (f(middle) > value ? low : high) = middle;
  }
}

// z with a share `tail` <= 1/2 of the normal distribution above it.
inline double normal_quantile(double tail) {
  return where_decreasing([](double z) { return std::erfc(z / std::sqrt(2.0)) / 2; }, tail, 0, 40);
}

// The continued fraction of the regularized incomplete beta function I_x(a, b) (DLMF 8.17.22), by
// Lentz's algorithm (Thompson and Barnett, 1986). It converges fast for x up to
// (a + 1) / (a + b + 2).
inline double incomplete_beta_fraction(double a, double b, double x) {
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x)) /
                       a;
  constexpr double tiny = 1e-300;
  const auto away_from_0 = [](double v) { return std::abs(v) < tiny ? tiny : v; };
  double c = 1, d = 1 / away_from_0(1 - (a + b) * x / (a + 1)), f = d;
  for (double m = 1; m <= 10000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_0(1 + even * d);
    c = away_from_0(1 + even / c);
    f *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_0(1 + odd * d);
    c = away_from_0(1 + odd / c);
    f *= d * c;
    if (std::abs(d * c - 1) < 0x1p-52) break;
  }
  return front * f;
}

// The share of Student's distribution above t: I_x(freedom / 2, 1/2) / 2,
// x = freedom / (freedom + t^2).
inline double student_tail(double t, double freedom) {
  const double a = freedom / 2, b = 0.5, sum = freedom + t * t;
  const double x = freedom / sum;
  if (x <= (a + 1) / (a + b + 2)) return incomplete_beta_fraction(a, b, x) / 2;
  return t == 0 ? 0.5 : (1 - incomplete_beta_fraction(b, a, t * t / sum)) / 2;
}

// t with a share `tail` < 1/2 of Student's distribution with `freedom` degrees of freedom above it.
inline double student_quantile(double tail, double freedom) {
  if (freedom >= 1000) {
    // Abramowitz and Stegun 26.7.5; the next term is below z^11 / freedom^5.
    const double z = normal_quantile(tail), s = z * z, v = freedom;
    return z + z * (s + 1) / (4 * v) + z * ((5 * s + 16) * s + 3) / (96 * v * v) +
           z * (((3 * s + 19) * s + 17) * s - 15) / (384 * v * v * v);
  }
  const auto above = [&](double t) { return student_tail(t, freedom); };
  double high = 1;
  while (above(high) > tail) high *= 2;
  return where_decreasing(above, tail, 0, high);
}

}  // namespace detail

/// The share of successes in all, of which `trials` independent ones gave `successes`: Wilson's
/// score interval (Wilson, 1927; recommended over p +- z sqrt(p (1 - p) / n) by Brown, Cai and
/// DasGupta, "Interval estimation for a binomial proportion", 2001, as it holds its confidence for
/// shares near 0 and 1 and few trials). NaN for no trials. Errors: more successes than trials, a
/// confidence outside (0, 1).
inline confidence_interval wilson_interval(std::size_t successes, std::size_t trials,
                                           double confidence = 0.95) {
  constexpr std::string_view where = "halfway::wilson_interval";
  detail::check_confidence(where, confidence);
  if (successes > trials) [[unlikely]] {
    fail(detail::concat(where, ": successes (", successes, ") must be at most trials (", trials,
                        ")"));
  }
  if (trials == 0) return {};
  const double z = detail::normal_quantile((1 - confidence) / 2);
  const double n = static_cast<double>(trials), p = static_cast<double>(successes) / n;
  const double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double margin = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  // At the ends the interval ends there too, which rounding may miss.
  return {successes == 0 ? 0 : std::max(middle - margin, 0.0),
          successes == trials ? 1 : std::min(middle + margin, 1.0)};
}

/// The mean of all, of which `count` independent ones have this mean and variance (their sum of
/// squared deviations by count - 1): mean +- t sqrt(variance / count) with Student's t (1908).
/// Exact for normal values, for others as good as the central limit theorem. NaN for fewer than 2.
/// Errors: a negative variance, a confidence outside (0, 1).
inline confidence_interval mean_interval(std::size_t count, double mean, double variance,
                                         double confidence = 0.95) {
  constexpr std::string_view where = "halfway::mean_interval";
  detail::check_confidence(where, confidence);
  if (variance < 0) [[unlikely]]
    fail(detail::concat(where, ": variance (", variance, ") must not be negative"));
  if (count < 2) return {};
  const double n = static_cast<double>(count);
  const double margin =
      detail::student_quantile((1 - confidence) / 2, n - 1) * std::sqrt(variance / n);
  return {mean - margin, mean + margin};
}

namespace detail {

// The same from sums. Cancellation costs the interval's width a relative error of
// count 2^-52 mean^2 / variance: for values that vary no less than they are.
inline confidence_interval mean_interval_of_sums(std::size_t count, double sum, double squares,
                                                 double confidence) {
  const double n = static_cast<double>(count), mean = sum / n;
  const double variance = count < 2 ? 0 : (squares - sum * mean) / (n - 1);
  // Not std::max, which would make 0 of NaN: of an infinite sum nothing is known.
  return mean_interval(count, mean, variance < 0 ? 0 : variance, confidence);
}

}  // namespace detail

/// The mean and variance of values one by one, in double: Welford's update, and the pairwise merge
/// of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
/// variances", 1979. A relative error of about n 2^-52 in both, however large the mean is (Higham,
/// 2002, section 1.9). A value type; not for several threads at once (give each its own, then
/// merge).
class sample_mean {
 public:
  /// Takes in one value. After an infinity or NaN the mean and variance are not finite.
  void add(double value) {
    ++count_;
    const double d = value - mean_;
    mean_ += d / static_cast<double>(count_);
    squares_ += d * (value - mean_);
  }

  /// As if this had seen the other's values, too, up to rounding.
  void merge(const sample_mean& other) {
    if (other.count_ == 0) return;
    const double mine = static_cast<double>(count_), its = static_cast<double>(other.count_);
    const double d = other.mean_ - mean_;
    count_ += other.count_;
    mean_ += d * (its / (mine + its));
    squares_ += other.squares_ + d * d * (mine * its / (mine + its));
  }

  std::size_t count() const { return count_; }  ///< values taken in
  /// NaN of nothing.
  double mean() const { return count_ == 0 ? std::numeric_limits<double>::quiet_NaN() : mean_; }
  /// By count() - 1: without bias. NaN of fewer than 2.
  double variance() const {
    return count_ < 2 ? std::numeric_limits<double>::quiet_NaN()
                      : squares_ / static_cast<double>(count_ - 1);
  }
  /// As mean_interval.
  confidence_interval interval(double confidence = 0.95) const {
    return mean_interval(count_, mean_, count_ < 2 ? 0 : variance(), confidence);
  }

 private:
  std::size_t count_ = 0;
  double mean_ = 0, squares_ = 0;  // of deviations from the mean
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_CONFIDENCE_H_
