// SPDX-License-Identifier: Apache-2.0
// Special values of reductions: special_values_test.cc.
#include "halfway/ops/reduce.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/simd/sum_order.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::matrix_view;
using halfway::testing::append_bits;
using halfway::testing::expect_error;
using halfway::testing::expect_same_bits_on_every_target;
using halfway::testing::for_each_target;
using halfway::testing::gamma;
using halfway::testing::normal_values;
using halfway::testing::padded_rows;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// Around the widths of vectors and blocks.
const std::vector<std::size_t> sizes = {0,  1,  2,   3,    4,    5,    7,    8,    9,  15,
                                        16, 17, 31,  32,   33,   47,   63,   64,   65, 95,
                                        96, 97, 130, 1000, 4095, 4096, 4097, 20001};

constexpr std::size_t part = halfway::detail::reduction_part;

// Roundings that a product goes through: one more than an element of a sum.
double roundings(std::size_t n) { return static_cast<double>(halfway::detail::additions(n) + 1); }

template <class T>
class Reduce : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16>;
TYPED_TEST_SUITE(Reduce, Types);

// The span starts one element off any alignment, and what lies behind it would spoil every result.
template <class T>
struct guarded {
  guarded(std::size_t n, double mean, double deviation, unsigned seed)
      : storage(normal_values<T>(n + 2, mean, deviation, seed)), x(storage.data() + 1, n) {
    storage.front() = storage.back() = T(nan);
  }
  std::vector<T> storage;
  std::span<T> x;
};

TYPED_TEST(Reduce, SumsStayWithinTheirBounds) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      SCOPED_TRACE(n);
      guarded<TypeParam> x(n, 0.1, 1.0, 1), y(n, -0.2, 1.0, 2);
      double sum = 0, magnitudes = 0, dot = 0, products = 0, squares = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double a = static_cast<float>(x.x[i]), b = static_cast<float>(y.x[i]);
        sum += a;
        magnitudes += std::abs(a);
        dot += a * b;
        products += std::abs(a * b);
        squares += a * a;
      }
      const double bound = gamma(roundings(n));
      EXPECT_LE(std::abs(halfway::sum(x.x) - sum), bound * magnitudes);
      EXPECT_LE(std::abs(halfway::dot(x.x, y.x) - dot), bound * products);
      EXPECT_LE(std::abs(halfway::sum_of_squares(x.x) - squares), bound * squares);
      EXPECT_EQ(halfway::sum_of_squares(x.x), halfway::dot(x.x, x.x));
    }
  });
}

TEST(Reduce, SumsOfIntegersAreExact) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      std::vector<float> x(n);
      for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i % 100);
      double exact = 0;
      for (const float value : x) exact += value;
      EXPECT_EQ(halfway::sum(x), static_cast<float>(exact)) << n;  // below 2^24
    }
  });
}

TEST(Reduce, KeepsItsBoundOverManyElements) {
  // A chain of additions for each of the 64 partial sums would take 65,536 steps, each rounding the
  // same way.
  const std::size_t n = std::size_t{1} << 22;
  const std::vector<bfloat16> x(n, bfloat16(0.1f));
  const double exact = static_cast<double>(n) * static_cast<double>(x[0]);
  EXPECT_LE(std::abs(halfway::sum(x) - exact), gamma(roundings(n)) * exact);
  EXPECT_LE(roundings(n), 140);
}

TEST(Reduce, StaysWithinTheBoundOfCancellingSums) {
  // Condition 1e8: large pairs that cancel around small values.
  std::vector<float> x = normal_values<float>(6000, 0.0, 1e8, 3);
  for (std::size_t i = 0; i < 3000; ++i) x[i + 3000] = -x[2999 - i];
  x[17] = 1.0f;
  double sum = 0, magnitudes = 0;
  for (const float value : x) {
    sum += value;
    magnitudes += std::abs(static_cast<double>(value));
  }
  for_each_target(
      [&] { EXPECT_LE(std::abs(halfway::sum(x) - sum), gamma(roundings(x.size())) * magnitudes); });
}

TEST(Reduce, MixesTypes) {
  const std::vector<halfway::float8_e4m3fn> x = normal_values<halfway::float8_e4m3fn>(77, 0, 1, 4);
  const std::vector<float> y = normal_values<float>(77, 0, 1, 5);
  double dot = 0, products = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    dot += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    products += std::abs(static_cast<double>(x[i]) * static_cast<double>(y[i]));
  }
  for_each_target(
      [&] { EXPECT_LE(std::abs(halfway::dot(x, y) - dot), gamma(roundings(77)) * products); });
}

TYPED_TEST(Reduce, FindsExtremes) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      if (n == 0) continue;
      SCOPED_TRACE(n);
      guarded<TypeParam> x(n, 0.0, 3.0, 6);
      const auto largest = std::max_element(x.x.begin(), x.x.end());
      EXPECT_EQ(halfway::max(x.x), static_cast<float>(*largest));
      EXPECT_EQ(halfway::argmax(x.x), static_cast<std::size_t>(largest - x.x.begin()));
      EXPECT_EQ(halfway::min(x.x), static_cast<float>(*std::min_element(x.x.begin(), x.x.end())));
    }
  });
}

TEST(Reduce, SpecialValuesOfExtremes) {
  for_each_target([] {
    for (const std::size_t n :
         {std::size_t{1}, std::size_t{16}, std::size_t{67}, std::size_t{300}}) {
      for (std::size_t at = 0; at < n; at += 1 + n / 9) {
        std::vector<float> x(n, -2.0f);
        x[at] = nan;
        x[n - 1] = nan;
        EXPECT_TRUE(std::isnan(halfway::max(x)));
        EXPECT_TRUE(std::isnan(halfway::min(x)));
        EXPECT_EQ(halfway::argmax(x), at);
        x.assign(n, -inf);
        EXPECT_EQ(halfway::max(x), -inf);
        EXPECT_EQ(halfway::min(x), -inf);
        EXPECT_EQ(halfway::argmax(x), 0u);
        x[at] = 5.0f;
        x[n - 1] = 5.0f;
        EXPECT_EQ(halfway::argmax(x), at);
        x.assign(n, inf);
        EXPECT_EQ(halfway::min(x), inf);
        EXPECT_EQ(halfway::argmax(x), 0u);
      }
    }
    // Of zeros the first one, whatever the width of vectors.
    for (const std::size_t n : {std::size_t{2}, std::size_t{90}}) {
      std::vector<float> zeros(n, 0.0f);
      zeros[0] = -0.0f;
      EXPECT_TRUE(std::signbit(halfway::max(zeros)));
      EXPECT_TRUE(std::signbit(halfway::min(zeros)));
      zeros.assign(n, -0.0f);
      zeros[0] = 0.0f;
      EXPECT_FALSE(std::signbit(halfway::max(zeros)));
      EXPECT_FALSE(std::signbit(halfway::min(zeros)));
    }
  });
}

// With p the float that deviations are taken from and m >= |p - mean|: the squares and their sum
// err by gamma(d + 3) (variance + m^2) in the mean, d the additions; the correction (p - mean)^2 is
// taken off with an error below that again twice over, as 2 m |deviation| <= m^2 + variance.
// The first pass gives m <= gamma(d + 2) mean |x - x[0]| + u |mean|.
template <class T>
void expect_moments(std::span<const T> x) {
  const double n = static_cast<double>(x.size());
  double mean = 0, spread = 0, variance = 0;
  for (const T value : x) mean += static_cast<double>(value) / n;
  for (const T value : x) {
    const double d = static_cast<double>(value) - mean;
    variance += d * d / n;
    spread += std::abs(static_cast<double>(value) - static_cast<double>(x[0])) / n;
  }
  const double d = static_cast<double>(
      halfway::detail::additions_in_part(x.size(), halfway::detail::pair_lanes) + 1);
  const double m = gamma(d + 2) * spread + halfway::testing::u32 * std::abs(mean);
  const auto result = halfway::mean_variance(x);
  EXPECT_LE(std::abs(result.variance - variance), 3 * gamma(d + 4) * (variance + m * m));
  EXPECT_LE(std::abs(result.mean - mean),
            gamma(d + 2) * (std::sqrt(variance) + m) + halfway::testing::u32 * std::abs(mean));
}

TYPED_TEST(Reduce, MomentsStayWithinTheirBounds) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      if (n == 0) continue;
      SCOPED_TRACE(n);
      guarded<TypeParam> x(n, 0.5, 2.0, 7);
      expect_moments(std::span<const TypeParam>(x.x));
      x.x[0] = TypeParam(20000.0f);  // an outlier that the first pass starts from
      expect_moments(std::span<const TypeParam>(x.x));
    }
  });
}

TEST(Reduce, VarianceSurvivesALargeMean) {
  // In floats around 1e6 the deviation of 1 is itself rounded to sixteenths; the variance of the
  // rounded values must still be right to FP32.
  const std::vector<float> x = normal_values<float>(50000, 1e6, 1.0, 8);
  for_each_target([&] { expect_moments(std::span<const float>(x)); });
}

TYPED_TEST(Reduce, ColumnSumsStayWithinTheirBounds) {
  for_each_target([] {
    for (const std::size_t rows : {0u, 1u, 2u, 7u, 8u, 9u, 15u, 16u, 100u, 1000u}) {
      for (const std::size_t cols : {0u, 1u, 3u, 8u, 16u, 17u, 33u, 70u}) {
        if (rows * cols > 20000) continue;
        SCOPED_TRACE(rows);
        SCOPED_TRACE(cols);
        padded_rows<TypeParam> x(rows, cols, 3);
        x.fill_normal(0.2, 1.0, 9);
        std::vector<float> out(cols + 1, 7.0f);
        halfway::column_sums(x.view(), std::span<float>(out).first(cols));
        for (std::size_t j = 0; j < cols; ++j) {
          double sum = 0, magnitudes = 0;
          for (std::size_t i = 0; i < rows; ++i) {
            sum += static_cast<double>(x.view()(i, j));
            magnitudes += std::abs(static_cast<double>(x.view()(i, j)));
          }
          EXPECT_LE(std::abs(out[j] - sum), gamma(static_cast<double>(rows) / 8 + 10) * magnitudes);
        }
        EXPECT_EQ(out[cols], 7.0f);
      }
    }
  });
}

TYPED_TEST(Reduce, GivesTheSameBitsOnEveryTarget) {
  expect_same_bits_on_every_target([](std::vector<std::uint32_t>& bits) {
    for (const std::size_t n : sizes) {
      if (n == 0) continue;
      guarded<TypeParam> x(n, 0.1, 1.0, 10), y(n, 0.0, 30.0, 11);
      const auto moments = halfway::mean_variance(x.x);
      append_bits(bits, std::span<const float>(std::vector<float>{
                            halfway::sum(x.x), halfway::dot(x.x, y.x), halfway::sum_of_squares(y.x),
                            halfway::max(x.x), halfway::min(y.x), moments.mean, moments.variance}));
    }
    padded_rows<TypeParam> x(77, 33, 1);
    x.fill_normal(0, 1, 12);
    std::vector<float> out(33);
    halfway::column_sums(x.view(), out);
    append_bits(bits, std::span<const float>(out));
  });
}

TEST(Reduce, ColumnSumsHaveTheSameBitsOnAnyExecutor) {
  halfway::matrix<half> x(300, 700);
  for (std::size_t k = 0; k < x.size(); ++k) x.elements()[k] = half(static_cast<float>(k % 997));
  std::vector<float> out(700);
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::column_sums(x, out, on);
    return std::as_bytes(std::span(out));
  });
}

TEST(Reduce, HasTheSameBitsOnAnyExecutor) {
  const std::size_t n = 3 * part + 77;
  const std::vector<bfloat16> x = normal_values<bfloat16>(n, 0.1, 1.0, 20);
  const std::vector<half> y = normal_values<half>(n, -0.1, 1.0, 21);
  std::vector<float> results;
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    results = {halfway::sum(x, on), halfway::dot(x, y, on), halfway::sum_of_squares(y, on),
               halfway::max(x, on), halfway::min(y, on)};
    return std::as_bytes(std::span(results));
  });
}

TEST(Reduce, ExtremaOfPartsAreThoseOfTheWhole) {
  for_each_target([] {
    std::vector<bfloat16> x(2 * part + 3, bfloat16(-1.0f));
    x[part - 1] = bfloat16(-0.0f);
    x[part] = bfloat16(0.0f);
    EXPECT_TRUE(halfway::max(x) == 0.0f && std::signbit(halfway::max(x)));
    x.back() = bfloat16(2.0f);
    EXPECT_EQ(halfway::max(x), 2.0f);
    EXPECT_EQ(halfway::min(x), -1.0f);
    x[part + 5] = bfloat16(nan);
    EXPECT_TRUE(std::isnan(halfway::max(x)) && std::isnan(halfway::min(x)));
  });
}

TEST(Reduce, RefusesBadInput) {
  const std::vector<float> three(3), four(4), none;
  const std::span<const float> null(static_cast<const float*>(nullptr), 5);
  expect_error([&] { halfway::dot(three, four); },
               {"halfway::dot", "y.size() (4)", "x.size() (3)"});
  expect_error([&] { halfway::sum(null); }, {"halfway::sum", "x is null", "5"});
  expect_error([&] { halfway::max(none); }, {"halfway::max", "x is empty"});
  expect_error([&] { halfway::min(none); }, {"halfway::min", "x is empty"});
  expect_error([&] { halfway::argmax(none); }, {"halfway::argmax", "x is empty"});
  expect_error([&] { halfway::mean_variance(none); }, {"halfway::mean_variance", "x is empty"});

  std::vector<float> x(12, 1.0f), out(4, 7.0f);
  expect_error([&] { halfway::column_sums(matrix_view<float>(x.data(), 4, 3), out); },
               {"halfway::column_sums", "out.size() (4)", "x.cols() (3)"});
  expect_error(
      [&] {
        halfway::column_sums(matrix_view<float>(x.data(), 3, 4).transposed(),
                             std::span<float>(out).first(3));
      },
      {"halfway::column_sums", "x.col_stride() (4)"});
  expect_error(
      [&] {
        halfway::column_sums(matrix_view<float>(x.data(), 3, 4), std::span<float>(x).subspan(8, 4));
      },
      {"halfway::column_sums", "out", "x", "share memory"});
  expect_error(
      [&] {
        halfway::column_sums(matrix_view<float>(x.data(), 3, 4),
                             std::span<float>(static_cast<float*>(nullptr), 4));
      },
      {"halfway::column_sums", "out is null"});
  EXPECT_EQ(out, std::vector<float>(4, 7.0f));
  EXPECT_EQ(x, std::vector<float>(12, 1.0f));
}

}  // namespace
