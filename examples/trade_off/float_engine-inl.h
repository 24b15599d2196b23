// SPDX-License-Identifier: Apache-2.0
// Engines whose activations are floats. `Products`: what layers multiply by, with
//   void run(layer, matrix_view<const T> x, matrix_view<T or float> y, gemm_options) const
//   size_t bytes(layer) const
#ifndef HALFWAY_EXAMPLES_TRADE_OFF_FLOAT_ENGINE_INL_H_
#define HALFWAY_EXAMPLES_TRADE_OFF_FLOAT_ENGINE_INL_H_

#include <utility>

#include "engine.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/packed_matrix.h"

namespace trade_off {

template <class T, class Products>
class float_engine : public engine {
 public:
  float_engine(const model& m, std::size_t batch, Products products)
      : model_(m), products_(std::move(products)), input_(batch, m.layers[0].weight.rows()) {
    for (layer& l : model_.layers) {
      outputs_.emplace_back(batch, l.weight.cols());
      l.weight = {};  // the products have their own
    }
    outputs_.pop_back();  // the logits are the caller's
  }

  void run(halfway::matrix_view<const std::uint8_t> pixels, halfway::matrix_view<float> logits,
           halfway::numeric_health* health) override {
    run(pixels, logits, [&](std::size_t, const auto& output) {
      if (health != nullptr) health->add(std::span(output.data(), output.size()));
    });
  }

  template <class Observer>
  void run(halfway::matrix_view<const std::uint8_t> pixels, halfway::matrix_view<float> logits,
           const Observer& observer) {
    const std::size_t rows = pixels.rows();
    const auto top = [rows](halfway::matrix<T>& m) { return m.view().block(0, 0, rows, m.cols()); };
    halfway::convert(pixels, top(input_));
    halfway::matrix_view<const T> x = top(input_);
    for (std::size_t l = 0; l + 1 < model_.layers.size(); ++l) {
      const auto y = top(outputs_[l]);
      const std::span<T> elements(y.data(), y.size());
      products_.run(l, x, y, model_.layers[l].bias);
      if (model_.has_norm_after(l)) halfway::layernorm(y, model_.gamma, model_.beta, y);
      observer(l, y);
      halfway::relu(elements, elements);
      x = y;
    }
    products_.run(model_.layers.size() - 1, x, logits, model_.layers.back().bias);
  }

  halfway::dtype health_type() const override { return halfway::dtype_of<T>; }

  std::size_t weight_bytes() const override {
    std::size_t bytes = (model_.gamma.size() + model_.beta.size()) * sizeof(float);
    for (std::size_t l = 0; l < model_.layers.size(); ++l)
      bytes += products_.bytes(l) + model_.layers[l].bias.size() * sizeof(float);
    return bytes;
  }

  std::size_t activation_bytes() const override {
    std::size_t bytes = input_.cols() * sizeof(T) + demo::class_count * sizeof(float);
    for (const halfway::matrix<T>& m : outputs_) bytes += m.cols() * sizeof(T);
    return bytes;
  }

 private:
  model model_;  // without its weight matrices
  Products products_;
  halfway::matrix<T> input_;
  std::vector<halfway::matrix<T>> outputs_;
};

// Weights of the activations' type.
template <class T>
class packed_products {
 public:
  explicit packed_products(const model& m) {
    for (const layer& l : m.layers) {
      halfway::matrix<T> narrow(l.weight.rows(), l.weight.cols());
      halfway::convert(l.weight, narrow);
      weights_.emplace_back(narrow);
    }
  }

  template <class Y>
  void run(std::size_t l, halfway::matrix_view<const T> x, halfway::matrix_view<Y> y,
           std::span<const float> bias) const {
    halfway::gemm(x, weights_[l], y, {.bias = bias});
  }
  std::size_t bytes(std::size_t l) const {
    return weights_[l].rows() * weights_[l].cols() * sizeof(T);
  }

 private:
  std::vector<halfway::packed_matrix<T>> weights_;
};

template <class T>
engine_ptr make_packed_engine(const model& m, std::size_t batch) {
  return std::make_unique<float_engine<T, packed_products<T>>>(m, batch, packed_products<T>(m));
}

}  // namespace trade_off

#endif  // HALFWAY_EXAMPLES_TRADE_OFF_FLOAT_ENGINE_INL_H_
