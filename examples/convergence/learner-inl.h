// SPDX-License-Identifier: Apache-2.0
// The networks, of the library's layers, for a compute type and a way to cast the operands of
// products. Included only by the files that instantiate them.
#ifndef HALFWAY_EXAMPLES_CONVERGENCE_LEARNER_INL_H_
#define HALFWAY_EXAMPLES_CONVERGENCE_LEARNER_INL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/nn/activation.h"
#include "halfway/nn/attention.h"
#include "halfway/nn/conv2d.h"
#include "halfway/nn/embedding.h"
#include "halfway/nn/linear.h"
#include "halfway/nn/loss.h"
#include "halfway/nn/module.h"
#include "halfway/nn/norm.h"
#include "halfway/nn/pooling.h"
#include "halfway/nn/sequential.h"
#include "halfway/nn/weight.h"
#include "halfway/ops/accumulate.h"
#include "halfway/ops/convert.h"
#include "learner.h"

namespace convergence {

namespace nn = halfway::nn;
using halfway::matrix_view;

// Changes nothing; counts the gradients that pass, if they are FP32.
template <class T>
class probe : public nn::module<T> {
 public:
  explicit probe(gradient_census*& census) : census_(census) {}

  matrix_view<const T> forward(matrix_view<const T> x, nn::pass&) override { return x; }
  matrix_view<const T> backward(matrix_view<const T> dy, const nn::pass&, bool) override {
    if constexpr (std::is_same_v<T, float>) {
      if (census_ != nullptr) census_->add({dy.data(), dy.size()});
    }
    return dy;
  }

 private:
  gradient_census*& census_;
};

template <class T>
void relu_after(nn::sequential<T>& body, gradient_census*& census) {
  body.template add<nn::relu<T>>();
  body.template add<probe<T>>(census);
}

template <class T, class Inputs>
void add_mlp(nn::sequential<T>& body, nn::weight_source& random, gradient_census*& census) {
  body.template add<nn::linear<T, T, Inputs>>("fc1", demo::image_bytes, 256, random);
  relu_after(body, census);
  body.template add<nn::linear<T, T, Inputs>>("fc2", 256, 128, random);
  relu_after(body, census);
}

template <class T, class Inputs>
void add_cnn(nn::sequential<T>& body, nn::weight_source& random, gradient_census*& census) {
  using conv = nn::conv2d<T, Inputs>;
  const halfway::window_2d three{.kernel = {3, 3}, .padding = {1, 1}};
  const halfway::window_2d two{.kernel = {2, 2}, .stride = {2, 2}};
  halfway::image_shape shape{.height = demo::image_side, .width = demo::image_side, .channels = 1};
  for (const std::size_t filters : {12u, 24u}) {
    const std::string name = "conv" + std::to_string(filters);
    shape = body.template add<conv>(name, shape, filters, three, random).output_shape();
    relu_after(body, census);
    shape = body.template add<nn::max_pool<T>>(shape, two).output_shape();
  }
  body.template add<nn::linear<T, T, Inputs>>("fc", shape.image_size(), 64, random);
  relu_after(body, census);
}

// Fashion-MNIST by an MLP or a CNN.
template <class T, class Inputs>
class image_learner : public learner {
 public:
  image_learner(const task& t, const data& d, std::uint64_t seed)
      : task_(t), images_(d.images), random_(seed), order_(seed) {
    if (t.kind == network::mlp) {
      add_mlp<T, Inputs>(body_, random_, census_);
    } else {
      add_cnn<T, Inputs>(body_, random_, census_);
    }
    const std::size_t width = t.kind == network::mlp ? 128 : 64;
    head_ =
        std::make_unique<nn::linear<T, float, Inputs>>("head", width, demo::class_count, random_);
  }

  std::vector<nn::weight*> weights() override { return nn::weights_of(body_, *head_); }

  float learn(std::size_t, float scale, gradient_census* census) override {
    std::vector<std::uint32_t> batch(task_.batch);
    for (std::uint32_t& i : batch) i = static_cast<std::uint32_t>(order_() % images_.train.size());
    load(images_.train, batch);
    nn::pass pass;
    const auto hidden = body_.forward(x_.view(), pass);
    const float loss = loss_.forward(head_->forward(hidden, pass), labels_, scale, pass);
    census_ = census;
    body_.backward(head_->backward(loss_.gradient(), pass), pass, false);
    return loss;
  }

  double evaluate() override {
    std::size_t right = 0;
    nn::pass pass{.training = false};
    for (std::size_t first = 0; first < images_.test.size(); first += task_.batch) {
      std::vector<std::uint32_t> batch;
      for (std::size_t i = first; i < std::min(first + task_.batch, images_.test.size()); ++i)
        batch.push_back(static_cast<std::uint32_t>(i));
      load(images_.test, batch);
      const auto logits = head_->forward(body_.forward(x_.view(), pass), pass);
      for (std::size_t i = 0; i < logits.rows(); ++i) {
        const std::span<const float> row(logits.row(i), logits.cols());
        right += std::ranges::max_element(row) - row.begin() == labels_[i];
      }
    }
    return static_cast<double>(right) / static_cast<double>(images_.test.size());
  }

 private:
  // Pixels from 0 to 1.
  void load(const demo::labelled_images& from, std::span<const std::uint32_t> batch) {
    x_ = halfway::matrix<T>(batch.size(), demo::image_bytes);
    labels_.clear();
    std::vector<float> pixels(demo::image_bytes);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const std::uint8_t* image = from.image(batch[i]);
      for (std::size_t j = 0; j < pixels.size(); ++j)
        pixels[j] = static_cast<float>(image[j]) / 255.0f;
      halfway::convert(pixels, x_.row(i));
      labels_.push_back(from.labels[batch[i]]);
    }
  }

  task task_;
  const demo::fashion_mnist& images_;
  nn::weight_source random_;
  std::mt19937_64 order_;
  gradient_census* census_ = nullptr;
  nn::sequential<T> body_;
  std::unique_ptr<nn::linear<T, float, Inputs>> head_;
  nn::cross_entropy<T> loss_;
  halfway::matrix<T> x_;
  std::vector<std::int32_t> labels_;
};

// The next character, by a transformer of two blocks with norms before.
template <class T, class Inputs>
class text_learner : public learner {
  static constexpr std::size_t context = 64, width = 64, heads = 4, blocks = 2;

 public:
  text_learner(const task& t, const data& d, std::uint64_t seed)
      : task_(t),
        text_(d.text),
        random_(seed),
        places_(seed),
        tokens_("tokens", language::vocabulary, width, random_),
        positions_("positions", context, width, random_) {
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::string name = "block" + std::to_string(b) + ".";
      auto& attends = body_.template add<nn::residual<T>>();
      attends.template add<nn::layernorm<T>>(name + "norm1", width);
      attends.template add<nn::attention<T, Inputs>>(
          name + "attention",
          nn::attention_shape{.tokens = context, .width = width, .heads = heads, .causal = true},
          random_);
      attends.template add<probe<T>>(census_);
      auto& feeds = body_.template add<nn::residual<T>>();
      feeds.template add<nn::layernorm<T>>(name + "norm2", width);
      feeds.template add<nn::linear<T, T, Inputs>>(name + "fc1", width, 4 * width, random_);
      feeds.template add<nn::gelu<T>>();
      feeds.template add<probe<T>>(census_);
      feeds.template add<nn::linear<T, T, Inputs>>(name + "fc2", 4 * width, width, random_);
    }
    body_.template add<nn::layernorm<T>>("norm", width);
    body_.template add<probe<T>>(census_);
    head_ = std::make_unique<nn::linear<T, float, Inputs>>("head", width, language::vocabulary,
                                                           random_);
  }

  std::vector<nn::weight*> weights() override {
    return nn::weights_of(tokens_, positions_, body_, *head_);
  }

  float learn(std::size_t, float scale, gradient_census* census) override {
    std::vector<std::size_t> places(task_.batch);
    for (std::size_t& p : places) p = places_() % (text_.train.size() - context);
    const language::windows batch = language::windows_at(text_.train, places, context);
    nn::pass pass;
    const auto logits = forward(batch, pass);
    const float loss = loss_.forward(logits, batch.next, scale, pass);
    census_ = census;
    const auto dx = body_.backward(head_->backward(loss_.gradient(), pass), pass, true);
    tokens_.backward(dx, pass);
    positions_.backward(dx, pass);
    return loss;
  }

  // Mean nats a character, of windows side by side in the text that is held out.
  double evaluate() override {
    const std::size_t batches =
        std::min<std::size_t>(16, text_.held_out.size() / (task_.batch * context + 1));
    double sum = 0;
    nn::pass pass{.training = false};
    for (std::size_t b = 0; b < batches; ++b) {
      const language::windows batch =
          language::windows_in_order(text_.held_out, b * task_.batch, task_.batch, context);
      sum += static_cast<double>(loss_.forward(forward(batch, pass), batch.next, 1, pass));
    }
    return sum / static_cast<double>(batches);
  }

 private:
  matrix_view<const float> forward(const language::windows& batch, nn::pass& pass) {
    position_ids_.resize(batch.tokens.size());
    for (std::size_t i = 0; i < position_ids_.size(); ++i)
      position_ids_[i] = static_cast<std::int32_t>(i % context);
    const auto tokens = tokens_.forward(batch.tokens, pass);
    const auto positions = positions_.forward(position_ids_, pass);
    x_ = halfway::matrix<T>(tokens.rows(), tokens.cols());
    std::copy_n(tokens.data(), tokens.size(), x_.data());
    halfway::accumulate(std::span(positions.data(), positions.size()), x_.elements());
    return head_->forward(body_.forward(x_.view(), pass), pass);
  }

  task task_;
  const language::corpus& text_;
  nn::weight_source random_;
  std::mt19937_64 places_;
  gradient_census* census_ = nullptr;
  nn::embedding<T> tokens_, positions_;
  nn::sequential<T> body_;
  std::unique_ptr<nn::linear<T, float, Inputs>> head_;
  nn::cross_entropy<T> loss_;
  halfway::matrix<T> x_;
  std::vector<std::int32_t> position_ids_;
};

template <class T, class Inputs>
std::unique_ptr<learner> make_learner_of(const task& t, const data& d, std::uint64_t seed) {
  if (t.kind == network::transformer) return std::make_unique<text_learner<T, Inputs>>(t, d, seed);
  return std::make_unique<image_learner<T, Inputs>>(t, d, seed);
}

}  // namespace convergence

#endif  // HALFWAY_EXAMPLES_CONVERGENCE_LEARNER_INL_H_
