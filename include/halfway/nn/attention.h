// SPDX-License-Identifier: Apache-2.0
// Multi-head self-attention with its projections.
//
//   // 64 sequences of 128 tokens, one row each; 4 heads of 16
//   halfway::nn::attention<halfway::half> attend("attn", {.tokens = 128, .width = 64, .heads = 4,
//                                                         .causal = true}, random);
#ifndef HALFWAY_NN_ATTENTION_H_
#define HALFWAY_NN_ATTENTION_H_

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "halfway/core/error.h"
#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/nn/linear.h"
#include "halfway/nn/module.h"
#include "halfway/nn/weight.h"
#include "halfway/ops/attention.h"
#include "halfway/ops/attention_backward.h"

namespace halfway::nn {

/// What an attention layer is made of.
struct attention_shape {
  std::size_t tokens = 0;  ///< of a sequence
  std::size_t width = 0;   ///< of a token
  std::size_t heads = 1;   ///< of width / heads elements each
  bool causal = false;     ///< a token sees those before it and itself
};

/// y = heads' results for x's queries, keys and values, projected. x and y: sequences * tokens x
/// width, the tokens of a sequence together. The weights of the linear layers "<name>.qkv", width x
/// 3 width (queries, keys and values, each head after head), and "<name>.out". The scores are
/// scaled by 1 / sqrt(width / heads). Numbers: ops/attention.h and ops/attention_backward.h;
/// queries, keys, values, results and their gradients are rounded to T.
template <class T, class Inputs = plain_inputs<T>>
class attention : public module<T> {
 public:
  /// Error: a width that is not a multiple of heads, no tokens.
  attention(std::string name, const attention_shape& shape, weight_source& random)
      : name_(std::move(name)),
        shape_(checked(name_, shape)),
        qkv_(name_ + ".qkv", shape.width, 3 * shape.width, random),
        out_(name_ + ".out", shape.width, shape.width, random) {}

  /// The projections, as to give their products 8-bit inputs.
  /// @{
  linear<T, T, Inputs>& qkv() { return qkv_; }
  linear<T, T, Inputs>& out() { return out_; }
  /// @}

  matrix_view<const T> forward(matrix_view<const T> x, pass& p) override {
    if (x.rows() % shape_.tokens != 0) {
      fail(halfway::detail::concat("halfway::nn: ", name_, ": x.rows() (", x.rows(),
                                   ") must be a multiple of tokens (", shape_.tokens, ")"));
    }
    projected_ = qkv_.forward(x, p);
    detail::shaped(results_, x.rows(), shape_.width);
    p.on.run(x.rows() / shape_.tokens, [&](std::size_t s) {
      halfway::attention(part(projected_.data(), 3, s, 0), part(projected_.data(), 3, s, 1),
                         part(projected_.data(), 3, s, 2), part(results_.data(), 1, s, 0),
                         {.causal = shape_.causal});
    });
    return out_.forward(results_.view(), p);
  }

  matrix_view<const T> backward(matrix_view<const T> dy, const pass& p, bool wants_dx) override {
    detail::check_gradient(name_, dy, results_.rows(), shape_.width);
    const auto dresults = out_.backward(dy, p);
    detail::shaped(dprojected_, dy.rows(), 3 * shape_.width);
    p.on.run(dy.rows() / shape_.tokens, [&](std::size_t s) {
      T* const d = dprojected_.data();
      attention_backward(part(projected_.data(), 3, s, 0), part(projected_.data(), 3, s, 1),
                         part(projected_.data(), 3, s, 2), part(dresults.data(), 1, s, 0),
                         part(d, 3, s, 0), part(d, 3, s, 1), part(d, 3, s, 2),
                         {.causal = shape_.causal});
    });
    return qkv_.backward(dprojected_.view(), p, wants_dx);
  }

  void visit(const std::function<void(weight&)>& f) override {
    qkv_.visit(f);
    out_.visit(f);
  }

 private:
  static attention_shape checked(const std::string& name, const attention_shape& s) {
    if (s.heads == 0 || s.width % s.heads != 0 || s.tokens == 0) {
      fail(halfway::detail::concat("halfway::nn: ", name, ": width (", s.width,
                                   ") must be a multiple of heads (", s.heads, "), and tokens (",
                                   s.tokens, ") above 0"));
    }
    return s;
  }

  // Part `which` of `parts` of the rows of sequence s, as heads.
  template <class U>
  heads_view<U> part(U* data, std::size_t parts, std::size_t s, std::size_t which) const {
    const std::size_t row = parts * shape_.width, size = shape_.width / shape_.heads;
    return {data + s * shape_.tokens * row + which * shape_.width,
            shape_.heads,
            shape_.tokens,
            size,
            size,
            row};
  }

  std::string name_;
  attention_shape shape_;
  linear<T, T, Inputs> qkv_, out_;
  matrix_view<const T> projected_;
  matrix<T> results_, dprojected_;
};

}  // namespace halfway::nn

#endif  // HALFWAY_NN_ATTENTION_H_
