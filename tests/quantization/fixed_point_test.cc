// SPDX-License-Identifier: Apache-2.0
// Fixed-point requantization against gemmlowp's and TensorFlow Lite's code as they write it.
#include "halfway/quantization/fixed_point.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::fixed_point_multiplier;
using halfway::make_fixed_point;
using halfway::matrix;
using halfway::testing::expect_error;
using halfway::testing::message_of;

constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
constexpr std::int32_t largest = std::numeric_limits<std::int32_t>::max();

std::int32_t gemmlowp_doubling_high_mul(std::int32_t a, std::int32_t b) {
  const bool overflow = a == b && a == lowest;
  const std::int64_t ab = std::int64_t{a} * std::int64_t{b};
  const std::int32_t nudge = ab >= 0 ? (1 << 30) : (1 - (1 << 30));
  const auto high = static_cast<std::int32_t>((ab + nudge) / (std::int64_t{1} << 31));
  return overflow ? largest : high;
}

std::int32_t gemmlowp_divide_by_pot(std::int32_t x, int exponent) {
  const auto mask = static_cast<std::int32_t>((std::int64_t{1} << exponent) - 1);
  const std::int32_t remainder = x & mask;
  const std::int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

std::vector<std::int32_t> hard_integers() {
  std::vector<std::int32_t> x = {lowest, lowest + 1, largest, largest - 1, 0, 1, -1, 2, -2, 3, -3};
  for (int bit = 2; bit < 31; ++bit) {
    for (const std::int32_t d : {-1, 0, 1}) x.insert(x.end(), {(1 << bit) + d, -(1 << bit) + d});
  }
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) x.push_back(static_cast<std::int32_t>(random()));
  return x;
}

TEST(FixedPoint, BothStepsAreGemmlowps) {
  const std::vector<std::int32_t> x = hard_integers();
  for (const std::int32_t a : x) {
    for (const std::int32_t b : x) {
      ASSERT_EQ(halfway::doubling_high_multiply(a, b), gemmlowp_doubling_high_mul(a, b))
          << a << " * " << b;
    }
    for (int s = 0; s <= 31; ++s) {
      ASSERT_EQ(halfway::divide_by_power_of_two(a, s), gemmlowp_divide_by_pot(a, s))
          << a << " / 2^" << s;
    }
  }
}

TEST(FixedPoint, MultipliersAreTensorFlowLites) {
  EXPECT_EQ(make_fixed_point(0.0), (fixed_point_multiplier{0, 0}));
  EXPECT_EQ(make_fixed_point(1.0), (fixed_point_multiplier{1 << 30, 1}));
  EXPECT_EQ(make_fixed_point(0.5), (fixed_point_multiplier{1 << 30, 0}));
  EXPECT_EQ(make_fixed_point(0.75), (fixed_point_multiplier{3 << 29, 0}));
  EXPECT_EQ(make_fixed_point(std::nextafter(1.0, 0.0)), (fixed_point_multiplier{1 << 30, 1}));
  EXPECT_EQ(make_fixed_point(0x1p-32), (fixed_point_multiplier{1 << 30, -31}));
  EXPECT_EQ(make_fixed_point(0x1p-33), (fixed_point_multiplier{0, 0}));
  EXPECT_EQ(make_fixed_point(std::nextafter(0x1p30, 0.0)), (fixed_point_multiplier{largest, 30}));
  std::mt19937 random(2);
  std::uniform_real_distribution<double> uniform(-31, 29);
  for (int i = 0; i < 1000; ++i) {
    const double real = std::exp2(uniform(random));
    const fixed_point_multiplier m = make_fixed_point(real);
    ASSERT_GE(m.multiplier, 1 << 30);
    // Half a unit of a multiplier that is at least 2^30.
    ASSERT_LE(std::abs(std::ldexp(m.multiplier, m.shift - 31) / real - 1), 0x1p-31);
  }
}

TEST(FixedPoint, MultiplyErrsByWhatTheHeaderSays) {
  for (const double real : {0.37, 0.0072474, 1.0, 1.7, 0x1p-20, 3e-9, 12345.6}) {
    const fixed_point_multiplier m = make_fixed_point(real);
    for (const std::int32_t x : hard_integers()) {
      const double exact = static_cast<double>(x) * real;
      const int left = std::max(m.shift, 0);
      const double shifted = std::ldexp(static_cast<double>(x), left);
      if (shifted > largest || shifted < lowest) continue;
      const std::int32_t got = halfway::multiply(x, m);
      ASSERT_LE(std::abs(got - exact),
                0.5 + std::ldexp(0.5, std::min(m.shift, 0)) + std::abs(exact) * 0x1p-31)
          << x << " * " << real;
      ASSERT_EQ(got,
                gemmlowp_divide_by_pot(gemmlowp_doubling_high_mul(x * (1 << left), m.multiplier),
                                       std::max(-m.shift, 0)));
    }
  }
  // 2^20 * 2^13 saturates before it is multiplied by 5000 / 2^13.
  EXPECT_EQ(halfway::multiply(1 << 20, make_fixed_point(5000.0)), 1310719999);
  EXPECT_EQ(halfway::multiply(lowest, make_fixed_point(0x1p29)), -(1 << 30));
}

template <class TA, class TC>
void check_product(std::int32_t a_zero_point, std::int32_t c_zero_point, bool per_column) {
  constexpr std::size_t m = 7, n = 19, k = 50;
  std::mt19937 random(3);
  matrix<TA> a(m, k);
  matrix<std::int8_t> b(k, n);
  for (auto& x : a.elements()) x = static_cast<TA>(random());
  for (auto& x : b.elements()) x = static_cast<std::int8_t>(random());
  std::vector<std::int32_t> bias(n);
  for (auto& x : bias) x = static_cast<std::int32_t>(random() % 20001) - 10000;
  std::vector<fixed_point_multiplier> multiplier;
  for (std::size_t j = 0; j < (per_column ? n : 1); ++j) {
    multiplier.push_back(make_fixed_point(0.0007 * static_cast<double>(j % 5 + 1)));
  }
  const halfway::fixed_point_options options{.a_zero_point = a_zero_point,
                                             .bias = bias,
                                             .multiplier = multiplier,
                                             .c_zero_point = c_zero_point};
  matrix<TC> c(m, n), packed(m, n);
  halfway::gemm_fixed_point(a, b, c, options);
  halfway::gemm_fixed_point(a, halfway::packed_matrix(b), packed, options);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      std::int32_t sum = bias[j];
      for (std::size_t p = 0; p < k; ++p) sum += (a(i, p) - a_zero_point) * b(p, j);
      const fixed_point_multiplier& f = multiplier[per_column ? j : 0];
      const std::int32_t code =
          gemmlowp_divide_by_pot(gemmlowp_doubling_high_mul(sum, f.multiplier), -f.shift) +
          c_zero_point;
      const int expected =
          std::clamp<int>(code, std::numeric_limits<TC>::min(), std::numeric_limits<TC>::max());
      ASSERT_EQ(c(i, j), expected);
      ASSERT_EQ(packed(i, j), expected);
    }
  }
}

TEST(FixedPoint, ProductsAreThoseOfTheReferenceKernel) {
  check_product<std::uint8_t, std::int8_t>(0, 0, false);
  check_product<std::uint8_t, std::uint8_t>(131, 120, true);
  check_product<std::int8_t, std::int8_t>(-128, -7, true);
}

TEST(FixedPointErrors, NameTheArgument) {
  EXPECT_EQ(message_of([] { make_fixed_point(-0.5); }),
            "halfway::make_fixed_point: real (-0.5) must be from 0 to below 2^30");
  expect_error([] { make_fixed_point(std::nan("")); }, {"real (nan)"});
  expect_error([] { make_fixed_point(0x1p30); }, {"real (1073741824)"});
  matrix<std::uint8_t> a(2, 3), c(2, 4);
  matrix<std::int8_t> b(3, 4);
  const std::vector<fixed_point_multiplier> one = {{1 << 30, 0}}, two(2), bad = {{1 << 30, -32}},
                                            negative = {{-5, 0}};
  const auto product = [&](const halfway::fixed_point_options& options) {
    return message_of([&] { halfway::gemm_fixed_point(a, b, c, options); });
  };
  EXPECT_EQ(product({}), "halfway::gemm_fixed_point: multiplier.size (0) must equal c.cols (4)");
  EXPECT_EQ(product({.multiplier = two}),
            "halfway::gemm_fixed_point: multiplier.size (2) must equal c.cols (4)");
  EXPECT_EQ(product({.multiplier = bad}),
            "halfway::gemm_fixed_point: multiplier[0] (1073741824 * 2^(-32 - 31)) must not be "
            "negative and its shift be from -31 to 30");
  EXPECT_NE(product({.multiplier = negative}).find("multiplier[0] (-5"), std::string::npos);
  EXPECT_EQ(product({.a_zero_point = 256, .multiplier = one}),
            "halfway::gemm_fixed_point: a_zero_point (256) must lie in [0, 255]");
  EXPECT_EQ(product({.multiplier = one, .c_zero_point = 300}),
            "halfway::gemm_fixed_point: c_zero_point (300) must lie in [0, 255]");
  matrix<std::uint8_t> deep(1, 65794), y(1, 1);
  matrix<std::int8_t> w(65794, 1);
  expect_error([&] { halfway::gemm_fixed_point(deep, w, y, {.multiplier = one}); },
               {"a.cols (65794) must not be above 65793"});
}

}  // namespace
