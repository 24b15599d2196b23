// SPDX-License-Identifier: Apache-2.0
// What the operands of a layer's products are cast to: the compute type, or 8-bit floats with scales.
//
//   halfway::nn::linear<bfloat16> a("a", 64, 64, random);                       // bfloat16 products
//   halfway::nn::linear<bfloat16, bfloat16, fp8_inputs<bfloat16>> b("b", 64, 64, random);
//   b.inputs().set_scales({.input = 16.0f, .weight = 64.0f, .gradient = 4096.0f});
#ifndef HALFWAY_NN_GEMM_INPUTS_H_
#define HALFWAY_NN_GEMM_INPUTS_H_

#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/nn/module.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/scale.h"
#include "halfway/precision/cast_weights.h"
#include "halfway/precision/parameter.h"
#include "halfway/types/float8.h"

namespace halfway::nn {

/// A matrix as a product takes it, and what the product is multiplied with for it.
template <class T>
struct gemm_operand {
  matrix_view<const T> values;
  float factor = 1.0f;
};

/// Products of the compute type: inputs and gradients as they are, weights rounded once.
template <class T>
class plain_inputs {
 public:
  gemm_operand<T> input(matrix_view<const T> x) { return {x}; }
  gemm_operand<T> gradient(matrix_view<const T> dy) { return {dy}; }
  gemm_operand<T> weight(const parameter& p) {
    weight_ = cast_weights<T>(p);
    return {weight_.view()};
  }

 private:
  weights_in<T> weight_{matrix_view<const T>()};
};

/// What tensors are multiplied with before they are rounded to 8 bits: so that their largest value
/// comes close to the largest of the format, 448 or 57344. Powers of two lose nothing.
struct fp8_scales {
  float input = 1.0f;
  float weight = 1.0f;
  float gradient = 1.0f;
};

/// Products of 8-bit floats (Micikevicius et al., "FP8 formats for deep learning", 2022): inputs and
/// weights float8_e4m3fn, gradients float8_e5m2, each with one scale for the tensor, chosen by who
/// trains (amax() in ops/scale.h of past steps, for one). Past the range they saturate.
template <class T>
class fp8_inputs {
 public:
  const fp8_scales& scales() const { return scales_; }
  /// Error: a scale that is not positive and finite, or whose inverse is not.
  void set_scales(const fp8_scales& s) {
    check("input", s.input);
    check("weight", s.weight);
    check("gradient", s.gradient);
    scales_ = s;
  }

  gemm_operand<float8_e4m3fn> input(matrix_view<const T> x) {
    return {cast(x, scales_.input, input_), 1.0f / scales_.input};
  }
  gemm_operand<float8_e4m3fn> weight(const parameter& p) {
    return {cast(p.values(), scales_.weight, weight_), 1.0f / scales_.weight};
  }
  gemm_operand<float8_e5m2> gradient(matrix_view<const T> dy) {
    return {cast(dy, scales_.gradient, gradient_), 1.0f / scales_.gradient};
  }

 private:
  static void check(std::string_view name, float scale) {
    if (!(scale >= 0x1p-126f && scale <= 0x1p126f)) {
      fail(halfway::detail::concat("halfway::nn::fp8_inputs::set_scales: ", name, " (", scale,
                                   ") must be from 2^-126 to 2^126"));
    }
  }

  template <class From, class To>
  matrix_view<const To> cast(matrix_view<const From> x, float scale, matrix<To>& to) {
    detail::shaped(to, x.rows(), x.cols());
    scaled_.resize(x.cols());
    for (std::size_t i = 0; i < x.rows(); ++i) {
      unscale(std::span<const From>(x.row(i), x.cols()), scaled_, scale);
      convert_saturating(scaled_, to.row(i));
    }
    return to.view();
  }

  fp8_scales scales_;
  std::vector<float> scaled_;
  matrix<float8_e4m3fn> input_, weight_;
  matrix<float8_e5m2> gradient_;
};

}  // namespace halfway::nn

#endif  // HALFWAY_NN_GEMM_INPUTS_H_
