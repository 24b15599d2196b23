// SPDX-License-Identifier: Apache-2.0
// Runs the graph under plans: the file that holds the kernels of inference.
//
//   language::engine engine(16, parameters);   // windows a run
//   const auto out = engine.run(plan, tokens);
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_ENGINE_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/precision/adaptive.h"
#include "halfway/precision/graph.h"
#include "halfway/precision/plan.h"

namespace halfway {
class adaptive_runner;
class graph_runner;
}  // namespace halfway

namespace language {

struct model_outputs {
  halfway::matrix<float> logits;
  halfway::matrix<float> log_probabilities;
};

class engine {
 public:
  // `parameters` (of model_layout) must stay. `in_half`: see model_graph.
  engine(std::size_t windows, std::span<const float> parameters, bool in_half = false);
  ~engine();

  const halfway::graph& graph() const { return graph_; }
  std::size_t windows() const { return windows_; }
  std::size_t rows() const;

  model_outputs run(const halfway::precision_plan& plan, std::span<const std::int32_t> tokens);

  // Seconds of a run: the least of several of each plan, in turns, so that what else the machine does
  // meets all alike.
  std::vector<double> seconds(std::span<const halfway::precision_plan> plans,
                              std::span<const std::int32_t> tokens, int turns);

 private:
  std::size_t windows_;
  halfway::graph graph_;
  std::unique_ptr<halfway::graph_runner> runner_;
};

// The same with types that follow the numeric health of each layer. Without lists of delicate
// operations: all begin with the cheapest type of the ladder that they have a kernel for.
class adaptive_engine {
 public:
  adaptive_engine(std::size_t windows, std::span<const float> parameters,
                  const halfway::adaptive_options& options, std::size_t shadow_every);
  ~adaptive_engine();

  model_outputs run(std::span<const std::int32_t> tokens);
  const halfway::adaptive_precision& precision() const;
  const halfway::precision_plan& plan() const;  // of the next run
  std::uint64_t shadow_runs() const;
  std::uint64_t redone_runs() const;

 private:
  std::unique_ptr<halfway::adaptive_runner> runner_;
};

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_ENGINE_H_
