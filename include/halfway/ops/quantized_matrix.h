// SPDX-License-Identifier: Apache-2.0
// Weights as int8 or int4 codes with scales, packed for gemm with float activations: what a decoder
// reads for each token, in a half or a quarter of the bytes of bfloat16.
//
//   const halfway::quantized_matrix<halfway::int4> w(codes, scales, 32);  // a scale for 32 rows
//   halfway::gemm(x, w, y);                                               // y = x * (codes * scales)
//
// quantization/groups.h makes codes and scales from weights.
#ifndef HALFWAY_OPS_QUANTIZED_MATRIX_H_
#define HALFWAY_OPS_QUANTIZED_MATRIX_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/core/scratch.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/gemm_tasks.h"
#include "halfway/simd/gemm_args.h"
#include "halfway/simd/gemm_layout.h"
#include "halfway/types/int4.h"
#include "halfway/types/int8.h"

namespace halfway {

/// Codes that weights can be stored as.
template <class T>
concept weight_code =
    std::same_as<T, int8> || std::same_as<T, std::int8_t> || std::same_as<T, int4>;

namespace detail {

template <class M, class T>
concept matrix_of = matrix_like<M> && std::same_as<std::remove_const_t<element_of<const M>>, T>;

}  // namespace detail

/// A k x n matrix whose element (i, j) stands for codes(i, j) * scales(i / group, j): a scale for
/// each column and each `group` rows. It holds its own copy, packed; the layout does not depend on
/// the CPU. Immutable: reading it from several threads is safe.
///
/// Memory: 8 or 4 bits for each element and 32 / group for its scale, with n rounded up to a
/// multiple of 32 columns, and k of int4 to one of 8 rows.
template <weight_code T>
class quantized_matrix {
 public:
  using value_type = T;  ///< int8 or int4

  quantized_matrix() = default;

  /// codes: k x n; scales: ceil(k / group) x n; any strides. `group` is a multiple of 8 (32, 64 and
  /// 128 are usual), or 0 for one scale a column. Errors: shapes that do not fit, another group.
  template <detail::matrix_of<T> Codes, detail::matrix_of<float> Scales>
  quantized_matrix(const Codes& codes, const Scales& scales, std::size_t group) {
    constexpr std::string_view where = "halfway::quantized_matrix";
    const matrix_view<const T> c = as_view(codes);
    const matrix_view<const float> s = as_view(scales);
    if (group % 8 != 0) [[unlikely]] {
      fail(detail::concat(where, ": group (", group, ") must be a multiple of 8, or 0"));
    }
    rows_ = c.rows();
    cols_ = c.cols();
    group_ = group != 0 ? group : detail::round_up(rows_ == 0 ? 1 : rows_, 8);
    const std::size_t groups = (rows_ + group_ - 1) / group_;
    detail::check_equal(where, "scales.rows", s.rows(), "ceil(codes.rows / group)", groups);
    detail::check_equal(where, "scales.cols", s.cols(), "codes.cols", cols_);
    panels_.resize(detail::packed_items<item>(rows_, cols_));
    scales_.resize(detail::packed_items<float>(groups, cols_));
    for (std::size_t j = 0, width; j < cols_; j += width) {
      width = detail::panel_width(cols_ - j);
      pack_panel(c, j, width);
      float* to = scales_.data() + j * groups;
      for (std::size_t g = 0; g < groups; ++g, to += width) {
        for (std::size_t q = 0; q < width && j + q < cols_; ++q) to[q] = s(g, j + q);
      }
    }
  }

  std::size_t rows() const { return rows_; }  ///< k, before it is rounded up
  std::size_t cols() const { return cols_; }  ///< n, before it is rounded up
  /// Rows that share a scale.
  std::size_t group() const { return group_; }
  /// Memory that codes and scales take.
  std::size_t bytes() const { return panels_.size() + scales_.size() * sizeof(float); }

 private:
  using item = std::conditional_t<std::same_as<T, int4>, detail::int4_pair, detail::int8_code>;
  static_assert(sizeof(item) == 1);

  // Columns [j, j + width) as a panel (simd/gemm_layout.h).
  void pack_panel(matrix_view<const T> codes, std::size_t j, std::size_t width) {
    constexpr std::size_t depth = detail::panel_depth<item>;
    constexpr std::size_t each = detail::panel_item<item>;
    item* to = panels_.data() + j * detail::padded_depth<item>(rows_) / each;
    const auto code = [&](std::size_t i, std::size_t q) {
      return i < rows_ && j + q < cols_ ? static_cast<int>(codes(i, j + q)) : 0;
    };
    for (std::size_t i = 0; i < rows_; i += depth) {
      for (std::size_t q = 0; q < width; ++q) {
        for (std::size_t d = 0; d < depth; d += each) {
          const int low = code(i + d, q);
          const int bits = each == 1 ? low : (low & 15) | code(i + d + 1, q) * 16;
          *to++ = static_cast<item>(bits & (each == 1 ? -1 : 255));
        }
      }
    }
  }

  friend detail::packed_access;
  template <class TA>
  detail::gemm_operands<TA, item> operands() const {
    return {.b = panels_.data(), .b_scales = scales_.data(), .b_group = group_};
  }

  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t group_ = 8;
  std::vector<item, detail::aligned_allocator<item>> panels_;
  std::vector<float, detail::aligned_allocator<float>> scales_;
};

/// As the gemm of matrices, where b's elements are codes times scales.
///
/// Shapes, options and errors as the gemm of matrices. a: any float format; c: float, half or
/// bfloat16.
///
/// Numbers: the codes are exact in FP32. The products of a group are summed in FP32 in the order of
/// k, the sum is multiplied by the scale and added to those of the groups before in one rounding
/// (two where the CPU has no fused multiply-add). With u = 2^-24, g rows in a group and G groups,
/// |error| <= (g + G + 3) u / (1 - (g + G + 3) u) * (|alpha| sum |a||b| + |beta c| + |bias|), plus
/// c's own rounding.
template <matrix_like A, weight_code T, matrix_like C>
void gemm(const A& a, const quantized_matrix<T>& b, C&& c, const gemm_options& options = {},
          executor_ref on = {}) {
  using TA = std::remove_const_t<element_of<A>>;
  using TC = element_of<C>;
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<TC> vc = as_view(c);
  detail::check_linear(va, b, vc, options);
  if (vc.empty()) return;
  detail::run_linear<true>(detail::packed_access::operands(va.data(), va, b),
                           detail::make_epilogue(vc, options), options, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_QUANTIZED_MATRIX_H_
