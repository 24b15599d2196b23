// SPDX-License-Identifier: Apache-2.0
// The gradient of a large batch as the FP32 sum over micro-batches, each in whatever type it comes.
//
//   auto unscale = scaler.begin_unscale();
//   for (each micro-batch, of scale() * loss / count) {
//     ...                                          // backward, into 16 bits
//     unscale.accumulate(gradient16, gradient);    // gradient: float, of zeros at first
//   }
//   if (scaler.should_step()) optimizer.step(state, master, gradient, weights16);
//   scaler.update();
//
// 16-bit sums would lose what lies below half an ulp of them: of 256 equal bfloat16 gradients half.
// The scale must be the same for all micro-batches of a step, so update() comes after the last.
#ifndef HALFWAY_TRAINING_GRADIENT_ACCUMULATION_H_
#define HALFWAY_TRAINING_GRADIENT_ACCUMULATION_H_

#include <cmath>
#include <cstddef>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/ops/scale.h"
#include "halfway/simd/dispatch.h"

namespace halfway {

/// sum[i] += x[i] * factor, rounded once (FMA). Returns how many elements of sum are infinite or
/// NaN now: an overflow in one micro-batch, or in the sum, is seen by each later call too.
///
/// After k calls |error| <= k u / (1 - k u) * sum |x factor|, u = 2^-24, if nothing is subnormal
/// (Higham, Accuracy and Stability of Numerical Algorithms, 2002, equation 4.4). x holds float,
/// half, bfloat16, float8_*...
/// Errors: sizes that differ, null with a size, memory shared in part, a factor that is infinite or
/// NaN.
template <float_storage_vector X, float_output_vector Sum>
std::size_t accumulate_gradient(const X& x, Sum&& sum, float factor = 1) {
  constexpr std::string_view where = "halfway::accumulate_gradient";
  const auto from = detail::input_span(where, "x", x);
  const auto to = detail::output_span(where, "sum", sum);
  detail::check_same_size(where, "sum", to, "x", from);
  detail::check_apart_or_in_place(where, "x", from, "sum", to);
  if (!std::isfinite(factor)) {
    fail(detail::concat(where, ": factor (", factor, ") must be finite"));
  }
  return HALFWAY_DISPATCH(AddScaledKernel<detail::vector_element<X>>)(from.data(), to.data(),
                                                                      from.size(), factor);
}

}  // namespace halfway

#endif  // HALFWAY_TRAINING_GRADIENT_ACCUMULATION_H_
