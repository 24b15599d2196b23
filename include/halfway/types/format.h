// SPDX-License-Identifier: Apache-2.0
// std::format for the small floats and the storage integers, where the standard library has it.
//
//   std::string s = std::format("{}", halfway::half(0.1f));   // "0.1"
//
// "{}", and a fill, alignment and width written as digits, give the shortest text that reads back
// (types/text.h). With anything else in the specification (sign, #, 0, precision, L, a type, a
// width from an argument) the value is formatted as the float that it converts to.

#ifndef HALFWAY_TYPES_FORMAT_H_
#define HALFWAY_TYPES_FORMAT_H_

#include <version>

#if defined(__cpp_lib_format)

#include <algorithm>
#include <cstddef>
#include <format>
#include <string_view>

#include "halfway/types/minifloat.h"
#include "halfway/types/small_int.h"
#include "halfway/types/text.h"

template <class Format>
struct std::formatter<halfway::minifloat<Format>, char> {
 public:
  constexpr auto parse(std::format_parse_context& context) {
    const std::string_view spec(context.begin(), context.end());
    std::size_t i = 0;
    const auto is_align = [&spec](std::size_t at) {
      return at < spec.size() && (spec[at] == '<' || spec[at] == '^' || spec[at] == '>');
    };
    if (is_align(1)) {
      fill_ = spec[0];
      align_ = spec[1];
      i = 2;
    } else if (is_align(0)) {
      align_ = spec[0];
      i = 1;
    }
    const bool zero_flag = i < spec.size() && spec[i] == '0';
    for (; i < spec.size() && spec[i] >= '0' && spec[i] <= '9'; ++i) {
      width_ = width_ < 1'000'000 ? width_ * 10 + static_cast<std::size_t>(spec[i] - '0') : width_;
    }
    shortest_ = !zero_flag && (i == spec.size() || spec[i] == '}');
    return shortest_ ? context.begin() + static_cast<std::ptrdiff_t>(i) : as_float_.parse(context);
  }

  template <class Context>
  auto format(halfway::minifloat<Format> x, Context& context) const {
    if (!shortest_) return as_float_.format(static_cast<float>(x), context);
    char text[40];
    const char* end = halfway::to_chars(text, text + sizeof text, x).ptr;
    const std::size_t length = static_cast<std::size_t>(end - text);
    const std::size_t padding = width_ > length ? width_ - length : 0;
    const std::size_t before = align_ == '<' ? 0 : align_ == '^' ? padding / 2 : padding;
    auto out = std::fill_n(context.out(), before, fill_);
    out = std::copy(text, text + length, out);
    return std::fill_n(out, padding - before, fill_);
  }

 private:
  std::formatter<float, char> as_float_;
  std::size_t width_ = 0;
  char fill_ = ' ';
  char align_ = '>';  // as numbers are
  bool shortest_ = true;
};

/// int8, uint8, int4 and uint4 are formatted as the int they stand for.
template <int Bits, bool Signed>
struct std::formatter<halfway::small_int<Bits, Signed>, char> : std::formatter<int, char> {
  template <class Context>
  auto format(halfway::small_int<Bits, Signed> x, Context& context) const {
    return std::formatter<int, char>::format(static_cast<int>(x), context);
  }
};

#endif  // __cpp_lib_format

#endif  // HALFWAY_TYPES_FORMAT_H_
