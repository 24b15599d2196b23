// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/objective.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "halfway/core/matrix.h"
#include "support/expect_error.h"

namespace {

using halfway::comparison;
using halfway::logit_comparison;
using halfway::objective;
using halfway::testing::expect_error;

static_assert(halfway::find_fidelity_metric("cosine")->more_is_better);
static_assert(halfway::find_fidelity_metric("cosin") == nullptr);

comparison of(const std::vector<float>& baseline, const std::vector<float>& candidate) {
  comparison c;
  c.add(baseline, candidate);
  return c;
}

TEST(Objective, IsMetAtItsLimitAndOnItsSide) {
  const comparison c = of({3, 4}, {3, 4.5f});
  EXPECT_TRUE(objective("max_absolute_error", 0.5).met_by(c));
  EXPECT_FALSE(objective("max_absolute_error", std::nextafter(0.5, 0)).met_by(c));
  EXPECT_EQ(objective("max_relative_error", 1).measured(c), 0.125);
  EXPECT_TRUE(objective("rmse", c.rmse()).met_by(c));
  EXPECT_TRUE(objective("sqnr_db", 20).met_by(c));  // 10 log10(25 / 0.25)
  EXPECT_FALSE(objective("sqnr_db", 20.001).met_by(c));
  EXPECT_TRUE(objective("cosine", 0.99).met_by(c));
  EXPECT_FALSE(objective("cosine", 1).met_by(c));
  EXPECT_TRUE(objective("max_ulps", 0x1p20).met_by(c));
}

TEST(Objective, IsNotMetByWhatIsBrokenOrByNothing) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const halfway::fidelity_metric& m : halfway::fidelity_metrics) {
    // The loosest limit there is.
    const objective o(m.name, m.more_is_better ? -HUGE_VAL : HUGE_VAL);
    if (o.of_logits()) {
      halfway::matrix<float> b(2, 2), c(2, 2);
      logit_comparison nothing, whole, broken;
      whole.add(b, c);
      c(1, 1) = std::nanf("");
      broken.add(b, c);
      EXPECT_FALSE(o.met_by(nothing)) << m.name;
      EXPECT_TRUE(o.met_by(whole)) << m.name;
      EXPECT_FALSE(o.met_by(broken)) << m.name;
    } else {
      EXPECT_FALSE(o.met_by(comparison())) << m.name;
      EXPECT_TRUE(o.met_by(of({1, 2}, {1, 3}))) << m.name;
      EXPECT_FALSE(o.met_by(of({1, 2}, {1, infinity}))) << m.name;
    }
  }
}

TEST(Objective, WithConfidenceJudgesTheWorseEndOfTheInterval) {
  halfway::matrix<float> rows(100, 2);
  for (std::size_t i = 0; i < 100; ++i) rows(i, 0) = 1;
  logit_comparison c;
  c.add(rows, rows);
  EXPECT_TRUE(objective("top1_agreement", 0.99).met_by(c));
  // Of 100 without a miss, 0.99 is not yet proven: n / (n + z^2) = 0.963.
  EXPECT_FALSE(objective("top1_agreement", 0.99, 0.95).met_by(c));
  EXPECT_TRUE(objective("top1_agreement", 0.96, 0.95).met_by(c));
  EXPECT_EQ(objective("top1_agreement", 0.96, 0.95).measured(c), c.top1_interval(0.95).low);
  EXPECT_EQ(objective("mean_kl", 1, 0.9).measured(c), c.mean_kl_interval(0.9).high);
  const comparison v = of({1, 2, 3}, {1, 2, 4});
  EXPECT_EQ(objective("rmse", 1, 0.9).measured(v), v.rmse_interval(0.9).high);
}

TEST(Objective, SaysWhatItIs) {
  EXPECT_EQ(to_string(objective("sqnr_db", 40)), "sqnr_db >= 40");
  EXPECT_EQ(to_string(objective("mean_kl", 1e-3, 0.95)), "mean_kl <= 0.001 (confidence 0.95)");
}

TEST(Objective, RefusesWhatDoesNotFit) {
  expect_error([] { objective o("sqnr", 40); }, {"halfway::objective", "metric (sqnr)", "sqnr_db"});
  expect_error([] { objective o("sqnr_db", std::nan("")); }, {"limit (nan)"});
  expect_error([] { objective o("rmse", 1, 1.0); }, {"confidence (1)"});
  expect_error([] { objective o("cosine", 1, 0.5); }, {"cosine", "has no interval"});
  expect_error([] { objective("cosine", 1).met_by(logit_comparison()); }, {"cosine", "logits"});
  expect_error([] { objective("mean_kl", 1).met_by(comparison()); }, {"mean_kl", "values"});
}

}  // namespace
