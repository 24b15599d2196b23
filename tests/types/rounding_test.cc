// SPDX-License-Identifier: Apache-2.0
// Random words against published ones, and what the rounding modes promise by themselves. (That
// every conversion follows them is tested against MPFR in tests/ops/convert_exact_test.cc.)

#include "halfway/types/rounding.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "halfway/types/bfloat16.h"
#include "halfway/types/cast.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "halfway/types/int4.h"
#include "halfway/types/int8.h"
#include "halfway/types/philox.h"

namespace {

using halfway::half;
using halfway::ieee_cast;
using halfway::round_stochastically;
using halfway::round_toward_zero;
using halfway::round_with_random_word;
using halfway::saturate_cast;

// The known answers that its authors publish with Random123 (kat_vectors), and that of the C++26
// standard for std::philox4x32 ([rand.predef]: the 10,000th of the default seed).
TEST(Philox, GivesThePublishedWords) {
  using block = std::array<std::uint32_t, 4>;
  constexpr std::uint32_t ones = ~0u;
  EXPECT_EQ(halfway::detail::philox::block({0, 0, 0, 0}, {0, 0}),
            (block{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(halfway::detail::philox::block({ones, ones, ones, ones}, {ones, ones}),
            (block{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(halfway::detail::philox::block({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344},
                                           {0xA4093822, 0x299F31D0}),
            (block{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
  EXPECT_EQ(halfway::random_word(20111115, 9999), 1955073260u);
}

TEST(Philox, NumbersWordsByBlocksOfFour) {
  constexpr std::uint64_t seed = 0xFEDCBA9876543210, index = 0xFFFFFFFFFFFFFFF6;
  const auto block =
      halfway::detail::philox::block({0xFFFFFFFD, 0x3FFFFFFF, 0, 0}, {0x76543210, 0xFEDCBA98});
  EXPECT_EQ(halfway::random_word(seed, index), block[2]);
}

// Of the 2^13 words that differ in the bits that matter, exactly f * 2^13 round up: the expected
// value is exact.
template <class To, class From>
void expect_unbiased(From low, From high, int bits) {
  const From gap = high - low;
  ASSERT_EQ(static_cast<From>(To(low)), low);
  ASSERT_EQ(static_cast<From>(To(high)), high);
  for (std::uint32_t part = 0; part < 1u << bits; part += 37) {
    const From x = low + gap * static_cast<From>(std::ldexp(part, -bits));
    std::uint32_t ups = 0;
    for (std::uint32_t word = 0; word < 1u << bits; ++word) {
      const auto y =
          static_cast<From>(ieee_cast<To>(x, round_with_random_word{word << (32 - bits)}));
      ASSERT_TRUE(y == low || y == high) << x << " -> " << y;
      ups += y == high ? 1 : 0;
    }
    ASSERT_EQ(ups, part) << x;
  }
}

TEST(RoundStochastically, IsUnbiased) {
  expect_unbiased<half>(1.0f, 1.0f + 0x1p-10f, 13);
  expect_unbiased<half>(-0x1p-24f, -0x1p-23f, 13);  // subnormal, negative
  expect_unbiased<half>(0.0f, 0x1p-24f, 12);
  expect_unbiased<half>(65472.0, 65504.0, 12);
  expect_unbiased<halfway::float8_e4m3fn>(-240.0f, -256.0f, 12);
  expect_unbiased<halfway::float8_e8m0fnu>(4.0f, 8.0f, 12);
  expect_unbiased<halfway::float8_e8m0fnu>(0x1p-127, 0x1p-126, 12);
  expect_unbiased<halfway::int8>(-7.0f, -8.0f, 12);
  expect_unbiased<halfway::int4>(0.0, 1.0, 12);
}

TEST(RoundStochastically, UsesOneWordForEachNumber) {
  const float x = 1.0f + 0x1p-11f;  // half way
  for (std::uint64_t i = 0; i < 100; ++i) {
    const bool up = halfway::random_word(9, i) >> 31 != 0;
    EXPECT_EQ(ieee_cast<half>(x, round_stochastically{9, i}).bits(), up ? 0x3C01 : 0x3C00);
    EXPECT_EQ(ieee_cast<half>(double{x}, round_stochastically{9, i}).bits(), up ? 0x3C01 : 0x3C00);
    EXPECT_EQ(ieee_cast<half>(static_cast<long double>(x), round_stochastically{9, i}).bits(),
              up ? 0x3C01 : 0x3C00);
  }
}

TEST(RoundTowardZero, KeepsFiniteValuesFinite) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  constexpr float largest = std::numeric_limits<float>::max();
  static_assert(ieee_cast<half>(1e6f, round_toward_zero()).bits() == 0x7BFF);
  EXPECT_EQ(ieee_cast<half>(-largest, round_toward_zero()).bits(), 0xFBFF);
  EXPECT_EQ(ieee_cast<half>(-infinity, round_toward_zero()).bits(), 0xFC00);
  EXPECT_EQ(saturate_cast<half>(-infinity, round_toward_zero()).bits(), 0xFBFF);
  EXPECT_EQ(ieee_cast<halfway::float8_e4m3fn>(479.0f, round_toward_zero()), 448.0f);
  EXPECT_TRUE(isnan(ieee_cast<halfway::float8_e4m3fn>(infinity, round_toward_zero())));
  EXPECT_EQ(ieee_cast<half>(100000, round_toward_zero()).bits(), 0x7BFF);  // an integer
  EXPECT_EQ(ieee_cast<float>(1e300, round_toward_zero()), largest);
  EXPECT_EQ(ieee_cast<float>(std::numeric_limits<double>::infinity(), round_toward_zero()),
            infinity);
}

TEST(RoundTowardZero, CutsFromEveryType) {
  EXPECT_EQ(ieee_cast<half>(-2049.9999, round_toward_zero()), -2048.0f);
  EXPECT_EQ(ieee_cast<half>(2051L, round_toward_zero()), 2050.0f);
  EXPECT_EQ(ieee_cast<half>(1.0L - 0x1p-60L, round_toward_zero()).bits(), 0x3BFF);
  EXPECT_EQ(ieee_cast<halfway::int8>(-2.999f, round_toward_zero()), -2);
  EXPECT_EQ(ieee_cast<halfway::int8>(1.0L - 0x1p-60L, round_toward_zero()), 0);
  EXPECT_EQ(ieee_cast<halfway::uint4>(half(99.0f), round_toward_zero()), 15);
  EXPECT_EQ(ieee_cast<halfway::bfloat16>(half(257.5f), round_toward_zero()), 256.0f);
  EXPECT_EQ(ieee_cast<float>((1 << 24) + 3, round_toward_zero()), 0x1.000002p24f);
  EXPECT_EQ(ieee_cast<float>(0x1.FFFFFFp-127, round_toward_zero()), 0x1.FFFFFCp-127f);
}

// A mode is one function.
struct round_away_from_zero {
  static constexpr bool overflows = true;
  template <class U>
  constexpr U addend(U /*significand*/, int shift) const {
    return static_cast<U>((U{1} << shift) - 1);
  }
};

TEST(RoundingMode, CanBeYourOwn) {
  static_assert(halfway::rounding_mode<round_away_from_zero>);
  EXPECT_EQ(ieee_cast<half>(2048.001, round_away_from_zero()), 2050.0f);
  EXPECT_EQ(ieee_cast<half>(-1e-7f, round_away_from_zero()), -0x1p-23f);
  EXPECT_EQ(ieee_cast<half>(1.5f, round_away_from_zero()), 1.5f);
  EXPECT_EQ(ieee_cast<halfway::int8>(2.25f, round_away_from_zero()), 3);
}

}  // namespace
