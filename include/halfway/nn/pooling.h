// SPDX-License-Identifier: Apache-2.0
// Maximum and mean of windows over images (NHWC).
//
//   halfway::nn::max_pool<halfway::half> pool(conv.output_shape(),
//                                             {.kernel = {2, 2}, .stride = {2, 2}});
#ifndef HALFWAY_NN_POOLING_H_
#define HALFWAY_NN_POOLING_H_

#include <span>
#include <string_view>

#include "halfway/core/matrix.h"
#include "halfway/nn/module.h"
#include "halfway/ops/pooling.h"

namespace halfway::nn {

namespace detail {

struct max_pool_function {
  static constexpr std::string_view name = "max_pool";
  template <class T>
  static void forward(std::span<const T> x, const image_shape& s, const window_2d& w,
                      std::span<T> y, executor_ref on) {
    halfway::max_pool(x, s, w, y, on);
  }
  template <class T>
  static void backward(std::span<const T> x, std::span<const T> dy, const image_shape& s,
                       const window_2d& w, std::span<T> dx, executor_ref on) {
    halfway::max_pool_backward(x, dy, s, w, dx, on);
  }
};

struct average_pool_function {
  static constexpr std::string_view name = "average_pool";
  template <class T>
  static void forward(std::span<const T> x, const image_shape& s, const window_2d& w,
                      std::span<T> y, executor_ref on) {
    halfway::average_pool(x, s, w, y, pool_count::all_taps, on);
  }
  template <class T>
  static void backward(std::span<const T>, std::span<const T> dy, const image_shape& s,
                       const window_2d& w, std::span<T> dx, executor_ref on) {
    halfway::average_pool_backward(dy, s, w, dx, pool_count::all_taps, on);
  }
};

}  // namespace detail

/// x: one image of shape.image_size() elements a row; y: one of output_shape(). shape.images is not
/// used. Numbers: ops/pooling.h.
template <class T, class F>
class pool : public module<T> {
 public:
  /// Error: a window that does not fit the image.
  pool(const image_shape& shape, const window_2d& window)
      : shape_(shape),
        window_(window),
        out_(window_output({1, shape.height, shape.width, shape.channels}, window)) {}

  image_shape output_shape() const { return out_; }  ///< of one image

  matrix_view<const T> forward(matrix_view<const T> x, pass& p) override {
    detail::check_width(F::name, "x", x.cols(), shape_.image_size());
    x_ = detail::elements(F::name, "x", x);
    shape_.images = x.rows();
    detail::shaped(y_, x.rows(), out_.image_size());
    F::template forward<T>(x_, shape_, window_, y_.elements(), p.on);
    return y_.view();
  }

  matrix_view<const T> backward(matrix_view<const T> dy, const pass& p, bool wants_dx) override {
    detail::check_gradient(F::name, dy, y_.rows(), out_.image_size());
    if (!wants_dx) return {};
    detail::shaped(dx_, dy.rows(), shape_.image_size());
    F::template backward<T>(x_, detail::elements(F::name, "dy", dy), shape_, window_,
                            dx_.elements(), p.on);
    return dx_.view();
  }

 private:
  image_shape shape_;
  window_2d window_;
  image_shape out_;  // of one image
  std::span<const T> x_;
  matrix<T> y_, dx_;
};

/// Padding does not count.
template <class T>
using max_pool = pool<T, detail::max_pool_function>;
/// Padding counts (pool_count::all_taps).
template <class T>
using average_pool = pool<T, detail::average_pool_function>;

}  // namespace halfway::nn

#endif  // HALFWAY_NN_POOLING_H_
