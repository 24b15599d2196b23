// SPDX-License-Identifier: Apache-2.0
#include "mixed_precision_training/comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "data/fashion_mnist.h"
#include "support/expect_error.h"

namespace {

using demo::class_count;
using demo::compare;
using demo::comparison;

// Logits that are 8 for the given classes and 0 elsewhere.
std::vector<float> logits_for(const std::vector<std::size_t>& classes) {
  std::vector<float> logits(classes.size() * class_count);
  for (std::size_t i = 0; i < classes.size(); ++i) logits[i * class_count + classes[i]] = 8;
  return logits;
}

TEST(Comparison, CountsRightAndAgreeing) {
  const std::vector<std::int32_t> labels = {1, 2, 3, 4};
  const comparison c = compare(logits_for({1, 2, 0, 0}), logits_for({1, 5, 0, 4}), labels);
  EXPECT_EQ(c.accuracy, 0.5);
  EXPECT_EQ(c.agreement, 0.5);
  EXPECT_EQ(c.not_finite_images, 0u);
}

TEST(Comparison, SqnrIsSignalOverNoise) {
  const std::vector<std::int32_t> labels = {1};
  const std::vector<float> baseline = logits_for({1});
  std::vector<float> logits = baseline;
  EXPECT_FALSE(compare(logits, baseline, labels).sqnr_db);
  logits[1] += 0.08f;  // a hundredth of the only value: 40 dB, but for the rounding of 8.08
  EXPECT_NEAR(compare(logits, baseline, labels).sqnr_db.value(), 40, 1e-4);
}

TEST(Comparison, AnImageWithoutFiniteLogitsHasNoClass) {
  const std::vector<std::int32_t> labels = {0, 1};
  const std::vector<float> baseline = logits_for({0, 1});
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits = baseline;
    logits[0] = bad;
    const comparison c = compare(logits, baseline, labels);
    EXPECT_EQ(c.accuracy, 0.5);
    EXPECT_EQ(c.agreement, 0.5);
    EXPECT_EQ(c.not_finite_images, 1u);
    EXPECT_FALSE(c.sqnr_db);
  }
}

TEST(Comparison, SizesThatDiffer) {
  const std::vector<std::int32_t> labels = {0, 1};
  halfway::testing::expect_error([&] { compare(logits_for({0}), logits_for({0}), labels); },
                                 {"logits.size() (10)", "(20)"});
}

}  // namespace
