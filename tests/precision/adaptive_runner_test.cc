// SPDX-License-Identifier: Apache-2.0
// Search and adaptation of real graphs, with their kernels.
#include "halfway/precision/adaptive_runner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "halfway/precision/graph_search.h"
#include "halfway/precision/search_report.h"
#include "halfway/telemetry/trace.h"

namespace {

using halfway::adaptive_runner;
using halfway::adaptive_runner_options;
using halfway::dtype;
using halfway::graph;
using halfway::matrix;
using halfway::switch_reason;
namespace op = halfway::op;

matrix<float> normal_matrix(std::size_t rows, std::size_t cols, unsigned seed, float deviation) {
  matrix<float> m(rows, cols);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  for (float& x : m.elements()) x = normal(random);
  return m;
}

// x -> fc0 -> relu -> fc1 -> relu -> ... -> out
struct mlp {
  static constexpr std::size_t rows = 16, width = 48;

  explicit mlp(std::size_t layers) {
    auto at = g.input("x", {rows, width});
    for (std::size_t i = 0; i < layers; ++i) {
      const std::string name = "fc" + std::to_string(i);
      // Sizes stay about the same from layer to layer; relu takes half of the squares.
      weights.push_back(normal_matrix(width, width, static_cast<unsigned>(i),
                                      std::sqrt(2.0f / static_cast<float>(width))));
      const auto w = g.parameter(name + ".weight", {width, width});
      at = g.add(name, op::linear, {at, w});
      if (i + 1 != layers) at = g.add(name + ".relu", op::relu, {at});
    }
    g.output(at);
  }

  halfway::graph_parameters parameters() const {
    halfway::graph_parameters p;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      p.emplace("fc" + std::to_string(i) + ".weight", weights[i].view());
    }
    return p;
  }

  graph g;
  std::vector<matrix<float>> weights;
};

adaptive_runner_options eight_to_32() {
  adaptive_runner_options o;
  o.layers.ladder = {dtype::float16, dtype::bfloat16, dtype::float32};
  o.layers.quiet_calls = 4;
  o.layers.min_sqnr_db = 30;
  return o;
}

double sqnr_of(const matrix<float>& exact, const matrix<float>& y) {
  halfway::comparison c;
  c.add(exact.elements(), y.elements());
  return c.broken() != 0 ? -std::numeric_limits<double>::infinity() : c.sqnr_db();
}

TEST(AdaptiveRunner, StaysCheapWhereValuesAreWell) {
  const mlp m(3);
  adaptive_runner model(m.g, m.parameters(), eight_to_32());
  const auto x = normal_matrix(mlp::rows, mlp::width, 100, 1.0f);
  for (int i = 0; i < 10; ++i) model.run({{"x", x}});
  EXPECT_EQ(model.precision().switches(), 0u);
  EXPECT_EQ(model.shadow_runs(), 1u);
  EXPECT_EQ(model.precision().type(0), dtype::float16);
}

TEST(AdaptiveRunner, RunsAgainWhatOverflowedAndComesBackAfterAQuietTime) {
  const mlp m(3);
  adaptive_runner model(m.g, m.parameters(), eight_to_32());
  halfway::graph_runner fp32(m.g, m.parameters());
  const auto plan = halfway::make_plan(m.g, halfway::assign_all(m.g, dtype::float32));
  const auto calm = normal_matrix(mlp::rows, mlp::width, 100, 1.0f);
  const auto burst = normal_matrix(mlp::rows, mlp::width, 101, 1e6f);
  model.run({{"x", calm}});
  const auto y = model.run({{"x", burst}});
  EXPECT_GE(model.redone_runs(), 1u);
  // The very run that overflowed float16 gives results as good as bfloat16's: a relative error of
  // 2^-9 for each input and weight of three layers, so noise of 6 * 2^-18 / 3 at most.
  EXPECT_GE(sqnr_of(fp32.run(plan, {{"x", burst}})[0], y[0]), -10 * std::log10(6 * 0x1p-18));
  for (const auto& s : model.precision().log()) {
    EXPECT_EQ(s.from, dtype::float16);
    EXPECT_EQ(s.to, dtype::bfloat16);
    EXPECT_NE(s.reason, switch_reason::quiet);
  }
  const auto up = model.precision().switches();
  EXPECT_GE(up, 3u);  // each product
  for (int i = 0; i < 10; ++i) model.run({{"x", calm}});
  EXPECT_EQ(model.precision().switches(), 2 * up);
  EXPECT_EQ(model.precision().log().back().reason, switch_reason::quiet);
  EXPECT_EQ(model.precision().type(0), dtype::float16);
}

TEST(AdaptiveRunner, DoesNotOscillateWhereInputsAlternate) {
  const mlp m(2);
  adaptive_runner_options o = eight_to_32();
  adaptive_runner model(m.g, m.parameters(), o);
  const auto calm = normal_matrix(mlp::rows, mlp::width, 100, 1.0f);
  const auto burst = normal_matrix(mlp::rows, mlp::width, 101, 1e6f);
  constexpr std::size_t n = 600, period = 7;
  for (std::size_t i = 0; i < n; ++i) {
    const auto y = model.run({{"x", i % period == 0 ? burst : calm}});
    for (const float e : y[0].elements()) ASSERT_TRUE(std::isfinite(e)) << "run " << i;
  }
  // Each layer may return to float16 once for each doubling of its quiet time, up to the period.
  EXPECT_LE(model.precision().switches(), model.precision().size() * 2 * (1 + 2));
}

TEST(AdaptiveRunner, MovesTheLayerThatLosesFidelity) {
  mlp m(3);
  // What fc0 gives comes in pairs that differ by a hundredth, and fc1 takes their differences: float8,
  // with errors of a thirtieth, has nothing left of these.
  for (std::size_t i = 0; i < mlp::width; ++i) {
    for (std::size_t j = 0; j < mlp::width / 2; ++j) {
      m.weights[0](i, j + mlp::width / 2) = 1.01f * m.weights[0](i, j);
      m.weights[1](j, i) = m.weights[2](j, i);
      m.weights[1](j + mlp::width / 2, i) = -m.weights[2](j, i);
    }
  }
  adaptive_runner_options o = eight_to_32();
  o.layers.ladder = {dtype::float8_e4m3fn, dtype::float16, dtype::float32};
  o.layers.min_sqnr_db = 15;
  adaptive_runner model(m.g, m.parameters(), o);
  auto x = normal_matrix(mlp::rows, mlp::width, 100, 1.0f);
  model.run({{"x", x}});
  ASSERT_EQ(model.precision().switches(), 1u);
  const auto& s = model.precision().log().front();
  EXPECT_EQ(s.layer, "fc1");
  EXPECT_EQ(s.reason, switch_reason::fidelity);
  EXPECT_EQ(s.to, dtype::float16);
  EXPECT_LT(s.value, 15);
  // fc0, though narrow, is well; what is behind fc1 is not blamed for what it was given.
  EXPECT_EQ(model.precision().type(0), dtype::float8_e4m3fn);
}

TEST(AdaptiveRunner, LeavesAloneWhatIsInfiniteInFloat32Too) {
  const mlp m(2);
  adaptive_runner model(m.g, m.parameters(), eight_to_32());
  auto x = normal_matrix(mlp::rows, mlp::width, 100, 1.0f);
  x(0, 0) = std::numeric_limits<float>::infinity();
  model.run({{"x", x}});
  // The first layer reads it and is told so once for each type; those behind it are not.
  for (const auto& s : model.precision().log()) EXPECT_EQ(s.layer, "fc0") << to_string(s);
}

// A search on a real graph against all assignments, by bytes, which have no noise.
TEST(AdaptiveRunner, RecordsRunsAndShadowRunsAsSpans) {
  const mlp m(2);
  adaptive_runner model(m.g, m.parameters(), eight_to_32());
  const auto x = normal_matrix(mlp::rows, mlp::width, 20, 1);
  halfway::telemetry::trace_recorder recorder;
  halfway::telemetry::set_trace_recorder(&recorder);
  for (int i = 0; i < 3; ++i) model.run({{"x", x}});
  halfway::telemetry::set_trace_recorder(nullptr);
  std::map<std::string, std::size_t> spans;
  for (const auto& e : recorder.events()) ++spans[std::string(e.op.view())];
  EXPECT_EQ(spans["adaptive_run"], 3u);
  EXPECT_EQ(spans["shadow_run"], model.shadow_runs());
  EXPECT_EQ(spans["graph_run"], 3 + model.shadow_runs() + model.redone_runs());
}

TEST(GraphSearch, FindsTheOptimumOfARealGraph) {
  const mlp m(4);
  halfway::graph_runner runner(m.g, m.parameters());
  std::vector<matrix<float>> batches;
  for (unsigned b = 0; b < 2; ++b) {
    batches.push_back(normal_matrix(mlp::rows, mlp::width, 200 + b, 1.0f));
  }
  halfway::graph_search_options o;
  o.turns = 0;
  halfway::graph_evaluator evaluate(
      m.g, batches.size(),
      [&](const auto& plan, std::size_t b) {
        return runner.run(plan, {{"x", batches[b]}});
      },
      o);
  ASSERT_EQ(evaluate.units().size(), 4u);
  ASSERT_EQ(evaluate.units()[0].types.size(), 5u);
  // Each of the 625 once.
  std::vector<std::pair<std::vector<dtype>, halfway::search_measurement>> all;
  std::vector<std::size_t> digits(4);
  for (std::size_t i = 0; i < 625; ++i) {
    std::vector<dtype> types;
    for (std::size_t u = 0, rest = i; u < 4; ++u, rest /= 5) {
      types.push_back(evaluate.units()[u].types[rest % 5]);
    }
    all.emplace_back(types, evaluate(types));
  }
  for (const double budget : {15.0, 25.0, 32.0, 38.0, 50.0, 60.0}) {
    double least = std::numeric_limits<double>::infinity();
    for (const auto& [types, measured] : all) {
      if (measured.fidelity >= budget) least = std::min(least, measured.bytes);
    }
    const auto found =
        halfway::search_precision(evaluate.units(), std::ref(evaluate),
                                  {.budget = halfway::sqnr_budget(budget), .time_weight = 0});
    EXPECT_TRUE(found.best().within);
    EXPECT_LE(found.best().measured.bytes, 1.05 * least) << budget;
    EXPECT_LE(found.evaluations(), 420u);  // 100 + 16 for each type of each unit
    // What was found is what a run gives.
    const auto again = evaluate(found.best().types);
    EXPECT_EQ(again.fidelity, found.best().measured.fidelity);
  }
}

TEST(GraphSearch, MeasuresAgreementAndDivergenceAndTime) {
  const mlp m(2);
  halfway::graph_runner runner(m.g, m.parameters());
  const auto x = normal_matrix(mlp::rows, mlp::width, 300, 1.0f);
  const halfway::graph_run run = [&](const auto& plan, std::size_t) {
    return runner.run(plan, {{"x", x}});
  };
  halfway::graph_search_options o;
  o.metric = halfway::top1_metric();
  o.turns = 1;
  halfway::graph_evaluator top1(m.g, 1, run, o);
  const std::vector<dtype> f32(2, dtype::float32), f16(2, dtype::float16);
  EXPECT_EQ(top1(f32).fidelity, 1);
  EXPECT_GT(top1(f32).seconds, 0);
  o.metric = halfway::kl_metric();
  halfway::graph_evaluator kl(m.g, 1, run, o);
  EXPECT_EQ(kl(f32).fidelity, 0);
  EXPECT_GT(kl(f16).fidelity, 0);
  EXPECT_LT(kl(f16).bytes, kl(f32).bytes);
}

// The blocks of docs/precision-policy.md, which policy_guide_test.cc compares.

TEST(GraphGuide, Search) {
  const mlp model(3);
  const graph& g = model.g;
  halfway::graph_runner runner(g, model.parameters());
  std::vector<matrix<float>> batches;
  for (unsigned seed = 0; seed < 2; ++seed)
    batches.push_back(normal_matrix(mlp::rows, mlp::width, seed, 1));
  halfway::graph_evaluator evaluate(g, batches.size(), [&](const auto& plan, std::size_t batch) {
    return runner.run(plan, {{"x", batches[batch]}});
  });
  const auto found = halfway::search_precision(evaluate.units(), std::ref(evaluate),
                                               {.budget = halfway::sqnr_budget(40)});
  std::cout << halfway::to_table(found);
  const auto plan = halfway::make_plan(g, evaluate.assignment(found.best().types));
  EXPECT_TRUE(found.best().within);
  EXPECT_EQ(static_cast<double>(plan.parameter_bytes), found.best().measured.bytes);
}

TEST(GraphGuide, Adaptive) {
  const mlp network(3);
  const graph& g = network.g;
  const halfway::graph_parameters parameters = network.parameters();
  const matrix<float> x = normal_matrix(mlp::rows, mlp::width, 1, 4e4f);
  halfway::adaptive_runner_options options;
  options.layers.ladder = {halfway::dtype::float16, halfway::dtype::bfloat16,
                           halfway::dtype::float32};
  options.layers.min_sqnr_db = 25;
  halfway::adaptive_runner model(g, parameters, options);
  model.precision().on_switch([](const auto& s) { std::clog << to_string(s) << '\n'; });
  const auto y = model.run({{"x", x}});
  // call 17: fc1: float16 -> bfloat16: range: 40000 against a limit of 32752
  EXPECT_EQ(y[0].rows(), mlp::rows);
  ASSERT_FALSE(model.precision().log().empty());
  EXPECT_EQ(model.precision().log().front().layer, "fc0");
}

}  // namespace
