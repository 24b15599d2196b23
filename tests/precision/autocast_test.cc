// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/autocast.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>

#include "support/expect_error.h"

namespace {

using halfway::autocast;
using halfway::autocast_state;
using halfway::compute_dtype;
using halfway::dtype;
using halfway::op_category;
using halfway::testing::expect_error;
namespace op = halfway::op;

static_assert(!std::is_copy_constructible_v<autocast> && !std::is_move_constructible_v<autocast>);
static_assert(std::is_copy_constructible_v<autocast_state> &&
              std::is_copy_assignable_v<autocast_state>);

TEST(Autocast, IsOffOutsideAnyScope) {
  EXPECT_FALSE(autocast::current().enabled);
  EXPECT_EQ(autocast::current().policy, halfway::fp32);
  EXPECT_EQ(compute_dtype(op::linear), dtype::float32);
  EXPECT_EQ(compute_dtype(op::linear, {dtype::bfloat16}), dtype::bfloat16);
  EXPECT_EQ(compute_dtype(op::softmax, {dtype::float16, dtype::float32}), dtype::float32);
}

TEST(Autocast, DrivesTheTypesOfLayers) {
  const autocast scope(halfway::amp_bf16);
  EXPECT_TRUE(autocast::current().enabled);
  EXPECT_EQ(compute_dtype(op::linear), dtype::bfloat16);
  EXPECT_EQ(compute_dtype(op::linear, {dtype::float32, dtype::float32}), dtype::bfloat16);
  EXPECT_EQ(compute_dtype(op::softmax, {dtype::bfloat16}), dtype::float32);
  EXPECT_EQ(compute_dtype(op::relu, {dtype::bfloat16}), dtype::bfloat16);
}

TEST(Autocast, NestsAndRestores) {
  const autocast outer(dtype::bfloat16);
  {
    const autocast inner(dtype::float16);
    EXPECT_EQ(compute_dtype(op::linear), dtype::float16);
    EXPECT_EQ(autocast::current().policy, halfway::amp_fp16);
    {
      const autocast off(halfway::autocast_off);
      EXPECT_FALSE(autocast::current().enabled);
      EXPECT_EQ(compute_dtype(op::linear), dtype::float32);
      const autocast on(dtype::bfloat16);
      EXPECT_EQ(compute_dtype(op::linear), dtype::bfloat16);
    }
    EXPECT_EQ(compute_dtype(op::linear), dtype::float16);
  }
  EXPECT_EQ(compute_dtype(op::linear), dtype::bfloat16);
}

TEST(Autocast, InheritsWhatItDoesNotSet) {
  const autocast outer(halfway::pure_bf16);
  const autocast inner(dtype::float16);
  EXPECT_EQ(autocast::current().policy,
            (halfway::cast_policy{dtype::bfloat16, dtype::float16, dtype::bfloat16}));
}

TEST(Autocast, RestoresWhenAnExceptionPasses) {
  const autocast outer(dtype::bfloat16);
  EXPECT_THROW(
      {
        const autocast first(dtype::float16);
        const autocast second(halfway::autocast_off);
        throw std::runtime_error("from a layer");
      },
      std::runtime_error);
  EXPECT_TRUE(autocast::current().enabled);
  EXPECT_EQ(compute_dtype(op::linear), dtype::bfloat16);
}

TEST(Autocast, OverridesSingleOperationsWithinTheScope) {
  const autocast outer(dtype::bfloat16);
  {
    const autocast scope(dtype::bfloat16, {{op::softmax, op_category::lower_precision},
                                           {op::linear, op_category::float32}});
    EXPECT_EQ(compute_dtype(op::softmax), dtype::bfloat16);
    EXPECT_EQ(compute_dtype(op::linear), dtype::float32);
    const autocast inner(halfway::amp_fp16, {{op::linear, op_category::lower_precision}});
    EXPECT_EQ(compute_dtype(op::softmax), dtype::float16);  // inherited
    EXPECT_EQ(compute_dtype(op::linear), dtype::float16);   // overridden again
  }
  EXPECT_EQ(compute_dtype(op::softmax), dtype::float32);
  EXPECT_EQ(compute_dtype(op::linear), dtype::bfloat16);
}

TEST(Autocast, TakesATableOfTheUsers) {
  halfway::op_table table;
  table.add("my_op", op_category::lower_precision);
  {
    const autocast scope(halfway::amp_fp16, table);
    EXPECT_EQ(compute_dtype("my_op"), dtype::float16);
    const autocast inner(dtype::bfloat16);
    EXPECT_EQ(compute_dtype("my_op"), dtype::bfloat16);
    const autocast off(halfway::autocast_off);
    EXPECT_EQ(compute_dtype("my_op"), dtype::float32);
  }
  expect_error([] { compute_dtype("my_op"); }, {"unknown operation \"my_op\""});
}

TEST(Autocast, RefusesBadInputAndLeavesTheStateAlone) {
  const autocast outer(dtype::bfloat16);
  expect_error(
      [] {
        const autocast bad(dtype::float16, {{"lineer", op_category::float32}});
      },
      {"unknown operation \"lineer\"", "\"linear\""});
  expect_error(
      [] {
        autocast_state state;
        state.table = nullptr;
        const autocast bad(state);
      },
      {"state.table is null"});
  EXPECT_EQ(compute_dtype(op::linear), dtype::bfloat16);
  expect_error([] { compute_dtype("lineer"); }, {"\"linear\""});
  const autocast off(halfway::autocast_off);
  expect_error([] { compute_dtype("lineer"); }, {"\"linear\""});
}

TEST(Autocast, BelongsToAThreadAndIsCarriedByCopy) {
  const autocast outer(dtype::bfloat16, {{op::softmax, op_category::lower_precision}});
  std::pair<dtype, dtype> without{}, with{}, after{};
  std::thread worker([&, state = autocast::current()] {
    without = {compute_dtype(op::linear), compute_dtype(op::softmax)};
    {
      const autocast scope(state);
      with = {compute_dtype(op::linear), compute_dtype(op::softmax)};
    }
    after = {compute_dtype(op::linear), compute_dtype(op::softmax)};
  });
  worker.join();
  EXPECT_EQ(without, std::pair(dtype::float32, dtype::float32));
  EXPECT_EQ(with, std::pair(dtype::bfloat16, dtype::bfloat16));
  EXPECT_EQ(after, std::pair(dtype::float32, dtype::float32));
}

TEST(Autocast, AStateOutlivesItsScope) {
  autocast_state kept;
  {
    const autocast scope(dtype::float16, {{op::relu, op_category::float32}});
    kept = autocast::current();
  }
  EXPECT_EQ(kept.compute_dtype(op::linear), dtype::float16);
  EXPECT_EQ(kept.compute_dtype(op::relu, {dtype::float16}), dtype::float32);
  EXPECT_FALSE(autocast::current().enabled);
}

TEST(Autocast, FollowsRulesOfLayersWithTheirPrecedence) {
  halfway::precision_rules rules{halfway::amp_bf16};
  rules.ops.add("gate", op_category::lower_precision);
  rules.layers.add("encoder.*.softmax", dtype::float16);
  rules.layers.add("encoder.0.softmax", dtype::bfloat16);
  const autocast scope(rules);
  EXPECT_EQ(compute_dtype("gate"), dtype::bfloat16);
  EXPECT_EQ(compute_dtype(op::softmax), dtype::float32);
  EXPECT_EQ(compute_dtype(op::softmax, {dtype::bfloat16}, "decoder.0.softmax"), dtype::float32);
  EXPECT_EQ(compute_dtype(op::softmax, {dtype::bfloat16}, "encoder.1.softmax"), dtype::float16);
  EXPECT_EQ(compute_dtype(op::softmax, {dtype::bfloat16}, "encoder.0.softmax"), dtype::bfloat16);
  {
    const autocast inner(dtype::float16);  // inherits the rules
    EXPECT_EQ(compute_dtype(op::softmax, {}, "encoder.0.softmax"), dtype::bfloat16);
    const autocast off(halfway::autocast_off);
    EXPECT_EQ(compute_dtype(op::softmax, {}, "encoder.0.softmax"), dtype::float32);
  }
  const autocast other(halfway::precision_rules{halfway::amp_bf16});  // replaces them
  EXPECT_EQ(compute_dtype(op::softmax, {}, "encoder.0.softmax"), dtype::float32);
  expect_error([] { compute_dtype("gate"); }, {"unknown operation \"gate\""});
}

TEST(Autocast, OverridesWithTypesAndRefuses) {
  const autocast scope(dtype::bfloat16, {{op::linear, dtype::float16}});
  EXPECT_EQ(compute_dtype(op::linear), dtype::float16);
  expect_error([] { compute_dtype(op::binary_cross_entropy); },
               {"refused in low precision", "binary_cross_entropy_with_logits"});
  const autocast allowed(dtype::bfloat16, {{op::binary_cross_entropy, op_category::float32}});
  EXPECT_EQ(compute_dtype(op::binary_cross_entropy), dtype::float32);
  const autocast off(halfway::autocast_off);
  EXPECT_EQ(compute_dtype(op::binary_cross_entropy, {dtype::float16}), dtype::float16);
}

TEST(Autocast, SharesTheOutermostScopesCacheAndEmptiesIt) {
  EXPECT_EQ(autocast::current().cache, nullptr);
  autocast_state kept;
  const halfway::parameter p(halfway::matrix<float>(1, 1));
  {
    const autocast outer(dtype::bfloat16);
    const auto cache = autocast::current().cache;
    ASSERT_NE(cache, nullptr);
    {
      const autocast inner(halfway::autocast_off);
      EXPECT_EQ(autocast::current().cache, cache);
      cache->get<int>(p, [] { return 1; });
    }
    EXPECT_EQ(cache->statistics().entries, 1u);
    kept = autocast::current();
  }
  EXPECT_EQ(kept.cache->statistics().entries, 0u);
  const autocast next(dtype::bfloat16);
  EXPECT_NE(autocast::current().cache, kept.cache);
}

int warnings = 0;
void count_warning(const char* message) {
  ++warnings;
  EXPECT_NE(std::string_view(message).find("no loss_scaler"), std::string_view::npos);
}

// Forgets what other tests have been warned of, and counts.
struct counted_warnings {
  counted_warnings() {
    warnings = 0;
    halfway::detail::warned_of_unscaled_float16.store(false);
    halfway::set_warning_handler(&count_warning);
  }
  ~counted_warnings() { halfway::set_warning_handler(nullptr); }
};

TEST(Autocast, WarnsOnceOfFloat16WithoutAScaler) {
  const counted_warnings counted;
  { const autocast scope(halfway::amp_bf16); }
  { const autocast scope(halfway::autocast_off); }
  { const autocast scope(halfway::inference, halfway::amp_fp16); }
  {
    const autocast scope(halfway::inference, dtype::bfloat16);
    const autocast inherited(dtype::float16);
  }
  { const autocast scope(halfway::inference, halfway::precision_rules{halfway::pure_fp16}); }
  {
    const halfway::scaler_presence scaler(true);
    const halfway::scaler_presence copy = scaler;
    const autocast scope(halfway::amp_fp16);
  }
  EXPECT_EQ(warnings, 0);
  const halfway::scaler_presence none(false);  // as loss_scaler::fixed(1) has it
  { const autocast scope(dtype::float16); }
  EXPECT_EQ(warnings, 1);
  { const autocast scope(halfway::pure_fp16); }
  EXPECT_EQ(warnings, 1);
}

TEST(Autocast, CountsScalersThroughCopiesAndAssignments) {
  EXPECT_FALSE(halfway::a_loss_scaler_exists());
  halfway::scaler_presence kept(false);
  {
    halfway::scaler_presence scaler(true);
    kept = scaler;
  }
  EXPECT_TRUE(halfway::a_loss_scaler_exists());
  kept = halfway::scaler_presence(false);
  EXPECT_FALSE(halfway::a_loss_scaler_exists());
}

}  // namespace
