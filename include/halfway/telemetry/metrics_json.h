// SPDX-License-Identifier: Apache-2.0
// A registry as OpenTelemetry's JSON (OTLP/JSON, the body of an export request to /v1/metrics).
//
//   std::ofstream("metrics.json") << to_otlp_json(metrics, {.service = "trainer"});
//
// Source: opentelemetry-proto 1.x, metrics.proto, and "OTLP/JSON Protobuf Encoding": lowerCamelCase
// keys, 64-bit integers as strings of decimal digits, enums as numbers.
#ifndef HALFWAY_TELEMETRY_METRICS_JSON_H_
#define HALFWAY_TELEMETRY_METRICS_JSON_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/telemetry/registry.h"
#include "halfway/telemetry/text.h"

namespace halfway::telemetry {

/// What stands around the metrics.
struct otlp_options {
  std::string service = "halfway";  ///< the resource's service.name
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();  ///< of the values
};

namespace detail {

// The unit that a Prometheus name ends with, in the UCUM that OpenTelemetry asks for; empty if it
// ends with none.
inline std::string_view unit_of(std::string_view name) {
  if (name.ends_with("_total")) name.remove_suffix(std::string_view("_total").size());
  constexpr std::pair<std::string_view, std::string_view> units[] = {
      {"_seconds", "s"}, {"_bytes", "By"}, {"_ratio", "1"}, {"_db", "dB"}};
  for (const auto& [suffix, unit] : units) {
    if (name.ends_with(suffix)) return unit;
  }
  return {};
}

inline std::string json_list(const std::vector<std::string>& items) {
  std::string json = "[";
  for (const std::string& item : items) json += (json.size() == 1 ? "" : ",") + item;
  return json + "]";
}

class otlp_writer {
 public:
  otlp_writer(std::chrono::system_clock::time_point start,
              std::chrono::system_clock::time_point now)
      : times_(halfway::detail::concat("\"startTimeUnixNano\":\"", nanoseconds(start),
                                       "\",\"timeUnixNano\":\"", nanoseconds(now), "\"")) {}

  std::string metric(const family_snapshot& f) const {
    using halfway::detail::concat;
    std::vector<std::string> points;
    for (const series_snapshot& s : f.series) {
      points.push_back(concat("{\"attributes\":", attributes(s.labels), ",", times_, ",",
                              std::visit([](const auto& v) { return value(v); }, s.value), "}"));
    }
    // 2: AGGREGATION_TEMPORALITY_CUMULATIVE
    constexpr std::string_view cumulative = "\"aggregationTemporality\":2,";
    const std::string_view kind = f.type == metric_type::counter ? "sum" : name(f.type);
    return concat("{\"name\":", json_string(f.name), ",\"description\":", json_string(f.help),
                  ",\"unit\":", json_string(unit_of(f.name)), ",\"", kind, "\":{",
                  f.type == metric_type::gauge ? "" : cumulative,
                  f.type == metric_type::counter ? "\"isMonotonic\":true," : "",
                  "\"dataPoints\":", json_list(points), "}}");
  }

  static std::string attribute(std::string_view key, std::string_view text) {
    return halfway::detail::concat("{\"key\":", json_string(key),
                                   ",\"value\":{\"stringValue\":", json_string(text), "}}");
  }

 private:
  static std::int64_t nanoseconds(std::chrono::system_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  }

  static std::string attributes(const label_set& labels) {
    std::vector<std::string> all;
    for (const label& l : labels) all.push_back(attribute(l.name, l.value));
    return json_list(all);
  }

  // asInt is signed: past it, the nearest double.
  static std::string value(std::uint64_t v) {
    if (v > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return value(static_cast<double>(v));
    }
    return halfway::detail::concat("\"asInt\":\"", v, "\"");
  }
  static std::string value(double v) {
    return halfway::detail::concat("\"asDouble\":", json_number(v));
  }
  static std::string value(const histogram_values& h) {
    std::vector<std::string> bounds, counts;
    for (const double bound : h.bounds) bounds.push_back(json_number(bound));
    for (const std::uint64_t n : h.counts) {
      counts.push_back(halfway::detail::concat("\"", n, "\""));
    }
    return halfway::detail::concat("\"count\":\"", h.count(), "\",\"sum\":", json_number(h.sum),
                                   ",\"bucketCounts\":", json_list(counts),
                                   ",\"explicitBounds\":", json_list(bounds));
  }

  std::string times_;
};

}  // namespace detail

/// One line. Counters become cumulative monotonic sums since the registry was made, labels
/// attributes; names stay as they are, with the unit also apart. NaN and infinities are the strings
/// that protobuf's JSON has for them.
inline std::string to_otlp_json(const registry& metrics, const otlp_options& options = {}) {
  const detail::otlp_writer writer(metrics.created(), options.now);
  std::vector<std::string> all;
  for (const family_snapshot& f : metrics.snapshot()) all.push_back(writer.metric(f));
  return halfway::detail::concat(
      "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[",
      detail::otlp_writer::attribute("service.name", options.service),
      "]},\"scopeMetrics\":[{\"scope\":{\"name\":\"halfway\"},\"metrics\":", detail::json_list(all),
      "}]}]}\n");
}

}  // namespace halfway::telemetry

#endif  // HALFWAY_TELEMETRY_METRICS_JSON_H_
