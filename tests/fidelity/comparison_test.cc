// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "halfway/types/cast.h"
#include "support/expect_error.h"

namespace {

using halfway::comparison;
using halfway::dtype;
using halfway::testing::expect_error;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

TEST(Comparison, ComputesByTheFormulas) {
  comparison c;
  c.add(std::vector<float>{3, 4, 0, -1}, std::vector<float>{3.5f, 4, 0.25f, -1});
  EXPECT_EQ(c.count(), 4u);
  EXPECT_EQ(c.max_absolute_error(), 0.5);
  EXPECT_EQ(c.max_relative_error(), 0.5 / 3);
  EXPECT_EQ(c.mean_error(), 0.75 / 4);
  EXPECT_EQ(c.rmse(), std::sqrt(0.3125 / 4));
  EXPECT_NEAR(c.sqnr_db(), 10 * std::log10(26 / 0.3125), 1e-12);
  EXPECT_NEAR(c.cosine(), 27.5 / std::sqrt(26 * 29.3125), 1e-15);
  // At 3 a unit of float is 2^-22; at 0 it is 2^-149, far more of which make up 0.25.
  EXPECT_EQ(c.max_ulps(), 0x1p147);
}

TEST(Comparison, OfEqualValuesIsPerfect) {
  comparison c;
  c.add(std::vector<float>{1, -2, 0}, std::vector<float>{1, -2, -0.0f});
  EXPECT_EQ(c.sqnr_db(), infinity);
  EXPECT_NEAR(c.cosine(), 1, 1e-15);
  EXPECT_EQ(c.rmse(), 0);
  EXPECT_EQ(c.max_ulps(), 0);
  comparison zeros;
  zeros.add(std::vector<float>(3), std::vector<float>(3));
  EXPECT_EQ(zeros.sqnr_db(), infinity);
  EXPECT_EQ(zeros.cosine(), 1);
  EXPECT_EQ(zeros.max_relative_error(), 0);
}

TEST(Comparison, WithABaselineOfZerosHasNoSignal) {
  comparison c;
  c.add(std::vector<float>{0, 0}, std::vector<float>{1, 0});
  EXPECT_EQ(c.sqnr_db(), -infinity);
  EXPECT_EQ(c.cosine(), 0);
  EXPECT_EQ(c.max_relative_error(), 0);
  EXPECT_EQ(c.max_absolute_error(), 1);
}

TEST(Comparison, OfNothingFailsEveryGate) {
  comparison c;
  const auto expect_nothing = [&] {
    EXPECT_EQ(c.count(), 0u);
    for (const double figure : {c.max_absolute_error(), c.max_relative_error(), c.max_ulps(),
                                c.mean_error(), c.rmse(), c.sqnr_db(), c.cosine()}) {
      EXPECT_TRUE(std::isnan(figure));
    }
  };
  expect_nothing();
  c.add(std::vector<float>{}, std::vector<float>{});
  expect_nothing();
  c.add(std::vector<float>{nan, 1}, std::vector<float>{1, nan});
  expect_nothing();
  EXPECT_EQ(c.broken(), 1u);
  EXPECT_EQ(c.excluded(), 1u);
}

TEST(Comparison, CountsAndExcludesWhatIsNotFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  comparison c;
  c.add(std::vector<float>{1, 1, 1, nan, inf, inf, -inf, 2},
        std::vector<float>{nan, inf, -inf, nan, inf, 1, inf, 2});
  EXPECT_EQ(c.broken(), 3u);
  EXPECT_EQ(c.excluded(), 4u);
  EXPECT_EQ(c.count(), 1u);
  EXPECT_EQ(c.sqnr_db(), infinity);
}

// A rounding is half a unit at most, and the next value one unit away.
template <class T>
void expect_units_of() {
  comparison rounded(halfway::dtype_of<T>), next(halfway::dtype_of<T>);
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x;
  std::vector<T> y;
  for (int i = 0; i < 1000; ++i) {
    const float deviation = i % 2 == 0 ? 1.0f : static_cast<float>(std::numeric_limits<T>::min());
    x.push_back(normal(random) * deviation);
    y.push_back(halfway::ieee_cast<T>(x.back()));
  }
  rounded.add(x, y);
  EXPECT_LE(rounded.max_ulps(), 0.5);
  EXPECT_GT(rounded.max_ulps(), 0.45);
  std::vector<T> above;
  for (const T e : y) {
    above.push_back(T::from_bits(static_cast<typename T::storage>(e.bits() + 1)));
  }
  next.add(y, above);
  EXPECT_EQ(next.max_ulps(), 1);
}
TEST(Comparison, CountsUnitsInTheLastPlace) {
  expect_units_of<halfway::half>();
  expect_units_of<halfway::bfloat16>();
  expect_units_of<halfway::float8_e5m2>();
}

TEST(Comparison, MergesToTheSameAsOne) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  std::vector<float> x(999);
  std::vector<halfway::half> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = i % 100 == 7 ? nan : normal(random);
    y[i] = i % 100 == 9 ? halfway::half(nan) : halfway::half(x[i] + 0.01f * normal(random));
  }
  comparison all(dtype::float16), left(dtype::float16), right(dtype::float16);
  all.add(x, y);
  left.add(std::span(x).first(400), std::span(y).first(400));
  right.add(std::span(x).subspan(400), std::span(y).subspan(400));
  left.merge(right);
  left.merge(comparison(dtype::float16));
  EXPECT_EQ(left.count(), all.count());
  EXPECT_EQ(left.broken(), all.broken());
  EXPECT_EQ(left.excluded(), all.excluded());
  EXPECT_EQ(left.max_absolute_error(), all.max_absolute_error());
  EXPECT_EQ(left.max_relative_error(), all.max_relative_error());
  EXPECT_EQ(left.max_ulps(), all.max_ulps());
  // Sums of n doubles in another order: n 2^-53 of their magnitudes each; a decibel is 10 / ln 10
  // times a relative difference of the ratio.
  const double relative = 4 * static_cast<double>(x.size()) * 0x1p-53;
  EXPECT_NEAR(left.rmse(), all.rmse(), relative * all.rmse());
  // Of squares of normal errors, whose variance is 2 mean^2, cancellation adds no digit (confidence.h);
  // Student's quantile is of the same count.
  EXPECT_NEAR(left.rmse_interval().low, all.rmse_interval().low, 4 * relative * all.rmse());
  EXPECT_NEAR(left.rmse_interval().high, all.rmse_interval().high, 4 * relative * all.rmse());
  EXPECT_NEAR(left.sqnr_db(), all.sqnr_db(), 10 / std::log(10.0) * relative + 1e-12);
  EXPECT_NEAR(left.cosine(), all.cosine(), relative);
}

TEST(Comparison, MeasuresTheNoiseOfAFormat) {
  // Uniform over one binade the squared error of d digits is 2^(-2d) / 12 times 4^exponent: within
  // [1, 2) the mean is 2^-20 / 12 for float16 against a mean square of 7/3.
  std::vector<float> x;
  std::vector<halfway::half> y;
  for (int i = 0; i < 1 << 16; ++i) {
    x.push_back(1 + (static_cast<float>(i) + 0.5f) * 0x1p-16f);
    y.push_back(halfway::half(x.back()));
  }
  comparison c(dtype::float16);
  c.add(x, y);
  // The 2^6 places between two halves stand for all: the mean of their squares is (1 - 2^-12)
  // of the uniform one's.
  EXPECT_NEAR(c.sqnr_db(), 10 * std::log10(7.0 / 3 * 12 * 0x1p20), 0.01);
}

TEST(Comparison, IntervalsAreStudents) {
  // Errors 1 and 2, squares 1 and 4. Of 1 degree of freedom, half of the distribution is within 1:
  // 1.5 +- sqrt(0.5 / 2) and 2.5 +- sqrt(4.5 / 2). Quantiles are good to 1e-11 (confidence_test.cc).
  comparison c;
  c.add(std::vector<float>{1, 1}, std::vector<float>{2, 3});
  EXPECT_NEAR(c.mean_error_interval(0.5).low, 1, 1e-11);
  EXPECT_NEAR(c.mean_error_interval(0.5).high, 2, 1e-11);
  EXPECT_NEAR(c.rmse_interval(0.5).low, 1, 1e-11);
  EXPECT_NEAR(c.rmse_interval(0.5).high, 2, 1e-11);
}

// What is in 95 % of intervals is in at least 0.95 - 3 standard errors of 1000 of them; as squares of
// normal errors are skewed, Student's interval of their mean holds 0.94 only at n = 200 (by the
// Edgeworth expansion: Hall, "The Bootstrap and Edgeworth Expansion", 1992, section 2.6, a loss of
// about 0.01 for skewness 8^(1/2)).
TEST(Comparison, IntervalsHoldTheirConfidence) {
  std::mt19937 random(6);
  std::normal_distribution<float> noise(0.25f, 0.5f);
  int mean_within = 0, rmse_within = 0;
  const double rmse = std::sqrt(0.25 * 0.25 + 0.5 * 0.5);
  for (int r = 0; r < 1000; ++r) {
    comparison c;
    std::vector<float> x(200), y(200);
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = noise(random);
    c.add(x, y);
    const auto mean = c.mean_error_interval(), root = c.rmse_interval();
    mean_within += mean.low <= 0.25 && 0.25 <= mean.high;
    rmse_within += root.low <= rmse && rmse <= root.high;
  }
  const double three_errors = 3 * std::sqrt(0.95 * 0.05 / 1000);
  EXPECT_NEAR(mean_within / 1000.0, 0.95, three_errors);
  EXPECT_NEAR(rmse_within / 1000.0, 0.945, three_errors);
  EXPECT_TRUE(std::isnan(comparison().rmse_interval().high));
  comparison same;
  same.add(std::vector<float>{1, 2}, std::vector<float>{1, 2});
  EXPECT_EQ(same.rmse_interval().high, 0);
}

TEST(Comparison, RefusesWhatDoesNotFit) {
  comparison c;
  expect_error([&] { c.add(std::vector<float>(3), std::vector<float>(4)); },
               {"halfway::comparison::add", "candidate.size() (4)", "baseline.size() (3)"});
  EXPECT_EQ(c.count(), 0u);
  expect_error([&] { c.merge(comparison(dtype::float16)); },
               {"other.ulp_type (float16)", "ulp_type (float32)"});
  expect_error([] { comparison k(dtype::int8); }, {"halfway::comparison", "int8"});
  expect_error([] { comparison k(dtype::float64); }, {"ulp_type (float64)", "float32"});
}

}  // namespace
