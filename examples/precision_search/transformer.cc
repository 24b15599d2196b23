// SPDX-License-Identifier: Apache-2.0
#include "transformer.h"

#include <algorithm>
#include <cmath>

#include "halfway/core/error.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/activation_backward.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/norm_backward.h"
#include "halfway/ops/reduce.h"
#include "halfway/ops/softmax.h"
#include "halfway/ops/softmax_cross_entropy.h"

namespace language {

namespace {

const float score_scale = 1 / std::sqrt(static_cast<float>(head_size));

// Columns of one head, rows of one window.
template <class M>
auto head_of(M& m, std::size_t window, std::size_t head) {
  return halfway::as_view(m).block(window * context, head * head_size, context, head_size);
}

// A window's softmax rows for a head.
template <class M>
auto shares_of(M& shares, std::size_t window, std::size_t head) {
  return halfway::as_view(shares).block((window * heads + head) * context, 0, context, context);
}

}  // namespace

transformer::transformer(std::size_t count) : windows_(count) {
  const std::size_t rows = count * context;
  const auto make = [rows](std::size_t cols, auto&... matrices) {
    ((matrices = matrix(rows, cols)), ...);
  };
  for (block_values& b : block_) {
    make(width, b.x, b.normed, b.query, b.key, b.value, b.mixed, b.middle, b.normed_middle);
    make(hidden, b.before_gelu, b.after_gelu);
    b.shares = matrix(rows * heads, context);
  }
  make(width, x_, normed_, dx_, d_normed_, d_mixed_, d_sum_, d_query_, d_key_, d_value_);
  make(hidden, d_hidden_);
  make(vocabulary, logits_, d_logits_);
  scores_ = d_shares_ = matrix(context, context);
}

float transformer::loss_and_gradients(std::span<const float> parameters, const windows& batch,
                                      std::span<float> gradients) {
  using halfway::detail::check_equal;
  constexpr std::string_view where = "language::transformer";
  check_equal(where, "batch.tokens.size()", batch.tokens.size(), "rows", windows_ * context);
  check_equal(where, "parameters.size()", parameters.size(), "layout.size()", layout_.size());
  check_equal(where, "gradients.size()", gradients.size(), "layout.size()", layout_.size());
  parameters_ = parameters;
  gradients_ = gradients;
  forward(parameters, batch);
  const float loss = halfway::softmax_cross_entropy(logits_, batch.next, d_logits_);

  linear_backward("head", normed_, d_logits_, d_normed_);
  norm_backward("norm", x_, d_normed_, dx_);
  for (std::size_t b = blocks; b-- > 0;) {
    block_values& v = block_[b];
    const std::string name = block_name(b);
    linear_backward(name + "fc2", v.after_gelu, dx_, d_hidden_);
    halfway::gelu_backward(v.before_gelu.elements(), d_hidden_.elements(), d_hidden_.elements());
    linear_backward(name + "fc1", v.normed_middle, d_hidden_, d_normed_);
    norm_backward(name + "norm2", v.middle, d_normed_, d_sum_);
    const auto add = [](const matrix& from, matrix& to) {
      for (std::size_t i = 0; i < to.size(); ++i) to.elements()[i] += from.elements()[i];
    };
    add(d_sum_, dx_);  // both ways of the residual stream

    linear_backward(name + "out", v.mixed, dx_, d_mixed_);
    attention_backward(v, d_mixed_);
    linear_backward(name + "query", v.normed, d_query_, d_normed_);
    linear_backward(name + "key", v.normed, d_key_, d_normed_, true);
    linear_backward(name + "value", v.normed, d_value_, d_normed_, true);
    norm_backward(name + "norm1", v.x, d_normed_, d_sum_);
    add(d_sum_, dx_);
  }
  embedding_backward(batch, dx_);
  return loss;
}

void transformer::forward(std::span<const float> parameters, const windows& batch) {
  const auto tokens = layout_.at("token.table").in(parameters);
  const auto positions = layout_.at("position.table").in(parameters);
  matrix& first = block_[0].x;
  for (std::size_t i = 0; i < first.rows(); ++i) {
    const float* token = tokens.row(static_cast<std::size_t>(batch.tokens[i]));
    const float* position = positions.row(i % context);
    for (std::size_t j = 0; j < width; ++j) first(i, j) = token[j] + position[j];
  }
  for (std::size_t b = 0; b < blocks; ++b) {
    block_values& v = block_[b];
    const std::string name = block_name(b);
    norm(name + "norm1", v.x, v.normed);
    linear(name + "query", v.normed, v.query);
    linear(name + "key", v.normed, v.key);
    linear(name + "value", v.normed, v.value);
    attention(v);
    v.middle = v.x;
    linear(name + "out", v.mixed, v.middle, true);
    norm(name + "norm2", v.middle, v.normed_middle);
    linear(name + "fc1", v.normed_middle, v.before_gelu);
    halfway::gelu(v.before_gelu.elements(), v.after_gelu.elements());
    matrix& next = b + 1 < blocks ? block_[b + 1].x : x_;
    next = v.middle;
    linear(name + "fc2", v.after_gelu, next, true);
  }
  norm("norm", x_, normed_);
  linear("head", normed_, logits_);
}

void transformer::attention(block_values& v) {
  for (std::size_t w = 0; w < windows_; ++w) {
    for (std::size_t h = 0; h < heads; ++h) {
      const auto shares = shares_of(v.shares, w, h);
      halfway::gemm(head_of(v.query, w, h), head_of(v.key, w, h).transposed(), scores_);
      halfway::softmax(scores_, shares, {.scale = score_scale, .causal = true});
      halfway::gemm(shares, head_of(v.value, w, h), head_of(v.mixed, w, h));
    }
  }
}

// With shares S = softmax(s Q K^T) and mixed = S V: dV = S^T dM; dS = dM V^T; the scores' gradient is
// S * (dS - the row's sum of S * dS), s times which gives dQ by K, and dK by Q.
void transformer::attention_backward(const block_values& v, const matrix& d_mixed) {
  for (std::size_t w = 0; w < windows_; ++w) {
    for (std::size_t h = 0; h < heads; ++h) {
      const auto shares = shares_of(v.shares, w, h);
      const auto d_out = head_of(d_mixed, w, h);
      halfway::gemm(shares.transposed(), d_out, head_of(d_value_, w, h));
      halfway::gemm(d_out, head_of(v.value, w, h).transposed(), d_shares_);
      for (std::size_t i = 0; i < context; ++i) {
        const float* share = shares.row(i);
        const std::span<float> d = d_shares_.row(i);
        float sum = 0;
        for (std::size_t j = 0; j <= i; ++j) sum += share[j] * d[j];
        for (std::size_t j = 0; j < context; ++j) d[j] = score_scale * share[j] * (d[j] - sum);
      }
      halfway::gemm(d_shares_, head_of(v.key, w, h), head_of(d_query_, w, h));
      halfway::gemm(d_shares_.view().transposed(), head_of(v.query, w, h), head_of(d_key_, w, h));
    }
  }
}

void transformer::norm(const std::string& name, const matrix& x, matrix& y) {
  halfway::layernorm(x, layout_.at(name + ".gamma").elements_in(parameters_),
                     layout_.at(name + ".beta").elements_in(parameters_), y, epsilon);
}

void transformer::norm_backward(const std::string& name, const matrix& x, const matrix& dy,
                                matrix& dx) {
  halfway::layernorm_backward(x, layout_.at(name + ".gamma").elements_in(parameters_), dy, dx,
                              layout_.at(name + ".gamma").elements_in(gradients_),
                              layout_.at(name + ".beta").elements_in(gradients_), epsilon);
}

// y = x W + b, added to y if `adds`.
void transformer::linear(const std::string& name, const matrix& x, matrix& y, bool adds) {
  halfway::gemm(
      x, layout_.at(name + ".weight").in(parameters_), y,
      {.beta = adds ? 1.0f : 0.0f, .bias = layout_.at(name + ".bias").elements_in(parameters_)});
}

void transformer::linear_backward(const std::string& name, const matrix& x, const matrix& dy,
                                  matrix& dx, bool adds) {
  halfway::gemm(x.view().transposed(), dy, layout_.at(name + ".weight").in(gradients_));
  halfway::column_sums(dy, layout_.at(name + ".bias").elements_in(gradients_));
  halfway::gemm(dy, layout_.at(name + ".weight").in(parameters_).transposed(), dx,
                {.beta = adds ? 1.0f : 0.0f});
}

void transformer::embedding_backward(const windows& batch, const matrix& dx) {
  const auto tokens = layout_.at("token.table"), positions = layout_.at("position.table");
  std::ranges::fill(tokens.elements_in(gradients_), 0.0f);
  std::ranges::fill(positions.elements_in(gradients_), 0.0f);
  for (std::size_t i = 0; i < dx.rows(); ++i) {
    float* token = tokens.in(gradients_).row(static_cast<std::size_t>(batch.tokens[i]));
    float* position = positions.in(gradients_).row(i % context);
    for (std::size_t j = 0; j < width; ++j) {
      token[j] += dx(i, j);
      position[j] += dx(i, j);
    }
  }
}

}  // namespace language
