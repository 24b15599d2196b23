// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/drift.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::drift_detector;
using halfway::kolmogorov_smirnov_test;
using halfway::testing::expect_error;

TEST(Drift, StatisticIsTheLargestDistance) {
  // F of {1, 2, 3, 4} and G of {2.5, 3.5}: at 2 they are 1/2 and 0 apart, at 1 1/4.
  EXPECT_EQ(kolmogorov_smirnov_test({4, 1, 3, 2}, {3.5, 2.5}).statistic, 0.5);
  EXPECT_EQ(kolmogorov_smirnov_test({1, 2}, {1, 2}).statistic, 0);
  EXPECT_EQ(kolmogorov_smirnov_test({1, 2}, {1, 2}).p_value, 1);
  EXPECT_EQ(kolmogorov_smirnov_test({1, 1, 2}, {1, 2, 2}).statistic, 1.0 / 3);
  // Apart: 2 of the binomial(7, 3) orders.
  EXPECT_NEAR(kolmogorov_smirnov_test({1, 2, 3}, {4, 5, 6, 7}).p_value, 2.0 / 35, 7 * 0x1p-51);
}

// Of samples of one size n, by the reflection principle (Gnedenko and Korolyuk, 1951):
// P(D >= k / n) = 2 sum over i of (-1)^(i - 1) binomial(2n, n - i k) / binomial(2n, n).
double gnedenko_korolyuk(int n, int k) {
  double sum = 0;
  for (int i = 1; i * k <= n; ++i) {
    const double ratio = std::exp(2 * std::lgamma(n + 1.0) - std::lgamma(n - i * k + 1.0) -
                                  std::lgamma(n + i * k + 1.0));
    sum += (i % 2 == 1 ? 2 : -2) * ratio;
  }
  return sum;
}
TEST(Drift, PValueIsTheClosedFormForEqualSizes) {
  for (const int n : {1, 2, 5, 20, 150}) {
    for (int k = 1; k <= n; ++k) {
      const auto size = static_cast<std::size_t>(n);
      const double p =
          halfway::detail::smirnov_p_value(size, size, static_cast<std::uint64_t>(k) * size);
      // lgamma of 300 is 1400: three of them, each off by 2^-52 of it or two.
      EXPECT_NEAR(p, gnedenko_korolyuk(n, k), 3e-12) << n << ' ' << k;
      if (2 * k > n) {  // one term, so it holds relatively
        EXPECT_NEAR(p / gnedenko_korolyuk(n, k), 1, 6e-12) << n << ' ' << k;
      }
    }
  }
}

TEST(Drift, PValueCountsAllOrdersOfSmallSamples) {
  // Every way to choose which 3 of 8 places belong to x; the distance by its definition.
  for (int distance = 1; distance <= 15; ++distance) {
    int orders = 0, far = 0;
    for (int mask = 0; mask < 256; ++mask) {
      int i = 0, j = 0, largest = 0;
      for (int place = 0; place < 8; ++place) {
        (mask >> place & 1 ? i : j) += 1;
        largest = std::max(largest, std::abs(i * 5 - j * 3));
      }
      if (i != 3) continue;
      ++orders;
      far += largest >= distance;
    }
    EXPECT_NEAR(halfway::detail::smirnov_p_value(3, 5, static_cast<std::uint64_t>(distance)),
                static_cast<double>(far) / orders, 8 * 0x1p-51);
  }
}

std::vector<double> sample(std::mt19937_64& random, std::size_t n) {
  std::normal_distribution<double> normal;
  std::vector<double> x(n);
  for (double& v : x) v = normal(random);
  return x;
}

// 2000 streams of 20 windows that do not drift: at most false_alarms of them and 3 standard errors.
TEST(Drift, OfWhatDoesNotDriftIsAsRareAsStated) {
  std::mt19937_64 random(11);
  constexpr int streams = 2000;
  constexpr double rate = 0.1;
  int alarms = 0;
  for (int s = 0; s < streams; ++s) {
    drift_detector d(sample(random, 60), 30, rate);
    for (const double x : sample(random, 600)) d.add(x);
    EXPECT_EQ(d.windows(), 20u);
    alarms += d.drifted();
  }
  EXPECT_LE(alarms, streams * (rate + 3 * std::sqrt(rate * (1 - rate) / streams)));
  // The bound is not a void one either: the first window alone has half of it, less what the steps
  // of the statistic's distribution leave.
  EXPECT_GE(alarms, streams * rate / 8);
}

// A shift by one standard deviation is a distance of erf(1 / sqrt(8)) = 0.383. With 200 and 100
// values a window at level 0.01 / (k (k + 1)), k = 3, passes at a distance of at most
// sqrt(ln(2 / level) / 2 * (1/200 + 1/100)) = 0.24 (Smirnov's limit): 0.14 below, which is 2.8
// standard deviations of the difference at the point of largest distance, sqrt(0.21 (1/200 + 1/100))
// = 0.056 at most: missed in less than 1 % of windows.
TEST(Drift, IsFoundWithinTwoWindows) {
  std::mt19937_64 random(12);
  int found = 0;
  for (int s = 0; s < 200; ++s) {
    drift_detector d(sample(random, 200), 100, 0.01);
    for (const double x : sample(random, 200)) d.add(x);
    if (d.drifted()) continue;
    for (const double x : sample(random, 200)) d.add(x + 1);
    found += d.drifted() && *d.drifted_at() >= 3;
  }
  EXPECT_GE(found, 200 * 0.97);  // of which 1 % may have alarmed before
}

TEST(Drift, LevelsAddUpToTheRateOfFalseAlarms) {
  const drift_detector d({1}, 1, 0.1);
  double sum = 0;
  for (std::size_t k = 1; k <= 1000; ++k) sum += d.level(k);
  EXPECT_NEAR(sum, 0.1 * (1 - 1.0 / 1001),
              1000 * 0x1p-53);  // 1 / (k (k + 1)) = 1 / k - 1 / (k + 1)
}

TEST(Drift, NanAndInfinityAreFarAway) {
  std::mt19937_64 random(13);
  drift_detector d(sample(random, 50), 20, 0.01);
  for (int i = 0; i < 20; ++i) d.add(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(d.last().statistic, 1);
  EXPECT_EQ(d.drifted_at(), 1u);
}

TEST(Drift, RefusesWhatDoesNotFit) {
  expect_error([] { kolmogorov_smirnov_test({}, {1}); },
               {"halfway::kolmogorov_smirnov_test", "x.size() (0)"});
  expect_error([] { kolmogorov_smirnov_test({1}, {1, std::nan("")}); }, {"y[1]"});
  expect_error([] { drift_detector d({}, 1, 0.1); }, {"halfway::drift_detector", "reference"});
  expect_error([] { drift_detector d({1}, 0, 0.1); }, {"window (0)"});
  for (const double rate : {0.0, 1.0, -1.0, std::nan("")}) {
    expect_error([&] { drift_detector d({1}, 1, rate); }, {"false_alarms"});
  }
}

}  // namespace
