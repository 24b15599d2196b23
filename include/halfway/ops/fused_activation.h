// SPDX-License-Identifier: Apache-2.0
// Activations that gemm applies to its output on the way to memory.
//
//   halfway::gemm(x, w, h, {.bias = b, .activation = halfway::fused<halfway::activation::gelu>()});
#ifndef HALFWAY_OPS_FUSED_ACTIVATION_H_
#define HALFWAY_OPS_FUSED_ACTIVATION_H_

#include <cstddef>

#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

/// The functions of ops/activation.h.
enum class activation { relu, gelu, gelu_tanh, silu, tanh, sigmoid };

/// One of them for n floats, or none.
struct fused_activation {
  /// x to y, which may be x; null: none.
  void (*apply)(const float* x, float* y, std::size_t n) = nullptr;
};

/// The activation with the numbers of ops/activation.h, in FP32 before the result is rounded. Only
/// those that are named are compiled.
template <activation Function>
fused_activation fused() {
  using Config = detail::pair_config<float, float>;
  if constexpr (Function == activation::relu) {
    return {HALFWAY_DISPATCH(ReluKernel<Config>)};
  } else if constexpr (Function == activation::gelu) {
    return {HALFWAY_DISPATCH(GeluKernel<Config>)};
  } else if constexpr (Function == activation::gelu_tanh) {
    return {HALFWAY_DISPATCH(GeluTanhKernel<Config>)};
  } else if constexpr (Function == activation::silu) {
    return {HALFWAY_DISPATCH(SiluKernel<Config>)};
  } else if constexpr (Function == activation::tanh) {
    return {HALFWAY_DISPATCH(TanhKernel<Config>)};
  } else {
    return {HALFWAY_DISPATCH(SigmoidKernel<Config>)};
  }
}

}  // namespace halfway

#endif  // HALFWAY_OPS_FUSED_ACTIVATION_H_
