// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/canary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <random>

#include "support/expect_error.h"

namespace {

using halfway::canary;
using halfway::canary_verdict;
using halfway::testing::expect_error;

TEST(Canary, CapitalIsTheProductOfItsBets) {
  // With margin 0 the bets on d = 1, 1, -1 are worth (1 + f)^2 (1 - f); those against, (1 - f)^2 (1 + f).
  canary c(0);
  c.add(0, 1);
  c.add(0, 1);
  c.add(1, 0);
  double worse = 0, acceptable = 0;
  for (int i = 1; i <= 12; ++i) {
    const double f = std::ldexp(1.0, -i);
    worse += (1 + f) * (1 + f) * (1 - f) / 12;
    acceptable += (1 - f) * (1 - f) * (1 + f) / 12;
  }
  EXPECT_NEAR(c.log_evidence_of_worse(), std::log(worse), 16 * 0x1p-52);
  EXPECT_NEAR(c.log_evidence_of_acceptable(), std::log(acceptable), 16 * 0x1p-52);
  EXPECT_EQ(c.count(), 3u);
  EXPECT_EQ(c.mean_difference(), 1.0 / 3);
  EXPECT_EQ(c.decide(), canary_verdict::undecided);
}

TEST(Canary, BetsAreFairAtTheMargin) {
  // With margin 1/2, d = 1 pays (1 + f / 3) to who bets on worse and 1 - f to who bets against; d = -1
  // pays 1 - f and 1 + 3 f. Both means over d are 1 where d is 1/2 on average: for 3 of 4 pairs 1.
  const auto log_of = [](double pays) {
    double mean = 0;
    for (int i = 1; i <= 12; ++i) mean += (1 + std::ldexp(pays, -i)) / 12;
    return std::log(mean);
  };
  canary up(0.5), down(0.5);
  up.add(0, 1);
  down.add(1, 0);
  EXPECT_NEAR(up.log_evidence_of_worse(), log_of(1.0 / 3), 16 * 0x1p-52);
  EXPECT_NEAR(up.log_evidence_of_acceptable(), log_of(-1), 16 * 0x1p-52);
  EXPECT_NEAR(down.log_evidence_of_worse(), log_of(-1), 16 * 0x1p-52);
  EXPECT_NEAR(down.log_evidence_of_acceptable(), log_of(3), 16 * 0x1p-52);
}

// Pairs until a verdict, asking after each: disagreements with a label, of which the baseline has a
// share of `base`, and a share of `both` of the candidate's are the same ones.
struct outcome {
  canary_verdict verdict;
  std::size_t pairs;
};
outcome run(std::mt19937_64& random, double base, double difference, double margin, double error,
            std::size_t longest) {
  std::uniform_real_distribution<double> uniform;
  canary c(margin, error);
  while (c.count() < longest) {
    // One draw: the candidate errs where the baseline does, and where u is in a further share; its
    // own noise is as often for it as against it.
    const double u = uniform(random), v = uniform(random);
    const bool base_errs = u < base;
    const bool flips = v < 0.02;  // the same rate both ways
    const bool other = u >= base && u < base + difference;
    const bool candidate_errs = flips ? uniform(random) < 0.5 : base_errs || other;
    const bool baseline_errs = flips ? uniform(random) < 0.5 : base_errs;
    c.add(baseline_errs, candidate_errs);
    const canary_verdict verdict = c.decide();
    if (verdict != canary_verdict::undecided) return {verdict, c.count()};
  }
  return {canary_verdict::undecided, longest};
}

// At the margin itself, the worst case of both claims: over 2000 streams of 1000 looks each, a claim
// is made in at most its error and 3 standard errors.
TEST(Canary, ErrsNoMoreOftenThanStatedWhenLookedAtAfterEachPair) {
  std::mt19937_64 random(21);
  constexpr int streams = 2000;
  constexpr double error = 0.05;
  int worse = 0, acceptable = 0;
  for (int s = 0; s < streams; ++s) {
    // 0.98 of the pairs differ by 0.1 on average, the others by 0.
    const outcome o = run(random, 0.2, 0.1, 0.098, error, 1000);
    worse += o.verdict == canary_verdict::worse;
    acceptable += o.verdict == canary_verdict::acceptable;
  }
  const double limit = streams * (error + 3 * std::sqrt(error * (1 - error) / streams));
  EXPECT_LE(worse, limit);
  EXPECT_LE(acceptable, limit);
}

// d is +-1 each in 0.005 of pairs and 1 in 0.98 * difference of them. With L = ln(1 / error) + ln 12,
// after 3 times the pairs of the header's formula the logarithm of the capital is normal about 3 L,
// or 0.83 of it for a fraction off by sqrt(2), with a deviation of sqrt(6 L) = 7.5 around L = 9.4: past
// L in more than 0.96 of streams.
TEST(Canary, StopsEarlyWithTheRightVerdict) {
  std::mt19937_64 random(22);
  constexpr double error = 0.001, margin = 0.02;
  for (const double difference : {0.0, 0.06}) {
    const double mean = 0.98 * difference, variance = 0.98 * difference + 0.01;
    const double expected =
        2 * variance * (std::log(1 / error) + std::log(12)) / ((mean - margin) * (mean - margin));
    const auto longest = static_cast<std::size_t>(3 * expected);
    int right = 0, wrong = 0;
    for (int s = 0; s < 200; ++s) {
      const outcome o = run(random, 0.1, difference, margin, error, longest);
      const auto truth = difference > 0 ? canary_verdict::worse : canary_verdict::acceptable;
      right += o.verdict == truth;
      wrong += o.verdict != truth && o.verdict != canary_verdict::undecided;
    }
    EXPECT_GE(right, 180) << difference << " within " << longest;
    EXPECT_LE(wrong, 200 * error + 3 * std::sqrt(200 * error)) << difference;
  }
}

TEST(Canary, MergesToTheSameAsOne) {
  std::mt19937_64 random(23);
  std::uniform_real_distribution<double> uniform;
  canary all(0.1), left(0.1), right(0.1);
  for (int i = 0; i < 500; ++i) {
    const double a = uniform(random), b = uniform(random);
    all.add(a, b);
    (i < 123 ? left : right).add(a, b);
  }
  left.merge(right);
  EXPECT_EQ(left.count(), all.count());
  // Sums of 500 logarithms of at most ln 2 each.
  const double rounding = 500 * 500 * 0x1p-53;
  EXPECT_NEAR(left.log_evidence_of_worse(), all.log_evidence_of_worse(), rounding);
  EXPECT_NEAR(left.log_evidence_of_acceptable(), all.log_evidence_of_acceptable(), rounding);
  EXPECT_NEAR(left.mean_difference(), all.mean_difference(), 500 * 0x1p-53);
}

TEST(Canary, RefusesWhatDoesNotFit) {
  canary c(0.1);
  expect_error([&] { c.add(0, 1.5); }, {"halfway::canary::add", "candidate (1.5)"});
  expect_error([&] { c.add(std::nan(""), 0); }, {"baseline (nan)"});
  EXPECT_EQ(c.count(), 0u);
  EXPECT_TRUE(std::isnan(c.mean_difference()));
  expect_error([&] { c.merge(canary(0.2)); }, {"other.margin (0.2)", "margin (0.1)"});
  expect_error([] { canary k(1); }, {"halfway::canary", "margin (1)"});
  expect_error([] { canary k(0.5, 0); }, {"error_rate (0)"});
}

}  // namespace
