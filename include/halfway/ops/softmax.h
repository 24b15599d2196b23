// SPDX-License-Identifier: Apache-2.0
// Softmax of the rows of a matrix and its logarithm, computed in FP32 whatever the storage.
//
//   halfway::matrix<halfway::bfloat16> scores(128, 1024), p(128, 1024);
//   halfway::softmax(scores, p);            // or in place: softmax(scores, scores)
//   halfway::softmax(scores, p, halfway::softmax_options{.scale = 0.125f, .causal = true});
//   halfway::masked_softmax(scores, mask, p, {.scale = 0.125f});    // mask: 0 or -infinity
#ifndef HALFWAY_OPS_SOFTMAX_H_
#define HALFWAY_OPS_SOFTMAX_H_

#include <cmath>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/core/scratch.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

namespace detail {

// A row is kept in FP32 until its sum is known: in y, or where that keeps fewer digits, in the
// thread's own memory.
template <class Config>
void run_softmax(const softmax_rows<Config>& rows, executor_ref on) {
  using X = typename Config::X;
  using Y = typename Config::Y;
  const auto kernel = HALFWAY_DISPATCH(SoftmaxKernel<Config>);
  for_each_part(on, rows.rows, rows.cols * (sizeof(X) + sizeof(Y)),
                [&](std::size_t begin, std::size_t count) {
                  float* scratch = nullptr;
                  if constexpr (!std::is_same_v<Y, float>) {
                    scratch = static_cast<float*>(thread_scratch(
                        rows_together(rows.cols, sizeof(float)) * rows.cols * sizeof(float)));
                  }
                  kernel(rows.block(begin, count), scratch);
                });
}

}  // namespace detail

/// y(i, j) = e^(x(i, j) - m) / sum over k of e^(x(i, k) - m), m the largest element of row i.
///
/// x and y have one shape and rows of contiguous elements, any distance apart; y may be x. Any
/// float formats.
///
/// In FP32, the sum in 64 partial sums in a fixed order (simd/sum-inl.h): the same bits on every
/// CPU. With u = 2^-24, n columns, s_j = |x_j - m| and S the mean of the s_k weighted by y_k, the
/// relative error of y_j before it is rounded to its type, to nearest even, is at most c u / (1 - c
/// u), c = 1.23 (s_j + S) + min(64, ceil(n / 64)) + floor((n - 1) / 4096) + 13: the differences and
/// what the exponential makes of them, the additions, the division. Results below 2^-126 may be off
/// by 2^-149 more.
///
/// A row that holds NaN or +infinity, or is -infinity throughout (all masked), becomes NaN, as in
/// NumPy's and PyTorch's formula. Other elements of -infinity give exactly 0.
///
/// Errors: shapes that differ, columns that do not lie side by side, memory that x and y share in
/// part or with elements of different sizes.
template <float_storage_matrix X, float_storage_output_matrix Y>
void softmax(const X& x, Y&& y, executor_ref on = {}) {
  using TX = std::remove_const_t<element_of<const X>>;
  using TY = element_of<Y>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<TY> vy = as_view(y);
  detail::check_row_map("halfway::softmax", "x", vx, "y", vy);
  if (vx.empty()) return;
  const bool stream = detail::streams(vy.size() * sizeof(TY), vx.data(), vy.data());
  detail::run_softmax(
      detail::softmax_rows<detail::softmax_config<TX, TY>>{detail::rows_of(vx), detail::rows_of(vy),
                                                           vx.rows(), vx.cols(), stream},
      on);
}

/// What softmax does to scores first.
struct softmax_options {
  float scale = 1.0f;  ///< scores are multiplied by it: 1 / sqrt(head size)
  /// Row i sees only its first cols - rows + i + 1 columns, as if the last row saw all: the others
  /// become 0.
  bool causal = false;
};

namespace detail {

template <class TX, class TM, class TY>
void masked_softmax(std::string_view where, matrix_view<const TX> x, matrix_view<const TM> mask,
                    matrix_view<TY> y, const softmax_options& options, executor_ref on) {
  check_row_map(where, "x", x, "y", y);
  if (!std::isfinite(options.scale)) [[unlikely]] {
    fail(concat(where, ": options.scale (", options.scale, ") must be finite"));
  }
  if (options.causal && x.rows() > x.cols()) [[unlikely]] {
    fail(concat(where, ": options.causal: x.rows() (", x.rows(), ") must not be above x.cols() (",
                x.cols(), ")"));
  }
  if (x.empty()) return;
  const bool stream = streams(y.size() * sizeof(TY), x.data(), y.data());
  const std::size_t first_visible = options.causal ? x.cols() - x.rows() + 1 : x.cols();
  row_block<const TM> mask_rows{nullptr, 0};
  if (!mask.empty()) mask_rows = {mask.data(), mask.rows() == 1 ? 0 : mask.row_stride()};
  run_softmax(softmax_rows<masked_softmax_config<TX, TM, TY>>{rows_of(x), rows_of(y), x.rows(),
                                                              x.cols(), stream, first_visible,
                                                              options.scale, mask_rows},
              on);
}

}  // namespace detail

/// y = softmax(scale * x), each product rounded to FP32, of the columns that a row sees. What is
/// said of softmax above holds of the products; in addition, scale must be finite and, if causal, x
/// have no more rows than columns.
template <float_storage_matrix X, float_storage_output_matrix Y>
void softmax(const X& x, Y&& y, const softmax_options& options, executor_ref on = {}) {
  using TX = std::remove_const_t<element_of<const X>>;
  using TY = element_of<Y>;
  detail::masked_softmax<TX, float, TY>("halfway::softmax", as_view(x), {}, as_view(y), options,
                                        on);
}

/// y = softmax(scale * x + mask), rounded once to FP32: the usual additive mask, whose elements of
/// -infinity hide an element of x, which then becomes 0. mask has x's shape, or one row for all of
/// x's, in any float format. A row that is hidden throughout becomes NaN.
///
/// Errors: those of softmax, columns of mask that do not lie side by side, memory that mask and y
/// share.
template <float_storage_matrix X, float_storage_matrix M, float_storage_output_matrix Y>
void masked_softmax(const X& x, const M& mask, Y&& y, const softmax_options& options = {},
                    executor_ref on = {}) {
  constexpr std::string_view where = "halfway::masked_softmax";
  using TX = std::remove_const_t<element_of<const X>>;
  using TM = std::remove_const_t<element_of<const M>>;
  using TY = element_of<Y>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<const TM> vmask = as_view(mask);
  const matrix_view<TY> vy = as_view(y);
  if (vmask.rows() != 1)
    detail::check_equal(where, "mask.rows()", vmask.rows(), "x.rows()", vx.rows());
  detail::check_equal(where, "mask.cols()", vmask.cols(), "x.cols()", vx.cols());
  detail::check_row_major(where, "mask", vmask);
  detail::check_no_overlap(where, "mask", "y", detail::overlap(vmask, vy));
  detail::masked_softmax<TX, TM, TY>(where, vx, vmask, vy, options, on);
}

/// y(i, j) = log(softmax(x)(i, j)), as x(i, j) - m - log(sum over k of e^(x(i, k) - m)).
///
/// Shapes, types, order and errors as for softmax. The absolute error before the rounding to y's
/// type is at most (s_j + 1.23 S + min(64, ceil(n / 64)) + floor((n - 1) / 4096) + 9 + 2 log(sum) +
/// 2 |y_j|) u to first order. The same rows become NaN; other elements of -infinity stay -infinity.
template <float_storage_matrix X, float_storage_output_matrix Y>
void log_softmax(const X& x, Y&& y, executor_ref on = {}) {
  using TX = std::remove_const_t<element_of<const X>>;
  using TY = element_of<Y>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<TY> vy = as_view(y);
  detail::check_row_map("halfway::log_softmax", "x", vx, "y", vy);
  if (vx.empty()) return;
  using Config = detail::softmax_config<TX, TY>;
  const bool stream = detail::streams(vy.size() * sizeof(TY), vx.data(), vy.data());
  const detail::softmax_rows<Config> rows{detail::rows_of(vx), detail::rows_of(vy), vx.rows(),
                                          vx.cols(), stream};
  const auto kernel = HALFWAY_DISPATCH(LogSoftmaxKernel<Config>);
  detail::for_each_part(
      on, rows.rows, rows.cols * (sizeof(TX) + sizeof(TY)),
      [&](std::size_t begin, std::size_t count) { kernel(rows.block(begin, count)); });
}

}  // namespace halfway

#endif  // HALFWAY_OPS_SOFTMAX_H_
