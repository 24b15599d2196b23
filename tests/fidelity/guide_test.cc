// SPDX-License-Identifier: Apache-2.0
// Each block of C++ in docs/fidelity.md as it stands there. Its slo.json is read by
// tests/examples/validate_precision_test.cc.
#include <gtest/gtest.h>

#include <cassert>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/fidelity/canary.h"
#include "halfway/fidelity/confidence.h"
#include "halfway/fidelity/drift.h"
#include "halfway/fidelity/error_budget.h"
#include "halfway/fidelity/logit_comparison.h"
#include "halfway/fidelity/objective.h"
#include "halfway/fidelity/rank_correlation.h"
#include "halfway/fidelity/run_comparison.h"
#include "halfway/types/bfloat16.h"
#include "support/guide.h"

// The guide's assertions are tests.
#undef assert
#define assert(condition) EXPECT_TRUE(condition)

namespace {

std::vector<float> in_float32(int batch, int layer) {
  std::vector<float> x(64);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = std::sin(static_cast<float>(batch * 64 + layer) + static_cast<float>(i));
  }
  return x;
}

// The embedding rounded; the block with an error of 2^-5 in front, and an infinity in the third batch.
std::vector<halfway::bfloat16> in_bfloat16(int batch, int layer) {
  std::vector<halfway::bfloat16> y;
  for (const float x : in_float32(batch, layer)) {
    y.push_back(halfway::bfloat16(layer == 0 ? x : x * (1 + 0x1p-5f)));
  }
  if (layer == 1 && batch == 2) y[5] = std::numeric_limits<halfway::bfloat16>::infinity();
  return y;
}

TEST(FidelityGuide, Comparisons) {
  halfway::run_comparison runs(halfway::dtype::bfloat16);
  for (int batch = 0; batch < 3; ++batch) {
    runs.add("embedding", in_float32(batch, 0), in_bfloat16(batch, 0));
    runs.add("block", in_float32(batch, 1), in_bfloat16(batch, 1));
  }
  const halfway::comparison& block = runs.layers()[1].values;
  assert(block.max_ulps() > 0.5);  // also sqnr_db(), cosine(), rmse(), max_relative_error()...
  const auto parted = runs.first([](const halfway::comparison& c) { return !(c.sqnr_db() >= 40); });
  assert(parted->name == "block");  // the first layer past the limit, in the order of the network
  const auto origin = runs.origin_of_nan();
  assert(origin->name == "block" && origin->first_broken == 2 * 64 + 5);  // third batch, element 5

  // 100 rows of 10 choices, one of them with the first two turned around.
  halfway::matrix<float> of_baseline(100, 10), of_candidate(100, 10);
  for (std::size_t i = 0; i < 100; ++i) {
    for (std::size_t j = 0; j < 10; ++j) {
      of_baseline(i, j) = of_candidate(i, j) = static_cast<float>((i + 3 * j) % 10);
    }
  }
  std::swap(of_candidate(0, 3), of_candidate(0, 6));  // 9 and 8
  halfway::logit_comparison logits(5);                // top 5
  logits.add(of_baseline, of_candidate);
  assert(logits.top1_agreement() == 0.99 && logits.top_k_agreement() > 0.9);
  assert(logits.top1_interval(0.95).low > 0.94);  // Wilson's, of all rows of the kind
  assert(logits.mean_kl_interval(0.95).high > logits.mean_kl());

  halfway::sample_mean order;
  for (std::size_t i = 0; i < of_baseline.rows(); ++i) {
    order.add(halfway::spearman(of_baseline.row(i), of_candidate.row(i)));  // or kendall_tau
  }
  assert(order.interval(0.99).low > 0.8);  // Student's

  assert(halfway::objective("sqnr_db", 30).met_by(block) == false);
  assert(halfway::objective("top1_agreement", 0.98).met_by(logits));
  // Not only of these rows: all of the interval has to keep the limit. 99 of 100 prove no 98 %.
  assert(!halfway::objective("top1_agreement", 0.98, 0.95).met_by(logits));
}

TEST(FidelityGuide, Budgets) {
  halfway::error_budget budget(0.999);
  for (int minute = 0; minute < 60; ++minute) {
    budget.add(std::chrono::minutes(minute), 995, 5);  // good and bad ones
  }
  const auto now = std::chrono::minutes(59);
  assert(budget.burning(now, halfway::fast_burn));  // 1 h at 4 times what the budget allows
  assert(budget.remaining(now, std::chrono::hours(1)) < -3.9);
}

TEST(FidelityGuide, Drift) {
  std::mt19937_64 random(31);
  std::normal_distribution<double> normal(10, 1);
  std::vector<double> amax_of_validation(200), served(300);
  for (double& x : amax_of_validation) x = normal(random);
  for (double& x : served) x = normal(random) + 2;
  halfway::drift_detector drift(amax_of_validation, 100, 0.01);
  for (const double amax : served) drift.add(amax);
  assert(drift.drifted() && drift.windows() == 3);
}

TEST(FidelityGuide, Canaries) {
  // Of two that are wrong in the same tenth, it takes about 2 (ln 1000 + ln 12) / 0.01 pairs.
  std::mt19937_64 random(32);
  std::bernoulli_distribution wrong(0.1);
  const auto next = [&] {
    const double mistake = wrong(random);
    return std::pair(mistake, mistake);
  };
  halfway::canary canary(0.01, 0.001);  // may make 1 % more mistakes
  while (canary.decide() == halfway::canary_verdict::undecided) {
    const auto [mistake_of_baseline, mistake_of_candidate] = next();  // within [0, 1]
    canary.add(mistake_of_baseline, mistake_of_candidate);
  }
  assert(canary.decide() == halfway::canary_verdict::acceptable);
  EXPECT_LT(canary.count(), 4000u);
}

TEST(FidelityGuide, EachBlockStandsInATest) {
  EXPECT_EQ(halfway::testing::expect_blocks_in(HALFWAY_GUIDE, {__FILE__}), 6u);
}

}  // namespace
