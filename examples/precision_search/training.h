// SPDX-License-Identifier: Apache-2.0
// Trains the transformer in FP32.
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_TRAINING_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_TRAINING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace language {

struct training_settings {
  std::size_t steps = 800;
  std::size_t windows = 16;  // a step
  double learning_rate = 1e-2;
  std::uint64_t seed = 1;  // of the weights, and of where the windows lie
};

struct trained_model {
  std::vector<float> parameters;
  double loss = 0;  // mean of the last tenth of the steps, in nats
  double seconds = 0;
};

// Adam, its rate rising over the first twentieth of the steps and falling to zero as a cosine.
// `progress`: called after each step with its number, from 1, and its loss.
trained_model train(std::span<const std::int32_t> text, const training_settings& settings,
                    const std::function<void(std::size_t, float)>& progress = {});

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_TRAINING_H_
