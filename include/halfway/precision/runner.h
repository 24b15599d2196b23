// SPDX-License-Identifier: Apache-2.0
// Runs the plan of a graph with the library's kernels.
//
//   halfway::graph_runner runner(g, {{"fc.weight", w.view()}, {"fc.bias", b.view()}});   // float
//   const auto plan = halfway::make_plan(g, halfway::assign(g, halfway::amp_bf16));
//   const auto y = runner.run(plan, {{"x", x}});                             // y[0]: matrix<float>
//   runner.run(plan, {{"x", x}}, {.on = halfway::default_thread_pool(),
//                                 .observer = [](const halfway::node_result& r) { ... }});
#ifndef HALFWAY_PRECISION_RUNNER_H_
#define HALFWAY_PRECISION_RUNNER_H_

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/precision/default_ops.h"
#include "halfway/precision/graph.h"
#include "halfway/precision/graph_kernels.h"
#include "halfway/precision/graph_product.h"
#include "halfway/precision/graph_tensor.h"
#include "halfway/precision/plan.h"
#include "halfway/precision/plan_trace.h"
#include "halfway/precision/text.h"
#include "halfway/telemetry/trace.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// A matrix of any type that a graph's inputs have: float, bfloat16, half, float8_e4m3fn or
/// std::int32_t. Names its memory, which must stay while it is used.
class graph_input {
 public:
  /// Error: columns that do not lie side by side, or rows apart.
  template <matrix_like M>
  graph_input(const M& m) {  // NOLINT(google-explicit-constructor): an argument names the matrix
    const auto v = as_view(m);
    type_ = dtype_of<std::remove_const_t<element_of<const M>>>;
    shape_ = {v.rows(), v.cols()};
    data_ = v.data();
    if (!v.empty() && (!v.is_row_major() || (v.rows() > 1 && v.row_stride() != v.cols()))) {
      fail(detail::concat(
          "halfway::graph_input: the matrix must be dense and row-major, but has strides ",
          v.row_stride(), " and ", v.col_stride()));
    }
  }

  dtype type() const { return type_; }           ///< of the elements
  tensor_shape shape() const { return shape_; }  ///< of the matrix
  const void* data() const { return data_; }     ///< row after row, without gaps

 private:
  dtype type_;
  tensor_shape shape_;
  const void* data_;
};

/// By the names of a graph's inputs.
using graph_inputs = std::map<std::string, graph_input, std::less<>>;

/// FP32 masters by name: any strides. They must stay while a runner uses them.
using graph_parameters = std::map<std::string, matrix_view<const float>, std::less<>>;

/// What an operation of the user's is called with: computes `out` from `in`, all of float.
struct user_operation {
  const graph_node& node;                        ///< which operation it is: name, attributes
  std::span<const matrix_view<const float>> in;  ///< the node's inputs, in order
  matrix_view<float> out;                        ///< of the node's shape; not zero at first
  executor_ref on;                               ///< where it may run tasks
};
/// Computes an operation of the user's.
using float_kernel = std::function<void(const user_operation&)>;

/// A node's result, as its kernel wrote it for the nodes that follow.
class node_result {
 public:
  /// For the runner.
  node_result(node_id id, const graph_node& node, const detail::graph_tensor& tensor)
      : id_(id), node_(node), tensor_(tensor) {}

  node_id id() const { return id_; }                    ///< in the runner's graph
  const graph_node& node() const { return node_; }      ///< in the runner's graph
  dtype type() const { return tensor_.type; }           ///< that the result is stored in
  tensor_shape shape() const { return tensor_.shape; }  ///< of the result
  /// Elements of type(), row after row.
  const void* data() const { return tensor_.data; }
  /// The same as floats.
  std::vector<float> values() const { return detail::all_widened(tensor_); }
  /// The largest magnitude; infinite or NaN if an element is. Products know it; of others the
  /// elements are read. None for integers.
  std::optional<float> amax() const {
    if (tensor_.amax) return tensor_.amax;
    return detail::stored_amax(type(), shape().size(), data());
  }

 private:
  node_id id_;
  const graph_node& node_;
  const detail::graph_tensor& tensor_;
};

/// Where a run's tasks run, and who watches.
struct run_options {
  executor_ref on = {};  ///< by default the calling thread
  /// Called for each node that is stored, after its kernel (not for what is between fused nodes).
  std::function<void(const node_result&)> observer = {};
};

/// Holds a graph's parameters, cast and packed once for each type that a plan asks for, and working
/// memory. One run at a time.
class graph_runner {
 public:
  /// Copies the graph; `parameters` are views. Errors: a parameter of the graph that is missing or
  /// has another shape, one that the graph does not have.
  graph_runner(const graph& g, graph_parameters parameters)
      : graph_(g), parameters_(std::move(parameters)) {
    constexpr std::string_view where = "halfway::graph_runner: ";
    for (const auto& [name, view] : parameters_) {
      const graph_node& n = graph_.node(graph_.find(name));
      if (n.kind != node_kind::parameter) {
        fail(detail::concat(where, detail::quoted(name), " is no parameter of the graph"));
      }
      check_shape(where, "parameter", n, {view.rows(), view.cols()});
    }
    for (const graph_node& n : graph_.nodes()) {
      if (n.kind == node_kind::parameter && !parameters_.contains(n.name)) {
        fail(detail::concat(where, "parameter ", detail::quoted(n.name), " (", to_string(n.shape),
                            ") is not given"));
      }
    }
  }

  /// The kernel of an operation of the user's. Errors: an operation that the library computes;
  /// null.
  void add_kernel(std::string_view op_name, float_kernel kernel) {
    constexpr std::string_view where = "halfway::graph_runner::add_kernel: ";
    if (detail::find_graph_op(op_name) != nullptr) {
      fail(detail::concat(where, detail::quoted(op_name), " is an operation of the library's"));
    }
    if (!kernel) fail(detail::concat(where, "the kernel of ", detail::quoted(op_name), " is null"));
    kernels_.insert_or_assign(std::string(op_name), std::move(kernel));
  }

  /// Drops what was made from the parameters: call it after they have changed, as by an optimizer's
  /// step.
  void parameters_changed() {
    cast_.clear();
    packed_.clear();
  }

  /// Memory that casts of parameters take, packed ones included.
  std::size_t prepared_bytes() const {
    std::size_t bytes = 0;
    for (const auto& [key, t] : cast_) bytes += detail::graph_tensor::bytes_of(t.type, t.shape);
    for (const auto& [key, p] : packed_) bytes += p.bytes();
    return bytes;
  }

  /// Memory that results between nodes have taken so far, kept for the runs that follow, but for
  /// scales of int8; working_bytes(plan) estimates it (precision/plan_memory.h).
  std::size_t working_bytes() const { return working_bytes_; }

  /// Runs a plan of this graph; returns the values of its outputs, in order, as floats. The first
  /// run of a type casts and packs the parameters.
  ///
  /// Numbers: every node's are those of its operation in ops/ for inputs rounded to the node's type
  /// (precision/plan.h), computed by the kernels of float and rounded once to the type that is
  /// written; products by gemm for operands of their type. In float8_e4m3fn casts saturate at 448,
  /// and a product's weights have a power of two for each column. In int8 an element x of a row
  /// with largest magnitude a is the nearest integer to x / (a / 127), as are weights by columns;
  /// sums are exact in int32; result = sum * (row scale * column scale) + bias, with a rounding
  /// each; a row with infinity or NaN becomes NaN. The same bits on any executor.
  ///
  /// Errors: a plan of another graph; an input that is missing, unknown, or of another type or
  /// shape; an operation without kernel; an id past an embedding's table.
  ///
  /// Each step is a span of the trace, within one of the run, where a recorder is set
  /// (telemetry/trace.h); the first run's spans have the casts and the packing of parameters in
  /// them.
  std::vector<matrix<float>> run(const precision_plan& plan, const graph_inputs& inputs,
                                 const run_options& options = {}) {
    check(plan, inputs);
    const telemetry::trace_span span("graph_run");
    std::vector<detail::graph_tensor> tensors(plan.tensors.size());
    std::vector<std::size_t> last_use(plan.tensors.size(), 0);
    for (std::size_t s = 0; s < plan.steps.size(); ++s) {
      for (const std::size_t t : plan.steps[s].reads) last_use[t] = s;
    }
    for (const std::size_t t : plan.outputs) last_use[t] = plan.steps.size();
    for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
      const plan_tensor& p = plan.tensors[t];
      const graph_node& n = graph_.node(p.node);
      if (n.kind != node_kind::input || !p.roundings.empty() || p.type != n.type) continue;
      const graph_input& in = inputs.find(n.name)->second;
      tensors[t] = detail::graph_tensor(p.type, p.shape, in.data());
    }
    for (std::size_t s = 0; s < plan.steps.size(); ++s) {
      const plan_step& step = plan.steps[s];
      for (const std::size_t t : step.writes) tensors[t] = fresh(plan.tensors[t]);
      {
        const telemetry::trace_span step_span(
            [&](telemetry::trace_event& e) { detail::describe_step(graph_, plan, step, e); });
        run_step(plan, step, tensors, options);
      }
      if (options.observer && !step.is_cast()) {
        for (const std::size_t t : step.writes) {
          const node_id id = plan.tensors[t].node;
          options.observer(node_result(id, graph_.node(id), tensors[t]));
        }
      }
      for (const std::size_t t : step.reads) {
        if (last_use[t] == s) recycle(tensors[t]);
      }
      for (const std::size_t t : step.writes) {
        if (last_use[t] <= s) recycle(tensors[t]);  // that nothing reads: a fused sum
      }
    }
    std::vector<matrix<float>> results;
    for (const std::size_t t : plan.outputs) {
      const detail::graph_tensor& from = tensors[t];
      matrix<float> y(from.shape.rows, from.shape.cols);
      const float* values = detail::widened(from, 0, y.size(), y.data());
      if (values != y.data()) std::copy_n(values, y.size(), y.data());
      results.push_back(std::move(y));
    }
    for (detail::graph_tensor& t : tensors) recycle(t);
    return results;
  }

 private:
  using parameter_key = std::tuple<node_id, std::vector<dtype>, dtype, bool>;

  static void check_shape(std::string_view where, std::string_view what, const graph_node& n,
                          tensor_shape shape) {
    if (shape != n.shape) {
      fail(detail::concat(where, what, " ", detail::quoted(n.name), " is ", to_string(shape),
                          " but must be ", to_string(n.shape)));
    }
  }

  void check(const precision_plan& plan, const graph_inputs& inputs) const {
    constexpr std::string_view where = "halfway::graph_runner::run: ";
    bool fits = plan.assignment.compute.size() == graph_.size() &&
                plan.outputs.size() == graph_.outputs().size();
    for (const plan_tensor& t : plan.tensors) {
      fits = fits && t.node < graph_.size() && t.shape == graph_.node(t.node).shape;
    }
    if (!fits) fail(detail::concat(where, "the plan is of another graph"));
    for (const auto& [name, in] : inputs) {
      const graph_node& n = graph_.node(graph_.find(name));
      if (n.kind != node_kind::input) {
        fail(detail::concat(where, detail::quoted(name), " is no input of the graph"));
      }
      check_shape(where, "input", n, in.shape());
      if (in.type() != n.type) {
        fail(detail::concat(where, "input ", detail::quoted(name), " is of type ",
                            halfway::name(in.type()), " but must be ", halfway::name(n.type)));
      }
    }
    for (const plan_tensor& t : plan.tensors) {
      const graph_node& n = graph_.node(t.node);
      if (n.kind == node_kind::input && !inputs.contains(n.name)) {
        fail(detail::concat(where, "input ", detail::quoted(n.name), " (", to_string(n.shape),
                            ") is not given"));
      }
    }
    for (const plan_step& s : plan.steps) {
      if (s.is_cast()) continue;
      const graph_node& n = graph_.node(s.nodes[0]);
      if (detail::find_graph_op(n.op) == nullptr && !kernels_.contains(n.op)) {
        fail(detail::concat(where, "layer ", detail::quoted(n.name), ": operation ",
                            detail::quoted(n.op), " has no kernel; see add_kernel"));
      }
    }
  }

  // Memory from earlier runs, where there is some of this size.
  detail::graph_tensor fresh(const plan_tensor& p) {
    const std::size_t bytes = detail::graph_tensor::bytes_of(p.type, p.shape);
    std::vector<detail::aligned_bytes>& spare = spare_[bytes];
    if (spare.empty()) {
      working_bytes_ += bytes;
      return {p.type, p.shape};
    }
    detail::aligned_bytes memory = std::move(spare.back());
    spare.pop_back();
    return {p.type, p.shape, std::move(memory)};
  }
  void recycle(detail::graph_tensor& t) {
    if (t.memory) {
      spare_[detail::graph_tensor::bytes_of(t.type, t.shape)].push_back(std::move(t.memory));
    }
    t = {};
  }

  // A parameter's master in FP32 with all roundings but the last `without` ones.
  matrix<float> rounded_master(node_id id, std::span<const dtype> roundings) const {
    const matrix_view<const float> master = parameters_.at(graph_.node(id).name);
    matrix<float> values(master.rows(), master.cols());
    convert(master, values);
    for (const dtype type : roundings) {
      const tensor_shape shape = graph_.node(id).shape;
      const detail::graph_tensor from(dtype::float32, shape, values.data());
      detail::graph_tensor to(type, shape);
      detail::cast_tensor(from, to, {});
      const std::vector<float> wide = detail::all_widened(to);
      std::copy(wide.begin(), wide.end(), values.elements().begin());
    }
    return values;
  }

  const detail::graph_tensor& parameter(const plan_tensor& p) {
    const parameter_key key{p.node, p.roundings, p.type, false};
    if (const auto found = cast_.find(key); found != cast_.end()) return found->second;
    const matrix<float> values = rounded_master(p.node, p.roundings);
    detail::graph_tensor to(p.type, p.shape);
    const detail::graph_tensor from(dtype::float32, p.shape, values.data());
    detail::cast_tensor(from, to, {});
    return cast_.emplace(key, std::move(to)).first->second;
  }

  const detail::packed_weights& packed(const plan_tensor& p, bool transposed) {
    const parameter_key key{p.node, p.roundings, p.type, transposed};
    if (const auto found = packed_.find(key); found != packed_.end()) return found->second;
    // The last rounding is packing's own, which has scales in 8 bits.
    std::span<const dtype> before = p.roundings;
    if (!before.empty() && before.back() == p.type) before = before.first(before.size() - 1);
    const matrix<float> values = rounded_master(p.node, before);
    return packed_
        .emplace(key,
                 detail::pack_rounded(graph_.node(p.node).name, values.view(), p.type, transposed))
        .first->second;
  }

  void run_step(const precision_plan& plan, const plan_step& step,
                std::vector<detail::graph_tensor>& tensors, const run_options& options) {
    using detail::graph_tensor;
    const executor_ref on = options.on;
    const bool watches = options.observer != nullptr;
    const auto is_parameter = [&](std::size_t i) {
      return graph_.node(plan.tensors[step.reads[i]].node).kind == node_kind::parameter;
    };
    const auto in = [&](std::size_t i) -> const graph_tensor& {
      return is_parameter(i) ? parameter(plan.tensors[step.reads[i]]) : tensors[step.reads[i]];
    };
    const auto optional = [&](std::size_t i) -> const graph_tensor* {
      return i < step.reads.size() ? &in(i) : nullptr;
    };
    graph_tensor& y = tensors[step.writes.back()];
    if (step.is_cast()) {
      return y.type == dtype::int8 ? detail::quantize_tensor(in(0), y, on)
                                   : detail::cast_tensor(in(0), y, on);
    }
    const graph_node& n = graph_.node(step.nodes[0]);
    const std::string& op_name = n.op;
    if (op_name == op::linear || op_name == op::matmul) {
      const bool transposed = op_name == op::matmul && n.attributes.transposed;
      detail::product_epilogue e;
      if (op_name == op::matmul) e.scale = n.attributes.scale;
      if (step.reads.size() == 3) e.bias = in(2).floats();
      if (step.fused == fusion::activation) {
        e.activation = detail::activation_of(graph_.node(step.nodes[1]).op);
      }
      if (is_parameter(1)) {
        const detail::packed_weights& w = packed(plan.tensors[step.reads[1]], transposed);
        return detail::run_product(in(0), w, y, e, watches, on);
      }
      return detail::run_product(in(0), detail::pack(in(1), transposed), y, e, watches, on);
    }
    if (step.fused == fusion::add_norm) {
      const graph_node& norm = graph_.node(step.nodes[1]);
      return detail::run_add_norm(norm.op == op::rmsnorm, norm.attributes.epsilon, in(0), in(1),
                                  optional(2), optional(3), tensors[step.writes[0]], y, on);
    }
    if (op_name == op::add || op_name == op::mul) {
      return detail::run_elementwise(op_name == op::mul, in(0), in(1), y, on);
    }
    if (op_name == op::layernorm || op_name == op::rmsnorm) {
      return detail::run_norm(op_name == op::rmsnorm, n.attributes.epsilon, in(0), optional(1),
                              optional(2), y, on);
    }
    if (op_name == op::softmax || op_name == op::log_softmax) {
      return detail::run_softmax(n, in(0), y, on);
    }
    if (op_name == op::attention) {
      return detail::run_attention(n.attributes, in(0), in(1), in(2), y, on);
    }
    if (op_name == op::embedding) return detail::run_embedding(n.name, in(0), in(1), y, on);
    if (detail::find_graph_op(op_name) != nullptr) {  // an activation
      const fused_activation f = detail::activation_of(op_name);
      return detail::map_rows(in(0), y, on,
                              [&](const float* from, float* to, std::size_t, std::size_t rows) {
                                f.apply(from, to, rows * y.shape.cols);
                              });
    }
    std::vector<matrix_view<const float>> views;
    for (std::size_t i = 0; i < step.reads.size(); ++i) views.push_back(in(i).as<float>());
    kernels_.at(op_name)({n, views, y.as_output<float>(), on});
  }

  graph graph_;
  graph_parameters parameters_;
  std::map<std::string, float_kernel, std::less<>> kernels_;
  std::map<parameter_key, detail::graph_tensor> cast_;
  std::map<parameter_key, detail::packed_weights> packed_;
  std::map<std::size_t, std::vector<detail::aligned_bytes>> spare_;  // by their bytes
  std::size_t working_bytes_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_RUNNER_H_
