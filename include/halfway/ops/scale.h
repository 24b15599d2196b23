// SPDX-License-Identifier: Apache-2.0
// Gradients back to their true size, and what is wrong with them, in one pass over memory.
//
//   std::vector<halfway::half> scaled(1000);  // gradients of scale * loss
//   std::vector<float> gradients(scaled.size());
//   const bool overflow = halfway::unscale(scaled, gradients, 1.0f / scale) != 0;
//
// Ranges are contiguous: std::vector, std::span, std::array, matrix::elements().
#ifndef HALFWAY_OPS_SCALE_H_
#define HALFWAY_OPS_SCALE_H_

#include <cmath>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/ops/reduce.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"

namespace halfway {

/// Floats side by side that can be written.
template <class Range>
concept float_output_vector =
    float_storage_output_vector<Range> && std::same_as < std::ranges::range_value_t<Range>,
float > ;

/// y[i] = x[i] * factor, one float product each (rounded once, to nearest even; exact where factor
/// is a power of two and nothing underflows). Returns how many elements of y are infinite or NaN:
/// those of x, and those that a factor above 1 pushed past the range. y is written in full,
/// non-finite elements included.
///
/// x holds float, half, bfloat16, float8_*... Formats without infinity can't show an overflow if
/// they were written saturating. y may be x itself (of float).
/// Errors: sizes that differ, null with a size, memory shared in part, a factor that is infinite or
/// NaN.
template <float_storage_vector X, float_output_vector Y>
std::size_t unscale(const X& x, Y&& y, float factor) {
  constexpr std::string_view where = "halfway::unscale";
  const auto from = detail::input_span(where, "x", x);
  const auto to = detail::output_span(where, "y", y);
  detail::check_same_size(where, "y", to, "x", from);
  detail::check_apart_or_in_place(where, "x", from, "y", to);
  if (!std::isfinite(factor)) {
    fail(detail::concat(where, ": factor (", factor, ") must be finite"));
  }
  return HALFWAY_DISPATCH(UnscaleKernel<detail::vector_element<X>>)(from.data(), to.data(),
                                                                    from.size(), factor);
}

/// x[i] *= factor, with the same count.
template <float_output_vector X>
std::size_t unscale(X&& x, float factor) {
  return unscale(x, x, factor);
}

/// How many elements are infinite or NaN. Error: null with a size.
template <float_storage_vector X>
std::size_t count_non_finite(const X& x) {
  const auto from = detail::input_span("halfway::count_non_finite", "x", x);
  return HALFWAY_DISPATCH(CountNonFiniteKernel<detail::vector_element<X>>)(from.data(),
                                                                           from.size());
}

/// The largest absolute value, exactly: what a scale for a narrow format is chosen from. NaN if any
/// element is NaN, 0 if x is empty. Error: null with a size.
template <float_storage_vector X>
float amax(const X& x, executor_ref on = {}) {
  const auto from = detail::input_span("halfway::amax", "x", x);
  return detail::reduce(on, from, HALFWAY_DISPATCH(AmaxKernel<detail::vector_element<X>>),
                        HALFWAY_DISPATCH(AmaxKernel<float>));
}

}  // namespace halfway

#endif  // HALFWAY_OPS_SCALE_H_
