// SPDX-License-Identifier: Apache-2.0
// Numeric health of a runner's results, layer by layer, of every n-th run.
//
//   halfway::health_watch watch(registry, {.every = 64, .target = halfway::dtype::float16});
//   const auto y = runner.run(plan, {{"x", x}}, watch.next());
//
// Like precision/runner.h it is no part of halfway.h.
#ifndef HALFWAY_PRECISION_HEALTH_WATCH_H_
#define HALFWAY_PRECISION_HEALTH_WATCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "halfway/core/executor.h"
#include "halfway/fidelity/exponent_histogram.h"
#include "halfway/fidelity/health.h"
#include "halfway/fidelity/metrics.h"
#include "halfway/precision/runner.h"
#include "halfway/telemetry/registry.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// How much health_watch looks at.
struct health_watch_options {
  /// Every so many runs are looked at, beginning with the first. 0: none.
  std::size_t every = 64;
  /// Of a run that is looked at, one of so many runs of 16 values is (numeric_health). The
  /// histograms of exponents count all.
  std::size_t stride = 1;
  /// What would become of the values in this type, where they are stored in a wider one: values
  /// that have been flushed to zero show nowhere else. Narrower ones are taken as they are.
  dtype target = dtype::float32;
};

/// Exports the health of each node's results, by the node's name (numeric_health_metrics), and
/// their exponents by operation and format (exponent_metrics). A run that is not looked at is a run
/// without an observer: it does no work for this. The registry must outlive this; one run at a
/// time.
class health_watch {
 public:
  /// Error: a target that numeric_health cannot judge.
  explicit health_watch(telemetry::registry& r, health_watch_options options = {})
      : registry_(&r), options_(options) {
    numeric_health check(options_.target);
  }

  /// For the next run: with an observer if it is its turn.
  run_options next(executor_ref on = {}) {
    run_options run{.on = on};
    if (options_.every != 0 && runs_++ % options_.every == 0) {
      run.observer = [this](const node_result& r) { look(r); };
    }
    return run;
  }

  /// Takes in one result, for observers of your own. Integers are passed over.
  void look(const node_result& r) {
    if (!is_floating(r.type())) return;
    layer& l = layer_of(r);
    exponent_metrics& exponents =
        exponents_.try_emplace(std::pair(r.node().op, r.type()), *registry_, r.node().op, r.type())
            .first->second;
    detail::with_stored_type(r.type(), [&]<class T>(T) {
      const std::span values(static_cast<const T*>(r.data()), r.shape().size());
      l.health.add(values);
      exponent_histogram h;
      h.add(values);
      exponents.add(h);
    });
    l.exported.add(l.health);
    l.health.clear();
  }

  /// How many runs there were, looked at or not; how many calls of next(), that is.
  std::uint64_t runs() const { return runs_; }

 private:
  struct layer {
    numeric_health health;
    numeric_health_metrics exported;
  };

  layer& layer_of(const node_result& r) {
    const bool narrower = bits_of(r.type()) <= bits_of(options_.target);
    const dtype target = narrower ? r.type() : options_.target;
    auto found = layers_.find(r.node().name);
    if (found == layers_.end()) {
      layer fresh{numeric_health(target, options_.stride),
                  numeric_health_metrics(*registry_, r.node().name)};
      found = layers_.emplace(r.node().name, std::move(fresh)).first;
    } else if (found->second.health.target() != target) {  // plans change types
      found->second.health = numeric_health(target, options_.stride);
    }
    return found->second;
  }

  telemetry::registry* registry_;
  health_watch_options options_;
  std::uint64_t runs_ = 0;
  std::map<std::string, layer, std::less<>> layers_;
  std::map<std::pair<std::string, dtype>, exponent_metrics> exponents_;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_HEALTH_WATCH_H_
