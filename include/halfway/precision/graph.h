// SPDX-License-Identifier: Apache-2.0
// A model as a graph of operations: layers by name, edges and shapes, from which types are assigned
// (precision/assignment.h), casts and fusions planned (precision/plan.h) and results computed
// (precision/runner.h).
//
//   halfway::graph g;
//   const auto x = g.input("x", {64, 784});
//   const auto w = g.parameter("fc.weight", {784, 128});
//   const auto b = g.parameter("fc.bias", {1, 128});
//   const auto h = g.add("fc", halfway::op::linear, {x, w, b});
//   g.output(g.add("fc.gelu", halfway::op::gelu, {h}));
#ifndef HALFWAY_PRECISION_GRAPH_H_
#define HALFWAY_PRECISION_GRAPH_H_

#include <algorithm>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/default_ops.h"
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// The tokens of all sequences of a batch are rows.
struct tensor_shape {
  std::size_t rows = 0;  ///< of all sequences of a batch
  std::size_t cols = 0;  ///< elements of a row

  constexpr std::size_t size() const { return rows * cols; }       ///< elements of the tensor
  constexpr bool operator==(const tensor_shape&) const = default;  ///< of both numbers
};

/// "64 x 784"
inline std::string to_string(tensor_shape shape) {
  return detail::concat(shape.rows, " x ", shape.cols);
}

/// What an operation has besides inputs; each reads only its own.
struct op_attributes {
  std::size_t heads = 1;     ///< attention: of the queries
  std::size_t kv_heads = 0;  ///< attention: of keys and values; 0: as many as heads
  std::size_t sequence = 0;  ///< attention: rows of the queries that are one sequence; 0: all
  bool causal = false;  ///< attention; softmax: row i sees its first cols - rows + i + 1 columns
  bool transposed = false;         ///< matmul: of the second input
  float scale = 1.0f;              ///< matmul: a factor of the result
  float epsilon = 1e-5f;           ///< layernorm, rmsnorm
  std::optional<dtype> type = {};  ///< convert: the type that values are rounded to
  tensor_shape shape = {};         ///< of the result, for operations of the user's
};

/// Where a node's values come from.
enum class node_kind {
  input,      ///< given to each run
  parameter,  ///< a weight, bias or table: FP32 masters that stay the same from run to run
  operation,  ///< computed in each run from other nodes
};

/// Nodes count from 0 in the order in which they were added.
using node_id = std::size_t;

/// One tensor of a model, and how it comes about.
struct graph_node {
  std::string name;             ///< a layer's name, the only one in its graph
  node_kind kind;               ///< where its values come from
  std::string op;               ///< of operations
  std::vector<node_id> inputs;  ///< of operations, in the order that the operation has them
  tensor_shape shape;           ///< of the result
  dtype type;                   ///< of inputs: how their values arrive; else float32
  op_attributes attributes;     ///< of operations
};

namespace detail {

/// The operations whose shapes a graph infers, and which precision/runner.h has kernels for.
struct graph_op {
  std::string_view name;
  std::size_t least_inputs;
  std::size_t most_inputs;
  std::string_view inputs;  // their names
};
inline constexpr graph_op graph_ops[] = {
    {op::linear, 2, 3, "x, w[, bias]"},
    {op::matmul, 2, 2, "a, b"},
    {op::add, 2, 2, "a, b"},
    {op::mul, 2, 2, "a, b"},
    {op::layernorm, 1, 3, "x[, gamma[, beta]]"},
    {op::rmsnorm, 1, 2, "x[, gamma]"},
    {op::softmax, 1, 1, "x"},
    {op::log_softmax, 1, 1, "x"},
    {op::relu, 1, 1, "x"},
    {op::gelu, 1, 1, "x"},
    {op::gelu_tanh, 1, 1, "x"},
    {op::silu, 1, 1, "x"},
    {op::tanh, 1, 1, "x"},
    {op::sigmoid, 1, 1, "x"},
    {op::attention, 3, 3, "q, k, v"},
    {op::embedding, 2, 2, "ids, table"},
    {op::convert, 1, 1, "x"},
};

inline const graph_op* find_graph_op(std::string_view op_name) {
  const auto found = std::ranges::find(graph_ops, op_name, &graph_op::name);
  return found == std::end(graph_ops) ? nullptr : found;
}

/// The check of one operation's inputs, and the shape of its result.
class shape_inference {
 public:
  shape_inference(std::string_view layer, std::string_view op_name,
                  std::span<const tensor_shape> inputs, const op_attributes& attributes)
      : layer_(layer), op_(op_name), in_(inputs), attributes_(attributes) {}

  [[noreturn]] void fail_with(std::string_view message) const {
    std::string text = concat("halfway::graph::add: layer ", quoted(layer_), ": ", op_, " of ");
    for (std::size_t i = 0; i < in_.size(); ++i) {
      if (i != 0) text += i + 1 == in_.size() ? " and " : ", ";
      text += to_string(in_[i]);
    }
    fail(concat(text, ": ", message));
  }

  tensor_shape of_known(const graph_op& known) const {
    if (in_.size() < known.least_inputs || in_.size() > known.most_inputs) {
      fail_with(concat("it has ", in_.size(), " inputs, but takes ", known.inputs));
    }
    if (op_ == op::linear || op_ == op::matmul) return product();
    if (op_ == op::add || op_ == op::mul) return elementwise();
    if (op_ == op::attention) return attention();
    if (op_ == op::embedding) return {in_[0].size(), in_[1].cols};
    if (op_ == op::layernorm || op_ == op::rmsnorm) {
      for (std::size_t i = 1; i < in_.size(); ++i) check_row(i == 1 ? "gamma" : "beta", in_[i]);
    }
    if (op_ == op::softmax && attributes_.causal && in_[0].rows > in_[0].cols) {
      fail_with("causal softmax must not have more rows than columns");
    }
    if (op_ == op::convert && !attributes_.type) fail_with("attributes.type is not given");
    return in_[0];
  }

 private:
  void check(std::string_view left_name, std::size_t left, std::string_view right_name,
             std::size_t right) const {
    if (left != right) {
      fail_with(concat(left_name, " (", left, ") must equal ", right_name, " (", right, ")"));
    }
  }

  // One value for each column of the first input.
  void check_row(std::string_view name, tensor_shape row) const {
    check(concat(name, ".rows"), row.rows, "1", 1);
    check(concat(name, ".cols"), row.cols, "x.cols", in_[0].cols);
  }

  tensor_shape product() const {
    const bool is_linear = op_ == op::linear;
    tensor_shape b = in_[1];
    if (!is_linear && attributes_.transposed) std::swap(b.rows, b.cols);
    check(is_linear                ? "w.rows"
          : attributes_.transposed ? "b.cols"
                                   : "b.rows",
          b.rows, is_linear ? "x.cols" : "a.cols", in_[0].cols);
    if (in_.size() == 3) {
      check("bias.rows", in_[2].rows, "1", 1);
      check("bias.cols", in_[2].cols, "w.cols", b.cols);
    }
    return {in_[0].rows, b.cols};
  }

  tensor_shape elementwise() const {
    check("b.cols", in_[1].cols, "a.cols", in_[0].cols);
    if (in_[1].rows == 0 ? in_[0].rows != 0 : in_[0].rows % in_[1].rows != 0) {
      fail_with(concat("a.rows (", in_[0].rows, ") must be a multiple of b.rows (", in_[1].rows,
                       "), which then repeats"));
    }
    return in_[0];
  }

  tensor_shape attention() const {
    const tensor_shape q = in_[0], k = in_[1], v = in_[2];
    const std::size_t heads = attributes_.heads;
    const std::size_t kv_heads = attributes_.kv_heads == 0 ? heads : attributes_.kv_heads;
    if (heads == 0 || heads % kv_heads != 0) {
      fail_with(
          concat("heads (", heads, ") must be a positive multiple of kv_heads (", kv_heads, ")"));
    }
    if (q.cols % heads != 0) {
      fail_with(concat("q.cols (", q.cols, ") must be a multiple of heads (", heads, ")"));
    }
    check("k.cols", k.cols, "q.cols / heads * kv_heads", q.cols / heads * kv_heads);
    check("v.rows", v.rows, "k.rows", k.rows);
    if (v.cols % kv_heads != 0) {
      fail_with(concat("v.cols (", v.cols, ") must be a multiple of kv_heads (", kv_heads, ")"));
    }
    const std::size_t sequence = attributes_.sequence == 0 ? q.rows : attributes_.sequence;
    if (sequence == 0 || q.rows % sequence != 0) {
      fail_with(
          concat("q.rows (", q.rows, ") must be a positive multiple of sequence (", sequence, ")"));
    }
    const std::size_t sequences = q.rows / sequence;
    if (k.rows == 0 || k.rows % sequences != 0) {
      fail_with(concat("k.rows (", k.rows, ") must be a positive multiple of the ", sequences,
                       " sequences"));
    }
    if (attributes_.causal && sequence > k.rows / sequences) {
      fail_with(concat("a causal sequence of q (", sequence,
                       " rows) must not be longer than one of k (", k.rows / sequences, ")"));
    }
    return {q.rows, v.cols / kv_heads * heads};
  }

  std::string_view layer_;
  std::string_view op_;
  std::span<const tensor_shape> in_;
  const op_attributes& attributes_;
};

}  // namespace detail

/// Nodes are added after their inputs, so that a graph has no cycle. A plain value.
///
/// Operations whose shapes are inferred, with their inputs:
///
///   linear x (m x k), w (k x n)[, bias (1 x n)]      matmul a (m x k), b (k x n; n x k if transposed)
///   add, mul a (m x n), b (m x n, or fewer rows that divide m and repeat: a bias, or positions)
///   layernorm x[, gamma[, beta]], rmsnorm x[, gamma], gamma and beta 1 x cols
///   softmax, log_softmax x, of rows                  relu, gelu, gelu_tanh, silu, tanh, sigmoid x
///   attention q (tokens x heads * size), k (tokens of keys x kv_heads * size), v
///   embedding ids (int32), table (entries x size)    convert x, to attributes.type
/// Any other is the user's, and has the shape that its attributes give. What softmax and norms
/// compute, and in which types, is stated in ops/.
class graph {
 public:
  /// Values that each run is given: floats, or int32 for the ids of embedding. Errors: an empty
  /// name or one that exists; another integer type.
  node_id input(std::string_view name, tensor_shape shape, dtype type = dtype::float32) {
    if (!is_floating(type) && type != dtype::int32) {
      fail(detail::concat("halfway::graph::input: ", detail::quoted(name), ": type (",
                          halfway::name(type), ") must be a floating type or int32"));
    }
    return append("input", {std::string(name), node_kind::input, {}, {}, shape, type, {}});
  }

  /// FP32 values that every run uses. Errors: an empty name or one that exists.
  node_id parameter(std::string_view name, tensor_shape shape) {
    return append("parameter",
                  {std::string(name), node_kind::parameter, {}, {}, shape, dtype::float32, {}});
  }

  /// Errors: an empty name or one that exists; an input that is no node; an operation whose shape
  /// is neither known nor given, with the nearest names; a number of inputs, shapes or attributes
  /// that the operation does not take. Messages name the layer, the operation and the shapes.
  node_id add(std::string_view name, std::string_view op_name, std::span<const node_id> inputs,
              const op_attributes& attributes = {}) {
    std::vector<tensor_shape> shapes;
    for (const node_id id : inputs) {
      if (id >= nodes_.size()) {
        fail(detail::concat("halfway::graph::add: layer ", detail::quoted(name), ": input ", id,
                            " is none of the graph's ", nodes_.size(), " nodes"));
      }
      shapes.push_back(nodes_[id].shape);
    }
    const detail::shape_inference inferred(name, op_name, shapes, attributes);
    check_types(inferred, op_name, inputs, attributes);
    tensor_shape shape = attributes.shape;
    if (const detail::graph_op* known = detail::find_graph_op(op_name)) {
      shape = inferred.of_known(*known);
      if (attributes.shape != tensor_shape{} && attributes.shape != shape) {
        inferred.fail_with(detail::concat("attributes.shape (", to_string(attributes.shape),
                                          ") must be ", to_string(shape), ", or not be given"));
      }
    } else if (shape == tensor_shape{}) {
      fail_unknown(name, op_name);
    }
    return append("add", {std::string(name),
                          node_kind::operation,
                          std::string(op_name),
                          {inputs.begin(), inputs.end()},
                          shape,
                          dtype::float32,
                          attributes});
  }

  /// As add() for a span of inputs.
  node_id add(std::string_view name, std::string_view op_name,
              std::initializer_list<node_id> inputs, const op_attributes& attributes = {}) {
    return add(name, op_name, std::span(inputs.begin(), inputs.size()), attributes);
  }

  /// Makes a node's result one of the graph's, in this order. Errors: no node; a parameter; given
  /// before.
  void output(node_id id) {
    const graph_node& n = node(id);
    if (n.kind != node_kind::operation || std::ranges::find(outputs_, id) != outputs_.end()) {
      fail(detail::concat(
          "halfway::graph::output: ", detail::quoted(n.name),
          n.kind != node_kind::operation ? " is no operation" : " is an output already"));
    }
    outputs_.push_back(id);
  }

  std::size_t size() const { return nodes_.size(); }            ///< nodes, which count from 0
  std::span<const graph_node> nodes() const { return nodes_; }  ///< by id: each after its inputs
  /// In the order of the calls of output().
  std::span<const node_id> outputs() const { return outputs_; }
  /// Whether output() was called for it.
  bool is_output(node_id id) const { return std::ranges::find(outputs_, id) != outputs_.end(); }

  /// Error: there is no such node.
  const graph_node& node(node_id id) const {
    check(id);
    return nodes_[id];
  }

  /// The nodes that have it as an input, each once, in order. Error: there is no such node.
  std::span<const node_id> consumers(node_id id) const {
    check(id);
    return consumers_[id];
  }

  /// The node of this name. Error: there is none, with the nearest names.
  node_id find(std::string_view name) const {
    const auto found = ids_.find(name);
    if (found == ids_.end()) {
      std::vector<std::string_view> names;
      for (const graph_node& n : nodes_) names.push_back(n.name);
      fail(detail::concat("halfway::graph: unknown layer ", detail::quoted(name),
                          names.empty() ? "; the graph is empty"
                                        : detail::concat("; did you mean ",
                                                         detail::nearest_names(name, names), "?")));
    }
    return found->second;
  }
  /// Whether a node has this name.
  bool contains(std::string_view name) const { return ids_.find(name) != ids_.end(); }

 private:
  void check(node_id id) const {
    if (id >= nodes_.size()) {
      fail(detail::concat("halfway::graph: ", id, " is none of the graph's ", nodes_.size(),
                          " nodes"));
    }
  }

  // Only embedding reads int32, and ids are nothing else; rounding is to floating types.
  void check_types(const detail::shape_inference& inferred, std::string_view op_name,
                   std::span<const node_id> inputs, const op_attributes& attributes) const {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const graph_node& in = nodes_[inputs[i]];
      const bool are_ids = op_name == op::embedding && i == 0;
      if ((in.type == dtype::int32) != are_ids) {
        inferred.fail_with(detail::concat("input ", detail::quoted(in.name), " is of type ",
                                          halfway::name(in.type), ", but must be ",
                                          are_ids ? "int32" : "a floating type"));
      }
    }
    if (op_name == op::convert && attributes.type && !is_floating(*attributes.type)) {
      inferred.fail_with(detail::concat("attributes.type (", halfway::name(*attributes.type),
                                        ") must be a floating type"));
    }
  }

  [[noreturn]] static void fail_unknown(std::string_view name, std::string_view op_name) {
    const auto start = detail::concat("halfway::graph::add: layer ", detail::quoted(name), ": ");
    if (std::ranges::find(default_ops, op_name, &default_op::name) != default_ops.end()) {
      fail(detail::concat(start, "the graph cannot infer the shape of ", op_name,
                          "; give attributes.shape"));
    }
    std::vector<std::string_view> names;
    for (const detail::graph_op& o : detail::graph_ops) names.push_back(o.name);
    fail(detail::concat(start, "unknown operation ", detail::quoted(op_name), "; did you mean ",
                        detail::nearest_names(op_name, names),
                        "? An operation of yours needs attributes.shape"));
  }

  node_id append(std::string_view function, graph_node node) {
    const node_id id = nodes_.size();
    if (node.name.empty()) {
      fail(detail::concat("halfway::graph::", function, ": the name is empty"));
    }
    if (!ids_.try_emplace(node.name, id).second) {
      fail(detail::concat("halfway::graph::", function, ": layer ", detail::quoted(node.name),
                          " exists"));
    }
    for (const node_id in : node.inputs) {
      std::vector<node_id>& to = consumers_[in];
      if (to.empty() || to.back() != id) to.push_back(id);
    }
    nodes_.push_back(std::move(node));
    consumers_.emplace_back();
    return id;
  }

  std::vector<graph_node> nodes_;
  std::vector<std::vector<node_id>> consumers_;
  std::vector<node_id> outputs_;
  std::map<std::string, node_id, std::less<>> ids_;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_GRAPH_H_
