// SPDX-License-Identifier: Apache-2.0
#include "searching.h"

#include <chrono>
#include <cmath>
#include <functional>
#include <utility>
#include <vector>

#include "engine.h"
#include "halfway/precision/graph_search.h"
#include "model.h"

namespace language {

namespace {

halfway::graph_metric metric_of(const halfway::fidelity_budget& budget) {
  if (budget.metric == "top1_agreement") return halfway::top1_metric();
  if (budget.metric == "mean_kl") return halfway::kl_metric();
  return halfway::sqnr_metric();
}

}  // namespace

found_types search_types(std::span<const float> parameters, std::span<const windows> calibration,
                         const halfway::search_options& options, int turns) {
  const auto start = std::chrono::steady_clock::now();
  engine model(calibration[0].tokens.size() / context, parameters);
  halfway::graph_evaluator evaluate(model.graph(), calibration.size(),
                                    [&](const halfway::precision_plan& plan, std::size_t batch) {
                                      model_outputs out =
                                          model.run(plan, calibration[batch].tokens);
                                      halfway::graph_outputs outputs;
                                      outputs.push_back(std::move(out.logits));
                                      return outputs;
                                    },
                                    {.metric = metric_of(options.budget), .turns = turns});
  halfway::search_result result =
      halfway::search_precision(evaluate.units(), std::ref(evaluate), options);
  halfway::precision_assignment best = evaluate.assignment(result.best().types);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return {std::move(result), std::move(best), took.count()};
}

}  // namespace language
