// SPDX-License-Identifier: Apache-2.0
// Gradients of the activation functions, computed in FP32 whatever the storage: the same bits on
// every CPU.
//
//   halfway::gelu_backward(x, dy, dx);      // x: what gelu was given; dx may be dy or x
#ifndef HALFWAY_OPS_ACTIVATION_BACKWARD_H_
#define HALFWAY_OPS_ACTIVATION_BACKWARD_H_

#include <cstddef>

#include "halfway/core/executor.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

// For all of them: dx[i] = dy[i] f'(x[i]), x what the forward function was given. Contiguous ranges
// of one size, of any float formats; dx may be x or dy. In FP32, rounded once to dx's type. The
// same bits on every CPU, and whatever executes it.
//
// NaN in x gives NaN, and so does NaN in dy but where relu lets nothing through. At the infinities
// f' is its limit. Errors: sizes that differ, null with a size, memory that is shared otherwise.

namespace detail {

template <float_storage_vector TX, float_storage_vector TDY, float_storage_vector TDX>
struct activation_backward_config {
  using X = vector_element<TX>;
  using DY = vector_element<TDY>;
  using DX = vector_element<TDX>;
};

template <class X, class DY, class DX>
void run_map_backward(void (*kernel)(const X*, const DY*, DX*, std::size_t),
                      const map_backward_arguments<X, DY, DX>& a, executor_ref on) {
  for_each_part(
      on, a.x.size(), sizeof(X) + sizeof(DY) + sizeof(DX),
      [&](std::size_t begin, std::size_t count) {
        kernel(a.x.data() + begin, a.dy.data() + begin, a.dx.data() + begin, count);
      },
      elements_per_line);
}

}  // namespace detail

/// f' = 1 where x > 0, 0 elsewhere. Exact.
template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void relu_backward(const X& x, const DY& dy, DX&& dx, executor_ref on = {}) {
  const auto a = detail::check_map_backward("halfway::relu_backward", x, dy, dx);
  using Config = detail::activation_backward_config<X, DY, DX>;
  detail::run_map_backward(HALFWAY_DISPATCH(ReluBackwardKernel<Config>), a, on);
}

/// f' = Phi(x) + x phi(x), phi the density. With t = |x|, the error of f' is at most (t^2 + 9) u
/// (Phi(-t) + t phi(t)), and by 2 u more where x > 0 (u = 2^-24); the t^2 only where t < 3.94.
template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void gelu_backward(const X& x, const DY& dy, DX&& dx, executor_ref on = {}) {
  const auto a = detail::check_map_backward("halfway::gelu_backward", x, dy, dx);
  using Config = detail::activation_backward_config<X, DY, DX>;
  detail::run_map_backward(HALFWAY_DISPATCH(GeluBackwardKernel<Config>), a, on);
}

/// f' of the tanh form. With s = 1 / (1 + e^2z), 2 z = a t + b t^3, t = |x| (a, b:
/// simd/gelu_table.h) and w = t (a + 3 b t^2) (1 - s), the error of f' is at most (4 |1 - w| +
/// 8 w + 1) u s, and by 2 u more where x > 0.
template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void gelu_tanh_backward(const X& x, const DY& dy, DX&& dx, executor_ref on = {}) {
  const auto a = detail::check_map_backward("halfway::gelu_tanh_backward", x, dy, dx);
  using Config = detail::activation_backward_config<X, DY, DX>;
  detail::run_map_backward(HALFWAY_DISPATCH(GeluTanhBackwardKernel<Config>), a, on);
}

/// f' = s (1 + w), s = 1 / (1 + e^-x), w = x (1 - s). The error of f' is at most (6 |1 + w| + 3
/// |w|) u s.
template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void silu_backward(const X& x, const DY& dy, DX&& dx, executor_ref on = {}) {
  const auto a = detail::check_map_backward("halfway::silu_backward", x, dy, dx);
  using Config = detail::activation_backward_config<X, DY, DX>;
  detail::run_map_backward(HALFWAY_DISPATCH(SiluBackwardKernel<Config>), a, on);
}

/// f' = 1 - tanh^2 x, computed without cancellation: relative error below 9 u, u = 2^-24.
template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void tanh_backward(const X& x, const DY& dy, DX&& dx, executor_ref on = {}) {
  const auto a = detail::check_map_backward("halfway::tanh_backward", x, dy, dx);
  using Config = detail::activation_backward_config<X, DY, DX>;
  detail::run_map_backward(HALFWAY_DISPATCH(TanhBackwardKernel<Config>), a, on);
}

/// f' = s (1 - s), s = 1 / (1 + e^-x): relative error below 9 u.
template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void sigmoid_backward(const X& x, const DY& dy, DX&& dx, executor_ref on = {}) {
  const auto a = detail::check_map_backward("halfway::sigmoid_backward", x, dy, dx);
  using Config = detail::activation_backward_config<X, DY, DX>;
  detail::run_map_backward(HALFWAY_DISPATCH(SigmoidBackwardKernel<Config>), a, on);
}

/// f' = 1 / (1 + e^-x), of softplus (ops/elementary.h): relative error below 2 u.
template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void softplus_backward(const X& x, const DY& dy, DX&& dx, executor_ref on = {}) {
  const auto a = detail::check_map_backward("halfway::softplus_backward", x, dy, dx);
  using Config = detail::activation_backward_config<X, DY, DX>;
  detail::run_map_backward(HALFWAY_DISPATCH(SoftplusBackwardKernel<Config>), a, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ACTIVATION_BACKWARD_H_
