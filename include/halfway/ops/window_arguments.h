// SPDX-License-Identifier: Apache-2.0
// What operations with windows over images (ops/im2col.h, ops/pooling.h) ask of their arguments.
#ifndef HALFWAY_OPS_WINDOW_ARGUMENTS_H_
#define HALFWAY_OPS_WINDOW_ARGUMENTS_H_

#include <cstddef>
#include <limits>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/simd/window_args.h"

namespace halfway {
namespace detail {

inline window_axis checked_axis(std::string_view where, std::string_view axis_name,
                                std::size_t axis, std::size_t size, const window_2d& w) {
  // So large that no sum or product of two of them is past 64 bits.
  constexpr std::size_t most = std::size_t{1} << 31;
  const auto check = [&](std::string_view name, std::size_t value, std::size_t least) {
    if (value < least || value >= most) [[unlikely]] {
      fail(concat(where, ": ", name, "[", axis, "] (", value, ") must be at least ", least,
                  " and below ", most));
    }
  };
  check("kernel", w.kernel[axis], 1);
  check("stride", w.stride[axis], 1);
  check("padding", w.padding[axis], 0);
  check("dilation", w.dilation[axis], 1);
  const std::size_t reach = (w.kernel[axis] - 1) * w.dilation[axis] + 1;
  const std::size_t padded = size + 2 * w.padding[axis];
  if (size >= most || reach > padded) [[unlikely]] {
    fail(concat(where, ": ", axis_name, " (", size, ") with padding (", w.padding[axis],
                ") on both sides must be at least what the window reaches over (", reach,
                ") and below ", most));
  }
  return {size,
          (padded - reach) / w.stride[axis] + 1,
          w.kernel[axis],
          w.stride[axis],
          w.padding[axis],
          w.dilation[axis]};
}

inline window_args checked_window(std::string_view where, const image_shape& shape,
                                  const window_2d& w) {
  const window_args a{checked_axis(where, "height", 0, shape.height, w),
                      checked_axis(where, "width", 1, shape.width, w), shape.channels};
  constexpr std::size_t most = std::size_t(std::numeric_limits<std::ptrdiff_t>::max()) / 64;
  const auto exceeds = [](std::size_t x, std::size_t y) { return y != 0 && x > most / y; };
  const std::size_t pixels = a.rows.out_size * a.cols.out_size;
  if (exceeds(a.taps(), shape.channels) || exceeds(pixels, a.taps() * shape.channels) ||
      exceeds(pixels * a.taps() * shape.channels, shape.images) ||
      exceeds(shape.pixels(), shape.channels) || exceeds(shape.image_size(), shape.images))
      [[unlikely]] {
    fail(concat(where, ": ", shape.images, " images of ", shape.height, " x ", shape.width, " x ",
                shape.channels, " with windows of ", w.kernel[0], " x ", w.kernel[1],
                " do not fit the address space"));
  }
  return a;
}

}  // namespace detail

/// What a window leaves of images: each axis has floor((size + 2 padding - dilation (kernel - 1) -
/// 1) / stride) + 1 places; the channels stay. Errors: a kernel, stride or dilation of 0, a window
/// larger than the padded image, sizes that do not fit the address space.
inline image_shape window_output(const image_shape& shape, const window_2d& window) {
  const auto a = detail::checked_window("halfway::window_output", shape, window);
  return {shape.images, a.rows.out_size, a.cols.out_size, shape.channels};
}

}  // namespace halfway

#endif  // HALFWAY_OPS_WINDOW_ARGUMENTS_H_
