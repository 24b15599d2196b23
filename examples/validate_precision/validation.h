// SPDX-License-Identifier: Apache-2.0
// Two safetensors files, tensor by tensor, against objectives.
#ifndef HALFWAY_EXAMPLES_VALIDATE_PRECISION_VALIDATION_H_
#define HALFWAY_EXAMPLES_VALIDATE_PRECISION_VALIDATION_H_

#include <optional>
#include <string>
#include <vector>

#include "halfway/fidelity/run_comparison.h"
#include "slo.h"

namespace halfway {
class safetensors_file;
}

namespace validate {

struct verdict {
  std::string where;      // a tensor, or "latency"
  std::string objective;  // "sqnr_db >= 40"
  std::string measured;
  bool met;
};

struct validation {
  halfway::run_comparison runs;       // tensors of floats, in the order of the network
  std::vector<verdict> verdicts;      // in that order
  std::optional<std::string> parted;  // the first tensor that misses an objective
  // The first tensor with NaN or infinity that the baseline does not have, with its index.
  std::optional<std::string> nan_origin;
};

// Errors (std::exception): tensors that only one file has, shapes that differ, a rule that matches no
// tensor of floats, an objective of logits for a tensor without dimensions; no tensor at all.
//
// `data`: the right choices for rules with accuracy_drop, as accuracy.h says; null without. Errors also:
// data that no rule asks for, or that one asks for and is not there.
//
// Tensors of other types than floats, for which there are no figures, have to be equal bit for bit;
// float64 is compared as rounded to float32.
validation compare(const halfway::safetensors_file& baseline,
                   const halfway::safetensors_file& candidate, const slo& objectives,
                   const halfway::safetensors_file* data);

// The smallest of `timings` that at least so many percent of them do not exceed.
verdict judge_latency(std::vector<double> timings, const latency_rule& rule);

}  // namespace validate

#endif  // HALFWAY_EXAMPLES_VALIDATE_PRECISION_VALIDATION_H_
