// SPDX-License-Identifier: Apache-2.0
// The networks as lists of stages: a product (of a linear layer, or of a convolution's windows), then
// perhaps ReLU, then perhaps a pooling.
#ifndef HALFWAY_EXAMPLES_QUANTIZATION_ARCHITECTURE_H_
#define HALFWAY_EXAMPLES_QUANTIZATION_ARCHITECTURE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "data/fashion_mnist.h"
#include "halfway/core/matrix.h"
#include "halfway/simd/window_args.h"

namespace quantization {

inline constexpr halfway::window_2d conv_window{.kernel = {3, 3}, .padding = {1, 1}};
inline constexpr halfway::window_2d pool_window{.kernel = {2, 2}, .stride = {2, 2}};

struct stage {
  std::string name;
  std::optional<halfway::image_shape> conv;  // the shape of what it reads
  std::size_t outputs = 0;                   // or filters
  bool is_last = false;                      // others have ReLU; convolutions pool after it
  halfway::matrix<float> weight;             // inputs of the product x outputs
  std::vector<float> bias;
};

struct network {
  std::string name;
  std::vector<stage> stages;
};

// 784 - 1024 - 512 - 10. Weights are empty.
inline network mlp() {
  return {"MLP",
          {{"fc1", {}, 1024, false, {}, {}},
           {"fc2", {}, 512, false, {}, {}},
           {"head", {}, demo::class_count, true, {}, {}}}};
}

// Two convolutions of 3 x 3, two linear layers.
inline network cnn() {
  const halfway::image_shape first{
      .height = demo::image_side, .width = demo::image_side, .channels = 1};
  const halfway::image_shape second{
      .height = demo::image_side / 2, .width = demo::image_side / 2, .channels = 16};
  return {"CNN",
          {{"conv1", first, 16, false, {}, {}},
           {"conv2", second, 32, false, {}, {}},
           {"fc", {}, 64, false, {}, {}},
           {"head", {}, demo::class_count, true, {}, {}}}};
}

}  // namespace quantization

#endif  // HALFWAY_EXAMPLES_QUANTIZATION_ARCHITECTURE_H_
