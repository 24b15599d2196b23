// SPDX-License-Identifier: Apache-2.0
#include "halfway/types/text.h"

#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iomanip>
#include <limits>
#include <sstream>
#include <string>
#include <system_error>

#include "types/reference.h"

namespace halfway::testing {
namespace {

template <class T>
T pattern(std::uint32_t bits) {
  return T::from_bits(static_cast<typename T::storage>(bits));
}

/// Reads all of `text`, or says why not.
template <class T>
std::errc read(const std::string& text, T& x,
               std::chars_format format = std::chars_format::general) {
  const auto r = from_chars(text.data(), text.data() + text.size(), x, format);
  EXPECT_TRUE(r.ec != std::errc() || r.ptr == text.data() + text.size()) << text;
  return r.ec;
}

template <class T>
T parsed(const std::string& text, std::chars_format format = std::chars_format::general) {
  T x;
  EXPECT_EQ(read(text, x, format), std::errc()) << text;
  return x;
}

template <class T>
class Text : public ::testing::Test {};
TYPED_TEST_SUITE(Text, all_formats, format_names);

TYPED_TEST(Text, EveryPatternReadsBack) {
  using R = reference<TypeParam>;
  differences d;
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    const auto x = pattern<TypeParam>(bits);
    const auto back = parsed<TypeParam>(to_string(x));
    if (isnan(x)) {  // the payload is not written, the sign is
      d.check(isnan(back) && signbit(back) == signbit(x), true, bits);
    } else {
      d.check(back.bits(), bits, bits);
    }
  }
}

/// Significant digits of a written number.
int digits_of(const std::string& text) {
  std::string digits;
  for (const char c : text.substr(0, text.find('e'))) {
    if (c >= '0' && c <= '9' && !(digits.empty() && c == '0')) digits.push_back(c);
  }
  return static_cast<int>(digits.size());
}

// A text without a point or an exponent is all digits of an integer. Of any other, no text with one
// digit fewer, rounded down or up, reads back as the same value.
TYPED_TEST(Text, NothingShorterReadsBack) {
  using R = reference<TypeParam>;
  differences d;
  for (std::uint32_t code = R::has_zero ? 1 : 0; code <= R::largest_code; ++code) {
    const auto x = pattern<TypeParam>(code);
    const double v = R::value(code);
    const std::string text = to_string(x);
    const int digits = digits_of(text);
    char other[64];
    if (text.find_first_of(".e") == std::string::npos) {
      std::snprintf(other, sizeof other, "%.0f", v);
      d.check(text == other, true, v);
      continue;
    }
    d.check(digits <= std::numeric_limits<TypeParam>::max_digits10, true, v);
    if (digits == 1) continue;
    const int last = static_cast<int>(std::floor(std::log10(v))) - digits + 2;  // exponent of it
    for (const double candidate :
         {std::floor(v / std::pow(10.0, last)), std::ceil(v / std::pow(10.0, last))}) {
      std::snprintf(other, sizeof other, "%.0fe%d", candidate, last);
      TypeParam y;
      const bool same = read(std::string(other), y) == std::errc() && y.bits() == x.bits();
      d.check(same, false, v);
    }
  }
}

TYPED_TEST(Text, ReadsTheExactDigitsOfEveryValueAndMidpoint) {
  using R = reference<TypeParam>;
  differences d;
  for (std::uint32_t code = 1; code <= R::largest_code; ++code) {
    char text[400];
    std::snprintf(text, sizeof text, "%.200f", R::value(code));
    d.check(parsed<TypeParam>(text).bits(), code, R::value(code));
    // The midpoint below, exactly; then with a digit far behind its end, which tips it over.
    std::snprintf(text, sizeof text, "%.200f", R::midpoint_below(code));
    d.check(parsed<TypeParam>(text).bits(), R::tie_goes_up_to(code) ? code : code - 1,
            R::midpoint_below(code));
    d.check(parsed<TypeParam>(std::string(text) + "1").bits(), code, R::midpoint_below(code));
    // And just below it.
    std::snprintf(text, sizeof text, "%.200f", std::nextafter(R::midpoint_below(code), 0.0));
    d.check(parsed<TypeParam>(text).bits(), code - 1, R::midpoint_below(code));
    // The same in hexadecimal.
    std::snprintf(text, sizeof text, "%a", R::midpoint_below(code));
    d.check(parsed<TypeParam>(text + 2, std::chars_format::hex).bits(),
            R::tie_goes_up_to(code) ? code : code - 1, R::midpoint_below(code));
  }
}

TYPED_TEST(Text, StreamsReadBack) {
  using R = reference<TypeParam>;
  std::stringstream stream;
  for (std::uint32_t bits = 0; bits<R::patterns; bits += R::patterns> 256 ? 37 : 1)
    stream << pattern<TypeParam>(bits) << '\n';
  for (std::uint32_t bits = 0; bits<R::patterns; bits += R::patterns> 256 ? 37 : 1) {
    TypeParam x;
    ASSERT_TRUE(stream >> x) << bits;
    if (isnan(x)) {
      ASSERT_TRUE(isnan(pattern<TypeParam>(bits)));
    } else {
      ASSERT_EQ(x.bits(), bits);
    }
  }
}

TYPED_TEST(Text, NamesThatTheFormatDoesNotHaveAreOutOfRange) {
  using L = std::numeric_limits<TypeParam>;
  TypeParam x(1.0f);
  const std::errc out = std::errc::result_out_of_range;
  EXPECT_EQ(read("inf", x), L::has_infinity ? std::errc() : out);
  x = TypeParam(1.0f);
  EXPECT_EQ(read("nan", x), L::has_quiet_NaN ? std::errc() : out);
  x = TypeParam(1.0f);
  EXPECT_EQ(read("1e39", x), out);
  EXPECT_EQ(read("1e999999999", x), out);
  EXPECT_EQ(x, 1.0f) << "left as it was";
  if (L::denorm_min() == L::min()) {  // e8m0: neither zero nor sign
    EXPECT_EQ(read("0", x), out);
    EXPECT_EQ(read("-1", x), out);
    EXPECT_EQ(read("1e-999999999", x), std::errc());
    EXPECT_EQ(x, L::min());
  } else {
    EXPECT_EQ(read("-0", x), std::errc());
    EXPECT_EQ(read("1e-999999999", x), std::errc());
    EXPECT_EQ(x, 0.0f);
  }
}

TEST(TextExamples, ShortestTextOfWellKnownValues) {
  EXPECT_EQ(to_string(half(0.1f)), "0.1");
  EXPECT_EQ(to_string(half(1.0f / 3)), "0.3333");
  EXPECT_EQ(to_string(half(65504.0f)), "65504");
  EXPECT_EQ(to_string(half(-0.0f)), "-0");
  EXPECT_EQ(to_string(half(0x1p-24f)), "6e-08");
  EXPECT_EQ(to_string(half(1e6f)), "inf");
  EXPECT_EQ(to_string(-half(1e6f)), "-inf");
  EXPECT_EQ(to_string(half::from_bits(0x7E00)), "nan");
  EXPECT_EQ(to_string(half::from_bits(0xFE00)), "-nan");
  EXPECT_EQ(to_string(half(1000.5f)), "1000.5");
  EXPECT_EQ(to_string(bfloat16(1004.0f)),
            "1004");  // "1e+03" would be 1000, "1000" as long and farther away
  EXPECT_EQ(to_string(std::numeric_limits<bfloat16>::max()), "3.39e+38");
  EXPECT_EQ(to_string(bfloat16(3.14159f)), "3.14");
  EXPECT_EQ(to_string(float8_e4m3fnuz::from_bits(0x80)), "nan");
  EXPECT_EQ(to_string(float8_e8m0fnu(0x1p-127f)), "6e-39");
}

TEST(TextExamples, GrammarIsThatOfFromChars) {
  EXPECT_EQ(parsed<half>("1.5"), 1.5f);
  EXPECT_EQ(parsed<half>("-.5e1"), -5.0f);
  EXPECT_EQ(parsed<half>("5."), 5.0f);
  EXPECT_EQ(parsed<half>("00001E+0001"), 10.0f);
  EXPECT_TRUE(isinf(parsed<half>("-Infinity")));
  EXPECT_TRUE(isnan(parsed<half>("NaN(payload_1)")));
  EXPECT_TRUE(signbit(parsed<half>("-nan")));
  EXPECT_EQ(parsed<half>("1.8p1", std::chars_format::hex), 3.0f);
  EXPECT_EQ(parsed<half>("1.5e1", std::chars_format::scientific), 15.0f);

  half x(7.0f);
  for (const char* bad : {"", "-", "+1", " 1", ".", "-.", "e5", "x", "infx", "--1"}) {
    const std::string text = bad;
    const auto r = from_chars(text.data(), text.data() + text.size(), x);
    if (text == "infx") {
      EXPECT_EQ(r.ptr - text.data(), 3);
      x = half(7.0f);
      continue;
    }
    EXPECT_EQ(r.ec, std::errc::invalid_argument) << bad;
    EXPECT_EQ(r.ptr, text.data()) << bad;
  }
  EXPECT_EQ(x, 7.0f);
  EXPECT_EQ(read("15", x, std::chars_format::scientific), std::errc::invalid_argument);

  // What follows a number is left.
  const auto rest_of = [](std::string text, std::chars_format format = std::chars_format::general) {
    half y;
    return std::string(from_chars(text.data(), text.data() + text.size(), y, format).ptr);
  };
  EXPECT_EQ(rest_of("1.5.2"), ".2");
  EXPECT_EQ(rest_of("1e"), "e");
  EXPECT_EQ(rest_of("1e+"), "e+");
  EXPECT_EQ(rest_of("1e5", std::chars_format::fixed), "e5");
  EXPECT_EQ(rest_of("2,3"), ",3");
  EXPECT_EQ(rest_of("nan(1"), "(1");
  EXPECT_EQ(rest_of("1e99 "), " ") << "out of range, but read";
}

TEST(TextExamples, OneRoundingFromText) {
  // 1 + 2^-11 is halfway between 1 and the next half; through double the tail would be lost.
  EXPECT_EQ(parsed<half>("1.00048828125").bits(), 0x3C00u);
  EXPECT_EQ(parsed<half>("1.00048828125000000000000000000000000000000000000001").bits(), 0x3C01u);
  EXPECT_EQ(parsed<half>("1.00048828124999999999999999999999999999999999999999").bits(), 0x3C00u);
  EXPECT_EQ(parsed<half>("65519.99999999999999999999999999999").bits(), 0x7BFFu);
  half x(1.0f);
  EXPECT_EQ(read("65520", x), std::errc::result_out_of_range);
  EXPECT_EQ(parsed<half>("100048828125" + std::string(300, '0') + "1e-312").bits(), 0x3C01u);
  EXPECT_EQ(parsed<half>("0." + std::string(300, '0') + "1e301").bits(), 0x3C00u);
}

TEST(TextExamples, ToCharsSaysWhereThereIsNoRoom) {
  char text[4];
  const auto r = to_chars(text, text + 4, half(65504.0f));
  EXPECT_EQ(r.ec, std::errc::value_too_large);
  EXPECT_EQ(r.ptr, text + 4);
  char five[5];
  EXPECT_EQ(to_chars(five, five + 5, half(65504.0f)).ec, std::errc());
}

TEST(TextExamples, StreamsHonourWidthAndNotation) {
  std::ostringstream os;
  os << std::setw(6) << half(0.1f) << '|' << std::left << std::setw(6) << std::setfill('.')
     << half(0.1f) << '|' << std::fixed << std::setprecision(3) << half(0.1f);
  EXPECT_EQ(os.str(), "   0.1|0.1...|0.100");
}

TEST(TextExamples, StreamsReadWhatIsThereAndFailOnTheRest) {
  std::istringstream is(" 1.5,-2e-3 +7 1e9 x");
  half a;
  half b;
  half c;
  char comma = 0;
  EXPECT_TRUE(is >> a >> comma >> b >> c);
  EXPECT_EQ(a, 1.5f);
  EXPECT_EQ(comma, ',');
  EXPECT_EQ(b, half(-2e-3f));
  EXPECT_EQ(c, 7.0f);
  EXPECT_FALSE(is >> a) << "1e9 does not fit";
  EXPECT_EQ(a, 1.5f);
  is.clear();
  EXPECT_FALSE(is >> a) << "x is no number";
  std::istringstream end("2.5");
  EXPECT_TRUE(end >> a);
  EXPECT_EQ(a, 2.5f);
  EXPECT_TRUE(end.eof());
  EXPECT_FALSE(end >> a);
}

}  // namespace
}  // namespace halfway::testing
