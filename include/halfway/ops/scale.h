// SPDX-License-Identifier: Apache-2.0
// Gradients back to their true size, and what is wrong with them, in one pass over memory.
//
//   std::vector<halfway::half> scaled = ...;            // gradients of scale * loss
//   std::vector<float> gradients(scaled.size());
//   if (halfway::unscale(scaled, gradients, 1.0f / scale) != 0) ...   // overflow: skip this step
//
// Ranges are contiguous: std::vector, std::span, std::array, matrix::elements().
#ifndef HALFWAY_OPS_SCALE_H_
#define HALFWAY_OPS_SCALE_H_

#include <cmath>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <span>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/simd/dispatch.h"
#include "halfway/types/dtype.h"

namespace halfway {

namespace detail {

// Elements side by side, of a type that kernels widen to f32.
template <class Range>
concept float_storage_range = std::ranges::contiguous_range<Range> &&
    std::ranges::sized_range<Range> && float_storage<std::ranges::range_value_t<Range>>;

template <class Range>
concept float_output_range =
    std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range> &&
    std::same_as < std::ranges::range_reference_t<Range>,
float& > ;

}  // namespace detail

// y[i] = x[i] * factor, as one float product each (rounded once, to nearest even; exact where
// factor is a power of two and nothing underflows). Returns the number of elements of y that are
// infinite or NaN: those of x, and those that a factor above 1 pushed past the range. y is written
// in full, non-finite elements included.
//
// T: float, half, bfloat16, float8_*. Formats without infinity can't tell an overflow if they were
// written saturating. y may be x itself (T = float). Errors: sizes that differ, null with a size,
// memory shared in part, a factor that is infinite or NaN.
template <detail::float_storage_range X, detail::float_output_range Y>
std::size_t unscale(const X& x, Y&& y, float factor) {
  using T = std::ranges::range_value_t<X>;
  constexpr std::string_view where = "halfway::unscale";
  const std::span<const T> from(x);
  const std::span<float> to(y);
  detail::check_equal(where, "y.size()", to.size(), "x.size()", from.size());
  detail::check_not_null(where, "x", from.data(), from.size());
  detail::check_not_null(where, "y", to.data(), to.size());
  if (!std::isfinite(factor)) {
    fail(detail::concat(where, ": factor (", factor, ") must be finite"));
  }
  const bool in_place =
      std::same_as<T, float> && static_cast<const void*>(from.data()) == to.data();
  detail::check_no_overlap(where, "x", "y",
                           !in_place && detail::ranges_overlap(from.data(), from.size_bytes(),
                                                               to.data(), to.size_bytes()));
  return HALFWAY_DISPATCH(UnscaleKernel<T>)(from.data(), to.data(), from.size(), factor);
}

// x[i] *= factor, with the same count.
template <detail::float_output_range X>
std::size_t unscale(X&& x, float factor) {
  return unscale(std::span<const float>(x), std::span<float>(x), factor);
}

// How many elements are infinite or NaN. Error: null with a size.
template <detail::float_storage_range X>
std::size_t count_non_finite(const X& x) {
  using T = std::ranges::range_value_t<X>;
  const std::span<const T> from(x);
  detail::check_not_null("halfway::count_non_finite", "x", from.data(), from.size());
  return HALFWAY_DISPATCH(CountNonFiniteKernel<T>)(from.data(), from.size());
}

// The largest absolute value, exactly: what a scale for a narrow format is chosen from. NaN if any
// element is NaN, 0 if x is empty. Error: null with a size.
template <detail::float_storage_range X>
float amax(const X& x) {
  using T = std::ranges::range_value_t<X>;
  const std::span<const T> from(x);
  detail::check_not_null("halfway::amax", "x", from.data(), from.size());
  return HALFWAY_DISPATCH(AmaxKernel<T>)(from.data(), from.size());
}

}  // namespace halfway

#endif  // HALFWAY_OPS_SCALE_H_
