// SPDX-License-Identifier: Apache-2.0
// UTF-8 and JSON strings and numbers, which the exports are made of.
#ifndef HALFWAY_TELEMETRY_TEXT_H_
#define HALFWAY_TELEMETRY_TEXT_H_

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

#include "halfway/core/error.h"

namespace halfway::telemetry::detail {

// Bytes of the character that `text` begins with; 0 if that is no valid UTF-8 (nor is a surrogate,
// a number past U+10FFFF, or a form longer than needed). RFC 3629, section 4.
inline std::size_t utf8_length(std::string_view text) {
  const auto byte = [text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto follows = [&byte](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (text.empty()) return 0;
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80, high = first == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80, high = first == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

inline bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// With its quotes. A byte that is no UTF-8 becomes U+FFFD.
inline std::string json_string(std::string_view text) {
  std::string json = "\"";
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text.front();
    if (length == 0) {
      json += "\xEF\xBF\xBD";
    } else if (c == '"' || c == '\\') {
      json += {'\\', c};
    } else if (length == 1 && c < 0x20) {
      constexpr std::string_view digits = "0123456789abcdef";
      json += "\\u00";
      json += {digits[static_cast<std::size_t>(c >> 4)], digits[static_cast<std::size_t>(c & 15)]};
    } else {
      json += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return json + '"';
}

// The shortest text that reads back; what JSON has no number for as protobuf's JSON has it, in a
// string.
inline std::string json_number(double value) {
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  return halfway::detail::to_text(value);
}

}  // namespace halfway::telemetry::detail

#endif  // HALFWAY_TELEMETRY_TEXT_H_
