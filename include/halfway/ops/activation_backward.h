// SPDX-License-Identifier: Apache-2.0
// Gradients of the activation functions, computed in FP32 whatever the storage: the same bits on
// every CPU.
//
//   halfway::gelu_backward(x, dy, dx);      // x: what gelu was given; dx may be dy or x
#ifndef HALFWAY_OPS_ACTIVATION_BACKWARD_H_
#define HALFWAY_OPS_ACTIVATION_BACKWARD_H_

#include <string_view>

#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

namespace detail {

template <class TX, class TDY, class TDX>
struct activation_backward_config {
  using X = TX;
  using DY = TDY;
  using DX = TDX;
};

}  // namespace detail

template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void relu_backward(const X& x, const DY& dy, DX&& dx) {
  constexpr std::string_view where = "halfway::relu_backward";
  const auto vx = detail::input_span(where, "x", x);
  const auto vdy = detail::input_span(where, "dy", dy);
  const auto vdx = detail::output_span(where, "dx", dx);
  detail::check_same_size(where, "dy", vdy, "x", vx);
  detail::check_same_size(where, "dx", vdx, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "dx", vdx);
  detail::check_apart_or_in_place(where, "dy", vdy, "dx", vdx);
  using Config =
      detail::activation_backward_config<detail::vector_element<X>, detail::vector_element<DY>,
                                         detail::vector_element<DX>>;
  HALFWAY_DISPATCH(ReluBackwardKernel<Config>)(vx.data(), vdy.data(), vdx.data(), vx.size());
}

template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void gelu_backward(const X& x, const DY& dy, DX&& dx) {
  constexpr std::string_view where = "halfway::gelu_backward";
  const auto vx = detail::input_span(where, "x", x);
  const auto vdy = detail::input_span(where, "dy", dy);
  const auto vdx = detail::output_span(where, "dx", dx);
  detail::check_same_size(where, "dy", vdy, "x", vx);
  detail::check_same_size(where, "dx", vdx, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "dx", vdx);
  detail::check_apart_or_in_place(where, "dy", vdy, "dx", vdx);
  using Config =
      detail::activation_backward_config<detail::vector_element<X>, detail::vector_element<DY>,
                                         detail::vector_element<DX>>;
  HALFWAY_DISPATCH(GeluBackwardKernel<Config>)(vx.data(), vdy.data(), vdx.data(), vx.size());
}

template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void gelu_tanh_backward(const X& x, const DY& dy, DX&& dx) {
  constexpr std::string_view where = "halfway::gelu_tanh_backward";
  const auto vx = detail::input_span(where, "x", x);
  const auto vdy = detail::input_span(where, "dy", dy);
  const auto vdx = detail::output_span(where, "dx", dx);
  detail::check_same_size(where, "dy", vdy, "x", vx);
  detail::check_same_size(where, "dx", vdx, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "dx", vdx);
  detail::check_apart_or_in_place(where, "dy", vdy, "dx", vdx);
  using Config =
      detail::activation_backward_config<detail::vector_element<X>, detail::vector_element<DY>,
                                         detail::vector_element<DX>>;
  HALFWAY_DISPATCH(GeluTanhBackwardKernel<Config>)(vx.data(), vdy.data(), vdx.data(), vx.size());
}

template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void silu_backward(const X& x, const DY& dy, DX&& dx) {
  constexpr std::string_view where = "halfway::silu_backward";
  const auto vx = detail::input_span(where, "x", x);
  const auto vdy = detail::input_span(where, "dy", dy);
  const auto vdx = detail::output_span(where, "dx", dx);
  detail::check_same_size(where, "dy", vdy, "x", vx);
  detail::check_same_size(where, "dx", vdx, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "dx", vdx);
  detail::check_apart_or_in_place(where, "dy", vdy, "dx", vdx);
  using Config =
      detail::activation_backward_config<detail::vector_element<X>, detail::vector_element<DY>,
                                         detail::vector_element<DX>>;
  HALFWAY_DISPATCH(SiluBackwardKernel<Config>)(vx.data(), vdy.data(), vdx.data(), vx.size());
}

template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void tanh_backward(const X& x, const DY& dy, DX&& dx) {
  constexpr std::string_view where = "halfway::tanh_backward";
  const auto vx = detail::input_span(where, "x", x);
  const auto vdy = detail::input_span(where, "dy", dy);
  const auto vdx = detail::output_span(where, "dx", dx);
  detail::check_same_size(where, "dy", vdy, "x", vx);
  detail::check_same_size(where, "dx", vdx, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "dx", vdx);
  detail::check_apart_or_in_place(where, "dy", vdy, "dx", vdx);
  using Config =
      detail::activation_backward_config<detail::vector_element<X>, detail::vector_element<DY>,
                                         detail::vector_element<DX>>;
  HALFWAY_DISPATCH(TanhBackwardKernel<Config>)(vx.data(), vdy.data(), vdx.data(), vx.size());
}

template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void sigmoid_backward(const X& x, const DY& dy, DX&& dx) {
  constexpr std::string_view where = "halfway::sigmoid_backward";
  const auto vx = detail::input_span(where, "x", x);
  const auto vdy = detail::input_span(where, "dy", dy);
  const auto vdx = detail::output_span(where, "dx", dx);
  detail::check_same_size(where, "dy", vdy, "x", vx);
  detail::check_same_size(where, "dx", vdx, "x", vx);
  detail::check_apart_or_in_place(where, "x", vx, "dx", vdx);
  detail::check_apart_or_in_place(where, "dy", vdy, "dx", vdx);
  using Config =
      detail::activation_backward_config<detail::vector_element<X>, detail::vector_element<DY>,
                                         detail::vector_element<DX>>;
  HALFWAY_DISPATCH(SigmoidBackwardKernel<Config>)(vx.data(), vdy.data(), vdx.data(), vx.size());
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ACTIVATION_BACKWARD_H_
