// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/confidence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::sample_mean;
using halfway::testing::expect_error;

constexpr double pi = 3.14159265358979323846;

TEST(Confidence, QuantilesAreThoseOfClosedForms) {
  using halfway::detail::normal_quantile;
  using halfway::detail::student_quantile;
  EXPECT_NEAR(normal_quantile(0.025), 1.959963984540054, 1e-14);  // of every table
  for (const double tail : {0.4, 0.1, 0.025, 0.005, 1e-6}) {
    // 1 degree: Cauchy's. 2: a square root. 4: a cubic of which the tail is known, turned around.
    const double cauchy = 1 / std::tan(pi * tail);
    EXPECT_NEAR(student_quantile(tail, 1), cauchy, 1e-11 * cauchy);
    const double a = 1 - 2 * tail, two = a * std::sqrt(2 / (4 * tail * (1 - tail)));
    EXPECT_NEAR(student_quantile(tail, 2), two, 1e-11 * two);
    const double t = student_quantile(tail, 4), y = t / std::sqrt(t * t + 4);
    EXPECT_NEAR(0.5 - (1.5 * y - 0.5 * y * y * y) / 2, tail, 1e-13);
    // Where the expansion takes over, they agree: what it leaves out is below z^11 / freedom^5.
    const double z = normal_quantile(tail);
    EXPECT_NEAR(student_quantile(tail, 999.999999), student_quantile(tail, 1000),
                1e-11 + std::pow(z, 11) * 1e-15 + 1e-12 * (z * z * z + z));
  }
}

TEST(Confidence, WilsonSolvesItsQuadraticEquation) {
  // The ends are where |p - p0| = z sqrt(p0 (1 - p0) / n).
  const double z = 1.959963984540054;
  for (const std::size_t successes : {1u, 17u, 50u, 99u}) {
    const auto [low, high] = halfway::wilson_interval(successes, 100);
    const double p = static_cast<double>(successes) / 100;
    EXPECT_LT(low, p);
    EXPECT_LT(p, high);
    EXPECT_NEAR(p - low, z * std::sqrt(low * (1 - low) / 100), 1e-14);
    EXPECT_NEAR(high - p, z * std::sqrt(high * (1 - high) / 100), 1e-14);
  }
  EXPECT_EQ(halfway::wilson_interval(0, 10).low, 0);
  EXPECT_NEAR(halfway::wilson_interval(0, 10).high, z * z / (10 + z * z), 1e-15);
  EXPECT_EQ(halfway::wilson_interval(10, 10).high, 1);
  EXPECT_TRUE(std::isnan(halfway::wilson_interval(0, 0).low));
}

// What is in 95 % of intervals is in at least 0.95 - 3 standard errors of 2000 of them.
constexpr int repetitions = 2000;
const double at_least = 0.95 - 3 * std::sqrt(0.95 * 0.05 / repetitions);

TEST(Confidence, MeansHoldTheirConfidenceFromTwoValuesOn) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(5, 2);
  for (const int n : {2, 5, 30}) {
    int within = 0;
    for (int r = 0; r < repetitions; ++r) {
      sample_mean s;
      for (int i = 0; i < n; ++i) s.add(normal(random));
      const auto [low, high] = s.interval();
      within += low <= 5 && 5 <= high;
    }
    EXPECT_GE(within, at_least * repetitions) << n;
    EXPECT_LE(within, (0.95 + 3 * std::sqrt(0.95 * 0.05 / repetitions)) * repetitions) << n;
  }
}

TEST(Confidence, SharesHoldTheirConfidence) {
  // Wilson's coverage for n = 100 swings between 0.92 and 0.98 with p (Brown, Cai and DasGupta): the
  // exact one for each p, from the binomial distribution, is what the simulation is held to.
  std::mt19937_64 random(2);
  for (const double p : {0.5, 0.9, 0.99}) {
    double exact = 0, probability = std::pow(1 - p, 100);
    for (std::size_t k = 0; k <= 100; ++k) {
      const auto [low, high] = halfway::wilson_interval(k, 100);
      if (low <= p && p <= high) exact += probability;
      probability *= static_cast<double>(100 - k) / static_cast<double>(k + 1) * p / (1 - p);
    }
    EXPECT_GE(exact, 0.92) << p;
    std::binomial_distribution<std::size_t> binomial(100, p);
    int within = 0;
    for (int r = 0; r < repetitions; ++r) {
      const auto [low, high] = halfway::wilson_interval(binomial(random), 100);
      within += low <= p && p <= high;
    }
    EXPECT_NEAR(static_cast<double>(within) / repetitions, exact,
                3 * std::sqrt(exact * (1 - exact) / repetitions));
  }
}

TEST(SampleMean, IsTheTwoPassFormulaAndMerges) {
  // A mean 10^8 standard deviations from 0: sums of squares would have no digit left.
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  std::vector<double> x(1000);
  for (double& v : x) v = 1e8 + normal(random);
  sample_mean all, left, right;
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    all.add(x[i]);
    (i < 300 ? left : right).add(x[i]);
    sum += x[i] - 1e8;
  }
  const double mean = sum / 1000;
  for (const double v : x) squares += (v - 1e8 - mean) * (v - 1e8 - mean);
  left.merge(right);
  left.merge(sample_mean{});
  // Each of 1000 steps rounds the mean by 1e8 2^-53 and with it a deviation of about 1 twice.
  for (const sample_mean& s : {all, left}) {
    EXPECT_EQ(s.count(), 1000u);
    EXPECT_NEAR(s.mean(), 1e8 + mean, 1000 * 1e8 * 0x1p-53);
    EXPECT_NEAR(s.variance(), squares / 999, 2 * 1000 * 1e8 * 0x1p-53);
  }
  sample_mean empty;
  empty.merge(all);
  EXPECT_EQ(empty.mean(), all.mean());
}

TEST(Confidence, OfNothingFailsEveryGateAndBadInputIsRefused) {
  sample_mean s;
  EXPECT_TRUE(std::isnan(s.mean()));
  EXPECT_TRUE(std::isnan(s.interval().high));
  s.add(1);
  EXPECT_TRUE(std::isnan(s.variance()));
  EXPECT_TRUE(std::isnan(s.interval().low));
  expect_error([] { halfway::wilson_interval(3, 2); },
               {"halfway::wilson_interval", "successes (3)", "trials (2)"});
  expect_error([] { halfway::wilson_interval(1, 2, 1.0); }, {"confidence (1)"});
  expect_error([] { halfway::mean_interval(3, 0, -1); }, {"variance (-1)"});
  expect_error([] { halfway::mean_interval(3, 0, 1, std::nan("")); }, {"confidence (nan)"});
}

}  // namespace
