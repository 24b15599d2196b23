// SPDX-License-Identifier: Apache-2.0
#include "halfway/telemetry/metrics_json.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

namespace halfway::telemetry {
namespace {

using nlohmann::json;

constexpr double infinity = std::numeric_limits<double>::infinity();

constexpr std::chrono::system_clock::time_point now(std::chrono::seconds(1700000060));

// The metric called `name`, of all that stands where OTLP has it.
json metric(const registry& r, const std::string& name) {
  const json all = json::parse(to_otlp_json(r, {.service = "a \"service\"", .now = now}));
  for (const json& m : all.at("resourceMetrics").at(0).at("scopeMetrics").at(0).at("metrics")) {
    if (m.at("name") == name) return m;
  }
  ADD_FAILURE() << name;
  return {};
}

json text_attribute(const std::string& key, const std::string& value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}

TEST(MetricsJson, NamesTheServiceAndTheScope) {
  registry r;
  const json all = json::parse(to_otlp_json(r, {.service = "a \"service\"", .now = now}));
  ASSERT_EQ(all.at("resourceMetrics").size(), 1u);
  const json& resource = all["resourceMetrics"][0];
  EXPECT_EQ(resource.at("resource").at("attributes").at(0),
            text_attribute("service.name", "a \"service\""));
  ASSERT_EQ(resource.at("scopeMetrics").size(), 1u);
  EXPECT_EQ(resource["scopeMetrics"][0].at("scope").at("name"), "halfway");
  EXPECT_EQ(resource["scopeMetrics"][0].at("metrics"), json::array());
}

TEST(MetricsJson, CountsSinceTheRegistryWasMade) {
  const auto before = std::chrono::system_clock::now();
  const registry r;
  EXPECT_GE(r.created(), before);
  EXPECT_LE(r.created(), std::chrono::system_clock::now());
}

TEST(MetricsJson, CountersAreCumulativeMonotonicSums) {
  registry r;
  const auto add = [&r](const char* outcome, std::uint64_t n) {
    r.get_counter("app_read_bytes_total", "Read.", {{"b", outcome}, {"a", "x\n"}}).add(n);
  };
  constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  add("1", 9007199254740993);  // no double
  add("2", largest);
  add("3", largest + 1);  // 2^63, a double
  const json m = metric(r, "app_read_bytes_total");
  EXPECT_EQ(m.at("description"), "Read.");
  EXPECT_EQ(m.at("unit"), "By");
  EXPECT_EQ(m.at("sum").at("aggregationTemporality"), 2);
  EXPECT_EQ(m["sum"].at("isMonotonic"), true);
  const json& points = m["sum"].at("dataPoints");
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(
      points[0],
      (json{{"attributes", {text_attribute("a", "x\n"), text_attribute("b", "1")}},
            {"startTimeUnixNano",
             std::to_string(std::chrono::nanoseconds(r.created().time_since_epoch()).count())},
            {"timeUnixNano", "1700000060000000000"},
            {"asInt", "9007199254740993"}}));
  EXPECT_EQ(points[1].at("asInt"), "9223372036854775807");
  EXPECT_FALSE(points[2].contains("asInt"));
  EXPECT_EQ(points[2].at("asDouble").get<double>(), 0x1p63);
}

TEST(MetricsJson, GaugesKeepEveryBit) {
  registry r;
  const double values[] = {0.1, -1.0 / 3, 5e-324, std::numeric_limits<double>::max()};
  for (std::size_t i = 0; i != 4; ++i) {
    r.get_gauge("app_load_ratio", "Load.", {{"i", std::to_string(i)}}).set(values[i]);
  }
  r.get_gauge("app_load_ratio", "Load.", {{"i", "4"}}).set(std::nan(""));
  r.get_gauge("app_load_ratio", "Load.", {{"i", "5"}}).set(infinity);
  r.get_gauge("app_load_ratio", "Load.", {{"i", "6"}}).set(-infinity);
  const json m = metric(r, "app_load_ratio");
  EXPECT_EQ(m.at("unit"), "1");
  const json& points = m.at("gauge").at("dataPoints");
  ASSERT_EQ(points.size(), 7u);
  for (std::size_t i = 0; i != 4; ++i) {
    EXPECT_EQ(points[i].at("asDouble").get<double>(), values[i]);
  }
  EXPECT_EQ(points[4].at("asDouble"), "NaN");
  EXPECT_EQ(points[5].at("asDouble"), "Infinity");
  EXPECT_EQ(points[6].at("asDouble"), "-Infinity");
}

TEST(MetricsJson, HistogramsHaveABucketMoreThanBounds) {
  registry r;
  histogram& h = r.get_histogram("app_run_seconds", "Runs.", {0.25, 1});
  for (const double v : {0.25, 0.5, 0.75, 8.0}) h.observe(v);
  const json m = metric(r, "app_run_seconds");
  EXPECT_EQ(m.at("unit"), "s");
  EXPECT_EQ(m.at("histogram").at("aggregationTemporality"), 2);
  const json& point = m["histogram"].at("dataPoints").at(0);
  EXPECT_EQ(point.at("count"), "4");
  EXPECT_EQ(point.at("sum"), 9.5);
  EXPECT_EQ(point.at("bucketCounts"), json({"1", "2", "1"}));  // each alone
  EXPECT_EQ(point.at("explicitBounds"), json({0.25, 1.0}));
  EXPECT_EQ(point.at("attributes"), json::array());
}

}  // namespace
}  // namespace halfway::telemetry
