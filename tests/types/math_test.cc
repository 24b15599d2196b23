// SPDX-License-Identifier: Apache-2.0
#include "halfway/types/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "types/reference.h"

namespace halfway::testing {
namespace {

static_assert(abs(half(-1.5f)) == 1.5f && fabs(half(-0.0f)).bits() == 0);
static_assert(copysign(half(1.5f), half(-0.0f)) == -1.5f);
static_assert(nextafter(half(1), half(2)) == 1.0f + 0x1p-10f);
static_assert(fmin(half(1), half(2)) == 1 && fmax(half(1), half(2)) == 2);
static_assert(isnormal(half(1)) && !isnormal(half(0)) && !isnormal(half(1e-6f)) &&
              !isnormal(half(1e6f)));

template <class T>
class Math : public ::testing::Test {};
TYPED_TEST_SUITE(Math, all_formats, format_names);

template <class T>
T pattern(std::uint32_t bits) {
  return T::from_bits(static_cast<typename T::storage>(bits));
}

TYPED_TEST(Math, AbsAndCopysignOfEveryPattern) {
  using R = reference<TypeParam>;
  const TypeParam one(1.0f);
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    const auto x = pattern<TypeParam>(bits);
    if (isnan(x)) {
      ASSERT_TRUE(isnan(abs(x)) && isnan(copysign(x, one)));
      continue;
    }
    ASSERT_EQ(abs(x).bits(), bits % R::codes);
    ASSERT_EQ(copysign(x, one).bits(), bits % R::codes);
    ASSERT_EQ(isnormal(x),
              std::isfinite(R::value(bits)) && std::abs(R::value(bits)) >= R::f.smallest_normal);
    if (!R::f.has_sign) continue;
    ASSERT_EQ(copysign(x, -one).bits(), R::encode(-std::abs(R::value(bits))));
  }
}

// From the lowest value upwards and back, step by step, through all values.
TYPED_TEST(Math, NextafterWalksThroughAllValues) {
  using R = reference<TypeParam>;
  using L = std::numeric_limits<TypeParam>;
  const TypeParam top = L::has_infinity ? L::infinity() : L::max();
  const TypeParam bottom = L::has_infinity ? -top : L::lowest();
  std::uint32_t steps = 0;
  for (TypeParam x = bottom; x != top; ++steps) {
    const TypeParam up = nextafter(x, top);
    ASSERT_GT(up, x);
    ASSERT_FALSE(isnan(up));
    ASSERT_EQ(nextafter(up, bottom), x);
    x = up;
  }
  // All codes of both signs but one zero; with infinity, and without.
  const std::uint32_t numbers = R::largest_code + 1 + (L::has_infinity ? 1 : 0);
  EXPECT_EQ(steps, R::f.has_sign ? 2 * (numbers - 1) : numbers - 1);
  EXPECT_EQ(nextafter(top, top).bits(), top.bits());
  if (L::has_quiet_NaN) {
    EXPECT_TRUE(isnan(nextafter(top, L::quiet_NaN())));
    EXPECT_TRUE(isnan(nextafter(L::quiet_NaN(), top)));
  }
}

TYPED_TEST(Math, FminAndFmaxPreferNumbersAndOrderZeros) {
  using L = std::numeric_limits<TypeParam>;
  const TypeParam one(1.0f);
  const TypeParam two(2.0f);
  EXPECT_EQ(fmin(one, two), one);
  EXPECT_EQ(fmin(two, one), one);
  EXPECT_EQ(fmax(one, two), two);
  EXPECT_EQ(fmax(two, one), two);
  if (L::has_quiet_NaN) {
    EXPECT_EQ(fmin(L::quiet_NaN(), one), one);
    EXPECT_EQ(fmax(one, L::quiet_NaN()), one);
    EXPECT_TRUE(isnan(fmax(L::quiet_NaN(), L::quiet_NaN())));
  }
  if (L::is_signed) {
    const TypeParam zero(0.0f);
    EXPECT_EQ(fmin(zero, -zero).bits(), (-zero).bits());
    EXPECT_EQ(fmin(-zero, zero).bits(), (-zero).bits());
    EXPECT_EQ(fmax(zero, -zero).bits(), zero.bits());
    EXPECT_EQ(fmax(-zero, zero).bits(), zero.bits());
  }
}

// sqrt in float and then rounded is correctly rounded: against double's.
TYPED_TEST(Math, SqrtAndRoundingsAreCorrectlyRounded) {
  using R = reference<TypeParam>;
  differences d;
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    const auto x = pattern<TypeParam>(bits);
    const double v = R::value(bits);
    if (std::isnan(v)) continue;
    if (v >= 0) d.check(sqrt(x).bits(), R::encode(std::sqrt(v)), v);
    d.check(floor(x).bits(), R::encode(std::floor(v)), v);
    d.check(ceil(x).bits(), R::encode(std::ceil(v)), v);
    d.check(trunc(x).bits(), R::encode(std::trunc(v)), v);
    d.check(round(x).bits(), R::encode(std::round(v)), v);
    d.check(rint(x).bits(), R::encode(std::rint(v)), v);
    if (std::isfinite(v)) {
      d.check(fmod(x, TypeParam(2.0f)).bits(), R::encode(std::fmod(v, 2.0)), v);
    }
  }
}

/// Largest distance of f(x) from the exact g(v), in units of the spacing of half at the exact
/// value.
template <class F, class G>
double max_ulp_of_half(F f, G g) {
  using R = reference<half>;
  double worst = 0;
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    const double v = R::value(bits);
    const double exact = g(v);
    if (!std::isfinite(v) || !std::isfinite(exact) || std::abs(exact) > R::f.largest) continue;
    const double ulp = std::ldexp(1.0, std::max(exact == 0 ? -14 : std::ilogb(exact), -14) - 10);
    worst = std::max(
        worst,
        std::abs(static_cast<double>(static_cast<float>(f(pattern<half>(bits)))) - exact) / ulp);
  }
  return worst;
}

// Half an ULP of the last rounding, and 4 ULP of double (2^-42 of half's), which covers the C
// library's functions on both sides. Which of them are rounded correctly: functions_test.cc.
TEST(MathFunctions, AreWithinTheStatedDistance) {
  const double bound = 0.5 + 4 * 0x1p-42;
  EXPECT_LE(max_ulp_of_half([](half x) { return exp(x); }, [](double v) { return std::exp(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return exp2(x); }, [](double v) { return std::exp2(v); }),
            bound);
  EXPECT_LE(
      max_ulp_of_half([](half x) { return expm1(x); }, [](double v) { return std::expm1(v); }),
      bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return log(x); }, [](double v) { return std::log(v); }),
            bound);
  EXPECT_LE(
      max_ulp_of_half([](half x) { return log1p(x); }, [](double v) { return std::log1p(v); }),
      bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return log2(x); }, [](double v) { return std::log2(v); }),
            bound);
  EXPECT_LE(
      max_ulp_of_half([](half x) { return log10(x); }, [](double v) { return std::log10(v); }),
      bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return sin(x); }, [](double v) { return std::sin(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return cos(x); }, [](double v) { return std::cos(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return tan(x); }, [](double v) { return std::tan(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return asin(x); }, [](double v) { return std::asin(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return acos(x); }, [](double v) { return std::acos(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return atan(x); }, [](double v) { return std::atan(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return sinh(x); }, [](double v) { return std::sinh(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return cosh(x); }, [](double v) { return std::cosh(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return tanh(x); }, [](double v) { return std::tanh(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return erf(x); }, [](double v) { return std::erf(v); }),
            bound);
  EXPECT_LE(max_ulp_of_half([](half x) { return pow(x, half(1.5f)); },
                            [](double v) { return std::pow(v, 1.5); }),
            bound);
  // The measure itself notices an error of one ULP.
  EXPECT_GE(max_ulp_of_half([](half x) { return nextafter(exp(x), half(0.0f)); },
                            [](double v) { return std::exp(v); }),
            0.9);
}

}  // namespace
}  // namespace halfway::testing
