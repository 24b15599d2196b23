// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/heads_view.h"
#include "halfway/nn/activation.h"
#include "halfway/nn/embedding.h"
#include "halfway/nn/linear.h"
#include "halfway/nn/loss.h"
#include "halfway/nn/norm.h"
#include "halfway/nn/sequential.h"
#include "halfway/ops/attention.h"
#include "halfway/ops/attention_backward.h"
#include "halfway/ops/rotary_embedding.h"
#include "halfway/training/adam.h"

namespace decoding {

namespace {

namespace nn = halfway::nn;
using halfway::heads_view;
using halfway::matrix_view;

// Part `which` (queries, keys, values) of window w in rows of `parts` such parts.
template <class T>
heads_view<T> part(T* rows, std::size_t parts, std::size_t w, std::size_t which) {
  const std::size_t row = parts * width;
  return {rows + w * context * row + which * width, heads, context, head_size, head_size, row};
}

class rotary_attention : public nn::module<float> {
 public:
  rotary_attention(const std::string& block, nn::weight_source& random)
      : qkv_(block + "qkv", width, 3 * width, random), out_(block + "out", width, width, random) {}

  matrix_view<const float> forward(matrix_view<const float> x, nn::pass& p) override {
    const auto projected = qkv_.forward(x, p);
    rotated_ = halfway::matrix<float>(x.rows(), 3 * width);
    std::copy_n(projected.data(), projected.size(), rotated_.data());
    turn(rotated_, false);
    results_ = halfway::matrix<float>(x.rows(), width);
    const float* from = rotated_.data();
    for (std::size_t w = 0; w < x.rows() / context; ++w)
      halfway::attention(part(from, 3, w, 0), part(from, 3, w, 1), part(from, 3, w, 2),
                         part(results_.data(), 1, w, 0), {.causal = true});
    return out_.forward(results_.view(), p);
  }

  matrix_view<const float> backward(matrix_view<const float> dy, const nn::pass& p,
                                    bool wants_dx) override {
    const auto dresults = out_.backward(dy, p);
    d_rotated_ = halfway::matrix<float>(dy.rows(), 3 * width);
    const float* from = rotated_.data();
    float* d = d_rotated_.data();
    for (std::size_t w = 0; w < dy.rows() / context; ++w)
      halfway::attention_backward(part(from, 3, w, 0), part(from, 3, w, 1), part(from, 3, w, 2),
                                  part(dresults.data(), 1, w, 0), part(d, 3, w, 0),
                                  part(d, 3, w, 1), part(d, 3, w, 2), {.causal = true});
    turn(d_rotated_, true);  // a rotation's gradient is turned back
    return qkv_.backward(d_rotated_.view(), p, wants_dx);
  }

  void visit(const std::function<void(nn::weight&)>& f) override {
    qkv_.visit(f);
    out_.visit(f);
  }

 private:
  // Queries and keys, which lie side by side, in place.
  void turn(halfway::matrix<float>& rows, bool back) const {
    std::vector<std::int32_t> positions(rows.rows());
    for (std::size_t i = 0; i < positions.size(); ++i)
      positions[i] = static_cast<std::int32_t>(i % context);
    const heads_view<float> both(rows.data(), 2 * heads, rows.rows(), head_size, head_size,
                                 3 * width);
    halfway::rotary_embedding(both, both, frequencies_, {.positions = positions, .inverse = back});
  }

  std::vector<double> frequencies_ = halfway::rotary_frequencies(head_size);
  nn::linear<float> qkv_, out_;
  halfway::matrix<float> rotated_, results_, d_rotated_;
};

void add_block(nn::sequential<float>& body, const std::string& name, nn::weight_source& random) {
  auto& attends = body.add<nn::residual<float>>();
  attends.add<nn::rmsnorm<float>>(name + "norm1", width);
  attends.add<rotary_attention>(name, random);
  auto& feeds = body.add<nn::residual<float>>();
  feeds.add<nn::rmsnorm<float>>(name + "norm2", width);
  feeds.add<nn::linear<float>>(name + "fc1", width, 4 * width, random);
  feeds.add<nn::gelu<float>>();
  feeds.add<nn::linear<float>>(name + "fc2", 4 * width, width, random);
}

}  // namespace

trained_model train(std::span<const std::int32_t> text, std::size_t steps, std::uint64_t seed) {
  constexpr std::size_t windows = 16;
  constexpr double learning_rate = 5e-3;  // falls to zero along half a cosine
  if (steps == 0) halfway::fail("decoding::train: steps (0) must be above 0");
  if (text.size() <= context)
    halfway::fail(halfway::detail::concat("decoding::train: text.size() (", text.size(),
                                          ") must be above ", context));
  nn::weight_source random(seed);
  nn::embedding<float> tokens("tokens", vocabulary, width, random);
  nn::sequential<float> model;
  for (std::size_t b = 0; b < blocks; ++b) add_block(model, block_name(b), random);
  model.add<nn::rmsnorm<float>>("norm", width);
  model.add<nn::linear<float>>("head", width, vocabulary, random);
  nn::cross_entropy<float> loss;

  const std::vector<nn::weight*> all = nn::weights_of(tokens, model);
  std::map<std::string, halfway::adam_state> states;
  halfway::adam optimizer({.beta2 = 0.99});
  std::mt19937_64 places(seed);
  trained_model trained;
  const std::size_t last_tenth = steps - (steps + 9) / 10;
  for (std::size_t s = 0; s < steps; ++s) {
    std::vector<std::size_t> at(windows);
    for (std::size_t& place : at) place = places() % (text.size() - context);
    const language::windows batch = language::windows_at(text, at, context);
    nn::pass pass;
    const auto logits = model.forward(tokens.forward(batch.tokens, pass), pass);
    const float mean = loss.forward(logits, batch.next, 1, pass);
    tokens.backward(model.backward(loss.gradient(), pass), pass);
    const double done = static_cast<double>(s) / static_cast<double>(steps);
    optimizer.set_learning_rate(learning_rate * std::min(1.0, 20 * (done + 0.01)) / 2 *
                                (1 + std::cos(std::numbers::pi * done)));
    for (nn::weight* w : all) {
      optimizer.step(states[w->name], w->value.write(), w->gradient.elements());
      w->zero_gradient();
    }
    if (s >= last_tenth)
      trained.loss += static_cast<double>(mean) / static_cast<double>(steps - last_tenth);
  }
  for (const nn::weight* w : all) {
    halfway::matrix<float> values(w->value.rows(), w->value.cols());
    std::ranges::copy(w->values(), values.elements().begin());
    trained.values.emplace(w->name, std::move(values));
  }
  return trained;
}

}  // namespace decoding
