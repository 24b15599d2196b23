// SPDX-License-Identifier: Apache-2.0
// All runs of the program with what they were asked: what the table, summary.json and report.html
// are made of.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_EXPERIMENT_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_EXPERIMENT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "comparison.h"
#include "report/page.h"
#include "run.h"

namespace demo {

struct compared_run {
  run_result result;
  comparison with_fp32;

  bool is_trained() const { return !result.training.steps.empty(); }
  double steps_per_second() const {
    const training_record& t = result.training;
    return t.seconds > 0 ? static_cast<double>(t.steps.size()) / t.seconds : 0;
  }
};

struct experiment {
  training_settings settings;
  std::size_t train_images = 0;
  std::size_t test_images = 0;
  std::size_t planned_steps = 0;
  std::string simd_target;
  std::vector<compared_run> runs;  // FP32 first
};

// Of all gradient values, the share that rounding to the run's type made zero.
double flushed_share(const training_record& training);

// Why FP16 without scaling fails here, with the figures of this experiment. Empty where no such run
// is in it.
std::string explain_unscaled_fp16(const experiment& e);

// A line for each run; "-" where there is nothing to say.
report::table cells(const experiment& e);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_EXPERIMENT_H_
