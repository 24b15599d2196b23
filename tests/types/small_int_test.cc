// SPDX-License-Identifier: Apache-2.0
#include "halfway/types/small_int.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <unordered_set>

#include "halfway/types/half.h"
#include "halfway/types/int4.h"
#include "halfway/types/int8.h"

namespace halfway {
namespace {

static_assert(std::is_trivially_copyable_v<int8> && sizeof(int8) == 1 && sizeof(uint4) == 1);
static_assert(std::is_convertible_v<int8, int> && !std::is_convertible_v<int, int8>);
static_assert(std::is_same_v<decltype(int8() + int8()), int> &&
              std::is_same_v<decltype(int4() * 2.0f), float>);
static_assert(int8(200) == 127 && int8(-2.5f) == -2 && int8(-3.5) == -4 && uint8(-1) == 0 &&
              int4(7.5f) == 7);
static_assert(int8(std::numeric_limits<float>::quiet_NaN()) == 0 &&
              uint4(std::numeric_limits<double>::infinity()) == 15);
static_assert(int8(true) == 1 && int4('z') == 7 && uint8(~0ull) == 255 &&
              int8(std::numeric_limits<std::int64_t>::min()) == -128);
static_assert(int4(-1).bits() == 0xF && int4::from_bits(0xF8) == -8 &&
              uint4::from_bits(0xF8) == 8 && int8::from_bits(0x80) == -128);
static_assert(int8(half(2.5f)) == 2 && int4(int8(-100)) == -8 && uint8(int8(-3)) == 0);
static_assert(int4(3) < int4(5) && int4(3) <= 3 && int8(-1) < uint8(0) && int4(2) == int8(2) &&
              int4(2) == 2.0f);

template <class T>
class SmallInt : public ::testing::Test {};
using small_ints =
    ::testing::Types<int8, uint8, int4, uint4, small_int<2, true>, small_int<1, false>>;
struct int_names {
  template <class T>
  static std::string GetName(int) {
    return (std::numeric_limits<T>::is_signed ? "int" : "uint") +
           std::to_string(std::numeric_limits<T>::digits +
                          (std::numeric_limits<T>::is_signed ? 1 : 0));
  }
};
TYPED_TEST_SUITE(SmallInt, small_ints, int_names);

// nearbyint, then clamped: at, beside and between all halves, in three types.
TYPED_TEST(SmallInt, RoundsToNearestEvenAndSaturates) {
  using L = std::numeric_limits<TypeParam>;
  const double lowest = static_cast<int>(L::lowest());
  const double highest = static_cast<int>(L::max());
  const auto expected = [&](double x) {
    return static_cast<int>(std::clamp(std::nearbyint(x), lowest, highest));
  };
  for (int i = -1200; i <= 1200; ++i) {
    const double x = i / 4.0;
    for (const double y : {x, std::nextafter(x, 1e9), std::nextafter(x, -1e9)}) {
      ASSERT_EQ(TypeParam(y), expected(y)) << y;
      ASSERT_EQ(TypeParam(static_cast<long double>(y)), expected(y)) << y;
    }
    const auto f = static_cast<float>(x);
    for (const float y : {f, std::nextafter(f, 1e9f), std::nextafter(f, -1e9f)})
      ASSERT_EQ(TypeParam(y), expected(y)) << y;
  }
  for (const float x : {1e9f, 1e30f, std::numeric_limits<float>::infinity()}) {
    ASSERT_EQ(TypeParam(x), highest);
    ASSERT_EQ(TypeParam(-x), lowest);
    ASSERT_EQ(TypeParam(static_cast<double>(x)), highest);
  }
  ASSERT_EQ(TypeParam(std::numeric_limits<double>::quiet_NaN()), 0);
  ASSERT_EQ(TypeParam(-std::numeric_limits<float>::quiet_NaN()), 0);
  ASSERT_EQ(TypeParam(1e-45f), 0);
  ASSERT_EQ(TypeParam(-0.0f), 0);
}

template <class T, class Int>
void check_integers() {
  using L = std::numeric_limits<T>;
  using I = std::numeric_limits<Int>;
  const auto check = [](Int value) {
    const bool negative = value < Int{0};
    const long double v = value;
    const int expected = v < static_cast<int>(L::lowest()) ? static_cast<int>(L::lowest())
                         : v > static_cast<int>(L::max())  ? static_cast<int>(L::max())
                                                           : static_cast<int>(value);
    ASSERT_EQ(T(value), expected) << (negative ? "-" : "") << v;
  };
  for (const Int v : {I::min(), static_cast<Int>(I::min() + 1), I::max(),
                      static_cast<Int>(I::max() - 1), static_cast<Int>(I::max() / 2)})
    check(v);
  for (int v = -300; v <= 300; ++v) {
    if (v >= static_cast<long double>(I::min()) && v <= static_cast<long double>(I::max()))
      check(static_cast<Int>(v));
  }
}

TYPED_TEST(SmallInt, IntegersSaturate) {
  check_integers<TypeParam, std::int8_t>();
  check_integers<TypeParam, std::uint8_t>();
  check_integers<TypeParam, std::int16_t>();
  check_integers<TypeParam, std::int32_t>();
  check_integers<TypeParam, std::uint32_t>();
  check_integers<TypeParam, std::int64_t>();
  check_integers<TypeParam, std::uint64_t>();
}

TYPED_TEST(SmallInt, EveryPatternOutAndBack) {
  using L = std::numeric_limits<TypeParam>;
  const int bits = L::digits + (L::is_signed ? 1 : 0);
  std::unordered_set<TypeParam> seen;
  for (int b = 0; b < 1 << bits; ++b) {
    const auto x = TypeParam::from_bits(static_cast<std::uint8_t>(b));
    ASSERT_EQ(x.bits(), b);
    const int v = x;
    ASSERT_GE(v, static_cast<int>(L::lowest()));
    ASSERT_LE(v, static_cast<int>(L::max()));
    ASSERT_EQ(TypeParam(v).bits(), b);
    ASSERT_EQ((v - b) % (1 << bits), 0) << "two's complement";
    seen.insert(x);
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(1 << bits));
}

TYPED_TEST(SmallInt, Limits) {
  using L = std::numeric_limits<TypeParam>;
  static_assert(L::is_specialized && L::is_integer && L::is_exact && L::is_bounded &&
                !L::is_modulo && L::radix == 2);
  static_assert(!L::has_infinity && !L::has_quiet_NaN && !L::is_iec559);
  EXPECT_EQ(L::min(), L::lowest());
  EXPECT_EQ(L::max(), (1 << L::digits) - 1);
  EXPECT_EQ(L::lowest(), L::is_signed ? -(1 << L::digits) : 0);
  EXPECT_EQ(L::digits10, static_cast<int>(std::floor(L::digits * std::log10(2.0))));
}

}  // namespace
}  // namespace halfway
