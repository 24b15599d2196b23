// SPDX-License-Identifier: Apache-2.0
// What runs each operation of a graph on tensors whose types are known at run time only, with few
// instantiations of few kernels: rows and elements are computed by the kernels of float, on blocks
// that are widened before and rounded after.
#ifndef HALFWAY_PRECISION_GRAPH_KERNELS_H_
#define HALFWAY_PRECISION_GRAPH_KERNELS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/attention.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/softmax.h"
#include "halfway/precision/default_ops.h"
#include "halfway/precision/graph.h"
#include "halfway/precision/graph_tensor.h"
#include "halfway/precision/text.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"

namespace halfway::detail {

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
