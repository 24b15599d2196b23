// SPDX-License-Identifier: Apache-2.0
// Affine quantization to 8 bits and fewer, per tensor and per row, with ONNX's semantics.
//
//   const auto params = halfway::choose_affine_params(-1.0f, 1.0f, halfway::dtype::int8);
//   std::vector<halfway::int8> q(x.size());
//   halfway::quantize(x, q, params);      // q = saturate(round(x / scale) + zero_point)
//   halfway::dequantize(q, y, params);    // y = (q - zero_point) * scale
//
// Where every output channel of a weight matrix has parameters of its own, make the channels rows;
// a view does it:
//
//   const auto channels = w.view().transposed();
//   const auto params = halfway::choose_row_params(channels, halfway::dtype::int8,
//                                                  halfway::affine_scheme::symmetric);
//   halfway::quantize_rows(channels, q.view().transposed(), params);
#ifndef HALFWAY_QUANTIZATION_AFFINE_H_
#define HALFWAY_QUANTIZATION_AFFINE_H_

#include <cmath>
#include <cstddef>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/core/runs.h"
#include "halfway/quantization/affine_params.h"     // IWYU pragma: export
#include "halfway/quantization/min_max_observer.h"  // IWYU pragma: export
#include "halfway/simd/dispatch.h"
#include "halfway/simd/storage.h"
#include "halfway/types/dtype.h"

namespace halfway {

namespace detail {

template <class Range>
concept code_range_like = std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range> &&
    int8_storage<std::ranges::range_value_t<Range>>;
template <class Range>
concept writable_range =
    !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<Range>>>;

template <class M>
concept code_matrix = matrix_like<M> && int8_storage<std::remove_const_t<element_of<M>>>;
// An Eigen vector, for one, is a range and a matrix.
template <class M>
concept code_matrix_only = code_matrix<M> && !code_range_like<M>;
template <class M>
concept writable_matrix = !std::is_const_v<element_of<M>>;

template <class FromType, class ToType>
struct affine_config {
  using From = FromType;
  using To = ToType;
};

// `name()` names the parameters.
template <class Name>
void check_params(std::string_view where, const Name& name, const affine_params& params,
                  const code_limits& codes) {
  if (!(std::isnormal(params.scale) && params.scale > 0.0f)) [[unlikely]] {
    fail(concat(where, ": ", name(), ".scale (", params.scale,
                ") must be positive, finite and not subnormal"));
  }
  if (params.zero_point < codes.lowest || params.zero_point > codes.largest) [[unlikely]] {
    fail(concat(where, ": ", name(), ".zero_point (", params.zero_point, ") must be from ",
                codes.lowest, " to ", codes.largest));
  }
}

// The parameters of one row, or of all where there is no row.
inline void check_params(std::string_view where, const affine_params& params,
                         const code_limits& codes, std::optional<std::size_t> row = std::nullopt) {
  check_params(
      where, [&] { return row ? concat("params[", *row, "]") : std::string("params"); }, params,
      codes);
}

template <class Code>
void check_params(std::string_view where, const affine_params& params,
                  std::optional<std::size_t> row = std::nullopt) {
  check_params(where, params, limits_of_codes(where, dtype_of<Code>), row);
}

// Quantizes where To is a code, dequantizes where From is.
template <class From, class To>
void affine_unchecked(const From* from, To* to, std::size_t n, const affine_params& params) {
  using Config = affine_config<From, To>;
  if constexpr (int8_storage<To>) {
    HALFWAY_DISPATCH(QuantizeKernel<Config>)(from, to, n, params.scale, params.zero_point);
  } else {
    HALFWAY_DISPATCH(DequantizeKernel<Config>)(from, to, n, params.scale, params.zero_point);
  }
}

template <class From, class To>
void affine_unchecked(matrix_view<const From> from, matrix_view<To> to,
                      const affine_params& params) {
  for_each_run(from, to, [&](const From* in, To* out, std::size_t n) {
    affine_unchecked(in, out, n, params);
  });
}

// Names for messages: the function and its two ranges or matrices.
struct affine_names {
  std::string_view where, from, to;

  void check_equal(std::string_view what, std::size_t from_value, std::size_t to_value) const {
    if (from_value != to_value) [[unlikely]] {
      detail::check_equal(where, concat(from, what), from_value, concat(to, what), to_value);
    }
  }
};

template <class Code, class From, class To>
void affine_ranges(const affine_names& names, const From* from, std::size_t from_size, To* to,
                   std::size_t to_size, const affine_params& params) {
  names.check_equal(".size()", from_size, to_size);
  check_not_null(names.where, names.from, from, from_size);
  check_not_null(names.where, names.to, to, to_size);
  const bool in_place =
      sizeof(From) == sizeof(To) && static_cast<const void*>(from) == static_cast<const void*>(to);
  const bool shared = ranges_overlap(from, from_size * sizeof(From), to, to_size * sizeof(To));
  check_no_overlap(names.where, names.from, names.to, shared && !in_place);
  check_params<Code>(names.where, params);
  affine_unchecked(from, to, from_size, params);
}

template <class From, class To>
void check_affine_matrices(const affine_names& names, matrix_view<const From> from,
                           matrix_view<To> to) {
  names.check_equal(".rows()", from.rows(), to.rows());
  names.check_equal(".cols()", from.cols(), to.cols());
  check_no_overlap(names.where, names.from, names.to, !same_places(from, to) && overlap(from, to));
}

template <class Code, class From, class To>
void affine_matrices(const affine_names& names, matrix_view<const From> from, matrix_view<To> to,
                     const affine_params& params) {
  check_affine_matrices(names, from, to);
  check_params<Code>(names.where, params);
  affine_unchecked(from, to, params);
}

template <class Code, class From, class To>
void affine_rows(const affine_names& names, matrix_view<const From> from, matrix_view<To> to,
                 std::span<const affine_params> params) {
  check_affine_matrices(names, from, to);
  if (params.size() != from.rows()) [[unlikely]] {
    check_equal(names.where, "params.size()", params.size(), concat(names.from, ".rows()"),
                from.rows());
  }
  for (std::size_t i = 0; i < params.size(); ++i) check_params<Code>(names.where, params[i], i);
  if (from.empty()) return;
  for (std::size_t i = 0; i < from.rows(); ++i) {
    affine_unchecked(from.block(i, 0, 1, from.cols()), to.block(i, 0, 1, to.cols()), params[i]);
  }
}

template <class M>
auto const_view(const M& m) {
  using T = std::remove_const_t<element_of<const M>>;
  return matrix_view<const T>(as_view(m));
}

}  // namespace detail

/// q[i] = saturate(round(x[i] / scale) + zero_point): ONNX's QuantizeLinear. One float division,
/// then to the nearest integer, ties to even; the same codes on every CPU. Infinities saturate; NaN
/// becomes zero_point, the code of 0.
///
/// x: float or any minifloat; q: int8, uint8, int4, uint4 (one a byte), std::int8_t or
/// std::uint8_t. Relies on the default rounding mode. Errors: sizes that differ, null with a size,
/// memory shared in part, a scale that is not positive, finite and normal, a zero point that is no
/// code.
template <detail::observable_range X, detail::code_range_like Q>
requires detail::writable_range<Q>
void quantize(const X& x, Q&& q, const affine_params& params) {
  detail::affine_ranges<std::ranges::range_value_t<Q>>(
      {"halfway::quantize", "x", "q"}, std::ranges::data(x), std::ranges::size(x),
      std::ranges::data(q), std::ranges::size(q), params);
}

/// The same for matrices of one shape and any strides.
template <detail::observable_matrix X, detail::code_matrix_only Q>
requires detail::writable_matrix<Q>
void quantize(const X& x, Q&& q, const affine_params& params) {
  detail::affine_matrices<element_of<Q>>({"halfway::quantize", "x", "q"}, detail::const_view(x),
                                         as_view(q), params);
}

/// The same with params[i] for row i. Error besides: params.size() is not the number of rows.
template <detail::observable_matrix X, detail::code_matrix Q>
requires detail::writable_matrix<Q>
void quantize_rows(const X& x, Q&& q, std::span<const affine_params> params) {
  detail::affine_rows<element_of<Q>>({"halfway::quantize_rows", "x", "q"}, detail::const_view(x),
                                     as_view(q), params);
}

/// y[i] = (q[i] - zero_point) * scale: ONNX's DequantizeLinear. The difference is exact, the
/// product rounded to float, and again to y's type where that is narrower. Types and errors as for
/// quantize.
template <detail::code_range_like Q, detail::observable_range Y>
requires detail::writable_range<Y>
void dequantize(const Q& q, Y&& y, const affine_params& params) {
  detail::affine_ranges<std::ranges::range_value_t<Q>>(
      {"halfway::dequantize", "q", "y"}, std::ranges::data(q), std::ranges::size(q),
      std::ranges::data(y), std::ranges::size(y), params);
}

/// The same for matrices of one shape and any strides.
template <detail::code_matrix_only Q, detail::observable_matrix Y>
requires detail::writable_matrix<Y>
void dequantize(const Q& q, Y&& y, const affine_params& params) {
  detail::affine_matrices<std::remove_const_t<element_of<const Q>>>(
      {"halfway::dequantize", "q", "y"}, detail::const_view(q), as_view(y), params);
}

/// The same with params[i] for row i.
template <detail::code_matrix Q, detail::observable_matrix Y>
requires detail::writable_matrix<Y>
void dequantize_rows(const Q& q, Y&& y, std::span<const affine_params> params) {
  detail::affine_rows<std::remove_const_t<element_of<const Q>>>(
      {"halfway::dequantize_rows", "q", "y"}, detail::const_view(q), as_view(y), params);
}

/// Parameters for each row of x, from its smallest and largest element (choose_affine_params).
/// Error: an element that is infinite or NaN.
template <detail::observable_matrix X>
std::vector<affine_params> choose_row_params(const X& x, dtype type,
                                             affine_scheme scheme = affine_scheme::asymmetric) {
  constexpr std::string_view where = "halfway::choose_row_params";
  detail::limits_of_codes(where, type);
  const auto v = detail::const_view(x);
  std::vector<affine_params> params;
  params.reserve(v.rows());
  for (std::size_t i = 0; i < v.rows(); ++i) {
    min_max_observer observer;
    observer.observe(v.block(i, 0, 1, v.cols()));
    if (observer.non_finite_count() != 0) {
      fail(detail::concat(where, ": row ", i, " of x has ", observer.non_finite_count(),
                          " infinite or NaN elements"));
    }
    const bool nothing = v.cols() == 0;
    params.push_back(choose_affine_params(nothing ? 0.0f : observer.min(),
                                          nothing ? 0.0f : observer.max(), type, scheme));
  }
  return params;
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_AFFINE_H_
