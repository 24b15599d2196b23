// SPDX-License-Identifier: Apache-2.0
// What the operands of a layer's products are cast to: the compute type, or 8-bit floats with
// scales.
//
//   halfway::nn::linear<bfloat16> a("a", 64, 64, random);          // bfloat16 products
//   halfway::nn::linear<bfloat16, bfloat16, delayed_fp8_inputs<bfloat16>> b("b", 64, 64, random);
//   halfway::nn::linear<bfloat16, bfloat16, fp8_inputs<bfloat16>> c("c", 64, 64, random);
//   c.inputs().set_scales({.input = 16.0f, .weight = 64.0f, .gradient = 4096.0f});
#ifndef HALFWAY_NN_GEMM_INPUTS_H_
#define HALFWAY_NN_GEMM_INPUTS_H_

#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/nn/module.h"
#include "halfway/precision/cast_weights.h"
#include "halfway/precision/parameter.h"
#include "halfway/training/fp8_scaling.h"
#include "halfway/types/float8.h"

namespace halfway::nn {

/// A matrix as a product takes it, and what the product is multiplied with for it.
template <class T>
struct gemm_operand {
  matrix_view<const T> values;  ///< valid until the same operand is cast again
  float factor = 1.0f;          ///< 1 / the scale by which it was multiplied
};

/// Products of the compute type: inputs and gradients as they are, weights rounded once.
template <class T>
class plain_inputs {
 public:
  /// The operand; only weights are copied.
  /// @{
  gemm_operand<T> input(matrix_view<const T> x) { return {x}; }
  gemm_operand<T> gradient(matrix_view<const T> dy) { return {dy}; }
  gemm_operand<T> weight(const parameter& p) {
    weight_ = cast_weights<T>(p);
    return {weight_.view()};
  }
  /// @}

 private:
  weights_in<T> weight_{matrix_view<const T>()};
};

/// What tensors are multiplied with before they are rounded to 8 bits: so that their largest value
/// comes close to the largest of the format, 448 or 57344. Powers of two lose nothing.
struct fp8_scales {
  float input = 1.0f;     ///< of what the layer is given
  float weight = 1.0f;    ///< of the FP32 masters
  float gradient = 1.0f;  ///< of dy
};

/// The largest magnitudes of the tensors that were rounded last, before they were scaled.
struct fp8_magnitudes {
  float input = 0.0f;     ///< of what the layer was given
  float weight = 0.0f;    ///< of the FP32 masters
  float gradient = 0.0f;  ///< of dy
};

/// Products of 8-bit floats (Micikevicius et al., "FP8 formats for deep learning", 2022): inputs
/// and weights float8_e4m3fn, gradients float8_e5m2, each with one scale for the tensor, chosen by
/// who trains, from amax() of past steps for one. Past the range they saturate; NaN stays NaN.
/// Numbers: scale_and_cast() in training/fp8_scaling.h.
template <class T>
class fp8_inputs {
 public:
  const fp8_scales& scales() const { return scales_; }  ///< 1 for each at first
  const fp8_magnitudes& amax() const { return amax_; }  ///< for the choice of the next scales
  /// Error: a scale outside [2^-126, 2^126].
  void set_scales(const fp8_scales& s) {
    check("input", s.input);
    check("weight", s.weight);
    check("gradient", s.gradient);
    scales_ = s;
  }

  /// The operand, multiplied by its scale and rounded; its largest magnitude enters amax().
  /// @{
  gemm_operand<float8_e4m3fn> input(matrix_view<const T> x) {
    return {cast(x, scales_.input, input_, amax_.input), 1.0f / scales_.input};
  }
  gemm_operand<float8_e4m3fn> weight(const parameter& p) {
    return {cast(p.values(), scales_.weight, weight_, amax_.weight), 1.0f / scales_.weight};
  }
  gemm_operand<float8_e5m2> gradient(matrix_view<const T> dy) {
    return {cast(dy, scales_.gradient, gradient_, amax_.gradient), 1.0f / scales_.gradient};
  }
  /// @}

 private:
  static void check(std::string_view name, float scale) {
    if (!(scale >= 0x1p-126f && scale <= 0x1p126f)) {
      fail(halfway::detail::concat("halfway::nn::fp8_inputs::set_scales: ", name, " (", scale,
                                   ") must be from 2^-126 to 2^126"));
    }
  }

  template <class From, class To>
  static matrix_view<const To> cast(matrix_view<const From> x, float scale, matrix<To>& to,
                                    float& amax) {
    detail::shaped(to, x.rows(), x.cols());
    amax = 0.0f;
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const float of_row =
          scale_and_cast(std::span<const From>(x.row(i), x.cols()), to.row(i), scale);
      if (!(of_row <= amax)) amax = of_row;  // and NaN stays
    }
    return to.view();
  }

  fp8_scales scales_;
  fp8_magnitudes amax_;
  matrix<float8_e4m3fn> input_, weight_;
  matrix<float8_e5m2> gradient_;
};

/// The same with scales from the past (delayed_scaling in training/fp8_scaling.h): every tensor is
/// rounded by what those before it were like, and enters the history itself. The first ones are
/// scaled by 1.
template <class T>
class delayed_fp8_inputs {
 public:
  /// Starts new histories. `largest` of the options is not used: it is that of each format.
  void set_options(fp8_scaling_options options) {
    input_ = weight_ = of<float8_e4m3fn>(options);
    gradient_ = of<float8_e5m2>(options);
  }

  /// The operand, multiplied by the scale that its history gives, which it then enters.
  /// @{
  auto input(matrix_view<const T> x) {
    return cast([&] { return casts_.input(x); }, input_, &fp8_magnitudes::input);
  }
  auto weight(const parameter& p) {
    return cast([&] { return casts_.weight(p); }, weight_, &fp8_magnitudes::weight);
  }
  auto gradient(matrix_view<const T> dy) {
    return cast([&] { return casts_.gradient(dy); }, gradient_, &fp8_magnitudes::gradient);
  }
  /// @}

 private:
  template <class Format>
  static delayed_scaling of(fp8_scaling_options options) {
    options.largest = static_cast<float>(std::numeric_limits<Format>::max());
    return delayed_scaling(options);
  }

  template <class Cast>
  auto cast(const Cast& make, delayed_scaling& scaling, float fp8_magnitudes::*which) {
    casts_.set_scales({input_.scale(), weight_.scale(), gradient_.scale()});
    const auto operand = make();
    scaling.update(casts_.amax().*which);
    return operand;
  }

  fp8_inputs<T> casts_;
  delayed_scaling input_ = of<float8_e4m3fn>({}), weight_ = of<float8_e4m3fn>({}),
                  gradient_ = of<float8_e5m2>({});
};

}  // namespace halfway::nn

#endif  // HALFWAY_NN_GEMM_INPUTS_H_
