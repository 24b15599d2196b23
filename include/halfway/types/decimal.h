// SPDX-License-Identifier: Apache-2.0
// Binary values of written numbers, exact enough to round once: the arithmetic behind from_chars
// and the literals.
//
//   constexpr auto r = halfway::detail::parse_number("0.1", 10);
//   static_assert(r.length == 3);   // r.value is what encode_scaled takes
//
// A decimal is digits * 10^scale. The quotient or product with the power of ten is computed exactly
// in a fixed-size big integer, and cut to 64 bits and a sticky bit; going through double instead
// would round twice.

#ifndef HALFWAY_TYPES_DECIMAL_H_
#define HALFWAY_TYPES_DECIMAL_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "halfway/types/encode.h"

namespace halfway::detail {

/// An unsigned integer of up to 32 * capacity bits. The caller keeps results in range.
class big_uint {
 public:
  /// Zero times anything plus `summand` makes the first digit.
  constexpr void multiply_add(std::uint32_t factor, std::uint32_t summand) {
    std::uint64_t carry = summand;
    for (int i = 0; i < size_; ++i) {
      carry += std::uint64_t{limbs_[i]} * factor;
      limbs_[i] = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) limbs_[size_++] = static_cast<std::uint32_t>(carry);
  }

  constexpr int bit_width() const {
    return size_ == 0 ? 0 : 32 * size_ - std::countl_zero(limbs_[size_ - 1]);
  }
  constexpr bool is_zero() const { return size_ == 0; }

  constexpr void shift_left(int bits) {
    const int whole = bits / 32;
    const int part = bits % 32;
    for (int i = size_; i >= 0; --i) {
      const std::uint64_t pair =
          (i < size_ ? std::uint64_t{limbs_[i]} << 32 : 0) | (i > 0 ? limbs_[i - 1] : 0u);
      limbs_[i + whole] = static_cast<std::uint32_t>((pair << part) >> 32);
    }
    for (int i = 0; i < whole; ++i) limbs_[i] = 0;
    size_ += whole + 1;
    trim();
  }

  constexpr void halve() {
    for (int i = 0; i < size_; ++i)
      limbs_[i] = limbs_[i] >> 1 | (i + 1 < size_ ? limbs_[i + 1] << 31 : 0u);
    trim();
  }

  /// Subtracts `other` where it is not larger; says whether it did.
  constexpr bool subtract_if_not_less(const big_uint& other) {
    if (size_ < other.size_) return false;
    if (size_ == other.size_) {
      int i = size_ - 1;
      while (i > 0 && limbs_[i] == other.limbs_[i]) --i;
      if (size_ > 0 && limbs_[i] < other.limbs_[i]) return false;
    }
    std::uint64_t borrow = 0;
    for (int i = 0; i < size_; ++i) {
      const std::uint64_t d =
          std::uint64_t{limbs_[i]} - (i < other.size_ ? other.limbs_[i] : 0u) - borrow;
      limbs_[i] = static_cast<std::uint32_t>(d);
      borrow = d >> 63;
    }
    trim();
    return true;
  }

 private:
  constexpr void trim() {
    while (size_ > 0 && limbs_[size_ - 1] == 0) --size_;
  }

  // Largest: 128 digits (426 bits), or 5^(128 + 60) (437 bits) shifted by up to 65 bits.
  static constexpr int capacity = 20;
  std::uint32_t limbs_[capacity] = {};
  int size_ = 0;
};

/// Digits kept of a decimal. Midpoints between neighbours of any format here have fewer (bfloat16:
/// at most 98), so a longer decimal lies on the same side of each as its first 128 digits do, and
/// `inexact` records that it is not one of them.
inline constexpr int max_decimal_digits = 128;

/// Decimals outside 10^-60 .. 10^60 over- or underflow every format.
inline constexpr int max_decimal_magnitude = 60;

/// digits * 10^scale as collected from text.
struct decimal {
  big_uint digits;
  int count = 0;  // significant digits in `digits`
  int scale = 0;
  bool inexact = false;  // a digit that is not zero was dropped

  constexpr void append(std::uint32_t digit) {
    if (count == 0 && digit == 0) return;
    if (count == max_decimal_digits) {
      inexact = inexact || digit != 0;
      ++scale;
    } else {
      digits.multiply_add(10, digit);
      ++count;
    }
  }
};

/// The decimal in binary, to 63 or 64 bits.
constexpr scaled to_scaled(const decimal& d) {
  if (d.count == 0) return {};
  if (d.count + d.scale > max_decimal_magnitude) return {1, 1000};
  if (d.count + d.scale < -max_decimal_magnitude) return {0, 0, true};

  // digits * 5^scale * 2^scale, as a quotient.
  big_uint numerator = d.digits;
  big_uint denominator;
  denominator.multiply_add(1, 1);
  for (int i = 0; i < d.scale; ++i) numerator.multiply_add(5, 0);
  for (int i = 0; i < -d.scale; ++i) denominator.multiply_add(5, 0);

  const int up = 63 - (numerator.bit_width() - denominator.bit_width());
  if (up > 0) numerator.shift_left(up);
  denominator.shift_left(63 + (up < 0 ? -up : 0));
  std::uint64_t quotient = 0;
  for (int i = 0; i < 64; ++i) {
    quotient = quotient << 1 | (numerator.subtract_if_not_less(denominator) ? 1u : 0u);
    denominator.halve();
  }
  return {quotient, d.scale - (up > 0 ? up : 0) + (up < 0 ? -up : 0),
          d.inexact || !numerator.is_zero()};
}

/// The value of a digit in base 10 or 16, or something past any base.
constexpr int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

/// A magnitude read from text; `length` is 0 where there was none.
struct parsed_number {
  std::size_t length = 0;
  bool has_exponent = false;
  scaled value;
};

/// Reads digits with an optional point and an optional exponent (after e; with base 16 a power of
/// two, after p) from the start of `text`: no sign, no prefix. Skips `separator` between digits
/// where it is not 0.
constexpr parsed_number parse_number(std::string_view text, int base, bool exponent_allowed = true,
                                     char separator = 0) {
  constexpr int far = 100'000'000;  // exponents past this stay there
  decimal d;
  scaled binary;
  bool any_digit = false;
  bool after_point = false;
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    if (text[i] == '.' && !after_point) {
      after_point = true;
      continue;
    }
    if (separator != 0 && text[i] == separator) continue;
    const int digit = digit_value(text[i]);
    if (digit >= base) break;
    any_digit = true;
    if (base == 10) {
      d.append(static_cast<std::uint32_t>(digit));
      if (after_point) --d.scale;
    } else {
      if (binary.significand >> 60 == 0) {
        binary.significand = binary.significand << 4 | static_cast<std::uint64_t>(digit);
      } else {
        binary.inexact = binary.inexact || digit != 0;
        binary.exponent += 4;
      }
      if (after_point) binary.exponent -= 4;
    }
  }
  if (!any_digit) return {};

  parsed_number result;
  result.length = i;
  const char letter = base == 10 ? 'e' : 'p';
  if (exponent_allowed && i < text.size() && (text[i] | 0x20) == letter) {
    ++i;
    bool minus = false;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) minus = text[i++] == '-';
    int value = 0;
    for (;
         i < text.size() && (digit_value(text[i]) < 10 || (separator != 0 && text[i] == separator));
         ++i) {
      if (text[i] == separator) continue;
      result.has_exponent = true;
      value = value < far / 10 ? value * 10 + digit_value(text[i]) : far;
    }
    if (result.has_exponent) {  // otherwise the letter is not part of the number
      result.length = i;
      (base == 10 ? d.scale : binary.exponent) += minus ? -value : value;
    }
  }
  result.value = base == 10 ? to_scaled(d) : binary;
  return result;
}

}  // namespace halfway::detail

#endif  // HALFWAY_TYPES_DECIMAL_H_
