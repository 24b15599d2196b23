// SPDX-License-Identifier: Apache-2.0
// Numeric health and comparisons with a baseline, as metrics.
//
//   halfway::numeric_health_metrics exported(registry, "fc1");
//   health.add(activations);
//   exported.add(health);      // then the health begins anew:
//   health.clear();
#ifndef HALFWAY_FIDELITY_METRICS_H_
#define HALFWAY_FIDELITY_METRICS_H_

#include <cstdint>
#include <string_view>

#include "halfway/fidelity/comparison.h"
#include "halfway/fidelity/exponent_histogram.h"
#include "halfway/fidelity/health.h"
#include "halfway/fidelity/logit_comparison.h"
#include "halfway/telemetry/metrics.h"
#include "halfway/telemetry/names.h"
#include "halfway/telemetry/registry.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// Counts one layer's values. The registry must outlive this. Thread-safe.
class numeric_health_metrics {
 public:
  /// Makes the metrics, counters at 0 and amax NaN until the first add(). Errors: see
  /// telemetry::registry.
  numeric_health_metrics(telemetry::registry& r, std::string_view layer)
      : checked_(telemetry::detail::get_counter(r, telemetry::names::checked_values, {layer})),
        non_finite_(
            telemetry::detail::get_counter(r, telemetry::names::non_finite_values, {layer})),
        overflowed_(
            telemetry::detail::get_counter(r, telemetry::names::overflowed_values, {layer})),
        flushed_(telemetry::detail::get_counter(r, telemetry::names::flushed_values, {layer})),
        subnormal_(telemetry::detail::get_counter(r, telemetry::names::subnormal_values, {layer})),
        amax_(telemetry::detail::get_unknown_gauge(r, telemetry::names::layer_amax, {layer})) {}

  /// Adds all that `h` has seen; clear it afterwards, or it counts again the next time.
  void add(const numeric_health& h) {
    checked_.add(h.count());
    non_finite_.add(h.non_finite());
    overflowed_.add(h.overflow() + h.saturated());
    flushed_.add(h.underflow());
    subnormal_.add(h.subnormal());
    amax_.set(static_cast<double>(h.amax()));
  }

 private:
  telemetry::counter& checked_;
  telemetry::counter& non_finite_;
  telemetry::counter& overflowed_;
  telemetry::counter& flushed_;
  telemetry::counter& subnormal_;
  telemetry::gauge& amax_;
};

/// Counts the exponents of one operation's results in one format: a histogram of fixed bounds
/// (telemetry::exponent_bounds), so that its series are no more than operations times formats.
/// Zeros and what is not finite have no exponent. The registry must outlive this. Thread-safe.
class exponent_metrics {
 public:
  /// Makes the histogram, empty. Errors: see telemetry::registry.
  exponent_metrics(telemetry::registry& r, std::string_view operation, dtype format)
      : exponents_(r.get_histogram(
            telemetry::names::value_exponent.name, telemetry::names::value_exponent.help,
            {telemetry::exponent_bounds.begin(), telemetry::exponent_bounds.end()},
            telemetry::detail::labels_of(telemetry::names::value_exponent,
                                         {operation, name(format)}))) {}

  /// Adds all that `h` has seen; clear it afterwards, or it counts again the next time.
  void add(const exponent_histogram& h) {
    for (int e = exponent_histogram::min_exponent; e <= exponent_histogram::max_exponent; ++e) {
      if (const std::uint64_t n = h.count(e)) exponents_.observe(e, n);
    }
  }

 private:
  telemetry::histogram& exponents_;
};

/// The last comparison of one layer. The registry must outlive this. Thread-safe.
class comparison_metrics {
 public:
  /// Makes the metrics, NaN until the first set(). Errors: see telemetry::registry.
  comparison_metrics(telemetry::registry& r, std::string_view layer)
      : sqnr_db_(telemetry::detail::get_unknown_gauge(r, telemetry::names::layer_sqnr_db, {layer})),
        max_ulps_(
            telemetry::detail::get_unknown_gauge(r, telemetry::names::layer_max_ulps, {layer})),
        broken_(telemetry::detail::get_unknown_gauge(r, telemetry::names::layer_broken_values,
                                                     {layer})) {}

  /// Replaces the last comparison's figures.
  void set(const comparison& c) {
    sqnr_db_.set(c.sqnr_db());
    max_ulps_.set(c.max_ulps());
    broken_.set(static_cast<double>(c.broken()));
  }

 private:
  telemetry::gauge& sqnr_db_;
  telemetry::gauge& max_ulps_;
  telemetry::gauge& broken_;
};

/// The last comparison of a model's logits. The registry must outlive this. Thread-safe.
class logit_comparison_metrics {
 public:
  /// Makes the metrics, NaN until the first set(). Errors: see telemetry::registry.
  explicit logit_comparison_metrics(telemetry::registry& r)
      : rows_(telemetry::detail::get_unknown_gauge(r, telemetry::names::compared_rows)),
        broken_(telemetry::detail::get_unknown_gauge(r, telemetry::names::broken_rows)),
        top1_(telemetry::detail::get_unknown_gauge(r, telemetry::names::top1_agreement)),
        top_k_(telemetry::detail::get_unknown_gauge(r, telemetry::names::top_k_agreement)),
        mean_kl_(telemetry::detail::get_unknown_gauge(r, telemetry::names::mean_kl)),
        max_kl_(telemetry::detail::get_unknown_gauge(r, telemetry::names::max_kl)),
        comparisons_(telemetry::detail::get_counter(r, telemetry::names::comparisons)) {}

  /// Replaces the last comparison's figures.
  void set(const logit_comparison& c) {
    comparisons_.add();
    rows_.set(static_cast<double>(c.rows()));
    broken_.set(static_cast<double>(c.broken()));
    top1_.set(c.top1_agreement());
    top_k_.set(c.top_k_agreement());
    mean_kl_.set(c.mean_kl());
    max_kl_.set(c.max_kl());
  }

 private:
  telemetry::gauge& rows_;
  telemetry::gauge& broken_;
  telemetry::gauge& top1_;
  telemetry::gauge& top_k_;
  telemetry::gauge& mean_kl_;
  telemetry::gauge& max_kl_;
  telemetry::counter& comparisons_;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_METRICS_H_
