// SPDX-License-Identifier: Apache-2.0
// A linear layer with int8 weights, a scale for each output channel, and activations quantized on
// the fly, row by row (dynamic), or with parameters from calibration (static).
//
//   const halfway::quantized_linear layer(w, bias);     // w: k x n floats
//   layer.dynamic(x, y);                                // x: m x k, y: m x n floats
//   layer.with_params(x, params, y);                    // params: of x, for uint8
#ifndef HALFWAY_QUANTIZATION_QUANTIZED_LINEAR_H_
#define HALFWAY_QUANTIZATION_QUANTIZED_LINEAR_H_

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/quantization/affine.h"
#include "halfway/simd/dispatch.h"
#include "halfway/types/int8.h"

namespace halfway {

/// y = x * w + bias with w as int8 codes(p, j) * scales[j], k x n. It holds its own copy of all.
/// Immutable: use from several threads is safe.
///
/// Numbers: with uint8 codes q of a row, their zero point z and scale s,
///
///   y(i, j) = fma(float(sum over p of (q(i, p) - z) * codes(p, j)), s * scales[j], bias[j])
///
/// The sum is exact for any k: rows of w are summed in parts of 65,536, which int32 holds (255 *
/// 128 * 65,536 < 2^31), and parts in int64. Then there are three roundings: of the sum to float,
/// of s * scales[j], and of the fma. The same bits on every CPU and executor.
class quantized_linear {
 public:
  quantized_linear() = default;

  /// From codes and the scale of each column, as GPTQ, learned step sizes or a checkpoint have
  /// them; bias: n values, or empty. Errors: sizes that do not fit; a scale that is not positive,
  /// finite and normal.
  template <matrix_like Codes>
  requires std::same_as<std::remove_const_t<element_of<const Codes>>, int8> quantized_linear(
      const Codes& codes, std::span<const float> scales, std::span<const float> bias = {}) {
    constexpr std::string_view where = "halfway::quantized_linear";
    const matrix_view<const int8> v = as_view(codes);
    detail::check_equal(where, "scales.size", scales.size(), "codes.cols", v.cols());
    if (!bias.empty()) detail::check_equal(where, "bias.size", bias.size(), "codes.cols", v.cols());
    for (std::size_t j = 0; j < scales.size(); ++j) {
      if (!(std::isnormal(scales[j]) && scales[j] > 0.0f)) {
        fail(detail::concat(where, ": scales[", j, "] (", scales[j],
                            ") must be positive, finite and not subnormal"));
      }
    }
    rows_ = v.rows();
    scales_.assign(scales.begin(), scales.end());
    bias_.assign(bias.begin(), bias.end());
    for (std::size_t p = 0; p == 0 || p < rows_; p += part_rows) {
      parts_.emplace_back(v.block(p, 0, std::min(part_rows, rows_ - p), v.cols()));
    }
    column_sums_.resize(v.cols());
    for (std::size_t p = 0; p < rows_; ++p) {
      for (std::size_t j = 0; j < v.cols(); ++j) column_sums_[j] += static_cast<int>(v(p, j));
    }
  }

  /// w (any float format and strides) with scales = max |w| / 127 for each column
  /// (choose_row_params, symmetric). Errors: a weight that is infinite or NaN; a bias of another
  /// size.
  template <detail::observable_matrix W>
  explicit quantized_linear(const W& w, std::span<const float> bias = {})
      : quantized_linear(quantize_columns(detail::const_view(w)), bias) {}

  std::size_t rows() const { return rows_; }                 ///< k, the layer's inputs
  std::size_t cols() const { return scales_.size(); }        ///< n, the layer's outputs
  std::span<const float> scales() const { return scales_; }  ///< of the columns of w

  /// y = x * w + bias with each row of x quantized to uint8 from its own smallest and largest
  /// element (choose_row_params, asymmetric).
  ///
  /// x: m x rows(), any float format and strides; y: m x cols(), float, half or bfloat16, rows side
  /// by side. Errors: shapes that do not fit; an element of x that is infinite or NaN; y sharing
  /// memory with x.
  template <detail::observable_matrix X, matrix_like Y>
  requires gemm_float_output<element_of<Y>>
  void dynamic(const X& x, Y&& y, executor_ref on = {}) const {
    const auto v = detail::const_view(x);
    const matrix_view<element_of<Y>> out = as_view(y);
    check("halfway::quantized_linear::dynamic", v, out);
    run(v, choose_row_params(v, dtype::uint8), out, on);
  }

  /// The same with parameters for all of x, for uint8, as from calibrate(observer, dtype::uint8);
  /// NaN counts as zero and infinities saturate. Errors: shapes that do not fit; a scale that is
  /// not positive, finite and normal; a zero point outside 0 to 255; y sharing memory with x.
  template <detail::observable_matrix X, matrix_like Y>
  requires gemm_float_output<element_of<Y>>
  void with_params(const X& x, const affine_params& params, Y&& y, executor_ref on = {}) const {
    const auto v = detail::const_view(x);
    const matrix_view<element_of<Y>> out = as_view(y);
    check("halfway::quantized_linear::with_params", v, out);
    detail::check_params<uint8>("halfway::quantized_linear::with_params", params);
    run(v, std::vector<affine_params>(v.rows(), params), out, on);
  }

 private:
  static constexpr std::size_t part_rows = 65536;

  struct columns {
    matrix<int8> codes;
    std::vector<float> scales;
  };

  quantized_linear(const columns& c, std::span<const float> bias)
      : quantized_linear(c.codes, c.scales, bias) {}

  template <class T>
  static columns quantize_columns(matrix_view<const T> w) {
    const auto params = choose_row_params(w.transposed(), dtype::int8, affine_scheme::symmetric);
    columns c{matrix<int8>(w.rows(), w.cols()), {}};
    quantize_rows(w.transposed(), c.codes.view().transposed(), params);
    for (const affine_params& p : params) c.scales.push_back(p.scale);
    return c;
  }

  template <class T, class TY>
  void check(std::string_view where, matrix_view<const T> x, matrix_view<TY> y) const {
    detail::check_equal(where, "x.cols", x.cols(), "rows", rows());
    detail::check_equal(where, "y.rows", y.rows(), "x.rows", x.rows());
    detail::check_equal(where, "y.cols", y.cols(), "cols", cols());
    detail::check_no_overlap(where, "y", "x", detail::overlap(x, y));
    if (!y.is_row_major())
      fail(detail::concat(where, ": y.col_stride (", y.col_stride(), ") must be 1"));
  }

  template <class T, class TY>
  void run(matrix_view<const T> x, const std::vector<affine_params>& params, matrix_view<TY> y,
           executor_ref on) const {
    if (y.empty()) return;
    matrix<uint8> codes(x.rows(), x.cols());
    quantize_rows(x, codes, params);
    matrix<std::int32_t> sums(y.rows(), y.cols());
    matrix<std::int64_t> totals(parts_.size() > 1 ? y.rows() : 0, y.cols());
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      gemm(codes.view().block(0, p * part_rows, x.rows(), parts_[p].rows()), parts_[p], sums, on);
      for (std::size_t i = 0; i < totals.size(); ++i) {
        totals.elements()[i] += sums.elements()[i];
      }
    }
    std::vector<float> row(y.cols());
    for (std::size_t i = 0; i < y.rows(); ++i) {
      const std::int32_t z = params[i].zero_point;
      for (std::size_t j = 0; j < row.size(); ++j) {
        const std::int64_t sum = parts_.size() > 1 ? totals(i, j) : sums(i, j);
        row[j] = static_cast<float>(sum - z * column_sums_[j]);
      }
      HALFWAY_DISPATCH(ScaleSumsKernel<TY>)
      (row.data(), params[i].scale, scales_.data(), bias_.empty() ? nullptr : bias_.data(),
       y.row(i), row.size());
    }
  }

  std::size_t rows_ = 0;
  std::vector<packed_matrix<int8>> parts_;
  std::vector<std::int64_t> column_sums_;
  std::vector<float> scales_;
  std::vector<float> bias_;
};

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_QUANTIZED_LINEAR_H_
