// SPDX-License-Identifier: Apache-2.0
// The small network that the short examples run: it tells the clothes of Fashion-MNIST apart.
// Trained where it is needed, in a second, and handed over as plain vectors, as any framework's
// file would.
//
//   const demo::fashion_mnist data = demo::read_fashion_mnist(folder);
//   const demo::classifier net = demo::train_classifier(data.train);
//   // logits = relu(x * hidden.weight + hidden.bias) * output.weight + output.bias, x: pixels / 255
#ifndef HALFWAY_EXAMPLES_CLASSIFIER_CLASSIFIER_H_
#define HALFWAY_EXAMPLES_CLASSIFIER_CLASSIFIER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "data/fashion_mnist.h"

namespace demo {

struct dense_weights {
  std::size_t inputs = 0, outputs = 0;
  std::vector<float> weight;  // inputs x outputs, row after row
  std::vector<float> bias;    // outputs
};

struct classifier {
  dense_weights hidden, output;
};

// 784 - 256 - 10, in FP32 by Adam: one pass through the images in an order that `seed` decides. The
// same seed gives the same weights on the same CPU. About 86% of the test images are right.
classifier train_classifier(const labelled_images& images, std::uint64_t seed = 1);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_CLASSIFIER_CLASSIFIER_H_
