// SPDX-License-Identifier: Apache-2.0
// Trains the model in FP32, of the library's layers and one of our own: attention with rotary
// positions.
#ifndef HALFWAY_EXAMPLES_DECODE_TOKENS_TRAINING_H_
#define HALFWAY_EXAMPLES_DECODE_TOKENS_TRAINING_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "model.h"

namespace decoding {

struct trained_model {
  weights values;
  double loss = 0;  // of the last tenth of the steps: mean nats a character
};

// Adam; each step sees 16 windows of the text from places that the seed decides. Error: no steps; a
// text that is no longer than a window.
trained_model train(std::span<const std::int32_t> text, std::size_t steps, std::uint64_t seed = 1);

}  // namespace decoding

#endif  // HALFWAY_EXAMPLES_DECODE_TOKENS_TRAINING_H_
