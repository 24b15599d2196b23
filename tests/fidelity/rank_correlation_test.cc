// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/rank_correlation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "halfway/types/bfloat16.h"
#include "support/expect_error.h"

namespace {

using halfway::kendall_tau;
using halfway::spearman;
using halfway::testing::expect_error;

constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(RankCorrelation, OfSmallCasesByHand) {
  const std::vector<float> x = {1, 2, 3, 4, 5}, swapped = {2, 1, 3, 5, 4}, back = {9, 7, 5, 3, 1};
  EXPECT_DOUBLE_EQ(spearman(x, swapped), 1 - 6.0 * 4 / (5 * 24));  // 1 - 6 sum d^2 / (n^3 - n)
  EXPECT_DOUBLE_EQ(kendall_tau(x, swapped), (8.0 - 2) / 10);
  EXPECT_EQ(spearman(x, back), -1);
  EXPECT_EQ(kendall_tau(x, back), -1);
  EXPECT_EQ(spearman(back, back), 1);
  EXPECT_EQ(kendall_tau(back, back), 1);
  // Values do not matter, order does, of infinities too.
  const std::vector<float> stretched = {-infinity, -2, 0, 1e30f, infinity};
  EXPECT_EQ(spearman(x, stretched), 1);
  EXPECT_EQ(kendall_tau(x, stretched), 1);
}

// Ranks by counting, pairs by trying each: n^2 operations and no sort.
double rank_by_counting(const std::vector<float>& x, std::size_t i) {
  double less = 0, equal = 0;
  for (const float v : x) {
    less += v < x[i];
    equal += v == x[i];
  }
  return less + (equal + 1) / 2;
}
double spearman_by_definition(const std::vector<float>& x, const std::vector<float>& y) {
  const double mean = (static_cast<double>(x.size()) + 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double a = rank_by_counting(x, i) - mean, b = rank_by_counting(y, i) - mean;
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  return xy / std::sqrt(xx * yy);
}
double kendall_by_definition(const std::vector<float>& x, const std::vector<float>& y) {
  double difference = 0, ordered_x = 0, ordered_y = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const int a = (x[i] > x[j]) - (x[i] < x[j]), b = (y[i] > y[j]) - (y[i] < y[j]);
      difference += a * b;
      ordered_x += a != 0;
      ordered_y += b != 0;
    }
  }
  return difference / std::sqrt(ordered_x * ordered_y);
}

TEST(RankCorrelation, EqualsItsDefinitionWithManyTiesAndFew) {
  std::mt19937 random(1);
  for (const int levels : {2, 5, 1000}) {
    for (std::size_t n = 2; n < 120; n += 7) {
      std::uniform_int_distribution<int> level(0, levels);
      std::vector<float> x(n), y(n);
      for (std::size_t i = 0; i < n; ++i) {
        x[i] = static_cast<float>(level(random));
        y[i] = x[i] + static_cast<float>(level(random));
      }
      x[0] = -1, x[1] = 0, y[0] = -2, y[1] = 7;  // at least two values each
      // Sums of integers are exact: two square roots, a product and a quotient are rounded.
      EXPECT_NEAR(spearman(x, y), spearman_by_definition(x, y), 4 * 0x1p-52) << n;
      EXPECT_NEAR(kendall_tau(x, y), kendall_by_definition(x, y), 4 * 0x1p-52) << n;
      EXPECT_EQ(spearman(x, y), spearman(y, x));
      EXPECT_EQ(kendall_tau(x, y), kendall_tau(y, x));
    }
  }
}

TEST(RankCorrelation, OfNarrowTypesSeesTheTiesThatRoundingMade) {
  const std::vector<float> x = {1.0f, 1.001f, 1.002f, 2.0f};
  const std::vector<halfway::bfloat16> y(x.begin(), x.end());  // the first three are 1
  EXPECT_DOUBLE_EQ(kendall_tau(x, y), 3 / std::sqrt(6.0 * 3));
}

TEST(RankCorrelation, WithoutAnOrderIsNan) {
  const std::vector<float> x = {1, 2, 3}, level = {2, 2, 2}, broken = {1, std::nanf(""), 3};
  for (const auto& y : {level, broken}) {
    EXPECT_TRUE(std::isnan(spearman(x, y)));
    EXPECT_TRUE(std::isnan(kendall_tau(y, x)));
  }
  for (const std::size_t n : {0u, 1u}) {
    EXPECT_TRUE(std::isnan(spearman(std::vector<float>(n), std::vector<float>(n))));
    EXPECT_TRUE(std::isnan(kendall_tau(std::vector<float>(n), std::vector<float>(n))));
  }
  expect_error([&] { spearman(x, std::vector<float>(2)); },
               {"halfway::spearman", "candidate.size() (2)", "baseline.size() (3)"});
  expect_error([&] { kendall_tau(x, std::vector<float>(2)); }, {"halfway::kendall_tau", "(2)"});
}

}  // namespace
