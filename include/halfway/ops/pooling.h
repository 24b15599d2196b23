// SPDX-License-Identifier: Apache-2.0
// Maximum and mean of windows over images (NHWC), and their gradients, in FP32 whatever the
// storage.
//
//   const halfway::image_shape in{64, 28, 28, 8};
//   const halfway::window_2d window{.kernel = {2, 2}, .stride = {2, 2}};
//   std::vector<halfway::half> y(halfway::window_output(in, window).size());    // 14 x 14
//   halfway::max_pool(x, in, window, y);
//   halfway::max_pool_backward(x, dy, in, window, dx);
#ifndef HALFWAY_OPS_POOLING_H_
#define HALFWAY_OPS_POOLING_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/core/scratch.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/ops/window_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/window_args.h"

namespace halfway {

namespace detail {

// Every window has a tap within the image, or it would have no maximum.
inline void check_taps_inside(std::string_view where, std::string_view axis_name,
                              const window_axis& axis) {
  for (std::size_t out = 0; out < axis.out_size; ++out) {
    std::size_t k = 0;
    while (k < axis.kernel && axis.place(out, k) >= axis.size) ++k;
    if (k == axis.kernel) [[unlikely]] {
      fail(concat(where, ": the window at ", out, " of the ", axis_name, " (", axis.size,
                  ") lies in the padding (", axis.padding, ")"));
    }
  }
}

template <class X, class Y>
window_args check_pool(std::string_view where, std::string_view x_name, std::span<X> x,
                       std::string_view y_name, std::span<Y> y, const image_shape& shape,
                       const window_2d& window) {
  const window_args a = checked_window(where, shape, window);
  check_equal(where, concat(x_name, ".size()"), x.size(), "shape.size()", shape.size());
  check_equal(where, concat(y_name, ".size()"), y.size(), "window_output(shape, window).size()",
              shape.images * a.out_size());
  check_no_overlap(where, x_name, y_name,
                   ranges_overlap(x.data(), x.size_bytes(), y.data(), y.size_bytes()));
  if (!y.empty()) {
    check_taps_inside(where, "height", a.rows);
    check_taps_inside(where, "width", a.cols);
  }
  return a;
}

// Calls f(image, offsets) for each image, offsets being room for one of each tap.
template <class F>
void for_each_image(executor_ref on, const window_args& a, std::size_t images, std::size_t bytes,
                    const F& f) {
  for_each_part(on, images, bytes, [&](std::size_t begin, std::size_t count) {
    auto* offsets = static_cast<std::size_t*>(thread_scratch(a.taps() * sizeof(std::size_t)));
    for (std::size_t n = begin; n < begin + count; ++n) f(n, offsets);
  });
}

// dx of each image: kernel(image, sums, offsets) adds to zeros in FP32, which are rounded once.
template <class TDX, class Kernel>
void scatter_images(executor_ref on, const window_args& a, std::size_t images, TDX* dx,
                    std::size_t bytes, const Kernel& kernel) {
  const std::size_t size = a.image_size();
  for_each_part(on, images, bytes, [&](std::size_t begin, std::size_t count) {
    constexpr bool in_place = std::same_as<TDX, float>;
    const std::size_t floats = in_place ? 0 : size;
    auto* offsets = static_cast<std::size_t*>(
        thread_scratch(a.taps() * sizeof(std::size_t) + floats * sizeof(float)));
    for (std::size_t n = begin; n < begin + count; ++n) {
      float* sums = reinterpret_cast<float*>(offsets + a.taps());
      if constexpr (in_place) sums = dx + n * size;
      std::fill_n(sums, size, 0.0f);
      kernel(n, sums, offsets);
      if constexpr (!in_place) {
        convert_unchecked<overflow::ieee>(static_cast<const float*>(sums), dx + n * size, size,
                                          false, round_to_nearest_even());
      }
    }
  });
}

}  // namespace detail

/// y(n, oh, ow, c) = the largest of the window's elements that lie within image n, of channel c:
/// padding takes no part. NaN where one of them is NaN; of +0 and -0, the one that comes first, row
/// by row.
///
/// x: shape.size() elements, y: window_output(shape, window).size(), both NHWC, of any float
/// formats. Exact where y's type holds x's values, else rounded once, to nearest even. The same
/// bits on every CPU and any executor (the work is cut by images).
///
/// Errors, before anything is written: sizes that do not fit, a kernel, stride or dilation of 0, a
/// window larger than the padded image, a window that lies in the padding altogether, null with a
/// size, memory that is shared.
template <float_storage_vector X, float_storage_output_vector Y>
void max_pool(const X& x, const image_shape& shape, const window_2d& window, Y&& y,
              executor_ref on = {}) {
  constexpr std::string_view where = "halfway::max_pool";
  const auto vx = detail::input_span(where, "x", x);
  const auto vy = detail::output_span(where, "y", y);
  const detail::window_args a = detail::check_pool(where, "x", vx, "y", vy, shape, window);
  if (vy.empty()) return;
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  const auto kernel = HALFWAY_DISPATCH(MaxPoolKernel<Config>);
  detail::for_each_image(on, a, shape.images, a.out_size() * a.taps() * sizeof(float),
                         [&](std::size_t n, std::size_t* offsets) {
                           kernel(a, vx.data() + n * a.image_size(), vy.data() + n * a.out_size(),
                                  offsets);
                         });
}

/// The gradient dx of max_pool(x, shape, window, y), given x and the gradient dy of y: each
/// window's dy goes to its largest element, the first one if there are several and the first NaN if
/// there is one; which it is, is found again, not stored.
///
/// Shapes as for max_pool, dx as x; any float formats. Added up in FP32 in the order of the
/// windows, row by row, and rounded once to dx's type: |error| <= gamma(r - 1) sum |dy| over the r
/// windows that chose the element, before that rounding. The same bits on every CPU and any
/// executor. Where dx is not float, a thread keeps one image in FP32. NaN and infinities in dy add
/// as in IEEE 754. Errors as above.
template <float_storage_vector X, float_storage_vector DY, float_storage_output_vector DX>
void max_pool_backward(const X& x, const DY& dy, const image_shape& shape, const window_2d& window,
                       DX&& dx, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::max_pool_backward";
  const auto vx = detail::input_span(where, "x", x);
  const auto vdy = detail::input_span(where, "dy", dy);
  const auto vdx = detail::output_span(where, "dx", dx);
  const detail::window_args a = detail::check_pool(where, "dx", vdx, "dy", vdy, shape, window);
  detail::check_equal(where, "x.size()", vx.size(), "shape.size()", shape.size());
  detail::check_no_overlap(
      where, "x", "dx",
      detail::ranges_overlap(vx.data(), vx.size_bytes(), vdx.data(), vdx.size_bytes()));
  if (vdx.empty()) return;
  using Config =
      detail::pool_backward_config<detail::vector_element<X>, detail::vector_element<DY>>;
  const auto kernel = HALFWAY_DISPATCH(MaxPoolBackwardKernel<Config>);
  detail::scatter_images(on, a, shape.images, vdx.data(), a.out_size() * a.taps() * sizeof(float),
                         [&](std::size_t n, float* sums, std::size_t* offsets) {
                           kernel(a, vx.data() + n * a.image_size(), vdy.data() + n * a.out_size(),
                                  sums, offsets);
                         });
}

/// What a window's sum is divided by where padding belongs to it: all its taps (as in PyTorch and
/// ONNX by count_include_pad), or those within the image.
enum class pool_count { all_taps, inside };

/// y(n, oh, ow, c) = the sum of the window's elements that lie within image n, of channel c,
/// divided by their number or that of the taps.
///
/// Shapes and types as for max_pool. In FP32, in the order of the taps, row by row, and divided:
/// |error| <= gamma(taps) times the sum of their magnitudes divided by the same, gamma(c) = c u /
/// (1 - c u), u = 2^-24; rounded once more to y's type. The same bits on every CPU and any
/// executor. NaN and infinities add as in IEEE 754. Errors as for max_pool.
template <float_storage_vector X, float_storage_output_vector Y>
void average_pool(const X& x, const image_shape& shape, const window_2d& window, Y&& y,
                  pool_count count = pool_count::all_taps, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::average_pool";
  const auto vx = detail::input_span(where, "x", x);
  const auto vy = detail::output_span(where, "y", y);
  const detail::window_args a = detail::check_pool(where, "x", vx, "y", vy, shape, window);
  if (vy.empty()) return;
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  const auto kernel = HALFWAY_DISPATCH(AveragePoolKernel<Config>);
  detail::for_each_image(on, a, shape.images, a.out_size() * a.taps() * sizeof(float),
                         [&](std::size_t n, std::size_t* offsets) {
                           kernel(a, vx.data() + n * a.image_size(), vy.data() + n * a.out_size(),
                                  offsets, count == pool_count::all_taps);
                         });
}

/// The gradient dx of average_pool(x, shape, window, y, count), given the gradient dy of y: each
/// window's dy, divided, goes to each of its elements.
///
/// As max_pool_backward, but for r windows that an element lies in: |error| <= gamma(r) sum |dy| /
/// the divisor, before the rounding to dx's type.
template <float_storage_vector DY, float_storage_output_vector DX>
void average_pool_backward(const DY& dy, const image_shape& shape, const window_2d& window, DX&& dx,
                           pool_count count = pool_count::all_taps, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::average_pool_backward";
  const auto vdy = detail::input_span(where, "dy", dy);
  const auto vdx = detail::output_span(where, "dx", dx);
  const detail::window_args a = detail::check_pool(where, "dx", vdx, "dy", vdy, shape, window);
  if (vdx.empty()) return;
  const auto kernel = HALFWAY_DISPATCH(AveragePoolBackwardKernel<detail::vector_element<DY>>);
  detail::scatter_images(on, a, shape.images, vdx.data(), a.out_size() * a.taps() * sizeof(float),
                         [&](std::size_t n, float* sums, std::size_t* offsets) {
                           kernel(a, vdy.data() + n * a.out_size(), sums, offsets,
                                  count == pool_count::all_taps);
                         });
}

}  // namespace halfway

#endif  // HALFWAY_OPS_POOLING_H_
