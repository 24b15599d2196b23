// SPDX-License-Identifier: Apache-2.0
// 2-D convolution of images (NHWC): im2col and a product.
//
//   const halfway::image_shape in{.height = 28, .width = 28, .channels = 1};
//   halfway::nn::conv2d<halfway::half> conv("conv1", in, 16, {.kernel = {3, 3}, .padding = {1, 1}},
//                                           random);
//   const halfway::image_shape next = conv.output_shape();    // 28 x 28 x 16
#ifndef HALFWAY_NN_CONV2D_H_
#define HALFWAY_NN_CONV2D_H_

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "halfway/core/matrix.h"
#include "halfway/nn/linear.h"
#include "halfway/nn/module.h"
#include "halfway/nn/weight.h"
#include "halfway/ops/im2col.h"

namespace halfway::nn {

/// x: one image of shape.image_size() elements a row; y: one of output_shape(). The weights
/// "<name>.weight", taps * channels x filters, and "<name>.bias", 1 x filters. Memory: taps times
/// the input's. Numbers: those of a linear layer on each window, and col2im() for the gradient of
/// x, whose terms are rounded to T. shape.images is not used.
template <class T, class Inputs = plain_inputs<T>>
class conv2d : public module<T> {
 public:
  /// Weights of variance 1 / (taps * channels), biases zero. Error: a window that does not fit the
  /// image.
  conv2d(std::string name, const image_shape& shape, std::size_t filters, const window_2d& window,
         weight_source& random)
      : name_(name),
        shape_(shape),
        window_(window),
        out_(window_output({1, shape.height, shape.width, shape.channels}, window)),
        product_(std::move(name), window.taps() * shape.channels, filters, random) {
    out_.channels = filters;
  }

  image_shape output_shape() const { return out_; }  ///< of one image
  /// What the product's operands are cast to (nn/gemm_inputs.h).
  Inputs& inputs() { return product_.inputs(); }

  matrix_view<const T> forward(matrix_view<const T> x, pass& p) override {
    detail::check_width(name_, "x", x.cols(), shape_.image_size());
    shape_.images = x.rows();
    detail::shaped(cols_, x.rows() * out_.pixels(), window_.taps() * shape_.channels);
    im2col(detail::elements(name_, "x", x), shape_, window_, cols_, p.on);
    const auto y = product_.forward(cols_.view(), p);
    return {y.data(), x.rows(), out_.image_size()};
  }

  matrix_view<const T> backward(matrix_view<const T> dy, const pass& p, bool wants_dx) override {
    detail::check_gradient(name_, dy, cols_.rows() / out_.pixels(), out_.image_size());
    const auto rows = detail::elements(name_, "dy", dy);
    const auto dcols = product_.backward({rows.data(), cols_.rows(), out_.channels}, p, wants_dx);
    if (!wants_dx) return {};
    detail::shaped(dx_, dy.rows(), shape_.image_size());
    col2im(dcols, shape_, window_, dx_.elements(), p.on);
    return dx_.view();
  }

  void visit(const std::function<void(weight&)>& f) override { product_.visit(f); }

 private:
  std::string name_;
  image_shape shape_;
  window_2d window_;
  image_shape out_;  // of one image
  linear<T, T, Inputs> product_;
  matrix<T> cols_, dx_;
};

}  // namespace halfway::nn

#endif  // HALFWAY_NN_CONV2D_H_
