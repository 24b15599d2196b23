// SPDX-License-Identifier: Apache-2.0
// Storages of weights against scalar definitions, to the bit.
#include "halfway/training/weight_storage.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/training/sgd.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/cast.h"
#include "halfway/types/half.h"
#include "halfway/types/philox.h"
#include "halfway/types/rounding.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::kahan_weights;
using halfway::master_weights;
using halfway::read_weights;
using halfway::sgd;
using halfway::sgd_state;
using halfway::split_weights;
using halfway::stochastic_weights;
using halfway::write_weights;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

constexpr float infinity = std::numeric_limits<float>::infinity();

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
std::uint16_t bits(bfloat16 x) { return std::bit_cast<std::uint16_t>(x); }

// Every upper half, with the lower halves about which something changes.
std::vector<float> edge_floats() {
  std::vector<float> x;
  for (std::uint32_t high = 0; high <= 0xFFFF; ++high) {
    for (const std::uint32_t low : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
      x.push_back(std::bit_cast<float>(high << 16 | low));
    }
  }
  return x;
}

std::vector<float> random_floats(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

// ------------------------------ split

TEST(SplitWeights, HoldEveryFloatAndShowTheNearestBfloat16) {
  const std::vector<float> values = edge_floats();
  for_each_target([&] {
    std::vector<bfloat16> high(values.size());
    std::vector<std::int16_t> low(values.size());
    std::vector<float> back(values.size());
    write_weights(split_weights{high, low}, values);
    read_weights(split_weights{high, low}, back);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float v = values[i];
      if (std::isnan(v)) {
        ASSERT_TRUE(std::isnan(back[i]) && std::isnan(static_cast<float>(high[i]))) << bits(v);
        continue;
      }
      ASSERT_EQ(bits(back[i]), bits(v));
      const bool is_tie = (bits(v) & 0xFFFFu) == 0x8000u;
      if (is_tie) {  // away from zero
        ASSERT_EQ(bits(high[i]), (bits(v) >> 16) + 1);
      } else {
        ASSERT_EQ(bits(high[i]), bits(bfloat16(v))) << v;
      }
    }
  });
}

// ------------------------------ Kahan

TEST(KahanWeights, KeepSeventeenDigits) {
  const std::vector<float> values = random_floats(10007, 1);
  for_each_target([&] {
    std::vector<bfloat16> w(values.size()), rest(values.size());
    write_weights(kahan_weights{w, rest}, values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(bits(w[i]), bits(bfloat16(values[i])));
      // With 2^e <= |v|, w is off by at most 2^(e - 8), half an ulp. So the rest's own half ulp is
      // at most 2^(e - 9 - 8); v - w is exact.
      const double v = static_cast<double>(values[i]);
      const double kept = static_cast<double>(static_cast<float>(w[i])) +
                          static_cast<double>(static_cast<float>(rest[i]));
      ASSERT_LE(std::abs(kept - v), 0x1p-17 * std::abs(v)) << v;
    }
  });
}

TEST(KahanWeights, StayInfinite) {
  for_each_target([] {
    std::vector<half> w(2), rest(2);
    std::vector<float> back(2);
    write_weights(kahan_weights{w, rest}, std::vector<float>{1e6f, -infinity});
    read_weights(kahan_weights{w, rest}, back);
    EXPECT_EQ(back, (std::vector<float>{infinity, -infinity}));
  });
}

// ------------------------------ stochastic

std::uint32_t random_half(std::uint64_t seed, std::uint64_t j) {
  const std::uint32_t word = halfway::random_word(seed, j / 2);
  return j % 2 == 0 ? word & 0xFFFFu : word >> 16;
}

// The definition: what is cut is that much of an upper half, and is carried or not.
bfloat16 rounded_by(float v, std::uint64_t seed, std::uint64_t j) {
  return std::bit_cast<bfloat16>(
      static_cast<std::uint16_t>((bits(v) + random_half(seed, j)) >> 16));
}

TEST(StochasticWeights, RoundBySeedStepAndNumber) {
  const std::size_t n = 1000;
  const std::vector<float> start = random_floats(n, 2), gradient = random_floats(n, 3);
  std::vector<bfloat16> w0(n);
  for (std::size_t i = 0; i < n; ++i) w0[i] = bfloat16(start[i]);
  const sgd optimizer({.learning_rate = 1e-3});
  for_each_target([&] {
    for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 40}) {
      std::vector<bfloat16> w = w0;
      sgd_state state;
      for (std::uint64_t step = 1; step <= 3; ++step) {
        std::vector<float> exact(n);
        read_weights(stochastic_weights{w, 7, first}, exact);
        sgd_state unused;
        optimizer.step(unused, exact, gradient);
        optimizer.step(state, stochastic_weights{w, 7, first}, gradient);
        for (std::size_t i = 0; i < n; ++i) {
          ASSERT_EQ(bits(w[i]),
                    bits(rounded_by(exact[i], halfway::stochastic_seed(7, step), first + i)))
              << step << ' ' << i;
        }
      }
    }
  });
}

// Normal and subnormal halves, and what half has, which does not move.
TEST(StochasticWeights, RoundIntoHalfLikeTheScalarConversion) {
  std::vector<float> values = random_floats(500, 5);
  for (std::size_t i = 0; i < values.size(); i += 2) values[i] *= 0x1p-16f;
  values.insert(values.end(), {1.0f, 0x1p-24f, 65504.0f, 1e6f, -infinity, 0.0f, -0.0f});
  const std::uint64_t seed = halfway::stochastic_seed(1, 0);
  for_each_target([&] {
    std::vector<half> w(values.size());
    write_weights(stochastic_weights{w, 1}, values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const half expected = halfway::ieee_cast<half>(
          values[i], halfway::round_with_random_word{random_half(seed, i) << 16});
      ASSERT_EQ(std::bit_cast<std::uint16_t>(w[i]), std::bit_cast<std::uint16_t>(expected)) << i;
    }
  });
}

TEST(StochasticWeights, SpecialValues) {
  for_each_target([] {
    std::vector<bfloat16> w(20);
    std::vector<float> values(20, std::numeric_limits<float>::quiet_NaN());
    values[3] = -infinity;
    values[17] = std::bit_cast<float>(0xFFFFFFFFu);  // a NaN whose rounding must not overflow
    write_weights(stochastic_weights{w, 1}, values);
    for (std::size_t i = 0; i < w.size(); ++i) {
      EXPECT_EQ(std::isnan(static_cast<float>(w[i])), i != 3) << i;
    }
    EXPECT_EQ(static_cast<float>(w[3]), -infinity);
  });
}

TEST(StochasticWeights, ShardsAndThreadsGiveTheSameBits) {
  const std::size_t n = 300000, cut = 77777;
  const std::vector<float> gradient = random_floats(n, 4);
  const sgd optimizer({.learning_rate = 1e-4, .momentum = 0.9});
  std::vector<bfloat16> whole(n, bfloat16(1.0f)), shards = whole, threads = whole;
  sgd_state whole_state, first_state, second_state, threads_state;
  halfway::testing::backward_executor on{3};
  const std::span<const float> g(gradient);
  for (int i = 0; i < 3; ++i) {
    optimizer.step(whole_state, stochastic_weights{whole, 5}, g);
    optimizer.step(threads_state, stochastic_weights{threads, 5}, g, {.on = on});
    const std::span<bfloat16> w(shards);
    optimizer.step(first_state, stochastic_weights{w.first(cut), 5}, g.first(cut));
    optimizer.step(second_state, stochastic_weights{w.subspan(cut), 5, cut}, g.subspan(cut));
  }
  for (std::size_t i = 0; i < n; ++i) {
    ASSERT_EQ(bits(shards[i]), bits(whole[i])) << i;
    ASSERT_EQ(bits(threads[i]), bits(whole[i])) << i;
  }
}

static_assert(halfway::stochastic_seed(3, 1) != halfway::stochastic_seed(4, 1));

// ------------------------------ small steps

// 1024 steps of 2^-12 from 1. Between 1 and its lower neighbour lie 2^-8, so that rounded to
// nearest none of them moves a bfloat16 weight (Sgd.MasterWeightsKeepStepsThatBfloat16Loses).
TEST(WeightStorages, KeepStepsThatBfloat16Loses) {
  constexpr int steps = 1024;
  constexpr std::size_t n = 4096;
  const sgd optimizer({.learning_rate = 0x1p-12});
  const std::vector<bfloat16> gradient(n, bfloat16(1.0f)), ones = gradient;
  std::vector<bfloat16> high = ones, kahan = ones, rest(n), random = ones;
  std::vector<std::int16_t> low(n);
  sgd_state split_state, kahan_state, random_state;
  for (int i = 0; i < steps; ++i) {
    optimizer.step(split_state, split_weights{high, low}, gradient);
    optimizer.step(kahan_state, kahan_weights{kahan, rest}, gradient);
    optimizer.step(random_state, stochastic_weights{random, 1}, gradient);
  }
  // Exact on the way: a multiple of 2^-12, and the rest of at most 2^-9 has three digits.
  EXPECT_EQ(std::vector<float>(high.begin(), high.end()), std::vector<float>(n, 0.75f));
  EXPECT_EQ(std::vector<float>(kahan.begin(), kahan.end()), std::vector<float>(n, 0.75f));
  // The errors of the roundings have mean 0 given those before and lie within an interval of an
  // ulp, 2^-8. By Azuma and Hoeffding P(|mean - 0.75| >= e) <= 2 exp(-2 e^2 n / (steps 2^-16)),
  // which is 10^-9 for this e.
  double mean = 0;
  for (const bfloat16 w : random) mean += static_cast<double>(static_cast<float>(w)) / n;
  const double e = std::sqrt(std::log(2e9) * steps * 0x1p-16 / (2.0 * n));
  EXPECT_NEAR(mean, 0.75, e);
  EXPECT_LT(e, 0.01);
}

// ------------------------------ bad input

TEST(WeightStorages, RefuseBadArraysBeforeTheyWrite) {
  std::vector<bfloat16> w(3, bfloat16(1.0f)), two(2);
  const std::vector<bfloat16> before = w;
  std::vector<std::int16_t> low(3), low2(2);
  const std::vector<float> g = {1.0f, 1.0f, 1.0f}, g2 = {1.0f, 1.0f};
  const sgd optimizer;
  sgd_state state;
  const auto refuses = [&](const std::function<void()>& body, std::string_view text) {
    expect_error(body, {text});
    EXPECT_EQ(w, before);
    EXPECT_EQ(state, sgd_state());
  };
  refuses(
      [&] {
        optimizer.step(state, split_weights{w, low2}, g);
      },
      "halfway::sgd::step: low.size() (2) must equal high.size() (3)");
  refuses(
      [&] {
        optimizer.step(state, split_weights{w, low}, g2);
      },
      "gradient.size() (2) must equal high.size() (3)");
  refuses(
      [&] {
        optimizer.step(state, kahan_weights{w, two}, g);
      },
      "rest.size() (2) must equal weights.size() (3)");
  refuses([&] { optimizer.step(state, kahan_weights{w, w}, g); }, "weights and rest share memory");
  refuses([&] { optimizer.step(state, stochastic_weights{w}, w); },
          "weights and gradient share memory");
  const std::span<bfloat16> null(static_cast<bfloat16*>(nullptr), 3);
  refuses(
      [&] {
        optimizer.step(state, kahan_weights<bfloat16>{w, null}, g);
      },
      "rest is null but has 3 elements");
  for (const float factor : {infinity, std::numeric_limits<float>::quiet_NaN()}) {
    refuses([&] { optimizer.step(state, stochastic_weights{w}, g, {.gradient_factor = factor}); },
            "gradient_factor (");
  }
  refuses(
      [&] {
        write_weights(split_weights{w, low}, g2);
      },
      "halfway::write_weights: values.size() (2) must equal high.size() (3)");
  std::vector<float> out(2);
  refuses(
      [&] {
        read_weights(split_weights{w, low}, out);
      },
      "halfway::read_weights: values.size() (2) must equal high.size() (3)");
}

}  // namespace
