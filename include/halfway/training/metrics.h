// SPDX-License-Identifier: Apache-2.0
// What a loss_scaler does, as metrics.
//
//   halfway::loss_scaler_metrics exported(registry);
//   scaler.update();
//   exported.update(scaler);   // each step
#ifndef HALFWAY_TRAINING_METRICS_H_
#define HALFWAY_TRAINING_METRICS_H_

#include "halfway/telemetry/metrics.h"
#include "halfway/telemetry/names.h"
#include "halfway/telemetry/registry.h"
#include "halfway/training/loss_scaler.h"

namespace halfway {

/// Exports one scaler. The registry must outlive this. Not for several threads at once; reading the
/// registry meanwhile is fine.
class loss_scaler_metrics {
 public:
  /// Makes the metrics, counters at 0 and the scale NaN until the first update(). Errors: see
  /// telemetry::registry.
  explicit loss_scaler_metrics(telemetry::registry& r)
      : scale_(telemetry::detail::get_unknown_gauge(r, telemetry::names::loss_scale)),
        skips_at_floor_(telemetry::detail::get_gauge(r, telemetry::names::skips_at_floor)),
        good_(telemetry::detail::get_counter(r, telemetry::names::steps, {"good"})),
        skipped_(telemetry::detail::get_counter(r, telemetry::names::steps, {"skipped"})),
        up_(telemetry::detail::get_counter(r, telemetry::names::loss_scale_changes, {"up"})),
        down_(telemetry::detail::get_counter(r, telemetry::names::loss_scale_changes, {"down"})),
        non_finite_(telemetry::detail::get_counter(r, telemetry::names::non_finite_gradients)) {}

  /// Counts what the scaler has done since the last call; at the first call, all it has done, its
  /// life before a checkpoint included.
  void update(const loss_scaler& scaler) {
    const loss_scaler_statistics& s = scaler.statistics();
    scale_.set(static_cast<double>(scaler.scale()));
    skips_at_floor_.set(static_cast<double>(s.skips_at_floor));
    good_.update(s.steps);
    skipped_.update(s.skipped);
    up_.update(s.growths);
    down_.update(s.backoffs);
    non_finite_.update(s.non_finite);
  }

 private:
  telemetry::gauge& scale_;
  telemetry::gauge& skips_at_floor_;
  telemetry::running_total good_, skipped_, up_, down_, non_finite_;
};

}  // namespace halfway

#endif  // HALFWAY_TRAINING_METRICS_H_
