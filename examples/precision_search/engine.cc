// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "half_operations.h"
#include "halfway/precision/adaptive_runner.h"
#include "halfway/precision/precision_rules.h"
#include "halfway/precision/runner.h"
#include "model.h"
#include "model_graph.h"

namespace language {

namespace {

halfway::graph_parameters views_of(std::span<const float> parameters) {
  halfway::graph_parameters views;
  const model_layout layout;
  for (const auto& [name, p] : layout.all()) views.emplace(name, p.in(parameters));
  return views;
}

halfway::graph_inputs inputs_of(std::span<const std::int32_t> tokens) {
  return {{"tokens", halfway::matrix_view<const std::int32_t>(tokens.data(), tokens.size(), 1)}};
}

model_outputs outputs_of(std::vector<halfway::matrix<float>> results) {
  return {std::move(results[0]), std::move(results[1])};
}

void add_half_kernels(halfway::graph_runner& runner) {
  using halfway::user_operation;
  runner.add_kernel(layernorm_in_half, [](const user_operation& o) {
    layernorm_by_half(o.in[0], o.in[1], o.in[2], o.node.attributes.epsilon, o.out);
  });
  runner.add_kernel(attention_in_half, [](const user_operation& o) {
    attention_by_half(o.in[0], o.in[1], o.in[2], o.node.attributes.heads,
                      o.node.attributes.sequence, o.out);
  });
  runner.add_kernel(log_of_softmax_in_half,
                    [](const user_operation& o) { log_of_softmax_by_half(o.in[0], o.out); });
}

}  // namespace

engine::engine(std::size_t windows, std::span<const float> parameters, bool in_half)
    : windows_(windows),
      graph_(model_graph(windows, in_half)),
      runner_(std::make_unique<halfway::graph_runner>(graph_, views_of(parameters))) {
  if (in_half) add_half_kernels(*runner_);
}
engine::~engine() = default;

std::size_t engine::rows() const { return windows_ * context; }

model_outputs engine::run(const halfway::precision_plan& plan,
                          std::span<const std::int32_t> tokens) {
  return outputs_of(runner_->run(plan, inputs_of(tokens)));
}

std::vector<double> engine::seconds(std::span<const halfway::precision_plan> plans,
                                    std::span<const std::int32_t> tokens, int turns) {
  std::vector<double> least(plans.size(), std::numeric_limits<double>::infinity());
  for (int turn = 0; turn < turns; ++turn) {
    for (std::size_t p = 0; p < plans.size(); ++p) {
      const auto start = std::chrono::steady_clock::now();
      run(plans[p], tokens);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      least[p] = std::min(least[p], took.count());
    }
  }
  return least;
}

adaptive_engine::adaptive_engine(std::size_t windows, std::span<const float> parameters,
                                 const halfway::adaptive_options& options,
                                 std::size_t shadow_every) {
  const halfway::precision_rules everything = halfway::preset_rules("O3");
  runner_ = std::make_unique<halfway::adaptive_runner>(
      model_graph(windows), views_of(parameters),
      halfway::adaptive_runner_options{.layers = options,
                                       .table = everything.ops,
                                       .policy = halfway::amp_fp16,
                                       .shadow_every = shadow_every});
}
adaptive_engine::~adaptive_engine() = default;

model_outputs adaptive_engine::run(std::span<const std::int32_t> tokens) {
  return outputs_of(runner_->run(inputs_of(tokens)));
}
const halfway::adaptive_precision& adaptive_engine::precision() const {
  return runner_->precision();
}
const halfway::precision_plan& adaptive_engine::plan() const { return runner_->plan(); }
std::uint64_t adaptive_engine::shadow_runs() const { return runner_->shadow_runs(); }
std::uint64_t adaptive_engine::redone_runs() const { return runner_->redone_runs(); }

}  // namespace language
