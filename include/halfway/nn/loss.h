// SPDX-License-Identifier: Apache-2.0
// The loss of a classifier, with the gradient that starts the backward pass.
//
//   halfway::nn::cross_entropy<halfway::half> loss;
//   const float mean = loss.forward(logits, labels, scaler.scale(), pass);
//   model.backward(loss.gradient(), pass);
#ifndef HALFWAY_NN_LOSS_H_
#define HALFWAY_NN_LOSS_H_

#include <cstdint>
#include <span>

#include "halfway/core/matrix.h"
#include "halfway/nn/module.h"
#include "halfway/ops/softmax_cross_entropy.h"

namespace halfway::nn {

/// Mean over the rows of the softmax cross entropy, in FP32 from logits of any float type; its
/// gradient times the loss scale in T. Numbers and errors: ops/softmax_cross_entropy.h.
template <class T>
class cross_entropy {
 public:
  /// The mean loss of logits, examples x classes, unscaled; labels: one class for each row.
  /// `scale`: what gradient() is multiplied by, the loss scale.
  template <float_storage_matrix Logits>
  float forward(const Logits& logits, std::span<const std::int32_t> labels, float scale,
                const pass& p) {
    const auto shape = as_view(logits);
    detail::shaped(dlogits_, shape.rows(), shape.cols());
    return softmax_cross_entropy(logits, labels, dlogits_, scale, p.on);
  }

  /// Of scale times the loss of the last forward(), until the next.
  matrix_view<const T> gradient() const { return dlogits_.view(); }

 private:
  matrix<T> dlogits_;
};

}  // namespace halfway::nn

#endif  // HALFWAY_NN_LOSS_H_
