// SPDX-License-Identifier: Apache-2.0
// A number as text.
//
//   const std::string share = report::format("%.2f%%", 100 * value);
#ifndef HALFWAY_EXAMPLES_REPORT_NUMBER_H_
#define HALFWAY_EXAMPLES_REPORT_NUMBER_H_

#include <cstdio>
#include <string>

namespace report {

// By a pattern of printf for one double, up to 63 characters.
inline std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

}  // namespace report

#endif  // HALFWAY_EXAMPLES_REPORT_NUMBER_H_
