// SPDX-License-Identifier: Apache-2.0
// What the row operations ask of their arguments, and how they check it: before anything is
// written.
#ifndef HALFWAY_OPS_ROW_ARGUMENTS_H_
#define HALFWAY_OPS_ROW_ARGUMENTS_H_

#include <algorithm>
#include <cstddef>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/simd/row_args.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// Elements side by side of a type that converts exactly to float: std::vector<half>,
/// std::span<const float>, std::array...
template <class Range>
concept float_storage_vector = std::ranges::contiguous_range<Range> &&
    std::ranges::sized_range<Range> && float_storage<std::ranges::range_value_t<Range>>;

/// The same, and they can be written.
template <class Range>
concept float_storage_output_vector = float_storage_vector<Range> &&
    !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<Range>>>;

/// A matrix of a type that converts exactly to float.
template <class M>
concept float_storage_matrix = matrix_like<M> && float_storage<std::remove_const_t<element_of<M>>>;

/// The same, and it can be written.
template <class M>
concept float_storage_output_matrix = float_storage_matrix<M> && !std::is_const_v<element_of<M>>;

namespace detail {

template <float_storage_vector Range>
using vector_element = std::ranges::range_value_t<Range>;

template <float_storage_vector Range>
std::span<const vector_element<Range>> input_span(std::string_view where, std::string_view name,
                                                  const Range& x) {
  check_not_null(where, name, std::ranges::data(x), std::ranges::size(x));
  return {std::ranges::data(x), std::ranges::size(x)};
}

template <float_storage_output_vector Range>
std::span<vector_element<Range>> output_span(std::string_view where, std::string_view name,
                                             Range& y) {
  check_not_null(where, name, std::ranges::data(y), std::ranges::size(y));
  return {std::ranges::data(y), std::ranges::size(y)};
}

template <class X, class Y>
void check_same_size(std::string_view where, std::string_view y_name, std::span<Y> y,
                     std::string_view x_name, std::span<X> x) {
  if (y.size() != x.size()) [[unlikely]] {
    check_equal(where, concat(y_name, ".size()"), y.size(), concat(x_name, ".size()"), x.size());
  }
}

// Apart, or element on element of one size: then each is read before it is written.
template <class X, class Y>
void check_apart_or_in_place(std::string_view where, std::string_view x_name, std::span<X> x,
                             std::string_view y_name, std::span<Y> y) {
  const bool in_place = sizeof(X) == sizeof(Y) &&
                        static_cast<const void*>(x.data()) == static_cast<const void*>(y.data());
  check_no_overlap(where, x_name, y_name,
                   !in_place && ranges_overlap(x.data(), x.size_bytes(), y.data(), y.size_bytes()));
}
template <class X, class Y>
void check_apart_or_in_place(std::string_view where, std::string_view x_name, matrix_view<X> x,
                             std::string_view y_name, matrix_view<Y> y) {
  check_no_overlap(where, x_name, y_name, !same_places(x, y) && overlap(x, y));
}

// x and y of y[i] = f(x[i]), checked.
template <class X, class Y>
struct map_arguments {
  std::span<const X> x;
  std::span<Y> y;
};
template <float_storage_vector X, float_storage_output_vector Y>
map_arguments<vector_element<X>, vector_element<Y>> check_map(std::string_view where, const X& x,
                                                              Y& y) {
  const auto vx = input_span(where, "x", x);
  const auto vy = output_span(where, "y", y);
  check_same_size(where, "y", vy, "x", vx);
  check_apart_or_in_place(where, "x", vx, "y", vy);
  return {vx, vy};
}

// x, dy and dx of dx[i] = dy[i] f'(x[i]), checked.
template <class X, class DY, class DX>
struct map_backward_arguments {
  std::span<const X> x;
  std::span<const DY> dy;
  std::span<DX> dx;
};
template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
map_backward_arguments<vector_element<X>, vector_element<DY>, vector_element<DX>>
check_map_backward(std::string_view where, const X& x, const DY& dy, DX& dx) {
  const auto vx = input_span(where, "x", x);
  const auto vdy = input_span(where, "dy", dy);
  const auto vdx = output_span(where, "dx", dx);
  check_same_size(where, "dy", vdy, "x", vx);
  check_same_size(where, "dx", vdx, "x", vx);
  check_apart_or_in_place(where, "x", vx, "dx", vdx);
  check_apart_or_in_place(where, "dy", vdy, "dx", vdx);
  return {vx, vdy, vdx};
}

template <class X, class Y>
void check_same_shape(std::string_view where, std::string_view y_name, matrix_view<Y> y,
                      std::string_view x_name, matrix_view<X> x) {
  if (y.rows() != x.rows()) [[unlikely]] {
    check_equal(where, concat(y_name, ".rows()"), y.rows(), concat(x_name, ".rows()"), x.rows());
  }
  if (y.cols() != x.cols()) [[unlikely]] {
    check_equal(where, concat(y_name, ".cols()"), y.cols(), concat(x_name, ".cols()"), x.cols());
  }
}

template <class T>
void check_row_major(std::string_view where, std::string_view name, matrix_view<T> m) {
  if (!m.is_row_major()) [[unlikely]] {
    fail(concat(where, ": ", name, ".col_stride() (", m.col_stride(), ") must be 1"));
  }
}

// One value for each column, or none.
template <class T, class M>
void check_per_column(std::string_view where, std::string_view name, std::span<T> v,
                      std::string_view x_name, matrix_view<M> x) {
  if (!v.empty() && v.size() != x.cols()) [[unlikely]] {
    check_equal(where, concat(name, ".size()"), v.size(), concat(x_name, ".cols()"), x.cols());
  }
}

// Vector v apart from the matrix m.
template <class T, class M>
void check_apart(std::string_view where, std::string_view v_name, std::span<T> v,
                 std::string_view m_name, matrix_view<M> m) {
  check_no_overlap(where, v_name, m_name,
                   ranges_overlap(v.data(), v.size_bytes(), m.data(), m.extent() * sizeof(M)));
}

// x and y of y.row(i) = f(x.row(i)): one shape, rows of contiguous elements, apart or in place.
template <class X, class Y>
void check_row_map(std::string_view where, std::string_view x_name, matrix_view<X> x,
                   std::string_view y_name, matrix_view<Y> y) {
  check_same_shape(where, y_name, y, x_name, x);
  check_row_major(where, x_name, x);
  check_row_major(where, y_name, y);
  check_apart_or_in_place(where, x_name, x, y_name, y);
}

// A parameter for each column of y, or none, apart from y.
template <class T, class X, class Y>
void check_parameter(std::string_view where, std::string_view name, std::span<T> v,
                     std::string_view x_name, matrix_view<X> x, std::string_view y_name,
                     matrix_view<Y> y) {
  check_per_column(where, name, v, x_name, x);
  check_apart(where, name, v, y_name, y);
}

template <class T>
row_block<T> rows_of(matrix_view<T> m) {
  return {m.data(), m.row_stride()};
}

// How many of `n` pieces of work, each of which moves `bytes` bytes, a task takes on: four tasks a
// thread, so that threads of unequal speed end together, but none that is shorter than its start.
inline std::size_t pieces_per_task(executor_ref on, std::size_t n, std::size_t bytes) {
  constexpr std::size_t least_bytes = std::size_t{64} << 10;
  const std::size_t threads = on.threads();
  if (threads == 1) return n;
  const std::size_t share = (n + 4 * threads - 1) / (4 * threads);
  return std::max(share, least_bytes / (bytes + 1) + 1);
}

// Parts of element-wise operations begin at multiples of this, so that no two write to one cache
// line.
inline constexpr std::size_t elements_per_line = 64;

// Calls f(begin, count) for parts of [0, n) that are as many as `on` runs well; `bytes` are what
// each of the n moves. Parts begin at multiples of `unit`.
template <class F>
void for_each_part(executor_ref on, std::size_t n, std::size_t bytes, const F& f,
                   std::size_t unit = 1) {
  const std::size_t pieces = pieces_per_task(on, n, bytes);
  if (pieces >= n) return f(std::size_t{0}, n);
  const std::size_t each = (pieces + unit - 1) / unit * unit;
  on.run((n + each - 1) / each, [&](std::size_t task) {
    const std::size_t begin = task * each;
    f(begin, std::min(each, n - begin));
  });
}

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_OPS_ROW_ARGUMENTS_H_
