// SPDX-License-Identifier: Apache-2.0
// Adam with moments in 8 bits: the bounds of one step, and that rounding has no direction.
#include "halfway/training/block_moments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "halfway/training/adam.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::adam;
using halfway::adam_8bit_state;
using halfway::adam_state;
using halfway::first_moment;
using halfway::second_moment;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

constexpr std::size_t block = halfway::optimizer_block;

// Gradients over twelve orders of magnitude within a block, with zeros.
std::vector<float> wide_gradient(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> exponent(-12.0f, 0.0f);
  std::vector<float> g(n);
  for (std::size_t i = 0; i < n; ++i) {
    g[i] = i % 19 == 18 ? 0.0f : normal(random) * std::pow(10.0f, exponent(random));
  }
  return g;
}

// The same step with FP32 moments that start from what the 8-bit ones hold.
adam_state as_floats(const adam_8bit_state& state) {
  adam_state s;
  s.step = state.step;
  for (std::size_t i = 0; i < state.first.size(); ++i) {
    s.first.push_back(first_moment(state, i));
    s.second.push_back(second_moment(state, i));
  }
  return s;
}

TEST(BlockMoments, StayWithinTheBoundsOfAStep) {
  constexpr double scaling = 1 + 0x1p-21;  // the scale, its inverse and two products are rounded
  const adam optimizer({.learning_rate = 0.01});
  for_each_target([&] {
    for (const std::size_t n : {std::size_t{1}, std::size_t{17}, block, block + 1, 5 * block - 3}) {
      adam_8bit_state state{.seed = n};
      std::vector<float> w(n, 1.0f), w_float(n, 1.0f);
      for (unsigned step = 0; step < 4; ++step) {
        adam_state exact = as_floats(state);
        const std::vector<float> g = wide_gradient(n, step);
        w_float = w;
        optimizer.step(state, w, g);
        optimizer.step(exact, w_float, g);
        ASSERT_EQ(w, w_float);  // a step is made before its moments are rounded
        for (std::size_t begin = 0; begin < n; begin += block) {
          const std::size_t end = std::min(n, begin + block);
          double s = 0, t = 0;
          for (std::size_t i = begin; i < end; ++i) {
            s = std::max(s, std::abs(static_cast<double>(exact.first[i])));
            t = std::max(t, static_cast<double>(exact.second[i]));
          }
          for (std::size_t i = begin; i < end; ++i) {
            const auto m = static_cast<double>(exact.first[i]);
            const auto v = static_cast<double>(exact.second[i]);
            const double m_error = std::abs(static_cast<double>(first_moment(state, i)) - m);
            const double v_kept = second_moment(state, i);
            ASSERT_LE(m_error, std::max(0x1p-3 * std::abs(m), 0x1p-9 / 448 * s) * scaling) << i;
            ASSERT_TRUE(m != 0 || m_error == 0) << i;
            const double least = 0x1p-32 * 1.125 * t;
            if (v >= least) {
              ASSERT_LE(std::abs(v_kept - v), 0x1p-3 * v * scaling) << i;
            } else {
              ASSERT_NEAR(v_kept, least, least * (scaling - 1)) << i;
            }
          }
        }
      }
    }
  });
}

// After a gradient of 1 comes one of 2^-7. v is to decay from near 1 by 0.1% a step, which is an
// 80th of the distance of two codes: rounded to nearest it would never move. One element of each
// block keeps its gradient of 1, so that the scale does not move either.
TEST(BlockMoments, MeansOfTheSquareDoNotStall) {
  constexpr std::size_t n = 64 * block;
  constexpr int steps = 1000;
  const adam optimizer({.learning_rate = 0});
  std::vector<float> w(n, 1.0f), g(n, 1.0f);
  adam_8bit_state state{.seed = 1};
  optimizer.step(state, w, g);
  std::fill(state.second_scales.begin(), state.second_scales.end(), 1.0f);  // v = 1: converged
  std::fill(state.first_scales.begin(), state.first_scales.end(), 1.0f / 448);
  for (std::size_t i = 0; i < n; ++i) {
    if (i % block != 0) g[i] = 0x1p-7f;
  }
  for (int i = 0; i < steps; ++i) optimizer.step(state, w, g);
  double mean = 0, count = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i % block == 0) continue;
    mean += static_cast<double>(second_moment(state, i));
    ++count;
  }
  mean /= count;
  const double decay = std::pow(0.999, steps), expected = decay + (1 - decay) * 0x1p-14;
  // Bias: a random number of 16 bits is at most 2^-16 short of the real one, of a distance of at
  // most v / 8 <= 1 / 8, in each step; roundings of FP32, 6 units in each step. Chance: the errors
  // have mean 0 given those before and lie within v / 8 <= 1 / 8, so by Azuma and Hoeffding the
  // mean is further off than e with a probability of 10^-9.
  const double bias = steps * (0x1p-19 + 6 * 0x1p-24);
  const double e = std::sqrt(std::log(2e9) * steps / 64 / (2 * count));
  EXPECT_NEAR(mean, expected, bias + e);
  EXPECT_LT(bias + e, 0.11);
  EXPECT_LT(mean, 0.5);  // rounded to nearest it would be 1
}

TEST(BlockMoments, ABlockOfZerosStaysOne) {
  adam_8bit_state state;
  std::vector<float> w(2 * block, 1.0f), g(2 * block, 0.0f);
  g[block + 3] = 1.0f;
  adam optimizer({.learning_rate = 0.5});
  for (int i = 0; i < 3; ++i) optimizer.step(state, w, g);
  for (std::size_t i = 0; i < w.size(); ++i) {
    if (i != block + 3) {
      ASSERT_EQ(w[i], 1.0f) << i;
    }
  }
  EXPECT_EQ(second_moment(state, 5), 0.0f);
  EXPECT_LT(w[block + 3], 0.0f);
}

TEST(BlockMoments, ANonFiniteElementMakesItsBlockNan) {
  for_each_target([] {
    adam_8bit_state state;
    std::vector<float> w(2 * block, 1.0f), g(2 * block, 1.0f);
    g[3] = std::numeric_limits<float>::infinity();
    adam().step(state, w, g);
    for (std::size_t i = 0; i < w.size(); ++i) {
      ASSERT_EQ(std::isnan(first_moment(state, i)), i < block) << i;
      ASSERT_EQ(std::isnan(second_moment(state, i)), i < block) << i;
    }
  });
}

TEST(BlockMoments, RefuseStatesOfAnotherTensor) {
  std::vector<float> w(300), g(300), small(2);
  adam_8bit_state state;
  adam().step(state, w, g);
  const adam_8bit_state good = state;
  expect_error([&] { adam().step(state, small, std::vector<float>(2)); },
               {"halfway::adam::step: state.first.size() (300) must equal master.size() (2)"});
  state.second_scales.pop_back();
  const adam_8bit_state before = state;
  expect_error([&] { adam().step(state, w, g); },
               {"state.second_scales.size() (1) must equal the number of blocks (2)"});
  EXPECT_EQ(state, before);
  state = good;
  state.second.clear();
  expect_error([&] { adam().step(state, w, g); },
               {"state.second.size() (0) must equal master.size() (300)"});
}

}  // namespace
