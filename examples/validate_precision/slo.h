// SPDX-License-Identifier: Apache-2.0
// What a candidate has to keep, as a JSON file says it:
//
//   {
//     "ulp_type": "bfloat16",
//     "order": ["embedding*", "blocks.*", "logits"],
//     "tensors": [
//       {"match": "*", "sqnr_db": 30, "cosine": 0.999},
//       {"match": "logits", "top1_agreement": 0.99, "confidence": 0.95, "accuracy_drop": 0.01}
//     ],
//     "latency": {"p50": 0.012, "p99": 0.050}
//   }
#ifndef HALFWAY_EXAMPLES_VALIDATE_PRECISION_SLO_H_
#define HALFWAY_EXAMPLES_VALIDATE_PRECISION_SLO_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "halfway/fidelity/objective.h"
#include "halfway/types/dtype.h"

namespace validate {

// Objectives of every tensor whose name the pattern matches ("*": anything, "?": one character).
struct tensor_rule {
  std::string match;
  std::vector<halfway::objective> objectives;
  std::size_t top_k = 5;  // of top_k_agreement
  // By how much the share of mistakes may grow, and how often the test of it may err.
  std::optional<double> accuracy_drop = {};
  double error_rate = 0.001;
};

// At most `limit`, in the unit of the timings, for `percent` of them.
struct latency_rule {
  std::string name;  // "p99.9"
  double percent;
  double limit;
};

struct slo {
  halfway::dtype ulp_type = halfway::dtype::float32;
  // Of tensors: by the first pattern that matches, and by name within it, numbers in names as numbers.
  std::vector<std::string> order;
  std::vector<tensor_rule> tensors;
  std::vector<latency_rule> latency;
};

// Errors (std::exception): no such file, not JSON, a key or a value that means nothing, no objective.
slo read_slo(const std::string& path);

// The array of numbers that a JSON file holds. Errors: as above; empty, negative or not finite.
std::vector<double> read_timings(const std::string& path);

}  // namespace validate

#endif  // HALFWAY_EXAMPLES_VALIDATE_PRECISION_SLO_H_
