// SPDX-License-Identifier: Apache-2.0
// A metric of fidelity and the limit that it has to keep.
#ifndef HALFWAY_PRECISION_FIDELITY_BUDGET_H_
#define HALFWAY_PRECISION_FIDELITY_BUDGET_H_

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace halfway {

/// How a metric is read, so that the search can add up what single layers lose.
enum class fidelity_scale {
  decibels,          ///< more is better, noise powers add up: SQNR
  higher_is_better,  ///< losses against the reference add up: agreement, accuracy
  lower_is_better,   ///< excesses over the reference add up: KL, an error
};

/// The metric that an assignment has to keep, and by how much.
struct fidelity_budget {
  std::string metric = "sqnr_db";  ///< for reports and messages; the search reads no metric by name
  double limit = 40;               ///< that the metric has to reach, or not to pass
  fidelity_scale scale = fidelity_scale::decibels;  ///< how the metric is read

  /// Whether an assignment of this fidelity keeps the limit, which the limit itself does and NaN
  /// does not.
  bool met_by(double fidelity) const {
    return scale == fidelity_scale::lower_is_better ? fidelity <= limit : fidelity >= limit;
  }
  /// A distance from the reference that adds up; infinite for NaN.
  double loss(double fidelity, double reference) const {
    double l = std::numeric_limits<double>::infinity();
    if (scale == fidelity_scale::decibels) l = std::pow(10.0, -fidelity / 10);
    if (scale == fidelity_scale::higher_is_better) l = reference - fidelity;
    if (scale == fidelity_scale::lower_is_better) l = fidelity - reference;
    return std::isnan(l) ? std::numeric_limits<double>::infinity() : std::max(l, 0.0);
  }
};

/// SQNR of the outputs, in decibels.
inline fidelity_budget sqnr_budget(double at_least_db) {
  return {"sqnr_db", at_least_db, fidelity_scale::decibels};
}
/// The share of rows whose largest logit is in the same place, from 0 to 1.
inline fidelity_budget top1_budget(double at_least) {
  return {"top1_agreement", at_least, fidelity_scale::higher_is_better};
}
/// The mean KL divergence of the rows, in nats.
inline fidelity_budget kl_budget(double at_most) {
  return {"mean_kl", at_most, fidelity_scale::lower_is_better};
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_FIDELITY_BUDGET_H_
