// SPDX-License-Identifier: Apache-2.0
// Tensors whose types are known at run time only: read as floats and rounded after, a block at a
// time that stays in the cache; casts.
#ifndef HALFWAY_PRECISION_GRAPH_TENSOR_H_
#define HALFWAY_PRECISION_GRAPH_TENSOR_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/ops/scale.h"
#include "halfway/precision/graph.h"
#include "halfway/simd/dispatch.h"
#include "halfway/types/bfloat16.h"
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
  /// See stored_amax, where the kernel that wrote the tensor knows it.
  std::optional<float> amax = {};

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

/// The largest magnitude of n stored elements; infinite or NaN if one is. Of integers nothing: they
/// have scales, or are ids.
inline std::optional<float> stored_amax(dtype type, std::size_t n, const void* data) {
  if (!is_floating(type)) return std::nullopt;
  return with_stored_type(type, [&]<class T>(T) -> std::optional<float> {
    return amax(std::span(static_cast<const T*>(data), n));
  });
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

}  // namespace halfway::detail

#endif  // HALFWAY_PRECISION_GRAPH_TENSOR_H_
