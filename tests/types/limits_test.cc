// SPDX-License-Identifier: Apache-2.0
// Each member of numeric_limits against what its definition in [numeric.limits.members] gives on
// the values found by walking all patterns.

#include "halfway/types/limits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "types/reference.h"

namespace halfway::testing {
namespace {

/// All finite values, in order.
template <class T>
std::vector<double> finite_values() {
  using R = reference<T>;
  std::vector<double> v;
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    if (std::isfinite(R::value(bits))) v.push_back(R::value(bits));
  }
  std::sort(v.begin(), v.end());
  return v;
}

template <class T>
class Limits : public ::testing::Test {};
TYPED_TEST_SUITE(Limits, all_formats, format_names);

TYPED_TEST(Limits, Range) {
  using L = std::numeric_limits<TypeParam>;
  using R = reference<TypeParam>;
  const std::vector<double> v = finite_values<TypeParam>();
  EXPECT_EQ(L::max(), v.back());
  EXPECT_EQ(L::lowest(), v.front());
  const double smallest = *std::upper_bound(v.begin(), v.end(), 0.0);
  EXPECT_EQ(L::denorm_min(), smallest);
  EXPECT_EQ(L::min(), R::f.smallest_normal);
  EXPECT_EQ(L::has_denorm == std::denorm_present, smallest < R::f.smallest_normal);
  // The exponents: radix^(min_exponent - 1) is the smallest normal, radix^(max_exponent - 1) the
  // largest power of two.
  EXPECT_EQ(std::ldexp(1.0, L::min_exponent - 1), L::min());
  EXPECT_LE(std::ldexp(1.0, L::max_exponent - 1), v.back());
  EXPECT_GT(std::ldexp(1.0, L::max_exponent), v.back());
  EXPECT_LE(std::pow(10.0, L::max_exponent10), v.back());
  EXPECT_GT(std::pow(10.0, L::max_exponent10 + 1), v.back());
  EXPECT_GE(std::pow(10.0, L::min_exponent10), L::min());
  EXPECT_LT(std::pow(10.0, L::min_exponent10 - 1), L::min());
}

TYPED_TEST(Limits, Precision) {
  using L = std::numeric_limits<TypeParam>;
  const std::vector<double> v = finite_values<TypeParam>();
  // epsilon: from 1 to the next value.
  EXPECT_EQ(L::epsilon(), *std::upper_bound(v.begin(), v.end(), 1.0) - 1.0);
  EXPECT_EQ(L::radix, 2);
  EXPECT_EQ(L::digits, facts_of<TypeParam>.mantissa_bits + 1);
  EXPECT_EQ(L::digits10, static_cast<int>(std::floor((L::digits - 1) * std::log10(2.0))));
  EXPECT_EQ(L::max_digits10, static_cast<int>(std::ceil(L::digits * std::log10(2.0) + 1)));
  EXPECT_EQ(L::round_error(), 0.5f);
  EXPECT_EQ(L::round_style, std::round_to_nearest);
}

TYPED_TEST(Limits, Specials) {
  using L = std::numeric_limits<TypeParam>;
  using R = reference<TypeParam>;
  const specials s = facts_of<TypeParam>.special;
  EXPECT_EQ(L::has_infinity, s == specials::ieee);
  EXPECT_EQ(L::has_quiet_NaN, s != specials::none);
  EXPECT_EQ(L::has_signaling_NaN, s == specials::ieee);
  EXPECT_EQ(L::is_iec559, s == specials::ieee);
  EXPECT_EQ(L::infinity().bits(), R::encode(std::numeric_limits<double>::infinity()));
  EXPECT_EQ(L::quiet_NaN().bits(), R::encode_nan(false, 0));
  EXPECT_EQ(std::isinf(static_cast<float>(L::infinity())), L::has_infinity);
  EXPECT_EQ(std::isnan(static_cast<float>(L::quiet_NaN())), L::has_quiet_NaN);
  if (L::has_signaling_NaN) {
    EXPECT_TRUE(std::isnan(static_cast<float>(L::signaling_NaN())));
    EXPECT_EQ(L::signaling_NaN().bits() & R::encode_nan(false, 0) & (R::codes / 2 - 1) &
                  ~R::infinity_code,
              0u)
        << "quiet bit";
  }
}

TYPED_TEST(Limits, Kind) {
  using L = std::numeric_limits<TypeParam>;
  static_assert(L::is_specialized && !L::is_integer && !L::is_exact && L::is_bounded &&
                !L::is_modulo);
  static_assert(!L::has_denorm_loss && !L::traps && !L::tinyness_before);
  EXPECT_EQ(L::is_signed, facts_of<TypeParam>.has_sign);
  // As for the built-in types, qualified types have the same limits.
  EXPECT_EQ(std::numeric_limits<const TypeParam>::max(), L::max());
}

// As the tables elsewhere have them: C++23's std::float16_t and bfloat16_t, ml_dtypes.finfo.
TEST(LimitsConstants, SixteenBit) {
  using H = std::numeric_limits<half>;
  static_assert(H::digits == 11 && H::digits10 == 3 && H::max_digits10 == 5);
  static_assert(H::min_exponent == -13 && H::max_exponent == 16);
  static_assert(H::min_exponent10 == -4 && H::max_exponent10 == 4);
  static_assert(H::max() == 65504 && H::epsilon() == 0x1p-10f);
  using B = std::numeric_limits<bfloat16>;
  static_assert(B::digits == 8 && B::digits10 == 2 && B::max_digits10 == 4);
  static_assert(B::min_exponent == -125 && B::max_exponent == 128);
  static_assert(B::min_exponent10 == -37 && B::max_exponent10 == 38);
  static_assert(B::epsilon() == 0x1p-7f && B::denorm_min() == 0x1p-133f);
  static_assert(H::infinity().bits() == 0x7C00 && B::quiet_NaN().bits() == 0x7FC0);
  static_assert(H::signaling_NaN().bits() == 0x7D00 && B::signaling_NaN().bits() == 0x7FA0);
}

}  // namespace
}  // namespace halfway::testing
