// SPDX-License-Identifier: Apache-2.0
// The types of layers that adapt, as metrics.
//
//   halfway::precision_metrics exported(registry);
//   adaptive.on_switch([&](const auto& s) { exported.record(s); });
//   exported.update(adaptive);   // each step, or each scrape
#ifndef HALFWAY_PRECISION_METRICS_H_
#define HALFWAY_PRECISION_METRICS_H_

#include <cstddef>
#include <vector>

#include "halfway/precision/adaptive.h"
#include "halfway/telemetry/metrics.h"
#include "halfway/telemetry/names.h"
#include "halfway/telemetry/registry.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// Exports one adaptive_precision. The registry must outlive this. Not for several threads at once;
/// reading the registry meanwhile is fine.
class precision_metrics {
 public:
  /// Metrics are made when layers and switches come.
  explicit precision_metrics(telemetry::registry& r) : registry_(&r) {}

  /// Counts a switch. Takes the registry's mutex: switches are rare.
  void record(const precision_switch& s) {
    telemetry::detail::get_counter(*registry_, telemetry::names::precision_switches,
                                   {s.layer, name(s.from), name(s.to), name(s.reason)})
        .add();
  }

  /// Sets each layer's bytes, and counts its helpless calls since the last call of this. Layers
  /// that are new get their metrics. Give it the same adaptive_precision each time.
  void update(const adaptive_precision& adaptive) {
    for (std::size_t i = layers_.size(); i < adaptive.size(); ++i) {
      layers_.push_back({telemetry::detail::get_gauge(
                             *registry_, telemetry::names::layer_value_bytes, {adaptive.name(i)}),
                         telemetry::running_total(telemetry::detail::get_counter(
                             *registry_, telemetry::names::helpless_calls, {adaptive.name(i)}))});
    }
    for (std::size_t i = 0; i != adaptive.size(); ++i) {
      layers_[i].bytes.set(bits_of(adaptive.type(i)) / 8.0);
      layers_[i].helpless.update(adaptive.layer(i).helpless());
    }
  }

 private:
  struct layer {
    telemetry::gauge& bytes;
    telemetry::running_total helpless;
  };
  telemetry::registry* registry_;
  std::vector<layer> layers_;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_METRICS_H_
