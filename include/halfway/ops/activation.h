// SPDX-License-Identifier: Apache-2.0
// Activation functions of contiguous elements of any float format, computed in FP32: the same bits
// on every CPU.
//
//   std::vector<halfway::bfloat16> x = ..., y(x.size());
//   halfway::gelu(x, y);                    // or in place: gelu(x, x)
#ifndef HALFWAY_OPS_ACTIVATION_H_
#define HALFWAY_OPS_ACTIVATION_H_

#include <string_view>

#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

/// y[i] = max(x, 0). Exact; -0 stays -0.
template <float_storage_vector X, float_storage_output_vector Y>
void relu(const X& x, Y&& y) {
  constexpr std::string_view where = "halfway::relu";
  const auto vx = detail::input_span(where, "x", x);
  const auto vy = detail::output_span(where, "y", y);
  detail::check_same_size(where, "y", vy, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "y", vy);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(ReluKernel<Config>)(vx.data(), vy.data(), vx.size());
}

/// y[i] = x Phi(x), Phi the distribution function of the standard normal distribution: the exact
/// ("erf") form.
template <float_storage_vector X, float_storage_output_vector Y>
void gelu(const X& x, Y&& y) {
  constexpr std::string_view where = "halfway::gelu";
  const auto vx = detail::input_span(where, "x", x);
  const auto vy = detail::output_span(where, "y", y);
  detail::check_same_size(where, "y", vy, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "y", vy);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(GeluKernel<Config>)(vx.data(), vy.data(), vx.size());
}

/// y[i] = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), the usual approximation of gelu.
template <float_storage_vector X, float_storage_output_vector Y>
void gelu_tanh(const X& x, Y&& y) {
  constexpr std::string_view where = "halfway::gelu_tanh";
  const auto vx = detail::input_span(where, "x", x);
  const auto vy = detail::output_span(where, "y", y);
  detail::check_same_size(where, "y", vy, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "y", vy);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(GeluTanhKernel<Config>)(vx.data(), vy.data(), vx.size());
}

/// y[i] = x / (1 + e^-x).
template <float_storage_vector X, float_storage_output_vector Y>
void silu(const X& x, Y&& y) {
  constexpr std::string_view where = "halfway::silu";
  const auto vx = detail::input_span(where, "x", x);
  const auto vy = detail::output_span(where, "y", y);
  detail::check_same_size(where, "y", vy, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "y", vy);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(SiluKernel<Config>)(vx.data(), vy.data(), vx.size());
}

/// y[i] = The hyperbolic tangent.
template <float_storage_vector X, float_storage_output_vector Y>
void tanh(const X& x, Y&& y) {
  constexpr std::string_view where = "halfway::tanh";
  const auto vx = detail::input_span(where, "x", x);
  const auto vy = detail::output_span(where, "y", y);
  detail::check_same_size(where, "y", vy, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "y", vy);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(TanhKernel<Config>)(vx.data(), vy.data(), vx.size());
}

/// y[i] = 1 / (1 + e^-x).
template <float_storage_vector X, float_storage_output_vector Y>
void sigmoid(const X& x, Y&& y) {
  constexpr std::string_view where = "halfway::sigmoid";
  const auto vx = detail::input_span(where, "x", x);
  const auto vy = detail::output_span(where, "y", y);
  detail::check_same_size(where, "y", vy, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "y", vy);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  HALFWAY_DISPATCH(SigmoidKernel<Config>)(vx.data(), vy.data(), vx.size());
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ACTIVATION_H_
