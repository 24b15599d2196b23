// SPDX-License-Identifier: Apache-2.0
#include "classifier.h"

#include <cmath>
#include <map>
#include <numbers>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <utility>

#include "data/images.h"
#include "halfway/nn/activation.h"
#include "halfway/nn/linear.h"
#include "halfway/nn/loss.h"
#include "halfway/nn/sequential.h"
#include "halfway/training/adam.h"

namespace demo {

namespace {

namespace nn = halfway::nn;

constexpr std::size_t width = 256, batch = 100;
constexpr double learning_rate = 2e-3;  // falls to zero along half a cosine

// Fisher and Yates' shuffle; std::shuffle's order differs from library to library.
std::vector<std::uint32_t> shuffled(std::size_t size, std::uint64_t seed) {
  std::vector<std::uint32_t> order(size);
  std::iota(order.begin(), order.end(), 0u);
  std::mt19937_64 random(seed);
  for (std::size_t i = size; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  return order;
}

dense_weights weights_in(nn::linear<float>& layer) {
  std::vector<nn::weight*> w = nn::weights_of(layer);
  const auto vector = [](const nn::weight& from) {
    return std::vector<float>(from.values().begin(), from.values().end());
  };
  return {w[0]->value.rows(), w[0]->value.cols(), vector(*w[0]), vector(*w[1])};
}

}  // namespace

classifier train_classifier(const labelled_images& images, std::uint64_t seed) {
  nn::weight_source random(seed);
  nn::sequential<float> model;
  auto& hidden = model.add<nn::linear<float>>("hidden", image_bytes, width, random);
  model.add<nn::relu<float>>();
  auto& output = model.add<nn::linear<float>>("output", width, class_count, random);
  nn::cross_entropy<float> loss;

  const std::vector<nn::weight*> weights = nn::weights_of(model);
  std::map<std::string, halfway::adam_state> states;
  halfway::adam optimizer;
  const std::vector<std::uint32_t> order = shuffled(images.size(), seed);
  for (std::size_t at = 0; at + batch <= order.size(); at += batch) {
    const labelled_batch data = take(images, std::span(order).subspan(at, batch));
    nn::pass pass;
    loss.forward(model.forward(data.pixels.view(), pass), data.labels, 1, pass);
    model.backward(loss.gradient(), pass, /*wants_dx=*/false);
    const double done = static_cast<double>(at) / static_cast<double>(order.size());
    optimizer.set_learning_rate(learning_rate / 2 * (1 + std::cos(std::numbers::pi * done)));
    for (nn::weight* w : weights) {
      optimizer.step(states[w->name], w->value.write(), w->gradient.elements());
      w->zero_gradient();
    }
  }
  return {weights_in(hidden), weights_in(output)};
}

}  // namespace demo
