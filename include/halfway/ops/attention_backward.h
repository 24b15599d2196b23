// SPDX-License-Identifier: Apache-2.0
// Gradients of attention with respect to queries, keys and values. No matrix of scores is kept from
// the forward pass: blocks of it are computed again.
//
//   halfway::attention(q, k, v, out, {.causal = true});
//   halfway::attention_backward(q, k, v, dout, dq, dk, dv, {.causal = true});
#ifndef HALFWAY_OPS_ATTENTION_BACKWARD_H_
#define HALFWAY_OPS_ATTENTION_BACKWARD_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/attention.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/simd/attention_args.h"
#include "halfway/simd/dispatch.h"

namespace halfway {

namespace detail {

template <class Q, class K, class V, class DO, class DX>
concept attention_gradient_types =
    attention_float<std::remove_const_t<Q>> && attention_float<std::remove_const_t<K>> &&
    std::same_as<std::remove_const_t<K>, std::remove_const_t<V>> &&
    attention_float<std::remove_const_t<DO>> && attention_float<DX>;

// Queries whose scores are held at once: as many as make the products efficient, if 2^18 scores (1
// MiB) hold them.
inline std::size_t attention_gradient_rows(std::size_t kv_rows) {
  return std::clamp<std::size_t>((std::size_t{1} << 18) / kv_rows, 16, 128);
}

// y = x transposed, both dense. In blocks that stay in the first-level cache: about twice as fast
// as convert() from columns.
inline void transpose(const matrix<float>& x, matrix<float>& y) {
  constexpr std::size_t side = 16;
  for (std::size_t i = 0; i < x.rows(); i += side) {
    for (std::size_t j = 0; j < x.cols(); j += side) {
      for (std::size_t r = i; r < std::min(x.rows(), i + side); ++r) {
        for (std::size_t c = j; c < std::min(x.cols(), j + side); ++c) y(c, r) = x(r, c);
      }
    }
  }
}

template <class TQ, class TKV, class TDO>
struct attention_gradient {
  heads_view<const TQ> q;
  heads_view<const TKV> k, v;
  heads_view<const TDO> dout;
  float scale;
  score_bias bias;
  bool causal;
  std::size_t window;

  std::size_t position(std::size_t i) const { return k.rows() - q.rows() + i; }
  std::size_t end_key(std::size_t i) const { return causal ? position(i) + 1 : k.rows(); }
  std::size_t first_key(std::size_t i) const {
    const std::size_t end = end_key(i);
    return causal && end > window ? end - window : 0;
  }

  // What all queries of a head of keys share, in FP32 and transposed: rows of tokens, along which
  // the products run without packing columns anew for each block of queries.
  struct head_of_keys {
    matrix<float> k, v;    // size x tokens, v_size x tokens
    matrix<float> dk, dv;  // sums, zero at first
  };
  head_of_keys transposed(std::size_t kv_head) const {
    head_of_keys h{
        {k.size(), k.rows()}, {v.size(), v.rows()}, {k.size(), k.rows()}, {v.size(), v.rows()}};
    matrix<float> rows_of_k(k.rows(), k.size()), rows_of_v(v.rows(), v.size());
    convert(k.head(kv_head), rows_of_k);
    convert(v.head(kv_head), rows_of_v);
    transpose(rows_of_k, h.k);
    transpose(rows_of_v, h.v);
    return h;
  }

  // Queries [first, first + rows) of head h: writes their dq, adds to the dk and dv of their head
  // of keys. scores and gradients: memory of rows * k.rows() floats.
  template <class TG>
  void run_block(std::size_t h, std::size_t first, std::size_t rows, float* scores,
                 float* gradients, matrix_view<TG> dq, head_of_keys& shared) const {
    const std::size_t key = first_key(first), keys = end_key(first + rows - 1) - key;
    const auto seen = [&](matrix<float>& m) { return m.view().block(0, key, m.rows(), keys); };
    const matrix_view<float> weights(scores, rows, keys), dweights(gradients, rows, keys);
    const auto queries = q.head(h).block(first, 0, rows, q.size());
    const auto dresults = dout.head(h).block(first, 0, rows, v.size());
    gemm(queries, seen(shared.k), weights, {.alpha = scale});
    gemm(dresults, seen(shared.v), dweights);
    const auto kernel = HALFWAY_DISPATCH(AttentionGradientRowKernel<attention_gradient_row>);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t i = first + r, begin = first_key(i);
      kernel({weights.row(r), dweights.row(r), begin - key, end_key(i) - key, keys,
              bias.of_row(h, i, begin), bias.slopes == nullptr ? 0.0f : bias.slopes[h],
              static_cast<float>(begin) - static_cast<float>(position(i)), scale});
    }
    const auto keys_of_head = k.head(h / (q.heads() / k.heads())).block(key, 0, keys, k.size());
    gemm(dweights, keys_of_head, dq.block(first, 0, rows, q.size()));
    gemm(queries.transposed(), dweights, seen(shared.dk), {.beta = 1.0f});
    gemm(dresults.transposed(), weights, seen(shared.dv), {.beta = 1.0f});
  }
};

}  // namespace detail

/// The gradients of attention(q, k, v, out, options), given the gradient dout of out. With w the
/// weights of attention(), which are computed again, and g = h / (q.heads() / k.heads()):
///
///   dw(h, i, j) = dout(h, i, :) . v(g, j, :)
///   ds(h, i, j) = scale * w(h, i, j) (dw(h, i, j) - sum over k of w(h, i, k) dw(h, i, k))
///   dq(h, i, :) = sum over j of ds(h, i, j) k(g, j, :)
///   dk(g, j, :) = sum over h of g, i of ds(h, i, j) q(h, i, :)
///   dv(g, j, :) = sum over h of g, i of w(h, i, j) dout(h, i, :)
///
/// Shapes as for attention(): dout as out, dq as q, dk as k, dv as v; any strides, such as three
/// parts of the gradient of one projection. All of float, half or bfloat16, in any mix of q, of k
/// and v, of dout, and of the gradients. Options as given to attention(), but for the scales of
/// 8-bit keys and values. All three gradients are overwritten.
///
/// As in FlashAttention (Dao et al., 2022), memory is of the order of one sequence: a thread keeps
/// the scores of up to 128 queries and their gradient, 2 * max(16 k.rows(), 2^18) floats at most,
/// and 3 * k.rows() * (q.size() + v.size()) floats of keys, values and their gradients. Unlike
/// there, a query's scores are held together, so that the forward pass has nothing to save.
///
/// Numbers: all products, w, dw and ds are FP32 (bfloat16 operands are widened), and each gradient
/// is FP32 and rounded once, to nearest even. With u = 2^-24, a_j = scale * sum |q||k|, b_j the sum
/// of the magnitudes of what a mask and a slope add, c that of softmax() for n = k.rows(), the
/// weights' relative error is at most
///
///   e = 2 max over j of ((size + 6) u a_j + 3 u b_j) + c u,
/// and with G_ij = sum |dout_i||v_j|, H_i = sum over j of w_ij G_ij, R the number of queries that
/// share a head of keys and d = d(k.rows()) + 1 of ops/reduce.h, the gradients' errors before the
/// last rounding are to first order at most
///
///   dv: sum over h, i of (e + (R + R / 16 + 4) u) w_ij |dout_i|
///   dq: sum over j of E w_ij (G_ij + H_i) scale |k_j|,   n = k.rows()
///   dk: sum over h, i of E w_ij (G_ij + H_i) scale |q_i|,   n = R + R / 16
/// where E = 2 e + (2 v_size + d + n + 16) u.
///
/// The same call gives the same bits on the same target, on any executor: the work is cut by heads
/// of keys.
///
/// A row that sees a score of NaN or +infinity makes its dq, and the dk and dv of the keys that it
/// sees, NaN; a row whose scores are all -infinity contributes nothing and its dq is zero. All of
/// q, k, v and dout must be finite, even keys and values that a query does not see: they may be
/// multiplied by zero.
///
/// Errors, before anything is written: those of attention() for its arguments; shapes that do not
/// fit; k_scale or v_scale; a gradient sharing memory with anything else.
template <class Q, class K, class V, class DO, class DX>
requires detail::attention_gradient_types<Q, K, V, DO, DX>
void attention_backward(heads_view<Q> q, heads_view<K> k, heads_view<V> v, heads_view<DO> dout,
                        heads_view<DX> dq, heads_view<DX> dk, heads_view<DX> dv,
                        const attention_options& options = {}, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::attention_backward";
  using TQ = std::remove_const_t<Q>;
  using TKV = std::remove_const_t<K>;
  using TDO = std::remove_const_t<DO>;
  detail::check_attention_shapes<TQ, TKV, const TDO>(where, q, k, v, "dout", dout, options);
  const auto check_gradient = [&](std::string_view name, auto gradient, std::string_view of_name,
                                  auto of) {
    const auto check = [&](std::string_view extent, std::size_t is, std::size_t must_be) {
      detail::check_equal(where, detail::concat(name, extent), is, detail::concat(of_name, extent),
                          must_be);
    };
    check(".heads()", gradient.heads(), of.heads());
    check(".rows()", gradient.rows(), of.rows());
    check(".size()", gradient.size(), of.size());
    const auto apart = [&](std::string_view other, auto view) {
      detail::check_no_overlap(where, name, other, detail::overlap(gradient, view));
    };
    apart("q", q);
    apart("k", k);
    apart("v", v);
    apart("dout", dout);
    apart("mask", options.mask);
  };
  check_gradient("dq", dq, "q", q);
  check_gradient("dk", dk, "k", k);
  check_gradient("dv", dv, "v", v);
  detail::check_no_overlap(where, "dq", "dk", detail::overlap(dq, dk));
  detail::check_no_overlap(where, "dq", "dv", detail::overlap(dq, dv));
  detail::check_no_overlap(where, "dk", "dv", detail::overlap(dk, dv));
  if (!options.k_scale.empty() || !options.v_scale.empty()) [[unlikely]] {
    fail(detail::concat(where, ": ", options.k_scale.empty() ? "v_scale" : "k_scale",
                        " is for keys and values of 8 bits, which have no gradient"));
  }
  const auto scale = static_cast<float>(detail::checked_scale(where, options.scale, q.size()));
  const detail::attention_gradient<TQ, TKV, TDO> gradient{
      q,
      k,
      v,
      dout,
      scale,
      detail::checked_bias(where, options, q.heads(), q.rows(), k.rows()),
      options.causal,
      options.window};
  const std::size_t group = q.heads() / k.heads();
  const std::size_t block = detail::attention_gradient_rows(std::max<std::size_t>(1, k.rows()));
  on.run(k.heads(), [&](std::size_t kv_head) {
    matrix<float> scores(2 * std::min(block, q.rows()), k.rows());
    auto shared = gradient.transposed(kv_head);
    for (std::size_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      for (std::size_t i = 0; i < q.rows(); i += block) {
        gradient.run_block(h, i, std::min(block, q.rows() - i), scores.data(),
                           scores.data() + scores.size() / 2, dq.head(h), shared);
      }
    }
    matrix<float> rows_of_k(k.rows(), k.size()), rows_of_v(v.rows(), v.size());
    detail::transpose(shared.dk, rows_of_k);
    detail::transpose(shared.dv, rows_of_v);
    convert(rows_of_k, dk.head(kv_head));
    convert(rows_of_v, dv.head(kv_head));
  });
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ATTENTION_BACKWARD_H_
