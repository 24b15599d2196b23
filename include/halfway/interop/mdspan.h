// SPDX-License-Identifier: Apache-2.0
// std::mdspan of rank 2 as an operand of halfway's operations, and back, without a copy.
//
//   std::mdspan x(data, rows, cols);
//   halfway::gemm(halfway::from_mdspan(x), w, y);
//   std::mdspan z = halfway::to_mdspan(y);                  // layout_stride
//
// `from_mdspan` takes whatever has mdspan's members: std::mdspan (libc++ 17, libstdc++ 15 in
// C++23), the reference implementation of Kokkos, and submdspans of both. `to_mdspan` is there
// where std::mdspan is.
#ifndef HALFWAY_INTEROP_MDSPAN_H_
#define HALFWAY_INTEROP_MDSPAN_H_

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <version>

#if defined(__cpp_lib_mdspan)
#include <mdspan>
#endif

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/interop/same_bits.h"

namespace halfway {

/// What has the members of std::mdspan and whose elements are what its pointer reaches.
template <class M>
concept mdspan_like = requires(const M& m) {
  typename M::element_type;
  typename M::extents_type;
  typename M::layout_type;
  { m.data_handle() } -> std::convertible_to<typename M::element_type*>;
  M::rank();
  m.is_strided();
}
&&std::same_as<typename M::reference, typename M::element_type&>;

/// The same memory as a matrix_view; elements of a type that same_bits knows (std::float16_t)
/// become halfway's. Valid as long as the memory. A rank other than 2 is an error when it compiles:
/// of a vector say by submdspan or a reshape whether it is a row or a column.
///
/// Errors: a layout without strides, a negative stride, two elements in one place (an mdspan that
/// is not unique), null data with elements.
template <mdspan_like M>
auto from_mdspan(const M& m) {
  static_assert(M::rank() == 2, "halfway::from_mdspan: the rank must be 2");
  constexpr std::string_view where = "halfway::from_mdspan";
  using T = typename M::element_type;
  if (!m.is_strided()) fail(detail::concat(where, ": the layout has no strides"));
  const auto rows = static_cast<std::size_t>(m.extent(0));
  const auto cols = static_cast<std::size_t>(m.extent(1));
  // Where there is one row (column) or no element, the strides lead nowhere and may be anything.
  const auto stride = [&](std::size_t i) -> std::size_t {
    const auto value = m.stride(i);
    if (m.extent(i) <= 1) return 1;
    if constexpr (std::is_signed_v<std::remove_const_t<decltype(value)>>) {
      if (value < 0) {
        fail(detail::concat(where, ": stride ", i, " (", value, ") of ", rows, " x ", cols,
                            " must not be below 0"));
      }
    }
    return static_cast<std::size_t>(value);
  };
  return detail::in_own_types(matrix_view<T>(m.data_handle(), rows, cols, stride(0), stride(1)));
}

#if defined(__cpp_lib_mdspan)
/// The matrix where it is, with its strides; const if the elements are. Where there is one row
/// (column) or no element the strides are such as an mdspan may have: above 0, and of no two
/// elements in one place. Error: rows whose elements lie between those of others (strides 3 and 2
/// of 2 x 2), which a matrix_view may have and layout_stride may not.
template <class M>
requires matrix_like<std::remove_reference_t<M>>
auto to_mdspan(M&& m) {
  const auto view = as_view(m);
  std::size_t row = view.empty() ? 1 : view.row_stride(),
              col = view.empty() ? 1 : view.col_stride();
  if (view.rows() <= 1) {
    row = col * std::max<std::size_t>(view.cols(), 1);
  } else if (view.cols() <= 1) {
    col = row * view.rows();
  }
  if (row < col * view.cols() && col < row * view.rows()) {
    fail(detail::concat("halfway::to_mdspan: strides ", row, " and ", col, " of ", view.rows(),
                        " x ", view.cols(),
                        " put rows between rows, which std::layout_stride does not have"));
  }
  using extents = std::dextents<std::size_t, 2>;
  return std::mdspan<element_of<std::remove_reference_t<M>>, extents, std::layout_stride>(
      view.data(), std::layout_stride::mapping<extents>(extents(view.rows(), view.cols()),
                                                        std::array{row, col}));
}
#endif

}  // namespace halfway

#endif  // HALFWAY_INTEROP_MDSPAN_H_
