// SPDX-License-Identifier: Apache-2.0
// The network's shape, and where its parameters lie in one flat buffer: one call then unscales all
// gradients, and another is a step of the optimizer.
//
//   demo::parameter_layout layout;
//   std::vector<float> parameters(layout.size());
//   layout.weights(0).in(std::span(parameters));  // a 784 x 256 matrix_view
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PARAMETERS_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PARAMETERS_H_

#include <array>
#include <cstddef>
#include <span>

#include "../parameter_block.h"
#include "data/fashion_mnist.h"

namespace demo {

// 784 pixels, four hidden layers of 256, ten classes.
inline constexpr std::array<std::size_t, 6> layer_sizes = {image_bytes, 256, 256,
                                                           256,         256, class_count};
inline constexpr std::size_t layer_count = layer_sizes.size() - 1;
inline constexpr std::size_t last_hidden = layer_count - 2;  // the layer with the layernorm

using examples::parameter_block;

class parameter_layout {
 public:
  parameter_layout() {
    for (std::size_t l = 0; l < layer_count; ++l) {
      weights_[l] = place(layer_sizes[l], layer_sizes[l + 1]);
      biases_[l] = place(1, layer_sizes[l + 1]);
    }
    gamma_ = place(1, layer_sizes[last_hidden + 1]);
    beta_ = place(1, layer_sizes[last_hidden + 1]);
  }

  const parameter_block& weights(std::size_t layer) const { return weights_[layer]; }
  const parameter_block& bias(std::size_t layer) const { return biases_[layer]; }
  const parameter_block& gamma() const { return gamma_; }  // of the layernorm
  const parameter_block& beta() const { return beta_; }
  std::size_t size() const { return size_; }

  // Bytes of a model whose weight matrices hold `bytes_each` an element and the rest four.
  std::size_t model_bytes(std::size_t bytes_each) const {
    std::size_t bytes = (gamma_.size() + beta_.size()) * sizeof(float);
    for (std::size_t l = 0; l < layer_count; ++l)
      bytes += weights_[l].size() * bytes_each + biases_[l].size() * sizeof(float);
    return bytes;
  }

 private:
  // Each block begins at a multiple of 64 elements, so that a row of any type starts a cache line.
  parameter_block place(std::size_t rows, std::size_t cols) {
    const parameter_block block{size_, rows, cols};
    size_ += (block.size() + 63) / 64 * 64;
    return block;
  }

  std::array<parameter_block, layer_count> weights_;
  std::array<parameter_block, layer_count> biases_;
  parameter_block gamma_, beta_;
  std::size_t size_ = 0;
};

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PARAMETERS_H_
