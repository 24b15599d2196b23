// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/autocast.h"

#include <gtest/gtest.h>

#include <stdexcept>
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

}  // namespace
