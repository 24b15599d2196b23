// SPDX-License-Identifier: Apache-2.0
// How B lies in memory once it is packed for GEMM. The same on every SIMD target, so that a packed
// matrix can be kept.
//
// Columns are cut into panels of 64; the last one may be 32 wide; it is filled up with zeros. A
// panel holds, step by step along k, the elements of its columns side by side; a step takes
// two bfloat16, four int8 or eight int4 of each column together, which are as large as a lane of the
// sum: dot product instructions add up neighbours along k. 64 columns are four vectors of 16 lanes, eight of 8 or sixteen of 4.
#ifndef HALFWAY_SIMD_GEMM_LAYOUT_H_
#define HALFWAY_SIMD_GEMM_LAYOUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/types/bfloat16.h"

namespace halfway::detail {

inline constexpr std::size_t panel_columns = 64;
inline constexpr std::size_t panel_granule = 32;

// Of a row of sums that is finished at once: two panels.
inline constexpr std::size_t most_columns_at_once = 2 * panel_columns;

// int8 that is widened to float, not multiplied as it is.
enum class int8_code : std::int8_t {};

// Two int4 in the array of a packed panel, the first in the lower bits.
enum class int4_pair : std::uint8_t {};

// Elements of a column that a step takes together.
template <class T>
inline constexpr std::size_t panel_depth = std::is_same_v<T, bfloat16>      ? 2
                                           : std::is_same_v<T, std::int8_t> ? 4
                                           : std::is_same_v<T, int4_pair>   ? 8
                                                                            : 1;

// Elements in an item of the panel's array.
template <class T>
inline constexpr std::size_t panel_item = std::is_same_v<T, int4_pair> ? 2 : 1;

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// The width of the panel whose first column is followed by `left` columns, itself counted.
constexpr std::size_t panel_width(std::size_t left) {
  return std::min(panel_columns, round_up(left, panel_granule));
}

// Elements along k with the filling of the last step. The panel whose first column is j starts at
// element j * padded_depth.
template <class T>
constexpr std::size_t padded_depth(std::size_t k) {
  return round_up(k, panel_depth<T>);
}

// Items of all panels of a k x n matrix.
template <class T>
constexpr std::size_t packed_items(std::size_t k, std::size_t n) {
  return round_up(n, panel_granule) * padded_depth<T>(k) / panel_item<T>;
}

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_GEMM_LAYOUT_H_
