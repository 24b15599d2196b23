// SPDX-License-Identifier: Apache-2.0
// Activation functions of contiguous elements of any float format, computed in FP32: the same bits
// on every CPU.
//
//   std::vector<halfway::bfloat16> x = ..., y(x.size());
//   halfway::gelu(x, y);                    // or in place: gelu(x, x)
#ifndef HALFWAY_OPS_ACTIVATION_H_
#define HALFWAY_OPS_ACTIVATION_H_

#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

// For all of them: x and y are contiguous ranges of one size, of any float formats; y may be x.
// Each element is widened exactly, the function computed in FP32 with an error below the number of
// units in the last place (ULP) that is given, of the FP32 result, subnormals included, and rounded
// once to y's type, to nearest even. The largest errors were measured over every float
// (tests/ops/activation_test.cc). The same bits on every CPU.
//
// NaN gives NaN. The values at the infinities are the limits: gelu(-inf) is -0, not NaN.
//
// Errors: sizes that differ, null with a size, memory that x and y share in part or with elements
// of different sizes.

/// y[i] = max(x[i], 0). Exact; -0 stays -0.
template <float_storage_vector X, float_storage_output_vector Y>
void relu(const X& x, Y&& y) {
  const auto a = detail::check_map("halfway::relu", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(ReluKernel<Config>)(a.x.data(), a.y.data(), a.x.size());
}

/// y[i] = x[i] Phi(x[i]), Phi the distribution function of the standard normal distribution: the
/// exact ("erf") form. 1 ULP, also where the result is tiny (PyTorch's loses all digits below -5).
template <float_storage_vector X, float_storage_output_vector Y>
void gelu(const X& x, Y&& y) {
  const auto a = detail::check_map("halfway::gelu", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(GeluKernel<Config>)(a.x.data(), a.y.data(), a.x.size());
}

/// y[i] = x[i] / 2 (1 + tanh(sqrt(2 / pi) (x[i] + 0.044715 x[i]^3))), the usual approximation of
/// gelu (Hendrycks and Gimpel, 2016). 1 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void gelu_tanh(const X& x, Y&& y) {
  const auto a = detail::check_map("halfway::gelu_tanh", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(GeluTanhKernel<Config>)(a.x.data(), a.y.data(), a.x.size());
}

/// y[i] = x[i] / (1 + e^-x[i]), also called swish. 2 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void silu(const X& x, Y&& y) {
  const auto a = detail::check_map("halfway::silu", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(SiluKernel<Config>)(a.x.data(), a.y.data(), a.x.size());
}

/// y[i] = the hyperbolic tangent of x[i]. 1 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void tanh(const X& x, Y&& y) {
  const auto a = detail::check_map("halfway::tanh", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(TanhKernel<Config>)(a.x.data(), a.y.data(), a.x.size());
}

/// y[i] = 1 / (1 + e^-x[i]). 1 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void sigmoid(const X& x, Y&& y) {
  const auto a = detail::check_map("halfway::sigmoid", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(SigmoidKernel<Config>)(a.x.data(), a.y.data(), a.x.size());
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ACTIVATION_H_
