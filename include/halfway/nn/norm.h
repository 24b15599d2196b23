// SPDX-License-Identifier: Apache-2.0
// Layer normalization and RMS normalization as layers, in FP32 whatever T.
//
//   model.add<halfway::nn::layernorm<halfway::half>>("norm1", 256);
#ifndef HALFWAY_NN_NORM_H_
#define HALFWAY_NN_NORM_H_

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/nn/module.h"
#include "halfway/nn/weight.h"
#include "halfway/ops/accumulate.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/norm_backward.h"

namespace halfway::nn {

/// What is normalized: by mean and variance, or by the mean of the squares.
enum class norm_kind { layer, root_mean_square };

/// The weights "<name>.weight", gamma, ones at first, and of layernorm "<name>.bias", beta, both 1
/// x width. Numbers: ops/norm.h and ops/norm_backward.h.
template <class T, norm_kind Kind>
class norm : public module<T> {
  static constexpr bool is_layer = Kind == norm_kind::layer;

 public:
  /// `width`: elements of a row. `epsilon`: added to the variance or the mean of the squares.
  norm(std::string name, std::size_t width, float epsilon = 1e-5f)
      : name_(std::move(name)),
        gamma_(name_ + ".weight", matrix<float>(1, width)),
        epsilon_(epsilon) {
    std::ranges::fill(gamma_.value.write().elements(), 1.0f);
    if (is_layer) beta_.emplace(name_ + ".bias", matrix<float>(1, width));
  }

  matrix_view<const T> forward(matrix_view<const T> x, pass& p) override {
    detail::check_width(name_, "x", x.cols(), gamma_.value.cols());
    x_ = x;
    detail::shaped(y_, x.rows(), x.cols());
    if constexpr (is_layer) {
      halfway::layernorm(x, gamma_.values(), beta_->values(), y_, epsilon_, p.on);
    } else {
      halfway::rmsnorm(x, gamma_.values(), y_, epsilon_, p.on);
    }
    return y_.view();
  }

  matrix_view<const T> backward(matrix_view<const T> dy, const pass& p, bool) override {
    detail::check_gradient(name_, dy, y_.rows(), y_.cols());
    detail::shaped(dx_, dy.rows(), dy.cols());
    std::vector<float> dgamma(dy.cols()), dbeta(is_layer ? dy.cols() : 0);
    if constexpr (is_layer) {
      layernorm_backward(x_, gamma_.values(), dy, dx_, dgamma, dbeta, epsilon_);
      accumulate(dbeta, beta_->gradient.elements());
      p.ready(*beta_);
    } else {
      rmsnorm_backward(x_, gamma_.values(), dy, dx_, dgamma, epsilon_);
    }
    accumulate(dgamma, gamma_.gradient.elements());
    p.ready(gamma_);
    return dx_.view();
  }

  void visit(const std::function<void(weight&)>& f) override {
    f(gamma_);
    if (beta_) f(*beta_);
  }

 private:
  std::string name_;
  weight gamma_;
  std::optional<weight> beta_;
  float epsilon_;
  matrix_view<const T> x_;
  matrix<T> y_, dx_;
};

/// Rows to mean 0 and variance 1, times gamma, plus beta.
template <class T>
using layernorm = norm<T, norm_kind::layer>;
/// Rows to a mean of squares of 1, times gamma.
template <class T>
using rmsnorm = norm<T, norm_kind::root_mean_square>;

}  // namespace halfway::nn

#endif  // HALFWAY_NN_NORM_H_
