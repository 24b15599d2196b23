// SPDX-License-Identifier: Apache-2.0
// Small networks trained end to end in each compute type: they must learn their few examples by
// heart.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/nn/activation.h"
#include "halfway/nn/attention.h"
#include "halfway/nn/conv2d.h"
#include "halfway/nn/embedding.h"
#include "halfway/nn/gemm_inputs.h"
#include "halfway/nn/linear.h"
#include "halfway/nn/loss.h"
#include "halfway/nn/norm.h"
#include "halfway/nn/pooling.h"
#include "halfway/nn/sequential.h"
#include "halfway/nn/weight.h"
#include "halfway/ops/accumulate.h"
#include "halfway/training/loss_scaler.h"
#include "halfway/training/optimizer.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "support/numerics.h"

namespace {

namespace nn = halfway::nn;
using halfway::bfloat16;
using halfway::half;
using halfway::matrix;
using halfway::matrix_view;

// Adam on every weight, with dynamic loss scaling.
class trainer {
 public:
  explicit trainer(std::vector<nn::weight*> weights) : weights_(std::move(weights)) {}

  float scale() const { return scaler_.scale(); }

  void step() {
    auto unscale = scaler_.begin_unscale();
    for (nn::weight* w : weights_) unscale(w->gradient.elements(), w->gradient.elements());
    if (scaler_.should_step()) {
      for (nn::weight* w : weights_) {
        adam_.step(states_[w->name], w->value.write(), w->gradient.elements());
      }
    }
    scaler_.update();
    for (nn::weight* w : weights_) w->zero_gradient();
  }

 private:
  std::vector<nn::weight*> weights_;
  std::map<std::string, halfway::adam_state> states_;
  halfway::adam adam_{{.learning_rate = 3e-3}};
  halfway::loss_scaler scaler_;
};

template <class T>
class Training : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16>;
TYPED_TEST_SUITE(Training, Types);

constexpr float learned =
    0.05f;  // of ln(4) = 1.39 at the start: 95% for the right class, on average

TYPED_TEST(Training, ConvolutionalNetworkLearnsByHeart) {
  using T = TypeParam;
  nn::weight_source random(1);
  nn::sequential<T> body;
  auto& conv = body.template add<nn::conv2d<T>>(
      "conv", halfway::image_shape{0, 8, 8, 1}, 4,
      halfway::window_2d{.kernel = {3, 3}, .padding = {1, 1}}, random);
  body.template add<nn::relu<T>>();
  auto& pool = body.template add<nn::max_pool<T>>(
      conv.output_shape(), halfway::window_2d{.kernel = {2, 2}, .stride = {2, 2}});
  body.template add<nn::linear<T>>("fc", pool.output_shape().image_size(), 16, random);
  body.template add<nn::relu<T>>();
  nn::linear<T, float> head("head", 16, 4, random);
  nn::cross_entropy<T> loss;
  trainer train(nn::weights_of(body, head));

  const std::size_t n = 32;
  matrix<T> x(n, 64);
  std::ranges::copy(halfway::testing::normal_values<T>(x.size(), 0.0, 1.0, 2), x.data());
  std::vector<std::int32_t> labels(n);
  for (std::size_t i = 0; i < n; ++i) labels[i] = static_cast<std::int32_t>(i % 4);
  float first = 0, last = 0;
  for (std::size_t step = 0; step < 150; ++step) {
    nn::pass p{.seed = 1, .next_word = nn::words_of_step(step)};
    last = loss.forward(head.forward(body.forward(x.view(), p), p), labels, train.scale(), p);
    if (step == 0) first = last;
    body.backward(head.backward(loss.gradient(), p), p, false);
    train.step();
  }
  EXPECT_GT(first, 1.0f);
  EXPECT_LT(last, learned);
}

// A language model of characters: what it has in common for any type of products.
template <class T, class Inputs>
class character_model {
 public:
  explicit character_model(std::uint64_t seed) : random_(seed) {
    for (const std::string name : {"0", "1"}) {
      auto& attend = body.template add<nn::residual<T>>();
      attend.template add<nn::layernorm<T>>(name + ".norm1", width);
      attentions.push_back(&attend.template add<nn::attention<T, Inputs>>(
          name + ".attn",
          nn::attention_shape{.tokens = tokens, .width = width, .heads = 2, .causal = true},
          random_));
      auto& feed_forward = body.template add<nn::residual<T>>();
      feed_forward.template add<nn::layernorm<T>>(name + ".norm2", width);
      linears.push_back(
          &feed_forward.template add<nn::linear<T, T, Inputs>>(name + ".up", width, 32, random_));
      feed_forward.template add<nn::gelu<T>>();
      linears.push_back(
          &feed_forward.template add<nn::linear<T, T, Inputs>>(name + ".down", 32, width, random_));
    }
    body.template add<nn::layernorm<T>>("norm", width);
  }

  std::vector<nn::weight*> weights() { return nn::weights_of(letters, places, body, head); }

  float step(const std::vector<std::int32_t>& text, const std::vector<std::int32_t>& next,
             trainer& train, std::size_t number) {
    nn::pass p{.seed = 1, .next_word = nn::words_of_step(number)};
    place.resize(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
      place[i] = static_cast<std::int32_t>(i % tokens);
    }
    x = matrix<T>(text.size(), width);
    const auto letter = letters.forward(text, p), at = places.forward(place, p);
    std::copy_n(letter.data(), x.size(), x.data());
    halfway::accumulate(std::span(at.data(), x.size()), x.elements());
    const float l =
        loss.forward(head.forward(body.forward(x.view(), p), p), next, train.scale(), p);
    const auto dx = body.backward(head.backward(loss.gradient(), p), p);
    places.backward(dx, p);
    letters.backward(dx, p);
    train.step();
    return l;
  }

  static constexpr std::size_t tokens = 12, width = 16;

 private:
  nn::weight_source random_;

 public:
  nn::embedding<T> letters{"letters", 128, width, random_},
      places{"places", tokens, width, random_};
  nn::sequential<T> body;
  nn::linear<T, float> head{"head", width, 128, random_};
  nn::cross_entropy<T> loss;
  std::vector<nn::attention<T, Inputs>*> attentions;
  std::vector<nn::linear<T, T, Inputs>*> linears;
  std::vector<std::int32_t> place;
  matrix<T> x;
};

template <class T, class Inputs>
std::vector<float> losses_of(character_model<T, Inputs>& model, std::size_t steps) {
  const std::string text = "the quick brown fox jumps over the lazy dog and then";
  const std::size_t n = text.size() / model.tokens * model.tokens;
  std::vector<std::int32_t> ids(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n)),
      next(text.begin() + 1, text.begin() + static_cast<std::ptrdiff_t>(n) + 1);
  trainer train(model.weights());
  std::vector<float> losses;
  for (std::size_t step = 0; step < steps; ++step) {
    losses.push_back(model.step(ids, next, train, step));
  }
  return losses;
}

TYPED_TEST(Training, TransformerLearnsByHeart) {
  using T = TypeParam;
  character_model<T, nn::plain_inputs<T>> model(3), again(3);
  const auto losses = losses_of(model, 200);
  EXPECT_NEAR(losses.front(), std::log(128.0), 1.0);
  EXPECT_LT(losses.back(), 2 * learned);  // the first letters have more than one that follows
  EXPECT_EQ(losses_of(again, 20), std::vector<float>(losses.begin(), losses.begin() + 20))
      << "one seed, one result";
}

TEST(TrainingOf, EightBitProductsLearnByHeart) {
  using inputs = nn::fp8_inputs<bfloat16>;
  character_model<bfloat16, inputs> model(3);
  // Activations are of the order of 1, weights of 1/4, gradients of 2^16 (the loss scale) / 48
  // rows.
  const nn::fp8_scales scales{.input = 32.0f, .weight = 128.0f, .gradient = 16.0f};
  for (auto* layer : model.linears) layer->inputs().set_scales(scales);
  for (auto* layer : model.attentions) {
    layer->qkv().inputs().set_scales(scales);
    layer->out().inputs().set_scales(scales);
  }
  const auto losses = losses_of(model, 200);
  EXPECT_LT(losses.back(), 4 * learned);
  const nn::fp8_magnitudes amax = model.linears[0]->inputs().amax();
  EXPECT_GT(amax.input, 0.5f);
  EXPECT_LT(amax.input, 448.0f / scales.input);
  EXPECT_GT(amax.gradient, 0.0f);
}

TEST(TrainingOf, EightBitProductsWithDelayedScalesLearnByHeart) {
  character_model<bfloat16, nn::delayed_fp8_inputs<bfloat16>> model(3);
  EXPECT_LT(losses_of(model, 200).back(), 4 * learned);
}

}  // namespace
