// SPDX-License-Identifier: Apache-2.0
#include "model_graph.h"

#include <string>

#include "halfway/precision/default_ops.h"
#include "model.h"

namespace language {

namespace {

using halfway::node_id;
namespace op = halfway::op;

class builder {
 public:
  builder(std::size_t windows, bool in_half) : rows_(windows * context), in_half_(in_half) {}

  halfway::graph build() && {
    const node_id tokens = g_.input("tokens", {rows_, 1}, halfway::dtype::int32);
    node_id x = g_.add("token", op::embedding, {tokens, parameter("token.table")});
    x = g_.add("position", op::add, {x, parameter("position.table")});
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::string block = block_name(b);
      x = g_.add(block + "add1", op::add, {x, attention(block, norm(block + "norm1", x))});
      x = g_.add(block + "add2", op::add, {x, feed_forward(block, norm(block + "norm2", x))});
    }
    const node_id logits = linear("head", norm("norm", x));
    g_.output(logits);
    g_.output(g_.add("log_probabilities", in_half_ ? log_of_softmax_in_half : op::log_softmax,
                     {logits}, {.shape = {rows_, vocabulary}}));
    return std::move(g_);
  }

 private:
  node_id parameter(const std::string& name) {
    const parameter_block& p = layout_.at(name);
    return g_.parameter(name, {p.rows, p.cols});
  }
  node_id linear(const std::string& name, node_id x) {
    const node_id weight = parameter(name + ".weight");
    return g_.add(name, op::linear, {x, weight, parameter(name + ".bias")});
  }
  node_id norm(const std::string& name, node_id x) {
    const node_id gamma = parameter(name + ".gamma");
    return g_.add(name, in_half_ ? layernorm_in_half : op::layernorm,
                  {x, gamma, parameter(name + ".beta")},
                  {.epsilon = epsilon, .shape = {rows_, width}});
  }
  node_id attention(const std::string& block, node_id x) {
    const node_id q = linear(block + "query", x), k = linear(block + "key", x),
                  v = linear(block + "value", x);
    const node_id mixed =
        g_.add(block + "attention", in_half_ ? attention_in_half : op::attention, {q, k, v},
               {.heads = heads, .sequence = context, .causal = true, .shape = {rows_, width}});
    return linear(block + "out", mixed);
  }
  node_id feed_forward(const std::string& block, node_id x) {
    return linear(block + "fc2", g_.add(block + "gelu", op::gelu, {linear(block + "fc1", x)}));
  }

  std::size_t rows_;
  bool in_half_;
  model_layout layout_;
  halfway::graph g_;
};

}  // namespace

halfway::graph model_graph(std::size_t windows, bool in_half) {
  return builder(windows, in_half).build();
}

}  // namespace language
