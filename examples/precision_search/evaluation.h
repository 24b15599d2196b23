// SPDX-License-Identifier: Apache-2.0
// What a plan's logits are worth on held-out text, and what it costs.
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_EVALUATION_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_EVALUATION_H_

#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "engine.h"
#include "halfway/fidelity/comparison.h"
#include "halfway/fidelity/logit_comparison.h"
#include "halfway/precision/assignment.h"
#include "halfway/precision/plan.h"
#include "data/fortunes.h"

namespace language {

// Batch after batch.
class fidelity {
 public:
  void add(const model_outputs& baseline, const model_outputs& outputs, const windows& batch);

  // Of the logits against the baseline's. None, that is NaN, where one of them is not finite.
  double sqnr_db() const;
  // Predictions that are the baseline's; one without finite logits is not.
  double top1_agreement() const { return rows_.top1_agreement(); }
  // e to the mean of -log probability of the characters that follow.
  double perplexity() const;
  std::size_t broken() const { return rows_.broken(); }

 private:
  halfway::comparison values_;
  halfway::logit_comparison rows_{1};
  double nats_ = 0;
  std::size_t predictions_ = 0;
};

// A line of the table.
struct table_row {
  std::string name;
  fidelity figures;
  double weight_bytes = 0;
  double activation_bytes = 0;                                     // written for each token
  double microseconds = std::numeric_limits<double>::quiet_NaN();  // for each token; NaN: not timed
};

// Types to compare. `in_half`: with the operations that compute in half.
struct variant {
  std::string name;
  halfway::precision_assignment assignment;
  bool in_half = false;
};

// FP32 first, then FP16 and FP8 everywhere, and what autocast does.
std::vector<variant> usual_variants(const halfway::graph& g);

// Compares with the first of the variants. Takes `turns` turns to time each.
std::vector<table_row> compare(std::span<const float> parameters, std::span<const variant> variants,
                               std::span<const windows> held_out, int turns);

// That its kernels write to be read again, of a run.
double activation_bytes(const halfway::precision_plan& plan);

std::string to_table(std::span<const table_row> rows);
std::string to_json(std::span<const table_row> rows);

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_EVALUATION_H_
