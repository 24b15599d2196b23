// SPDX-License-Identifier: Apache-2.0
// What is asked of a run (a training in one precision, or the quantized model), and what came of
// it.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_RUN_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_RUN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "halfway/precision/policy.h"

namespace demo {

// The same for all runs.
struct training_settings {
  std::size_t epochs = 6;
  std::size_t batch = 512;
  std::uint64_t seed = 1;
  double learning_rate = 1e-3;  // of Adam; falls to zero along half a cosine
};

// Good steps in a row before the dynamic loss scale grows. The usual 2000 are more than this whole
// training has.
inline constexpr std::uint64_t growth_interval = 50;

struct run_settings {
  std::string name;
  halfway::cast_policy policy;
  bool scales_loss = false;  // with a dynamic loss scaler
};

// How many values of a gradient were not zero before they were rounded to the run's type, and are
// zero after.
struct flush_count {
  std::string gradient;
  std::uint64_t values = 0;
  std::uint64_t flushed = 0;

  double share() const {
    return values == 0 ? 0.0 : static_cast<double>(flushed) / static_cast<double>(values);
  }
};

struct step_record {
  float loss = 0;
  float scale = 0;
  float largest_before_norm = 0;  // magnitude, of the values that enter the layernorm
};

struct training_record {
  std::vector<step_record> steps;
  std::vector<flush_count> flushes;  // from the logits down to the first layer
  double seconds = 0;
  std::string stopped;  // the scaler's message, if it gave up
};

struct run_result {
  run_settings settings;
  training_record training;       // empty for the quantized model
  std::vector<float> parameters;  // FP32 master weights, laid out by parameter_layout
  std::vector<float> logits;      // of the test images, class_count each
  double evaluation_seconds = 0;
  std::size_t weight_bytes = 0;
  std::size_t activation_bytes = 0;  // of one batch: input, outputs of all layers, logits
  std::uint64_t skipped_steps = 0;
  std::uint64_t non_finite = 0;  // gradient values
  double final_scale = 1;
};

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_RUN_H_
