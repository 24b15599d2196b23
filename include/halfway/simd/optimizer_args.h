// SPDX-License-Identifier: Apache-2.0
// What training/optimizer.h hands to the kernels of simd/optimizer-inl.h.
#ifndef HALFWAY_SIMD_OPTIMIZER_ARGS_H_
#define HALFWAY_SIMD_OPTIMIZER_ARGS_H_

#include <cstddef>

namespace halfway {

// All arrays hold `size` elements. `momentum` and `model` may be null: no momentum, no copy for the
// model.
template <class Model>
struct SgdArgs {
  std::size_t size;
  float* weights;
  const float* gradient;
  float* momentum;
  Model* model;
  float learning_rate;
  float weight_decay;
  float momentum_share;  // of the old momentum in the new one
  float gradient_share;  // of the gradient in the new momentum
  float nesterov_share;  // of the new momentum in the direction, where nesterov
  bool nesterov;
};

template <class Model>
struct AdamArgs {
  std::size_t size;
  float* weights;
  const float* gradient;
  float* first;
  float* second;
  Model* model;
  float l2;               // weight decay that enters the gradient
  float decoupled_decay;  // share of the weight that is taken off directly
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float inverse_root_correction;  // 1 / sqrt(1 - beta2^step)
  float step_size;                // learning_rate / (1 - beta1^step)
  float epsilon;
};

}  // namespace halfway

#endif  // HALFWAY_SIMD_OPTIMIZER_ARGS_H_
