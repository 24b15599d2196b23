// SPDX-License-Identifier: Apache-2.0
// Errors of these sums against their bounds: tests/fidelity/error_bound_test.cc.
#include "halfway/ops/accurate_sum.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "halfway/ops/reduce.h"
#include "halfway/simd/sum_order.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::testing::expect_error;
using halfway::testing::expect_same_bits_on_every_target;
using halfway::testing::for_each_target;
using halfway::testing::normal_values;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// Around the widths of vectors, runs and blocks.
const std::vector<std::size_t> sizes = {1,   2,    3,    8,    31,   32,   33,   64,  65,
                                        127, 1023, 1024, 1025, 2047, 2048, 2049, 7000};

TEST(AccurateSum, OfIntegersIsExactWhateverTheirNumber) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      // What lies behind the elements would spoil every result.
      std::vector<half> x(n + 1, half(nan)), y(n + 1, half(nan));
      double sum = 0, dot = 0;
      for (std::size_t i = 0; i < n; ++i) {
        x[i] = half(static_cast<float>(i % 100) - 30.0f);
        y[i] = half(static_cast<float>(i % 7) + 1.0f);
        sum += static_cast<double>(static_cast<float>(x[i]));
        dot += static_cast<double>(static_cast<float>(x[i])) *
               static_cast<double>(static_cast<float>(y[i]));
      }
      const auto vx = std::span<const half>(x).first(n), vy = std::span<const half>(y).first(n);
      EXPECT_EQ(static_cast<double>(halfway::sum_pairwise(vx)), sum) << n;
      EXPECT_EQ(halfway::sum_in_double(vx), sum) << n;
      EXPECT_EQ(halfway::sum_compensated(vx), sum) << n;
      EXPECT_EQ(static_cast<double>(halfway::dot_pairwise(vx, vy)), dot) << n;
      EXPECT_EQ(halfway::dot_in_double(vx, vy), dot) << n;
      EXPECT_EQ(halfway::dot_compensated(vx, vy), dot) << n;
    }
  });
}

// 1e8 swallows the ones in FP32: plain sums lose them all.
TEST(AccurateSum, KeepsWhatAPlainSumLoses) {
  std::vector<float> x(4000, 0.0f), ones(x.size(), 1.0f);
  for (std::size_t i = 0; i < x.size(); i += 64) x[i] = 1.0f;
  x[0] = 1e8f;
  x[64 * 62] = -1e8f;
  for_each_target([&] {
    EXPECT_EQ(halfway::sum(x), 0.0f);
    EXPECT_EQ(halfway::sum_in_double(x), 61.0);
    EXPECT_EQ(halfway::sum_compensated(x), 61.0);
    EXPECT_EQ(halfway::dot_in_double(x, ones), 61.0);
    EXPECT_EQ(halfway::dot_compensated(x, ones), 61.0);
  });
}

// The products' own rounding is compensated too.
TEST(AccurateSum, KeepsTheDigitsOfProducts) {
  const std::vector<float> x = {1 + 0x1p-12f, -1.0f, -0x1p-11f}, y = {1 + 0x1p-12f, 1.0f, 1.0f};
  for_each_target([&] {
    EXPECT_EQ(halfway::dot_in_double(x, y), 0x1p-24);
    EXPECT_EQ(halfway::dot_compensated(x, y), 0x1p-24);
  });
}

TEST(AccurateSum, SpecialValues) {
  const std::vector<float> none, large(3, 3e38f), opposite = {inf, -inf}, ones(2, 1.0f),
                                                  negative_zeros(3, -0.0f);
  for_each_target([&] {
    EXPECT_EQ(halfway::sum_pairwise(none), 0.0f);
    EXPECT_EQ(halfway::sum_in_double(none), 0.0);
    EXPECT_EQ(halfway::sum_compensated(none), 0.0);
    EXPECT_EQ(halfway::dot_pairwise(none, none), 0.0f);
    EXPECT_EQ(halfway::dot_in_double(none, none), 0.0);
    EXPECT_EQ(halfway::dot_compensated(none, none), 0.0);
    EXPECT_EQ(halfway::sum_pairwise(large), inf);
    EXPECT_DOUBLE_EQ(halfway::sum_in_double(large), 3 * static_cast<double>(3e38f));
    EXPECT_EQ(halfway::sum_compensated(large), static_cast<double>(inf));
    EXPECT_EQ(halfway::dot_compensated(large, large), static_cast<double>(inf));
    EXPECT_TRUE(std::isnan(halfway::sum_pairwise(opposite)));
    EXPECT_TRUE(std::isnan(halfway::sum_in_double(opposite)));
    EXPECT_TRUE(std::isnan(halfway::sum_compensated(opposite)));
    EXPECT_TRUE(std::isnan(halfway::dot_compensated(opposite, ones)));
    EXPECT_FALSE(std::signbit(halfway::sum_pairwise(negative_zeros)));
    EXPECT_FALSE(std::signbit(halfway::sum_in_double(negative_zeros)));
    EXPECT_FALSE(std::signbit(halfway::sum_compensated(negative_zeros)));
    for (const std::size_t n : {std::size_t{1}, std::size_t{40}, std::size_t{3000}}) {
      std::vector<float> x(n, 1.0f);
      x[n - 1] = -inf;
      EXPECT_EQ(halfway::sum_pairwise(x), -inf);
      EXPECT_EQ(halfway::sum_in_double(x), -inf);
      EXPECT_EQ(halfway::sum_compensated(x), -inf);
      x[n - 1] = nan;
      EXPECT_TRUE(std::isnan(halfway::sum_pairwise(x)));
      EXPECT_TRUE(std::isnan(halfway::sum_in_double(x)));
      EXPECT_TRUE(std::isnan(halfway::sum_compensated(x)));
    }
  });
}

void append_bits(std::vector<std::uint32_t>& bits, double x) {
  const auto pattern = std::bit_cast<std::uint64_t>(x);
  bits.push_back(static_cast<std::uint32_t>(pattern));
  bits.push_back(static_cast<std::uint32_t>(pattern >> 32));
}

TEST(AccurateSum, GivesTheSameBitsOnEveryTarget) {
  expect_same_bits_on_every_target([](std::vector<std::uint32_t>& bits) {
    for (const std::size_t n : sizes) {
      const auto x = normal_values<half>(n, 0.1, 1.0, 1), y = normal_values<half>(n, 0, 30.0, 2);
      for (const double result :
           {static_cast<double>(halfway::sum_pairwise(x)), halfway::sum_in_double(x),
            halfway::sum_compensated(x), static_cast<double>(halfway::dot_pairwise(x, y)),
            halfway::dot_in_double(x, y), halfway::dot_compensated(x, y)}) {
        append_bits(bits, result);
      }
      // Products that are subnormal.
      const auto small = normal_values<float>(n, 0.0, 0x1p-70, 3);
      append_bits(bits, halfway::dot_compensated(small, small));
      append_bits(bits, static_cast<double>(halfway::dot_pairwise(small, small)));
    }
  });
}

TEST(AccurateSum, HasTheSameBitsOnAnyExecutor) {
  const std::size_t n = 4 * halfway::detail::reduction_part + 77;
  const auto x = normal_values<half>(n, 0.1, 1.0, 20), y = normal_values<half>(n, -0.1, 1.0, 21);
  std::vector<double> results;
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    results = {static_cast<double>(halfway::sum_pairwise(x, on)),
               halfway::sum_in_double(x, on),
               halfway::sum_compensated(x, on),
               static_cast<double>(halfway::dot_pairwise(x, y, on)),
               halfway::dot_in_double(x, y, on),
               halfway::dot_compensated(x, y, on)};
    return std::as_bytes(std::span(results));
  });
}

TEST(AccurateSum, RefusesBadInput) {
  const std::vector<float> three(3), four(4);
  const std::span<const float> null(static_cast<const float*>(nullptr), 5);
  expect_error([&] { halfway::sum_pairwise(null); }, {"halfway::sum_pairwise", "x is null", "5"});
  expect_error([&] { halfway::sum_in_double(null); }, {"halfway::sum_in_double", "x is null"});
  expect_error([&] { halfway::sum_compensated(null); }, {"halfway::sum_compensated", "x is null"});
  expect_error([&] { halfway::dot_pairwise(three, four); },
               {"halfway::dot_pairwise", "y.size() (4)", "x.size() (3)"});
  expect_error([&] { halfway::dot_in_double(three, four); },
               {"halfway::dot_in_double", "y.size() (4)", "x.size() (3)"});
  expect_error([&] { halfway::dot_compensated(three, four); },
               {"halfway::dot_compensated", "y.size() (4)", "x.size() (3)"});
}

}  // namespace
