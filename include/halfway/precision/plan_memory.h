// SPDX-License-Identifier: Apache-2.0
// The memory that a plan's run takes, before it runs.
#ifndef HALFWAY_PRECISION_PLAN_MEMORY_H_
#define HALFWAY_PRECISION_PLAN_MEMORY_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "halfway/precision/plan.h"

namespace halfway {

/// The most bytes of results between nodes that a run of the plan holds at one time: a lower bound
/// of what any runner of its steps, in their order, allocates. Inputs that are read in place and
/// parameters (precision_plan::parameter_bytes) are not part of it. graph_runner uses memory again
/// for results of the same size only, so its working_bytes() may be more.
inline std::size_t working_bytes(const precision_plan& plan) {
  std::vector<std::size_t> last_use(plan.tensors.size(), 0);
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    for (const std::size_t t : plan.steps[s].reads) last_use[t] = s;
  }
  for (const std::size_t t : plan.outputs) last_use[t] = plan.steps.size();
  std::vector<bool> is_written(plan.tensors.size(), false);
  std::size_t held = 0, most = 0;
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    const plan_step& step = plan.steps[s];
    for (const std::size_t t : step.writes) {
      is_written[t] = true;
      held += plan.tensors[t].bytes;
    }
    most = std::max(most, held);
    std::vector<std::size_t> done;
    for (const std::size_t t : step.reads) {
      if (is_written[t] && last_use[t] == s) done.push_back(t);
    }
    for (const std::size_t t : step.writes) {
      if (last_use[t] <= s) done.push_back(t);
    }
    std::ranges::sort(done);
    done.erase(std::unique(done.begin(), done.end()), done.end());  // an input may be read twice
    for (const std::size_t t : done) held -= plan.tensors[t].bytes;
  }
  return most;
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_PLAN_MEMORY_H_
