// SPDX-License-Identifier: Apache-2.0
// Dropout as a layer: random numbers by the pass, none stored.
//
//   model.add<halfway::nn::dropout<halfway::half>>(0.1f);
#ifndef HALFWAY_NN_DROPOUT_H_
#define HALFWAY_NN_DROPOUT_H_

#include "halfway/core/matrix.h"
#include "halfway/nn/module.h"
#include "halfway/ops/dropout.h"

namespace halfway::nn {

/// Takes as many random words of the pass as x has elements: one seed and step give one result, on
/// every platform. Lets x through where the pass does not train. Numbers: ops/dropout.h.
template <class T>
class dropout : public module<T> {
 public:
  /// Error, in forward(): a probability outside [0, 1).
  explicit dropout(float probability) : options_{.probability = probability} {}

  matrix_view<const T> forward(matrix_view<const T> x, pass& p) override {
    detail::shaped(y_, x.rows(), x.cols());
    drops_ = p.training;
    if (!drops_) return x;
    options_.seed = p.seed;
    options_.first = p.next_word;
    p.next_word += x.size();
    halfway::dropout(detail::elements("dropout", "x", x), y_.elements(), options_, p.on);
    return y_.view();
  }

  matrix_view<const T> backward(matrix_view<const T> dy, const pass& p, bool wants_dx) override {
    detail::check_gradient("dropout", dy, y_.rows(), y_.cols());
    if (!drops_ || !wants_dx) return wants_dx ? dy : matrix_view<const T>();
    detail::shaped(dx_, dy.rows(), dy.cols());
    dropout_backward(detail::elements("dropout", "dy", dy), dx_.elements(), options_, p.on);
    return dx_.view();
  }

 private:
  dropout_options options_;
  bool drops_ = false;
  matrix<T> y_, dx_;
};

}  // namespace halfway::nn

#endif  // HALFWAY_NN_DROPOUT_H_
