// SPDX-License-Identifier: Apache-2.0
// Whether a candidate's logits decide as a baseline's do: KL divergence and agreement of the first
// choices, row by row.
//
//   halfway::logit_comparison c(5);                 // top 5
//   for (const auto& batch : batches) c.add(logits_in_float32(batch), logits_in_bfloat16(batch));
//   const bool good = c.top1_agreement() >= 0.99 && c.mean_kl() <= 1e-3;
#ifndef HALFWAY_FIDELITY_LOGIT_COMPARISON_H_
#define HALFWAY_FIDELITY_LOGIT_COMPARISON_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/fidelity/confidence.h"
#include "halfway/ops/row_arguments.h"

namespace halfway {

/// Rows of logits, each a distribution after softmax; in double, of which sums and maxima are kept.
///
/// Logits of -infinity are allowed: choices that a mask forbids. A row of the baseline's that has
/// NaN or +infinity, or nothing but -infinity, is excluded() from everything; such a row of the
/// candidate's is broken(): it agrees in nothing, and the figures of KL leave it out. Of nothing to
/// compare every figure is NaN, and so fails whatever it must reach.
///
/// The same chunks in the same order give the same figures; merging differs from adding by rounding
/// only, and not at all in counts and maxima. A value type; not for several threads at once (give
/// each its own, then merge).
class logit_comparison {
 public:
  /// `k`: how many first choices top_k_agreement() looks at. Error: 0.
  explicit logit_comparison(std::size_t k = 5) : k_(k) {
    if (k == 0) [[unlikely]]
      fail("halfway::logit_comparison: k (0) must not be 0");
  }

  /// Takes in rows x choices logits of any float formats. Errors: shapes that differ.
  template <float_storage_matrix Baseline, float_storage_matrix Candidate>
  void add(const Baseline& baseline, const Candidate& candidate) {
    constexpr std::string_view where = "halfway::logit_comparison::add";
    const auto b = as_view(baseline);
    const auto c = as_view(candidate);
    detail::check_same_shape(where, "candidate", c, "baseline", b);
    std::vector<double> base(b.cols()), other(b.cols());
    for (std::size_t i = 0; i != b.rows(); ++i) {
      for (std::size_t j = 0; j != b.cols(); ++j) {
        base[j] = static_cast<double>(static_cast<float>(b(i, j)));
        other[j] = static_cast<double>(static_cast<float>(c(i, j)));
      }
      add_row(base, other);
    }
  }

  /// As if this had seen all that the other has. Error: another k.
  void merge(const logit_comparison& other) {
    detail::check_equal("halfway::logit_comparison::merge", "other.k", other.k_, "k", k_);
    rows_ += other.rows_;
    broken_ += other.broken_;
    excluded_ += other.excluded_;
    top1_ += other.top1_;
    top_k_ += other.top_k_;
    kl_ += other.kl_;
    kl_squares_ += other.kl_squares_;
    max_kl_ = std::max(max_kl_, other.max_kl_);
  }

  /// Rows compared, broken ones included.
  std::size_t rows() const { return rows_; }
  /// Rows in which the candidate alone has NaN, +infinity, or nothing but -infinity.
  std::size_t broken() const { return broken_; }
  /// Rows in which the baseline has, which are in no figure.
  std::size_t excluded() const { return excluded_; }
  std::size_t k() const { return k_; }  ///< first choices that top_k_agreement() looks at

  /// The mean over rows of sum p (log p - log q), in nats; p is the baseline's softmax, q the
  /// candidate's. Infinite if q is 0 where p is not.
  double mean_kl() const {
    return rows_ == broken_ ? std::numeric_limits<double>::quiet_NaN()
                            : kl_ / static_cast<double>(rows_ - broken_);
  }
  /// Of the mean over all rows that are like these and independent: as mean_interval.
  confidence_interval mean_kl_interval(double confidence = 0.95) const {
    return detail::mean_interval_of_sums(rows_ - broken_, kl_, kl_squares_, confidence);
  }
  /// The largest KL divergence of a row, in nats; NaN of none.
  double max_kl() const {
    return rows_ == broken_ ? std::numeric_limits<double>::quiet_NaN() : max_kl_;
  }

  /// The share of rows whose largest logit is in the same place; of equal ones the first counts.
  double top1_agreement() const { return share(static_cast<double>(top1_)); }
  /// Of the same share of all rows that are like these and independent: as wilson_interval.
  confidence_interval top1_interval(double confidence = 0.95) const {
    return wilson_interval(top1_, rows_, confidence);
  }
  /// The mean share of the baseline's k first choices that are among the candidate's k first,
  /// whatever their order; of all choices where there are fewer.
  double top_k_agreement() const { return share(top_k_); }

 private:
  double share(double of_rows) const {
    return rows_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                      : of_rows / static_cast<double>(rows_);
  }

  static bool is_distribution(const std::vector<double>& logits) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    bool any = false;
    for (const double x : logits) {
      if (!(x < infinity)) return false;
      any = any || x > -infinity;
    }
    return any;
  }

  // log sum exp
  static double log_normalizer(const std::vector<double>& logits) {
    const double largest = *std::ranges::max_element(logits);
    double sum = 0;
    for (const double x : logits) sum += std::exp(x - largest);
    return largest + std::log(sum);
  }

  static double divergence(const std::vector<double>& base, const std::vector<double>& other) {
    const double base_normalizer = log_normalizer(base), normalizer = log_normalizer(other);
    double kl = 0;
    for (std::size_t j = 0; j != base.size(); ++j) {
      const double log_p = base[j] - base_normalizer;
      const double p = std::exp(log_p);
      if (p > 0) kl += p * (log_p - (other[j] - normalizer));
    }
    return std::max(kl, 0.0);  // which rounding may pass
  }

  static std::vector<std::size_t> first_choices(const std::vector<double>& logits, std::size_t k) {
    std::vector<std::size_t> order(logits.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                      [&](std::size_t i, std::size_t j) {
                        return logits[i] != logits[j] ? logits[i] > logits[j] : i < j;
                      });
    order.resize(k);
    return order;
  }

  void add_row(const std::vector<double>& base, const std::vector<double>& other) {
    if (!is_distribution(base)) {
      ++excluded_;
      return;
    }
    ++rows_;
    if (!is_distribution(other)) {
      ++broken_;
      return;
    }
    const double kl = divergence(base, other);
    kl_ += kl;
    kl_squares_ += kl * kl;
    max_kl_ = std::max(max_kl_, kl);
    const std::size_t k = std::min(k_, base.size());
    std::vector<std::size_t> chosen = first_choices(base, k), others = first_choices(other, k);
    top1_ += chosen.front() == others.front();
    std::ranges::sort(others);
    const auto shared = std::ranges::count_if(
        chosen, [&](std::size_t j) { return std::ranges::binary_search(others, j); });
    top_k_ += static_cast<double>(shared) / static_cast<double>(k);
  }

  std::size_t k_;
  std::size_t rows_ = 0, broken_ = 0, excluded_ = 0, top1_ = 0;
  double top_k_ = 0, kl_ = 0, kl_squares_ = 0, max_kl_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_LOGIT_COMPARISON_H_
