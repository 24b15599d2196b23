// SPDX-License-Identifier: Apache-2.0
#include "text_output.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace language {

std::string number(double value, int digits) {
  if (std::isnan(value)) return "-";
  char text[512];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[64];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

std::string aligned(const std::vector<std::vector<std::string>>& lines) {
  std::vector<std::size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (std::size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], line[c].size());
  }
  std::string text;
  for (const auto& line : lines) {
    for (std::size_t c = 0; c < line.size(); ++c) {
      const std::string blanks(widths[c] - line[c].size(), ' ');
      text += c == 0 ? line[c] + blanks : "  " + blanks + line[c];
    }
    text += '\n';
  }
  return text;
}

}  // namespace language
