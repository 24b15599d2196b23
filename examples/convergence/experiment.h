// SPDX-License-Identifier: Apache-2.0
// All trainings with what they were asked: what the table, summary.json and report.html are made of.
#ifndef HALFWAY_EXAMPLES_CONVERGENCE_EXPERIMENT_H_
#define HALFWAY_EXAMPLES_CONVERGENCE_EXPERIMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "gradient_census.h"
#include "learner.h"
#include "recipe.h"
#include "report/page.h"
#include "training.h"

namespace convergence {

struct recipe_runs {
  recipe how;
  std::vector<run_record> runs;  // one for each seed

  double mean_metric() const;
  double least_metric() const;
  double largest_metric() const;
  // Of the whole training: never stopped, nor ended with a loss that is not finite.
  bool finished() const;
};

struct task_runs {
  task what;
  std::vector<recipe_runs> recipes;  // FP32 first
  gradient_census census;            // of the FP32 trainings

  // FP32's largest metric less its least: what seeds alone do.
  double fp32_spread() const;
  // Whether the recipe's mean is no worse than FP32's by more than that.
  bool matches_fp32(const recipe_runs& r) const;
};

struct experiment {
  std::vector<std::uint64_t> seeds;
  std::vector<task_runs> tasks;
  std::string simd_target;
};

report::table cells(const task_runs& t);
// The share of gradients that formats flush to zero, before and after scaling.
report::table underflow_cells(const task_runs& t);
std::string to_json(const experiment& e);

}  // namespace convergence

#endif  // HALFWAY_EXAMPLES_CONVERGENCE_EXPERIMENT_H_
