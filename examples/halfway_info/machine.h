// SPDX-License-Identifier: Apache-2.0
// Cores and caches, as the operating system tells them.
#ifndef HALFWAY_EXAMPLES_HALFWAY_INFO_MACHINE_H_
#define HALFWAY_EXAMPLES_HALFWAY_INFO_MACHINE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace info {

struct cache {
  int level = 0;
  std::string type;  // "data", "instruction" or "unified"
  std::size_t bytes = 0;
  std::size_t shared_by = 0;  // logical CPUs
};

struct machine {
  std::size_t logical_cpus = 0;      // of the machine, online
  std::size_t available_cpus = 0;    // that this process may run on
  std::optional<double> cpu_quota;   // CPUs' worth of time that the control group allows
  std::optional<std::size_t> cores;  // of the CPUs that are online; empty: not told
  std::vector<cache> caches;         // of the first CPU; empty: not told

  // The data or unified cache of a level; 0 where there is none.
  std::size_t cache_bytes(int level) const;
};

machine this_machine();

}  // namespace info

#endif  // HALFWAY_EXAMPLES_HALFWAY_INFO_MACHINE_H_
