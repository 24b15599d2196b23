// SPDX-License-Identifier: Apache-2.0
// What training/ hands to the kernel of simd/optimizer-inl.h: a rule, where the weights are kept
// and the gradient.
#ifndef HALFWAY_SIMD_OPTIMIZER_ARGS_H_
#define HALFWAY_SIMD_OPTIMIZER_ARGS_H_

#include <cstddef>
#include <cstdint>

#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"

namespace halfway {

// Elements are stepped in blocks of this many: a multiple of every vector, small enough for its
// random words and moments to stay in the first cache.
inline constexpr std::size_t optimizer_block = 256;

// ------------------------------ where the weights are kept (training/weight_storage.h)

// `model` may be null: no copy for the model.
template <class Model>
struct MasterWeights {
  float* master;
  Model* model;
};

// Element i rounds by word `first + i` of `seed`.
template <class T>
struct StochasticWeights {
  T* weights;
  std::uint64_t seed;
  std::uint64_t first;
};

template <class T>
struct KahanWeights {
  T* weights;
  T* rest;
};

struct SplitWeights {
  bfloat16* high;
  std::int16_t* low;
};

// ------------------------------ where Adam's moments are kept

struct FloatMoments {
  float* first;
  float* second;
};

// One scale for each optimizer_block elements; see training/block_moments.h.
struct BlockMoments {
  float8_e4m3fn* first;
  float* first_scales;
  std::uint8_t* second;
  float* second_scales;
  std::uint64_t seed;
};

// The codes of the second moments are the upper bits of floats, from this one on: three bits of
// significand, the last code is that of 1.
inline constexpr int second_moment_shift = 20;
inline constexpr std::uint32_t second_moment_first = (0x3F800000u >> second_moment_shift) - 255;

// ------------------------------ update rules (training/sgd.h, adam.h, lion.h)

// `momentum` may be null: there is none.
struct SgdRule {
  float* momentum;
  float learning_rate;
  float weight_decay;
  float momentum_share;  // of the old momentum in the new one
  float gradient_share;  // of the gradient in the new momentum
  float nesterov_share;  // of the new momentum in the direction, where nesterov
  bool nesterov;
};

template <class Moments>
struct AdamRule {
  Moments moments;
  float l2;               // weight decay that enters the gradient
  float decoupled_decay;  // share of the weight that is taken off directly
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float inverse_root_correction;  // 1 / sqrt(1 - beta2^step)
  float step_size;                // learning_rate / (1 - beta1^step)
  float epsilon;
};

struct LionRule {
  float* momentum;
  float learning_rate;
  float decoupled_decay;
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
};

template <class RuleType, class WeightsType, class GradientType>
struct OptimizerArgs {
  using Rule = RuleType;
  using Weights = WeightsType;
  using Gradient = GradientType;

  Rule rule;
  Weights weights;
  const Gradient* gradient;
  float gradient_factor;
};

}  // namespace halfway

#endif  // HALFWAY_SIMD_OPTIMIZER_ARGS_H_
