// SPDX-License-Identifier: Apache-2.0
// Convolution of images (NHWC) as a matrix product: the windows as rows of a matrix, and back.
//
//   const halfway::image_shape in{64, 28, 28, 8};
//   const halfway::window_2d window{.kernel = {3, 3}, .padding = {1, 1}};
//   halfway::matrix<halfway::half> cols(64 * 28 * 28, 9 * 8), weights(9 * 8, 16);
//   halfway::matrix<halfway::half> y(cols.rows(), 16);
//   halfway::im2col(x, in, window, cols);          // x: in.size() elements
//   halfway::gemm(cols, weights, y);               // y: 64 images of 28 x 28 x 16
//   halfway::col2im(dcols, in, window, dx);        // the gradient of im2col
#ifndef HALFWAY_OPS_IM2COL_H_
#define HALFWAY_OPS_IM2COL_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/ops/window_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/window_args.h"

namespace halfway {

namespace detail {

// Checks `cols` and the image's elements against each other.
template <class TC, class TI>
window_args check_im2col(std::string_view where, std::string_view image_name, std::span<TI> image,
                         const image_shape& shape, const window_2d& window,
                         std::string_view cols_name, matrix_view<TC> cols) {
  const window_args a = checked_window(where, shape, window);
  check_equal(where, concat(image_name, ".size()"), image.size(), "shape.size()", shape.size());
  check_equal(where, concat(cols_name, ".rows()"), cols.rows(), "the windows' number",
              shape.images * a.rows.out_size * a.cols.out_size);
  check_equal(where, concat(cols_name, ".cols()"), cols.cols(), "taps * channels",
              a.taps() * a.channels);
  if (!cols.empty() && (!cols.is_row_major() || cols.extent() != cols.size())) [[unlikely]] {
    fail(concat(where, ": ", cols_name, " with strides ", cols.row_stride(), " and ",
                cols.col_stride(), " must be dense and row-major"));
  }
  check_apart(where, image_name, image, cols_name, cols);
  return a;
}

// The taps [first, last) of a row of the window at `out` lie within the image. For a dilation of 1.
struct inner_taps {
  inner_taps(const window_axis& axis, std::size_t out) {
    const auto from_start = [&](std::size_t place) {  // both with the padding before the image
      const std::size_t start = out * axis.stride;
      return place < start ? 0 : std::min(axis.kernel, place - start);
    };
    first = from_start(axis.padding);
    last = from_start(axis.padding + axis.size);
  }
  std::size_t first, last;
};

// The windows of row oh of an image, one after the other.
template <class T>
void copy_windows(const window_args& a, const T* image, std::size_t oh, T* to) {
  const auto zeros = [&](std::size_t taps) { to = std::fill_n(to, taps * a.channels, T(0.0f)); };
  const auto copy = [&](std::size_t h, std::size_t w, std::size_t taps) {
    to = std::copy_n(image + (h * a.cols.size + w) * a.channels, taps * a.channels, to);
  };
  for (std::size_t ow = 0; ow < a.cols.out_size; ++ow) {
    const inner_taps inner(a.cols, ow);
    for (std::size_t i = 0; i < a.rows.kernel; ++i) {
      const std::size_t h = a.rows.place(oh, i);
      if (h >= a.rows.size) {
        zeros(a.cols.kernel);
      } else if (a.cols.dilation != 1) {
        for (std::size_t j = 0; j < a.cols.kernel; ++j) {
          const std::size_t w = a.cols.place(ow, j);
          w < a.cols.size ? copy(h, w, 1) : zeros(1);
        }
      } else if (inner.first == inner.last) {
        zeros(a.cols.kernel);
      } else {  // the taps of a row lie side by side
        zeros(inner.first);
        copy(h, a.cols.place(ow, inner.first), inner.last - inner.first);
        zeros(a.cols.kernel - inner.last);
      }
    }
  }
}

// Where each place of an axis was copied to: `out_step` from one window to the next, `tap_step`
// from one tap to the next.
class axis_terms {
 public:
  axis_terms(const window_axis& axis, std::size_t out_step, std::size_t tap_step)
      : first_(axis.size + 1) {
    for (std::size_t place = 0; place < axis.size; ++place) {
      for (std::size_t k = 0; k < axis.kernel && k * axis.dilation <= place + axis.padding; ++k) {
        const std::size_t from_first = place + axis.padding - k * axis.dilation;
        const std::size_t out = from_first / axis.stride;
        if (from_first % axis.stride == 0 && out < axis.out_size) {
          offsets_.push_back(out * out_step + k * tap_step);
        }
      }
      first_[place + 1] = offsets_.size();
    }
  }
  window_terms view() const { return {first_.size() - 1, first_.data(), offsets_.data()}; }

 private:
  std::vector<std::size_t> first_, offsets_;
};

}  // namespace detail

/// Row (n * out_height + oh) * out_width + ow of cols = the window of image n at (oh, ow): for each
/// tap (i, j), row by row, the channels of the pixel (oh * stride - padding + i * dilation, the
/// same for ow and j), or zeros where that lies outside the image. The product with weights of
/// taps * channels rows, the taps row by row and the channels of each together, is the convolution
/// (as in deep learning: the kernel is not flipped).
///
/// x: shape.size() elements, NHWC; cols: images * out_height * out_width x taps * channels
/// (window_output has both), dense, of x's type. Elements are copied, bit for bit.
///
/// Errors, before anything is written: sizes that do not fit, a kernel, stride or dilation of 0, a
/// window larger than the padded image, null with a size, memory that is shared.
template <float_storage_vector X, float_storage_output_matrix Cols>
requires std::same_as<detail::vector_element<X>, element_of<Cols>>
void im2col(const X& x, const image_shape& shape, const window_2d& window, Cols&& cols,
            executor_ref on = {}) {
  constexpr std::string_view where = "halfway::im2col";
  using T = element_of<Cols>;
  static_assert(T(0.0f) == T(-0.0f), "padding needs a format with zero");
  const auto image = detail::input_span(where, "x", x);
  const matrix_view<T> to = as_view(cols);
  const detail::window_args a = detail::check_im2col(where, "x", image, shape, window, "cols", to);
  if (to.empty()) return;
  const std::size_t row_size = a.cols.out_size * to.cols();
  detail::for_each_part(on, shape.images * a.rows.out_size, 2 * row_size * sizeof(T),
                        [&](std::size_t begin, std::size_t count) {
                          for (std::size_t r = begin; r < begin + count; ++r) {
                            detail::copy_windows(
                                a, image.data() + r / a.rows.out_size * a.image_size(),
                                r % a.rows.out_size, to.data() + r * row_size);
                          }
                        });
}

/// The gradient dx of im2col(x, shape, window, cols), given the gradient of cols: each element of
/// dx is the sum of those elements of cols that x was copied to.
///
/// Shapes as for im2col; any float formats. Sums of at most taps terms in FP32, in the order of the
/// taps, rounded once to dx's type, to nearest even: |error| <= gamma(taps - 1) sum |terms|,
/// gamma(c) = c u / (1 - c u), u = 2^-24, before that rounding. The same bits on every CPU and any
/// executor. Pixels that no window touches become 0. NaN and infinities add as in IEEE 754. Errors
/// as above.
template <float_storage_matrix Cols, float_storage_output_vector DX>
void col2im(const Cols& cols, const image_shape& shape, const window_2d& window, DX&& dx,
            executor_ref on = {}) {
  constexpr std::string_view where = "halfway::col2im";
  using T = std::remove_const_t<element_of<const Cols>>;
  using TDX = detail::vector_element<DX>;
  const auto image = detail::output_span(where, "dx", dx);
  const matrix_view<const T> from = as_view(cols);
  const detail::window_args a =
      detail::check_im2col(where, "dx", image, shape, window, "cols", from);
  if (image.empty()) return;
  using Config = detail::pair_config<T, TDX>;
  const auto kernel = HALFWAY_DISPATCH(Col2imKernel<Config>);
  const std::size_t cols_of_image = a.rows.out_size * a.cols.out_size * from.cols();
  const detail::axis_terms rows(a.rows, a.cols.out_size * from.cols(), a.cols.kernel * a.channels),
      columns(a.cols, from.cols(), a.channels);
  detail::for_each_part(
      on, shape.images * shape.height,
      cols_of_image / shape.height * sizeof(T) + shape.width * shape.channels * sizeof(TDX),
      [&](std::size_t begin, std::size_t count) {
        for (std::size_t r = begin; r < begin + count; ++r) {
          const std::size_t n = r / shape.height, h = r % shape.height;
          kernel(rows.view(), columns.view(), a.channels, from.data() + n * cols_of_image,
                 image.data() + n * a.image_size(), h, h + 1);
        }
      });
}

}  // namespace halfway

#endif  // HALFWAY_OPS_IM2COL_H_
