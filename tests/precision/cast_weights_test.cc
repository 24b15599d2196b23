// SPDX-License-Identifier: Apache-2.0
// Casted weights through training: what a layer reads is what the optimizer wrote.
#include "halfway/precision/cast_weights.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "halfway/core/thread_pool.h"
#include "halfway/precision/autocast.h"
#include "halfway/precision/autocast_executor.h"
#include "halfway/training/loss_scaler.h"
#include "halfway/training/optimizer.h"

namespace {

using halfway::autocast;
using halfway::bfloat16;
using halfway::cast_weights;
using halfway::dtype;
using halfway::parameter;

parameter ramp() {
  halfway::matrix<float> m(4, 5);
  for (std::size_t i = 0; i < m.size(); ++i) m.elements()[i] = 0.1f * static_cast<float>(i + 1);
  return parameter(m);
}

// Every element is the parameter's, rounded once.
template <class T>
std::size_t wrong_elements(const halfway::weights_in<T>& cast, const parameter& p) {
  std::size_t wrong = cast.rows() != p.rows() || cast.cols() != p.cols();
  for (std::size_t i = 0; i < p.rows(); ++i) {
    for (std::size_t j = 0; j < p.cols(); ++j)
      wrong += static_cast<float>(cast(i, j)) != static_cast<float>(T(p.values()(i, j)));
  }
  return wrong;
}

TEST(CastWeights, CastsOnceInAScopeAndEachTimeOutside) {
  const parameter p = ramp();
  EXPECT_EQ(wrong_elements(cast_weights<bfloat16>(p), p), 0u);
  EXPECT_EQ(cast_weights<float>(p).view().data(), p.values().data());
  const autocast scope(dtype::bfloat16);
  const auto first = cast_weights<bfloat16>(p);
  EXPECT_EQ(wrong_elements(first, p), 0u);
  EXPECT_EQ(cast_weights<bfloat16>(p).view().data(), first.view().data());
  EXPECT_EQ(wrong_elements(cast_weights<halfway::half>(p), p), 0u);
  EXPECT_EQ(autocast::current().cache->statistics(), (halfway::cast_cache_statistics{1, 2, 2}));
}

TEST(CastWeights, AreNeverStaleAfterAStepOfAnyOptimizer) {
  const autocast scope(dtype::bfloat16);
  const std::vector<float> gradient(20, 1.0f);
  const halfway::sgd sgd({.learning_rate = 0.5});
  const halfway::adam adam({.learning_rate = 0.5});
  halfway::sgd_state sgd_state;
  halfway::adam_state adam_state;
  std::vector<bfloat16> model(20);

  parameter p = ramp();
  const float before = p.values()(0, 0);
  const auto kept = cast_weights<bfloat16>(p);
  sgd.step(sgd_state, p.write(), gradient);
  EXPECT_NE(p.values()(0, 0), before);
  EXPECT_EQ(wrong_elements(cast_weights<bfloat16>(p), p), 0u);
  EXPECT_EQ(static_cast<float>(kept(0, 0)), static_cast<float>(bfloat16(before)));  // a snapshot
  adam.step(adam_state, p.write(), gradient, model);
  EXPECT_EQ(wrong_elements(cast_weights<bfloat16>(p), p), 0u);

  // The optimizer knows only the memory, as in a program that was there before.
  std::vector<float> memory(20, 1.0f);
  const parameter view(halfway::matrix_view<float>(memory.data(), 4, 5));
  for (int step = 0; step < 5; ++step) {
    EXPECT_EQ(wrong_elements(cast_weights<bfloat16>(view), view), 0u);
    if (step % 2 == 0) {
      sgd.step(sgd_state, memory, gradient);
    } else {
      adam.step(adam_state, memory, gradient);
    }
    EXPECT_EQ(wrong_elements(cast_weights<bfloat16>(view), view), 0u);
    EXPECT_EQ(wrong_elements(cast_weights<bfloat16>(view), view), 0u);  // and from the cache
  }
}

// A model that is made anew at the same place, in one scope.
TEST(CastWeights, FollowsParametersNotAddresses) {
  const autocast scope(dtype::bfloat16);
  std::vector<float> memory(20);
  for (int model = 0; model < 20; ++model) {
    for (float& x : memory) x = static_cast<float>(model);
    const parameter p(halfway::matrix_view<float>(memory.data(), 4, 5));
    EXPECT_EQ(wrong_elements(cast_weights<bfloat16>(p), p), 0u);
  }
}

TEST(CastWeights, ThreadsShareTheCastsOfAScope) {
  halfway::thread_pool pool(4);
  const halfway::autocast_executor on(pool);
  const halfway::sgd sgd({.learning_rate = 0.25});
  std::vector<parameter> weights(6, ramp());
  std::vector<halfway::sgd_state> states(weights.size());
  const std::vector<float> gradient(20, 1.0f);
  const autocast scope(dtype::bfloat16);
  constexpr std::size_t steps = 5, tasks = 48;
  for (std::size_t step = 0; step < steps; ++step) {
    std::vector<std::size_t> wrong(tasks);
    on.run(tasks, [&](std::size_t i) {
      const parameter& p = weights[i % weights.size()];
      wrong[i] = wrong_elements(cast_weights<bfloat16>(p), p);
    });
    EXPECT_EQ(wrong, std::vector<std::size_t>(tasks));
    for (std::size_t i = 0; i < weights.size(); ++i)
      sgd.step(states[i], weights[i].write(), gradient);
  }
  EXPECT_EQ(autocast::current().cache->statistics().misses, steps * weights.size());
}

TEST(LossScaler, IsSeenByAutocastWhileItScales) {
  EXPECT_FALSE(halfway::a_loss_scaler_exists());
  {
    const halfway::loss_scaler scaler;
    EXPECT_TRUE(halfway::a_loss_scaler_exists());
    const halfway::loss_scaler copy = scaler;
    EXPECT_EQ(copy, scaler);
  }
  EXPECT_FALSE(halfway::a_loss_scaler_exists());
  halfway::loss_scaler none = halfway::loss_scaler::fixed(1);
  EXPECT_FALSE(halfway::a_loss_scaler_exists());
  none = halfway::loss_scaler::fixed(1024);
  EXPECT_TRUE(halfway::a_loss_scaler_exists());
  const halfway::loss_scaler resumed(none.state());
  none = halfway::loss_scaler::fixed(1);
  EXPECT_TRUE(halfway::a_loss_scaler_exists());
}

}  // namespace
