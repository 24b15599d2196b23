// SPDX-License-Identifier: Apache-2.0
// Lion against a scalar reference, to the bit, and the reference against double.
#include "halfway/training/lion.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::half;
using halfway::lion;
using halfway::lion_options;
using halfway::lion_state;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

struct result {
  float w, m;
};

// Each line one rounding, as documented.
result reference(const lion_options& o, float w, float m, float g) {
  const auto constant = [](double x) { return static_cast<float>(x); };
  const float b1g = constant(1 - o.beta1) * g, b2g = constant(1 - o.beta2) * g;
  const float c = std::fma(constant(o.beta1), m, b1g);
  const float new_m = std::fma(constant(o.beta2), m, b2g);
  const float sign = c > 0 ? 1.0f : c < 0 ? -1.0f : 0.0f;
  const float shrunk = std::fma(-constant(o.learning_rate * o.weight_decay), w, w);
  return {std::fma(-constant(o.learning_rate), sign, shrunk), new_m};
}

TEST(Lion, FollowsTheFormula) {
  const std::vector<lion_options> settings = {
      {},
      {.learning_rate = 0.1, .weight_decay = 0.1},
      {.learning_rate = 0.5, .beta1 = 0.0, .beta2 = 0.5},
      {.learning_rate = 1e-3, .beta1 = 0.95, .beta2 = 0.98, .weight_decay = 1.0},
  };
  for_each_target([&] {
    for (const lion_options& o : settings) {
      for (const std::size_t n : {0u, 1u, 3u, 15u, 16u, 17u, 255u, 256u, 257u, 1000u}) {
        std::mt19937 random(static_cast<unsigned>(n));
        std::normal_distribution<float> normal;
        std::vector<float> w(n), g(n);
        lion_state state;
        state.momentum.resize(n);
        state.step = 3;
        for (std::size_t i = 0; i < n; ++i) {
          w[i] = normal(random);
          g[i] = i % 5 == 4 ? 0.0f : normal(random);
          state.momentum[i] = i % 7 == 4 ? 0.0f : normal(random);
        }
        const std::vector<float> w0 = w, m0 = state.momentum;
        std::vector<half> model(n);
        lion(o).step(state, w, g, model);
        EXPECT_EQ(state.step, 4u);
        for (std::size_t i = 0; i < n; ++i) {
          const result r = reference(o, w0[i], m0[i], g[i]);
          ASSERT_EQ(std::bit_cast<std::uint32_t>(w[i]), std::bit_cast<std::uint32_t>(r.w)) << i;
          ASSERT_EQ(state.momentum[i], r.m) << i;
          ASSERT_EQ(static_cast<float>(model[i]), static_cast<float>(half(r.w))) << i;
          // Against double: two constants, a product and a sum are rounded in m, four units of it;
          // in w two constants, two sums. lr times the sign is exact.
          const auto d = [](float x) { return static_cast<double>(x); };
          const double u = 0x1p-24,
                       m_terms = std::abs(o.beta2 * d(m0[i])) + std::abs((1 - o.beta2) * d(g[i]));
          ASSERT_NEAR(d(state.momentum[i]), o.beta2 * d(m0[i]) + (1 - o.beta2) * d(g[i]),
                      4 * u * m_terms);
          const double c1 = o.beta1 * d(m0[i]), c2 = (1 - o.beta1) * d(g[i]), c = c1 + c2;
          if (c != 0 && std::abs(c) <= 4 * u * (std::abs(c1) + std::abs(c2))) continue;
          const double sign = c > 0 ? 1 : c < 0 ? -1 : 0;
          const double decayed = d(w0[i]) * (1 - o.learning_rate * o.weight_decay);
          ASSERT_NEAR(d(w[i]), decayed - o.learning_rate * sign,
                      4 * u * (2 * std::abs(d(w0[i])) + o.learning_rate));
        }
      }
    }
  });
}

TEST(Lion, StartsFromAZeroMomentumAndStepsByTheLearningRate) {
  const lion optimizer({.learning_rate = 0.125});
  lion_state state{{5.0f, 5.0f, 5.0f}, 0};  // a state of step 0 holds nothing
  std::vector<float> w = {1.0f, 1.0f, 1.0f};
  const std::vector<float> g = {1e-30f, -1e30f, 0.0f};
  optimizer.step(state, w, g);
  EXPECT_EQ(w, (std::vector<float>{0.875f, 1.125f, 1.0f}));
  optimizer.step(state, w, g);
  EXPECT_EQ(w, (std::vector<float>{0.75f, 1.25f, 1.0f}));
}

TEST(Lion, NanStaysNan) {
  for_each_target([] {
    lion_state state;
    std::vector<float> w(20, 1.0f), g(20, 1.0f);
    g[18] = std::numeric_limits<float>::quiet_NaN();
    lion().step(state, w, g);
    for (std::size_t i = 0; i < w.size(); ++i) EXPECT_EQ(std::isnan(w[i]), i == 18) << i;
  });
}

TEST(Lion, RefusesBadInputByNameAndValue) {
  expect_error([] { lion bad({.learning_rate = -1.0}); }, {"halfway::lion: learning_rate (-1)"});
  expect_error([] { lion bad({.beta1 = 1.0}); }, {"halfway::lion: beta1 (1)"});
  expect_error([] { lion bad({.beta2 = -0.5}); }, {"halfway::lion: beta2 (-0.5)"});
  expect_error([] { lion bad({.weight_decay = -1.0}); }, {"halfway::lion: weight_decay (-1)"});
  lion_state other{{1.0f, 2.0f}, 1};
  const lion_state before = other;
  std::vector<float> w(3), g(3);
  expect_error([&] { lion().step(other, w, g); },
               {"halfway::lion::step: state.momentum.size() (2) must equal master.size() (3)"});
  EXPECT_EQ(other, before);
}

}  // namespace
