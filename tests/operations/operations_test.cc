// SPDX-License-Identifier: Apache-2.0
// docs/operations.md: each way to fail happens, shows in the exported text, has its alert fire, and
// is well again after the code of the page.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "halfway/fidelity/canary.h"
#include "halfway/fidelity/digest.h"
#include "halfway/fidelity/drift.h"
#include "halfway/fidelity/metrics.h"
#include "halfway/io/checkpoint.h"
#include "halfway/io/mapped_file.h"
#include "halfway/ops/reduce.h"
#include "halfway/ops/softmax_cross_entropy.h"
#include "halfway/precision/adaptive_runner.h"
#include "halfway/precision/health_watch.h"
#include "halfway/precision/metrics.h"
#include "halfway/precision/plan_memory.h"
#include "halfway/simd/metrics.h"
#include "halfway/telemetry/checks.h"
#include "halfway/telemetry/prometheus.h"
#include "halfway/training/metrics.h"
#include "operations/rule_engine.h"
#include "support/executors.h"
#include "support/guide.h"
#include "support/temporary_folder.h"

namespace halfway::testing {
namespace {

using telemetry::check_kind;
using telemetry::check_metrics;
using alert_names = std::set<std::string>;

matrix<float> normals(std::size_t rows, std::size_t cols, unsigned seed, float deviation) {
  matrix<float> m(rows, cols);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  for (float& x : m.elements()) x = normal(random);
  return m;
}

// x -> fc1 -> relu -> fc2 -> logits
struct classifier {
  static constexpr std::size_t rows = 256, features = 32, hidden = 48, classes = 10;

  classifier() {
    const auto in = g.input("x", {rows, features});
    const auto p1 = g.parameter("fc1.weight", {features, hidden});
    const auto p2 = g.parameter("fc2.weight", {hidden, classes});
    const auto h = g.add("fc1", op::linear, {in, p1});
    g.output(g.add("fc2", op::linear, {g.add("relu", op::relu, {h}), p2}));
  }
  graph_parameters parameters() const {
    return {{"fc1.weight", w1.view()}, {"fc2.weight", w2.view()}};
  }
  precision_plan plan(dtype type) const { return make_plan(g, assign_all(g, type)); }

  graph g;
  matrix<float> w1 = normals(features, hidden, 1, 0.25f), w2 = normals(hidden, classes, 2, 0.2f);
};

class Operations : public ::testing::Test {
 protected:
  std::string page() const { return to_prometheus_text(metrics); }
  double sample(const std::string& series) const {
    const auto samples = samples_of(page());
    const auto found = samples.find(series);
    EXPECT_NE(found, samples.end()) << series << " is not in\n" << page();
    return found == samples.end() ? std::nan("") : std::strtod(found->second.c_str(), nullptr);
  }
  double failed(const std::string& check, const std::string& subject) const {
    return sample("halfway_checks_total{check=\"" + check + "\",outcome=\"failed\",subject=\"" +
                  subject + "\"}");
  }
  // Of what has happened since `before`, where promtool is there to say it.
  void expect_alerts(const std::string& before, const alert_names& expected) const {
    if (!promtool().exists()) return;
    EXPECT_EQ(alerts_after({before, page()}), expected) << page();
  }
  void TearDown() override {
    if (!promtool().exists() && !HasFailure()) GTEST_SKIP() << promtool::missing;
  }

  telemetry::registry metrics;
};

// Inputs so small that float8_e4m3fn has no numbers for them, and a type that makes zeros of them.
TEST_F(Operations, AccuracyRegression) {
  const classifier c;
  const graph& g = c.g;
  graph_runner runner(g, c.parameters());
  const auto x = normals(c.rows, c.features, 3, 0x1p-9f);
  const matrix<float> exact = runner.run(c.plan(dtype::float32), {{"x", x}})[0];

  logit_comparison_metrics of_logits(metrics);
  comparison_metrics of_values(metrics, "fc1");
  check_metrics of_canary(metrics, check_kind::canary, "candidate");
  const auto first_of = [](std::span<const float> row) {
    return std::ranges::max_element(row) - row.begin();
  };
  const auto judge = [&](const precision_plan& plan) {
    const matrix<float> y = runner.run(plan, {{"x", x}})[0];
    logit_comparison logits(5);
    logits.add(exact, y);
    of_logits.set(logits);
    comparison values;
    values.add(exact.elements(), y.elements());
    of_values.set(values);
    canary test(0.02);  // at most 2 % more mistakes
    for (std::size_t turn = 0; turn != 8; ++turn) {
      for (std::size_t i = 0; i != y.rows() && test.decide() == canary_verdict::undecided; ++i) {
        test.add(0, first_of(exact.row(i)) == first_of(y.row(i)) ? 0 : 1);
      }
    }
    EXPECT_NE(test.decide(), canary_verdict::undecided);
    of_canary.record(test.decide() != canary_verdict::worse);
  };
  const std::string before = page();
  judge(c.plan(dtype::float8_e4m3fn));
  EXPECT_LT(sample("halfway_top1_agreement_ratio"), 0.98);
  EXPECT_LT(sample("halfway_layer_sqnr_db{layer=\"fc1\"}"), 20);
  EXPECT_EQ(failed("canary", "candidate"), 1);
  expect_alerts(before, {"HalfwayAccuracyBelowObjective", "HalfwayLayerFarFromBaseline",
                         "HalfwayCanaryRejected"});

  // clang-format off
halfway::precision_rules rules{halfway::amp_bf16};
rules.layers.add("fc1", halfway::dtype::float32, "SQNR below its objective");
const auto remedy = halfway::make_plan(g, halfway::assign(g, rules));
  // clang-format on
  const std::string after = page();
  judge(remedy);
  EXPECT_GT(sample("halfway_top1_agreement_ratio"), 0.98);
  expect_alerts(after, sample("halfway_top1_agreement_ratio") >= 0.99
                           ? alert_names{}
                           : alert_names{"HalfwayAccuracyNearObjective"});
}

// A trained classifier's gradients, of the mean over a batch, in float16 without a scale.
TEST_F(Operations, Underflow) {
  matrix<float> logits = normals(512, 10, 4, 1);
  std::vector<std::int32_t> labels(512);
  for (std::size_t i = 0; i != labels.size(); ++i) {
    labels[i] = static_cast<std::int32_t>(i % 10);
    logits(i, i % 10) += 14;  // it is sure
  }
  numeric_health_metrics exported(metrics, "logits.gradient");
  const auto flushed = [&](const matrix<half>& stored, float scale) {
    matrix<float> exact(512, 10);
    softmax_cross_entropy(logits, labels, exact, scale);
    numeric_health health(dtype::float16);
    health.add(exact.elements());
    exported.add(health);
    const auto zeros =
        std::ranges::count_if(stored.elements(), [](half x) { return static_cast<float>(x) == 0; });
    EXPECT_EQ(health.underflow(), static_cast<std::size_t>(zeros));
  };
  matrix<half> d_logits(512, 10);
  const std::string before = page();
  softmax_cross_entropy(logits, labels, d_logits);
  flushed(d_logits, 1);
  const std::string gradients = "{layer=\"logits.gradient\"}";
  EXPECT_GT(sample("halfway_flushed_values_total" + gradients),
            0.05 * sample("halfway_checked_values_total" + gradients));
  expect_alerts(before, {"HalfwayValuesFlushToZero"});

  const std::string after = page();
  // clang-format off
halfway::loss_scaler scaler;  // dynamic, from 65536
halfway::softmax_cross_entropy(logits, labels, d_logits, scaler.scale());
  // clang-format on
  flushed(d_logits, scaler.scale());
  expect_alerts(after, {});
}

TEST_F(Operations, OverflowAndNaN) {
  const classifier c;
  const graph& g = c.g;
  const graph_parameters parameters = c.parameters();
  const auto x = normals(c.rows, c.features, 5, 40000);  // a forgotten normalization
  graph_runner runner(g, parameters);
  health_watch watch(metrics, {.every = 1});
  const std::string before = page();
  runner.run(c.plan(dtype::float16), {{"x", x}}, watch.next());
  EXPECT_GT(sample("halfway_non_finite_values_total{layer=\"relu\"}"), 0);
  expect_alerts(before, {"HalfwayNonFiniteValues"});

  // clang-format off
halfway::adaptive_runner model(g, parameters);  // float16, else bfloat16, else float32
const auto finite = model.run({{"x", x}});
  // clang-format on
  numeric_health health(dtype::float32);
  health.add(finite[0].elements());
  EXPECT_EQ(health.non_finite(), 0u);
  EXPECT_GE(model.redone_runs(), 1u);
}

// Before it happens: what float16 would make of values that are still stored in float32.
TEST_F(Operations, OverflowIsSeenBeforeItIsStored) {
  const classifier c;
  const auto x = normals(c.rows, c.features, 6, 40000);
  graph_runner runner(c.g, c.parameters());
  health_watch watch(metrics, {.every = 1, .target = dtype::float16});
  const std::string before = page();
  runner.run(c.plan(dtype::float32), {{"x", x}}, watch.next());
  EXPECT_GT(sample("halfway_overflowed_values_total{layer=\"relu\"}"), 0);
  expect_alerts(before, {"HalfwayValuesOverflow"});

  // An adaptive runner's shadow runs show the same.
  const double seen = sample("halfway_overflowed_values_total{layer=\"relu\"}");
  adaptive_runner_options options;
  options.shadow_observer = [&](const node_result& r) { watch.look(r); };
  adaptive_runner model(c.g, c.parameters(), options);
  model.run({{"x", x}});
  EXPECT_EQ(model.shadow_runs(), 1u);
  EXPECT_EQ(sample("halfway_overflowed_values_total{layer=\"relu\"}"), 2 * seen);
}

TEST_F(Operations, MemorySurprise) {
  const classifier c;
  const auto x = normals(c.rows, c.features, 7, 1);
  graph_runner runner(c.g, c.parameters());
  telemetry::memory_metrics of_memory(metrics, "classifier");
  const precision_plan plan = c.plan(dtype::bfloat16);
  const auto measure = [&] {
    of_memory.set(plan.parameter_bytes + working_bytes(plan),
                  runner.prepared_bytes() + runner.working_bytes());
  };
  // Somebody tries every type, and leaves them all.
  const std::string before = page();
  for (const dtype type :
       {dtype::float32, dtype::float16, dtype::float8_e4m3fn, dtype::int8, dtype::bfloat16}) {
    runner.run(c.plan(type), {{"x", x}});
  }
  measure();
  const std::string peak = "halfway_memory_bytes{figure=\"peak\",subject=\"classifier\"}";
  const double surprise = sample(peak);
  EXPECT_GT(surprise,
            1.5 * sample("halfway_memory_bytes{figure=\"estimated\",subject=\"classifier\"}"));
  expect_alerts(before, {"HalfwayMemoryAboveEstimate"});

  // clang-format off
runner.parameters_changed();  // casts are made again, of this plan's types only
runner.run(plan, {{"x", x}});
of_memory.set(plan.parameter_bytes + working_bytes(plan),
              runner.prepared_bytes() + runner.working_bytes());
  // clang-format on
  EXPECT_LT(sample(peak), surprise);
}

// This program is compiled for one target, from plain flags: on x86, SSE2.
TEST_F(Operations, SlowPath) {
  const std::string before = page();
  export_simd_target(metrics);
  export_native_products(metrics, dtype::bfloat16);
  export_native_products(metrics, dtype::int8);
  const std::string target = simd_target_name();
  EXPECT_EQ(sample("halfway_simd_info{target=\"" + target + "\"}"), 1);
  alert_names expected;
  if (target == "SSE2" || target == "EMU128") expected.insert("HalfwaySlowTarget");
  if (sample("halfway_native_products{format=\"bfloat16\"}") == 0) {
    expected.insert("HalfwayFormatIsEmulated");
  }
  expect_alerts(before, expected);

  // clang-format off
const bool fast = halfway::has_native_products(halfway::dtype::bfloat16);
const auto policy = fast ? halfway::amp_bf16 : halfway::fp32;  // int8 is native everywhere
  // clang-format on
  telemetry::registry remedied;
  export_native_products(remedied, policy.compute);
  EXPECT_EQ(samples_of(to_prometheus_text(remedied))["halfway_native_products{format=\"" +
                                                     std::string(name(policy.compute)) + "\"}"],
            "1");
  EXPECT_EQ(sample("halfway_native_products{format=\"int8\"}"), 1);
}

TEST_F(Operations, Drift) {
  const auto amax_of = [](unsigned seed, float deviation) {
    std::vector<double> all;
    for (unsigned i = 0; i != 300; ++i) {
      all.push_back(static_cast<double>(amax(normals(4, 16, seed + i, deviation).elements())));
    }
    return all;
  };
  drift_detector drift(amax_of(1000, 1), 100, 0.01);
  check_metrics of_inputs(metrics, check_kind::drift, "x");
  const auto serve = [&](drift_detector& detector, const std::vector<double>& values) {
    const std::size_t tested = detector.windows();
    for (const double value : values) detector.add(value);
    EXPECT_EQ(detector.windows(), tested + values.size() / 100);
    of_inputs.record(!detector.drifted());
  };
  const std::string before = page();
  serve(drift, amax_of(2000, 1));
  expect_alerts(before, {});
  const std::string well = page();
  const std::vector<double> amax_of_today = amax_of(3000, 1.5f);
  serve(drift, amax_of_today);
  EXPECT_EQ(failed("drift", "x"), 1);
  expect_alerts(well, {"HalfwayInputsDrifted"});

  const matrix<float> x = normals(64, 64, 4000, 1.5f);
  // clang-format off
halfway::exponent_histogram today;
today.add(x.elements());
const bool float16_holds = today.count_below(-24) == 0 && today.count_below(16) == today.count();
halfway::drift_detector again(amax_of_today, 100, 0.01);
  // clang-format on
  EXPECT_TRUE(float16_holds);
  const std::string after = page();
  serve(again, amax_of(5000, 1.5f));
  expect_alerts(after, {});
}

// A sum of parts in the order in which threads come, which is another one each time.
TEST_F(Operations, NonDeterminism) {
  const matrix<float> m = normals(64, 64, 8, 1);
  const std::span<const float> values = m.elements();
  const auto as_they_come = [&](executor_ref on) {
    float sum = 0;
    on.run(64, [&](std::size_t task) {
      for (const float x : values.subspan(64 * task, 64)) sum += x;
    });
    return sum;
  };
  const auto digest_of = [](float total) {
    bit_digest d;
    d.add(std::array{total});
    return d.value();
  };
  check_metrics of_bits(metrics, check_kind::reproducibility, "loss");
  backward_executor other_order{2};
  const std::string before = page();
  of_bits.record(digest_of(as_they_come(other_order)) == digest_of(as_they_come({})));
  EXPECT_EQ(failed("reproducibility", "loss"), 1);
  expect_alerts(before, {"HalfwayNotReproducible"});

  const std::string after = page();
  const std::uint64_t expected = digest_of(sum(values));
  const executor_ref on = other_order;
  // clang-format off
const std::array total{halfway::sum(values, on)};  // the same bits on any executor
halfway::bit_digest digest;
digest.add(total);
of_bits.record(digest.value() == expected);
  // clang-format on
  EXPECT_EQ(failed("reproducibility", "loss"), 1);
  expect_alerts(after, {});
}

TEST_F(Operations, ScalerCollapse) {
  const temporary_folder folder;
  const std::filesystem::path here = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  std::vector<float> weights(8, 0.5f);
  halfway::loss_scaler scaler(
      loss_scaler_options{.initial_scale = 8, .hysteresis = 1, .max_skips_at_floor = 12});
  loss_scaler_metrics exported(metrics);
  const auto train = [&] {
    std::vector<half> gradients(weights.size());
    for (std::size_t i = 0; i != weights.size(); ++i) {
      gradients[i] = half(weights[i] * scaler.scale());
    }
    std::vector<float> unscaled(weights.size());
    scaler.unscale(gradients, unscaled);
  };
  train();
  scaler.update();
  checkpoint_writer out;
  out.weights("fc1", weights, {8}, weight_role::master);
  out.scaler(scaler);
  out.write("last.safetensors");
  exported.update(scaler);
  const std::string before = page();

  weights[3] = std::nanf("");      // by a step that went wrong
  for (int i = 0; i != 14; ++i) {  // 3 steps down to 1, and 11 there
    train();
    scaler.update();
  }
  exported.update(scaler);
  EXPECT_EQ(sample("halfway_skips_at_floor"), 11);
  expect_alerts(before, {"HalfwayLossScaleAtFloor", "HalfwayStepsAreSkipped"});

  train();  // the twelfth is one too many
  // clang-format off
try {
  scaler.update();
} catch (const halfway::error&) {
  const halfway::checkpoint_reader last("last.safetensors");
  last.weights("fc1", weights);
  scaler = last.scaler();
}
  // clang-format on
  std::filesystem::current_path(here);
  telemetry::registry restarted;
  loss_scaler_metrics of_restarted(restarted);
  const std::uint64_t skipped = scaler.statistics().skipped;
  of_restarted.update(scaler);
  const std::string again = to_prometheus_text(restarted);
  train();
  scaler.update();
  of_restarted.update(scaler);
  EXPECT_EQ(scaler.statistics().skipped, skipped);
  EXPECT_EQ(scaler.scale(), 8);
  if (promtool().exists()) {
    EXPECT_EQ(alerts_after({again, to_prometheus_text(restarted)}), alert_names{});
  }
}

TEST_F(Operations, DamagedCheckpoint) {
  const temporary_folder folder;
  const auto digest_of = [](const std::string& file) {
    const mapped_file bytes(file);
    bit_digest d;
    d.add(bytes.bytes());
    return d.value();
  };
  const auto write = [&](const std::string& file, float value) {
    checkpoint_writer out;
    out.weights("fc1", std::vector<float>(64, value), {64}, weight_role::master);
    out.write(file);
    return digest_of(file);
  };
  const std::string older = folder.file("1.safetensors"), newest = folder.file("2.safetensors");
  const std::uint64_t of_older = write(older, 1), of_newest = write(newest, 2);
  check_metrics of_files(metrics, check_kind::checkpoint, "run");
  // clang-format off
const auto open_checked = [&](const std::string& file, std::uint64_t noted) {
  return of_files.run([&] {
    const halfway::mapped_file bytes(file);
    halfway::bit_digest digest;
    digest.add(bytes.bytes());
    if (digest.value() != noted) throw halfway::error(file + ": not as it was written");
    return halfway::checkpoint_reader(file);
  });
};
  // clang-format on
  open_checked(newest, of_newest);
  // A bit of a weight, which the format can't know of; then one of the header, which it refuses.
  std::string bytes = text_of_file(newest);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(newest, std::ios::binary) << bytes;
  EXPECT_NO_THROW(checkpoint_reader{newest});
  const std::string before = page();
  EXPECT_THROW(open_checked(newest, of_newest), error);
  expect_alerts(before, {"HalfwayCheckpointDamaged"});
  bytes[9] = static_cast<char>(bytes[9] ^ 1);
  std::ofstream(newest, std::ios::binary) << bytes;
  EXPECT_THROW(of_files.run([&] { return checkpoint_reader(newest); }), error);
  EXPECT_EQ(failed("checkpoint", "run"), 2);

  const std::string after = page();
  std::vector<float> weights(64);
  open_checked(older, of_older).weights("fc1", weights);
  EXPECT_EQ(weights[63], 1);
  expect_alerts(after, {});
}

TEST_F(Operations, BlindSpot) {
  const classifier c;
  const auto x = normals(c.rows, c.features, 9, 1);
  graph_runner runner(c.g, c.parameters());
  const precision_plan plan = c.plan(dtype::bfloat16);
  telemetry::histogram& seconds = telemetry::inference_seconds(metrics, "bfloat16");
  logit_comparison_metrics of_logits(metrics);
  const auto serve = [&](const run_options& options) {
    const telemetry::scoped_timer timer(seconds);
    return runner.run(plan, {{"x", x}}, options);
  };
  std::string before = page();
  serve({});
  EXPECT_EQ(sample("halfway_inference_seconds_count{precision=\"bfloat16\"}"), 1);
  EXPECT_EQ(sample("halfway_comparisons_total"), 0);
  if (promtool().exists()) {
    const auto series = series_of({before, page()});
    EXPECT_EQ(alerts_in(series, 45), alert_names{"HalfwayNothingIsChecked"});
    EXPECT_EQ(alerts_in(series, 190),
              (alert_names{"HalfwayNothingIsChecked", "HalfwayComparisonIsStale"}));
    // Gone after an hour.
    EXPECT_TRUE(alerts_in(series_of({before, page()}, true), 75).contains("HalfwayMetricsAbsent"));
  }
  {
    before = page();
    // clang-format off
halfway::health_watch watch(metrics, {.every = 64, .target = halfway::dtype::float16});
const auto y = runner.run(plan, {{"x", x}}, watch.next());
    // clang-format on
    serve({});
    logit_comparison logits(5);
    logits.add(runner.run(c.plan(dtype::float32), {{"x", x}})[0], y[0]);
    of_logits.set(logits);
    EXPECT_GT(sample("halfway_checked_values_total{layer=\"fc2\"}"), 0);
    // Only every 64th run is looked at; the other runs are given no observer.
    EXPECT_EQ(watch.next().observer, nullptr);
    for (int i = 2; i != 64; ++i) EXPECT_EQ(watch.next().observer, nullptr) << i;
    EXPECT_NE(watch.next().observer, nullptr);
    if (promtool().exists()) {
      const alert_names firing = alerts_in(series_of({before, page()}), 190);
      EXPECT_FALSE(firing.contains("HalfwayNothingIsChecked"));
      EXPECT_FALSE(firing.contains("HalfwayComparisonIsStale"));
    }
  }
}

TEST(OperationsGuide, EachBlockStandsInATest) {
  EXPECT_EQ(expect_blocks_in(HALFWAY_OPERATIONS, {__FILE__}), 10u);
}

}  // namespace
}  // namespace halfway::testing
