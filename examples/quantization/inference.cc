// SPDX-License-Identifier: Apache-2.0
#include "inference.h"

#include <span>
#include <utility>

#include "halfway/ops/activation.h"
#include "halfway/ops/im2col.h"
#include "halfway/ops/pooling.h"

namespace quantization {

using halfway::matrix;
using halfway::matrix_view;

namespace {

std::span<const float> elements(matrix_view<const float> x) { return {x.data(), x.size()}; }

}  // namespace

matrix<float> run(const network& n, const products& p, matrix_view<const float> x,
                  const stage_observer& observer) {
  matrix<float> values, columns;
  for (std::size_t i = 0; i < n.stages.size(); ++i) {
    const stage& s = n.stages[i];
    matrix_view<const float> in = x;
    halfway::image_shape shape;
    if (s.conv) {
      shape = *s.conv;
      shape.images = x.rows();
      columns = matrix<float>(x.rows() * shape.pixels(), conv_window.taps() * shape.channels);
      halfway::im2col(elements(x), shape, conv_window, columns);
      in = columns.view();
    }
    matrix<float> y(in.rows(), s.outputs);
    p[i]->run(in, y.view());
    if (observer) observer(i, in, y.view());
    if (!s.is_last) halfway::relu(y.elements(), y.elements());
    if (s.conv) {
      shape.channels = s.outputs;
      const halfway::image_shape smaller = halfway::window_output(shape, pool_window);
      matrix<float> pooled(shape.images, smaller.image_size());
      halfway::max_pool(y.elements(), shape, pool_window, pooled.elements());
      values = std::move(pooled);
    } else {
      values = std::move(y);
    }
    x = values.view();
  }
  return values;
}

}  // namespace quantization
