// SPDX-License-Identifier: Apache-2.0
// What passes or fails, and memory against its estimate, as metrics.
//
//   halfway::telemetry::check_metrics of_canary(registry, check_kind::canary, "bf16");
//   of_canary.record(canary.decide() != halfway::canary_verdict::worse);
//   check_metrics of_file(registry, check_kind::checkpoint, "run.safetensors");
//   of_file.run([&] { return halfway::checkpoint_reader("run.safetensors"); });
#ifndef HALFWAY_TELEMETRY_CHECKS_H_
#define HALFWAY_TELEMETRY_CHECKS_H_

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "halfway/telemetry/metrics.h"
#include "halfway/telemetry/names.h"
#include "halfway/telemetry/registry.h"

namespace halfway::telemetry {

/// What is checked: the label `check`.
enum class check_kind {
  canary,           ///< a candidate against its baseline
  checkpoint,       ///< whether a file can be trusted
  drift,            ///< a window of inputs against the reference
  reproducibility,  ///< the bits of a run against those it had
};

/// As in the label: "canary".
constexpr std::string_view name(check_kind kind) {
  switch (kind) {
    case check_kind::canary:
      return "canary";
    case check_kind::checkpoint:
      return "checkpoint";
    case check_kind::drift:
      return "drift";
    case check_kind::reproducibility:
      return "reproducibility";
  }
  return {};
}

/// Counts how often a check of a subject passed and failed. The registry must outlive this.
/// Thread-safe.
class check_metrics {
 public:
  /// Makes both counters, at 0. Errors: see registry.
  check_metrics(registry& r, check_kind kind, std::string_view subject)
      : passed_(detail::get_counter(r, names::checks, {name(kind), subject, "passed"})),
        failed_(detail::get_counter(r, names::checks, {name(kind), subject, "failed"})) {}

  /// Counts one check.
  void record(bool passed) { (passed ? passed_ : failed_).add(); }

  /// What f() returns. Passed, unless it throws.
  template <class F>
  std::invoke_result_t<F> run(F&& f) {
    struct verdict {
      check_metrics& to;
      bool passed = false;
      ~verdict() { to.record(passed); }
    } v{*this};
    if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
      std::forward<F>(f)();
      v.passed = true;
    } else {
      std::invoke_result_t<F> result = std::forward<F>(f)();
      v.passed = true;
      return result;
    }
  }

 private:
  counter& passed_;
  counter& failed_;
};

/// The memory that a subject was expected to take, and the most that it took. The registry must
/// outlive this. Thread-safe.
class memory_metrics {
 public:
  /// Makes both gauges, NaN until the first set(). Errors: see registry.
  memory_metrics(registry& r, std::string_view subject)
      : estimated_(detail::get_unknown_gauge(r, names::memory, {subject, "estimated"})),
        peak_(detail::get_unknown_gauge(r, names::memory, {subject, "peak"})) {}

  /// Replaces both figures, in bytes.
  void set(std::size_t estimated, std::size_t peak) {
    estimated_.set(static_cast<double>(estimated));
    peak_.set(static_cast<double>(peak));
  }

 private:
  gauge& estimated_;
  gauge& peak_;
};

}  // namespace halfway::telemetry

#endif  // HALFWAY_TELEMETRY_CHECKS_H_
