// SPDX-License-Identifier: Apache-2.0
// Precision search on a graph: its products and attention as units, calibration batches, and what
// the outputs are worth against those in FP32.
//
//   halfway::graph_evaluator evaluate(g, 4, [&](const auto& plan, std::size_t batch) {
//     return runner.run(plan, {{"x", batches[batch]}});
//   });
//   const auto found = halfway::search_precision(evaluate.units(), std::ref(evaluate),
//                                                {.budget = halfway::sqnr_budget(40)});
//   const auto plan = halfway::make_plan(g, evaluate.assignment(found.best().types));
//
// No kernels here: what runs a plan is the caller's, as precision/runner.h is.
#ifndef HALFWAY_PRECISION_GRAPH_SEARCH_H_
#define HALFWAY_PRECISION_GRAPH_SEARCH_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/fidelity/comparison.h"
#include "halfway/fidelity/logit_comparison.h"
#include "halfway/precision/assignment.h"
#include "halfway/precision/graph.h"
#include "halfway/precision/op_table.h"
#include "halfway/precision/plan.h"
#include "halfway/precision/search.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// A graph's outputs, for one batch.
using graph_outputs = std::vector<matrix<float>>;
/// Runs a plan on a batch of the calibration set, by number.
using graph_run = std::function<graph_outputs(const precision_plan&, std::size_t batch)>;
/// What a candidate's outputs are worth, batch by batch, against a baseline's.
using graph_metric =
    std::function<double(std::span<const graph_outputs> baseline, std::span<const graph_outputs>)>;

/// SQNR in decibels of all elements of one output. NaN if the candidate has NaN or infinity where
/// the baseline has a number.
inline graph_metric sqnr_metric(std::size_t output = 0) {
  return
      [output](std::span<const graph_outputs> baseline, std::span<const graph_outputs> candidate) {
        comparison c;
        for (std::size_t i = 0; i != baseline.size(); ++i) {
          c.add(baseline[i].at(output).elements(), candidate[i].at(output).elements());
        }
        return c.broken() != 0 ? std::numeric_limits<double>::quiet_NaN() : c.sqnr_db();
      };
}

/// The share of rows of one output whose largest element is in the same place.
inline graph_metric top1_metric(std::size_t output = 0) {
  return
      [output](std::span<const graph_outputs> baseline, std::span<const graph_outputs> candidate) {
        logit_comparison c(1);
        for (std::size_t i = 0; i != baseline.size(); ++i) {
          c.add(baseline[i].at(output), candidate[i].at(output));
        }
        return c.top1_agreement();
      };
}

/// The mean KL divergence of one output's rows, logits. NaN if a row of the candidate's is broken.
inline graph_metric kl_metric(std::size_t output = 0) {
  return
      [output](std::span<const graph_outputs> baseline, std::span<const graph_outputs> candidate) {
        logit_comparison c(1);
        for (std::size_t i = 0; i != baseline.size(); ++i) {
          c.add(baseline[i].at(output), candidate[i].at(output));
        }
        return c.broken() != 0 ? std::numeric_limits<double>::quiet_NaN() : c.mean_kl();
      };
}

/// What graph_evaluator has to know besides the graph and its data.
struct graph_search_options {
  /// What units may have; float32 is always among them.
  std::vector<dtype> types{graph_compute_types.begin(), graph_compute_types.end()};
  /// Its budget's counterpart: sqnr_metric for sqnr_budget, and so on.
  graph_metric metric = sqnr_metric();
  op_table table = {};  ///< of operations and their categories: see assign()
  /// What nodes between narrow ones compute in where those have 8 bits: see assign().
  cast_policy policy = amp_bf16;
  /// Each plan is timed so often, and the least time taken. 0: not at all, seconds are 0.
  int turns = 3;
};

/// A search_evaluator of a graph. Units are the operations of category lower_precision, in order,
/// with those of options.types that they have a kernel for, float32 first; all others follow from
/// these by assign(). Bytes are those of the parameters as the plan stores them.
///
/// The graph must stay. Errors: no batches; no function; whatever `run` fails with.
class graph_evaluator {
 public:
  /// `batches`: of the calibration set; `run` is called for each by its number, from 0 on. Runs the
  /// reference, all units in float32.
  graph_evaluator(const graph& g, std::size_t batches, graph_run run,
                  graph_search_options options = {})
      : graph_(g), batches_(batches), run_(std::move(run)), options_(std::move(options)) {
    constexpr std::string_view where = "halfway::graph_evaluator: ";
    if (batches == 0) fail(detail::concat(where, "batches (0) must not be 0"));
    if (!run_) fail(detail::concat(where, "run is empty"));
    if (!options_.metric) fail(detail::concat(where, "options.metric is empty"));
    for (node_id id = 0; id != g.size(); ++id) {
      const graph_node& n = g.node(id);
      if (n.kind != node_kind::operation || n.op == op::convert ||
          options_.table.category(n.op) != op_category::lower_precision) {
        continue;
      }
      search_unit unit{n.name, {dtype::float32}};
      for (const dtype type : options_.types) {
        if (type != dtype::float32 && can_compute(g, id, type)) unit.types.push_back(type);
      }
      if (unit.types.size() > 1) units_.push_back(std::move(unit));
    }
    const std::vector<dtype> reference(units_.size(), dtype::float32);
    baseline_ = outputs(make_plan(graph_, assignment(reference)));
  }

  /// What search_precision() decides on.
  const std::vector<search_unit>& units() const { return units_; }

  /// The whole graph's types for a type of each unit. Error: another number of types.
  precision_assignment assignment(std::span<const dtype> types) const {
    detail::check_equal("halfway::graph_evaluator::assignment", "types.size()", types.size(),
                        "units.size()", units_.size());
    layer_types layers;
    for (std::size_t u = 0; u != units_.size(); ++u) layers[units_[u].name] = types[u];
    return assign(graph_, options_.policy, options_.table, layers);
  }

  /// Fidelity, bytes and seconds of one assignment: a type for each unit.
  search_measurement operator()(std::span<const dtype> types) {
    const precision_plan plan = make_plan(graph_, assignment(types));
    search_measurement m;
    m.fidelity = options_.metric(baseline_, outputs(plan));
    m.bytes = static_cast<double>(plan.parameter_bytes);
    for (int turn = 0; turn < options_.turns; ++turn) {
      const auto start = std::chrono::steady_clock::now();
      outputs(plan);
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      m.seconds = turn == 0 ? taken.count() : std::min(m.seconds, taken.count());
    }
    return m;
  }

 private:
  std::vector<graph_outputs> outputs(const precision_plan& plan) const {
    std::vector<graph_outputs> all;
    for (std::size_t b = 0; b != batches_; ++b) all.push_back(run_(plan, b));
    return all;
  }

  const graph& graph_;
  std::size_t batches_;
  graph_run run_;
  graph_search_options options_;
  std::vector<search_unit> units_;
  std::vector<graph_outputs> baseline_;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_GRAPH_SEARCH_H_
