// SPDX-License-Identifier: Apache-2.0
// Optimizer steps against a double reference. The tolerance is computed beside the reference by
// running error analysis (Higham, "Accuracy and stability of numerical algorithms", section 3.3):
// each value carries a bound on the error of its FP32 counterpart.
#include "halfway/training/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::adam;
using halfway::adam_options;
using halfway::adam_state;
using halfway::bfloat16;
using halfway::half;
using halfway::sgd;
using halfway::sgd_options;
using halfway::sgd_state;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

constexpr float canary = 123.25f;

// ------------------------------ the reference

// |FP32 result - value| <= error. `size` is the same formula with every term positive: what the
// error is to be compared with.
struct bounded {
  double value;
  double error;
  double size;
};

// One rounding to float: half an ulp, or half the smallest subnormal. (A fused operation rounds
// less often than this assumes.)
bounded rounded(double value, double error, double size) {
  return {value, error + 0x1p-24 * (std::abs(value) + error) + 0x1p-150, size};
}
bounded exactly(float x) { return {static_cast<double>(x), 0, std::abs(static_cast<double>(x))}; }
bounded constant(double x) { return rounded(x, 0, std::abs(x)); }
bounded operator+(bounded a, bounded b) {
  return rounded(a.value + b.value, a.error + b.error, a.size + b.size);
}
bounded operator-(bounded a, bounded b) {
  return rounded(a.value - b.value, a.error + b.error, a.size + b.size);
}
bounded operator*(bounded a, bounded b) {
  return rounded(a.value * b.value,
                 std::abs(a.value) * b.error + std::abs(b.value) * a.error + a.error * b.error,
                 a.size * b.size);
}
bounded operator/(bounded a, bounded b) {
  const double quotient = a.value / b.value;
  return rounded(quotient, (a.error + std::abs(quotient) * b.error) / (std::abs(b.value) - b.error),
                 a.size / std::abs(b.value));
}
bounded root(bounded a) {
  const double low = std::sqrt(std::max(a.value - a.error, 0.0)),
               high = std::sqrt(a.value + a.error);
  return rounded(std::sqrt(a.value), std::max(high - std::sqrt(a.value), std::sqrt(a.value) - low),
                 std::sqrt(a.value));
}

struct adam_reference {
  bounded w, m, v;
};

adam_reference reference(const adam_options& o, std::uint64_t step, float w0, float g0, float m0,
                         float v0) {
  const auto t = static_cast<double>(step);
  bounded w = exactly(w0), g = exactly(g0);
  if (!o.decoupled_weight_decay) g = g + constant(o.weight_decay) * w;
  const bounded m = constant(o.beta1) * exactly(m0) + constant(1 - o.beta1) * g;
  const bounded v = constant(o.beta2) * exactly(v0) + constant(1 - o.beta2) * g * g;
  if (o.decoupled_weight_decay) w = w - constant(o.learning_rate * o.weight_decay) * w;
  const bounded denominator =
      root(v) * constant(1 / std::sqrt(1 - std::pow(o.beta2, t))) + constant(o.epsilon);
  w = w - constant(o.learning_rate / (1 - std::pow(o.beta1, t))) * (m / denominator);
  return {w, m, v};
}

struct sgd_reference {
  bounded w, b;
};

sgd_reference reference(const sgd_options& o, std::uint64_t step, float w0, float g0, float b0) {
  const bounded w = exactly(w0);
  const bounded g = exactly(g0) + constant(o.weight_decay) * w;
  bounded b{}, d = g;
  if (o.momentum != 0) {
    b = step == 1 ? g : constant(o.momentum) * exactly(b0) + constant(1 - o.dampening) * g;
    d = o.nesterov ? g + constant(o.momentum) * b : b;
  }
  return {w - constant(o.learning_rate) * d, b};
}

void expect_within(float actual, bounded expected, const char* what, std::size_t i) {
  EXPECT_LE(std::abs(static_cast<double>(actual) - expected.value), expected.error)
      << what << '[' << i << ']';
  // The bound must not be so wide that it says nothing: 32 roundings, and some subnormal ones.
  EXPECT_LE(expected.error, 32 * 0x1p-24 * expected.size + 0x1p-120) << what << '[' << i << ']';
}

// ------------------------------ random steps

struct arrays {
  std::vector<float> w, g, first, second;
};

// Gradients over nine orders of magnitude, with zeros; moments as a training would have them.
arrays random_arrays(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> exponent(-8.0f, 1.0f);
  arrays a{std::vector<float>(n), std::vector<float>(n), std::vector<float>(n),
           std::vector<float>(n)};
  for (std::size_t i = 0; i < n; ++i) {
    const float size = std::pow(10.0f, exponent(random));
    a.w[i] = std::clamp(normal(random), -3.0f, 3.0f);
    a.g[i] = i % 11 == 10 ? 0.0f : size * std::clamp(normal(random), -3.0f, 3.0f) / 10.0f;
    a.first[i] = i % 13 == 12 ? 0.0f : size * std::clamp(normal(random), -3.0f, 3.0f) / 10.0f;
    a.second[i] = i % 17 == 16 ? 0.0f : size * size * std::abs(normal(random)) / 10.0f;
  }
  return a;
}

const std::vector<std::size_t> sizes = {0,  1,  2,  3,  4,  5,  7,   8,   9,
                                        15, 16, 17, 31, 33, 64, 127, 1000};

// Runs `step(w, g, model)` on memory with a canary behind it, and checks that the model is w
// rounded once.
template <class Model, class Step>
void run(arrays& a, Step&& step) {
  const std::size_t n = a.w.size();
  std::vector<Model> model(n + 1, Model(canary));
  a.w.push_back(canary);
  step(std::span(a.w).first(n), std::span<const float>(a.g), std::span(model).first(n));
  EXPECT_EQ(a.w.back(), canary);
  EXPECT_EQ(static_cast<float>(model.back()), static_cast<float>(Model(canary)));
  a.w.pop_back();
  for (std::size_t i = 0; i < n; ++i) {
    EXPECT_EQ(static_cast<float>(model[i]), static_cast<float>(Model(a.w[i]))) << i;
  }
}

template <class Model>
void check_adam(const adam_options& options, std::uint64_t step) {
  for (const std::size_t n : sizes) {
    const arrays before = random_arrays(n, static_cast<unsigned>(n + step));
    arrays after = before;
    // A state of step 0 starts from zero, whatever it holds.
    adam_state state{before.first, before.second, step - 1};
    run<Model>(after, [&](auto w, auto g, auto model) { adam(options).step(state, w, g, model); });
    EXPECT_EQ(state.step, step);
    for (std::size_t i = 0; i < n; ++i) {
      const float m0 = step == 1 ? 0.0f : before.first[i], v0 = step == 1 ? 0.0f : before.second[i];
      const adam_reference r = reference(options, step, before.w[i], before.g[i], m0, v0);
      expect_within(state.first[i], r.m, "m", i);
      expect_within(state.second[i], r.v, "v", i);
      expect_within(after.w[i], r.w, "w", i);
    }
  }
}

template <class Model>
void check_sgd(const sgd_options& options, std::uint64_t step) {
  for (const std::size_t n : sizes) {
    const arrays before = random_arrays(n, static_cast<unsigned>(n + step));
    arrays after = before;
    sgd_state state{before.first, step - 1};
    run<Model>(after, [&](auto w, auto g, auto model) { sgd(options).step(state, w, g, model); });
    EXPECT_EQ(state.step, step);
    for (std::size_t i = 0; i < n; ++i) {
      const sgd_reference r = reference(options, step, before.w[i], before.g[i], before.first[i]);
      expect_within(after.w[i], r.w, "w", i);
      if (options.momentum != 0) expect_within(state.momentum[i], r.b, "b", i);
    }
  }
}

TEST(Adam, FollowsTheFormula) {
  for_each_target([] {
    check_adam<half>({}, 1);
    check_adam<bfloat16>({}, 2);
    check_adam<float>({.learning_rate = 0.1, .epsilon = 1e-6, .weight_decay = 0.1}, 5);
    check_adam<half>({.learning_rate = 0.01, .weight_decay = 0.1, .decoupled_weight_decay = true},
                     1000);
    check_adam<halfway::float8_e5m2>({.beta1 = 0.0, .beta2 = 0.5}, 3);
  });
}

TEST(Sgd, FollowsTheFormula) {
  for_each_target([] {
    check_sgd<half>({}, 1);
    check_sgd<bfloat16>({.learning_rate = 0.5, .weight_decay = 0.01}, 7);
    check_sgd<float>({.momentum = 0.9}, 1);
    check_sgd<half>({.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.1}, 2);
    check_sgd<float>({.learning_rate = 0.1, .momentum = 0.9, .dampening = 0.3}, 1);
    check_sgd<bfloat16>({.learning_rate = 0.1, .momentum = 0.9, .dampening = 0.3}, 2);
    check_sgd<halfway::float8_e4m3fn>({.learning_rate = 0.1, .momentum = 0.9, .nesterov = true}, 1);
    check_sgd<half>({.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true},
                    3);
  });
}

std::vector<std::uint32_t> bits(const std::vector<float>& x) {
  std::vector<std::uint32_t> b;
  for (const float v : x) b.push_back(std::bit_cast<std::uint32_t>(v));
  return b;
}

TEST(Optimizers, GiveTheSameBitsOnEveryTarget) {
  std::vector<std::vector<std::uint32_t>> results;
  for_each_target([&] {
    arrays a = random_arrays(1013, 1), b = a;
    adam_state adam_memory;
    sgd_state sgd_memory;
    for (int i = 0; i < 5; ++i) {
      adam({.weight_decay = 0.1}).step(adam_memory, a.w, a.g);
      sgd({.momentum = 0.9, .weight_decay = 0.1, .nesterov = true}).step(sgd_memory, b.w, b.g);
    }
    std::vector<std::uint32_t> result = bits(a.w);
    for (const auto& more : {b.w, adam_memory.first, adam_memory.second, sgd_memory.momentum}) {
      const auto more_bits = bits(more);
      result.insert(result.end(), more_bits.begin(), more_bits.end());
    }
    results.push_back(result);
    EXPECT_EQ(results.back(), results.front());
  });
}

// ------------------------------ what is known of the algorithms

// With a constant gradient both moments are unbiased by the corrections, so each step is
// learning_rate * g / (|g| + epsilon).
TEST(Adam, StepsByTheLearningRateUnderAConstantGradient) {
  const adam optimizer({.learning_rate = 0.125});
  adam_state state;
  std::vector<float> w = {1.0f, -2.0f}, g = {1e-3f, -50.0f};
  for (int t = 1; t <= 100; ++t) {
    optimizer.step(state, w, g);
    // A step's relative error: 3 roundings in m, 4 in v (halved by the root), 5 after them; m and v
    // carry those of earlier steps, at most 1 / (1 - beta) of them. Plus one rounding of w at each
    // step.
    const double of_step = 0x1p-24 * (3 / 0.1 + 4 / 0.001 / 2 + 5), of_w = 0x1p-24 * 16;
    const double tolerance = t * (0.125 * of_step + of_w);
    EXPECT_NEAR(static_cast<double>(w[0]), 1.0 - 0.125 * t * (1e-3 / (1e-3 + 1e-8)), tolerance)
        << t;
    EXPECT_NEAR(static_cast<double>(w[1]), -2.0 + 0.125 * t * (50 / (50 + 1e-8)), tolerance) << t;
  }
}

// Every weight on the way is a multiple of 2^-12 and exact in float. Between 1 and its lower
// neighbour in bfloat16 lie 2^-8, so there 1 - 2^-12 rounds back to 1.
TEST(Sgd, MasterWeightsKeepStepsThatBfloat16Loses) {
  const sgd optimizer({.learning_rate = 0x1p-12});
  sgd_state state;
  std::vector<float> master = {1.0f};
  const std::vector<float> gradient = {1.0f};
  std::vector<bfloat16> model = {bfloat16(1.0f)};
  bfloat16 without_master(1.0f);
  for (int i = 0; i < 1024; ++i) {
    optimizer.step(state, master, gradient, model);
    without_master = bfloat16(static_cast<float>(without_master) - 0x1p-12f);
  }
  EXPECT_EQ(master[0], 0.75f);
  EXPECT_EQ(static_cast<float>(model[0]), 0.75f);
  EXPECT_EQ(static_cast<float>(without_master), 1.0f);
}

TEST(Optimizers, ModelOverflowsAsItsFormatDoes) {
  sgd_state state;
  const sgd optimizer({.learning_rate = 1.0});
  std::vector<float> master = {0.0f};
  std::vector<half> model(1);
  optimizer.step(state, master, std::vector<float>{-1e6f}, model);
  EXPECT_EQ(master[0], 1e6f);
  EXPECT_EQ(static_cast<float>(model[0]), std::numeric_limits<float>::infinity());
}

TEST(Optimizers, TakeScheduledLearningRates) {
  sgd optimizer({.learning_rate = 1.0});
  optimizer.set_learning_rate(0.5);
  EXPECT_EQ(optimizer.options().learning_rate, 0.5);
  sgd_state state;
  std::vector<float> w = {1.0f};
  optimizer.step(state, w, std::vector<float>{1.0f});
  EXPECT_EQ(w[0], 0.5f);
  expect_error([&] { optimizer.set_learning_rate(-1.0); }, {"halfway::sgd: learning_rate (-1)"});
  EXPECT_EQ(optimizer.options().learning_rate, 0.5);
  adam other;
  other.set_learning_rate(0.25);
  EXPECT_EQ(other.options().learning_rate, 0.25);
  expect_error([&] { other.set_learning_rate(-1.0); }, {"halfway::adam: learning_rate (-1)"});
}

// ------------------------------ bad input

TEST(Optimizers, RefuseBadOptionsByNameAndValue) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(),
                   inf = std::numeric_limits<double>::infinity();
  const auto sgd_refuses = [](const sgd_options& o, std::string_view text) {
    expect_error([&] { sgd bad(o); }, {text});
  };
  const auto adam_refuses = [](const adam_options& o, std::string_view text) {
    expect_error([&] { adam bad(o); }, {text});
  };
  sgd_refuses({.learning_rate = nan},
              "halfway::sgd: learning_rate (nan) must be finite and not negative");
  sgd_refuses({.learning_rate = 1e300}, "learning_rate (1e+300)");
  sgd_refuses({.momentum = 1.0}, "momentum (1) must be at least 0 and below 1");
  sgd_refuses({.momentum = 0.9, .dampening = -0.1}, "dampening (-0.1)");
  sgd_refuses({.weight_decay = inf}, "weight_decay (inf)");
  sgd_refuses({.nesterov = true}, "momentum (0) must be above 0 for nesterov");
  sgd_refuses({.momentum = 0.9, .dampening = 0.1, .nesterov = true},
              "dampening (0.1) must be 0 for nesterov");
  adam_refuses({.learning_rate = -1e-3}, "halfway::adam: learning_rate (-0.001)");
  adam_refuses({.beta1 = 1.0}, "beta1 (1) must be at least 0 and below 1");
  adam_refuses({.beta2 = nan}, "beta2 (nan)");
  adam_refuses({.epsilon = -1.0}, "epsilon (-1)");
  adam_refuses({.weight_decay = inf}, "weight_decay (inf)");
}

// The same mistakes for both: nothing may be written.
template <class Optimizer, class State>
void check_refusals(const Optimizer& optimizer, State fresh, State of_other_size,
                    const std::string& name) {
  std::vector<float> w = {1.0f, 2.0f, 3.0f}, g = {1.0f, 1.0f, 1.0f}, two = {1.0f, 1.0f};
  std::vector<half> model(3), model2(2);
  State state = fresh;
  const auto refuses = [&](std::function<void()> body,
                           std::initializer_list<std::string_view> parts) {
    expect_error(body, parts);
    EXPECT_EQ(w, (std::vector<float>{1.0f, 2.0f, 3.0f}));
    EXPECT_EQ(state, fresh);
  };
  refuses([&] { optimizer.step(state, w, two); },
          {name, "gradient.size() (2) must equal master.size() (3)"});
  refuses([&] { optimizer.step(state, w, g, model2); },
          {name, "model.size() (2) must equal master.size() (3)"});
  refuses([&] { optimizer.step(state, std::span<float>(static_cast<float*>(nullptr), 3), g); },
          {name, "master is null but has 3 elements"});
  refuses(
      [&] {
        optimizer.step(state, w, std::span<const float>(static_cast<const float*>(nullptr), 3));
      },
      {name, "gradient is null but has 3 elements"});
  refuses([&] { optimizer.step(state, w, g, std::span<half>(static_cast<half*>(nullptr), 3)); },
          {name, "model is null but has 3 elements"});
  refuses([&] { optimizer.step(state, w, w); }, {name, "master and gradient share memory"});
  refuses([&] { optimizer.step(state, w, g, w); }, {name, "master and model share memory"});
  refuses([&] { optimizer.step(state, w, g, g); }, {name, "gradient and model share memory"});
  const State before = of_other_size;
  expect_error([&] { optimizer.step(of_other_size, w, g, model); },
               {name, "(2) must equal master.size() (3)"});
  EXPECT_EQ(of_other_size, before);
}

TEST(Optimizers, RefuseBadArraysBeforeTheyWrite) {
  check_refusals(sgd({.momentum = 0.9}), sgd_state{}, sgd_state{{1.0f, 2.0f}, 1},
                 "halfway::sgd::step: ");
  check_refusals(adam(), adam_state{}, adam_state{{1.0f, 2.0f}, {1.0f, 2.0f}, 1},
                 "halfway::adam::step: ");
}

}  // namespace
