// SPDX-License-Identifier: Apache-2.0
// Weights as int8 or int4 with a scale for each column and group of rows, for gemm to decode.
//
//   const auto w4 = halfway::quantize_groups<halfway::int4>(w, 32);   // w: k x n floats
//   halfway::gemm(x, w4, y);                                          // x: m x k, y: m x n
#ifndef HALFWAY_QUANTIZATION_GROUPS_H_
#define HALFWAY_QUANTIZATION_GROUPS_H_

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/quantized_matrix.h"
#include "halfway/types/dtype.h"
#include "halfway/types/int4.h"

namespace halfway {

namespace detail {

inline void check_group(std::string_view where, std::size_t group) {
  if (group % 8 != 0) [[unlikely]] {
    fail(concat(where, ": group (", group, ") must be a multiple of 8, or 0"));
  }
}

}  // namespace detail

/// Codes and scales before they are packed: element (i, j) stands for codes(i, j) * scales(i /
/// group, j). A last group of fewer rows has a scale of its own, too.
template <weight_code T>
struct group_codes {
  group_codes() = default;
  /// Of zeros. Error: `group` is not a multiple of 8.
  group_codes(std::size_t rows, std::size_t cols, std::size_t rows_of_group)
      : group(rows_of_group) {
    detail::check_group("halfway::group_codes", group);
    codes = matrix<T>(rows, cols);
    scales = matrix<float>((rows + rows_in_group() - 1) / rows_in_group(), cols);
  }

  /// For gemm.
  quantized_matrix<T> packed() const { return quantized_matrix<T>(codes, scales, group); }

  /// Rows that share a scale.
  std::size_t rows_in_group() const {
    return group != 0 ? group : std::max<std::size_t>(codes.rows(), 1);
  }

  matrix<T> codes;        ///< k x n, one a byte
  matrix<float> scales;   ///< ceil(k / group) x n, or 1 x n
  std::size_t group = 0;  ///< 0: one scale a column
};

/// w(i, j) as codes(i, j) * scales(i / group, j), with scales = (largest |w| of the group) / 127
/// for int8 and / 7 for int4, and codes = round(w / scale), ties to even (symmetric: no zero point;
/// the lowest code is not used). |w - code * scale| <= scale / 2, but for FP32's rounding of the
/// quotient. A group whose scale would be zero or subnormal gets scale 0.
///
/// w: k x n of any float format and strides; `group` a multiple of 8, or 0 for one scale a column.
/// Errors: another group; a weight that is infinite or NaN.
template <weight_code T, matrix_like W>
requires float_storage<std::remove_const_t<element_of<const W>>> group_codes<T> choose_group_codes(
    const W& w, std::size_t group) {
  constexpr float largest_code = std::same_as<T, int4> ? 7.0f : 127.0f;
  const matrix_view<const std::remove_const_t<element_of<const W>>> v = as_view(w);
  group_codes<T> q(v.rows(), v.cols(), group);
  const std::size_t step = q.rows_in_group();
  matrix<T>& codes = q.codes;
  matrix<float>& scales = q.scales;
  for (std::size_t g = 0; g < scales.rows(); ++g) {
    const std::size_t end = std::min(v.rows(), (g + 1) * step);
    for (std::size_t i = g * step; i < end; ++i) {
      for (std::size_t j = 0; j < v.cols(); ++j) {
        const float x = std::abs(static_cast<float>(v(i, j)));
        if (!std::isfinite(x)) [[unlikely]] {
          fail(detail::concat("halfway::quantize_groups: w(", i, ", ", j, ") (",
                              static_cast<float>(v(i, j)), ") must be finite"));
        }
        scales(g, j) = std::max(scales(g, j), x);
      }
    }
    for (std::size_t j = 0; j < v.cols(); ++j) {
      const float scale = scales(g, j) / largest_code;
      scales(g, j) = scale < std::numeric_limits<float>::min() ? 0.0f : scale;
    }
    for (std::size_t i = g * step; i < end; ++i) {
      for (std::size_t j = 0; j < v.cols(); ++j) {
        const float x = static_cast<float>(v(i, j));
        const float code = scales(g, j) == 0.0f ? 0.0f : std::nearbyint(x / scales(g, j));
        codes(i, j) = static_cast<T>(static_cast<int>(code));
      }
    }
  }
  return q;
}

/// The same, packed for gemm.
template <weight_code T, matrix_like W>
requires float_storage<std::remove_const_t<element_of<const W>>> quantized_matrix<T>
quantize_groups(const W& w, std::size_t group) {
  return choose_group_codes<T>(w, group).packed();
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_GROUPS_H_
