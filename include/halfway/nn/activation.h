// SPDX-License-Identifier: Apache-2.0
// Activation functions as layers.
//
//   model.add<halfway::nn::gelu<halfway::half>>();
#ifndef HALFWAY_NN_ACTIVATION_H_
#define HALFWAY_NN_ACTIVATION_H_

#include <span>
#include <string_view>

#include "halfway/core/matrix.h"
#include "halfway/nn/module.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/activation_backward.h"

namespace halfway::nn {

namespace detail {

// f and its gradient by their names in ops/, so that only those that are used are compiled.
struct relu_function {
  static constexpr std::string_view name = "relu";
  static void forward(const auto& x, auto&& y, executor_ref on) { halfway::relu(x, y, on); }
  static void backward(const auto& x, const auto& dy, auto&& dx, executor_ref on) {
    relu_backward(x, dy, dx, on);
  }
};
struct gelu_function {
  static constexpr std::string_view name = "gelu";
  static void forward(const auto& x, auto&& y, executor_ref on) { halfway::gelu(x, y, on); }
  static void backward(const auto& x, const auto& dy, auto&& dx, executor_ref on) {
    gelu_backward(x, dy, dx, on);
  }
};
struct silu_function {
  static constexpr std::string_view name = "silu";
  static void forward(const auto& x, auto&& y, executor_ref on) { halfway::silu(x, y, on); }
  static void backward(const auto& x, const auto& dy, auto&& dx, executor_ref on) {
    silu_backward(x, dy, dx, on);
  }
};
struct tanh_function {
  static constexpr std::string_view name = "tanh";
  static void forward(const auto& x, auto&& y, executor_ref on) { halfway::tanh(x, y, on); }
  static void backward(const auto& x, const auto& dy, auto&& dx, executor_ref on) {
    tanh_backward(x, dy, dx, on);
  }
};

}  // namespace detail

/// y = f(x), element by element. Numbers: ops/activation.h and ops/activation_backward.h.
template <class T, class F>
class activation : public module<T> {
 public:
  matrix_view<const T> forward(matrix_view<const T> x, pass& p) override {
    x_ = detail::elements(F::name, "x", x);
    detail::shaped(y_, x.rows(), x.cols());
    F::forward(x_, y_.elements(), p.on);
    return y_.view();
  }

  matrix_view<const T> backward(matrix_view<const T> dy, const pass& p, bool wants_dx) override {
    detail::check_gradient(F::name, dy, y_.rows(), y_.cols());
    if (!wants_dx) return {};
    detail::shaped(dx_, dy.rows(), dy.cols());
    F::backward(x_, detail::elements(F::name, "dy", dy), dx_.elements(), p.on);
    return dx_.view();
  }

 private:
  std::span<const T> x_;
  matrix<T> y_, dx_;
};

/// max(x, 0).
template <class T>
using relu = activation<T, detail::relu_function>;
/// x times the normal distribution function of x, the exact form.
template <class T>
using gelu = activation<T, detail::gelu_function>;
/// x / (1 + e^-x).
template <class T>
using silu = activation<T, detail::silu_function>;
/// The hyperbolic tangent.
template <class T>
using tanh = activation<T, detail::tanh_function>;

}  // namespace halfway::nn

#endif  // HALFWAY_NN_ACTIVATION_H_
