// SPDX-License-Identifier: Apache-2.0
// Text of small floats: to_chars with the fewest digits that read back, from_chars with one
// rounding, to_string and streams.
//
//   std::string s = to_string(halfway::half(0.1f));   // "0.1", not 0.0999756
//   halfway::half x;
//   from_chars(s.data(), s.data() + s.size(), x);      // the same bits
//
// The interface and grammar are those of std::to_chars and std::from_chars. `std::format` is in
// types/format.h.

#ifndef HALFWAY_TYPES_TEXT_H_
#define HALFWAY_TYPES_TEXT_H_

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <system_error>

#include "halfway/types/decimal.h"
#include "halfway/types/encode.h"
#include "halfway/types/minifloat.h"

namespace halfway {
namespace detail {

/// Length of the prefix of `text` that is `word` in any case, or 0.
constexpr std::size_t match_word(std::string_view text, std::string_view word) {
  if (text.size() < word.size()) return 0;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if ((text[i] | 0x20) != word[i]) return 0;
  }
  return word.size();
}

/// The fewest significant digits that read back as this positive finite value: digits *
/// 10^exponent10.
struct short_decimal {
  int digits = 0;
  int count = 0;
  int exponent10 = 0;
};

template <class Format>
short_decimal shortest_digits(minifloat<Format> x) {
  const auto value = static_cast<double>(x);
  for (int count = 1;; ++count) {
    char text[40];
    const auto end =
        std::to_chars(text, text + sizeof text, value, std::chars_format::scientific, count - 1)
            .ptr;
    short_decimal d;
    d.count = count;
    const char* p = text;
    for (; *p != 'e'; ++p) {
      if (*p != '.') d.digits = d.digits * 10 + (*p - '0');
    }
    p += p[1] == '+' ? 2 : 1;
    std::from_chars(p, end, d.exponent10);
    d.exponent10 -= count - 1;
    // The nearest decimal of this length; then, because above a power of two the neighbours lie
    // wider apart than below it, the one after it, which may read back though it is farther.
    for (int next = 0; next < 2; ++next, ++d.digits) {
      decimal candidate;
      candidate.scale = d.exponent10;
      candidate.digits.multiply_add(1, static_cast<std::uint32_t>(d.digits));
      candidate.count = count;
      if (scaled_magnitude<Format>(to_scaled(candidate)) == x.bits()) return d;
    }
  }
}

}  // namespace detail

/// Writes the shortest text that reads back as the same value, fixed or scientific, as
/// std::to_chars does for float: fewest characters, then closest to the value. NaN is "nan" or
/// "-nan" (payloads are not written), infinity "inf" or "-inf".
template <class Format>
std::to_chars_result to_chars(char* first, char* last, minifloat<Format> x) {
  char text[40];
  char* end = text;
  const auto put = [&end](std::string_view s) { end += s.copy(end, s.size()); };
  if (signbit(x)) put("-");
  const minifloat<Format> magnitude = signbit(x) ? -x : x;
  if (isnan(x)) {
    put("nan");
  } else if (isinf(x)) {
    put("inf");
  } else if (magnitude == 0.0f) {
    put("0");
  } else {
    const detail::short_decimal d = detail::shortest_digits(magnitude);
    char digits[12];
    std::to_chars(digits, digits + sizeof digits, d.digits);
    const std::string_view s(digits, static_cast<std::size_t>(d.count));
    const int exponent = d.exponent10 + d.count - 1;  // of the scientific form
    const int scientific = d.count + (d.count > 1 ? 1 : 0) + 4;
    const int fixed = exponent < 0             ? d.count + 1 - exponent
                      : exponent < d.count - 1 ? d.count + 1
                                               : exponent + 1;
    if (fixed > scientific) {
      put(s.substr(0, 1));
      if (d.count > 1) put(".");
      put(s.substr(1));
      put(exponent < 0 ? "e-" : "e+");
      const int e = exponent < 0 ? -exponent : exponent;
      *end++ = static_cast<char>('0' + e / 10);
      *end++ = static_cast<char>('0' + e % 10);
    } else if (exponent >= d.count - 1) {
      // An integer. Zeros in place of the last digits would be as long and farther from the value.
      end = std::to_chars(end, text + sizeof text,
                          static_cast<std::int64_t>(static_cast<float>(magnitude)))
                .ptr;
    } else if (exponent >= 0) {
      const auto whole = static_cast<std::size_t>(exponent + 1);
      put(s.substr(0, whole));
      put(".");
      put(s.substr(whole));
    } else {
      put("0.");
      for (int i = -1; i > exponent; --i) put("0");
      put(s);
    }
  }
  if (last - first < end - text) return {last, std::errc::value_too_large};
  const std::string_view all(text, static_cast<std::size_t>(end - text));
  return {first + all.copy(first, all.size()), std::errc()};
}

/// Reads a number at `first`, as std::from_chars does for float: optional minus, no plus, no
/// blanks, "inf", "infinity", "nan" and "nan(...)" in any case; base 16 with chars_format::hex.
/// Rounds once, to nearest even.
///
/// No number: invalid_argument. A number past the largest finite value, or a name or value that the
/// format does not have (inf in e4m3fn, nan in fp6, 0 or -1 in e8m0): result_out_of_range with
/// `ptr` after it. In both cases `value` is left as it was. A number that rounds to zero is not an
/// error.
template <class Format>
constexpr std::from_chars_result from_chars(const char* first, const char* last,
                                            minifloat<Format>& value,
                                            std::chars_format format = std::chars_format::general) {
  using L = detail::layout<Format>;
  const auto pattern = [](std::uint32_t bits) {
    return minifloat<Format>::from_bits(static_cast<typename Format::storage>(bits));
  };
  std::string_view text(first, static_cast<std::size_t>(last - first));
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);

  if (std::size_t n = detail::match_word(text, "inf"); n != 0) {
    if (const std::size_t longer = detail::match_word(text, "infinity")) n = longer;
    const char* end = text.data() + n;
    if (!Format::has_infinity) return {end, std::errc::result_out_of_range};
    value = pattern(L::infinity | (negative ? L::sign : 0u));
    return {end, std::errc()};
  }
  if (std::size_t n = detail::match_word(text, "nan"); n != 0) {
    if (n < text.size() && text[n] == '(') {
      std::size_t close = n + 1;
      while (close < text.size() &&
             (detail::digit_value(text[close]) < 10 || text[close] == '_' ||
              ((text[close] | 0x20) >= 'a' && (text[close] | 0x20) <= 'z'))) {
        ++close;
      }
      if (close < text.size() && text[close] == ')') n = close + 1;
    }
    const char* end = text.data() + n;
    if (!L::has_nan) return {end, std::errc::result_out_of_range};
    value = pattern(detail::encode_nan<Format>(negative ? L::sign : 0u, 0));
    return {end, std::errc()};
  }

  const auto has = [format](std::chars_format flag) { return (format & flag) == flag; };
  const bool hex = format == std::chars_format::hex;
  const detail::parsed_number number =
      detail::parse_number(text, hex ? 16 : 10, hex || has(std::chars_format::scientific));
  const bool exponent_missing = format == std::chars_format::scientific && !number.has_exponent;
  if (number.length == 0 || exponent_missing) return {first, std::errc::invalid_argument};
  const char* end = text.data() + number.length;
  const bool zero = number.value.is_zero();
  const bool past = !zero && detail::scaled_magnitude<Format>(number.value) > L::max_finite;
  const bool absent = past || (!L::has_zero && (zero || negative));
  if (absent) return {end, std::errc::result_out_of_range};
  value = pattern(detail::encode_scaled<Format, overflow::ieee>(negative, number.value));
  return {end, std::errc()};
}

/// The shortest text that reads back: see to_chars.
template <class Format>
std::string to_string(minifloat<Format> x) {
  char text[40];
  return std::string(text, to_chars(text, text + sizeof text, x).ptr);
}

// The streams are dependent types below, so that this header needs only <iosfwd>.

/// The shortest text that reads back, padded to the stream's width; where the stream asks for
/// fixed, scientific or hexadecimal notation or a precision other than the default 6, the float it
/// stands for.
template <class Traits, class Format>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& os,
                                             minifloat<Format> x) {
  using Stream = std::basic_ostream<char, Traits>;
  const auto plain = Stream::floatfield | Stream::showpos | Stream::showpoint;
  if ((os.flags() & plain) != 0 || os.precision() != 6) return os << static_cast<float>(x);
  char text[40];
  const char* end = to_chars(text, text + sizeof text, x).ptr;
  return os << std::basic_string_view<char, Traits>(text, static_cast<std::size_t>(end - text));
}

/// Skips blanks, then reads the longest run of characters that a number may have. Sets failbit, and
/// leaves `x` alone, unless all of it is one number (a leading plus is allowed); a number that the
/// format does not hold fails too.
template <class Traits, class Format>
std::basic_istream<char, Traits>& operator>>(std::basic_istream<char, Traits>& is,
                                             minifloat<Format>& x) {
  const typename std::basic_istream<char, Traits>::sentry ready(is);
  if (!ready) return is;
  std::string text;
  for (auto c = is.peek(); !Traits::eq_int_type(c, Traits::eof()); c = is.peek()) {
    const char ch = Traits::to_char_type(c);
    const bool sign = (ch == '+' || ch == '-') && (text.empty() || (text.back() | 0x20) == 'e');
    const bool alphanumeric =
        (ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z');
    if (!sign && !alphanumeric && ch != '.') break;
    text.push_back(ch);
    is.get();
  }
  const std::size_t begin = text.size() > 1 && text[0] == '+' && text[1] != '-' ? 1 : 0;
  minifloat<Format> value;
  const auto result = from_chars(text.data() + begin, text.data() + text.size(), value);
  if (text.size() > begin && result.ec == std::errc() && result.ptr == text.data() + text.size()) {
    x = value;
  } else {
    is.setstate(std::basic_istream<char, Traits>::failbit);
  }
  return is;
}

}  // namespace halfway

#endif  // HALFWAY_TYPES_TEXT_H_
