// SPDX-License-Identifier: Apache-2.0
// Softmax of the rows of a matrix and its logarithm, computed in FP32 whatever the storage.
//
//   halfway::matrix<halfway::bfloat16> scores(128, 1024), p(128, 1024);
//   halfway::softmax(scores, p);            // or in place: softmax(scores, scores)
#ifndef HALFWAY_OPS_SOFTMAX_H_
#define HALFWAY_OPS_SOFTMAX_H_

#include <cstddef>
#include <string_view>
#include <type_traits>

#include "halfway/core/matrix.h"
#include "halfway/core/scratch.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

namespace detail {

template <class TX, class TY>
void check_softmax(std::string_view where, matrix_view<const TX> x, matrix_view<TY> y) {
  check_same_shape(where, "y", y, "x", x);
  check_row_major(where, "x", x);
  check_row_major(where, "y", y);
  check_apart_or_in_place(where, "x", x, "y", y);
}

// Where y keeps fewer digits than FP32, a row is kept in FP32 until its sum is known.
template <class Y>
float* softmax_scratch(std::size_t cols) {
  if constexpr (std::is_same_v<Y, float>) return nullptr;
  return static_cast<float*>(thread_scratch(cols * sizeof(float)));
}

}  // namespace detail

/// y(i, j) = e^(x(i, j) - m) / sum over k of e^(x(i, k) - m), m the largest element of row i.
///
/// x and y have one shape and rows of contiguous elements, any distance apart; y may be x. Any
/// float formats.
///
/// In FP32, the sum in 16 partial sums in a fixed order (simd/sum-inl.h): the same bits on every
/// CPU. With u = 2^-24, n columns, s_j = |x_j - m| and S the mean of the s_k weighted by y_k, the
/// relative error of y_j before it is rounded to its type, to nearest even, is at most c u / (1 - c
/// u), c = s_j + S + min(64, ceil(n / 16)) + floor((n - 1) / 1024) + 10: the differences,
/// exponentials to 1 ULP, the additions, the division. Results below 2^-126 may be off by 2^-149
/// more.
///
/// A row that holds NaN or +infinity, or is -infinity throughout (all masked), becomes NaN, as in
/// NumPy's and PyTorch's formula. Other elements of -infinity give exactly 0.
///
/// Errors: shapes that differ, columns that do not lie side by side, memory that x and y share in
/// part or with elements of different sizes.
template <float_storage_matrix X, float_storage_output_matrix Y>
void softmax(const X& x, Y&& y) {
  using TX = std::remove_const_t<element_of<const X>>;
  using TY = element_of<Y>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<TY> vy = as_view(y);
  detail::check_softmax("halfway::softmax", vx, vy);
  if (vx.empty()) return;
  using Config = detail::pair_config<TX, TY>;
  HALFWAY_DISPATCH(SoftmaxKernel<Config>)
  (detail::rows_of(vx), detail::rows_of(vy), vx.rows(), vx.cols(),
   detail::softmax_scratch<TY>(vx.cols()));
}

/// y(i, j) = log(softmax(x)(i, j)), as x(i, j) - m - log(sum over k of e^(x(i, k) - m)).
///
/// Shapes, types, order and errors as for softmax. The absolute error before the rounding to y's
/// type is at most (s_j + S + min(64, ceil(n / 16)) + floor((n - 1) / 1024) + 6 + 2 log(sum) + 2
/// |y_j|) u to first order. The same rows become NaN; other elements of -infinity stay -infinity.
template <float_storage_matrix X, float_storage_output_matrix Y>
void log_softmax(const X& x, Y&& y) {
  using TX = std::remove_const_t<element_of<const X>>;
  using TY = element_of<Y>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<TY> vy = as_view(y);
  detail::check_softmax("halfway::log_softmax", vx, vy);
  if (vx.empty()) return;
  using Config = detail::pair_config<TX, TY>;
  HALFWAY_DISPATCH(LogSoftmaxKernel<Config>)
  (detail::rows_of(vx), detail::rows_of(vy), vx.rows(), vx.cols());
}

}  // namespace halfway

#endif  // HALFWAY_OPS_SOFTMAX_H_
