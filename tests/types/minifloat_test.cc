// SPDX-License-Identifier: Apache-2.0
#include "halfway/types/minifloat.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <compare>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>
#include <unordered_set>

#include "types/reference.h"

namespace halfway::testing {
namespace {

// What users rely on at compile time.
static_assert(std::is_trivially_copyable_v<half> && std::is_trivially_copyable_v<float4_e2m1fn>);
static_assert(std::is_standard_layout_v<bfloat16> && std::is_nothrow_default_constructible_v<half>);
static_assert(sizeof(half) == 2 && sizeof(bfloat16) == 2 && sizeof(float8_e5m2) == 1);
static_assert(sizeof(float4_e2m1fn) == 1 && sizeof(float6_e3m2fn) == 1);
static_assert(std::is_convertible_v<half, float> && std::is_convertible_v<half, double>);
static_assert(!std::is_convertible_v<float, half> && std::is_constructible_v<half, float>);
static_assert(!std::is_convertible_v<bfloat16, half> && std::is_constructible_v<half, bfloat16>);
static_assert(std::is_constructible_v<half, long double> && std::is_constructible_v<half, int>);

// Types of mixed expressions: one format stays, anything else is float arithmetic.
static_assert(std::is_same_v<decltype(half() + half()), half>);
static_assert(std::is_same_v<decltype(half() + 1.0f), float>);
static_assert(std::is_same_v<decltype(2.0f * half()), float>);
static_assert(std::is_same_v<decltype(half() / 2), float>);
static_assert(std::is_same_v<decltype(1 - half()), float>);
static_assert(std::is_same_v<decltype(half() * 2.0), double>);
static_assert(std::is_same_v<decltype(half() * 2u), float>);
static_assert(std::is_same_v<decltype(half() + bfloat16()), float>);
static_assert(std::is_same_v<decltype(-half()), half>);
static_assert(std::is_same_v<decltype(half() <=> half()), std::partial_ordering>);

// Everything that can be is a constant expression.
static_assert(half(1.5f) + half(0.25) == half(1.75L));
static_assert(half(3) * half(2u) - half(1ll) == 5.0f && half(1) / half(4) == 0.25);
static_assert(half(2049).bits() == half(2048).bits() && half(2051) == 2052);
static_assert(-half(0.0f) == half(0.0f) && signbit(-half(0.0f)));
static_assert(half(1) < half(2) && half(2) >= half(2) && half(1) != half(2));
static_assert(half(1) < 1.5f && 1 < half(1.5f) && half(2) == 2 && half(0.5f) != 0.25);
static_assert(isnan(half(std::numeric_limits<float>::quiet_NaN())));
static_assert(isinf(half(1e6)) && !isinf(float8_e4m3fn(1e6)) && isnan(float8_e4m3fn(1e6)));
static_assert(float8_e4m3fn(half(0.3f)).bits() ==
              float8_e4m3fn(static_cast<float>(half(0.3f))).bits());
static_assert([] {
  half x(1.0f);
  x += half(1.0f);
  x *= 2.0f;
  x -= 1;
  x /= bfloat16(2.0f);
  const half old = x++;
  --x;
  return old == 1.5f && x == 1.5f && +x == 1.5f;
}());

TEST(Minifloat, CompoundAssignmentRoundsOnceFromTheWiderType) {
  half x(1.0f);
  x += 0x1p-11 + 0x1p-30;  // in float the sum would be a tie, and go to 1
  EXPECT_EQ(x.bits(), 0x3C01u);
  bfloat16 y(256.0f);
  y += 1.0f;  // 257 is a tie between 256 and 258
  EXPECT_EQ(y, 256.0f);
  y += 3;
  EXPECT_EQ(y, 260.0f);  // 259 is a tie between 258 and 260
}

template <class T>
class Minifloat : public ::testing::Test {};
TYPED_TEST_SUITE(Minifloat, all_formats, format_names);

template <class T>
T pattern(std::uint32_t bits) {
  return T::from_bits(static_cast<typename T::storage>(bits));
}

TYPED_TEST(Minifloat, FromBitsDropsWhatTheFormatDoesNotHave) {
  using R = reference<TypeParam>;
  EXPECT_EQ(pattern<TypeParam>(0xFFFFu).bits(), R::patterns - 1);
}

TYPED_TEST(Minifloat, ClassifiesEveryPattern) {
  using R = reference<TypeParam>;
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    const auto x = pattern<TypeParam>(bits);
    const double v = R::value(bits);
    ASSERT_EQ(isnan(x), std::isnan(v)) << bits;
    ASSERT_EQ(isinf(x), std::isinf(v)) << bits;
    ASSERT_EQ(isfinite(x), std::isfinite(v)) << bits;
    const bool negative = bits >= R::codes && !(R::f.special == specials::fnuz && std::isnan(v));
    ASSERT_EQ(signbit(x), negative) << bits;
  }
}

TYPED_TEST(Minifloat, NegatesEveryPattern) {
  using R = reference<TypeParam>;
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    const auto x = pattern<TypeParam>(bits);
    if (!R::f.has_sign) {
      ASSERT_TRUE(isnan(-x));
    } else if (isnan(x)) {
      ASSERT_TRUE(isnan(-x));
    } else {
      ASSERT_EQ((-x).bits(), R::encode(-R::value(bits))) << bits;
    }
  }
}

/// All pairs of patterns where there are few, random ones otherwise.
template <class T, class F>
void for_pairs(F f) {
  using R = reference<T>;
  if (R::patterns <= 256) {
    for (std::uint32_t a = 0; a < R::patterns; ++a) {
      for (std::uint32_t b = 0; b < R::patterns; ++b) f(a, b);
    }
    return;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 400000; ++i) {
    const std::uint32_t a = random() % R::patterns;
    // Often close by, where sums cancel and comparisons are tight.
    const std::uint32_t near = (a + random() % 16) % R::patterns;
    f(a, random() % 3 == 0 ? near : random() % R::patterns);
  }
}

TYPED_TEST(Minifloat, ComparesAsTheValues) {
  using R = reference<TypeParam>;
  differences d;
  for_pairs<TypeParam>([&d](std::uint32_t a, std::uint32_t b) {
    const auto x = pattern<TypeParam>(a);
    const auto y = pattern<TypeParam>(b);
    const double v = R::value(a);
    const double w = R::value(b);
    const auto flags = [](bool e, bool n, bool l, bool le, bool g, bool ge) {
      return (e ? 1u : 0u) | (n ? 2u : 0u) | (l ? 4u : 0u) | (le ? 8u : 0u) | (g ? 16u : 0u) |
             (ge ? 32u : 0u);
    };
    d.check(flags(x == y, x != y, x<y, x <= y, x> y, x >= y),
            flags(v == w, v != w, v<w, v <= w, v> w, v >= w), a * 65536.0L + b);
    d.check((x <=> y) == (v <=> w), true, a * 65536.0L + b);
  });
}

// Sums, differences, products and quotients are those of the exact values, rounded once: in double
// they are exact or, for the quotient and far-apart sums, have more than twice the digits.
TYPED_TEST(Minifloat, ArithmeticIsCorrectlyRounded) {
  using R = reference<TypeParam>;
  differences d;
  const auto check = [&d](TypeParam got, double exact) {
    if (std::isnan(exact)) {
      const bool as_nan =
          R::f.special == specials::none ? got.bits() == R::largest_code : isnan(got);
      d.check(as_nan, true, exact);
    } else {
      d.check(got.bits(), R::encode(exact), exact);
    }
  };
  for_pairs<TypeParam>([&](std::uint32_t a, std::uint32_t b) {
    const auto x = pattern<TypeParam>(a);
    const auto y = pattern<TypeParam>(b);
    const double v = R::value(a);
    const double w = R::value(b);
    check(x + y, v + w);
    check(x - y, v - w);
    check(x * y, v * w);
    check(x / y, v / w);
  });
}

TYPED_TEST(Minifloat, HashesEqualValuesAlike) {
  using R = reference<TypeParam>;
  const std::hash<TypeParam> hash;
  if (R::has_zero && R::f.has_sign && R::f.special != specials::fnuz) {
    EXPECT_EQ(hash(pattern<TypeParam>(0)), hash(pattern<TypeParam>(R::sign)));
  }
  std::unordered_set<TypeParam> set;
  std::size_t distinct = 0;
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    if (std::isnan(R::value(bits))) continue;
    if (set.insert(pattern<TypeParam>(bits)).second) ++distinct;
  }
  EXPECT_EQ(distinct, set.size());
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    if (std::isnan(R::value(bits))) continue;
    ASSERT_TRUE(set.contains(pattern<TypeParam>(bits))) << bits;
  }
}

// The tags that kernels read say what the specifications say.
TYPED_TEST(Minifloat, FormatTagStatesTheSpecification) {
  using F = typename TypeParam::format;
  constexpr facts f = facts_of<TypeParam>;
  EXPECT_EQ(F::name, f.name);
  EXPECT_EQ(F::exponent_bits, f.exponent_bits);
  EXPECT_EQ(F::mantissa_bits, f.mantissa_bits);
  EXPECT_EQ(F::bias, f.bias);
  EXPECT_EQ(F::is_signed, f.has_sign);
  EXPECT_EQ(F::has_infinity, f.special == specials::ieee);
  const nan_encoding nan = f.special == specials::ieee   ? nan_encoding::ieee
                           : f.special == specials::fn   ? nan_encoding::all_ones
                           : f.special == specials::fnuz ? nan_encoding::negative_zero
                                                         : nan_encoding::none;
  EXPECT_EQ(F::nan, nan);
}

}  // namespace
}  // namespace halfway::testing
