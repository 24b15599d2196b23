// SPDX-License-Identifier: Apache-2.0
// ONNX's quantization operators under their names, arguments in ONNX's order, so that models move
// across with the same codes.
//
//   const float scale[] = {0.1f};
//   const std::int32_t zero_point[] = {3};
//   halfway::onnx::quantize_linear(x, scale, zero_point, y);
//   halfway::onnx::mat_mul_integer(a, b, c, a_zero_point, b_zero_point);
//
//   operator                here                     the faster call for its common case
//   QuantizeLinear          quantize_linear          quantize, quantize_rows, quantize_blocks
//   DequantizeLinear        dequantize_linear        dequantize, dequantize_rows, dequantize_blocks
//   DynamicQuantizeLinear   dynamic_quantize_linear
//   MatMulInteger           mat_mul_integer          gemm (no zero points, b signed)
//   QLinearMatMul           q_linear_mat_mul         gemm_requantized (b signed, without zero point)
//
// Source: ONNX operator specification, opset 21, and where it leaves the arithmetic open, its
// reference implementation in float32 (which ONNX Runtime's agrees with). Types of 16-bit integers,
// and tensors of more than two dimensions, are not here: view a tensor as a matrix of the extent
// before, and from, its axis.
#ifndef HALFWAY_QUANTIZATION_ONNX_H_
#define HALFWAY_QUANTIZATION_ONNX_H_

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
#include "halfway/quantization/affine.h"
#include "halfway/quantization/blocks.h"
#include "halfway/types/cast.h"

/// The quantization operators of ONNX, by their names, attributes and edge cases, so that a model
/// that was quantized elsewhere gives the same codes.
namespace halfway::onnx {

/// Attributes of QuantizeLinear and DequantizeLinear.
struct linear_attributes {
  /// Which dimension of the matrix scales belong to, where there is more than one: 0, 1, or from
  /// the end -1, -2.
  int axis = 1;
  /// Elements along the axis that share a scale; 0 for one scale, or one for each index of the
  /// axis.
  std::size_t block_size = 0;
};

namespace detail {

using halfway::detail::check_equal;
using halfway::detail::concat;
using halfway::detail::const_view;

// The parameters as those of blocks, and the shape of the blocks.
struct linear_blocks {
  matrix<affine_params> params;
  block_shape shape;
};

inline linear_blocks blocks_of(std::string_view where, std::size_t rows, std::size_t cols,
                               std::span<const float> scale,
                               std::span<const std::int32_t> zero_point,
                               const linear_attributes& attributes) {
  const int axis = attributes.axis < 0 ? attributes.axis + 2 : attributes.axis;
  if (axis != 0 && axis != 1) {
    fail(concat(where, ": axis (", attributes.axis, ") must be from -2 to 1"));
  }
  linear_blocks b;
  if (attributes.block_size != 0) {
    b.shape =
        axis == 0 ? block_shape{attributes.block_size, 1} : block_shape{1, attributes.block_size};
  } else if (scale.size() != 1) {
    b.shape = axis == 0 ? block_shape{1, 0} : block_shape{0, 1};
  }
  const halfway::detail::block_grid grid(rows, cols, b.shape);
  b.params = matrix<affine_params>(grid.block_rows(), grid.block_cols());
  if (b.params.size() == 0 && scale.size() == 1) return b;
  check_equal(where, "scale.size", scale.size(), "the number of blocks", b.params.size());
  if (!zero_point.empty()) {
    check_equal(where, "zero_point.size", zero_point.size(), "scale.size", scale.size());
  }
  for (std::size_t i = 0; i < scale.size(); ++i) {
    b.params.elements()[i] = {scale[i], zero_point.empty() ? 0 : zero_point[i]};
  }
  return b;
}

}  // namespace detail

/// QuantizeLinear: y = saturate(round_half_to_even(x / scale) + zero_point); to 8-bit floats the
/// nearest to x / scale, saturated (the attribute `saturate` at its default of 1).
///
/// scale: one value (per tensor), one for each index of the axis, or, with a block size, one for
/// each block, row-major in the shape of x with the axis divided (rounded up: a last block may be
/// smaller). zero_point: as many, or none, which stands for 0 (also for unsigned codes: so does
/// ONNX). x: any float format; y: int8, uint8, int4, uint4 or an 8-bit float. x / scale is one
/// float division. NaN becomes zero_point, which ONNX leaves open; in floats it stays NaN.
///
/// Errors: those of quantize_blocks; another number of scales or zero points; another axis.
template <halfway::detail::observable_matrix X, halfway::detail::block_code_matrix Y>
void quantize_linear(const X& x, std::span<const float> scale,
                     std::span<const std::int32_t> zero_point, Y&& y,
                     const linear_attributes& attributes = {}) {
  const auto v = detail::const_view(x);
  const detail::linear_blocks b = detail::blocks_of("halfway::onnx::quantize_linear", v.rows(),
                                                    v.cols(), scale, zero_point, attributes);
  quantize_blocks(v, y, b.params, b.shape);
}

/// DequantizeLinear: y = (x - zero_point) * scale. As above, the other way.
template <halfway::detail::block_code_matrix X, halfway::detail::observable_matrix Y>
void dequantize_linear(const X& x, std::span<const float> scale,
                       std::span<const std::int32_t> zero_point, Y&& y,
                       const linear_attributes& attributes = {}) {
  const auto v = detail::const_view(x);
  const detail::linear_blocks b = detail::blocks_of("halfway::onnx::dequantize_linear", v.rows(),
                                                    v.cols(), scale, zero_point, attributes);
  dequantize_blocks(v, y, b.params, b.shape);
}

/// DynamicQuantizeLinear: writes uint8 codes of x to y and returns the scale and zero point, which
/// are outputs of the operator. In float, each operation rounded:
///
///   scale = (max(0, max x) - min(0, min x)) / 255
///   zero_point = round_half_to_even(clamp(0 - min(0, min x) / scale, 0, 255))
///
/// For x of zeros, or empty, ONNX divides zero by zero; here as in ONNX Runtime scale is 1 and
/// zero_point 0. (choose_affine_params computes in double, and may differ in the last bit.)
///
/// Errors: an element that is infinite or NaN; a range that overflows float; a scale below float's
/// normal numbers; shapes that do not fit.
template <halfway::detail::observable_matrix X, halfway::detail::code_matrix Y>
requires std::same_as<element_of<Y>, uint8> || std::same_as<element_of<Y>, std::uint8_t>
    affine_params dynamic_quantize_linear(const X& x, Y&& y) {
  constexpr std::string_view where = "halfway::onnx::dynamic_quantize_linear";
  min_max_observer range;
  range.observe(detail::const_view(x));
  if (range.non_finite_count() != 0) {
    fail(detail::concat(where, ": x has ", range.non_finite_count(), " infinite or NaN elements"));
  }
  const float low = std::min(range.min(), 0.0f), high = std::max(range.max(), 0.0f);
  affine_params params;
  if (low != high) {
    params.scale = (high - low) / 255.0f;
    if (!std::isnormal(params.scale)) {
      fail(detail::concat(where, ": x from ", range.min(), " to ", range.max(),
                          " has no finite, normal scale"));
    }
    params.zero_point = static_cast<std::int32_t>(
        std::nearbyint(std::clamp(0.0f - low / params.scale, 0.0f, 255.0f)));
  }
  quantize(x, y, params);
  return params;
}

namespace detail {

// Zero points of `count` rows or columns, where one stands for all and none for 0.
template <class T>
void check_zero_points(std::string_view where, std::string_view name,
                       std::span<const std::int32_t> points, std::size_t count) {
  if (points.size() > 1)
    check_equal(where, concat(name, ".size"), points.size(), "its extent", count);
  const std::int32_t lowest = signed_byte<T> ? -128 : 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (points[i] < lowest || points[i] > lowest + 255) [[unlikely]] {
      fail(concat(where, ": ", name, "[", i, "] (", points[i], ") must be from ", lowest, " to ",
                  lowest + 255));
    }
  }
}

inline std::int32_t at_or_zero(std::span<const std::int32_t> points, std::size_t i) {
  return points.empty() ? 0 : points.size() == 1 ? points[0] : points[i];
}

// Sums modulo 2^32 along each row.
template <class T>
std::vector<std::uint32_t> row_sums(matrix_view<const T> m) {
  std::vector<std::uint32_t> sums(m.rows());
  for (std::size_t i = 0; i < m.rows(); ++i) {
    for (std::size_t j = 0; j < m.cols(); ++j) {
      sums[i] += static_cast<std::uint32_t>(static_cast<std::int32_t>(m(i, j)));
    }
  }
  return sums;
}

}  // namespace detail

/// MatMulInteger: c = (a - a_zero_point) * (b - b_zero_point), in int32.
///
/// a: m x k, b: k x n, unsigned or signed bytes each; c: m x n int32. a_zero_point: none (0), one,
/// or one for each row of a; b_zero_point: none, one, or one for each column of b.
///
/// With the sums over k of a row r of a and a column s of b, c = sum ab - zb r - za s + k za zb,
/// all modulo 2^32, which is the true result wherever that fits int32: certain up to k = 33,025, as
/// |a - za| and |b - zb| are at most 255 each (255 * 255 * 33,025 <= 2^31 - 1). Beyond, ONNX leaves
/// overflow open; here it is the result modulo 2^32. Unsigned b costs a copy of b.
///
/// Errors, before anything is written: shapes that do not fit, another number of zero points, a
/// zero point outside its type, c sharing memory with a or b.
template <matrix_like A, matrix_like B, matrix_like C>
requires byte_integer<std::remove_const_t<element_of<const A>>> &&
    byte_integer<std::remove_const_t<element_of<const B>>> &&
    std::same_as<element_of<C>, std::int32_t>
void mat_mul_integer(const A& a, const B& b, C&& c, std::span<const std::int32_t> a_zero_point = {},
                     std::span<const std::int32_t> b_zero_point = {}, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::onnx::mat_mul_integer";
  using TA = std::remove_const_t<element_of<const A>>;
  using TB = std::remove_const_t<element_of<const B>>;
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<const TB> vb = as_view(b);
  const matrix_view<std::int32_t> vc = as_view(c);
  halfway::detail::check_gemm(where, va, vb, vc);
  detail::check_zero_points<TA>(where, "a_zero_point", a_zero_point, va.rows());
  detail::check_zero_points<TB>(where, "b_zero_point", b_zero_point, vb.cols());
  if (vc.empty()) return;

  // Unsigned codes less 128 are signed ones, with a zero point less 128.
  constexpr std::int32_t shift = signed_byte<TB> ? 0 : 128;
  const auto column_sums = detail::row_sums(vb.transposed());
  if constexpr (shift == 0) {
    gemm(va, vb, vc, on);
  } else {
    matrix<std::int8_t> shifted(vb.rows(), vb.cols());
    for (std::size_t i = 0; i < vb.rows(); ++i) {
      for (std::size_t j = 0; j < vb.cols(); ++j) {
        shifted(i, j) = static_cast<std::int8_t>(static_cast<std::int32_t>(vb(i, j)) - shift);
      }
    }
    gemm(va, shifted, vc, on);
  }
  if (shift == 0 && a_zero_point.empty() && b_zero_point.empty()) return;
  const auto row_sums = detail::row_sums(va);
  const auto k = static_cast<std::uint32_t>(va.cols());
  for (std::size_t i = 0; i < vc.rows(); ++i) {
    const auto za = static_cast<std::uint32_t>(detail::at_or_zero(a_zero_point, i));
    for (std::size_t j = 0; j < vc.cols(); ++j) {
      const auto zb = static_cast<std::uint32_t>(detail::at_or_zero(b_zero_point, j));
      // sum a (b - zb) = sum a (b - shift) - (zb - shift) r
      const std::uint32_t sum = static_cast<std::uint32_t>(vc(i, j)) -
                                (zb - static_cast<std::uint32_t>(shift)) * row_sums[i] -
                                za * column_sums[j] + k * za * zb;
      vc(i, j) = static_cast<std::int32_t>(sum);
    }
  }
}

/// Scales and zero points of one operand: one, or one for each row of a and y, or column of b.
struct matmul_params {
  std::span<const float> scale;                   ///< positive, finite and normal
  std::span<const std::int32_t> zero_point = {};  ///< of the code's type; empty: 0
};

/// QLinearMatMul: y = saturate(round_half_to_even(sum * (a_scale * b_scale / y_scale)) +
/// y_zero_point), with the exact integer sum of MatMulInteger; scales are combined in float from
/// left to right, the sum is rounded to float, then the product.
///
/// Types: a, b and y unsigned or signed bytes. Errors besides those of mat_mul_integer: k above
/// 33,025, where the sum might not fit int32; another number of scales; a scale that is not
/// positive, finite and normal.
template <matrix_like A, matrix_like B, matrix_like Y>
requires byte_integer<std::remove_const_t<element_of<const A>>> &&
    byte_integer<std::remove_const_t<element_of<const B>>> && byte_integer<element_of<Y>>
void q_linear_mat_mul(const A& a, const matmul_params& a_params, const B& b,
                      const matmul_params& b_params, Y&& y, const matmul_params& y_params,
                      executor_ref on = {}) {
  constexpr std::string_view where = "halfway::onnx::q_linear_mat_mul";
  using TA = std::remove_const_t<element_of<const A>>;
  using TB = std::remove_const_t<element_of<const B>>;
  using TY = element_of<Y>;
  constexpr std::size_t most = 33025;
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<const TB> vb = as_view(b);
  const matrix_view<TY> vy = as_view(y);
  halfway::detail::check_gemm(where, va, vb, vy);
  if (va.cols() > most) {
    fail(detail::concat(where, ": a.cols (", va.cols(), ") must not be above ", most,
                        ", or sums may overflow int32"));
  }
  const auto check_scales = [&](std::string_view name, std::span<const float> scales,
                                std::size_t count) {
    if (scales.size() != 1) {
      detail::check_equal(where, detail::concat(name, ".size"), scales.size(), "its extent", count);
    }
    for (std::size_t i = 0; i < scales.size(); ++i) {
      if (!(std::isnormal(scales[i]) && scales[i] > 0.0f)) {
        fail(detail::concat(where, ": ", name, "[", i, "] (", scales[i],
                            ") must be positive, finite and not subnormal"));
      }
    }
  };
  check_scales("a_params.scale", a_params.scale, va.rows());
  check_scales("b_params.scale", b_params.scale, vb.cols());
  check_scales("y_params.scale", y_params.scale, vy.rows());
  detail::check_zero_points<TA>(where, "a_params.zero_point", a_params.zero_point, va.rows());
  detail::check_zero_points<TB>(where, "b_params.zero_point", b_params.zero_point, vb.cols());
  detail::check_zero_points<TY>(where, "y_params.zero_point", y_params.zero_point, vy.rows());
  if (vy.empty()) return;

  matrix<std::int32_t> sums(vy.rows(), vy.cols());
  mat_mul_integer(va, vb, sums, a_params.zero_point, b_params.zero_point, on);
  const auto at = [](std::span<const float> s, std::size_t i) {
    return s.size() == 1 ? s[0] : s[i];
  };
  constexpr float lowest = signed_byte<TY> ? -128.0f : 0.0f;
  for (std::size_t i = 0; i < vy.rows(); ++i) {
    const auto zero = static_cast<float>(detail::at_or_zero(y_params.zero_point, i));
    for (std::size_t j = 0; j < vy.cols(); ++j) {
      const float scale = at(a_params.scale, i) * at(b_params.scale, j) / at(y_params.scale, i);
      const float code = std::nearbyint(static_cast<float>(sums(i, j)) * scale);
      // Clamped first, which keeps the sum exact.
      vy(i, j) = static_cast<TY>(static_cast<std::int32_t>(
          std::clamp(code, lowest - zero, lowest + 255.0f - zero) + zero));
    }
  }
}

}  // namespace halfway::onnx

#endif  // HALFWAY_QUANTIZATION_ONNX_H_
