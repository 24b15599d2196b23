// SPDX-License-Identifier: Apache-2.0
// The gradients of every layer against central differences of its forward pass.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/nn/activation.h"
#include "halfway/nn/attention.h"
#include "halfway/nn/conv2d.h"
#include "halfway/nn/dropout.h"
#include "halfway/nn/embedding.h"
#include "halfway/nn/linear.h"
#include "halfway/nn/loss.h"
#include "halfway/nn/norm.h"
#include "halfway/nn/pooling.h"
#include "halfway/nn/sequential.h"
#include "halfway/nn/weight.h"
#include "support/numerics.h"

namespace {

namespace nn = halfway::nn;
using halfway::matrix;
using halfway::matrix_view;
using halfway::testing::normal_values;
using halfway::testing::u32;

matrix<float> normal_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
  matrix<float> m(rows, cols);
  std::ranges::copy(normal_values<float>(rows * cols, 0.0, 1.0, seed), m.data());
  return m;
}

// The sum of dy * y in double, and of its terms' magnitudes.
struct weighted {
  double sum = 0, magnitude = 0;
};
weighted weigh(matrix_view<const float> y, const matrix<float>& dy) {
  weighted w;
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t j = 0; j < y.cols(); ++j) {
      const double term = static_cast<double>(dy(i, j)) * y(i, j);
      w.sum += term;
      w.magnitude += std::abs(term);
    }
  }
  return w;
}

// Compares `gradient` with central differences D(h) = (f(x + h) - f(x - h)) / 2h in each element of
// x. D(h) errs by h^2 f''' / 6 + ..., of which D(2h) has four times as much, so that (4 D(h) -
// D(2h)) / 3 is left with the next order; |D(2h) - D(h)| / 4 is kept as its bound, that order being
// smaller by h^2 where the function is smooth. A result y errs by `roundings` u |y| before it is
// weighted, which a difference divides by 2h.
void expect_differences(std::span<float> x, std::span<const float> gradient, double h,
                        double roundings, const std::function<weighted()>& f) {
  ASSERT_EQ(x.size(), gradient.size());
  double largest = 0;
  for (const float g : gradient) largest = std::max(largest, std::abs(static_cast<double>(g)));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float here = x[i];
    const auto difference = [&](double step, double& magnitude) {
      const float above = static_cast<float>(here + step), below = static_cast<float>(here - step);
      x[i] = above;
      const weighted at_above = f();
      x[i] = below;
      const weighted at_below = f();
      magnitude = std::max(magnitude, std::max(at_above.magnitude, at_below.magnitude));
      return (at_above.sum - at_below.sum) / (static_cast<double>(above) - below);
    };
    double magnitude = 0;
    const double coarse = difference(2 * h, magnitude), fine = difference(h, magnitude);
    x[i] = here;
    const double tolerance = std::abs(coarse - fine) / 4 + 2 * roundings * u32 * magnitude / h +
                             64 * u32 * (largest + magnitude);  // the gradient's own
    ASSERT_LT(tolerance, 0.05 * (largest + 0.1)) << "the check would say nothing of " << i;
    ASSERT_NEAR(gradient[i], (4 * fine - coarse) / 3, tolerance) << i;
  }
}

// Each weight's gradient and that of x.
void expect_gradients(nn::module<float>& layer, matrix<float> x, double h, double roundings) {
  const auto forward = [&] {
    nn::pass p{.seed = 3, .next_word = 100};
    return layer.forward(x.view(), p);
  };
  const auto y = forward();
  const auto dy = normal_matrix(y.rows(), y.cols(), 77);
  const auto f = [&] { return weigh(forward(), dy); };
  nn::pass p;
  const auto dx = layer.backward(dy.view(), p);
  const std::vector<float> gradient(dx.data(), dx.data() + dx.size());
  expect_differences(x.elements(), gradient, h, roundings, f);
  layer.visit([&](nn::weight& w) {
    SCOPED_TRACE(w.name);
    expect_differences(w.value.write().elements(), w.gradient.elements(), h, roundings, f);
  });
}

TEST(Gradients, Linear) {
  nn::weight_source random(1);
  nn::linear<float> layer("fc", 7, 5, random);
  expect_gradients(layer, normal_matrix(3, 7, 1), 0.5, 10);
  nn::linear<float> without_bias("fc", 7, 5, random, false);
  expect_gradients(without_bias, normal_matrix(3, 7, 1), 0.5, 10);
  EXPECT_EQ(nn::weights_of(without_bias).size(), 1u);
}

TEST(Gradients, Conv2d) {
  nn::weight_source random(1);
  nn::conv2d<float> layer("conv", {0, 5, 4, 2}, 3,
                          {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}}, random);
  EXPECT_EQ(layer.output_shape(), (halfway::image_shape{1, 3, 3, 3}));
  expect_gradients(layer, normal_matrix(2, 40, 1), 0.5, 20);
}

TEST(Gradients, Pooling) {
  // Values of a grid in any order: steps below 1 change no maximum.
  matrix<float> x(2, 4 * 4 * 3);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(i * 37 % 96) * 3;
  const halfway::window_2d window{.kernel = {2, 3}, .stride = {2, 1}, .padding = {0, 1}};
  nn::max_pool<float> max({0, 4, 4, 3}, window);
  expect_gradients(max, x, 0.5, 1);
  nn::average_pool<float> average({0, 4, 4, 3}, window);
  expect_gradients(average, normal_matrix(2, 48, 1), 0.5, 7);
}

TEST(Gradients, Activations) {
  nn::gelu<float> gelu;
  expect_gradients(gelu, normal_matrix(2, 9, 1), 1.0 / 64, 2);
  nn::silu<float> silu;
  expect_gradients(silu, normal_matrix(2, 9, 2), 1.0 / 64, 2);
  nn::tanh<float> tanh;
  expect_gradients(tanh, normal_matrix(2, 9, 3), 1.0 / 64, 2);
  matrix<float> away_from_zero = normal_matrix(2, 9, 4);
  for (float& v : away_from_zero.elements()) v += v < 0 ? -1.5f : 1.5f;
  nn::relu<float> relu;
  expect_gradients(relu, away_from_zero, 0.5, 0);
}

TEST(Gradients, Norms) {
  nn::layernorm<float> layer("norm", 11);
  expect_gradients(layer, normal_matrix(3, 11, 1), 1.0 / 64, 20);
  nn::rmsnorm<float> rms("norm", 11);
  expect_gradients(rms, normal_matrix(3, 11, 2), 1.0 / 64, 20);
}

TEST(Gradients, Dropout) {
  nn::dropout<float> layer(0.4f);
  expect_gradients(layer, normal_matrix(3, 20, 1), 0.5, 2);
}

TEST(Gradients, Attention) {
  nn::weight_source random(1);
  nn::attention<float> layer("attn", {.tokens = 5, .width = 6, .heads = 2, .causal = true}, random);
  expect_gradients(layer, normal_matrix(10, 6, 1), 1.0 / 32, 50);
}

TEST(Gradients, ResidualOfSequential) {
  nn::weight_source random(1);
  nn::residual<float> layer;
  layer.add<nn::layernorm<float>>("norm", 6);
  layer.add<nn::linear<float>>("up", 6, 9, random);
  layer.add<nn::gelu<float>>();
  layer.add<nn::linear<float>>("down", 9, 6, random);
  expect_gradients(layer, normal_matrix(4, 6, 1), 1.0 / 64, 50);
}

TEST(Gradients, Embedding) {
  nn::weight_source random(1);
  nn::embedding<float> layer("tokens", 5, 3, random);
  const std::vector<std::int32_t> ids = {4, 0, 4, 2};
  nn::pass p;
  const auto dy = normal_matrix(4, 3, 1);
  layer.forward(ids, p);
  layer.backward(dy.view(), p);
  nn::weight& table = *nn::weights_of(layer)[0];
  expect_differences(table.value.write().elements(), table.gradient.elements(), 0.5, 1,
                     [&] { return weigh(layer.forward(ids, p), dy); });
}

TEST(Gradients, CrossEntropy) {
  nn::cross_entropy<float> loss;
  matrix<float> logits = normal_matrix(3, 4, 1);
  const std::vector<std::int32_t> labels = {3, 0, 1};
  const nn::pass p;
  const float scale = 8.0f;
  const auto f = [&] {
    const double l = loss.forward(logits.view(), labels, scale, p);
    return weighted{scale * l, scale * l};
  };
  (void)f();
  const std::vector<float> gradient(loss.gradient().data(), loss.gradient().data() + 12);
  expect_differences(logits.elements(), gradient, 1.0 / 64, 10, f);
}

}  // namespace
