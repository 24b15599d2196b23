// SPDX-License-Identifier: Apache-2.0
// Runs a graph whose layers find their types while it runs, by their numeric health.
//
//   halfway::adaptive_runner model(g, parameters);
//   const auto y = model.run({{"x", x}});                      // as graph_runner::run
//   for (const auto& s : model.precision().log()) std::cout << to_string(s) << '\n';
#ifndef HALFWAY_PRECISION_ADAPTIVE_RUNNER_H_
#define HALFWAY_PRECISION_ADAPTIVE_RUNNER_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/fidelity/comparison.h"
#include "halfway/fidelity/health.h"
#include "halfway/ops/scale.h"
#include "halfway/precision/adaptive.h"
#include "halfway/precision/assignment.h"
#include "halfway/precision/graph.h"
#include "halfway/precision/op_table.h"
#include "halfway/precision/plan.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/runner.h"
#include "halfway/telemetry/trace.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// How layers find their types, and what is around them.
struct adaptive_runner_options {
  adaptive_options layers = {};  ///< for every layer: types and limits
  op_table table = {};           ///< of operations and their categories: see assign()
  /// What nodes around layers of 8 bits compute in; see assign().
  cast_policy policy = amp_bf16;
  /// Every so many runs, and in the run after a switch, the model is also run in FP32, and the
  /// layers are compared. 0: never; then only range and NaN are watched.
  std::size_t shadow_every = 1024;
  /// Underflow is looked for in one of so many runs of 16 values (numeric_health).
  std::size_t health_stride = 8;
  /// Runs again whose results are spoilt: where values were infinite, NaN, or at the end of the
  /// range.
  bool redo = true;
  /// Called with each result of a shadow run: float32, and read anyway. For health_watch::look
  /// (precision/health_watch.h), which sees there what the layers' type would lose.
  std::function<void(const node_result&)> shadow_observer = {};
};

/// Every operation that assign() would make narrow is a layer: products and attention with all
/// types of the ladder that they have a kernel for, others with those of 16 bits and more. What it
/// sees:
///
/// - in each run the largest magnitude of what a layer reads, as stored (products of floats tell
///   it, of other results the elements are read), so that overflow and NaN switch at once; blamed
///   is the first layer that reads them, not those after it, and none where the FP32 run has them
///   too;
/// - in each shadow run the share of its inputs that its type, and the next cheaper one, would
///   flush to zero, and the SQNR of its result against FP32; blamed is the first layer on each path
///   that is below the limit. If the fault is its inputs', which pass, more digits won't cure it:
///   it then ends in float32, and adaptive_layer::helpless counts.
///
/// A shadow run keeps the results of all nodes in FP32 for its duration. One run at a time.
class adaptive_runner {
 public:
  /// Errors: as for graph_runner, assign and adaptive_options::check.
  adaptive_runner(const graph& g, graph_parameters parameters, adaptive_runner_options options = {})
      : graph_(g),
        runner_(g, std::move(parameters)),
        options_(std::move(options)),
        precision_(options_.layers),
        legitimate_(g.size()) {
    const dtype narrow = options_.policy.compute;
    const precision_assignment base = assign(g, options_.policy, options_.table);
    layer_of_.assign(g.size(), none);
    for (node_id id = 0; id != g.size(); ++id) {
      const graph_node& n = g.node(id);
      if (n.kind != node_kind::operation || n.op == op::convert || base.compute[id] != narrow ||
          narrow == dtype::float32) {
        continue;
      }
      const bool product = options_.table.category(n.op) == op_category::lower_precision;
      adaptive_options own = options_.layers;
      std::erase_if(own.ladder, [&](dtype type) {
        return !can_compute(g, id, type) || (!product && bits_of(type) < 16);
      });
      if (own.ladder.size() < 2) continue;
      layer_of_[id] = precision_.add_layer(n.name, std::move(own));
    }
    // Only what layers read; a residual stream that stays in FP32 is left in peace.
    watched_.assign(g.size(), false);
    for (node_id id = 0; id != g.size(); ++id) {
      watched_[id] =
          std::ranges::any_of(g.consumers(id), [&](node_id to) { return layer_of_[to] != none; });
    }
    fp32_ = make_plan(g, assign_all(g, dtype::float32), {.fuse = false});
    make_plan_again();
  }

  /// The layers with their types and the log of switches; to set a callback or limits of a layer's
  /// own.
  /// @{
  adaptive_precision& precision() { return precision_; }
  const adaptive_precision& precision() const { return precision_; }
  /// @}
  /// What the next run does.
  const precision_plan& plan() const { return plan_; }
  std::uint64_t runs() const { return runs_; }  ///< calls of run()
  /// Runs in FP32 beside those, to compare with.
  std::uint64_t shadow_runs() const { return shadow_runs_; }
  /// Runs whose results were spoilt, and computed again.
  std::uint64_t redone_runs() const { return redone_runs_; }
  graph_runner& runner() { return runner_; }  ///< to add kernels of the user's

  /// As graph_runner::run. Types change after it, or within it where it is done again.
  std::vector<matrix<float>> run(const graph_inputs& inputs, executor_ref on = {}) {
    ++runs_;
    const telemetry::trace_span span("adaptive_run");  // of it and what is done again
    const bool due =
        options_.shadow_every != 0 && (verify_ || (runs_ - 1) % options_.shadow_every == 0);
    std::map<node_id, std::vector<float>> exact;
    if (due) exact = run_shadow(inputs, on);
    for (;;) {  // each turn but the last moves a layer up, so there is an end to it
      seen_.assign(graph_.size(), {});
      for (const auto& [name, in] : inputs) {
        if (graph_.contains(name)) {
          const node_id id = graph_.find(name);
          if (watched_[id]) {
            seen_[id].amax = detail::stored_amax(in.type(), in.shape().size(), in.data());
          }
        }
      }
      run_options options;
      options.on = on;
      options.observer = [&](const node_result& r) { watch(r, exact); };
      std::vector<matrix<float>> results = runner_.run(plan_, inputs, options);
      const verdict v = judge(exact);
      verify_ = v.switched;
      if (v.switched) make_plan_again();
      if (!(v.spoilt && options_.redo)) return results;
      ++redone_runs_;
    }
  }

 private:
  static constexpr std::size_t none = ~std::size_t{0};
  struct observation {
    std::optional<float> amax;
    std::optional<double> sqnr_db;
  };
  struct verdict {
    bool switched = false;
    bool spoilt = false;
  };

  void watch(const node_result& r, const std::map<node_id, std::vector<float>>& exact) {
    const node_id id = r.id();
    if (watched_[id]) seen_[id].amax = r.amax();
    if (exact.empty()) return;
    comparison c;
    c.add(exact.at(id), r.values());
    if (c.broken() == 0 && c.count() != 0) seen_[id].sqnr_db = c.sqnr_db();
  }

  std::map<node_id, std::vector<float>> run_shadow(const graph_inputs& inputs, executor_ref on) {
    ++shadow_runs_;
    const telemetry::trace_span span("shadow_run");
    std::map<node_id, std::vector<float>> exact;
    run_options options;
    options.on = on;
    options.observer = [&](const node_result& r) {
      const node_id id = r.id();
      legitimate_[id] =
          count_non_finite(std::span(static_cast<const float*>(r.data()), r.shape().size())) != 0;
      exact[id] = r.values();
      if (options_.shadow_observer) options_.shadow_observer(r);
    };
    runner_.run(fp32_, inputs, options);
    return exact;
  }

  bool broken(node_id id) const {
    return seen_[id].amax && !std::isfinite(*seen_[id].amax) && !legitimate_[id];
  }

  // What the run shows of each step's layer.
  verdict judge(const std::map<node_id, std::vector<float>>& exact) {
    verdict v;
    std::vector<bool> poisoned(graph_.size());  // by an earlier layer's fault
    std::vector<bool> parted(graph_.size());    // from FP32, at an earlier layer
    for (const plan_step& step : plan_.steps) {
      if (step.is_cast()) continue;
      const node_id layer = step.nodes.front(), last = step.nodes.back();
      const dtype type = plan_.assignment.compute[layer];
      layer_evidence e;
      bool reads_poison = false, reads_broken = false, reads_parted = false, reads_known = false;
      std::optional<double> lost, lost_below;
      const std::size_t number = layer_of_[layer];
      for (const std::size_t t : step.reads) {
        const node_id in = plan_.tensors[t].node;
        if (graph_.node(in).kind == node_kind::parameter) continue;
        reads_poison = reads_poison || poisoned[in];
        reads_parted = reads_parted || parted[in];
        reads_broken = reads_broken || broken(in);
        if (seen_[in].amax && !legitimate_[in]) {
          e.amax = broken(in) ? *seen_[in].amax : std::max(e.amax, *seen_[in].amax);
          reads_known = true;
          if (broken(in)) break;
        }
        const auto values = exact.find(in);
        if (values != exact.end() && number != none) {
          worsen(lost, underflow_share(type, values->second));
          if (const auto below = precision_.layer(number).type_below()) {
            worsen(lost_below, underflow_share(*below, values->second));
          }
        }
      }
      for (const node_id id : step.nodes) {
        poisoned[id] = reads_poison || reads_broken;
        parted[id] = reads_parted;
      }
      // What FP32 sums made infinite before they were stored is this layer's own; what the next
      // layers' type did to them is theirs.
      const bool breaks = broken(last) && !poisoned[last] && is_stored_wide(step);
      if (breaks) {
        poisoned[last] = true;
        e.amax = std::numeric_limits<float>::infinity();
      }
      if (seen_[last].sqnr_db && !(*seen_[last].sqnr_db >= options_.layers.min_sqnr_db)) {
        parted[last] = true;
      }
      if (number == none || reads_poison || !reads_known) continue;
      e.underflow_share = lost;
      e.underflow_share_below = lost_below;
      if (!reads_parted) e.sqnr_db = seen_[last].sqnr_db;
      const bool full = is_floating(type) && static_cast<double>(e.amax) >= max_finite(type);
      const bool at_fault = full || !std::isfinite(e.amax);
      const bool switched = precision_.observe(number, e);
      v.switched = v.switched || switched;
      v.spoilt = v.spoilt || (switched && at_fault);
    }
    return v;
  }

  bool is_stored_wide(const plan_step& step) const {
    return plan_.tensors[step.writes.back()].type == dtype::float32;
  }

  static void worsen(std::optional<double>& share, std::optional<double> other) {
    if (other) share = std::max(share.value_or(0), *other);
  }
  std::optional<double> underflow_share(dtype type, const std::vector<float>& values) const {
    if (!is_floating(type)) return std::nullopt;
    numeric_health h(type, options_.health_stride);
    h.add(values);
    return h.underflow_share();
  }

  void make_plan_again() {
    layer_types layers;
    for (std::size_t i = 0; i != precision_.size(); ++i) {
      layers[precision_.name(i)] = precision_.type(i);
    }
    plan_ = make_plan(graph_, assign(graph_, options_.policy, options_.table, layers));
  }

  graph graph_;
  graph_runner runner_;
  adaptive_runner_options options_;
  adaptive_precision precision_;
  std::vector<std::size_t> layer_of_;  // of a node
  std::vector<bool> watched_;          // nodes whose amax matters
  std::vector<bool> legitimate_;       // nodes that are not finite in FP32 either
  std::vector<observation> seen_;      // of nodes, in this run
  precision_plan fp32_, plan_;
  bool verify_ = true;
  std::uint64_t runs_ = 0, shadow_runs_ = 0, redone_runs_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_ADAPTIVE_RUNNER_H_
