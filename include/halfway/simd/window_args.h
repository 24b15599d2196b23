// SPDX-License-Identifier: Apache-2.0
// Windows that move over images, of convolutions and pooling. Plain data, no SIMD.
#ifndef HALFWAY_SIMD_WINDOW_ARGS_H_
#define HALFWAY_SIMD_WINDOW_ARGS_H_

#include <array>
#include <cstddef>

namespace halfway {

/// Dense images x height x width x channels ("NHWC"): element (n, h, w, c) at ((n * height + h) *
/// width + w) * channels + c.
struct image_shape {
  std::size_t images = 0;
  std::size_t height = 0;
  std::size_t width = 0;
  std::size_t channels = 0;

  constexpr std::size_t pixels() const { return height * width; }
  /// Elements of one image.
  constexpr std::size_t image_size() const { return pixels() * channels; }
  constexpr std::size_t size() const { return images * image_size(); }
  constexpr bool operator==(const image_shape&) const = default;
};

/// A window of kernel[0] x kernel[1] taps (of rows, of columns), dilation apart, that moves by
/// stride over an image with `padding` pixels around it.
struct window_2d {
  std::array<std::size_t, 2> kernel = {1, 1};
  std::array<std::size_t, 2> stride = {1, 1};
  std::array<std::size_t, 2> padding = {0, 0};
  std::array<std::size_t, 2> dilation = {1, 1};

  constexpr std::size_t taps() const { return kernel[0] * kernel[1]; }
};

namespace detail {

// One axis: how far the window reaches, and where it stands.
struct window_axis {
  std::size_t size, out_size, kernel, stride, padding, dilation;

  // The place in the image of tap k of the window at `out`; `size` or more where it lies in the
  // padding (before the image it wraps around).
  constexpr std::size_t place(std::size_t out, std::size_t k) const {
    return out * stride + k * dilation - padding;
  }
};

// An image of channels side by side, and a window over it.
struct window_args {
  window_axis rows, cols;
  std::size_t channels;

  constexpr std::size_t taps() const { return rows.kernel * cols.kernel; }
  constexpr std::size_t image_size() const { return rows.size * cols.size * channels; }
  constexpr std::size_t out_size() const { return rows.out_size * cols.out_size * channels; }
};

// For each place of an axis of the image, where in the windows' rows it was copied to: offsets
// [first[place], first[place + 1]), tap by tap.
struct window_terms {
  std::size_t size;          // of the axis
  const std::size_t* first;  // size + 1
  const std::size_t* offsets;
};

template <class TX, class TDY>
struct pool_backward_config {
  using X = TX;
  using DY = TDY;
};

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_SIMD_WINDOW_ARGS_H_
