// SPDX-License-Identifier: Apache-2.0
// What the logits of a run are worth: accuracy, and how close they are to the FP32 run's.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_COMPARISON_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_COMPARISON_H_

#include <cstdint>
#include <optional>
#include <span>

namespace demo {

struct comparison {
  double accuracy = 0;                // share of the images classified right
  double agreement = 0;               // share classified as the baseline does
  std::optional<double> sqnr_db;      // none where a logit is not finite, or all are equal
  std::size_t not_finite_images = 0;  // with an infinite or NaN logit: no class, so never right
};

// `logits` and `baseline`: class_count for each label.
//
// SQNR: 10 log10(sum of baseline^2 / sum of (baseline - logits)^2), in double.
comparison compare(std::span<const float> logits, std::span<const float> baseline,
                   std::span<const std::int32_t> labels);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_COMPARISON_H_
