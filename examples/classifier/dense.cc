// SPDX-License-Identifier: Apache-2.0
#include "dense.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "halfway/core/error.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/precision/cast_weights.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"

namespace demo {

using halfway::dtype;
using halfway::matrix;

dense_layer::dense_layer(const dense_weights& from)
    : weight_(matrix<float>(from.inputs, from.outputs)), bias_(from.bias) {
  std::ranges::copy(from.weight, weight_.write().elements().begin());
}

template <class T>
matrix<float> dense_layer::run(const matrix<float>& x) const {
  matrix<float> y(x.rows(), weight_.cols());
  if constexpr (std::is_same_v<T, float>) {
    halfway::gemm(x, weight_, y, {.bias = bias_});
  } else {
    matrix<T> narrow(x.rows(), x.cols());
    halfway::convert(x, narrow);
    halfway::gemm(narrow, halfway::cast_weights<T>(weight_), y, {.bias = bias_});
  }
  return y;
}

matrix<float> dense_layer::operator()(const matrix<float>& x, dtype type) const {
  switch (type) {
    case dtype::float32:
      return run<float>(x);
    case dtype::bfloat16:
      return run<halfway::bfloat16>(x);
    case dtype::float16:
      return run<halfway::half>(x);
    default:
      halfway::fail(halfway::detail::concat("demo::dense_layer: no kernel for type ", name(type)));
  }
}

void relu(matrix<float>& x) { halfway::relu(x.elements(), x.elements()); }

}  // namespace demo
