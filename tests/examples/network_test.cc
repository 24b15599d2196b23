// SPDX-License-Identifier: Apache-2.0
// The gradients of the example's network against differences of its loss.
#include "mixed_precision_training/network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using demo::parameter_block;

constexpr std::size_t batch = 16;

demo::labelled_images some_images() {
  demo::labelled_images images;
  std::mt19937 random(7);
  for (std::size_t i = 0; i < batch * demo::image_bytes; ++i)
    images.pixels.push_back(static_cast<std::uint8_t>(random() % 256));
  for (std::size_t i = 0; i < batch; ++i)
    images.labels.push_back(static_cast<std::int32_t>(i % demo::class_count));
  return images;
}

double loss_of(demo::network<float>& net, const demo::labelled_images& images) {
  std::vector<std::uint32_t> indices(batch);
  std::iota(indices.begin(), indices.end(), 0u);
  net.load(images, indices);
  net.forward();
  return static_cast<double>(net.backward(images.labels, 1.0f));
}

std::vector<std::pair<std::string, parameter_block>> blocks(const demo::parameter_layout& layout) {
  std::vector<std::pair<std::string, parameter_block>> result;
  for (std::size_t l = 0; l < demo::layer_count; ++l) {
    result.emplace_back("weights " + std::to_string(l), layout.weights(l));
    result.emplace_back("bias " + std::to_string(l), layout.bias(l));
  }
  result.emplace_back("gamma", layout.gamma());
  result.emplace_back("beta", layout.beta());
  return result;
}

// The slope of the loss along `direction`, by a central difference over 2 * step.
double slope(const std::vector<float>& parameters, const std::vector<float>& direction, float step,
             const demo::labelled_images& images) {
  std::vector<float> up = parameters, down = parameters;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    up[i] += step * direction[i];
    down[i] -= step * direction[i];
  }
  demo::network<float> above(batch, up), below(batch, down);
  return (loss_of(above, images) - loss_of(below, images)) / (2 * static_cast<double>(step));
}

TEST(Network, GradientsAreTheSlopesOfTheLoss) {
  const demo::labelled_images images = some_images();
  demo::network<float> net(batch, 3);
  const double loss = loss_of(net, images);
  const std::vector<float> parameters(net.parameters().begin(), net.parameters().end());
  const std::vector<float> gradients(net.gradients().begin(), net.gradients().end());

  for (const auto& [name, block] : blocks(demo::parameter_layout())) {
    // Along the gradient itself the slope is largest, and its square length.
    std::vector<float> direction(parameters.size());
    double square = 0, largest = 0;
    for (std::size_t i = block.offset; i < block.offset + block.size(); ++i) {
      direction[i] = gradients[i];
      square += static_cast<double>(gradients[i]) * static_cast<double>(gradients[i]);
      largest = std::max(largest, std::abs(static_cast<double>(gradients[i])));
    }
    ASSERT_GT(square, 0) << name;
    // Steps that change the loss by about 1/50 and 1/100 of 1: far above its rounding, and small
    // enough for a line. What bends, and ReLUs that switch, show in the difference of the slopes,
    // which the smaller step has at most once more (it falls at least linearly with the step).
    const auto step = static_cast<float>(0.01 / square);
    const double coarse = slope(parameters, direction, step, images);
    const double fine = slope(parameters, direction, step / 2, images);
    // A loss is a mean of 16 logarithms of sums of logits, each off by some 1000 roundings (the
    // longest sum has 784 terms) of numbers below 32.
    const double rounding = 2 * 1000 * 0x1p-24 * 32 / static_cast<double>(step);
    EXPECT_NEAR(fine, square, std::abs(fine - coarse) + rounding)
        << name << ", loss " << loss << ", largest gradient " << largest;
    EXPECT_LT(rounding, square) << name << ": the test says nothing";
  }
}

TEST(Network, CountsWhatHalfFlushesToZero) {
  const demo::labelled_images images = some_images();
  std::vector<std::uint32_t> indices(batch);
  std::iota(indices.begin(), indices.end(), 0u);
  demo::network<halfway::half> net(batch, 3);
  net.load(images, indices);
  net.forward();
  const auto flushed = [&](float scale) {
    std::vector<demo::flush_count> counts;
    net.backward(images.labels, scale, &counts);
    EXPECT_EQ(counts.size(), demo::layer_count + 1);  // logits, hidden layers, the layernorm
    std::uint64_t values = 0, zeros = 0;
    for (const demo::flush_count& c : counts) {
      values += c.values;
      zeros += c.flushed;
    }
    EXPECT_GT(values, 0u);
    return static_cast<double>(zeros) / static_cast<double>(values);
  };
  EXPECT_EQ(flushed(0x1p-24f), 1.0);  // no gradient element of a mean loss exceeds 1 / batch here
  EXPECT_LT(flushed(65536.0f), 0.001);
}

}  // namespace
