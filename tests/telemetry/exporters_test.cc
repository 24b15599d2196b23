// SPDX-License-Identifier: Apache-2.0
// What the upper rooms export: the right values, under the names of telemetry/names.h and no others.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/fidelity/metrics.h"
#include "halfway/precision/metrics.h"
#include "halfway/simd/metrics.h"
#include "halfway/telemetry/checks.h"
#include "halfway/telemetry/names.h"
#include "halfway/telemetry/prometheus.h"
#include "halfway/training/metrics.h"
#include "telemetry/promtool.h"

namespace halfway {
namespace {

using telemetry::registry;

constexpr float infinity = std::numeric_limits<float>::infinity();

// The page has this line.
void expect_line(const registry& r, const std::string& line) {
  const std::string page = "\n" + to_prometheus_text(r);
  EXPECT_NE(page.find("\n" + line + "\n"), std::string::npos) << line << " is not in " << page;
}

TEST(Exporters, LossScaler) {
  registry r;
  loss_scaler_metrics exported(r);
  expect_line(r, "halfway_loss_scale NaN");
  loss_scaler_options options;
  options.initial_scale = 4;
  options.growth_interval = 2;
  loss_scaler scaler(options);
  const auto step = [&](float gradient) {
    std::array<float, 3> g = {1, gradient, gradient};
    scaler.unscale(g);
    scaler.update();
    exported.update(scaler);
  };
  step(infinity);  // 4 -> 2
  step(infinity);  // 2 -> 1, the smallest
  step(infinity);
  expect_line(r, "halfway_skips_at_floor 1");
  for (int i = 0; i != 5; ++i) step(1);  // 1 -> 2 -> 4
  expect_line(r, "halfway_loss_scale 4");
  expect_line(r, "halfway_steps_total{outcome=\"good\"} 5");
  expect_line(r, "halfway_steps_total{outcome=\"skipped\"} 3");
  expect_line(r, "halfway_loss_scale_changes_total{direction=\"up\"} 2");
  expect_line(r, "halfway_loss_scale_changes_total{direction=\"down\"} 2");
  expect_line(r, "halfway_non_finite_gradients_total 6");
  expect_line(r, "halfway_skips_at_floor 0");
}

TEST(Exporters, AdaptivePrecision) {
  registry r;
  precision_metrics exported(r);
  adaptive_precision adaptive;
  adaptive.on_switch([&](const precision_switch& s) { exported.record(s); });
  const std::size_t a = adaptive.add_layer("a");
  exported.update(adaptive);
  expect_line(r, "halfway_layer_value_bytes{layer=\"a\"} 2");
  const std::size_t b = adaptive.add_layer("b");
  adaptive.observe(a, {.amax = 60000});              // to bfloat16
  adaptive.observe(b, {.amax = 1, .sqnr_db = 3.0});  // to float32, which has the digits
  for (int i = 0; i != 4; ++i) adaptive.observe(b, {.amax = infinity});  // which can't help
  exported.update(adaptive);
  exported.update(adaptive);
  expect_line(r,
              "halfway_precision_switches_total{from=\"float16\",layer=\"a\",reason=\"range\","
              "to=\"bfloat16\"} 1");
  expect_line(r,
              "halfway_precision_switches_total{from=\"float16\",layer=\"b\",reason=\"fidelity\","
              "to=\"float32\"} 1");
  expect_line(r, "halfway_layer_value_bytes{layer=\"b\"} 4");
  expect_line(r, "halfway_helpless_calls_total{layer=\"a\"} 0");
  expect_line(r, "halfway_helpless_calls_total{layer=\"b\"} 4");
}

TEST(Exporters, NumericHealth) {
  registry r;
  numeric_health_metrics exported(r, "fc1");
  numeric_health h(dtype::float16);
  const std::vector<float> x = {0,     1,        infinity, std::numeric_limits<float>::quiet_NaN(),
                                70000, 65504,    1e-9f,    1e-9f,
                                1e-9f, 0x1p-24f, 1};
  for (int i = 0; i != 2; ++i) {
    h.add(x);
    exported.add(h);
    h.clear();
  }
  expect_line(r, "halfway_checked_values_total{layer=\"fc1\"} 22");
  expect_line(r, "halfway_non_finite_values_total{layer=\"fc1\"} 4");
  expect_line(r, "halfway_overflowed_values_total{layer=\"fc1\"} 4");
  expect_line(r, "halfway_flushed_values_total{layer=\"fc1\"} 6");
  expect_line(r, "halfway_subnormal_values_total{layer=\"fc1\"} 2");
  expect_line(r, "halfway_layer_amax{layer=\"fc1\"} +Inf");
}

TEST(Exporters, Comparisons) {
  registry r;
  comparison_metrics exported(r, "fc1");
  logit_comparison_metrics logits(r);
  expect_line(r, "halfway_layer_sqnr_db{layer=\"fc1\"} NaN");
  expect_line(r, "halfway_top1_agreement_ratio NaN");

  comparison c(dtype::bfloat16);
  c.add(std::vector<float>{10, 1}, std::vector<float>{11, infinity});
  exported.set(c);
  expect_line(r, "halfway_layer_sqnr_db{layer=\"fc1\"} 20");   // 10 log10(100 / 1)
  expect_line(r, "halfway_layer_max_ulps{layer=\"fc1\"} 16");  // 1 / 2^(3 - 7)
  expect_line(r, "halfway_layer_broken_values{layer=\"fc1\"} 1");

  matrix<float> baseline(4, 2), candidate(4, 2);
  for (std::size_t i = 0; i != 4; ++i) {
    baseline(i, 0) = candidate(i, 1) = 1;
    baseline(i, 1) = candidate(i, 0) = 1;
  }
  candidate(3, 1) = 2;                                        // another first choice
  candidate(2, 0) = std::numeric_limits<float>::quiet_NaN();  // no distribution
  logit_comparison l(2);
  l.add(baseline, candidate);
  logits.set(l);
  expect_line(r, "halfway_comparisons_total 1");
  expect_line(r, "halfway_compared_rows 4");
  expect_line(r, "halfway_broken_rows 1");
  expect_line(r, "halfway_top1_agreement_ratio 0.5");
  expect_line(r, "halfway_top_k_agreement_ratio 0.75");
  expect_line(r, "halfway_max_kl_nats " + telemetry::detail::prometheus_number(l.max_kl()));
  expect_line(r, "halfway_mean_kl_nats " + telemetry::detail::prometheus_number(l.mean_kl()));
  EXPECT_GT(l.max_kl(), l.mean_kl());
}

TEST(Exporters, Exponents) {
  registry r;
  exponent_metrics exported(r, "linear", dtype::float16);
  exponent_histogram h;
  h.add(std::vector<half>{half(0.0f), half(0x1p-24f), half(0x1.8p-15f), half(1.5f), half(-1.0f),
                          half(65504.0f), half(infinity)});
  for (int i = 0; i != 2; ++i) exported.add(h);
  const std::string labels = "{format=\"float16\",op=\"linear\"";
  const auto bucket = [&](const char* bound, const char* count) {
    expect_line(r, "halfway_value_exponent_bucket" + labels + ",le=\"" + bound + "\"} " + count);
  };
  bucket("-25", "0");
  bucket("-20", "2");
  bucket("-15", "4");
  bucket("-2", "4");
  bucket("0", "8");
  bucket("12", "8");
  bucket("15", "10");
  bucket("+Inf", "10");
  expect_line(r, "halfway_value_exponent_sum" + labels + "} -48");  // 2 (-24 - 15 + 0 + 0 + 15)
}

TEST(Exporters, ChecksAndMemory) {
  registry r;
  telemetry::check_metrics checks(r, telemetry::check_kind::checkpoint, "run");
  checks.record(true);
  EXPECT_EQ(checks.run([] { return 7; }), 7);
  checks.run([] {});
  EXPECT_THROW(checks.run([]() -> int { throw 1; }), int);
  expect_line(r, "halfway_checks_total{check=\"checkpoint\",outcome=\"passed\",subject=\"run\"} 3");
  expect_line(r, "halfway_checks_total{check=\"checkpoint\",outcome=\"failed\",subject=\"run\"} 1");
  telemetry::memory_metrics memory(r, "run");
  expect_line(r, "halfway_memory_bytes{figure=\"peak\",subject=\"run\"} NaN");
  memory.set(1000, 1500);
  expect_line(r, "halfway_memory_bytes{figure=\"estimated\",subject=\"run\"} 1000");
  expect_line(r, "halfway_memory_bytes{figure=\"peak\",subject=\"run\"} 1500");
}

TEST(Exporters, SimdTarget) {
  registry r;
  export_simd_target(r);
  expect_line(r, std::string("halfway_simd_info{target=\"") + simd_target_name() + "\"} 1");
  export_native_products(r, dtype::float8_e5m2);
  expect_line(r, "halfway_native_products{format=\"float8_e5m2\"} 0");
  export_native_products(r, dtype::int8);
  expect_line(r, "halfway_native_products{format=\"int8\"} 1");
  export_native_products(r, dtype::bfloat16);
  expect_line(r, std::string("halfway_native_products{format=\"bfloat16\"} ") +
                     (HWY_NATIVE_DOT_BF16 ? "1" : "0"));
}

// All of them in one registry: the library's list, no more and no less, and to promtool's liking.
TEST(Exporters, ExportTheListedFamilies) {
  registry r;
  loss_scaler_metrics of_scaler(r);
  precision_metrics of_precision(r);
  of_precision.record({.layer = "fc1"});
  adaptive_precision adaptive;
  adaptive.add_layer("fc1");
  of_precision.update(adaptive);
  numeric_health_metrics of_health(r, "fc1");
  comparison_metrics of_comparison(r, "fc1");
  logit_comparison_metrics of_logits(r);
  exponent_metrics of_exponents(r, "linear", dtype::bfloat16);
  telemetry::check_metrics of_checks(r, telemetry::check_kind::canary, "model");
  telemetry::memory_metrics of_memory(r, "model");
  export_simd_target(r);
  export_native_products(r, dtype::bfloat16);
  inference_seconds(r, "bfloat16").observe(0.02);

  const auto families = r.snapshot();
  EXPECT_EQ(families.size(), telemetry::library_metrics.size());
  for (const telemetry::metric_description& d : telemetry::library_metrics) {
    const auto found = std::ranges::find(families, d.name,
                                         [](const auto& f) -> std::string_view { return f.name; });
    ASSERT_NE(found, families.end()) << d.name;
    EXPECT_EQ(found->type, d.type) << d.name;
    EXPECT_EQ(found->help, d.help) << d.name;
    std::vector<std::string_view> expected, labels;
    for (const std::string_view label : d.labels) {
      if (!label.empty()) expected.push_back(label);
    }
    for (const telemetry::label& l : found->series[0].labels) labels.push_back(l.name);
    std::ranges::sort(expected);
    EXPECT_EQ(labels, expected) << d.name;
  }
  const testing::promtool tool;
  if (!tool.exists()) GTEST_SKIP() << tool.missing;
  EXPECT_EQ(tool.check_metrics(to_prometheus_text(r)), "");
}

}  // namespace
}  // namespace halfway
