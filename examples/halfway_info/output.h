// SPDX-License-Identifier: Apache-2.0
// What is known about the machine, for people, for programs, and for Kubernetes.
#ifndef HALFWAY_EXAMPLES_HALFWAY_INFO_OUTPUT_H_
#define HALFWAY_EXAMPLES_HALFWAY_INFO_OUTPUT_H_

#include <optional>
#include <string>
#include <vector>

#include "cpu_features.h"
#include "formats.h"
#include "machine.h"
#include "measurement.h"

namespace info {

struct report {
  std::string cpu;
  std::string architecture;
  machine hardware;
  std::vector<cpu_feature> features;
  target_facts facts;
  std::vector<format_support> formats;
  std::optional<measurement> measured;
};

// Of this machine. `measures`: also what takes two seconds.
report describe(bool measures);

std::string to_text(const report& r);

// Indented, with a line end; docs/machine.md describes it. What is not known is null or missing.
std::string to_json(const report& r);

// A feature file of Node Feature Discovery's local source: lines of namespace/name=value. `expiry`: a
// time as RFC 3339 has it, in UTC, after which the lines count no more; none if empty.
std::string to_nfd(const report& r, const std::string& expiry);

}  // namespace info

#endif  // HALFWAY_EXAMPLES_HALFWAY_INFO_OUTPUT_H_
