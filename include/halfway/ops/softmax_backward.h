// SPDX-License-Identifier: Apache-2.0
// Gradients of softmax and log_softmax from their results, accumulated in FP32 whatever the
// storage.
//
//   halfway::softmax(scores, p);
//   halfway::softmax_backward(p, dp, dscores);    // dscores may be dp or p
#ifndef HALFWAY_OPS_SOFTMAX_BACKWARD_H_
#define HALFWAY_OPS_SOFTMAX_BACKWARD_H_

#include <cmath>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

namespace detail {

template <class TY, class TDY, class TDX>
struct softmax_backward_config {
  using Y = TY;
  using DY = TDY;
  using DX = TDX;
};

template <class TY, class TDY, class TDX>
void check_softmax_backward(std::string_view where, matrix_view<const TY> y,
                            matrix_view<const TDY> dy, matrix_view<TDX> dx) {
  check_same_shape(where, "dy", dy, "y", y);
  check_row_map(where, "y", y, "dx", dx);
  check_row_map(where, "dy", dy, "dx", dx);
}

}  // namespace detail

/// The gradient of y = softmax(scale * x, ...), masked, causal or neither, y its result and dy the
/// gradient of y:
///
///   dx(i, j) = scale * y(i, j) * (dy(i, j) - sum over k of y(i, k) dy(i, k))
///
/// y, dy and dx have one shape and rows of contiguous elements; dx may be y or dy. Any float
/// formats.
///
/// In FP32, the sum as by dot() in ops/reduce.h: the same bits on every CPU and any executor. With
/// u = 2^-24, n columns, d = d(n) + 1 of ops/reduce.h (n at most 2^18 counts as one part) and M =
/// sum over k of |y_k dy_k|, the error of dx_j before it is rounded to its type, to nearest even,
/// is at most |scale y_j| (gamma(d) (1 + 3 u) M + gamma(3) (|dy_j| + M)), gamma(c) = c u / (1 - c
/// u), and 2^-149 (1 + |scale|) where it is subnormal.
///
/// What a mask hid has y = 0 and a gradient of 0. A row with NaN in y or dy, or an infinity in dy,
/// becomes NaN.
///
/// Errors, before anything is written: shapes that differ, columns that do not lie side by side, a
/// scale that is infinite or NaN, memory that is shared otherwise.
template <float_storage_matrix Y, float_storage_matrix DY, float_storage_output_matrix DX>
void softmax_backward(const Y& y, const DY& dy, DX&& dx, float scale = 1.0f, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::softmax_backward";
  using TY = std::remove_const_t<element_of<const Y>>;
  using TDY = std::remove_const_t<element_of<const DY>>;
  using TDX = element_of<DX>;
  const matrix_view<const TY> vy = as_view(y);
  const matrix_view<const TDY> vdy = as_view(dy);
  const matrix_view<TDX> vdx = as_view(dx);
  detail::check_softmax_backward(where, vy, vdy, vdx);
  if (!std::isfinite(scale)) [[unlikely]] {
    fail(detail::concat(where, ": scale (", scale, ") must be finite"));
  }
  if (vy.empty()) return;
  using Config = detail::softmax_backward_config<TY, TDY, TDX>;
  const auto kernel = HALFWAY_DISPATCH(SoftmaxBackwardKernel<Config>);
  detail::for_each_part(on, vy.rows(), vy.cols() * (sizeof(TY) + sizeof(TDY) + sizeof(TDX)),
                        [&](std::size_t begin, std::size_t count) {
                          kernel(detail::rows_of(vy).from(begin), detail::rows_of(vdy).from(begin),
                                 detail::rows_of(vdx).from(begin), count, vy.cols(), scale);
                        });
}

/// The gradient of y = log_softmax(x), y its result and dy the gradient of y:
///
///   dx(i, j) = dy(i, j) - e^y(i, j) * sum over k of dy(i, k)
///
/// Shapes, types, order and errors as above. The error before the rounding to dx's type is at most
/// u |dx_j| + e^y_j (gamma(d(n)) + 2 u) (1 + 4 u) sum over k of |dy_k|, and 2^-149 where it is
/// subnormal. What is -infinity in y has a gradient of dy; NaN in y_j makes dx_j NaN, and NaN or an
/// infinity in dy the row.
template <float_storage_matrix Y, float_storage_matrix DY, float_storage_output_matrix DX>
void log_softmax_backward(const Y& y, const DY& dy, DX&& dx, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::log_softmax_backward";
  using TY = std::remove_const_t<element_of<const Y>>;
  using TDY = std::remove_const_t<element_of<const DY>>;
  using TDX = element_of<DX>;
  const matrix_view<const TY> vy = as_view(y);
  const matrix_view<const TDY> vdy = as_view(dy);
  const matrix_view<TDX> vdx = as_view(dx);
  detail::check_softmax_backward(where, vy, vdy, vdx);
  if (vy.empty()) return;
  using Config = detail::softmax_backward_config<TY, TDY, TDX>;
  const auto kernel = HALFWAY_DISPATCH(LogSoftmaxBackwardKernel<Config>);
  detail::for_each_part(on, vy.rows(), vy.cols() * (sizeof(TY) + sizeof(TDY) + sizeof(TDX)),
                        [&](std::size_t begin, std::size_t count) {
                          kernel(detail::rows_of(vy).from(begin), detail::rows_of(vdy).from(begin),
                                 detail::rows_of(vdx).from(begin), count, vy.cols());
                        });
}

}  // namespace halfway

#endif  // HALFWAY_OPS_SOFTMAX_BACKWARD_H_
