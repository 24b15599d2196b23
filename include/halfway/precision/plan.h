// SPDX-License-Identifier: Apache-2.0
// What is computed, cast and stored, in order, for a graph whose operations have their types: no
// tensor is cast twice to one type, no cast could be left out, and neighbours share a kernel where
// that saves storing what lies between them.
//
//   const auto plan = halfway::make_plan(g, halfway::assign(g, halfway::amp_bf16));
//   std::cout << halfway::to_string(plan, g);   // precision/plan_text.h
//   plan.casts;                                 // passes over a tensor that only change its type
#ifndef HALFWAY_PRECISION_PLAN_H_
#define HALFWAY_PRECISION_PLAN_H_

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/assignment.h"
#include "halfway/precision/default_ops.h"
#include "halfway/precision/graph.h"
#include "halfway/precision/promote.h"
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// A node's result as it is stored for those who read it.
struct plan_tensor {
  node_id node;                  ///< whose result it is; no convert, as these are only roundings
  std::vector<dtype> roundings;  ///< of the result, one after the other; those that change nothing
                                 ///< are left out
  dtype type;                    ///< of the elements
  tensor_shape shape;            ///< of the node's result
  std::size_t bytes;             ///< of elements, and of an int8 tensor's scales
};

/// What one kernel computes at once.
enum class fusion {
  none,        ///< one operation
  activation,  ///< a product and what is done to its sums on their way to memory
  add_norm,    ///< a sum and the norm of its rows, in one pass
};

/// A kernel that runs, or a cast where `nodes` is empty.
struct plan_step {
  std::vector<node_id> nodes;       ///< in order; two where they are fused
  std::vector<std::size_t> reads;   ///< tensors: the nodes' inputs, in order; not what is between
  std::vector<std::size_t> writes;  ///< tensors: the last node's; a fused sum's before it
  fusion fused = fusion::none;      ///< what the nodes have in common
  /// Reads one tensor, writes one, and changes the type.
  bool is_cast() const { return nodes.empty(); }
};

/// What a plan may do besides casting.
struct plan_options {
  bool fuse = true;  ///< false: one step for each node
};

/// All that a run of a graph does, in order; to_string() in precision/plan_text.h shows it.
struct precision_plan {
  precision_assignment assignment;     ///< the types that it was made for
  std::vector<plan_tensor> tensors;    ///< by index: what steps read and write
  std::vector<plan_step> preparation;  ///< casts of parameters: once, whatever the number of runs
  std::vector<plan_step> steps;        ///< of each run
  std::vector<std::size_t> outputs;    ///< tensors, in the order of the graph's outputs

  std::size_t casts = 0;  ///< in `steps`
  /// What `steps` would have, were each result stored in its operation's type and cast on each edge
  /// to another, as by a scope of autocast.
  std::size_t casts_by_edge = 0;
  std::size_t cast_bytes = 0;       ///< that casts in `steps` read and write
  std::size_t parameter_bytes = 0;  ///< of parameters as they are read
  std::size_t traffic_bytes = 0;    ///< that `steps` read and write, parameters included
};

/// Can an operation's kernel write its result in this type, rounded once, from FP32? Then storing
/// it so is no cast. Sums of products in 8 bits need a scale that is known after them only; an
/// operation of the user's writes float32.
inline bool writes_directly(std::string_view op_name, dtype type) {
  if (type == dtype::float32) return true;
  if (detail::find_graph_op(op_name) == nullptr) return false;
  if (type == dtype::float16 || type == dtype::bfloat16) return true;
  const bool is_product =
      op_name == op::linear || op_name == op::matmul || op_name == op::attention;
  return type == dtype::float8_e4m3fn && !is_product;
}

namespace detail {

/// The values that are left when all of `from` are rounded to a type.
inline value_set rounded(const value_set& from, dtype type) {
  const value_set to = values_of(type);
  // The largest may be rounded up; past the type's range it is its largest, or infinity.
  const double step = std::ldexp(1.0, std::ilogb(from.max) + 1 - to.digits);
  const double largest = std::nearbyint(from.max / step) * step;
  return {std::min(from.digits, to.digits), std::max(from.min_exponent, to.min_exponent),
          std::min(largest, to.max), from.is_signed && to.is_signed, to.has_infinity};
}

/// A value is what a node computes in FP32 (a node that is no convert; an input's values are in its
/// own type), rounded to some types one after the other. Rounding to a type that holds all values
/// that are left changes nothing, and is left out. Then two values are the same for all data where
/// node and roundings are.
struct rounded_value {
  node_id node;
  std::vector<dtype> roundings;

  auto operator<=>(const rounded_value&) const = default;
};

class planner {
 public:
  planner(const graph& g, const precision_assignment& assignment, const plan_options& options)
      : g_(g), options_(options), values_(g.size()), needed_(g.size()), demands_(g.size()) {
    plan_.assignment = assignment;
    check();
    find_needed();
    if (options.fuse) find_fused_activations();
    find_values();
    find_demands();
    for (node_id id = 0; id < g_.size(); ++id) {
      if (needed_[id] && g_.node(id).op != op::convert) store(id);
    }
    for (node_id id = 0; id < g_.size(); ++id) {
      if (needed_[id] && is_op(id) && g_.node(id).op != op::convert) add_steps(id);
      if (needed_[id] && !is_op(id)) add_casts(id);
    }
    for (const node_id id : g_.outputs()) {
      plan_.outputs.push_back(
          tensor_of(rounded(values_[id], assignment.output), assignment.output));
    }
    count();
  }

  precision_plan result() && { return std::move(plan_); }

 private:
  struct stored_as {
    std::vector<dtype> roundings;
    dtype type;
    auto operator<=>(const stored_as&) const = default;
  };

  bool is_op(node_id id) const { return g_.node(id).kind == node_kind::operation; }
  dtype compute(node_id id) const { return plan_.assignment.compute[id]; }

  static void check_stored(std::string_view where, std::string_view layer, dtype type) {
    if (type == dtype::int8 ||
        std::ranges::find(graph_compute_types, type) == graph_compute_types.end()) {
      fail(concat(where, quoted(layer), " (", name(type),
                  ") must be float32, bfloat16, float16 or float8_e4m3fn"));
    }
  }

  void check() const {
    const precision_assignment& a = plan_.assignment;
    if (a.compute.size() != g_.size()) {
      fail(concat("halfway::make_plan: assignment.compute.size() (", a.compute.size(),
                  ") must equal the graph's size (", g_.size(), ")"));
    }
    if (g_.outputs().empty()) fail("halfway::make_plan: the graph has no output");
    check_stored("halfway::make_plan: the type of ", "output", a.output);
    for (node_id id = 0; id < g_.size(); ++id) {
      const graph_node& n = g_.node(id);
      if (!can_compute(g_, id, compute(id))) {
        fail(concat("halfway::make_plan: layer ", quoted(n.name), is_op(id) ? ": " : "", n.op,
                    " cannot compute in ", name(compute(id))));
      }
      if (n.kind == node_kind::input && n.type != dtype::int32) {
        check_stored("halfway::make_plan: the type of input ", n.name, n.type);
      }
      if (n.op == op::convert) {
        check_stored("halfway::make_plan: the type of convert ", n.name, *n.attributes.type);
      }
    }
  }

  void find_needed() {
    for (const node_id id : g_.outputs()) needed_[id] = true;
    for (node_id id = g_.size(); id-- > 0;) {
      if (!needed_[id]) continue;
      for (const node_id in : g_.node(id).inputs) needed_[in] = true;
    }
  }

  static bool is_activation(std::string_view op_name) {
    return op_name == op::relu || op_name == op::gelu || op_name == op::gelu_tanh ||
           op_name == op::silu || op_name == op::tanh || op_name == op::sigmoid;
  }

  // Products whose sums nothing reads but an activation.
  void find_fused_activations() {
    for (node_id id = 0; id < g_.size(); ++id) {
      const std::string& op_name = g_.node(id).op;
      if (!needed_[id] || g_.is_output(id) || (op_name != op::linear && op_name != op::matmul)) {
        continue;
      }
      std::vector<node_id> readers;
      for (const node_id to : g_.consumers(id)) {
        if (needed_[to]) readers.push_back(to);
      }
      if (readers.size() == 1 && is_activation(g_.node(readers[0]).op)) {
        activation_of_[id] = readers[0];
        fused_.push_back(readers[0]);
      }
    }
  }
  bool is_fused(node_id id) const { return std::ranges::find(fused_, id) != fused_.end(); }

  rounded_value rounded(rounded_value v, dtype type) const {
    if (type == dtype::int32) return v;  // ids
    value_set left = values_of(g_.node(v.node).type);
    for (const dtype t : v.roundings) left = detail::rounded(left, t);
    // Codes of int8 have scales of their own.
    if (type == dtype::int8 || !holds(values_of(type), left)) v.roundings.push_back(type);
    return v;
  }

  void find_values() {
    for (node_id id = 0; id < g_.size(); ++id) {
      const graph_node& n = g_.node(id);
      values_[id] = n.op == op::convert ? rounded(values_[n.inputs[0]], *n.attributes.type)
                                        : rounded_value{id, {}};
    }
  }

  /// The type that a node reads an input in.
  dtype reads(node_id id, std::size_t input) const {
    const graph_node& n = g_.node(id);
    if (g_.node(n.inputs[input]).type == dtype::int32) return dtype::int32;
    const bool is_bias = n.op == op::linear && input == 2;
    const bool is_of_norm = (n.op == op::layernorm || n.op == op::rmsnorm) && input > 0;
    return is_bias || is_of_norm ? dtype::float32 : compute(id);
  }

  void demand(const rounded_value& v, dtype type) {
    rounded_value seen = rounded(v, type);
    demands_[v.node].insert({{seen.roundings, type}, {}});
  }

  void find_demands() {
    for (node_id id = 0; id < g_.size(); ++id) {
      const graph_node& n = g_.node(id);
      if (!needed_[id] || !is_op(id) || n.op == op::convert || is_fused(id)) continue;
      for (std::size_t i = 0; i < n.inputs.size(); ++i) demand(values_[n.inputs[i]], reads(id, i));
    }
    for (const node_id id : g_.outputs()) demand(values_[id], plan_.assignment.output);
    // A rounding is stored in its own type before it is widened or rounded further.
    for (node_id id = 0; id < g_.size(); ++id) {
      std::map<stored_as, std::size_t>& stored = demands_[id];
      std::vector<stored_as> more;
      for (const auto& [s, tensor] : stored) {
        for (std::vector<dtype> r = s.roundings; !r.empty(); r.pop_back())
          more.push_back({r, r.back()});
      }
      for (const stored_as& s : more) stored.insert({s, {}});
      if (stored.empty()) continue;
      // A kernel writes the one rounding that all others follow, if it can; else its result as it
      // is.
      const dtype own = g_.node(id).type;
      const stored_as exact{{}, own};
      if (is_op(id)) {
        std::vector<dtype> first;
        bool one = true;
        for (const auto& [s, tensor] : stored) {
          if (s.roundings.empty()) {
            one = false;
          } else if (first.empty()) {
            first.push_back(s.roundings[0]);
          } else {
            one = one && first[0] == s.roundings[0];
          }
        }
        if (one && writes_directly(g_.node(id).op, first[0])) continue;
      }
      stored.insert({exact, {}});
    }
  }

  /// Numbers a node's tensors; the first is the one that its kernel writes, or that is given.
  void store(node_id id) {
    const graph_node& n = g_.node(id);
    std::map<stored_as, std::size_t>& stored = demands_[id];
    if (stored.empty()) return;  // what is between fused nodes
    std::vector<std::pair<stored_as, std::size_t*>> order;
    for (auto& [s, tensor] : stored) order.emplace_back(s, &tensor);
    // Each after what it comes from: by the number of roundings, the rounding's own type first.
    const auto rank = [&](const stored_as& s) {
      const dtype home = s.roundings.empty() ? n.type : s.roundings.back();
      return std::tuple(s.roundings.size(), s.type != home, s);
    };
    std::ranges::sort(order, {}, [&](const auto& s) { return rank(s.first); });
    for (auto& [s, tensor] : order) {
      *tensor = plan_.tensors.size();
      std::size_t bytes = n.shape.size() * static_cast<std::size_t>(bits_of(s.type)) / 8;
      if (s.type == dtype::int8) {
        bytes += sizeof(float) * (n.kind == node_kind::parameter ? n.shape.cols : n.shape.rows);
      }
      plan_.tensors.push_back({id, s.roundings, s.type, n.shape, bytes});
      tensors_[id].push_back(*tensor);
    }
  }

  std::size_t tensor_of(const rounded_value& v, dtype type) const {
    return demands_[v.node].at({v.roundings, type});
  }

  std::size_t read_by(node_id id, std::size_t input) const {
    const dtype type = reads(id, input);
    return tensor_of(rounded(values_[g_.node(id).inputs[input]], type), type);
  }

  /// The casts that make a node's other tensors from the first.
  void add_casts(node_id id) {
    auto& steps = g_.node(id).kind == node_kind::parameter ? plan_.preparation : plan_.steps;
    const std::vector<std::size_t>& all = tensors_[id];
    for (std::size_t i = 1; i < all.size(); ++i) {
      const plan_tensor& to = plan_.tensors[all[i]];
      // From the same value in its own type, or else from the value before its last rounding.
      std::vector<dtype> from = to.roundings;
      const bool is_home = !from.empty() && from.back() == to.type;
      if (is_home) from.pop_back();
      const dtype type = from.empty() ? g_.node(id).type : from.back();
      steps.push_back({{}, {demands_[id].at({from, type})}, {all[i]}});
    }
  }

  /// The norm that reads a sum as it is stored. Its parameters are there already.
  std::optional<node_id> fused_norm_of(node_id id) const {
    const graph_node& n = g_.node(id);
    if (n.op != op::add || compute(id) != dtype::float32 ||
        g_.node(n.inputs[0]).shape != g_.node(n.inputs[1]).shape ||
        plan_.tensors[tensors_.at(id)[0]].type != dtype::float32) {
      return std::nullopt;
    }
    for (const node_id to : g_.consumers(id)) {
      const graph_node& norm = g_.node(to);
      if (!needed_[to] || (norm.op != op::layernorm && norm.op != op::rmsnorm) ||
          compute(to) != dtype::float32 || norm.inputs[0] != id) {
        continue;
      }
      const bool constant =
          std::all_of(norm.inputs.begin() + 1, norm.inputs.end(),
                      [&](node_id in) { return g_.node(in).kind == node_kind::parameter; });
      if (constant) return to;
    }
    return std::nullopt;
  }

  void add_steps(node_id id) {
    if (is_fused(id)) return;  // its values are there
    plan_step step{{id}, {}, {}};
    for (std::size_t i = 0; i < g_.node(id).inputs.size(); ++i)
      step.reads.push_back(read_by(id, i));
    if (const auto last = activation_of_.find(id); last != activation_of_.end()) {
      step.nodes.push_back(last->second);
      step.fused = fusion::activation;
    } else if (const auto norm = options_.fuse ? fused_norm_of(id) : std::nullopt) {
      step.nodes.push_back(*norm);
      step.fused = fusion::add_norm;
      step.writes.push_back(tensors_.at(id)[0]);
      for (std::size_t i = 1; i < g_.node(*norm).inputs.size(); ++i) {
        step.reads.push_back(read_by(*norm, i));
      }
      fused_.push_back(*norm);
    }
    const node_id last = step.nodes.back();
    step.writes.push_back(tensors_.at(last)[0]);
    const bool keeps_sum = step.fused == fusion::add_norm;
    plan_.steps.push_back(std::move(step));
    if (keeps_sum) add_casts(id);
    add_casts(last);
  }

  void count() {
    std::vector<bool> is_read(plan_.tensors.size());
    const auto is_parameter = [&](std::size_t t) {
      return g_.node(plan_.tensors[t].node).kind == node_kind::parameter;
    };
    for (const plan_step& s : plan_.steps) {
      std::size_t bytes = 0;
      for (const std::size_t t : s.reads) {
        bytes += plan_.tensors[t].bytes;
        is_read[t] = true;
      }
      for (const std::size_t t : s.writes) bytes += plan_.tensors[t].bytes;
      plan_.traffic_bytes += bytes;
      if (s.is_cast()) {
        ++plan_.casts;
        plan_.cast_bytes += bytes;
      }
    }
    for (std::size_t t = 0; t < is_read.size(); ++t) {
      if (is_read[t] && is_parameter(t)) plan_.parameter_bytes += plan_.tensors[t].bytes;
    }
    for (node_id id = 0; id < g_.size(); ++id) {
      const graph_node& n = g_.node(id);
      if (!needed_[id] || !is_op(id)) continue;
      for (std::size_t i = 0; i < n.inputs.size(); ++i) {
        const node_id in = n.inputs[i];
        if (g_.node(in).kind == node_kind::parameter) continue;
        plan_.casts_by_edge +=
            (n.op == op::convert ? *n.attributes.type : reads(id, i)) != stored_in(in);
      }
    }
    for (const node_id id : g_.outputs()) {
      plan_.casts_by_edge += plan_.assignment.output != stored_in(id);
    }
  }

  /// Where each result is stored in its operation's type: sums of int8 are float32.
  dtype stored_in(node_id id) const {
    return compute(id) == dtype::int8 ? dtype::float32 : compute(id);
  }

  const graph& g_;
  plan_options options_;
  precision_plan plan_;
  std::vector<rounded_value> values_;
  std::vector<bool> needed_;
  // How a node's result is stored, and the tensor's number.
  std::vector<std::map<stored_as, std::size_t>> demands_;
  std::map<node_id, std::vector<std::size_t>> tensors_;
  std::map<node_id, node_id> activation_of_;
  std::vector<node_id> fused_;  // nodes that an earlier step computes
};

}  // namespace detail

/// The steps of a graph whose nodes compute in given types.
///
/// Each operation reads its inputs in its own type, biases and the parameters of norms in float32.
/// An input's values are the FP32 result of the node before, rounded once to that type, whatever
/// types others read it in: the numbers that one layer sees never depend on another's type. Only
/// convert rounds for all that follow it, and only if its type does not hold what it is given; a
/// convert that widens does nothing, and one that rounds is no step where the kernel before can do
/// it.
///
/// A kernel writes its result once, in a type of its own choice (writes_directly): that is not a
/// cast. A cast is a pass that reads a tensor in one type and writes it in another; to int8 it
/// chooses a scale for each row as well. Under these rules no plan has fewer casts: every tensor
/// beyond the one that a kernel writes takes one, and each that is stored is either read or the
/// only way to one that is. Parameters are cast before the first run. What no output needs is left
/// out.
///
/// With options.fuse, one step computes
/// - linear or matmul and an activation, where nothing else reads the sums: these are not rounded
///   in between, so the activation's own type does not matter;
/// - add of two float32 tensors of one shape and a float32 layernorm or rmsnorm of the sum, which
///   is stored where others read it too; the bits are those of two steps.
///
/// Errors: an assignment of another size, or with a type that a node has no kernel for; a graph
/// without outputs; inputs, converts or an output in a type that tensors are not stored in.
inline precision_plan make_plan(const graph& g, const precision_assignment& assignment,
                                const plan_options& options = {}) {
  return detail::planner(g, assignment, options).result();
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_PLAN_H_
