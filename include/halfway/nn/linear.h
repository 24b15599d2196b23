// SPDX-License-Identifier: Apache-2.0
// y = x W + b.
//
//   halfway::nn::weight_source random(seed);
//   halfway::nn::linear<halfway::half> hidden("fc1", 784, 256, random);
//   halfway::nn::linear<halfway::half, float> head("head", 256, 10, random);    // logits in FP32
#ifndef HALFWAY_NN_LINEAR_H_
#define HALFWAY_NN_LINEAR_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "halfway/core/matrix.h"
#include "halfway/nn/gemm_inputs.h"
#include "halfway/nn/module.h"
#include "halfway/nn/weight.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/gemm_backward.h"

namespace halfway::nn {

namespace detail {

// A layer whose result is no T is no module<T>: nothing in T can follow.
struct no_module {};

}  // namespace detail

/// The weights "<name>.weight", inputs x outputs, and "<name>.bias", 1 x outputs, zero at first.
/// Numbers: those of gemm() and gemm_backward() with operands of `Inputs` (nn/gemm_inputs.h); the
/// result is rounded once, to Out: float for logits, whose type the policy calls output.
template <class T, class Out = T, class Inputs = plain_inputs<T>>
class linear : public std::conditional_t<std::is_same_v<T, Out>, module<T>, detail::no_module> {
 public:
  /// Weights of variance 1 / inputs, so that y has about x's size.
  linear(std::string name, std::size_t inputs, std::size_t outputs, weight_source& random,
         bool has_bias = true)
      : name_(std::move(name)),
        weight_(name_ + ".weight", random.for_inputs(inputs, inputs, outputs)) {
    if (has_bias) bias_.emplace(name_ + ".bias", matrix<float>(1, outputs));
  }

  linear(const linear&) = delete;
  linear& operator=(const linear&) = delete;

  Inputs& inputs() { return inputs_; }  ///< what the products' operands are cast to
  std::size_t outputs() const { return weight_.value.cols(); }  ///< columns of the result

  /// @copydoc halfway::nn::module::forward
  matrix_view<const Out> forward(matrix_view<const T> x, pass& p) {
    detail::check_width(name_, "x", x.cols(), weight_.value.rows());
    x_ = inputs_.input(x);
    w_ = inputs_.weight(weight_.value);
    detail::shaped(y_, x.rows(), outputs());
    gemm_options options{.alpha = x_.factor * w_.factor};
    if (bias_) options.bias = bias_->values();
    gemm(x_.values, w_.values, y_, options, p.on);
    return y_.view();
  }

  /// @copydoc halfway::nn::module::backward
  matrix_view<const T> backward(matrix_view<const T> dy, const pass& p, bool wants_dx = true) {
    detail::check_gradient(name_, dy, y_.rows(), outputs());
    if (bias_) {
      gemm_backward(no_operand(), no_operand(), dy, matrix_view<T>(), {},
                    bias_->gradient.elements(), {}, p.on);
      p.ready(*bias_);
    }
    const auto g = inputs_.gradient(dy);
    matrix_view<T> dx;
    if (wants_dx) dx = detail::shaped(dx_, x_.values.rows(), x_.values.cols()).view();
    gemm_backward(x_.values, w_.values, g.values, dx, weight_.gradient.view(), {},
                  {.da_factor = g.factor * w_.factor, .db_factor = g.factor * x_.factor}, p.on);
    p.ready(weight_);
    return dx;
  }

  /// @copydoc halfway::nn::module::visit
  void visit(const std::function<void(weight&)>& f) {
    f(weight_);
    if (bias_) f(*bias_);
  }

 private:
  static matrix_view<const T> no_operand() { return {}; }

  std::string name_;
  weight weight_;
  std::optional<weight> bias_;
  Inputs inputs_;
  decltype(inputs_.input({})) x_;
  decltype(inputs_.weight(weight_.value)) w_;
  matrix<Out> y_;
  matrix<T> dx_;
};

}  // namespace halfway::nn

#endif  // HALFWAY_NN_LINEAR_H_
