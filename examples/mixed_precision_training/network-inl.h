// SPDX-License-Identifier: Apache-2.0
// The definitions of network.h, apart from it because the operations compile for every SIMD target:
// only training-inl.h includes this.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_NETWORK_INL_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_NETWORK_INL_H_

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <type_traits>

#include "halfway/ops/activation.h"
#include "halfway/ops/activation_backward.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/norm_backward.h"
#include "halfway/ops/reduce.h"
#include "halfway/ops/scale.h"
#include "halfway/ops/softmax_cross_entropy.h"
#include "network.h"

namespace demo {

// Uniform weights of variance 2 / inputs (He et al., "Delving deep into rectifiers", 2015; 1 /
// inputs for the last layer, which no ReLU follows), zero biases, a layernorm that changes nothing.
// From the bits of the generator, so that every machine begins alike.
inline std::vector<float> initial_parameters(std::uint64_t seed) {
  const parameter_layout layout;
  std::vector<float> parameters(layout.size());
  std::mt19937_64 random(seed);
  for (std::size_t l = 0; l < layer_count; ++l) {
    const double variance = (l + 1 < layer_count ? 2.0 : 1.0) / static_cast<double>(layer_sizes[l]);
    const double limit = std::sqrt(3 * variance);
    for (float& w : layout.weights(l).elements_in(std::span(parameters))) {
      const double share = static_cast<double>(random() >> 11) * 0x1p-53;
      w = static_cast<float>(limit * (2 * share - 1));
    }
  }
  std::ranges::fill(layout.gamma().elements_in(std::span(parameters)), 1.0f);
  return parameters;
}

template <class T>
network<T>::network(std::size_t batch, std::uint64_t seed)
    : network(batch, initial_parameters(seed)) {}

template <class T>
network<T>::network(std::size_t batch, std::span<const float> parameters)
    : rows_(batch),
      parameters_(parameters.begin(), parameters.end()),
      gradients_(parameters.size()),
      pixels_(batch * image_bytes),
      input_(batch, image_bytes),
      logits_(batch, class_count),
      d_logits_(batch, class_count) {
  halfway::detail::check_equal("demo::network", "parameters.size()", parameters.size(),
                               "layout.size()", layout_.size());
  for (std::size_t l = 0; l <= last_hidden; ++l)
    hidden_[l] = halfway::matrix<T>(batch, layer_sizes[l + 1]);
  before_norm_ = halfway::matrix<T>(batch, layer_sizes[last_hidden + 1]);
  for (halfway::matrix<T>& d : d_hidden_) d = halfway::matrix<T>(batch, layer_sizes[1]);
  exact_ = halfway::matrix<float>(batch, layer_sizes[1]);
  if constexpr (!std::is_same_v<T, float>) {
    copy_.resize(parameters_.size());
    halfway::convert(parameters_, copy_);
  }
}

template <class T>
std::span<const T> network<T>::model() const {
  if constexpr (std::is_same_v<T, float>) {
    return parameters_;
  } else {
    return copy_;
  }
}

template <class T>
void network<T>::load(const labelled_images& images, std::span<const std::uint32_t> indices) {
  rows_ = indices.size();
  for (std::size_t i = 0; i < rows_; ++i)
    std::memcpy(pixels_.data() + i * image_bytes, images.image(indices[i]), image_bytes);
  halfway::convert(std::span(pixels_).first(rows_ * image_bytes), top_elements(input_));
}

template <class T>
void network<T>::forward() {
  const std::span<const float> parameters = parameters_;
  auto in = top_rows(std::as_const(input_));
  for (std::size_t l = 0; l < layer_count; ++l) {
    const auto weights = layout_.weights(l).in(model());
    const halfway::gemm_options options{.bias = layout_.bias(l).elements_in(parameters)};
    if (l + 1 == layer_count) {
      halfway::gemm(in, weights, top_rows(logits_), options);
      break;
    }
    if (l == last_hidden) {
      halfway::gemm(in, weights, top_rows(before_norm_), options);
      halfway::layernorm(top_rows(before_norm_), layout_.gamma().elements_in(parameters),
                         layout_.beta().elements_in(parameters), top_rows(hidden_[l]));
    } else {
      halfway::gemm(in, weights, top_rows(hidden_[l]), options);
    }
    halfway::relu(top_elements(hidden_[l]), top_elements(hidden_[l]));
    in = hidden(l);
  }
}

// Runs `operation` into a gradient of type T; where asked, a second time into an FP32 one, and
// counts the elements that are finite and not zero there, and which of them are zero here.
template <class T>
template <class Operation>
void network<T>::counted(flush_count* count, halfway::matrix<T>& result,
                         const Operation& operation) {
  operation(top_rows(result));
  if (count == nullptr) return;
  const halfway::matrix_view<float> exact(exact_.data(), rows_, result.cols());
  operation(exact);
  const std::span<const T> rounded = top_elements(result);
  for (std::size_t i = 0; i < rounded.size(); ++i) {
    if (exact.data()[i] == 0.0f || !std::isfinite(exact.data()[i])) continue;
    ++count->values;
    if (static_cast<float>(rounded[i]) == 0.0f) ++count->flushed;
  }
}

template <class T>
float network<T>::backward(std::span<const std::int32_t> labels, float scale,
                           std::vector<flush_count>* flushes) {
  const std::span<float> gradients = gradients_;
  const auto gamma = layout_.gamma().elements_in(std::span<const float>(parameters_));

  std::size_t counted_gradients = 0;
  const auto count = [&](const std::string& name) -> flush_count* {
    if (flushes == nullptr) return nullptr;
    if (flushes->size() == counted_gradients) flushes->push_back({name, 0, 0});
    return &(*flushes)[counted_gradients++];
  };

  float loss = 0;
  counted(count("logits"), d_logits_, [&](const auto& d) {
    loss = halfway::softmax_cross_entropy(logits(), labels, d, scale);
  });

  halfway::matrix<T>* d_out = &d_logits_;
  for (std::size_t l = layer_count; l-- > 0;) {
    const auto in = l == 0 ? top_rows(std::as_const(input_)) : hidden(l - 1);
    halfway::gemm(in.transposed(), top_rows(*d_out), layout_.weights(l).in(gradients));
    halfway::column_sums(top_rows(*d_out), layout_.bias(l).elements_in(gradients));
    if (l == 0) break;

    const auto weights = layout_.weights(l).in(model());
    const std::size_t other = d_out == &d_hidden_[0] ? 1 : 0;
    halfway::matrix<T>* d_in = &d_hidden_[other];
    counted(count("hidden " + std::to_string(l)), *d_in,
            [&](const auto& d) { halfway::gemm(top_rows(*d_out), weights.transposed(), d); });
    halfway::relu_backward(top_elements(std::as_const(hidden_[l - 1])), top_elements(*d_in),
                           top_elements(*d_in));
    if (l - 1 == last_hidden) {
      halfway::matrix<T>* d_normed = d_in;
      d_in = &d_hidden_[1 - other];
      counted(count("before layernorm"), *d_in, [&](const auto& d) {
        halfway::layernorm_backward(top_rows(before_norm_), gamma, top_rows(*d_normed), d,
                                    layout_.gamma().elements_in(gradients),
                                    layout_.beta().elements_in(gradients));
      });
    }
    d_out = d_in;
  }
  return loss;
}

template <class T>
void network<T>::step(const halfway::adam& optimizer) {
  if constexpr (std::is_same_v<T, float>) {
    optimizer.step(optimizer_state_, parameters_, gradients_);
  } else {
    optimizer.step(optimizer_state_, parameters_, gradients_, copy_);
  }
}

template <class T>
float network<T>::largest_before_norm() const {
  return halfway::amax(top_elements(before_norm_));
}

template <class T>
std::size_t network<T>::activation_bytes() const {
  std::size_t bytes = input_.bytes() + before_norm_.bytes() + logits_.bytes();
  for (const halfway::matrix<T>& h : hidden_) bytes += h.bytes();
  return bytes;
}

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_NETWORK_INL_H_
