// SPDX-License-Identifier: Apache-2.0
// What runs each operation of a graph on tensors whose types are known at run time only, with few
// instantiations of few kernels: rows and elements are computed by the kernels of float, a block at a
// time that stays in the cache, which is widened before and rounded after.
#ifndef HALFWAY_PRECISION_GRAPH_KERNELS_H_
#define HALFWAY_PRECISION_GRAPH_KERNELS_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/attention.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/fused_activation.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/ops/scale.h"
#include "halfway/ops/softmax.h"
#include "halfway/precision/default_ops.h"
#include "halfway/precision/graph.h"
#include "halfway/precision/text.h"
#include "halfway/simd/dispatch.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/cast.h"
#include "halfway/types/dtype.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "halfway/types/int8.h"

namespace halfway::detail {

struct aligned_delete {
  void operator()(std::byte* p) const {
    ::operator delete(p, aligned_allocator<std::byte>::alignment);
  }
};
/// Not initialized.
using aligned_bytes = std::unique_ptr<std::byte[], aligned_delete>;
inline aligned_bytes new_aligned_bytes(std::size_t n) {
  return aligned_bytes(
      static_cast<std::byte*>(::operator new(n, aligned_allocator<std::byte>::alignment)));
}

/// A dense row-major tensor in its own memory or someone else's. Rows of int8 have scales.
struct graph_tensor {
  dtype type = dtype::float32;
  tensor_shape shape;
  const void* data = nullptr;
  aligned_bytes memory;
  std::vector<float> scales;

  graph_tensor() = default;
  graph_tensor(dtype t, tensor_shape s, aligned_bytes m)
      : type(t), shape(s), data(m.get()), memory(std::move(m)) {}
  graph_tensor(dtype t, tensor_shape s) : graph_tensor(t, s, new_aligned_bytes(bytes_of(t, s))) {}
  /// Somebody else's.
  graph_tensor(dtype t, tensor_shape s, const void* p) : type(t), shape(s), data(p) {}

  static std::size_t bytes_of(dtype type, tensor_shape shape) {
    return shape.size() * static_cast<std::size_t>(bits_of(type)) / 8;
  }
  template <class T>
  matrix_view<const T> as() const {
    return {static_cast<const T*>(data), shape.rows, shape.cols};
  }
  template <class T>
  matrix_view<T> as_output() {
    return {reinterpret_cast<T*>(memory.get()), shape.rows, shape.cols};
  }
  std::span<const float> floats() const { return {static_cast<const float*>(data), shape.size()}; }
};

/// f of a value of the type that tensors of floats are stored in.
template <class F>
decltype(auto) with_stored_type(dtype type, const F& f) {
  switch (type) {
    case dtype::bfloat16:
      return f(bfloat16());
    case dtype::float16:
      return f(half());
    case dtype::float8_e4m3fn:
      return f(float8_e4m3fn());
    default:
      return f(float());
  }
}

/// Elements [begin, begin + n) as floats: in place, or widened into `buffer`.
inline const float* widened(const graph_tensor& x, std::size_t begin, std::size_t n,
                            float* buffer) {
  return with_stored_type(x.type, [&]<class T>(T) -> const float* {
    const T* from = static_cast<const T*>(x.data) + begin;
    if constexpr (std::is_same_v<T, float>) {
      return from;
    } else {
      convert(std::span(from, n), std::span(buffer, n));
      return buffer;
    }
  });
}

/// Where floats for elements [begin, ...) of y go: y itself, or `buffer`.
inline float* place_for(graph_tensor& y, std::size_t begin, float* buffer) {
  return y.type == dtype::float32 ? reinterpret_cast<float*>(y.memory.get()) + begin : buffer;
}

/// Rounds what place_for() was given, if that was `buffer`. float8_e4m3fn, which has no infinity,
/// saturates.
inline void store_rounded(const float* from, graph_tensor& y, std::size_t begin, std::size_t n) {
  with_stored_type(y.type, [&]<class T>(T) {
    const std::span to(reinterpret_cast<T*>(y.memory.get()) + begin, n);
    if constexpr (std::is_same_v<T, float8_e4m3fn>) {
      convert_saturating(std::span(from, n), to);
    } else if constexpr (!std::is_same_v<T, float>) {
      convert(std::span(from, n), to);
    }
  });
}

/// Floats of a tensor, of its own if it has them.
inline std::vector<float> all_widened(const graph_tensor& x) {
  std::vector<float> values(x.shape.size());
  const float* from = widened(x, 0, values.size(), values.data());
  if (from != values.data()) std::copy_n(from, values.size(), values.data());
  return values;
}

inline constexpr std::size_t graph_block = 4096;  // floats: half of a first-level cache

/// Calls f(first row, rows, their outputs) for blocks of y's rows, and rounds the outputs.
template <class F>
void for_row_blocks(graph_tensor& y, std::size_t block_rows, std::size_t bytes_per_row,
                    executor_ref on, const F& f) {
  const std::size_t cols = y.shape.cols;
  for_each_part(
      on, y.shape.rows, bytes_per_row,
      [&](std::size_t begin, std::size_t count) {
        std::vector<float> buffer(y.type == dtype::float32 ? 0
                                                           : std::min(block_rows, count) * cols);
        for (std::size_t i = 0; i < count; i += block_rows) {
          const std::size_t rows = std::min(block_rows, count - i);
          float* to = place_for(y, (begin + i) * cols, buffer.data());
          f(begin + i, rows, to);
          store_rounded(to, y, (begin + i) * cols, rows * cols);
        }
      },
      elements_per_line / std::gcd(elements_per_line, std::max<std::size_t>(cols, 1)));
}

/// y = f(x) of rows; f(x, y, first row, rows) of floats.
template <class F>
void map_rows(const graph_tensor& x, graph_tensor& y, executor_ref on, const F& f) {
  const std::size_t cols = x.shape.cols;
  if (x.shape.size() == 0) return;
  const std::size_t block = std::max<std::size_t>(1, graph_block / cols);
  for_row_blocks(y, block, cols * sizeof(float) * 2, on,
                 [&](std::size_t first, std::size_t rows, float* to) {
                   thread_local std::vector<float> buffer;
                   if (x.type != dtype::float32) buffer.resize(block * cols);
                   f(widened(x, first * cols, rows * cols, buffer.data()), to, first, rows);
                 });
}

inline void cast_tensor(const graph_tensor& x, graph_tensor& y, executor_ref on) {
  map_rows(x, y, on, [&](const float* from, float* to, std::size_t, std::size_t rows) {
    std::copy_n(from, rows * x.shape.cols, to);
  });
}

/// Codes and scale of n floats: amax / 127. Infinity and NaN give a scale of NaN, so that they are
/// not lost.
inline float quantize_row(const float* x, std::int8_t* codes, std::size_t n) {
  struct config {
    using From = float;
    using To = int8;
  };
  const float largest = amax(std::span(x, n));
  if (!std::isfinite(largest)) {
    std::fill_n(codes, n, std::int8_t{1});
    return std::numeric_limits<float>::quiet_NaN();
  }
  const float scale =
      largest == 0.0f ? 1.0f : std::max(largest / 127.0f, std::numeric_limits<float>::min());
  HALFWAY_DISPATCH(QuantizeKernel<config>)(x, reinterpret_cast<int8*>(codes), n, scale, 0);
  return scale;
}

/// A cast to int8, with a scale for each row.
inline void quantize_tensor(const graph_tensor& x, graph_tensor& y, executor_ref on) {
  const std::size_t cols = x.shape.cols;
  y.scales.resize(x.shape.rows);
  for_each_part(on, x.shape.rows, cols * 5, [&](std::size_t begin, std::size_t count) {
    std::vector<float> buffer(x.type == dtype::float32 ? 0 : cols);
    for (std::size_t i = begin; i < begin + count; ++i) {
      y.scales[i] = quantize_row(widened(x, i * cols, cols, buffer.data()),
                                 reinterpret_cast<std::int8_t*>(y.memory.get()) + i * cols, cols);
    }
  });
}

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

template <class T>
void float_product(const graph_tensor& a, const packed_weights& w, graph_tensor& c,
                   const product_epilogue& e, executor_ref on) {
  const packed_matrix<T>& b = std::get<packed_matrix<T>>(w.b);
  const gemm_options options{
      .alpha = e.scale, .bias = e.bias, .column_scale = w.column_scale, .activation = e.activation};
  const matrix_view<const T> va = a.as<T>();
  if (c.type == dtype::float32) return gemm(va, b, c.as_output<float>(), options, on);
  if constexpr (std::is_same_v<T, bfloat16>) {  // the usual chain of layers
    if (c.type == dtype::bfloat16) return gemm(va, b, c.as_output<T>(), options, on);
  }
  const std::size_t cols = c.shape.cols;
  for_row_blocks(c, product_block_rows(cols), cols * b.rows(), on,
                 [&](std::size_t first, std::size_t rows, float* to) {
                   gemm(va.block(first, 0, rows, va.cols()), b, matrix_view(to, rows, cols),
                        options);
                 });
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

inline void run_product(const graph_tensor& a, const packed_weights& w, graph_tensor& c,
                        const product_epilogue& e, executor_ref on) {
  if (c.shape.size() == 0) return;
  if (a.type == dtype::int8) return int8_product(a, w, c, e, on);
  with_stored_type(a.type, [&]<class T>(T) { float_product<T>(a, w, c, e, on); });
}

/// Sequence after sequence; as many at a time as there are threads, where there are enough.
inline void run_attention(const op_attributes& o, const graph_tensor& q, const graph_tensor& k,
                          const graph_tensor& v, graph_tensor& y, executor_ref on) {
  if (y.shape.size() == 0) return;
  if (q.type == dtype::float16) {  // computed in FP32 anyway
    graph_tensor wide[3];
    for (int i = 0; i < 3; ++i) {
      const graph_tensor& x = i == 0 ? q : i == 1 ? k : v;
      wide[i] = graph_tensor(dtype::float32, x.shape);
      cast_tensor(x, wide[i], on);
    }
    return run_attention(o, wide[0], wide[1], wide[2], y, on);
  }
  const std::size_t heads = o.heads, kv_heads = o.kv_heads == 0 ? heads : o.kv_heads;
  const std::size_t sequence = o.sequence == 0 ? q.shape.rows : o.sequence;
  const std::size_t sequences = q.shape.rows / sequence;
  const std::size_t keys = k.shape.rows / sequences;
  const auto run = [&]<class T>(std::size_t s, executor_ref within, T) {
    const auto part = [&](const graph_tensor& x, std::size_t rows, std::size_t n) {
      return heads_view<const T>::token_major(x.as<T>().row(s * rows), rows, n, x.shape.cols / n);
    };
    const std::size_t begin = s * sequence * y.shape.cols, n = sequence * y.shape.cols;
    std::vector<float> buffer(y.type == dtype::float32 ? 0 : n);
    float* to = place_for(y, begin, buffer.data());
    attention(part(q, sequence, heads), part(k, keys, kv_heads), part(v, keys, kv_heads),
              heads_view<float>::token_major(to, sequence, heads, y.shape.cols / heads),
              {.causal = o.causal}, within);
    store_rounded(to, y, begin, n);
  };
  const auto run_all = [&](auto type) {
    if (sequences >= on.threads()) {
      on.run(sequences, [&](std::size_t s) { run(s, {}, type); });
    } else {
      for (std::size_t s = 0; s < sequences; ++s) run(s, on, type);
    }
  };
  return q.type == dtype::bfloat16 ? run_all(bfloat16()) : run_all(float());
}

/// y = a + b or a * b, b's rows repeated.
inline void run_elementwise(bool is_product, const graph_tensor& a, const graph_tensor& b,
                            graph_tensor& y, executor_ref on) {
  const std::size_t cols = y.shape.cols;
  map_rows(a, y, on, [&](const float* from, float* to, std::size_t first, std::size_t rows) {
    thread_local std::vector<float> buffer;
    buffer.resize(cols);
    for (std::size_t i = 0; i < rows; ++i, from += cols, to += cols) {
      const float* other = widened(b, (first + i) % b.shape.rows * cols, cols, buffer.data());
      if (is_product) {
        for (std::size_t j = 0; j < cols; ++j) to[j] = from[j] * other[j];
      } else {
        for (std::size_t j = 0; j < cols; ++j) to[j] = from[j] + other[j];
      }
    }
  });
}

/// gamma and beta: null where there is none.
inline void run_norm(bool is_rms, float epsilon, const graph_tensor& x, const graph_tensor* gamma,
                     const graph_tensor* beta, graph_tensor& y, executor_ref on) {
  const std::span<const float> g = gamma ? gamma->floats() : no_parameters;
  const std::span<const float> b = beta ? beta->floats() : no_parameters;
  const std::size_t cols = x.shape.cols;
  map_rows(x, y, on, [&](const float* from, float* to, std::size_t, std::size_t rows) {
    const matrix_view in(from, rows, cols);
    const matrix_view out(to, rows, cols);
    if (is_rms) {
      rmsnorm(in, g, out, epsilon);
    } else {
      layernorm(in, g, b, out, epsilon);
    }
  });
}

/// sum = a + b, all of float, and y = norm(sum), in one pass.
inline void run_add_norm(bool is_rms, float epsilon, const graph_tensor& a, const graph_tensor& b,
                         const graph_tensor* gamma, const graph_tensor* beta, graph_tensor& sum,
                         graph_tensor& y, executor_ref on) {
  const std::span<const float> g = gamma ? gamma->floats() : no_parameters;
  const std::span<const float> bt = beta ? beta->floats() : no_parameters;
  const std::size_t cols = a.shape.cols;
  map_rows(a, y, on, [&](const float* from, float* to, std::size_t first, std::size_t rows) {
    const matrix_view x(from, rows, cols);
    const auto other = b.as<float>().block(first, 0, rows, cols);
    const auto sums = sum.as_output<float>().block(first, 0, rows, cols);
    const matrix_view out(to, rows, cols);
    if (is_rms) {
      add_rmsnorm(x, other, g, sums, out, epsilon);
    } else {
      add_layernorm(x, other, g, bt, sums, out, epsilon);
    }
  });
}

inline void run_softmax(const graph_node& n, const graph_tensor& x, graph_tensor& y,
                        executor_ref on) {
  const std::size_t cols = x.shape.cols;
  map_rows(x, y, on, [&](const float* from, float* to, std::size_t first, std::size_t rows) {
    const matrix_view in(from, rows, cols);
    const matrix_view out(to, rows, cols);
    if (n.op == op::log_softmax) return log_softmax(in, out);
    if (!n.attributes.causal) return softmax(in, out);
    // The last of these rows sees so many columns.
    const std::size_t seen = cols - x.shape.rows + first + rows;
    softmax(in.block(0, 0, rows, seen), out.block(0, 0, rows, seen),
            softmax_options{.causal = true});
    for (std::size_t i = 0; i < rows; ++i)
      std::fill(to + i * cols + seen, to + (i + 1) * cols, 0.0f);
  });
}

/// Error: an id that the table has no entry for.
inline void run_embedding(std::string_view layer, const graph_tensor& ids,
                          const graph_tensor& table, graph_tensor& y, executor_ref on) {
  const auto* id = static_cast<const std::int32_t*>(ids.data);
  for (std::size_t i = 0; i < y.shape.rows; ++i) {
    if (id[i] < 0 || static_cast<std::size_t>(id[i]) >= table.shape.rows) {
      fail(concat("halfway::graph_runner::run: layer ", quoted(layer), ": ids[", i, "] (", id[i],
                  ") must lie in [0, ", table.shape.rows, ")"));
    }
  }
  const std::size_t cols = y.shape.cols;
  if (cols == 0) return;
  if (y.type == table.type) {  // no need to widen
    const std::size_t bytes = cols * static_cast<std::size_t>(bits_of(y.type)) / 8;
    const auto* from = static_cast<const std::byte*>(table.data);
    for (std::size_t i = 0; i < y.shape.rows; ++i) {
      std::memcpy(y.memory.get() + i * bytes, from + static_cast<std::size_t>(id[i]) * bytes,
                  bytes);
    }
    return;
  }
  for_row_blocks(y, std::max<std::size_t>(1, graph_block / cols), cols * 8, on,
                 [&](std::size_t first, std::size_t rows, float* to) {
                   for (std::size_t i = 0; i < rows; ++i, to += cols) {
                     const auto entry = static_cast<std::size_t>(id[first + i]);
                     const float* from = widened(table, entry * cols, cols, to);
                     if (from != to) std::copy_n(from, cols, to);
                   }
                 });
}

}  // namespace halfway::detail

#endif  // HALFWAY_PRECISION_GRAPH_KERNELS_H_
