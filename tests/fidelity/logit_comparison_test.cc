// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/logit_comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <random>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"

namespace {

using halfway::logit_comparison;
using halfway::matrix;
using halfway::testing::expect_error;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

matrix<float> rows_of(std::initializer_list<std::initializer_list<float>> rows) {
  matrix<float> m(rows.size(), rows.begin()->size());
  std::size_t i = 0;
  for (const auto& row : rows) {
    std::size_t j = 0;
    for (const float x : row) m(i, j++) = x;
    ++i;
  }
  return m;
}

TEST(LogitComparison, ComputesByTheFormulas) {
  // p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4): KL = ln(2)/2 - ln(2)/4. A shift changes nothing.
  const float log2 = std::log(2.0f);
  logit_comparison c(2);
  c.add(rows_of({{log2, 0, 0}, {5, 1, 2}}), rows_of({{100, 100 + log2, 100}, {5, 1, 2}}));
  EXPECT_EQ(c.rows(), 2u);
  // Logits are rounded to float: 100 + ln 2 by 2^-18 at most.
  EXPECT_NEAR(c.max_kl(), std::log(2.0) / 4, 0x1p-18);
  EXPECT_NEAR(c.mean_kl(), std::log(2.0) / 8, 0x1p-19);
  EXPECT_EQ(c.top1_agreement(), 0.5);
  // {0, 1} of both: of equal logits the first counts.
  EXPECT_EQ(c.top_k_agreement(), 1);
}

TEST(LogitComparison, OfEqualLogitsIsPerfect) {
  const auto m = rows_of({{1, 2, 3}, {-infinity, 4, 0}});
  logit_comparison c;
  c.add(m, m);
  EXPECT_EQ(c.mean_kl(), 0);
  EXPECT_EQ(c.top1_agreement(), 1);
  EXPECT_EQ(c.top_k_agreement(), 1);  // of three choices where k is 5
}

TEST(LogitComparison, TellsAMaskFromWhatIsBroken) {
  logit_comparison c(1);
  c.add(rows_of({{0, 1}, {nan, 0}, {infinity, 0}, {-infinity, -infinity}, {0, -infinity}, {0, 1}}),
        rows_of({{nan, 1}, {1, 0}, {1, 0}, {1, 0}, {3, -infinity}, {0, infinity}}));
  EXPECT_EQ(c.excluded(), 3u);
  EXPECT_EQ(c.rows(), 3u);
  EXPECT_EQ(c.broken(), 2u);
  EXPECT_EQ(c.mean_kl(), 0);
  EXPECT_DOUBLE_EQ(c.top1_agreement(), 1.0 / 3);  // what is broken agrees in nothing
  logit_comparison forbidden(1);
  forbidden.add(rows_of({{0, 0}}), rows_of({{0, -infinity}}));
  EXPECT_EQ(forbidden.mean_kl(), infinity);
}

TEST(LogitComparison, OfNothingFailsEveryGate) {
  logit_comparison c;
  c.add(matrix<float>(0, 3), matrix<float>(0, 3));
  c.add(matrix<float>(2, 0), matrix<float>(2, 0));
  EXPECT_EQ(c.rows(), 0u);
  for (const double figure : {c.mean_kl(), c.max_kl(), c.top1_agreement(), c.top_k_agreement()}) {
    EXPECT_TRUE(std::isnan(figure));
  }
}

TEST(LogitComparison, MergesToTheSameAsOne) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  matrix<float> b(40, 10);
  matrix<halfway::half> c(40, 10);
  for (std::size_t i = 0; i < 40; ++i) {
    for (std::size_t j = 0; j < 10; ++j) {
      b(i, j) = normal(random);
      c(i, j) = halfway::half(b(i, j) + 0.3f * normal(random));
    }
  }
  logit_comparison all(3), left(3), right(3);
  all.add(b, c);
  left.add(b.view().block(0, 0, 15, 10), c.view().block(0, 0, 15, 10));
  right.add(b.view().block(15, 0, 25, 10), c.view().block(15, 0, 25, 10));
  left.merge(right);
  EXPECT_EQ(left.rows(), all.rows());
  EXPECT_EQ(left.top1_agreement(), all.top1_agreement());
  EXPECT_EQ(left.max_kl(), all.max_kl());
  EXPECT_NEAR(left.mean_kl(), all.mean_kl(), 40 * 0x1p-52 * all.max_kl());
  // Sums of squares too, over a width that t / sqrt(40) < 1 times a deviation is.
  EXPECT_NEAR(left.mean_kl_interval().high, all.mean_kl_interval().high,
              40 * 40 * 0x1p-52 * all.max_kl());
  EXPECT_NEAR(left.top_k_agreement(), all.top_k_agreement(), 40 * 0x1p-52);
  EXPECT_LT(all.top_k_agreement(), 1);
  EXPECT_GT(all.mean_kl(), 0);
}

TEST(LogitComparison, IntervalsAreThoseOfItsCountsAndDivergences) {
  // Divergences of ln(2) / 4 and 0 as in the first case: mean m = ln(2) / 8, deviation m sqrt(2); of
  // Student's distribution with 1 degree of freedom 12.706 is the 97.5 % quantile.
  const float log2 = std::log(2.0f);
  logit_comparison c(1);
  c.add(rows_of({{log2, 0, 0}, {5, 1, 2}}), rows_of({{0, log2, 0}, {5, 1, 2}}));
  const auto [low, high] = c.mean_kl_interval();
  EXPECT_NEAR(low, (1 - 12.7062047) * std::log(2.0) / 8, 1e-6);  // logits are rounded to float
  EXPECT_NEAR(high, (1 + 12.7062047) * std::log(2.0) / 8, 1e-6);
  EXPECT_EQ(c.top1_interval(0.9).low, halfway::wilson_interval(1, 2, 0.9).low);
  EXPECT_EQ(c.top1_interval(0.9).high, halfway::wilson_interval(1, 2, 0.9).high);
  EXPECT_TRUE(std::isnan(logit_comparison().mean_kl_interval().low));
}

TEST(LogitComparison, RefusesWhatDoesNotFit) {
  logit_comparison c;
  expect_error([&] { c.add(matrix<float>(2, 3), matrix<float>(2, 4)); },
               {"halfway::logit_comparison::add", "candidate.cols() (4)", "baseline.cols() (3)"});
  expect_error([&] { c.merge(logit_comparison(1)); }, {"other.k (1)", "k (5)"});
  expect_error([] { logit_comparison zero(0); }, {"k (0)"});
}

}  // namespace
