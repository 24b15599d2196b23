// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention, fused: the matrix of scores is never formed.
//
//   halfway::heads_view<const halfway::bfloat16> q(q_data, 32, 512, 128);    // heads, tokens, size
//   halfway::heads_view<const halfway::bfloat16> k(k_data, 8, 512, 128), v(v_data, 8, 512, 128);
//   halfway::heads_view<halfway::bfloat16> out(out_data, 32, 512, 128);
//   halfway::attention(q, k, v, out, {.causal = true});
#ifndef HALFWAY_OPS_ATTENTION_H_
#define HALFWAY_OPS_ATTENTION_H_

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/core/scratch.h"
#include "halfway/simd/attention_args.h"
#include "halfway/simd/dispatch.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"
#include "halfway/types/half.h"
#include "halfway/types/int8.h"

namespace halfway {

/// Queries and results of attention.
template <class T>
concept attention_float =
    std::same_as<T, float> || std::same_as<T, half> || std::same_as<T, bfloat16>;

/// Keys and values of attention: any float format, or std::int8_t or int8 with scales.
template <class T>
concept attention_storage =
    float_storage<T> || std::same_as<T, std::int8_t> || std::same_as<T, int8>;

/// attention_options::window where there is none.
inline constexpr std::size_t no_window = std::numeric_limits<std::size_t>::max();

/// What is done to the scores, and how 8-bit keys and values are read.
struct attention_options {
  /// Query i sees the keys up to the one at k.rows() - q.rows() + i: the last query sees all, as
  /// with a cache of keys.
  bool causal = false;
  /// What scores are multiplied with; by default 1 / sqrt(q.size()).
  std::optional<float> scale = {};
  /// Where causal: a query sees only the last so many of those keys (sliding window).
  std::size_t window = no_window;
  /// Added to the scaled scores; -infinity keeps a query from seeing a key. Element (m, i, j)
  /// belongs to query i and key j of the heads that share mask m: q.heads() / mask.heads()
  /// consecutive ones, such as all heads of a sequence of a batch. mask.rows() is q.rows(), or 1
  /// for all queries; mask.size() is k.rows(). Empty: none.
  heads_view<const float> mask = {};
  /// ALiBi (Press et al., 2022): slopes[h] times (j - p) is added to the scaled scores of head h, p
  /// being the place among the keys where the query stands, i + k.rows() - q.rows(). q.heads()
  /// slopes. Empty: none.
  std::span<const float> slopes = {};
  /// What stored keys (values) of 8 bits are multiplied with: k.heads() x k.rows() factors, one for
  /// each token, or k.heads() x 1, one for each head. Empty: none.
  matrix_view<const float> k_scale = {};
  /// @copydoc k_scale
  matrix_view<const float> v_scale = {};
};

namespace detail {

inline constexpr std::size_t attention_row_block = 48;  // of simd/attention-inl.h
// Rows of a group that keys and values are packed for: packing takes about as long as 10 of them.
inline constexpr std::size_t attention_task_rows = 528;
// Up to as many rows of a group, keys and values are read in place: packing would take longer than
// it saves.
inline constexpr std::size_t attention_decode_rows = 8;

// Heads of keys whose tokens lie side by side that are read together: a few KiB, so that memory is
// read in order.
inline constexpr std::size_t attention_heads_at_once = 16;

template <class TKV>
token_scales checked_scales(std::string_view where, std::string_view name,
                            matrix_view<const float> scales, std::size_t heads, std::size_t rows) {
  if (scales.empty()) return {nullptr, 0, 0};
  if (sizeof(TKV) != 1) [[unlikely]] {
    fail(concat(where, ": ", name, " is for keys and values of 8 bits, not of ", 8 * sizeof(TKV)));
  }
  check_equal(where, concat(name, ".rows()"), scales.rows(), "k.heads()", heads);
  if (scales.cols() == 1) return {scales.data(), scales.row_stride(), 0};
  check_equal(where, concat(name, ".cols()"), scales.cols(), "k.rows()", rows);
  return {scales.data(), scales.row_stride(), scales.col_stride()};
}

// Shapes and options; `out` is what `out_name` says, of out's shape.
template <class TQ, class TKV, class TOut>
void check_attention_shapes(std::string_view where, heads_view<const TQ> q, heads_view<const TKV> k,
                            heads_view<const TKV> v, std::string_view out_name,
                            heads_view<TOut> out, const attention_options& options) {
  check_equal(where, "k.size()", k.size(), "q.size()", q.size());
  check_equal(where, "v.heads()", v.heads(), "k.heads()", k.heads());
  check_equal(where, "v.rows()", v.rows(), "k.rows()", k.rows());
  check_equal(where, concat(out_name, ".heads()"), out.heads(), "q.heads()", q.heads());
  check_equal(where, concat(out_name, ".rows()"), out.rows(), "q.rows()", q.rows());
  check_equal(where, concat(out_name, ".size()"), out.size(), "v.size()", v.size());
  if (k.heads() == 0 || q.heads() % k.heads() != 0) [[unlikely]] {
    fail(concat(where, ": q.heads() (", q.heads(), ") must be a multiple of k.heads() (", k.heads(),
                ")"));
  }
  if (k.rows() == 0 && !out.empty()) [[unlikely]] {
    fail(concat(where, ": k has no rows but q has ", q.rows()));
  }
  if (options.causal && q.rows() > k.rows()) [[unlikely]] {
    fail(concat(where, ": q.rows() (", q.rows(), ") must be at most k.rows() (", k.rows(),
                ") where causal, or the first queries see no key"));
  }
  if (q.size() == 0 && !out.empty()) [[unlikely]] {
    fail(concat(where, ": q.size() is 0"));
  }
  if (options.window != no_window) {
    if (options.window == 0) [[unlikely]]
      fail(concat(where, ": window is 0"));
    if (!options.causal) [[unlikely]] {
      fail(concat(where, ": window (", options.window, ") is for causal attention"));
    }
  }
}

template <class TQ, class TKV, class TOut>
void check_attention(std::string_view where, heads_view<const TQ> q, heads_view<const TKV> k,
                     heads_view<const TKV> v, heads_view<TOut> out,
                     const attention_options& options) {
  check_attention_shapes<TQ, TKV, TOut>(where, q, k, v, "out", out, options);
  check_no_overlap(where, "out", "mask", overlap(out, options.mask));
  check_no_overlap(where, "out", "q", !same_places(out, q) && overlap(out, q));
  check_no_overlap(where, "out", "k", overlap(out, k));
  check_no_overlap(where, "out", "v", overlap(out, v));
}

inline constexpr double log2_e = 1.4426950408889634;  // the kernels compute powers of two

inline double checked_scale(std::string_view where, std::optional<float> scale, std::size_t size) {
  const double factor = scale
                            ? static_cast<double>(*scale)
                            : 1.0 / std::sqrt(static_cast<double>(std::max<std::size_t>(size, 1)));
  const float log2_scale = static_cast<float>(factor * log2_e);
  if (!(log2_scale >= std::numeric_limits<float>::min() &&
        log2_scale <= std::numeric_limits<float>::max())) [[unlikely]] {
    fail(concat(where, ": scale (", *scale, ") must be positive and finite"));
  }
  return factor;
}

inline score_bias checked_bias(std::string_view where, const attention_options& options,
                               std::size_t heads, std::size_t q_rows, std::size_t kv_rows) {
  score_bias bias{nullptr, 0, 0, 1, nullptr};
  const heads_view<const float> mask = options.mask;
  if (mask.data() != nullptr) {
    if (mask.heads() == 0 || heads % mask.heads() != 0) [[unlikely]] {
      fail(concat(where, ": q.heads() (", heads, ") must be a multiple of mask.heads() (",
                  mask.heads(), ")"));
    }
    if (mask.rows() != 1) check_equal(where, "mask.rows()", mask.rows(), "q.rows()", q_rows);
    check_equal(where, "mask.size()", mask.size(), "k.rows()", kv_rows);
    bias.mask = mask.data();
    bias.mask_head_stride = mask.head_stride();
    bias.mask_row_stride = mask.rows() == 1 ? 0 : mask.row_stride();
    bias.heads_to_a_mask = heads / mask.heads();
  }
  if (!options.slopes.empty()) {
    check_equal(where, "slopes.size()", options.slopes.size(), "q.heads()", heads);
    bias.slopes = options.slopes.data();
  }
  return bias;
}

// Keys and values of int8 share the kernels of std::int8_t.
template <class T>
using attention_raw = std::conditional_t<std::is_same_v<T, int8>, std::int8_t, T>;

template <class T>
head_rows<T> rows_of(heads_view<T> x) {
  return {x.data(), x.head_stride(), x.row_stride()};
}

// Runs the kernels for at most attention_decode_rows rows to a head of keys.
template <class Config>
void run_attention_of_few(const typename Config::Operands& operands, std::size_t kv_heads,
                          executor_ref on) {
  const std::size_t rows = operands.group * operands.q_rows;
  const auto divide_up = [](std::size_t n, std::size_t by) { return (n + by - 1) / by; };
  attention_ranges ranges{operands.first_key(0) / attention_range_keys, 0, nullptr,
                          operands.v_size + 2};
  ranges.count = divide_up(operands.kv_rows, attention_range_keys) - ranges.first;
  std::unique_ptr<float[]> parts;
  if (ranges.count > 1) {
    parts.reset(new float[kv_heads * ranges.count * rows * ranges.part_floats]);
    ranges.parts = parts.get();
  }

  // Heads that lie side by side are taken together as far as that leaves four tasks to a thread.
  std::size_t at_once = 1;
  if (operands.k.head_stride < operands.k.row_stride) {
    const std::size_t wanted = on.threads() == 1 ? 1 : 4 * on.threads();
    const std::size_t to_a_range = std::min(kv_heads, divide_up(wanted, ranges.count));
    at_once = std::min(divide_up(kv_heads, to_a_range), attention_heads_at_once);
  }
  const std::size_t parts_of_heads = divide_up(kv_heads, at_once);
  on.run(parts_of_heads * ranges.count, [&](std::size_t task) {
    const std::size_t head = task / ranges.count * at_once;
    HALFWAY_DISPATCH(AttentionDecodeKernel<Config>)
    (operands, ranges, ranges.first + task % ranges.count, head,
     std::min(at_once, kv_heads - head));
  });
  if (ranges.count > 1) {
    on.run(kv_heads, [&](std::size_t head) {
      HALFWAY_DISPATCH(AttentionCombineKernel<Config>)(operands, ranges, head);
    });
  }
}

}  // namespace detail

/// out(h, i, :) = sum over j of w_j v(g, j, :), w = softmax over j of scale * (q(h, i, :) . k(g, j,
/// :)), g = h / (q.heads() / k.heads()): heads of queries may share keys and values (grouped-query
/// attention).
///
/// q: heads x q_rows x size; k: kv_heads x kv_rows x size; v: kv_heads x kv_rows x v_size; out:
/// heads x q_rows x v_size, which may be q. Any sizes and any strides (core/heads_view.h), such as
/// one query and the first kv_rows tokens of a cache. Options (attention_options) add to the scores
/// and restrict which keys a query sees. Each thread that runs a task keeps 4 (size + v_size + 17)
/// bytes for each of up to 528 rows, and about 1 KiB * (size + v_size) and 32 KiB more.
///
/// Numbers: everything is computed in FP32 but for one case: where q, k and v are bfloat16 and the
/// CPU has dot product instructions for it, these multiply q with k (subnormal numbers count as
/// zero), and, unless there are at most eight queries to a head of k, w with v, for which w is
/// rounded to bfloat16. Maximum, sum and results are always FP32, and out is rounded once, to
/// nearest even. With u = 2^-24, t_j = the distance of score j from the row's largest, a_j =
/// scale * sum |q||k|, b_j = the sum of the magnitudes of what a mask and a slope add, and
///
///   d = max over j of (size + 2) u a_j + 3 u (a_j + b_j) + 5 u (t_j + 6) + 2^-20
/// (2^-8 more with rounded w; no 3 u (a_j + b_j) without mask and slopes), the error of an element
/// before that last rounding is at most
///
///   (2 d + (kv_rows + 8) u) (sum over j of w_j |v_j|)
/// to first order. The same call gives the same bits on the same target, on any executor.
///
/// A row that sees a score of NaN or +infinity becomes NaN; one whose scores are all -infinity,
/// such as a row of padding that a mask hides altogether, becomes zero. Values that a query does
/// not see, or sees with a weight of zero, must be finite: it may multiply them by zero.
///
/// The work is cut by heads of k and blocks of rows, or, for up to eight queries to a head, by
/// heads and ranges of 512 keys, of which each row's maximum, sum and results are put together in
/// order.
///
/// Errors, before anything is written: shapes that do not fit; no keys; more queries than keys
/// where causal; a scale that is not positive and finite; scales of another shape; a mask or slopes
/// of another shape; a window of 0, or without causal; out sharing memory with k, v or the mask, or
/// with q other than element for element.
template <class Q, class K, class V, class Out>
requires(attention_float<std::remove_const_t<Q>>&& attention_storage<std::remove_const_t<K>>&&
             std::same_as<std::remove_const_t<K>, std::remove_const_t<V>>&&
                 attention_float<Out>) void attention(heads_view<Q> q, heads_view<K> k,
                                                      heads_view<V> v, heads_view<Out> out,
                                                      const attention_options& options = {},
                                                      executor_ref on = {}) {
  constexpr std::string_view where = "halfway::attention";
  using TQ = std::remove_const_t<Q>;
  using TKV = std::remove_const_t<K>;
  using Raw = detail::attention_raw<TKV>;
  detail::check_attention<TQ, TKV, Out>(where, q, k, v, out, options);
  const double scale = detail::checked_scale(where, options.scale, q.size());
  const detail::score_bias bias =
      detail::checked_bias(where, options, q.heads(), q.rows(), k.rows());
  const auto k_scale =
      detail::checked_scales<TKV>(where, "k_scale", options.k_scale, k.heads(), k.rows());
  const auto v_scale =
      detail::checked_scales<TKV>(where, "v_scale", options.v_scale, k.heads(), k.rows());
  if (out.empty()) return;

  const auto raw = [](const TKV* p) { return reinterpret_cast<const Raw*>(p); };
  using Config = detail::attention_config<TQ, Raw, Out>;
  typename Config::Operands operands{
      {q.data(), q.head_stride(), q.row_stride()},
      {raw(k.data()), k.head_stride(), k.row_stride()},
      {raw(v.data()), v.head_stride(), v.row_stride()},
      detail::rows_of(out),
      k_scale,
      v_scale,
      q.heads() / k.heads(),
      q.rows(),
      k.rows(),
      q.size(),
      v.size(),
      static_cast<float>(scale),
      static_cast<float>((bias.is_empty() ? scale : 1.0) * detail::log2_e),
      bias,
      options.causal,
      options.window,
      &detail::thread_scratch};
  const std::size_t rows = operands.group * operands.q_rows;
  if (rows <= detail::attention_decode_rows) {
    return detail::run_attention_of_few<Config>(operands, k.heads(), on);
  }
  // At least four tasks to a thread, where that leaves blocks to cut.
  const std::size_t threads = on.threads();
  const std::size_t wanted = threads == 1 ? 1 : (4 * threads + k.heads() - 1) / k.heads();
  const std::size_t blocks =
      (rows + wanted * detail::attention_row_block - 1) / (wanted * detail::attention_row_block);
  const std::size_t task_rows =
      std::min(detail::attention_task_rows, blocks * detail::attention_row_block);
  const std::size_t tasks = (rows + task_rows - 1) / task_rows;
  on.run(tasks * k.heads(), [&](std::size_t task) {
    // The last rows first: where causal, they take longest.
    const std::size_t first = (tasks - 1 - task / k.heads()) * task_rows;
    HALFWAY_DISPATCH(AttentionKernel<Config>)
    (operands, task % k.heads(), first, std::min(first + task_rows, rows));
  });
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ATTENTION_H_
