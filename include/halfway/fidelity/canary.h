// SPDX-License-Identifier: Apache-2.0
// Baseline and candidate on the same inputs, one by one, until it is proven that the candidate is
// worse than it may be, or that it is not.
//
//   halfway::canary canary(0.01, 0.001);    // at most 1 % more mistakes; wrong once in 1000 times
//   while (canary.decide() == halfway::canary_verdict::undecided) {
//     const request r = next();
//     canary.add(mistakes(baseline(r)), mistakes(candidate(r)));    // 0 or 1, or anything between
//   }
#ifndef HALFWAY_FIDELITY_CANARY_H_
#define HALFWAY_FIDELITY_CANARY_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>

#include "halfway/core/error.h"

namespace halfway {

/// What a canary has proven so far.
enum class canary_verdict {
  undecided,   ///< neither, yet
  worse,       ///< its mean loss is more than the baseline's and the margin
  acceptable,  ///< it is less
};

/// A sequential test of paired losses within [0, 1] (a disagreement with the label, a share of a
/// latency limit, min(KL, 1)): whether the mean of d = candidate - baseline is above `margin`.
///
/// However long it runs and however often one looks, of a candidate whose mean difference is at
/// most the margin, the probability that the verdict is ever `worse` is at most `error_rate`; so is
/// that of `acceptable` for one whose difference is at least the margin. Nothing is assumed of the
/// distribution, and independence only so far that the mean given all that came before is on that
/// side of the margin. It can stay undecided for ever only if the mean is nearer to the margin than
/// about 2^-13 times the variance.
///
/// Testing by betting (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
/// betting", 2023, section 4): who bets a fraction f of their capital on d > margin, at odds fair
/// at the margin, has prod (1 + f (d - margin) / (1 + margin)), whose mean cannot grow if the claim
/// is wrong. By Ville's inequality it ever reaches 1 / error_rate with a probability of at most
/// `error_rate`. Here the capital is spread over the fractions 1/2, 1/4 ... 2^-12, of which one is
/// within a factor of sqrt(2) of the best where that is between 2^-12.5 and 2^-0.5; it costs ln(12)
/// of log evidence.
///
/// About 2 variance (ln(1 / error_rate) + ln 12) / (mean - margin)^2 pairs decide, times 1.2 at
/// most, while the difference is small against the variance. A value type of constant size; not for
/// several threads at once (give each its own, then merge and let only the merged one decide).
class canary {
 public:
  /// `margin`: by how much the candidate's mean loss may exceed the baseline's; negative if it must
  /// be better. Errors: a margin outside (-1, 1), an error_rate outside (0, 1).
  explicit canary(double margin, double error_rate = 0.001)
      : margin_(margin), error_rate_(error_rate) {
    constexpr std::string_view where = "halfway::canary";
    if (!(margin > -1 && margin < 1)) [[unlikely]]
      fail(detail::concat(where, ": margin (", margin, ") must be within (-1, 1)"));
    if (!(error_rate > 0 && error_rate < 1)) [[unlikely]]
      fail(detail::concat(where, ": error_rate (", error_rate, ") must be within (0, 1)"));
  }

  /// Takes in the losses of both for one input. Error: one outside [0, 1], NaN included: a loss of
  /// what is NaN is for the caller to name, as a rule 1.
  void add(double baseline, double candidate) {
    constexpr std::string_view where = "halfway::canary::add";
    check_loss(where, "baseline", baseline);
    check_loss(where, "candidate", candidate);
    const double d = candidate - baseline, above = (d - margin_) / (1 + margin_),
                 below = (margin_ - d) / (1 - margin_);  // both >= -1
    double fraction = 1;
    for (std::size_t i = 0; i != fractions; ++i) {
      fraction /= 2;
      log_above_[i] += std::log1p(fraction * above);
      log_below_[i] += std::log1p(fraction * below);
    }
    ++count_;
    differences_ += d;
  }

  /// As if this had seen the other's pairs, too. Error: another margin or error_rate.
  void merge(const canary& other) {
    if (margin_ != other.margin_ || error_rate_ != other.error_rate_) [[unlikely]] {
      fail(detail::concat("halfway::canary::merge: other.margin (", other.margin_,
                          ") and other.error_rate (", other.error_rate_, ") must equal margin (",
                          margin_, ") and error_rate (", error_rate_, ")"));
    }
    for (std::size_t i = 0; i != fractions; ++i) {
      log_above_[i] += other.log_above_[i];
      log_below_[i] += other.log_below_[i];
    }
    count_ += other.count_;
    differences_ += other.differences_;
  }

  /// What is proven by now. The first verdict counts: with further pairs the evidence may fall
  /// again.
  canary_verdict decide() const {
    const double needed = -std::log(error_rate_);
    if (log_evidence_of_worse() >= needed) return canary_verdict::worse;
    if (log_evidence_of_acceptable() >= needed) return canary_verdict::acceptable;
    return canary_verdict::undecided;
  }

  /// ln of the capital of who bet on either; at ln(1 / error_rate) it is proven.
  double log_evidence_of_worse() const { return log_mean(log_above_); }
  /// As log_evidence_of_worse(), of who bet on d < margin.
  double log_evidence_of_acceptable() const { return log_mean(log_below_); }

  std::size_t count() const { return count_; }       ///< pairs taken in
  double margin() const { return margin_; }          ///< as given
  double error_rate() const { return error_rate_; }  ///< of either verdict, as given
  /// Of the pairs so far; NaN of none.
  double mean_difference() const {
    return count_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                       : differences_ / static_cast<double>(count_);
  }

 private:
  static constexpr std::size_t fractions = 12;
  using log_capitals = std::array<double, fractions>;

  static void check_loss(std::string_view where, std::string_view name, double loss) {
    if (!(loss >= 0 && loss <= 1)) [[unlikely]]
      fail(detail::concat(where, ": ", name, " (", loss, ") must be within [0, 1]"));
  }

  static double log_mean(const log_capitals& logs) {
    const double largest = *std::ranges::max_element(logs);
    double sum = 0;
    for (const double l : logs) sum += std::exp(l - largest);
    return largest + std::log(sum / fractions);
  }

  double margin_, error_rate_;
  log_capitals log_above_{}, log_below_{};
  std::size_t count_ = 0;
  double differences_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_CANARY_H_
