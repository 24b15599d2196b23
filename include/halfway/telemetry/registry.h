// SPDX-License-Identifier: Apache-2.0
// Metrics by name and labels, as Prometheus knows them: families of counters, gauges or histograms
// that share a name and a help text and differ in the values of their labels.
//
//   halfway::telemetry::registry metrics;
//   auto& good = metrics.get_counter("app_steps_total", "Steps.", {{"outcome", "good"}});
//   good.add();                                 // lock-free; `good` lives as long as `metrics`
//   std::string page = to_prometheus_text(metrics);
#ifndef HALFWAY_TELEMETRY_REGISTRY_H_
#define HALFWAY_TELEMETRY_REGISTRY_H_

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/telemetry/metrics.h"
#include "halfway/telemetry/text.h"

namespace halfway::telemetry {

/// What tells the metrics of a family apart.
struct label {
  std::string name;                                ///< [a-z][a-z0-9_]*, but not le
  std::string value;                               ///< any UTF-8
  auto operator<=>(const label&) const = default;  ///< by name, then by value
};

/// The order does not matter.
using label_set = std::vector<label>;

/// As in Prometheus: what only grows, what goes up and down, what is counted in buckets.
enum class metric_type { counter, gauge, histogram };

/// "counter", "gauge" or "histogram", as exposition formats have it.
constexpr std::string_view name(metric_type type) {
  switch (type) {
    case metric_type::counter:
      return "counter";
    case metric_type::gauge:
      return "gauge";
    case metric_type::histogram:
      return "histogram";
  }
  return {};
}

/// One metric's value at one moment: a counter's, a gauge's or a histogram's.
struct series_snapshot {
  label_set labels;  ///< by name
  /// Of a counter, a gauge, a histogram.
  std::variant<std::uint64_t, double, histogram_values> value;
};

/// A family with all its metrics' values.
struct family_snapshot {
  std::string name;                         ///< that of every metric in it
  std::string help;                         ///< a sentence
  metric_type type = metric_type::counter;  ///< of each metric in it
  std::vector<series_snapshot> series;      ///< by their labels' values
};

namespace detail {

inline bool is_lower(char c) { return c >= 'a' && c <= 'z'; }

// Narrower than Prometheus's grammar: what its conventions ask for. Colons are for recording rules.
inline bool is_plain_name(std::string_view name) {
  return !name.empty() && is_lower(name.front()) && std::ranges::all_of(name, [](char c) {
    return is_lower(c) || (c >= '0' && c <= '9') || c == '_';
  });
}

inline void check_metric_name(std::string_view where, std::string_view name, metric_type type) {
  using halfway::detail::concat;
  if (!is_plain_name(name)) {
    fail(concat(where, ": name (\"", name, "\") must match [a-z][a-z0-9_]*"));
  }
  for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
    if (name.ends_with(suffix)) {
      fail(concat(where, ": name (\"", name, "\") must not end in ", suffix,
                  ", which is a histogram's"));
    }
  }
  if (name.ends_with("_total") != (type == metric_type::counter)) {
    fail(concat(where, ": name (\"", name, "\") of a ", telemetry::name(type), " must",
                type == metric_type::counter ? "" : " not", " end in _total"));
  }
}

// Of labels by name.
inline void check_labels(std::string_view where, std::string_view name, const label_set& labels) {
  using halfway::detail::concat;
  for (std::size_t i = 0; i != labels.size(); ++i) {
    const auto& [label_name, value] = labels[i];
    if (!is_plain_name(label_name) || label_name == "le") {
      fail(concat(where, ": ", name, ": label \"", label_name,
                  "\" must match [a-z][a-z0-9_]* and not be le, which is a histogram's"));
    }
    if (i != 0 && labels[i - 1].name == label_name) {
      fail(concat(where, ": ", name, ": label \"", label_name, "\" stands twice"));
    }
    if (!is_utf8(value)) {
      fail(concat(where, ": ", name, ": the value of label \"", label_name, "\" is not UTF-8"));
    }
  }
}

inline std::string names_of(const label_set& labels) {
  std::string text = "{";
  for (const label& l : labels) text += (text.size() == 1 ? "" : ",") + l.name;
  return text + "}";
}

}  // namespace detail

/// Thread-safe. Metrics keep their address as long as the registry lives; get them once, outside of
/// loops: a get takes a mutex.
class registry {
 public:
  registry() = default;
  registry(const registry&) = delete;
  registry& operator=(const registry&) = delete;

  /// The metric of this name and these labels, made at the first call. Names follow Prometheus's
  /// conventions: a unit without prefix at the end (_seconds, _bytes, _ratio), _total after it for
  /// counters and for nothing else.
  ///
  /// Errors, which name the family: a name or label that is not [a-z][a-z0-9_]*; a counter without
  /// _total, another with it; a name that ends in _bucket, _sum or _count; the label le; a label
  /// twice; no help; help or values that are not UTF-8; another type, help, label names or bounds
  /// than the family has.
  counter& get_counter(std::string_view name, std::string_view help, label_set labels = {}) {
    return get<counter>("halfway::telemetry::registry::get_counter", name, help, std::move(labels));
  }
  /// @copydoc get_counter
  gauge& get_gauge(std::string_view name, std::string_view help, label_set labels = {}) {
    return get<gauge>("halfway::telemetry::registry::get_gauge", name, help, std::move(labels));
  }
  /// Further error: bounds that are empty, not finite, or don't increase.
  histogram& get_histogram(std::string_view name, std::string_view help,
                           const std::vector<double>& bounds, label_set labels = {}) {
    constexpr std::string_view where = "halfway::telemetry::registry::get_histogram";
    histogram::check_bounds(halfway::detail::concat(where, ": ", name), bounds);
    return get<histogram>(where, name, help, std::move(labels), bounds);
  }

  /// When this was made, and so since when counters count.
  std::chrono::system_clock::time_point created() const { return created_; }

  /// Every value, families by name.
  std::vector<family_snapshot> snapshot() const {
    const std::lock_guard lock(mutex_);
    std::vector<family_snapshot> all;
    all.reserve(families_.size());
    for (const auto& [name, f] : families_) {
      family_snapshot& to = all.emplace_back();
      to.name = name;
      to.help = f.help;
      to.type = type_of(f);
      std::visit(
          [&to](const auto& series) {
            for (const auto& [labels, metric] : series) {
              to.series.push_back({labels, value_of(metric)});
            }
          },
          f.series);
    }
    return all;
  }

 private:
  template <class Metric>
  using series_of = std::map<label_set, Metric>;

  struct family {
    std::string help;
    std::string label_names;
    // In the order of metric_type. Nodes of a map stay where they are.
    std::variant<series_of<counter>, series_of<gauge>, series_of<histogram>> series;
  };

  static metric_type type_of(const family& f) { return static_cast<metric_type>(f.series.index()); }

  static std::uint64_t value_of(const counter& c) { return c.value(); }
  static double value_of(const gauge& g) { return g.value(); }
  static histogram_values value_of(const histogram& h) { return h.values(); }

  template <class Metric, class... Bounds>
  Metric& get(std::string_view where, std::string_view name, std::string_view help,
              label_set labels, const Bounds&... bounds) {
    family fresh{std::string(help), {}, series_of<Metric>()};
    const metric_type type = type_of(fresh);
    detail::check_metric_name(where, name, type);
    if (help.empty() || !detail::is_utf8(help)) {
      fail(halfway::detail::concat(where, ": ", name,
                                   help.empty() ? ": help is empty" : ": help is not UTF-8"));
    }
    std::ranges::sort(labels);
    detail::check_labels(where, name, labels);
    fresh.label_names = detail::names_of(labels);

    const std::lock_guard lock(mutex_);
    const auto found = families_.find(name);
    if (found != families_.end()) {
      check_same(where, name, "type", telemetry::name(type),
                 telemetry::name(type_of(found->second)));
      check_same(where, name, "help", help, found->second.help);
      check_same(where, name, "labels", fresh.label_names, found->second.label_names);
    }
    family& f = found != families_.end()
                    ? found->second
                    : families_.emplace(std::string(name), std::move(fresh)).first->second;
    auto& series = *std::get_if<series_of<Metric>>(&f.series);
    (check_bounds(where, name, bounds, series), ...);
    return series.try_emplace(std::move(labels), bounds...).first->second;
  }

  static void check_same(std::string_view where, std::string_view name, std::string_view what,
                         std::string_view given, std::string_view existing) {
    if (given != existing) {
      fail(halfway::detail::concat(where, ": ", name, " exists with ", what, " \"", existing,
                                   "\", not \"", given, "\""));
    }
  }

  static void check_bounds(std::string_view where, std::string_view name,
                           const std::vector<double>& bounds, const series_of<histogram>& series) {
    const auto text = [](const std::vector<double>& values) {
      std::string joined;
      for (const double v : values)
        joined += (joined.empty() ? "" : " ") + halfway::detail::to_text(v);
      return joined;
    };
    if (!series.empty()) {
      check_same(where, name, "bounds", text(bounds), text(series.begin()->second.bounds()));
    }
  }

  std::chrono::system_clock::time_point created_ = std::chrono::system_clock::now();
  mutable std::mutex mutex_;
  std::map<std::string, family, std::less<>> families_;
};

}  // namespace halfway::telemetry

#endif  // HALFWAY_TELEMETRY_REGISTRY_H_
