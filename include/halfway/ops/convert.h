// SPDX-License-Identifier: Apache-2.0
// Bulk conversion between all element types, one rounding each.
//
//   std::vector<float> x = {0.1f, 1e6f};
//   std::vector<halfway::half> y(x.size());
//   halfway::convert(x, y);              // 0.1 to the nearest half; 1e6 becomes infinity
//   halfway::convert_saturating(x, y);   // 65504 instead
//   halfway::convert(x, y, halfway::round_toward_zero());
//   halfway::convert(x, y, halfway::round_stochastically{seed, first});
//
// Ranges are contiguous (std::vector, std::span, std::array, matrix::elements()); matrices may have
// strides.
#ifndef HALFWAY_OPS_CONVERT_H_
#define HALFWAY_OPS_CONVERT_H_

#include <algorithm>
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
#include "halfway/types/round_integer.h"
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

template <class ToType, overflow Overflow, class RoundingMode>
struct convert_rounded_config {
  using To = ToType;
  using Rounding = RoundingMode;
  static constexpr overflow kOverflow = Overflow;
};

/// One element, for the types that have no kernel: the scalar conversions, of which the kernels are
/// the fast form.
template <class To, overflow Overflow, class From, rounding_mode Rounding>
To convert_element(From x, Rounding rounding) {
  if constexpr (std::same_as<To, std::int8_t> || std::same_as<To, std::uint8_t>) {
    using Byte = small_int<8, std::is_signed_v<To>>;
    return static_cast<To>(static_cast<int>(cast<Byte, Overflow>(x, rounding)));
  } else if constexpr (std::same_as<To, std::int32_t>) {
    if constexpr (std::integral<decltype(widen(x))>) {
      return widen(x);
    } else {
      using limits = std::numeric_limits<std::int32_t>;
      const double d = static_cast<double>(widen(x));  // exact, and holds every std::int32_t
      return round_to_integer(d, limits::min(), limits::max(), rounding);
    }
  } else if constexpr (std::same_as<To, double>) {
    return static_cast<double>(widen(x));
  } else {
    return cast<To, Overflow>(x, rounding);
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

/// Modes that have kernels beside to nearest even.
template <class Rounding>
inline constexpr bool has_rounded_kernel =
    std::same_as<Rounding, round_toward_zero> || std::same_as<Rounding, round_stochastically>;

template <class Rounding>
constexpr Rounding rounding_from(Rounding rounding, [[maybe_unused]] std::uint64_t i) {
  if constexpr (std::same_as<Rounding, round_stochastically>) rounding.first += i;
  return rounding;
}

/// From float and to float, which is exact, there are kernels; between other types a buffer of
/// floats is between.
template <overflow Overflow, class From, class To, class Rounding>
void round_unchecked(const From* from, To* to, std::size_t n, Rounding rounding) {
  if constexpr (std::same_as<From, float>) {
    using Config = convert_rounded_config<To, effective_overflow<To, Overflow>(), Rounding>;
    HALFWAY_DISPATCH(ConvertRoundedKernel<Config>)(from, to, n, rounding);
  } else {
    constexpr std::size_t block = 1024;
    float wide[block];
    using Widen = convert_config<From, float, overflow::ieee>;
    for (std::size_t i = 0; i < n; i += block) {
      const std::size_t here = std::min(block, n - i);
      HALFWAY_DISPATCH(ConvertKernel<Widen>)(from + i, wide, here, false);
      round_unchecked<Overflow>(static_cast<const float*>(wide), to + i, here,
                                rounding_from(rounding, i));
    }
  }
}

/// `rounding` is that of the first element. Not inlined: callers have several calls of it.
template <overflow Overflow, class From, class To, class Rounding>
HWY_NOINLINE void convert_unchecked(const From* from, To* to, std::size_t n, bool stream,
                                    Rounding rounding) {
  constexpr bool is_nearest = std::same_as<Rounding, round_to_nearest_even>;
  constexpr bool clips_infinity = std::same_as<From, To> && Overflow == overflow::saturate &&
                                  std::numeric_limits<To>::has_infinity && is_minifloat_v<To>;
  if constexpr (same_values<From, To> && !clips_infinity) {
    if (n != 0 && static_cast<const void*>(from) != static_cast<const void*>(to))
      std::memcpy(to, from, n * sizeof(To));
  } else if constexpr (!clips_infinity && has_f32_kernel<From> && has_f32_kernel<To> &&
                       !std::same_as<To, float> && has_rounded_kernel<Rounding>) {
    round_unchecked<Overflow>(from, to, n, rounding);
  } else if constexpr (!clips_infinity && has_f32_kernel<From> && has_f32_kernel<To> &&
                       (is_nearest || std::same_as<To, float>)) {
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
    for (std::size_t i = 0; i < n; ++i)
      to[i] = convert_element<To, Overflow>(from[i], rounding_at(rounding, i));
  }
}

template <overflow Overflow, class From, class To, class Rounding>
void convert_ranges(std::string_view where, const From* from, std::size_t from_size, To* to,
                    std::size_t to_size, Rounding rounding, executor_ref on) {
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
        convert_unchecked<Overflow>(from + begin, to + begin, count, stream,
                                    rounding_from(rounding, begin));
      },
      elements_per_line);
}

template <class T>
matrix_view<T> rows_from(matrix_view<T> m, std::size_t begin, std::size_t count) {
  return {m.row(begin), count, m.cols(), m.row_stride(), m.col_stride()};
}

/// Row by row, so that elements are met in the order of their numbers.
template <overflow Overflow, class From, class To>
void convert_rows(matrix_view<const From> x, matrix_view<To> y, bool stream,
                  round_stochastically rounding) {
  for (std::size_t i = 0; i < y.rows(); ++i) {
    std::uint64_t number = std::uint64_t{i} * y.cols();
    for_each_run(rows_from(x, i, 1), rows_from(y, i, 1),  // one row's runs are in order
                 [&](const From* from, To* to, std::size_t n) {
                   convert_unchecked<Overflow>(from, to, n, stream,
                                               rounding_from(rounding, number));
                   number += n;
                 });
  }
}
template <overflow Overflow, class From, class To, class Rounding>
void convert_rows(matrix_view<const From> x, matrix_view<To> y, bool stream, Rounding rounding) {
  for_each_run(x, y, [&](const From* from, To* to, std::size_t n) {
    convert_unchecked<Overflow>(from, to, n, stream, rounding);
  });
}

template <overflow Overflow, class From, class To, class Rounding>
void convert_matrices(std::string_view where, matrix_view<const From> x, matrix_view<To> y,
                      Rounding rounding, executor_ref on) {
  check_equal(where, "x.rows()", x.rows(), "y.rows()", y.rows());
  check_equal(where, "x.cols()", x.cols(), "y.cols()", y.cols());
  check_no_overlap(where, "x", "y", !same_places(x, y) && overlap(x, y));
  const bool stream = streams(y.size() * sizeof(To), x.data(), y.data());
  constexpr bool numbers_elements = std::same_as<Rounding, round_stochastically>;
  if (!numbers_elements && y.col_stride() != 1) {  // so that a part is of whole columns
    x = x.transposed();
    y = y.transposed();
  }
  for_each_part(on, y.rows(), y.cols() * (sizeof(From) + sizeof(To)),
                [&](std::size_t begin, std::size_t count) {
                  convert_rows<Overflow>(rows_from(x, begin, count), rows_from(y, begin, count),
                                         stream, rounding_from(rounding, begin * y.cols()));
                });
}

template <overflow Overflow, class X, class Y, class Rounding>
void convert_any(std::string_view where, const X& x, Y& y, Rounding rounding, executor_ref on) {
  if constexpr (convertible_range<X> && convertible_output<Y>) {
    convert_ranges<Overflow>(where, std::ranges::data(x), std::ranges::size(x),
                             std::ranges::data(y), std::ranges::size(y), rounding, on);
  } else {
    using From = std::remove_const_t<element_of<const X>>;
    convert_matrices<Overflow, From>(where, matrix_view<const From>(as_view(x)), as_view(y),
                                     rounding, on);
  }
}

/// Two ranges or two matrices.
template <class X, class Y>
concept convertible = (convertible_range<X> && convertible_output<Y>) ||
                      (convertible_matrix<X> && convertible_output_matrix<Y>);

}  // namespace detail

/// y[i] = x[i] in y's type: the same bits as the scalar conversion of each element
/// (types/minifloat.h has the policy for NaN, signed zero and formats without them), on every CPU.
///
/// x and y are contiguous ranges of one size, or matrices of one shape and any strides; the latter
/// are as fast where both are row-major or both column-major.
///
/// Widening is exact. Narrowing rounds once, to nearest, ties to even; past the largest finite
/// value it gives infinity, or what the format has in its place. Integers round to nearest even and
/// saturate, with NaN as 0. Elements of one type are copied, bit for bit. Relies on the default
/// rounding mode; flush-to-zero and denormals-are-zero matter only between float and double.
///
/// Fast between float and any type of 16 or 8 bits, and among half, bfloat16, float8_e4m3fn and
/// float8_e5m2; a little slower between other narrow types; double and std::int32_t go element by
/// element (and round once: there is no float between).
///
/// y may be x's own memory where elements have the same size. Errors: sizes that differ, null with
/// a size, any other overlap.
template <class X, class Y>
requires detail::convertible<X, Y>
void convert(const X& x, Y&& y, executor_ref on = {}) {
  detail::convert_any<overflow::ieee>("halfway::convert", x, y, round_to_nearest_even(), on);
}

/// The same, but past the largest finite value, and for infinities, that value with the sign (as
/// saturate_cast, for which float and double as a target keep infinity).
template <class X, class Y>
requires detail::convertible<X, Y>
void convert_saturating(const X& x, Y&& y, executor_ref on = {}) {
  detail::convert_any<overflow::saturate>("halfway::convert_saturating", x, y,
                                          round_to_nearest_even(), on);
}

/// The same with another rounding mode of types/rounding.h: the bits of `ieee_cast<To>(x[i],
/// rounding)`, where round_stochastically{seed, first} rounds element i by random word first + i of
/// the seed, so that no CPU, executor or division into calls changes a bit. A matrix's elements are
/// numbered row after row, whatever the strides. From double too there is one rounding. The CPU's
/// own rounding mode, and whether it flushes subnormals, do not matter.
///
/// Roundings are independent where the words' numbers differ: a training step that converts n
/// elements passes first = step * n.
template <class X, class Y, rounding_mode Rounding>
requires detail::convertible<X, Y>
void convert(const X& x, Y&& y, Rounding rounding, executor_ref on = {}) {
  detail::convert_any<overflow::ieee>("halfway::convert", x, y, rounding, on);
}

/// As convert with another rounding mode and convert_saturating in one: past the largest finite
/// value, and for infinities, that value with the sign.
template <class X, class Y, rounding_mode Rounding>
requires detail::convertible<X, Y>
void convert_saturating(const X& x, Y&& y, Rounding rounding, executor_ref on = {}) {
  detail::convert_any<overflow::saturate>("halfway::convert_saturating", x, y, rounding, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_CONVERT_H_
