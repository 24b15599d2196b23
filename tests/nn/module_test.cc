// SPDX-License-Identifier: Apache-2.0
// What layers promise beside their gradients: hooks, names, determinism, 8-bit products, errors.
#include "halfway/nn/module.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
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
#include "halfway/nn/norm.h"
#include "halfway/nn/sequential.h"
#include "halfway/nn/weight.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/numerics.h"

namespace {

namespace nn = halfway::nn;
using halfway::half;
using halfway::matrix;
using halfway::matrix_view;
using halfway::testing::expect_error;
using halfway::testing::gamma;
using halfway::testing::normal_values;

template <class T>
matrix<T> normal_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
  matrix<T> m(rows, cols);
  std::ranges::copy(normal_values<T>(rows * cols, 0.0, 1.0, seed), m.data());
  return m;
}

// A block of a transformer.
template <class T>
void add_block(nn::sequential<T>& model, const std::string& name, nn::weight_source& random) {
  auto& attend = model.template add<nn::residual<T>>();
  attend.template add<nn::layernorm<T>>(name + ".norm1", 8);
  attend.template add<nn::attention<T>>(
      name + ".attn", nn::attention_shape{.tokens = 6, .width = 8, .heads = 2, .causal = true},
      random);
  attend.template add<nn::dropout<T>>(0.2f);
  auto& feed_forward = model.template add<nn::residual<T>>();
  feed_forward.template add<nn::rmsnorm<T>>(name + ".norm2", 8);
  feed_forward.template add<nn::linear<T>>(name + ".up", 8, 16, random);
  feed_forward.template add<nn::gelu<T>>();
  feed_forward.template add<nn::linear<T>>(name + ".down", 16, 8, random);
}

TEST(Modules, CallTheHookOnceForEachWeightLastLayerFirst) {
  nn::weight_source random(1);
  nn::sequential<half> model;
  add_block(model, "block", random);
  const auto x = normal_matrix<half>(12, 8, 1);
  std::vector<std::string> order;
  nn::pass p;
  p.on_gradient = [&](nn::weight& w) {
    order.push_back(w.name);
    // It is complete: no element of any gradient of this model is zero.
    EXPECT_TRUE(std::ranges::none_of(w.gradient.elements(), [](float g) { return g == 0.0f; }))
        << w.name;
  };
  model.forward(x.view(), p);
  model.backward(normal_matrix<half>(12, 8, 2).view(), p);
  std::vector<std::string> names;
  for (const nn::weight* w : nn::weights_of(model)) names.push_back(w->name);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "block.norm1.weight", "block.norm1.bias", "block.attn.qkv.weight",
                       "block.attn.qkv.bias", "block.attn.out.weight", "block.attn.out.bias",
                       "block.norm2.weight", "block.up.weight", "block.up.bias",
                       "block.down.weight", "block.down.bias"}));
  ASSERT_EQ(order.size(), names.size());
  EXPECT_EQ(order.front(), "block.down.bias");
  EXPECT_EQ(order.back(), "block.norm1.weight");
  std::ranges::sort(order);
  std::ranges::sort(names);
  EXPECT_EQ(order, names);
}

TEST(Modules, AddToGradientsUntilTheyAreZeroed) {
  nn::weight_source random(1);
  nn::linear<float> layer("fc", 4, 3, random);
  const auto x = normal_matrix<float>(5, 4, 1), dy = normal_matrix<float>(5, 3, 2);
  nn::pass p;
  layer.forward(x.view(), p);
  layer.backward(dy.view(), p);
  nn::weight& w = *nn::weights_of(layer)[0];
  const std::vector<float> once(w.gradient.elements().begin(), w.gradient.elements().end());
  EXPECT_TRUE(layer.backward(dy.view(), p, false).empty());
  // Both sums of 5 and 10 products err by gamma(8) and gamma(13) of their magnitudes at most
  // (ops/gemm.h).
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t o = 0; o < 3; ++o) {
      double magnitude = 0;
      for (std::size_t r = 0; r < 5; ++r) magnitude += std::abs(x(r, k) * dy(r, o));
      EXPECT_NEAR(w.gradient(k, o), 2 * once[k * 3 + o], 2 * (gamma(8) + gamma(13)) * magnitude);
    }
  }
  w.zero_gradient();
  layer.backward(dy.view(), p, false);
  EXPECT_TRUE(std::ranges::equal(w.gradient.elements(), once));
}

TEST(Modules, GiveTheSameBitsForTheSameSeedOnAnyExecutor) {
  const auto x = normal_matrix<half>(600, 8, 1), dy = normal_matrix<half>(600, 8, 2);
  std::vector<float> results;
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    nn::weight_source random(5);
    nn::sequential<half> model;
    add_block(model, "a", random);
    add_block(model, "b", random);
    nn::pass p{.seed = 9, .next_word = nn::words_of_step(3), .on = on};
    const auto y = model.forward(x.view(), p);
    results.assign(y.data(), y.data() + y.size());
    const auto dx = model.backward(dy.view(), p);
    results.insert(results.end(), dx.data(), dx.data() + dx.size());
    for (const nn::weight* w : nn::weights_of(model)) {
      const auto g = w->gradient.elements();
      results.insert(results.end(), g.begin(), g.end());
    }
    return std::as_bytes(std::span<const float>(results));
  });
}

TEST(Modules, DropOtherElementsInEachLayerAndStep) {
  nn::sequential<float> model;
  model.add<nn::dropout<float>>(0.5f);
  model.add<nn::dropout<float>>(0.5f);
  matrix<float> x(1, 4096);
  std::ranges::fill(x.elements(), 1.0f);
  const auto kept = [&](nn::pass p) {
    const auto y = model.forward(x.view(), p);
    std::vector<bool> is_kept(y.cols());
    for (std::size_t j = 0; j < y.cols(); ++j) is_kept[j] = y(0, j) != 0.0f;
    return is_kept;
  };
  const auto first = kept({.seed = 1, .next_word = nn::words_of_step(0)});
  // A quarter passes both if they are independent: within 5 standard deviations of it.
  EXPECT_NEAR(static_cast<double>(std::ranges::count(first, true)), 1024, 5 * std::sqrt(768.0));
  EXPECT_EQ(first, kept({.seed = 1, .next_word = nn::words_of_step(0)}));
  EXPECT_NE(first, kept({.seed = 1, .next_word = nn::words_of_step(1)}));
  EXPECT_NE(first, kept({.seed = 2, .next_word = nn::words_of_step(0)}));
  nn::pass evaluation{.training = false};
  EXPECT_TRUE(std::ranges::equal(x.elements(),
                                 std::span(model.forward(x.view(), evaluation).data(), x.size())));
}

TEST(Modules, MultiplyEightBitFloatsWithinTheirRounding) {
  nn::weight_source random(1), same_random(1);
  nn::linear<float> exact("fc", 32, 16, random);
  nn::linear<float, float, nn::fp8_inputs<float>> fp8("fc", 32, 16, same_random);
  fp8.inputs().set_scales({.input = 64.0f, .weight = 512.0f, .gradient = 4096.0f});
  const auto x = normal_matrix<float>(8, 32, 1), dy = normal_matrix<float>(8, 16, 2);
  nn::pass p;
  const auto y = exact.forward(x.view(), p), y8 = fp8.forward(x.view(), p);
  const auto dx = exact.backward(dy.view(), p), dx8 = fp8.backward(dy.view(), p);
  const nn::weight &w = *nn::weights_of(exact)[0], &w8 = *nn::weights_of(fp8)[0];
  // Rounding errs by 2^-4 of a value in e4m3 and by 2^-3 in e5m2; below the smallest normal number,
  // 2^-6 / scale, by 2^-10 / scale (2^-14 and 2^-17). FP32 adds less than 2^-16 of the magnitudes.
  const double x_tiny = 0x1p-10 / 64, w_tiny = 0x1p-10 / 512, g_tiny = 0x1p-17 / 4096;
  const auto values = w.value.values();
  const auto bound = [](double a, double a_relative, double a_tiny, double b, double b_relative,
                        double b_tiny) {
    const double da = a_relative * std::abs(a) + a_tiny, db = b_relative * std::abs(b) + b_tiny;
    return da * std::abs(b) + db * std::abs(a) + da * db + 0x1p-16 * std::abs(a * b);
  };
  double difference = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t o = 0; o < 16; ++o) {
      double error = 0;
      for (std::size_t k = 0; k < 32; ++k) {
        error += bound(x(i, k), 0x1p-4, x_tiny, values(k, o), 0x1p-4, w_tiny);
      }
      ASSERT_LE(std::abs(y8(i, o) - y(i, o)), error);
      difference += std::abs(y8(i, o) - y(i, o));
    }
    for (std::size_t k = 0; k < 32; ++k) {
      double error = 0;
      for (std::size_t o = 0; o < 16; ++o) {
        error += bound(dy(i, o), 0x1p-3, g_tiny, values(k, o), 0x1p-4, w_tiny);
      }
      ASSERT_LE(std::abs(dx8(i, k) - dx(i, k)), error);
    }
  }
  EXPECT_GT(difference, 0.0) << "nothing was rounded";
  for (std::size_t k = 0; k < 32; ++k) {
    for (std::size_t o = 0; o < 16; ++o) {
      double error = 0;
      for (std::size_t i = 0; i < 8; ++i) {
        error += bound(x(i, k), 0x1p-4, x_tiny, dy(i, o), 0x1p-3, g_tiny);
      }
      ASSERT_LE(std::abs(w8.gradient(k, o) - w.gradient(k, o)), error);
    }
  }
  expect_error([&] { fp8.inputs().set_scales({.weight = 0.0f}); }, {"weight (0)"});
}

TEST(Modules, DrawWeightsFromTheSeed) {
  nn::weight_source random(7);
  const auto w = random.for_inputs(100, 100, 200);
  double sum = 0, squares = 0, largest = 0;
  for (const float v : w.elements()) {
    sum += v;
    squares += static_cast<double>(v) * v;
    largest = std::max(largest, std::abs(static_cast<double>(v)));
  }
  const auto n = static_cast<double>(w.size());
  EXPECT_LE(largest, std::sqrt(0.03) * (1 + 0x1p-23));
  // Five standard deviations: of the mean, and of the mean square, whose variance is 4/5 of its
  // square.
  EXPECT_NEAR(sum / n, 0.0, 5 * std::sqrt(0.01 / n));
  EXPECT_NEAR(squares / n, 0.01, 5 * 0.01 * std::sqrt(0.8 / n));
  nn::weight_source again(7);
  EXPECT_TRUE(std::ranges::equal(again.for_inputs(100, 100, 200).elements(), w.elements()));
  expect_error([&] { (void)random.uniform(1, 1, -1.0); }, {"bound (-1)"});
}

TEST(Modules, NameBadShapes) {
  nn::weight_source random(1);
  nn::linear<float> layer("fc1", 4, 3, random), same_name("fc1", 4, 3, random);
  const matrix<float> x(2, 4), wide(2, 5), dy(2, 3), tall(3, 3);
  nn::pass p;
  expect_error([&] { layer.forward(wide.view(), p); }, {"fc1", "x.cols() (5)", "4"});
  expect_error([&] { layer.backward(dy.view(), p); }, {"fc1", "dy is 2 x 3", "0 x 3"});
  layer.forward(x.view(), p);
  expect_error([&] { layer.backward(tall.view(), p); }, {"dy is 3 x 3", "2 x 3"});
  expect_error([&] { nn::weights_of(layer, same_name); }, {"two weights are named fc1.bias"});
  expect_error([&] { nn::attention<float>("attn", {.tokens = 2, .width = 5, .heads = 2}, random); },
               {"attn", "width (5)", "heads (2)"});
  nn::attention<float> attend("attn", {.tokens = 2, .width = 4, .heads = 2}, random);
  expect_error([&] { attend.forward(matrix<float>(3, 4).view(), p); },
               {"attn", "x.rows() (3)", "tokens (2)"});
  nn::conv2d<float> conv("conv", {0, 2, 2, 1}, 1, {.kernel = {2, 2}}, random);
  expect_error([&] { conv.forward(wide.view(), p); }, {"conv", "x.cols() (5)", "4"});
  nn::relu<float> relu;
  expect_error([&] { relu.forward(x.view().transposed(), p); }, {"relu", "strides", "dense"});
  nn::embedding<float> tokens("tokens", 3, 2, random);
  expect_error([&] { tokens.forward(std::vector<std::int32_t>{3}, p); },
               {"halfway::embedding", "indices[0] (3)"});
  nn::residual<float> block;
  block.add<nn::linear<float>>("narrow", 4, 3, random);
  expect_error([&] { block.forward(x.view(), p); }, {"residual", "2 x 3", "2 x 4"});
}

}  // namespace
