// SPDX-License-Identifier: Apache-2.0
#include "junit.h"

#include <algorithm>

namespace validate {

namespace {

// Within quotes. What XML 1.0 has no way to write, control characters, becomes a question mark.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  return result;
}

}  // namespace

std::string junit(const std::vector<verdict>& verdicts) {
  const auto failures = std::ranges::count_if(verdicts, [](const verdict& v) { return !v.met; });
  const std::string counts = " tests=\"" + std::to_string(verdicts.size()) + "\" failures=\"" +
                             std::to_string(failures) + "\"";
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites" + counts +
                    ">\n<testsuite name=\"validate_precision\"" + counts + ">\n";
  for (const verdict& v : verdicts) {
    xml += "<testcase classname=\"" + escaped(v.where) + "\" name=\"" + escaped(v.objective) + "\"";
    xml += v.met ? "/>\n"
                 : "><failure message=\"measured: " + escaped(v.measured) + "\"/></testcase>\n";
  }
  return xml + "</testsuite>\n</testsuites>\n";
}

}  // namespace validate
