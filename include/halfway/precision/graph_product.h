// SPDX-License-Identifier: Apache-2.0
// Products of tensors whose types are known at run time only.
#ifndef HALFWAY_PRECISION_GRAPH_PRODUCT_H_
#define HALFWAY_PRECISION_GRAPH_PRODUCT_H_

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/fused_activation.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/ops/scale.h"
#include "halfway/precision/default_ops.h"
#include "halfway/precision/graph_tensor.h"
#include "halfway/precision/text.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/cast.h"
#include "halfway/types/dtype.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"

namespace halfway::detail {

/// The right-hand side of products, packed; int8 and float8_e4m3fn with a scale for each column.
struct packed_weights {
  std::variant<packed_matrix<float>, packed_matrix<bfloat16>, packed_matrix<half>,
               packed_matrix<float8_e4m3fn>, packed_matrix<std::int8_t>>
      b;
  std::vector<float> column_scale;

  std::size_t bytes() const {
    return std::visit([](const auto& p) { return p.bytes(); }, b) +
           column_scale.size() * sizeof(float);
  }
};

/// Packs the matrix as it is stored.
inline packed_weights pack(const graph_tensor& x, bool transposed) {
  return with_stored_type(x.type, [&]<class T>(T) {
    const matrix_view<const T> v = x.as<T>();
    return packed_weights{packed_matrix<T>(transposed ? v.transposed() : v), {}};
  });
}

/// Rounds and packs k x n parameters (n x k if transposed). In 8 bits each column has a scale: int8
/// amax / 127; float8_e4m3fn the power of two that puts amax into (224, 448]. Error: 8 bits, and an
/// element that is infinite or NaN.
inline packed_weights pack_rounded(std::string_view layer, matrix_view<const float> w, dtype type,
                                   bool transposed) {
  if (transposed) w = w.transposed();
  packed_weights packed;
  if (bits_of(type) != 8) {
    with_stored_type(type, [&]<class T>(T) {
      matrix<T> rounded(w.rows(), w.cols());
      convert(w, rounded);
      packed.b = packed_matrix<T>(rounded);
    });
    return packed;
  }
  matrix<float8_e4m3fn> floats(type == dtype::int8 ? 0 : w.rows(), w.cols());
  matrix<std::int8_t> codes(type == dtype::int8 ? w.rows() : 0, w.cols());
  std::vector<float> column(w.rows());
  std::vector<std::int8_t> column_codes(w.rows());
  for (std::size_t j = 0; j < w.cols(); ++j) {
    for (std::size_t i = 0; i < w.rows(); ++i) column[i] = w(i, j);
    const float largest = amax(column);
    if (!std::isfinite(largest)) {
      fail(concat("halfway::graph_runner: parameter ", quoted(layer), ": column ", j,
                  " has an infinite or NaN element, which ", name(type), " does not hold"));
    }
    if (type == dtype::int8) {
      packed.column_scale.push_back(quantize_row(column.data(), column_codes.data(), w.rows()));
      for (std::size_t i = 0; i < w.rows(); ++i) codes(i, j) = column_codes[i];
    } else {
      int exponent = 0;  // largest = f * 2^exponent, f in [1/2, 1): 448 = 7/8 * 2^9
      const float f = std::frexp(largest, &exponent);
      const int up = std::min(126, 9 - (f > 0.875f) - exponent);
      for (std::size_t i = 0; i < w.rows(); ++i) {
        floats(i, j) = saturate_cast<float8_e4m3fn>(std::ldexp(column[i], up));
      }
      packed.column_scale.push_back(std::ldexp(1.0f, -up));
    }
  }
  if (type == dtype::int8) {
    packed.b = packed_matrix<std::int8_t>(codes);
  } else {
    packed.b = packed_matrix<float8_e4m3fn>(floats);
  }
  return packed;
}

inline fused_activation activation_of(std::string_view op_name) {
  if (op_name == op::relu) return fused<activation::relu>();
  if (op_name == op::gelu) return fused<activation::gelu>();
  if (op_name == op::gelu_tanh) return fused<activation::gelu_tanh>();
  if (op_name == op::silu) return fused<activation::silu>();
  if (op_name == op::tanh) return fused<activation::tanh>();
  return fused<activation::sigmoid>();
}

/// What follows a product's sums.
struct product_epilogue {
  float scale = 1.0f;
  std::span<const float> bias;
  fused_activation activation;
};

/// Rows of a product's block that is rounded after: so many that packed weights are not read too
/// often, and the block stays in a second-level cache.
inline std::size_t product_block_rows(std::size_t cols) {
  constexpr std::size_t floats = std::size_t{1} << 17;
  return std::max<std::size_t>(48, floats / std::max<std::size_t>(cols, 1));
}

/// As stored_amax: products tell it at no cost worth naming, since c passes through registers.
inline float amax_of(const gemm_health& h) {
  return h.non_finite != 0 ? std::numeric_limits<float>::infinity() : h.amax;
}

/// `watches`: c.amax is set, too.
template <class T>
void float_product(const graph_tensor& a, const packed_weights& w, graph_tensor& c,
                   const product_epilogue& e, bool watches, executor_ref on) {
  const packed_matrix<T>& b = std::get<packed_matrix<T>>(w.b);
  gemm_options options{
      .alpha = e.scale, .bias = e.bias, .column_scale = w.column_scale, .activation = e.activation};
  const matrix_view<const T> va = a.as<T>();
  const auto whole = [&]<class TC>(TC) {
    gemm_health health;
    if (watches) options.health = &health;
    gemm(va, b, c.as_output<TC>(), options, on);
    if (watches) c.amax = amax_of(health);
  };
  if (c.type == dtype::float32) return whole(float());
  if constexpr (std::is_same_v<T, bfloat16>) {  // the usual chain of layers
    if (c.type == dtype::bfloat16) return whole(bfloat16());
  }
  // Rounding keeps the order, so the largest magnitude that is stored is the largest one rounded.
  // float8_e4m3fn saturates infinities: there the caller looks at what is stored.
  const bool watches_blocks = watches && c.type != dtype::float8_e4m3fn;
  std::atomic<float> largest{0.0f};
  const std::size_t cols = c.shape.cols;
  for_row_blocks(c, product_block_rows(cols), cols * b.rows(), on,
                 [&](std::size_t first, std::size_t rows, float* to) {
                   gemm_options own = options;
                   gemm_health health;
                   if (watches_blocks) own.health = &health;
                   gemm(va.block(first, 0, rows, va.cols()), b, matrix_view(to, rows, cols), own);
                   const float here = amax_of(health);
                   float before = largest.load(std::memory_order_relaxed);
                   while (before < here &&
                          !largest.compare_exchange_weak(before, here, std::memory_order_relaxed)) {
                   }
                 });
  if (watches_blocks) {
    c.amax = with_stored_type(
        c.type, [&]<class TC>(TC) { return static_cast<float>(static_cast<TC>(largest.load())); });
  }
}

/// int32 sums, as float times the row's scale times the column's, plus bias, then the activation.
inline void int8_product(const graph_tensor& a, const packed_weights& w, graph_tensor& c,
                         const product_epilogue& e, executor_ref on) {
  const auto& b = std::get<packed_matrix<std::int8_t>>(w.b);
  const matrix_view<const std::int8_t> va = a.as<std::int8_t>();
  const std::size_t cols = c.shape.cols;
  for_row_blocks(c, product_block_rows(cols), cols * b.rows(), on,
                 [&](std::size_t first, std::size_t rows, float* to) {
                   std::unique_ptr<std::int32_t[]> sums(new std::int32_t[rows * cols]);
                   gemm(va.block(first, 0, rows, va.cols()), b,
                        matrix_view(sums.get(), rows, cols));
                   for (std::size_t i = 0; i < rows; ++i) {
                     const float row_scale = a.scales[first + i] * e.scale;
                     const std::int32_t* sum = sums.get() + i * cols;
                     float* y = to + i * cols;
                     for (std::size_t j = 0; j < cols; ++j) {
                       y[j] = static_cast<float>(sum[j]) * (row_scale * w.column_scale[j]);
                     }
                     for (std::size_t j = 0; j < e.bias.size(); ++j) y[j] += e.bias[j];
                     if (e.activation.apply != nullptr) e.activation.apply(y, y, cols);
                   }
                 });
}

/// `watches`: float products set c.amax, where they know it.
inline void run_product(const graph_tensor& a, const packed_weights& w, graph_tensor& c,
                        const product_epilogue& e, bool watches, executor_ref on) {
  if (c.shape.size() == 0) return;
  if (a.type == dtype::int8) return int8_product(a, w, c, e, on);
  with_stored_type(a.type, [&]<class T>(T) { float_product<T>(a, w, c, e, watches, on); });
}

}  // namespace halfway::detail

#endif  // HALFWAY_PRECISION_GRAPH_PRODUCT_H_
