// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/op_registry.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::bfloat16;
using halfway::dtype;
using halfway::half;
using halfway::matrix;
using halfway::matrix_view;
using halfway::op_category;
using halfway::op_counters;
using halfway::op_registry;
using halfway::testing::expect_error;

using inputs_of = std::span<const matrix_view<const float>>;

// a + b / 3: neither is exact in 16 bits.
float third(float a, float b) { return a + b / 3; }

void third_kernel(inputs_of in, matrix_view<float> y) {
  halfway::detail::check_equal("third", "inputs", in.size(), "operands", 2);
  halfway::detail::check_equal("third", "a.cols()", in[0].cols(), "b.cols()", in[1].cols());
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t j = 0; j < y.cols(); ++j) y(i, j) = third(in[0](i, j), in[1](i, j));
  }
}

template <class T>
matrix<T> ramp(std::size_t rows, std::size_t cols, float step) {
  matrix<T> m(rows, cols);
  for (std::size_t i = 0; i < m.size(); ++i)
    m.elements()[i] = T(step * (static_cast<float>(i) - 3));
  return m;
}

op_registry with_third() {
  op_registry registry;
  registry.add("third", third_kernel);
  return registry;
}

// Of 3 x 4 matrices of these types: each element is f of the widened inputs, rounded once.
template <class Y, class A, class B>
op_counters runs_right() {
  op_registry registry = with_third();
  const auto a = ramp<A>(3, 4, 0.37f);
  const auto b = ramp<B>(3, 4, 1.3f);
  matrix<Y> y(3, 4);
  registry.run("third", y, a, b);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const float exact =
        third(static_cast<float>(a.elements()[i]), static_cast<float>(b.elements()[i]));
    EXPECT_EQ(static_cast<float>(y.elements()[i]), static_cast<float>(Y(exact))) << i;
  }
  return registry.counters("third");
}

TEST(OpRegistry, WidensRunsAndRoundsOnce) {
  EXPECT_EQ((runs_right<float, float, float>()), (op_counters{1, 0, 0, 0, 0}));
  EXPECT_EQ((runs_right<bfloat16, bfloat16, bfloat16>()), (op_counters{1, 1, 2, 1, 36}));
  EXPECT_EQ((runs_right<half, half, float>()), (op_counters{1, 1, 1, 1, 24}));
  EXPECT_EQ((runs_right<float, bfloat16, float>()), (op_counters{1, 1, 1, 0, 12}));
  EXPECT_EQ((runs_right<half, float, float>()), (op_counters{1, 1, 0, 1, 12}));
}

TEST(OpRegistry, TakesRangesAndStrides) {
  op_registry registry = with_third();
  const std::vector<bfloat16> a(5, bfloat16(1.0f)), b(5, bfloat16(2.0f));
  std::vector<bfloat16> y(5);
  registry.run("third", y, a, b);
  EXPECT_EQ(static_cast<float>(y[4]), static_cast<float>(bfloat16(third(1, 2))));
  registry.run("third", std::span<bfloat16>(y).first(2), std::span(a).first(2),
               std::span(b).first(2));

  const auto wide = ramp<bfloat16>(4, 3, 1);
  matrix<bfloat16> block(6, 9);
  registry.run("third", block.view().block(1, 2, 3, 4), wide.view().transposed(),
               wide.view().transposed());
  EXPECT_EQ(static_cast<float>(block(1, 3)),
            static_cast<float>(
                bfloat16(third(static_cast<float>(wide(1, 0)), static_cast<float>(wide(1, 0))))));
  EXPECT_EQ(static_cast<float>(block(0, 0)), 0.0f);
  EXPECT_EQ(registry.counters("third").calls, 3u);
  EXPECT_EQ(registry.report(), "third: 3 calls, 3 in fallback, 9 casts of 57 elements\n");
}

TEST(OpRegistry, RunsInPlaceThroughTheFallback) {
  op_registry registry = with_third();
  auto x = ramp<half>(2, 4, 0.37f);
  const auto before = x;
  registry.run("third", x, x, x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float v = static_cast<float>(before.elements()[i]);
    EXPECT_EQ(static_cast<float>(x.elements()[i]), static_cast<float>(half(third(v, v))));
  }
}

TEST(OpRegistry, PrefersAKernelOfTheType) {
  op_registry registry = with_third();
  int direct = 0;
  registry.add_kernel<bfloat16>("third", [&](auto in, matrix_view<bfloat16> y) {
    ++direct;
    y(0, 0) = in[0](0, 0);
  });
  const auto a = ramp<bfloat16>(1, 1, 1), b = a;
  matrix<bfloat16> y(1, 1);
  registry.run("third", y, a, b);
  EXPECT_EQ(direct, 1);
  EXPECT_EQ(registry.counters("third"), (op_counters{1, 0, 0, 0, 0}));
  registry.run("third", y, ramp<half>(1, 1, 1), b);  // a mix
  EXPECT_EQ(direct, 1);

  // In a scope, its table decides.
  halfway::op_table table;
  table.add("third", op_category::float32);
  {
    const halfway::autocast scope(halfway::amp_bf16, table);
    registry.run("third", y, a, b);
    EXPECT_EQ(direct, 1);
    const halfway::autocast inner(halfway::amp_bf16, {{"third", op_category::lower_precision}});
    registry.run("third", y, a, b);
    EXPECT_EQ(direct, 2);
  }
  table.refuse("third", "two_thirds");
  const halfway::autocast scope(halfway::amp_bf16, table);
  expect_error([&] { registry.run("third", y, a, b); }, {"third is refused", "use two_thirds"});
}

TEST(OpRegistry, LeavesTheResultAloneWhenTheKernelFails) {
  op_registry registry = with_third();
  registry.add("throws", [](inputs_of, matrix_view<float> y) {
    y(0, 0) = 1;
    throw std::runtime_error("from the kernel");
  });
  auto y = ramp<bfloat16>(1, 3, 1);
  const float before = static_cast<float>(y(0, 0));
  EXPECT_THROW(registry.run("throws", y, y), std::runtime_error);
  EXPECT_EQ(static_cast<float>(y(0, 0)), before);
  expect_error([&] { registry.run("third", y, y); }, {"third: inputs (1) must equal operands (2)"});
  expect_error([&] { registry.run("third", y, y, ramp<bfloat16>(1, 2, 1)); },
               {"a.cols() (3) must equal b.cols() (2)"});
}

TEST(OpRegistry, RefusesBadInput) {
  op_registry registry;
  matrix<bfloat16> y(1, 1);
  expect_error([&] { registry.run("third", y, y); }, {"\"third\"; none is registered"});
  registry.add("third", third_kernel);
  expect_error([&] { registry.run("thrid", y, y); },
               {"halfway::op_registry::run: unknown operation \"thrid\"; did you mean \"third\""});
  expect_error([&] { (void)registry.counters("x"); }, {"\"x\"", "\"third\""});
  expect_error([&] { registry.add("third", third_kernel); }, {"\"third\" exists"});
  expect_error([&] { registry.add("", third_kernel); }, {"op_name is empty"});
  expect_error([&] { registry.add("empty", nullptr); }, {"the kernel of \"empty\" is empty"});
  expect_error([&] { registry.add_kernel<half>("x", [](auto, auto) {}); }, {"\"x\"", "\"third\""});
  expect_error([&] { registry.add_kernel<half>("third", nullptr); }, {"is empty"});
  registry.add_kernel<half>("third", [](auto, auto) {});
  expect_error([&] { registry.add_kernel<half>("third", [](auto, auto) {}); },
               {"\"third\" has a kernel for float16"});
  EXPECT_FALSE(registry.contains("empty"));
  EXPECT_EQ(registry.names().size(), 1u);
}

TEST(OpRegistry, CountsCallsOfSeveralThreads) {
  op_registry registry = with_third();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry] {
      const auto a = ramp<bfloat16>(2, 3, 1);
      matrix<bfloat16> y(2, 3);
      for (int i = 0; i < 100; ++i) registry.run("third", y, a, a);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(registry.counters("third"), (op_counters{400, 400, 800, 400, 400 * 18}));
}

}  // namespace
