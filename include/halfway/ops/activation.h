// SPDX-License-Identifier: Apache-2.0
// Activation functions of contiguous elements of any float format, computed in FP32: the same bits
// on every CPU.
//
//   std::vector<halfway::bfloat16> x = ..., y(x.size());
//   halfway::gelu(x, y);                    // or in place: gelu(x, x)
#ifndef HALFWAY_OPS_ACTIVATION_H_
#define HALFWAY_OPS_ACTIVATION_H_

#include <cstddef>

#include "halfway/core/executor.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

namespace detail {

template <class X, class Y>
void run_map(void (*kernel)(const X*, Y*, std::size_t), const map_arguments<X, Y>& a,
             executor_ref on) {
  for_each_part(
      on, a.x.size(), sizeof(X) + sizeof(Y),
      [&](std::size_t begin, std::size_t count) {
        kernel(a.x.data() + begin, a.y.data() + begin, count);
      },
      elements_per_line);
}

}  // namespace detail

// For all of them: x and y are contiguous ranges of one size, of any float formats; y may be x.
//
// Where both hold half, or both bfloat16, each result is correctly rounded, to nearest even: the
// bits of the function of types/math.h. Otherwise x is widened exactly, the function computed in
// FP32 and rounded once to y's type; the number of units in the last place (ULP) of the FP32 result
// is the largest error of all 2^32 floats (tests/ops/elementary_test.cc), subnormal arguments and
// results included. Where y has at most 11 digits, the FP32 result of gelu, gelu_tanh and silu errs
// by up to 2^-18 of its value (at most 8 digits: 2^-14), below 2^-14 by 2^-15; y shows that only
// where that lies within so much of the middle of two of its values. The same bits on every CPU,
// and whatever executes it.
//
// NaN gives NaN. The values at the infinities are the limits: gelu(-inf) is -0, not NaN.
//
// Errors: sizes that differ, null with a size, memory that x and y share in part or with elements
// of different sizes.

/// y[i] = max(x[i], 0). Exact; -0 stays -0.
template <float_storage_vector X, float_storage_output_vector Y>
void relu(const X& x, Y&& y, executor_ref on = {}) {
  const auto a = detail::check_map("halfway::relu", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  detail::run_map(HALFWAY_DISPATCH(ReluKernel<Config>), a, on);
}

/// y[i] = x[i] Phi(x[i]), Phi the distribution function of the standard normal distribution: the
/// exact ("erf") form. 0.99 ULP, also where the result is tiny (PyTorch's loses all digits below
/// -5).
template <float_storage_vector X, float_storage_output_vector Y>
void gelu(const X& x, Y&& y, executor_ref on = {}) {
  const auto a = detail::check_map("halfway::gelu", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  detail::run_map(HALFWAY_DISPATCH(GeluKernel<Config>), a, on);
}

/// y[i] = x[i] / 2 (1 + tanh(sqrt(2 / pi) (x[i] + 0.044715 x[i]^3))), the usual approximation of
/// gelu (Hendrycks and Gimpel, 2016). 0.982 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void gelu_tanh(const X& x, Y&& y, executor_ref on = {}) {
  const auto a = detail::check_map("halfway::gelu_tanh", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  detail::run_map(HALFWAY_DISPATCH(GeluTanhKernel<Config>), a, on);
}

/// y[i] = x[i] / (1 + e^-x[i]), also called swish. 0.96 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void silu(const X& x, Y&& y, executor_ref on = {}) {
  const auto a = detail::check_map("halfway::silu", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  detail::run_map(HALFWAY_DISPATCH(SiluKernel<Config>), a, on);
}

/// y[i] = the hyperbolic tangent of x[i]. 0.997 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void tanh(const X& x, Y&& y, executor_ref on = {}) {
  const auto a = detail::check_map("halfway::tanh", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  detail::run_map(HALFWAY_DISPATCH(TanhKernel<Config>), a, on);
}

/// y[i] = 1 / (1 + e^-x[i]). 0.98 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void sigmoid(const X& x, Y&& y, executor_ref on = {}) {
  const auto a = detail::check_map("halfway::sigmoid", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  detail::run_map(HALFWAY_DISPATCH(SigmoidKernel<Config>), a, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ACTIVATION_H_
