// SPDX-License-Identifier: Apache-2.0
// The network: linear layers with ReLU between them, and perhaps a layernorm in front of the last ReLU.
#ifndef HALFWAY_EXAMPLES_TRADE_OFF_MODEL_H_
#define HALFWAY_EXAMPLES_TRADE_OFF_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "data/fashion_mnist.h"
#include "halfway/core/matrix.h"

namespace trade_off {

struct layer {
  halfway::matrix<float> weight;  // inputs x outputs
  std::vector<float> bias;
};

struct model {
  std::vector<layer> layers;       // two or more, from pixels of 0 to 255 to logits
  std::vector<float> gamma, beta;  // of the layernorm; empty: none

  bool has_norm_after(std::size_t l) const { return !gamma.empty() && l + 2 == layers.size(); }
};

// The network of mixed_precision_training, trained in FP32. What it reports goes to `out`.
model train(const demo::fashion_mnist& data, std::size_t epochs, std::uint64_t seed,
            std::ostream& out);

// A safetensors file with "layers.0.weight" (inputs x outputs), "layers.0.bias", "layers.1.weight"...
// and perhaps "norm.gamma" and "norm.beta", of any float type. Errors: those of safetensors_file; fewer
// than two layers; shapes that do not follow each other from 784 pixels to 10 classes; a value that is
// infinite or NaN.
model read_model(const std::string& path);

// The same, as FP32.
void write_model(const model& m, const std::string& path);

}  // namespace trade_off

#endif  // HALFWAY_EXAMPLES_TRADE_OFF_MODEL_H_
