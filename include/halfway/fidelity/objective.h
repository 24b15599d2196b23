// SPDX-License-Identifier: Apache-2.0
// What a candidate must keep to, by name and limit: gates of tests, of CI and of roll-outs.
//
//   const std::vector<halfway::objective> gates = {{"sqnr_db", 40}, {"max_ulps", 4}};
//   for (const halfway::objective& gate : gates) {
//     if (!gate.met_by(of_the_layer)) std::cout << halfway::to_string(gate) << " is missed\n";
//   }
//   const halfway::objective sure("top1_agreement", 0.99, 0.95);    // not only on these rows
#ifndef HALFWAY_FIDELITY_OBJECTIVE_H_
#define HALFWAY_FIDELITY_OBJECTIVE_H_

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/fidelity/comparison.h"
#include "halfway/fidelity/confidence.h"
#include "halfway/fidelity/logit_comparison.h"

namespace halfway {

/// A figure of comparison or of logit_comparison.
struct fidelity_metric {
  std::string_view name;  ///< as files, objectives and messages have it
  bool more_is_better;    ///< so that a limit is the least, not the most
  double (comparison::*of_values)() const = nullptr;                           ///< null: of logits
  double (logit_comparison::*of_logits)() const = nullptr;                     ///< null: of values
  confidence_interval (comparison::*values_interval)(double) const = nullptr;  ///< null: has none
  /// Null: has none.
  confidence_interval (logit_comparison::*logits_interval)(double) const = nullptr;
};

/// Every metric that an objective may name, with the name of its figure.
inline constexpr std::array<fidelity_metric, 10> fidelity_metrics = {{
    {.name = "max_absolute_error",
     .more_is_better = false,
     .of_values = &comparison::max_absolute_error},
    {.name = "max_relative_error",
     .more_is_better = false,
     .of_values = &comparison::max_relative_error},
    {.name = "max_ulps", .more_is_better = false, .of_values = &comparison::max_ulps},
    {.name = "rmse",
     .more_is_better = false,
     .of_values = &comparison::rmse,
     .values_interval = &comparison::rmse_interval},
    {.name = "sqnr_db", .more_is_better = true, .of_values = &comparison::sqnr_db},
    {.name = "cosine", .more_is_better = true, .of_values = &comparison::cosine},
    {.name = "mean_kl",
     .more_is_better = false,
     .of_logits = &logit_comparison::mean_kl,
     .logits_interval = &logit_comparison::mean_kl_interval},
    {.name = "max_kl", .more_is_better = false, .of_logits = &logit_comparison::max_kl},
    {.name = "top1_agreement",
     .more_is_better = true,
     .of_logits = &logit_comparison::top1_agreement,
     .logits_interval = &logit_comparison::top1_interval},
    {.name = "top_k_agreement",
     .more_is_better = true,
     .of_logits = &logit_comparison::top_k_agreement},
}};

/// Null if there is none of this name.
constexpr const fidelity_metric* find_fidelity_metric(std::string_view name) {
  for (const fidelity_metric& m : fidelity_metrics) {
    if (m.name == name) return &m;
  }
  return nullptr;
}

/// A metric and the limit it has to keep: at least where more is better, at most where less is. A
/// value that is NaN keeps no limit, and where anything is broken (NaN or infinite in the candidate
/// alone) no objective is met: the figures leave it out.
class objective {
 public:
  /// With a confidence other than 0, the whole interval has to keep the limit, not only what was
  /// measured: proven for all data of the kind, as far as what was measured is independent. Errors:
  /// an unknown metric, a limit that is NaN, a confidence outside [0, 1), a confidence for a metric
  /// without an interval (only rmse, mean_kl and top1_agreement have one).
  objective(std::string_view metric, double limit, double confidence = 0)
      : metric_(&known(metric)), limit_(limit), confidence_(confidence) {
    if (std::isnan(limit)) [[unlikely]]
      fail(detail::concat(where, ": limit (", limit, ") must be a number"));
    if (confidence == 0) return;
    detail::check_confidence(where, confidence);
    if (metric_->values_interval == nullptr && metric_->logits_interval == nullptr) [[unlikely]] {
      fail(detail::concat(where, ": metric (", metric, ") has no interval, but confidence (",
                          confidence, ") asks for one"));
    }
  }

  /// Whose figure has to keep the limit.
  const fidelity_metric& metric() const { return *metric_; }
  double limit() const { return limit_; }  ///< in the metric's unit
  /// Of the interval; 0: the figure itself has to keep the limit.
  double confidence() const { return confidence_; }
  /// For a logit_comparison, not for a comparison.
  bool of_logits() const { return metric_->of_logits != nullptr; }

  /// What has to keep the limit: the figure, or the end of its interval nearer to the limit; NaN
  /// where anything is broken. Error: an objective of logits for values, or of values for logits.
  double measured(const comparison& c) const {
    check_kind("values", !of_logits());
    if (c.broken() != 0) return std::numeric_limits<double>::quiet_NaN();
    return confidence_ != 0 ? worse_end((c.*metric_->values_interval)(confidence_))
                            : (c.*metric_->of_values)();
  }
  /// @copydoc measured(const comparison&) const
  double measured(const logit_comparison& c) const {
    check_kind("logits", of_logits());
    if (c.broken() != 0) return std::numeric_limits<double>::quiet_NaN();
    return confidence_ != 0 ? worse_end((c.*metric_->logits_interval)(confidence_))
                            : (c.*metric_->of_logits)();
  }

  /// Whether a figure is within the limit: the limit itself is, NaN is not.
  bool keeps(double measured) const {
    return metric_->more_is_better ? measured >= limit_ : measured <= limit_;
  }
  /// Error as measured().
  bool met_by(const comparison& c) const { return keeps(measured(c)); }
  /// Error as measured().
  bool met_by(const logit_comparison& c) const { return keeps(measured(c)); }

 private:
  static constexpr std::string_view where = "halfway::objective";

  static const fidelity_metric& known(std::string_view name) {
    const fidelity_metric* found = find_fidelity_metric(name);
    if (found != nullptr) return *found;
    std::string names;
    for (const fidelity_metric& m : fidelity_metrics) {
      names += (names.empty() ? "" : ", ") + std::string(m.name);
    }
    fail(detail::concat(where, ": metric (", name, ") must be one of ", names));
  }

  double worse_end(confidence_interval i) const { return metric_->more_is_better ? i.low : i.high; }

  void check_kind(std::string_view given, bool fits) const {
    if (!fits) [[unlikely]]
      fail(detail::concat(where, ": ", metric_->name, " is no metric of ", given));
  }

  const fidelity_metric* metric_;
  double limit_;
  double confidence_;
};

/// "sqnr_db >= 40", "top1_agreement >= 0.99 (confidence 0.95)".
inline std::string to_string(const objective& o) {
  std::string text =
      detail::concat(o.metric().name, o.metric().more_is_better ? " >= " : " <= ", o.limit());
  if (o.confidence() != 0) text += detail::concat(" (confidence ", o.confidence(), ")");
  return text;
}

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_OBJECTIVE_H_
