// SPDX-License-Identifier: Apache-2.0
// What each tensor lost, for people and for programs.
#ifndef HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_REPORT_H_
#define HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "loss.h"

namespace conversion {

struct tensor_report {
  std::string name, from, to;  // the same type where it was kept
  std::uint64_t elements = 0, bytes_before = 0, bytes_after = 0;
  bool converted = false;
  tensor_loss loss;
  std::string missed;  // which limit; empty if none
};

std::string to_table(const std::vector<tensor_report>& tensors);
// Numbers that are infinite or NaN as strings: "inf", "-inf", "nan".
std::string to_json(const std::vector<tensor_report>& tensors);

}  // namespace conversion

#endif  // HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_REPORT_H_
