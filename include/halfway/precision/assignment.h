// SPDX-License-Identifier: Apache-2.0
// The type that each operation of a graph computes in: by lists of operations, by what lies around
// it, or as the user says.
//
//   const auto a = halfway::assign(g, halfway::amp_bf16);
//   a.compute[g.find("encoder.0.fc1")];  // bfloat16
//   a.why[g.find("encoder.0.norm1")];    // "deny: squares overflow half from 256 on, ..."
//   const auto b = halfway::assign(g, halfway::amp_bf16, {}, {{"head", halfway::dtype::float32}});
#ifndef HALFWAY_PRECISION_ASSIGNMENT_H_
#define HALFWAY_PRECISION_ASSIGNMENT_H_

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/default_ops.h"
#include "halfway/precision/graph.h"
#include "halfway/precision/layer_rules.h"
#include "halfway/precision/op_table.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/precision_rules.h"
#include "halfway/precision/promote.h"
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// For each node of a graph the type that its operation computes in, and a sentence why. An
/// operation sees its inputs rounded to this type; what it makes of them is computed in FP32 (int8:
/// in int32) and not rounded before the next operation's inputs are. Inputs and parameters have
/// their own type.
struct precision_assignment {
  std::vector<dtype> compute;     ///< for each node, by its id
  std::vector<std::string> why;   ///< for each node: the rule that decided, in words
  dtype output = dtype::float32;  ///< of the graph's results

  bool operator==(const precision_assignment&) const = default;  ///< node by node, reasons included
};

/// Types of layers by name.
using layer_types = std::map<std::string, dtype, std::less<>>;

/// Types that operations of a graph compute in, from the widest. int8: products with a parameter,
/// whose columns have scales, of activations that are quantized by rows as they come.
inline constexpr std::array<dtype, 5> graph_compute_types = {
    dtype::float32, dtype::bfloat16, dtype::float16, dtype::float8_e4m3fn, dtype::int8};

/// Is there a kernel for a node in this type? An operation of the user's has one in float32 only.
/// Error: no such node.
inline bool can_compute(const graph& g, node_id id, dtype type) {
  const graph_node& n = g.node(id);
  if (n.kind != node_kind::operation) return type == n.type;
  if (type == dtype::float32) return n.op != op::convert || n.attributes.type == type;
  if (detail::find_graph_op(n.op) == nullptr) return false;
  if (n.op == op::convert) return n.attributes.type == type;
  switch (type) {
    case dtype::bfloat16:
    case dtype::float16:
      return true;
    case dtype::float8_e4m3fn:
      return n.op != op::attention;
    case dtype::int8:
      return (n.op == op::linear || n.op == op::matmul) &&
             g.node(n.inputs[0]).kind != node_kind::parameter &&
             g.node(n.inputs[1]).kind == node_kind::parameter;
    default:
      return false;
  }
}

/// Does an operation only move or select values, so that rounding them before or after is the same?
inline bool selects(std::string_view op_name) {
  constexpr std::array joins = {op::concat, op::stack, op::where, op::index_copy};
  if (std::ranges::find(joins, op_name) != joins.end()) return true;
  const auto found = std::ranges::find(default_ops, op_name, &default_op::name);
  // The place of a maximum changes where two values round to one.
  return found != default_ops.end() && found->why == detail::why_selects && op_name != op::argmax;
}

namespace detail {

/// The colouring of assign().
class colouring {
 public:
  colouring(const graph& g, const precision_rules& rules)
      : g_(g), policy_(rules.policy), colours_(g.size(), colour::open), low_(g.size()) {
    result_.output = policy_.output;
    for (node_id id = 0; id < g.size(); ++id) {
      result_.compute.push_back(g.node(id).type);
      result_.why.emplace_back();
    }
    begin(rules);
    deny_downstream();
    allow_followers();
    for (node_id id = 0; id < g.size(); ++id) {
      if (colours_[id] == colour::open) paint_open(id);
    }
  }

  precision_assignment result() && { return std::move(result_); }

 private:
  enum class colour {
    open,   // infer and clear nodes at first
    fixed,  // by its own list or the user; narrow or not
    done,   // painted by a rule
  };

  bool is_op(node_id id) const { return g_.node(id).kind == node_kind::operation; }
  bool is_clear(node_id id) const { return clear_[id]; }

  /// The inputs whose types matter: parameters are cast once, whatever the type.
  template <class F>
  void for_each_activation(node_id id, const F& f) const {
    for (const node_id in : g_.node(id).inputs) {
      if (g_.node(in).kind != node_kind::parameter && g_.node(in).type != dtype::int32) f(in);
    }
  }

  void set(node_id id, colour c, dtype type, std::string why) {
    colours_[id] = c;
    low_[id] = type != dtype::float32;
    result_.compute[id] = type;
    result_.why[id] = std::move(why);
  }

  void begin(const precision_rules& rules) {
    clear_.resize(g_.size());
    denied_.resize(g_.size());
    std::vector<std::string_view> layers;
    for (node_id id = 0; id < g_.size(); ++id) {
      if (is_op(id)) layers.push_back(g_.node(id).name);
    }
    rules.layers.check(layers);
    for (node_id id = 0; id < g_.size(); ++id) {
      const graph_node& n = g_.node(id);
      if (!is_op(id)) {
        low_[id] = n.type != dtype::float32 && n.type != dtype::int32;
        colours_[id] = colour::fixed;
        result_.why[id] = n.kind == node_kind::input ? "as it is given"
                                                     : "an FP32 master, cast once for each type";
        continue;
      }
      const op_table::entry& entry = rules.ops.at(n.op);
      const layer_rule* rule = rules.layers.find(n.name);
      clear_[id] = selects(n.op);
      if (rule != nullptr) {
        begin_with_rule(id, *rule);
      } else if (n.op == op::convert) {
        set(id, colour::fixed, *n.attributes.type, "convert: its type is its purpose");
      } else if (entry.type) {
        begin_narrow(id, *entry.type, entry.why);
      } else {
        begin_with_list(id, entry.category, entry.why);
      }
    }
  }

  void begin_with_rule(node_id id, const layer_rule& rule) {
    const graph_node& n = g_.node(id);
    const op_category category = rule.choice.category;
    const dtype type = rule.choice.type().value_or(
        category == op_category::lower_precision ? policy_.compute : dtype::float32);
    if (category != op_category::promote_widest && !can_compute(g_, id, type) &&
        rule.pattern == n.name) {
      fail(concat("halfway::assign: layer ", quoted(n.name), " (", n.op, ") cannot compute in ",
                  name(type)));
    }
    const std::string why = concat(rule.pattern, "=", to_string(rule.choice), ": ", rule.why);
    if (n.op == op::convert) {  // a pattern that matches it
      set(id, colour::fixed, *n.attributes.type, "convert: its type is its purpose");
    } else if (category == op_category::promote_widest) {
      begin_with_list(id, category, why);
    } else if (can_compute(g_, id, type)) {
      set(id, colour::fixed, type, why);
    } else {
      begin_narrow(id, type, why);
    }
  }

  void begin_narrow(node_id id, dtype type, std::string_view why) {
    if (can_compute(g_, id, type)) {
      set(id, colour::fixed, type, concat("allow: ", why));
    } else {
      set(id, colour::fixed, dtype::float32,
          concat("there is no kernel of ", g_.node(id).op, " in ", name(type), " here"));
    }
  }

  void begin_with_list(node_id id, op_category category, std::string_view why) {
    if (category == op_category::lower_precision) {
      begin_narrow(id, policy_.compute, why);
    } else if (category != op_category::promote_widest) {
      set(id, colour::fixed, dtype::float32, concat("deny: ", why));
      denied_[id] = true;
    } else if (find_graph_op(g_.node(id).op) == nullptr) {
      set(id, colour::fixed, dtype::float32,
          concat("there is no kernel of ", g_.node(id).op, " but the user's in float32"));
    }
  }

  // Rule 2: what a denied node's effects reach through open nodes, up to a denied or an infer node.
  void deny_downstream() {
    std::vector<std::optional<node_id>> from(g_.size());  // the denied node upstream
    for (node_id id = 0; id < g_.size(); ++id) {
      if (colours_[id] != colour::open) continue;
      for_each_activation(id, [&](node_id in) {
        if (denied_[in] && colours_[in] == colour::fixed) {
          from[id] = in;
        } else if (from[in] && colours_[in] == colour::open) {
          from[id] = from[in];
        }
      });
    }
    std::vector<bool> leads(g_.size());  // a clear node, to a denied or infer node
    for (node_id id = g_.size(); id-- > 0;) {
      if (colours_[id] != colour::open) continue;
      for (const node_id to : g_.consumers(id)) {
        const bool is_infer = colours_[to] == colour::open && !is_clear(to);
        leads[id] = leads[id] || denied_[to] || is_infer || leads[to];
      }
    }
    for (node_id id = 0; id < g_.size(); ++id) {
      if (colours_[id] == colour::open && from[id] && (!is_clear(id) || leads[id])) {
        denied_[id] = true;
        set(id, colour::done, dtype::float32,
            concat("deny: it carries on what ", g_.node(*from[id]).name, " computes in float32"));
      }
    }
  }

  /// What a narrow neighbour makes others compute in: products in 8 bits are no reason to round
  /// anything else to 8 bits.
  dtype spread(node_id id) const {
    const dtype type = result_.compute[id];
    if (bits_of(type) >= 16) return type;
    return is_floating(policy_.compute) && bits_of(policy_.compute) >= 16 ? policy_.compute
                                                                          : dtype::float32;
  }

  // Rules 3 and 4: open nodes all of whose inputs are narrow; clear nodes whose values are only
  // read narrow.
  void allow_followers() {
    for (node_id id = 0; id < g_.size(); ++id) {
      if (colours_[id] != colour::open) continue;
      std::vector<dtype> types;
      bool all_narrow = true;
      for_each_activation(id, [&](node_id in) {
        all_narrow = all_narrow && low_[in];
        types.push_back(spread(in));
      });
      if (types.empty() || !all_narrow) continue;
      set(id, colour::done, promote(types), "infer: the widest of its inputs, all narrow");
    }
    for (node_id id = g_.size(); id-- > 0;) {
      if (colours_[id] != colour::open || !is_clear(id) || g_.is_output(id)) continue;
      std::vector<dtype> types;
      bool all_narrow = true;
      for (const node_id to : g_.consumers(id)) {
        all_narrow = all_narrow && low_[to];
        types.push_back(spread(to));
      }
      if (types.empty() || !all_narrow) continue;
      set(id, colour::done, promote(types), "clear: it selects values that are only read narrow");
    }
  }

  void paint_open(node_id id) {
    const std::string_view list = is_clear(id) ? "clear" : "infer";
    std::string why = concat(list, ": it has parameters only, which are FP32 masters");
    for_each_activation(id, [&](node_id in) {
      if (!low_[in]) {
        why =
            concat(list, ": the widest of its inputs, of which ", g_.node(in).name, " is float32");
      }
    });
    set(id, colour::done, dtype::float32, std::move(why));
  }

  const graph& g_;
  const cast_policy policy_;
  precision_assignment result_;
  std::vector<colour> colours_;
  std::vector<bool> low_;     // narrower than float32
  std::vector<bool> clear_;   // only moves or selects
  std::vector<bool> denied_;  // float32 by its list, or downstream of one that is
};

}  // namespace detail

/// The types of a graph's operations under a policy: the colouring of TensorFlow's
/// auto_mixed_precision pass, with the categories of an op_table as its lists. In this order:
///
///   1. allow: operations of category lower_precision compute in policy.compute; where they have no
///      kernel in it, in float32.
///   2. deny: operations of category float32 compute in float32; so does every infer and clear node
///      on a path from one of them, through such nodes, to another of them or to an infer node, that
///      node included: the effects of a delicate operation stay wide.
///   3. Remaining infer nodes (category promote_widest) and clear nodes (those which only select, see
///      `selects`) all of whose inputs are narrow compute in the widest type of these.
///   4. Remaining clear nodes that are only read by narrow nodes compute in the widest type of
///      those, which loses nothing: rounding what is selected is selecting what is rounded.
///   5. What remains computes in float32.
///
/// Where an infer node has both narrow and float32 inputs, as a residual sum does, TensorFlow makes
/// it narrow if a product follows, to save a cast; here it stays float32, as under autocast, and
/// the kernel before it writes float32 without a cast.
///
/// rules.layers are applied before rule 1, by name or pattern; a layer set to float32 is not narrow
/// to its neighbours, but does not deny what follows it. Operations that rules.ops sets to a type
/// count as allowed in it, refused ones as denied. Types of 8 bits do not spread to other nodes: as
/// neighbours they count as policy.compute where that has 16 bits, else as float32. Inputs count as
/// nodes of their type; parameters, which are cast once, do not count. policy.output is the type of
/// the results; policy.params is not used, as parameters are FP32 masters.
///
/// Where a list or a pattern asks for a type that an operation has no kernel in (can_compute), it
/// computes in float32. Errors: a layer's own rule that asks for one; an operation that rules.ops
/// does not know, with the nearest names; a rule that matches no layer; a policy.compute that is
/// none of graph_compute_types.
inline precision_assignment assign(const graph& g, const precision_rules& rules) {
  const dtype compute = rules.policy.compute;
  if (std::ranges::find(graph_compute_types, compute) == graph_compute_types.end()) {
    fail(detail::concat("halfway::assign: policy.compute (", name(compute),
                        ") must be float32, bfloat16, float16, float8_e4m3fn or int8"));
  }
  return detail::colouring(g, rules).result();
}

/// The same with types for some layers by name.
inline precision_assignment assign(const graph& g, const cast_policy& policy,
                                   const op_table& table = op_table(),
                                   const layer_types& layers = {}) {
  precision_rules rules{policy, table, {}};
  for (const auto& [layer, type] : layers) rules.layers.add(layer, type, "set for this layer");
  return assign(g, rules);
}

/// Every operation in one type, whatever is known of it ("FP16 everywhere"); float32 where it has
/// no kernel in that type. Error: none of graph_compute_types.
inline precision_assignment assign_all(const graph& g, dtype type) {
  if (std::ranges::find(graph_compute_types, type) == graph_compute_types.end()) {
    fail(detail::concat("halfway::assign_all: type (", name(type),
                        ") must be float32, bfloat16, float16, float8_e4m3fn or int8"));
  }
  precision_assignment a;
  for (node_id id = 0; id < g.size(); ++id) {
    const graph_node& n = g.node(id);
    const bool is_op = n.kind == node_kind::operation && n.op != op::convert;
    const bool can = is_op && can_compute(g, id, type);
    a.compute.push_back(can ? type : n.op == op::convert ? *n.attributes.type : n.type);
    a.why.push_back(can ? "everything" : is_op ? "it has no kernel in the type of the others" : "");
  }
  return a;
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_ASSIGNMENT_H_
