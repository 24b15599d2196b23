// SPDX-License-Identifier: Apache-2.0
// What holds for every optimizer: any storage of the weights, any type of gradient, factors, and
// states that are copied.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <type_traits>
#include <vector>

#include "halfway/ops/scale.h"
#include "halfway/training/gradient_clipping.h"
#include "halfway/training/loss_scaler.h"
#include "halfway/training/optimizer.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/for_each_target.h"

namespace {

using halfway::adam;
using halfway::adam_8bit_state;
using halfway::adam_state;
using halfway::bfloat16;
using halfway::half;
using halfway::kahan_weights;
using halfway::lion;
using halfway::lion_state;
using halfway::master_weights;
using halfway::sgd;
using halfway::sgd_state;
using halfway::split_weights;
using halfway::stochastic_weights;
using halfway::testing::for_each_target;

template <class T>
std::vector<T> random_values(std::size_t n, unsigned seed, float size = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<T> x(n);
  for (T& v : x) v = T(size * normal(random));
  return x;
}

template <class T>
void append(std::vector<std::byte>& bytes, const std::vector<T>& x) {
  const auto more = std::as_bytes(std::span(x));
  bytes.insert(bytes.end(), more.begin(), more.end());
}

constexpr unsigned kind_master = 1, kind_split = 2, kind_kahan = 4, kind_random = 8;

// 300 elements in each storage: more than a block, and not a whole number of vectors.
struct every_storage {
  static constexpr std::size_t n = 300;
  std::vector<float> master = random_values<float>(n, 1);
  std::vector<bfloat16> model = std::vector<bfloat16>(n);
  std::vector<bfloat16> high = model, kahan = model, rest = model, random = model;
  std::vector<std::int16_t> low = std::vector<std::int16_t>(n);

  every_storage() {
    halfway::write_weights(split_weights{high, low}, master);
    halfway::write_weights(kahan_weights{kahan, rest}, master);
    halfway::write_weights(stochastic_weights{random, 9}, master);
  }

  // f(storage) for those in `Kinds`.
  template <unsigned Kinds, class F>
  void visit(std::integral_constant<unsigned, Kinds> /*kinds*/, const F& f) {
    if constexpr ((Kinds & kind_master) != 0) f(master_weights{master, model});
    if constexpr ((Kinds & kind_split) != 0) f(split_weights{high, low});
    if constexpr ((Kinds & kind_kahan) != 0) f(kahan_weights{kahan, rest});
    if constexpr ((Kinds & kind_random) != 0) f(stochastic_weights{random, 9});
  }

  std::vector<std::byte> bytes() const {
    std::vector<std::byte> all;
    append(all, master);
    for (const auto* x : {&model, &high, &kahan, &rest, &random}) append(all, *x);
    append(all, low);
    return all;
  }
};

// f(optimizer, state, storages) for each, with a state of its own. Rules and storages know nothing
// of each other, so not every pair is compiled for every target.
template <class F>
void for_each_optimizer(const F& f) {
  const auto on = []<unsigned Kinds>() { return std::integral_constant<unsigned, Kinds>(); };
  f(sgd({.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}),
    sgd_state(), on.template operator()<kind_kahan>());
  f(adam({.learning_rate = 0.01, .weight_decay = 0.1, .decoupled_weight_decay = true}),
    adam_state(), on.template operator()<kind_master | kind_split | kind_kahan | kind_random>());
  f(adam({.learning_rate = 0.01}), adam_8bit_state{.seed = 3},
    on.template operator()<kind_random>());
  f(lion({.learning_rate = 0.01, .weight_decay = 0.1}), lion_state(),
    on.template operator()<kind_split>());
}

// A step on FP32 weights is what the other tests compare with references. On any other storage it
// is that step between a read and a write; stochastic weights, which are written differently at
// each step, are compared with their definition in weight_storage_test.cc.
TEST(OptimizerSteps, ReadStepInFloatAndWrite) {
  const auto gradient = random_values<bfloat16>(every_storage::n, 2);
  for_each_target([&] {
    for_each_optimizer([&](const auto& optimizer, auto fresh, auto kinds) {
      every_storage steps, parts;
      std::vector<float> w(every_storage::n);
      auto step_one = [&](const auto& storage) {
        auto state = fresh;
        for (int i = 0; i < 3; ++i) optimizer.step(state, storage, gradient);
      };
      auto part_one = [&](const auto& storage) {
        auto state = fresh;
        for (int i = 0; i < 3; ++i) {
          halfway::read_weights(storage, w);
          optimizer.step(state, w, gradient);
          halfway::write_weights(storage, w);
        }
      };
      steps.visit(kinds, step_one);
      parts.visit(kinds, part_one);
      steps.random = parts.random;
      EXPECT_EQ(steps.bytes(), parts.bytes());
      EXPECT_NE(steps.bytes(), every_storage().bytes());
    });
  });
}

TEST(OptimizerSteps, GradientFactorIsOneProductInFront) {
  const auto g16 = random_values<half>(every_storage::n, 3, 100.0f);
  std::vector<float> scaled(g16.size());
  constexpr float factor = 0.37f / 1024;
  halfway::unscale(g16, scaled, factor);
  const adam optimizer({.learning_rate = 0.01, .weight_decay = 0.1});
  for_each_target([&] {
    every_storage fused, apart;
    adam_state fused_state, apart_state;
    for (int i = 0; i < 2; ++i) {
      optimizer.step(fused_state, split_weights{fused.high, fused.low}, g16,
                     {.gradient_factor = factor});
      optimizer.step(apart_state, split_weights{apart.high, apart.low}, scaled);
    }
    EXPECT_EQ(fused.bytes(), apart.bytes());
    EXPECT_EQ(fused_state, apart_state);
  });
}

TEST(OptimizerSteps, GiveTheSameBitsOnEveryTarget) {
  const auto gradient = random_values<bfloat16>(every_storage::n, 4);
  std::vector<std::byte> first;
  for_each_target([&] {
    std::vector<std::byte> all;
    for_each_optimizer([&](const auto& optimizer, auto fresh, auto kinds) {
      every_storage weights;
      weights.visit(kinds, [&](const auto& storage) {
        auto state = fresh;
        for (int i = 0; i < 5; ++i) optimizer.step(state, storage, gradient);
      });
      const auto more = weights.bytes();
      all.insert(all.end(), more.begin(), more.end());
    });
    if (first.empty()) first = all;
    EXPECT_EQ(all, first);
  });
}

TEST(OptimizerSteps, GiveTheSameBitsOnAnyExecutor) {
  const std::size_t n = 100001;
  const auto gradient = random_values<bfloat16>(n, 5);
  const adam optimizer({.learning_rate = 0.01});
  const auto check = [&](auto fresh) {
    std::vector<bfloat16> w;
    halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
      w.assign(n, bfloat16(1.0f));
      auto state = fresh;
      for (int i = 0; i < 2; ++i) {
        optimizer.step(state, stochastic_weights{w, 1}, gradient, {.on = on});
      }
      return std::as_bytes(std::span(w));
    });
  };
  check(adam_state());
  check(adam_8bit_state{.seed = 3});
}

TEST(OptimizerSteps, ContinueFromACopyWithTheSameBits) {
  const auto gradient = random_values<bfloat16>(every_storage::n, 6);
  for_each_optimizer([&](const auto& optimizer, auto fresh, auto kinds) {
    every_storage original;
    original.visit(kinds, [&](const auto& storage) {
      auto state = fresh;
      const auto steps = [&](auto& s) {
        for (int i = 0; i < 3; ++i) optimizer.step(s, storage, gradient);
      };
      steps(state);
      auto copied_state = state;
      const every_storage copied = original;
      steps(state);
      const auto expected = original.bytes();
      original.master = copied.master, original.model = copied.model;
      original.high = copied.high, original.low = copied.low;
      original.kahan = copied.kahan, original.rest = copied.rest;
      original.random = copied.random;
      EXPECT_NE(original.bytes(), expected);
      steps(copied_state);
      EXPECT_EQ(copied_state, state);
      EXPECT_EQ(original.bytes(), expected);
    });
  });
}

// Unscale, clip, step: with powers of two as scale both ways are the same to the bit, and a step of
// plain SGD has the length learning_rate * max_norm.
TEST(OptimizerSteps, UnscaleThenClipThenStep) {
  constexpr double max_norm = 0.5;
  const std::size_t n = 1000;
  const auto scaled = random_values<half>(n, 7, 64.0f);
  halfway::loss_scaler scaler({.initial_scale = 256.0f}), other = scaler;
  const sgd optimizer({.learning_rate = 1.0});
  std::vector<float> fused(n), apart(n);
  sgd_state fused_state, apart_state;

  halfway::gradient_norm norm;
  norm.add(scaled);
  scaler.report(0, norm.non_finite());
  ASSERT_TRUE(scaler.should_step());
  const float unscale = scaler.inverse_scale();
  const float clip = halfway::clip_factor(norm.value() * static_cast<double>(unscale), max_norm);
  ASSERT_LT(clip, 1.0f);
  optimizer.step(fused_state, fused, scaled, {.gradient_factor = unscale * clip});

  std::vector<std::vector<float>> gradients(1, std::vector<float>(n));
  other.unscale(scaled, gradients[0]);
  const double before = halfway::clip_gradient_norm(gradients, max_norm);
  EXPECT_EQ(before, norm.value() / 256);
  optimizer.step(apart_state, apart, gradients[0]);
  EXPECT_EQ(fused, apart);

  double squares = 0;
  for (const float w : fused) squares += static_cast<double>(w) * static_cast<double>(w);
  // The factor is rounded once, each product once: two units of 2^-24. (norm + 1e-6 is 1e-6 / 8
  // longer than norm.)
  EXPECT_NEAR(std::sqrt(squares), max_norm, max_norm * (2 * 0x1p-24 + 1e-6 / before));
}

TEST(OptimizerSteps, AnOverflowSkipsTheStepAndLowersTheScale) {
  halfway::loss_scaler scaler({.initial_scale = 256.0f});
  auto scaled = random_values<half>(100, 8);
  scaled[37] = half(1e6f);
  halfway::gradient_norm norm;
  norm.add(scaled);
  scaler.report(0, norm.non_finite());
  EXPECT_FALSE(scaler.should_step());
  scaler.update();
  EXPECT_EQ(scaler.scale(), 128.0f);
  EXPECT_EQ(scaler.statistics().non_finite, 1u);
}

}  // namespace
