// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/health.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "halfway/types/cast.h"
#include "support/expect_error.h"

namespace {

using halfway::dtype;
using halfway::numeric_health;
using halfway::testing::expect_error;

constexpr float infinity = std::numeric_limits<float>::infinity();

// What a health counts: of one value, one of these.
struct classes {
  std::size_t nan = 0, infinite = 0, overflow = 0, saturated = 0, subnormal = 0, underflow = 0;
  bool operator==(const classes&) const = default;
};
classes of(const numeric_health& h) {
  return {h.nan(), h.infinite(), h.overflow(), h.saturated(), h.subnormal(), h.underflow()};
}

// The same, from the value that a conversion gives.
template <class T>
classes of_rounding(float x) {
  using limits = std::numeric_limits<T>;
  const float y = static_cast<float>(halfway::ieee_cast<T>(x));
  const float largest = static_cast<float>(limits::max());
  bool overflows = !std::isfinite(y);
  if (!limits::has_infinity && !limits::has_quiet_NaN) {
    // Nothing shows it but the value: fp6 and fp4 end with an odd mantissa, so a tie is past it.
    const double half_last = std::ldexp(1.0, limits::max_exponent - limits::digits - 1);
    overflows = std::abs(static_cast<double>(x)) >= static_cast<double>(largest) + half_last;
  }
  if (std::isnan(x)) return {.nan = 1};
  if (std::isinf(x)) return {.infinite = 1};
  if (overflows) return {.overflow = 1};
  if (std::abs(y) == largest) return {.saturated = 1};
  if (x != 0 && y == 0) return {.underflow = 1};
  if (y != 0 && std::abs(y) < static_cast<float>(limits::min())) return {.subnormal = 1};
  return {};
}

template <class T>
class Health : public ::testing::Test {};
using targets =
    ::testing::Types<float, halfway::half, halfway::bfloat16, halfway::float8_e4m3fn,
                     halfway::float8_e5m2, halfway::float8_e4m3fnuz, halfway::float8_e5m2fnuz,
                     halfway::float6_e2m3fn, halfway::float6_e3m2fn, halfway::float4_e2m1fn>;
TYPED_TEST_SUITE(Health, targets);

TYPED_TEST(Health, CountsWhatConversionDoes) {
  const auto check = [](float x) {
    numeric_health h(halfway::dtype_of<TypeParam>);
    h.add(std::array{x});
    ASSERT_EQ(of(h), of_rounding<TypeParam>(x)) << x;
    ASSERT_EQ(h.count(), 1u);
  };
  // Every binade, at the ends of it and about the ties of every number of digits.
  for (std::uint32_t exponent = 0; exponent < 256; ++exponent) {
    for (int bit = -1; bit < 23; ++bit) {
      const std::uint32_t base = exponent << 23;
      for (const std::uint32_t mantissa :
           {bit < 0 ? 0u : 1u << bit, 0x7FFFFFu & ~0u << (bit + 1)}) {
        for (const int step : {-1, 0, 1}) {
          const std::uint32_t bits = base + mantissa + static_cast<std::uint32_t>(step);
          check(std::bit_cast<float>(bits & 0x7FFFFFFFu));
          check(std::bit_cast<float>(bits | 0x80000000u));
        }
      }
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) check(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
}

TYPED_TEST(Health, SeesInStoredValuesWhatIsLeft) {
  using limits = std::numeric_limits<TypeParam>;
  if constexpr (!std::is_same_v<TypeParam, float>) {
    numeric_health h(halfway::dtype_of<TypeParam>);
    const std::vector<TypeParam> x = {TypeParam(0.0f), TypeParam(1.0f), limits::max(),
                                      limits::lowest(), limits::denorm_min()};
    h.add(x);
    EXPECT_EQ(of(h), (classes{.saturated = 2, .subnormal = 1}));
    EXPECT_EQ(h.amax(), static_cast<float>(limits::max()));
  }
}

TEST(NumericHealth, GivesSharesOfWhatIsNotZero) {
  numeric_health h(dtype::float16);
  EXPECT_EQ(h.underflow_share(), 0);  // of nothing
  EXPECT_EQ(h.amax(), 0);
  h.add(std::vector<float>{0, 0, 0, 0, 1, 1e-9f, 1e-6f, 1e6f, -65504});
  EXPECT_EQ(h.count(), 9u);
  EXPECT_EQ(h.underflow_share(), 0.2);
  EXPECT_EQ(h.subnormal_share(), 0.2);
  EXPECT_EQ(h.overflow_share(), 0.4);
  EXPECT_EQ(h.amax(), 1e6f);
  h.add(std::vector<float>{std::nanf(""), -infinity});
  EXPECT_EQ(h.non_finite(), 2u);
  EXPECT_EQ(h.amax(), infinity);
  h.clear();
  EXPECT_EQ(of(h), classes{});
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.amax(), 0);
}

TEST(NumericHealth, MergesToTheSameAsOne) {
  std::mt19937 random(2);
  std::vector<float> x(1000);
  for (float& e : x) e = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
  numeric_health all(dtype::bfloat16), left(dtype::bfloat16), right(dtype::bfloat16);
  all.add(x);
  left.add(std::span(x).first(333));
  right.add(std::span(x).subspan(333));
  left.merge(right);
  EXPECT_EQ(of(left), of(all));
  EXPECT_EQ(left.count(), all.count());
  EXPECT_EQ(left.amax(), all.amax());
  EXPECT_GT(all.nan(), 0u);
}

TEST(NumericHealth, SamplesTheStatedShareAndEveryPlaceInTime) {
  constexpr std::size_t n = 4096, stride = 8;
  numeric_health h(dtype::float16, stride);
  h.add(std::vector<float>(n, 1.0f));
  EXPECT_EQ(h.count(), n / stride);  // whole windows: one run of each
  // One element that overflows, wherever it is, is seen within some calls: the sequence visits each
  // of 8 runs of a window at least once in any 8 * 3 steps.
  for (std::size_t place = 0; place < 256; place += 16) {
    std::vector<float> x(256, 1.0f);
    x[place] = 1e6f;
    numeric_health sampled(dtype::float16, stride);
    for (int call = 0; call < 24; ++call) sampled.add(x);
    EXPECT_GT(sampled.overflow(), 0u) << place;
  }
}

TEST(NumericHealth, IsNotBlindToAColumn) {
  // Rows of 128 = stride * 16 elements: steps of equal length would see one column block only.
  constexpr std::size_t rows = 64, cols = 128;
  for (std::size_t column = 0; column < cols; ++column) {
    std::vector<float> x(rows * cols, 1.0f);
    for (std::size_t i = 0; i < rows; ++i) x[i * cols + column] = 1e6f;
    numeric_health h(dtype::float16, cols / 16);
    h.add(x);
    EXPECT_GT(h.overflow(), 0u) << column;
  }
}

TEST(NumericHealth, LooksAtNothingWhereItIsOff) {
  numeric_health h(dtype::float16, 0);
  h.add(std::vector<float>(100, infinity));
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.non_finite(), 0u);
}

TEST(NumericHealth, RefusesWhatItCannotJudge) {
  expect_error([] { numeric_health h(dtype::int8); },
               {"halfway::numeric_health", "int8", "float format"});
  expect_error([] { numeric_health h(dtype::float8_e8m0fnu); }, {"float8_e8m0fnu"});
  expect_error([] { numeric_health h(dtype::float64); }, {"target (float64)", "float32"});
  expect_error([] { numeric_health(dtype::float16).merge(numeric_health(dtype::bfloat16)); },
               {"other.target (bfloat16)", "target (float16)"});
}

}  // namespace
