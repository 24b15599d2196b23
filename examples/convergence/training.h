// SPDX-License-Identifier: Apache-2.0
// One training: a task by a recipe from a seed.
#ifndef HALFWAY_EXAMPLES_CONVERGENCE_TRAINING_H_
#define HALFWAY_EXAMPLES_CONVERGENCE_TRAINING_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "gradient_census.h"
#include "learner.h"
#include "recipe.h"

namespace convergence {

struct run_record {
  std::vector<float> losses;  // of each step
  double metric = 0;
  double steps_per_second = 0;
  std::uint64_t skipped_steps = 0;
  std::uint64_t non_finite = 0;  // gradient values
  double final_scale = 1;
  std::string stopped;  // the scaler's message, if it gave up
};

// Steps between those whose gradients are counted.
inline constexpr std::size_t census_every = 25;

// Adam; its rate rises over the first twentieth of the steps and falls to zero along half a cosine.
// With a census, gradients are counted in it.
run_record train(const task& t, const recipe& r, std::uint64_t seed, const data& d,
                 gradient_census* census = nullptr);

}  // namespace convergence

#endif  // HALFWAY_EXAMPLES_CONVERGENCE_TRAINING_H_
