// SPDX-License-Identifier: Apache-2.0
// What every small format is, written from its specification by hand, and the conversion into it
// from the definition of rounding to nearest: among all values, found by walking a table of them,
// the closest. Shares nothing with include/halfway/types but the names of the types.

#ifndef HALFWAY_TESTS_TYPES_REFERENCE_H_
#define HALFWAY_TESTS_TYPES_REFERENCE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <limits>
#include <string>
#include <vector>

#include "halfway/types/bfloat16.h"
#include "halfway/types/float4.h"
#include "halfway/types/float6.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"

namespace halfway::testing {

using all_formats =
    ::testing::Types<half, bfloat16, float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz,
                     float8_e8m0fnu, float6_e2m3fn, float6_e3m2fn, float4_e2m1fn>;

enum class specials { ieee, fn, fnuz, none };  // none: every code is a number

/// One format. The last three numbers are quoted from the specifications, not computed;
/// reference_test checks the rest on them.
struct facts {
  const char* name;
  int exponent_bits;
  int mantissa_bits;
  int bias;
  bool has_sign;
  specials special;
  double largest;
  double smallest_normal;
  double smallest;
};

template <class T>
inline constexpr facts facts_of{};
// IEEE 754-2019 table 3.5
template <>
inline constexpr facts facts_of<half>{"float16",      5,     10,      15,     true,
                                      specials::ieee, 65504, 0x1p-14, 0x1p-24};
// Intel 338302-001US
template <>
inline constexpr facts facts_of<bfloat16>{"bfloat16",     8,          7,        127,     true,
                                          specials::ieee, 0x1.FEp127, 0x1p-126, 0x1p-133};
// OFP8 revision 1.0, table 1
template <>
inline constexpr facts facts_of<float8_e4m3fn>{"float8_e4m3fn", 4,   3,      7,     true,
                                               specials::fn,    448, 0x1p-6, 0x1p-9};
template <>
inline constexpr facts facts_of<float8_e5m2>{"float8_e5m2",  5,     2,       15,     true,
                                             specials::ieee, 57344, 0x1p-14, 0x1p-16};
// arXiv 2206.02915; ONNX "Float stored in 8 bits"
template <>
inline constexpr facts facts_of<float8_e4m3fnuz>{"float8_e4m3fnuz", 4,   3,      8,      true,
                                                 specials::fnuz,    240, 0x1p-7, 0x1p-10};
template <>
inline constexpr facts facts_of<float8_e5m2fnuz>{"float8_e5m2fnuz", 5,     2,       16,     true,
                                                 specials::fnuz,    57344, 0x1p-15, 0x1p-17};
// OCP microscaling formats 1.0, sections 5.4.1 (e8m0), 5.3.2 (fp6), 5.3.3 (fp4)
template <>
inline constexpr facts facts_of<float8_e8m0fnu>{"float8_e8m0fnu", 8,       0,        127,     false,
                                                specials::fn,     0x1p127, 0x1p-127, 0x1p-127};
template <>
inline constexpr facts facts_of<float6_e2m3fn>{"float6_e2m3fn", 2,   3,   1,    true,
                                               specials::none,  7.5, 1.0, 0.125};
template <>
inline constexpr facts facts_of<float6_e3m2fn>{"float6_e3m2fn", 3,  2,    3,     true,
                                               specials::none,  28, 0.25, 0.0625};
template <>
inline constexpr facts facts_of<float4_e2m1fn>{"float4_e2m1fn", 2, 1,   1,  true,
                                               specials::none,  6, 1.0, 0.5};

/// Counts what differs in a long loop, keeps the first, and fails once. (An EXPECT in each of many
/// instantiations is slow to compile and, where everything fails, to run.)
class differences {
 public:
  ~differences() {
    EXPECT_EQ(count_, 0u) << "first: got 0x" << std::hex << got_ << ", expected 0x" << expected_
                          << " for " << std::setprecision(21) << input_;
    EXPECT_NE(checks_, 0u) << "nothing was checked";
  }
  [[gnu::noinline]] void check(std::uint64_t got, std::uint64_t expected, long double input) {
    ++checks_;
    if (got != expected && count_++ == 0) got_ = got, expected_ = expected, input_ = input;
  }

 private:
  std::uint64_t checks_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t got_ = 0;
  std::uint64_t expected_ = 0;
  long double input_ = 0;
};

/// Names the typed tests: types_test.Minifloat/float8_e5m2.Case.
struct format_names {
  template <class T>
  static std::string GetName(int) {
    return facts_of<T>.name;
  }
};

template <class T>
struct reference {
  static constexpr facts f = facts_of<T>;
  static constexpr std::uint32_t codes = 1u << (f.exponent_bits + f.mantissa_bits);  // without sign
  static constexpr std::uint32_t sign = f.has_sign ? codes : 0;
  static constexpr std::uint32_t patterns = f.has_sign ? 2 * codes : codes;
  static constexpr bool has_zero = f.mantissa_bits > 0;

  /// The number that magnitude code `code` would stand for if no code were special. Also past the
  /// last code.
  static double value_of_code(std::uint32_t code) {
    const std::uint32_t per_binade = 1u << f.mantissa_bits;
    const int field = static_cast<int>(code / per_binade);
    const std::uint32_t rest = code % per_binade;
    if (has_zero && field == 0) return std::ldexp(rest, 1 - f.bias - f.mantissa_bits);
    return std::ldexp(per_binade + rest, field - f.bias - f.mantissa_bits);
  }

  static constexpr std::uint32_t infinity_code = codes - (1u << f.mantissa_bits);  // ieee only
  static constexpr std::uint32_t largest_code = f.special == specials::ieee ? infinity_code - 1
                                                : f.special == specials::fn ? codes - 2
                                                                            : codes - 1;

  static bool is_nan(std::uint32_t bits) {
    const std::uint32_t code = bits % codes;
    if (f.special == specials::ieee) return code > infinity_code;
    if (f.special == specials::fn) return code == codes - 1;
    if (f.special == specials::fnuz) return bits == sign;
    return false;
  }

  static double value(std::uint32_t bits) {
    if (is_nan(bits)) return std::numeric_limits<double>::quiet_NaN();
    const double s = bits >= codes ? -1.0 : 1.0;
    if (f.special == specials::ieee && bits % codes == infinity_code)
      return s * std::numeric_limits<double>::infinity();
    return s * value_of_code(bits % codes);
  }

  /// Halfway between code - 1 and code. Exact: one bit more than the format has.
  static double midpoint_below(std::uint32_t code) {
    return (value_of_code(code - 1) + value_of_code(code)) / 2;
  }

  /// Whether a number halfway between code - 1 and code goes to `code`: where that is even; in
  /// e8m0, where every significand is 1 and odd, always (IEEE 754-2019 4.3.1: the larger magnitude
  /// if neither is even).
  static bool tie_goes_up_to(std::uint32_t code) { return f.mantissa_bits == 0 || code % 2 == 0; }

  /// midpoints[c] is halfway between c - 1 and c, for c = 1 .. largest_code + 1.
  static const std::vector<double>& midpoints() {
    static const std::vector<double> all = [] {
      std::vector<double> m(1, -1.0);
      for (std::uint32_t c = 1; c <= largest_code + 1; ++c) m.push_back(midpoint_below(c));
      return m;
    }();
    return all;
  }

  /// The code nearest to x >= 0 if there were no largest one: largest_code + 1 stands for
  /// everything past it.
  template <class Number>
  static std::uint32_t nearest_code(Number x) {
    const std::vector<double>& m = midpoints();
    const auto past = std::upper_bound(
        m.begin(), m.end(), x, [](Number a, double b) { return a < static_cast<Number>(b); });
    const auto code = static_cast<std::uint32_t>(past - m.begin() - 1);
    return code > 0 && x == static_cast<Number>(m[code]) && !tie_goes_up_to(code) ? code - 1 : code;
  }

  /// The bits of what a code past the largest becomes without saturation.
  static std::uint32_t overflow_bits(bool negative) {
    const std::uint32_t s = negative ? sign : 0;
    switch (f.special) {
      case specials::ieee:
        return s | infinity_code;
      case specials::fn:
        return s | (codes - 1);
      case specials::fnuz:
        return sign;
      case specials::none:
        return s | largest_code;
    }
    return 0;
  }

  /// Bits for x, which is not NaN. `Number` must hold the midpoints exactly: float, double and long
  /// double do.
  template <class Number>
  [[gnu::noinline]] static std::uint32_t encode(Number x, bool saturate = false) {
    const bool negative = std::signbit(x);
    if (!has_zero && (negative || x == 0)) return saturate ? 0 : codes - 1;
    const std::uint32_t code = nearest_code(negative ? -x : x);
    if (code > largest_code)
      return saturate ? (negative ? sign : 0) | largest_code : overflow_bits(negative);
    if (f.special == specials::fnuz && code == 0) return 0;
    return (negative ? sign : 0) | code;
  }

  /// Bits for a NaN with this sign and these payload bits below the quiet bit, the highest at
  /// bit 63.
  static std::uint32_t encode_nan(bool negative, std::uint64_t payload) {
    const std::uint32_t s = negative ? sign : 0;
    switch (f.special) {
      case specials::ieee:  // infinity's exponent, then the quiet bit, then the payload's top bits
        return s | infinity_code | (1u << f.mantissa_bits) / 2 |
               static_cast<std::uint32_t>(payload >> 33 >> (32 - f.mantissa_bits));
      case specials::fn:
        return s | (codes - 1);
      case specials::fnuz:
        return sign;
      case specials::none:
        return largest_code;
    }
    return 0;
  }
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_TYPES_REFERENCE_H_
