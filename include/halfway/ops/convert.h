// SPDX-License-Identifier: Apache-2.0
// Bulk conversion between all element types, one rounding each.
//
//   std::vector<float> x = {0.1f, 1e6f};
//   std::vector<halfway::half> y(x.size());
//   halfway::convert(x, y);              // 0.1 to the nearest half; 1e6 becomes infinity
//   halfway::convert_saturating(x, y);   // 65504 instead
//
// Ranges are contiguous (std::vector, std::span, std::array, matrix::elements()); matrices may have
// strides.
#ifndef HALFWAY_OPS_CONVERT_H_
#define HALFWAY_OPS_CONVERT_H_

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <ranges>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/core/runs.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/storage.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/cast.h"
#include "halfway/types/dtype.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "halfway/types/int8.h"
#include "halfway/types/rounding.h"

namespace halfway {

/// float, double, every minifloat, int8, uint8, int4, uint4 (one a byte), and std::int8_t,
/// std::uint8_t, std::int32_t.
template <class T>
concept convertible_element = float_storage<T> || int_storage<T> || std::same_as<T, double> ||
    std::same_as<T, std::int8_t> || std::same_as<T, std::uint8_t> || std::same_as<T, std::int32_t>;

namespace detail {

template <class Range>
concept convertible_range = std::ranges::contiguous_range<Range> &&
    std::ranges::sized_range<Range> && convertible_element<std::ranges::range_value_t<Range>>;

template <class Range>
concept convertible_output = convertible_range<Range> &&
    !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<Range>>>;

template <class M>
concept convertible_matrix =
    matrix_like<M> && convertible_element<std::remove_const_t<element_of<M>>>;

template <class M>
concept convertible_output_matrix = convertible_matrix<M> && !std::is_const_v<element_of<M>>;

/// An Eigen vector, for one, is a range and a matrix.
template <class X, class Y>
concept not_both_ranges = !convertible_range<X> || !convertible_range<Y>;

/// One kernel serves both policies where they agree: integers, and formats without infinity and
/// NaN.
template <class To, overflow Overflow>
constexpr overflow effective_overflow() {
  if constexpr (is_minifloat_v<To>) {
    if constexpr (To::format::nan != nan_encoding::none) return Overflow;
  }
  return overflow::ieee;
}

template <class FromType, class ToType, overflow Overflow>
struct convert_config {
  using From = FromType;
  using To = ToType;
  static constexpr overflow kOverflow = Overflow;
};

/// One element, for the types that have no kernel: the scalar conversions, of which the kernels are
/// the fast form.
template <class To, overflow Overflow, class From>
To convert_element(From x) {
  const auto wide = widen(x);
  if constexpr (std::same_as<To, std::int8_t> || std::same_as<To, std::uint8_t>) {
    return static_cast<To>(static_cast<int>(small_int<8, std::is_signed_v<To>>(wide)));
  } else if constexpr (std::same_as<To, std::int32_t>) {
    if constexpr (std::integral<decltype(wide)>) {
      return wide;
    } else {
      using limits = std::numeric_limits<std::int32_t>;
      const double d = static_cast<double>(wide);  // exact, and holds every std::int32_t
      if (d != d) return 0;
      return static_cast<std::int32_t>(
          std::clamp<double>(std::nearbyint(d), limits::min(), limits::max()));
    }
  } else if constexpr (std::same_as<To, double>) {
    return static_cast<double>(wide);
  } else {
    return cast<To, Overflow>(x, round_to_nearest_even());
  }
}

/// Elements that vectors of f32 widen exactly, and round once from f32.
template <class T>
inline constexpr bool has_f32_kernel = std::same_as<T, float> || narrow_storage<T>;

/// Pairs worth a kernel of their own; others go through a buffer of floats, so that code grows with
/// the types, not their pairs.
template <class T>
inline constexpr bool has_direct_kernel =
    std::same_as<T, half> || std::same_as<T, bfloat16> || std::same_as<T, float8_e4m3fn> ||
    std::same_as<T, float8_e5m2>;

template <class From, class To>
inline constexpr bool same_values = std::same_as<From, To> ||
                                    (std::same_as<raw_of<From>, raw_of<To>> && int8_storage<From> &&
                                     int8_storage<To> &&
                                     std::numeric_limits<From>::digits ==
                                         std::numeric_limits<To>::digits);

template <overflow Overflow, class From, class To>
void convert_unchecked(const From* from, To* to, std::size_t n, bool stream) {
  constexpr bool clips_infinity = std::same_as<From, To> && Overflow == overflow::saturate &&
                                  std::numeric_limits<To>::has_infinity && is_minifloat_v<To>;
  if constexpr (same_values<From, To> && !clips_infinity) {
    if (n != 0 && static_cast<const void*>(from) != static_cast<const void*>(to))
      std::memcpy(to, from, n * sizeof(To));
  } else if constexpr (!clips_infinity && has_f32_kernel<From> && has_f32_kernel<To>) {
    if constexpr (std::same_as<From, float> || std::same_as<To, float> ||
                  (has_direct_kernel<From> && has_direct_kernel<To>)) {
      using Config = convert_config<From, To, effective_overflow<To, Overflow>()>;
      HALFWAY_DISPATCH(ConvertKernel<Config>)(from, to, n, stream);
    } else {
      constexpr std::size_t block = 1024;
      float wide[block];
      using Widen = convert_config<From, float, overflow::ieee>;
      using Narrow = convert_config<float, To, effective_overflow<To, Overflow>()>;
      for (std::size_t i = 0; i < n; i += block) {
        const std::size_t here = std::min(block, n - i);
        HALFWAY_DISPATCH(ConvertKernel<Widen>)(from + i, wide, here, false);
        HALFWAY_DISPATCH(ConvertKernel<Narrow>)(wide, to + i, here, false);
      }
    }
  } else {
    for (std::size_t i = 0; i < n; ++i) to[i] = convert_element<To, Overflow>(from[i]);
  }
}

template <overflow Overflow, class From, class To>
void convert_ranges(std::string_view where, const From* from, std::size_t from_size, To* to,
                    std::size_t to_size, executor_ref on) {
  check_equal(where, "x.size()", from_size, "y.size()", to_size);
  check_not_null(where, "x", from, from_size);
  check_not_null(where, "y", to, to_size);
  const bool in_place =
      sizeof(From) == sizeof(To) && static_cast<const void*>(from) == static_cast<const void*>(to);
  check_no_overlap(
      where, "x", "y",
      !in_place && ranges_overlap(from, from_size * sizeof(From), to, to_size * sizeof(To)));
  const bool stream = streams(to_size * sizeof(To), from, to);
  for_each_part(
      on, from_size, sizeof(From) + sizeof(To),
      [&](std::size_t begin, std::size_t count) {
        convert_unchecked<Overflow>(from + begin, to + begin, count, stream);
      },
      elements_per_line);
}

template <class T>
matrix_view<T> rows_from(matrix_view<T> m, std::size_t begin, std::size_t count) {
  return {m.row(begin), count, m.cols(), m.row_stride(), m.col_stride()};
}

template <overflow Overflow, class From, class To>
void convert_matrices(std::string_view where, matrix_view<const From> x, matrix_view<To> y,
                      executor_ref on) {
  check_equal(where, "x.rows()", x.rows(), "y.rows()", y.rows());
  check_equal(where, "x.cols()", x.cols(), "y.cols()", y.cols());
  check_no_overlap(where, "x", "y", !same_places(x, y) && overlap(x, y));
  const bool stream = streams(y.size() * sizeof(To), x.data(), y.data());
  if (y.col_stride() != 1) {  // so that a part is of whole columns
    x = x.transposed();
    y = y.transposed();
  }
  for_each_part(on, y.rows(), y.cols() * (sizeof(From) + sizeof(To)),
                [&](std::size_t begin, std::size_t count) {
                  for_each_run(rows_from(x, begin, count), rows_from(y, begin, count),
                               [&](const From* from, To* to, std::size_t n) {
                                 convert_unchecked<Overflow>(from, to, n, stream);
                               });
                });
}

template <overflow Overflow, class X, class Y>
void convert_matrix_like(std::string_view where, const X& x, Y& y, executor_ref on) {
  using From = std::remove_const_t<element_of<const X>>;
  convert_matrices<Overflow, From>(where, matrix_view<const From>(as_view(x)), as_view(y), on);
}

}  // namespace detail

/// y[i] = x[i] in y's type: the same bits as the scalar conversion of each element
/// (types/minifloat.h has the policy for NaN, signed zero and formats without them), on every CPU.
///
/// Widening is exact. Narrowing rounds once, to nearest, ties to even; past the largest finite
/// value it gives infinity, or what the format has in its place. Integers round to nearest even and
/// saturate, with NaN as 0. Elements of one type are copied, bit for bit. Relies on the default
/// rounding mode; flush-to-zero and denormals-are-zero matter only between float and double.
///
/// Fast between float and any type of 16 or 8 bits, and among half, bfloat16, float8_e4m3fn and
/// float8_e5m2; a little slower between other narrow types; double and std::int32_t go element by
/// element.
///
/// y may be x's own memory where elements have the same size. Errors: sizes that differ, null with
/// a size, any other overlap.
template <detail::convertible_range X, detail::convertible_output Y>
void convert(const X& x, Y&& y, executor_ref on = {}) {
  detail::convert_ranges<overflow::ieee>("halfway::convert", std::ranges::data(x),
                                         std::ranges::size(x), std::ranges::data(y),
                                         std::ranges::size(y), on);
}

/// The same, but past the largest finite value, and for infinities, that value with the sign (as
/// saturate_cast, for which float and double as a target keep infinity).
template <detail::convertible_range X, detail::convertible_output Y>
void convert_saturating(const X& x, Y&& y, executor_ref on = {}) {
  detail::convert_ranges<overflow::saturate>("halfway::convert_saturating", std::ranges::data(x),
                                             std::ranges::size(x), std::ranges::data(y),
                                             std::ranges::size(y), on);
}

/// y(i, j) = x(i, j) for matrices of one shape and any strides; as fast where both are row-major or
/// both column-major.
template <detail::convertible_matrix X, detail::convertible_output_matrix Y>
requires detail::not_both_ranges<X, Y>
void convert(const X& x, Y&& y, executor_ref on = {}) {
  detail::convert_matrix_like<overflow::ieee>("halfway::convert", x, y, on);
}

template <detail::convertible_matrix X, detail::convertible_output_matrix Y>
requires detail::not_both_ranges<X, Y>
void convert_saturating(const X& x, Y&& y, executor_ref on = {}) {
  detail::convert_matrix_like<overflow::saturate>("halfway::convert_saturating", x, y, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_CONVERT_H_
