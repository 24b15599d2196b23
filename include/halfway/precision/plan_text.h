// SPDX-License-Identifier: Apache-2.0
// A plan for people: a table of what each operation computes in and why, and a drawing of the graph
// in Graphviz's language.
//
//   std::cout << halfway::to_string(plan, g);
//   std::ofstream("plan.dot") << halfway::to_dot(plan, g);    // dot -Tsvg plan.dot > plan.svg
#ifndef HALFWAY_PRECISION_PLAN_TEXT_H_
#define HALFWAY_PRECISION_PLAN_TEXT_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/precision/graph.h"
#include "halfway/precision/plan.h"
#include "halfway/types/dtype.h"

namespace halfway {

namespace detail {

/// f32, bf16, f16, e4m3, i8: for drawings and tables.
inline std::string_view short_name(dtype type) {
  switch (type) {
    case dtype::float32:
      return "f32";
    case dtype::bfloat16:
      return "bf16";
    case dtype::float16:
      return "f16";
    case dtype::float8_e4m3fn:
      return "e4m3";
    case dtype::int8:
      return "i8";
    case dtype::int32:
      return "i32";
    default:
      return name(type);
  }
}

/// Columns as wide as their longest cell, two blanks apart; the last as it is.
template <std::size_t N>
std::string aligned_table(const std::vector<std::array<std::string, N>>& rows) {
  std::array<std::size_t, N> width{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < N; ++i) width[i] = std::max(width[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < N; ++i) {
      line += row[i];
      if (i + 1 < N) line.append(width[i] + 2 - row[i].size(), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

inline std::size_t bytes_of(const precision_plan& plan, const plan_step& step) {
  std::size_t bytes = 0;
  for (const std::size_t t : step.reads) bytes += plan.tensors[t].bytes;
  for (const std::size_t t : step.writes) bytes += plan.tensors[t].bytes;
  return bytes;
}

/// A string of Graphviz's language.
inline std::string dot_quoted(std::string_view text) {
  std::string literal = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') literal += '\\';
    literal += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return literal + "\"";
}

inline std::string_view dot_colour(dtype type) {
  switch (type) {
    case dtype::float32:
      return "#f4cccc";
    case dtype::bfloat16:
      return "#cfe2f3";
    case dtype::float16:
      return "#d9ead3";
    case dtype::float8_e4m3fn:
      return "#ead1dc";
    case dtype::int8:
      return "#fff2cc";
    default:
      return "#eeeeee";
  }
}

}  // namespace detail

/// A table, a line for each step of a run in order: the layer (layers joined by + where they are
/// fused), its operation, the type that it computes in, the types of what it reads and writes, the
/// bytes of these, and why. Casts are lines of their own. Below it the sums. `g` is the graph that
/// the plan was made of.
inline std::string to_string(const precision_plan& plan, const graph& g) {
  std::vector<std::array<std::string, 7>> rows = {
      {"layer", "op", "compute", "reads", "writes", "bytes", "why"}};
  for (const plan_step& step : plan.steps) {
    std::array<std::string, 7> row;
    const auto join = [](std::string& text, std::string_view part, std::string_view by) {
      if (!text.empty()) text += by;
      text += part;
    };
    for (const node_id id : step.nodes) {
      join(row[0], g.node(id).name, "+");
      join(row[1], g.node(id).op, "+");
      join(row[6], plan.assignment.why[id], "; ");
    }
    if (step.is_cast()) {
      row[0] = g.node(plan.tensors[step.reads[0]].node).name;
      row[1] = "cast";
    } else {
      row[2] = name(plan.assignment.compute[step.nodes[0]]);
    }
    for (const std::size_t t : step.reads) {
      join(row[3], detail::short_name(plan.tensors[t].type), ",");
    }
    for (const std::size_t t : step.writes) {
      join(row[4], detail::short_name(plan.tensors[t].type), ",");
    }
    row[5] = std::to_string(detail::bytes_of(plan, step));
    rows.push_back(std::move(row));
  }
  return detail::concat(
      detail::aligned_table(rows), plan.casts, plan.casts == 1 ? " cast (" : " casts (",
      plan.cast_bytes, " bytes; ", plan.casts_by_edge, " if cast on each edge), parameters ",
      plan.parameter_bytes, " bytes, read and written ", plan.traffic_bytes, " bytes in a run\n");
}

/// A digraph of Graphviz: inputs and parameters as boxes, operations as boxes coloured by the type
/// that they compute in, casts as ellipses, fused operations in a frame; edges bear the type that
/// is stored. Parameters stand once, with the type that they are read in.
inline std::string to_dot(const precision_plan& plan, const graph& g) {
  std::string dot = "digraph plan {\n  rankdir=TB;\n  node [fontname=\"sans-serif\"];\n";
  std::vector<std::string> writer(plan.tensors.size());  // the vertex that a tensor comes from
  const auto vertex = [&](const std::string& id, std::string_view label, std::string_view shape,
                          dtype colour, std::string_view indent) {
    dot += detail::concat(indent, id, " [label=", detail::dot_quoted(label), ", shape=", shape,
                          ", style=filled, fillcolor=\"", detail::dot_colour(colour), "\"];\n");
  };
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const plan_tensor& p = plan.tensors[t];
    const graph_node& n = g.node(p.node);
    if (n.kind == node_kind::operation) continue;
    const bool is_given = n.kind == node_kind::input && p.roundings.empty() && p.type == n.type;
    const bool is_read = std::ranges::any_of(plan.steps, [&](const plan_step& s) {
      return std::ranges::find(s.reads, t) != s.reads.end();
    });
    if (!is_given && !(n.kind == node_kind::parameter && is_read)) continue;
    writer[t] = detail::concat("t", t);
    vertex(writer[t], detail::concat(n.name, "\n", to_string(p.shape)), "note", p.type, "  ");
  }
  std::string edges;
  const auto edge = [&](std::size_t t, const std::string& to) {
    edges += detail::concat("  ", writer[t], " -> ", to, " [label=",
                            detail::dot_quoted(detail::short_name(plan.tensors[t].type)), "];\n");
  };
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    const plan_step& step = plan.steps[s];
    if (step.is_cast()) {
      const std::string id = detail::concat("c", s);
      const dtype type = plan.tensors[step.writes[0]].type;
      vertex(id, detail::concat("cast to ", detail::short_name(type)), "ellipse", type, "  ");
      edge(step.reads[0], id);
      writer[step.writes[0]] = id;
      continue;
    }
    const bool framed = step.fused != fusion::none;
    if (framed) {
      dot += detail::concat("  subgraph cluster_", s, " {\n    label=\"fused\"; style=dashed;\n");
    }
    for (const node_id id : step.nodes) {
      const dtype type = plan.assignment.compute[id];
      vertex(detail::concat("n", id),
             detail::concat(g.node(id).name, "\n", g.node(id).op, " ", detail::short_name(type)),
             "box", type, framed ? "    " : "  ");
    }
    if (framed) dot += "  }\n";
    const std::size_t of_first = g.node(step.nodes[0]).inputs.size();
    for (std::size_t i = 0; i < step.reads.size(); ++i) {
      edge(step.reads[i], detail::concat("n", step.nodes[i < of_first ? 0 : 1]));
    }
    if (framed) {
      edges += detail::concat("  n", step.nodes[0], " -> n", step.nodes[1], " [style=dashed];\n");
    }
    for (std::size_t i = 0; i < step.writes.size(); ++i) {
      writer[step.writes[i]] =
          detail::concat("n", step.nodes[step.nodes.size() - step.writes.size() + i]);
    }
  }
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    dot += detail::concat("  out", i, " [label=", detail::dot_quoted(g.node(g.outputs()[i]).name),
                          ", shape=plaintext];\n");
    edge(plan.outputs[i], detail::concat("out", i));
  }
  return dot + edges + "}\n";
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_PLAN_TEXT_H_
