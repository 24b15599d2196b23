// SPDX-License-Identifier: Apache-2.0
// Layers one after the other, and around a shortcut.
//
//   halfway::nn::sequential<halfway::half> model;
//   model.add<halfway::nn::linear<halfway::half>>("fc1", 784, 256, random);
//   model.add<halfway::nn::relu<halfway::half>>();
//   auto& block = model.add<halfway::nn::residual<halfway::half>>();    // x + ... (x)
//   block.add<halfway::nn::layernorm<halfway::half>>("norm", 256);
#ifndef HALFWAY_NN_SEQUENTIAL_H_
#define HALFWAY_NN_SEQUENTIAL_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/nn/module.h"
#include "halfway/nn/weight.h"
#include "halfway/ops/accumulate.h"

namespace halfway::nn {

/// y = the last layer of ... of the first layer of x; x where there is none.
template <class T>
class sequential : public module<T> {
 public:
  /// Makes a layer, which stays where it is, and puts it last.
  template <std::derived_from<module<T>> Module, class... Arguments>
  Module& add(Arguments&&... arguments) {
    auto made = std::make_unique<Module>(std::forward<Arguments>(arguments)...);
    Module& layer = *made;
    layers_.push_back(std::move(made));
    return layer;
  }

  matrix_view<const T> forward(matrix_view<const T> x, pass& p) override {
    for (const auto& layer : layers_) x = layer->forward(x, p);
    return x;
  }

  matrix_view<const T> backward(matrix_view<const T> dy, const pass& p,
                                bool wants_dx = true) override {
    for (std::size_t i = layers_.size(); i-- > 0;) {
      dy = layers_[i]->backward(dy, p, wants_dx || i != 0);
    }
    return wants_dx ? dy : matrix_view<const T>();
  }

  void visit(const std::function<void(weight&)>& f) override {
    for (const auto& layer : layers_) layer->visit(f);
  }

 private:
  std::vector<std::unique_ptr<module<T>>> layers_;
};

/// y = x + its layers of x (He et al., "Deep residual learning", 2016), added in FP32 and rounded
/// once to T, and so the gradient.
template <class T>
class residual : public sequential<T> {
 public:
  matrix_view<const T> forward(matrix_view<const T> x, pass& p) override {
    return sum_of(x, sequential<T>::forward(x, p), y_, p);
  }

  matrix_view<const T> backward(matrix_view<const T> dy, const pass& p,
                                bool wants_dx = true) override {
    const auto dx = sequential<T>::backward(dy, p, wants_dx);
    return wants_dx ? sum_of(dy, dx, dx_, p) : dx;
  }

 private:
  static matrix_view<const T> sum_of(matrix_view<const T> a, matrix_view<const T> b, matrix<T>& sum,
                                     const pass& p) {
    if (b.rows() != a.rows() || b.cols() != a.cols()) [[unlikely]] {
      fail(halfway::detail::concat("halfway::nn: residual: its layers make ", b.rows(), " x ",
                                   b.cols(), " of ", a.rows(), " x ", a.cols()));
    }
    detail::shaped(sum, a.rows(), a.cols());
    std::ranges::copy(detail::elements("residual", "x", a), sum.data());
    accumulate(detail::elements("residual", "y", b), sum.elements(), p.on);
    return sum.view();
  }

  matrix<T> y_, dx_;
};

}  // namespace halfway::nn

#endif  // HALFWAY_NN_SEQUENTIAL_H_
