// SPDX-License-Identifier: Apache-2.0
// A step of a plan as a span of a trace (telemetry/trace.h).
#ifndef HALFWAY_PRECISION_PLAN_TRACE_H_
#define HALFWAY_PRECISION_PLAN_TRACE_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/precision/default_ops.h"
#include "halfway/precision/graph.h"
#include "halfway/precision/plan.h"
#include "halfway/telemetry/trace.h"
#include "halfway/types/dtype.h"

namespace halfway::detail {

/// op: the operation, "linear+gelu" where two are fused, "cast". layer: the node's name. shape: of
/// a product m x n x k, of others the result's. precision: the types of the first input, of the
/// second operand or the first parameter ("-" where there is none), and of the result. bytes: what
/// the step reads and writes, parameters included.
inline void describe_step(const graph& g, const precision_plan& plan, const plan_step& step,
                          telemetry::trace_event& e) {
  const plan_tensor& in = plan.tensors[step.reads.front()];
  const plan_tensor& out = plan.tensors[step.writes.back()];
  const graph_node& n = g.node(step.is_cast() ? out.node : step.nodes.front());
  std::string op_name = step.is_cast() ? "cast" : n.op;
  if (step.nodes.size() == 2) op_name = concat(op_name, "+", g.node(step.nodes[1]).op);
  e.op = telemetry::detail::short_text<63>(op_name);
  e.layer = telemetry::detail::short_text<47>(n.name);

  const bool is_product = n.op == op::linear || n.op == op::matmul;
  std::string_view weights = "-";
  for (std::size_t i = 1; i < step.reads.size() && weights == "-"; ++i) {
    const plan_tensor& t = plan.tensors[step.reads[i]];
    if (is_product || g.node(t.node).kind == node_kind::parameter) weights = name(t.type);
  }
  e.precision =
      telemetry::detail::short_text<47>(concat(name(in.type), "/", weights, "/", name(out.type)));
  e.shape = {out.shape.rows, out.shape.cols};
  e.rank = 2;
  if (is_product && !step.is_cast()) e.shape[e.rank++] = in.shape.cols;
  for (const std::size_t t : step.reads) e.bytes += plan.tensors[t].bytes;
  for (const std::size_t t : step.writes) e.bytes += plan.tensors[t].bytes;
}

}  // namespace halfway::detail

#endif  // HALFWAY_PRECISION_PLAN_TRACE_H_
