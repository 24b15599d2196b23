// SPDX-License-Identifier: Apache-2.0
// Rows of a table by number, and the gradient of the table.
//
//   halfway::matrix<halfway::bfloat16> table(vocabulary, 256), x(tokens.size(), 256);
//   halfway::embedding(table, tokens, x);                    // tokens: std::vector<std::int32_t>
//   halfway::embedding_backward(tokens, dx, dtable);         // adds to dtable, matrix<float>
#ifndef HALFWAY_OPS_EMBEDDING_H_
#define HALFWAY_OPS_EMBEDDING_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

namespace detail {

inline void check_row_numbers(std::string_view where, std::span<const std::int32_t> indices,
                              std::string_view table_name, std::size_t table_rows) {
  check_not_null(where, "indices", indices.data(), indices.size());
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] < 0 || static_cast<std::size_t>(indices[i]) >= table_rows) [[unlikely]] {
      fail(concat(where, ": indices[", i, "] (", indices[i], ") must be at least 0 and below ",
                  table_name, ".rows() (", table_rows, ")"));
    }
  }
}

}  // namespace detail

/// Row i of y = row indices[i] of the table, in y's type: copied where that is the table's, else
/// rounded once to nearest even, as by convert(). NaN stays NaN.
///
/// table: any number of rows; y: indices.size() x table.cols(); rows of contiguous elements, any
/// float formats. The same bits on every CPU and any executor.
///
/// Errors, before anything is written: shapes that do not fit, an index below 0 or not below
/// table.rows(), columns that do not lie side by side, y sharing memory with the table or the
/// indices.
template <float_storage_matrix Table, float_storage_output_matrix Y>
void embedding(const Table& table, std::span<const std::int32_t> indices, Y&& y,
               executor_ref on = {}) {
  constexpr std::string_view where = "halfway::embedding";
  using T = std::remove_const_t<element_of<const Table>>;
  using TY = element_of<Y>;
  const matrix_view<const T> from = as_view(table);
  const matrix_view<TY> to = as_view(y);
  detail::check_equal(where, "y.rows()", to.rows(), "indices.size()", indices.size());
  detail::check_equal(where, "y.cols()", to.cols(), "table.cols()", from.cols());
  detail::check_row_major(where, "table", from);
  detail::check_row_major(where, "y", to);
  detail::check_row_numbers(where, indices, "table", from.rows());
  detail::check_no_overlap(where, "y", "table", detail::overlap(to, from));
  detail::check_apart(where, "indices", indices, "y", to);
  if (to.empty()) return;
  detail::for_each_part(on, to.rows(), to.cols() * (sizeof(T) + sizeof(TY)),
                        [&](std::size_t begin, std::size_t count) {
                          for (std::size_t i = begin; i < begin + count; ++i) {
                            detail::convert_unchecked<overflow::ieee>(
                                from.row(static_cast<std::size_t>(indices[i])), to.row(i),
                                to.cols(), false, round_to_nearest_even());
                          }
                        });
}

/// embedding_backward's skip where no index is left out.
inline constexpr std::int32_t no_index = std::numeric_limits<std::int32_t>::min();

/// Adds to row indices[i] of dtable row i of dy, for each i: the gradient of the table of
/// embedding(). Indices equal to `skip` (of padding) contribute nothing.
///
/// dy: indices.size() x dtable.cols(), any float format; dtable is FP32 and keeps what it holds, so
/// that gradients of several batches add up: fill it with zeros first. Rows of contiguous elements.
///
/// In FP32, in the order of the indices, also where one repeats: the same bits on every CPU and any
/// executor (tasks divide the rows of the table). An element that r indices add to errs by at most
/// gamma(r) (|dtable before| + sum |dy|), gamma(r) = r u / (1 - r u), u = 2^-24. NaN and infinities
/// add as in IEEE 754.
///
/// Errors, before anything is written: as for embedding(); `skip` is no exception to the range.
template <float_storage_matrix DY>
void embedding_backward(std::span<const std::int32_t> indices, const DY& dy,
                        matrix_view<float> dtable, std::int32_t skip = no_index,
                        executor_ref on = {}) {
  constexpr std::string_view where = "halfway::embedding_backward";
  using T = std::remove_const_t<element_of<const DY>>;
  const matrix_view<const T> from = as_view(dy);
  detail::check_equal(where, "dy.rows()", from.rows(), "indices.size()", indices.size());
  detail::check_equal(where, "dy.cols()", from.cols(), "dtable.cols()", dtable.cols());
  detail::check_row_major(where, "dy", from);
  detail::check_row_major(where, "dtable", dtable);
  detail::check_row_numbers(where, indices, "dtable", dtable.rows());
  detail::check_no_overlap(where, "dtable", "dy", detail::overlap(dtable, from));
  detail::check_apart(where, "indices", indices, "dtable", dtable);
  if (from.empty()) return;
  using Config = detail::pair_config<T, float>;
  const auto kernel = HALFWAY_DISPATCH(AccumulateKernel<Config>);
  const auto add = [&](std::size_t first_row, std::size_t count) {
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const auto row = static_cast<std::size_t>(indices[i]);
      if (indices[i] == skip || row - first_row >= count) continue;
      kernel(from.row(i), dtable.row(row), from.cols());
    }
  };
  // What a task does is to look at all indices and to add its share of the rows.
  const std::size_t bytes_a_row =
      from.size() / dtable.rows() * (sizeof(T) + 2 * sizeof(float)) + sizeof(float);
  detail::for_each_part(on, dtable.rows(), bytes_a_row, add);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_EMBEDDING_H_
