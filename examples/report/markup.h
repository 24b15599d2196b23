// SPDX-License-Identifier: Apache-2.0
// Plain text within HTML and XML, between tags or within double quotes.
#ifndef HALFWAY_EXAMPLES_REPORT_MARKUP_H_
#define HALFWAY_EXAMPLES_REPORT_MARKUP_H_

#include <string>

namespace report {

// What XML 1.0 has no way to write, control characters but for blanks, becomes a question mark.
inline std::string escaped(const std::string& text) {
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
      case '\t':
      case '\n':
      case '\r':
        result += c;
        break;
      default:
        result += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  return result;
}

}  // namespace report

#endif  // HALFWAY_EXAMPLES_REPORT_MARKUP_H_
