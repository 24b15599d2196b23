// SPDX-License-Identifier: Apache-2.0
// Training in FP32, and on with fake quantization.
#ifndef HALFWAY_EXAMPLES_QUANTIZATION_TRAINING_H_
#define HALFWAY_EXAMPLES_QUANTIZATION_TRAINING_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "architecture.h"
#include "data/fashion_mnist.h"
#include "halfway/quantization/affine_params.h"

namespace quantization {

struct training_settings {
  std::size_t steps = 800;
  std::size_t batch = 128;
  double learning_rate = 1e-3;  // of Adam; falls to zero along half a cosine
  std::uint64_t seed = 1;
};

// Fills in the network's weights.
void train(network& n, const demo::labelled_images& images, const training_settings& settings);

// Goes on from the network's weights with every product's operands rounded as int8 products round
// them: weights with a scale for each output channel, inputs by a moving average of their range.
// Gradients pass straight through. Returns the parameters of each stage's inputs, for uint8.
std::vector<halfway::affine_params> train_for_int8(network& n, const demo::labelled_images& images,
                                                   const training_settings& settings);

}  // namespace quantization

#endif  // HALFWAY_EXAMPLES_QUANTIZATION_TRAINING_H_
