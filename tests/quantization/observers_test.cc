// SPDX-License-Identifier: Apache-2.0
// Observers and calibration against the same statistics of the values themselves.
#include "halfway/quantization/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "halfway/quantization/moving_average_observer.h"
#include "halfway/quantization/row_observers.h"
#include "support/expect_error.h"

namespace {

using halfway::affine_params;
using halfway::affine_scheme;
using halfway::calibrate;
using halfway::calibrate_range;
using halfway::calibration;
using halfway::dtype;
using halfway::histogram_observer;
using halfway::matrix;
using halfway::moving_average_observer;
using halfway::value_interval;
using halfway::testing::expect_error;
using halfway::testing::message_of;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();
constexpr calibration methods[] = {calibration::min_max, calibration::percentile, calibration::mse,
                                   calibration::entropy};
constexpr affine_scheme schemes[] = {affine_scheme::symmetric, affine_scheme::asymmetric};

std::vector<float> normal_values(std::size_t n, unsigned seed, float mean = 0.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

histogram_observer observed(const std::vector<float>& x, int digits = 10) {
  histogram_observer h(digits);
  h.observe(x);
  return h;
}

TEST(HistogramObserver, CountsEveryValueInItsBin) {
  std::vector<float> x = normal_values(5000, 1);
  x.insert(x.end(),
           {0.0f, -0.0f, 1e-45f, -1e-40f, 3e38f, -3e38f, 1.0f, infinity, -infinity, quiet_nan});
  for (const int digits : {1, 7, 12}) {
    const histogram_observer h = observed(x, digits);
    EXPECT_EQ(h.finite_count(), 5007u);
    EXPECT_EQ(h.non_finite_count(), 3u);
    EXPECT_EQ(h.min(), -3e38f);
    EXPECT_EQ(h.max(), 3e38f);
    std::size_t total = 0;
    double before = -infinity;
    for (const halfway::histogram_bin& b : h.bins()) {
      ASSERT_GE(b.low, before);
      before = b.high;
      const auto inside = std::count_if(x.begin(), x.end(), [&](float v) {
        if (!std::isfinite(v)) return false;
        return v >= 0 ? b.low >= 0 && v >= b.low && (v < b.high || (v == h.max() && v == b.high))
                      : (v > b.low || (v == h.min() && v == b.low)) && v <= b.high && b.low < 0;
      });
      ASSERT_EQ(b.count, static_cast<std::uint64_t>(inside)) << b.low << " to " << b.high;
      total += b.count;
      if (std::abs(b.low) >= std::numeric_limits<float>::min() && b.high > 0) {
        ASSERT_LE(b.high - b.low, b.low * std::exp2(-digits));
      }
    }
    EXPECT_EQ(total, h.finite_count());
  }
}

TEST(HistogramObserver, MergesToTheSameWhateverTheOrder) {
  const std::vector<float> x = normal_values(1000, 2), y = normal_values(700, 3, 40.0f);
  const std::vector<float> z = {0.0f, 1e-30f, quiet_nan};
  histogram_observer all = observed(x);
  all.observe(y);
  all.observe(z);
  histogram_observer left = observed(x), right = observed(z), empty;
  left.merge(observed(y));
  left.merge(observed(z));
  right.merge(empty);
  right.merge(observed(y));
  right.merge(observed(x));
  EXPECT_EQ(left.state(), all.state());
  EXPECT_EQ(right.state(), all.state());
  EXPECT_EQ(histogram_observer(all.state()).state(), all.state());
  empty.merge(all);
  EXPECT_EQ(empty.state(), all.state());
}

TEST(HistogramObserver, QuantilesAreThoseOfTheValuesWithinABin) {
  for (const float mean : {0.0f, 3.0f}) {
    std::vector<float> x = normal_values(20000, 4, mean);
    const histogram_observer h = observed(x);
    std::sort(x.begin(), x.end());
    std::vector<float> magnitudes;
    for (const float v : x) magnitudes.push_back(std::abs(v));
    std::sort(magnitudes.begin(), magnitudes.end());
    for (const double p : {0.001, 0.1, 0.37, 0.9, 0.9999}) {
      const auto i = static_cast<std::size_t>(std::ceil(p * 20000)) - 1;
      // Both lie in one bin, which is 2^-10 of its values wide.
      EXPECT_NEAR(h.quantile(p), x[i], std::abs(x[i]) * 0x1p-9f) << p;
      EXPECT_NEAR(h.magnitude_quantile(p), magnitudes[i], magnitudes[i] * 0x1p-9f) << p;
    }
    EXPECT_EQ(h.quantile(0), x.front());
    EXPECT_EQ(h.quantile(1), x.back());
    EXPECT_EQ(h.magnitude_quantile(1), magnitudes.back());
  }
}

TEST(HistogramObserver, TakesMatricesAndNarrowFormats) {
  matrix<halfway::bfloat16> x(3, 5);
  for (std::size_t j = 0; j < 5; ++j) x(1, j) = halfway::bfloat16(static_cast<float>(j));
  histogram_observer h;
  h.observe(x.view().transposed());
  EXPECT_EQ(h.finite_count(), 15u);
  EXPECT_EQ(h.max(), 4.0f);
}

TEST(MovingAverageObserver, FollowsTheFormula) {
  moving_average_observer observer(0.25);
  double low = 0, high = 0;
  for (unsigned batch = 0; batch < 6; ++batch) {
    const std::vector<float> x = normal_values(100, batch);
    const auto [a, b] = std::minmax_element(x.begin(), x.end());
    low = batch == 0 ? *a : low + 0.25 * (*a - low);
    high = batch == 0 ? *b : high + 0.25 * (*b - high);
    observer.observe(x);
    observer.observe(std::vector<float>{quiet_nan});
  }
  EXPECT_EQ(observer.min(), static_cast<float>(low));
  EXPECT_EQ(observer.max(), static_cast<float>(high));
  EXPECT_EQ(observer.non_finite_count(), 6u);
  moving_average_observer one(0.5), two(0.5);
  one.observe(std::vector<float>{-1.0f, 1.0f});
  two.observe(std::vector<float>{-4.0f, 7.0f});
  two.observe(std::vector<float>{-4.0f, 7.0f});
  one.merge(two);
  EXPECT_EQ(one.min(), -3.0f);
  EXPECT_EQ(one.max(), 5.0f);
  EXPECT_EQ(one.params(dtype::int8), halfway::choose_affine_params(-3.0f, 5.0f, dtype::int8));
}

TEST(RowObservers, ObserveEachRowAndMerge) {
  matrix<float> x(2, 3);
  x(0, 1) = 4.0f;
  x(1, 2) = -2.0f;
  halfway::row_observers<halfway::min_max_observer> rows(2), more(2);
  rows.observe(x);
  x(1, 2) = 9.0f;
  more.observe(x);
  rows.merge(more);
  const auto params = rows.params([](const auto& o) { return o.params(dtype::uint8); });
  EXPECT_EQ(params[0], halfway::choose_affine_params(0.0f, 4.0f, dtype::uint8));
  EXPECT_EQ(params[1], halfway::choose_affine_params(-2.0f, 9.0f, dtype::uint8));
  expect_error([&] { rows.observe(matrix<float>(3, 1)); }, {"x.rows (3) must equal size (2)"});
}

// Sum of squared errors of the values, and by how much it may differ from that of the histogram,
// which knows each value x only within 2^-10 |x|: |(e + d)^2 - e^2| <= 2 |e| d + d^2 where d is the
// shift (the rounded value may move along with x, by which the error only shrinks to at most e + d).
struct sum_and_bound {
  double sum = 0, bound = 0;
};
sum_and_bound squared_error(const std::vector<float>& x, const affine_params& p, int lowest,
                            int largest) {
  sum_and_bound r;
  for (const float v : x) {
    const double code = std::clamp<double>(
        std::nearbyint(static_cast<double>(v) / p.scale) + p.zero_point, lowest, largest);
    const double e = std::abs(v - (code - p.zero_point) * p.scale), d = std::abs(v) * 0x1p-10;
    r.sum += e * e;
    r.bound += 2 * e * d + d * d;
  }
  return r;
}

TEST(Calibration, MseIsTheLeastOfAllThresholds) {
  for (const dtype type : {dtype::int8, dtype::int4}) {
    std::vector<float> x = normal_values(4000, 9);
    for (std::size_t i = 0; i < 40; ++i) x[i * 100] *= 5.0f;  // tails
    const int largest = type == dtype::int8 ? 127 : 7;
    const histogram_observer h = observed(x);
    const affine_params got = calibrate(h, type, affine_scheme::symmetric);
    const sum_and_bound chosen = squared_error(x, got, -largest - 1, largest);
    EXPECT_NEAR(
        halfway::detail::squared_error(h.bins(), calibrate_range(h, type, affine_scheme::symmetric),
                                       type, affine_scheme::symmetric),
        chosen.sum, chosen.bound);
    for (int i = 0; i < 400; ++i) {
      const float t = h.amax() * (1 - static_cast<float>(i) / 400);
      const affine_params p = halfway::choose_affine_params(-t, t, type, affine_scheme::symmetric);
      const sum_and_bound other = squared_error(x, p, -largest - 1, largest);
      // The search knows both with their bounds, and its fractions are 2^(1/128) apart: scales
      // within 0.3% of each other, whose errors e (of steps) and d (clipped) differ by as much of
      // their size, squares by 2 * 0.3%.
      ASSERT_LE(chosen.sum, (other.sum + other.bound + chosen.bound) * 1.006) << t;
    }
  }
}

TEST(Calibration, MseBeatsMinMaxForBothSchemes) {
  std::vector<float> x = normal_values(5000, 12, 1.0f);
  x[77] = 60.0f;
  const histogram_observer h = observed(x);
  for (const affine_scheme scheme : schemes) {
    const auto error = [&](calibration method) {
      return squared_error(x, calibrate(h, dtype::uint4, scheme, {.method = method}), 0, 15).sum;
    };
    EXPECT_LT(error(calibration::mse), error(calibration::min_max) * 0.9);
  }
}

TEST(Calibration, PercentilesCutTheTails) {
  std::vector<float> x(10000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) / 100;
  const histogram_observer h = observed(x);
  const halfway::calibration_options options{.method = calibration::percentile, .percentile = 98};
  const value_interval both = calibrate_range(h, dtype::uint8, affine_scheme::asymmetric, options);
  EXPECT_NEAR(both.min, 1.0f, 0.011f);  // one value is 0.01, a bin there 2^-10
  EXPECT_NEAR(both.max, 99.0f, 0.01f + 99 * 0x1p-10f);
  const value_interval one = calibrate_range(h, dtype::uint8, affine_scheme::symmetric, options);
  EXPECT_EQ(one.min, 0.0f);
  EXPECT_NEAR(one.max, 98.0f, 0.01f + 98 * 0x1p-10f);
}

// Migacz 2017 on counts of bins of one width, as in MXNet and TensorRT.
double relative_entropy(std::vector<double> p, std::size_t kept, std::size_t levels) {
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  double beyond = 0;
  for (std::size_t i = kept; i < p.size(); ++i) beyond += p[i];
  p.resize(kept);
  const double within = total - beyond;
  const std::size_t each = kept / levels;
  std::vector<double> q(kept);
  for (std::size_t level = 0; level < levels; ++level) {
    double sum = 0;
    std::size_t used = 0;
    for (std::size_t i = level * each; i < (level + 1) * each; ++i) {
      sum += p[i];
      if (p[i] > 0) ++used;
    }
    for (std::size_t i = level * each; i < (level + 1) * each; ++i) {
      if (p[i] > 0) q[i] = sum / static_cast<double>(used) / within;
    }
  }
  p.back() += beyond;
  double divergence = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    const double smooth = q[i] * (1 - 1e-4) + 1e-4 / static_cast<double>(kept);
    if (p[i] > 0) divergence += p[i] / total * std::log(p[i] / total / smooth);
  }
  return divergence;
}

TEST(Calibration, EntropyIsTheDefinition) {
  std::mt19937 random(6);
  std::vector<double> counts(160);
  std::vector<halfway::histogram_bin> bins;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    counts[i] = i % 7 == 0 ? 0 : static_cast<double>(random() % 1000 + 1);
    if (counts[i] > 0) {
      bins.push_back({static_cast<double>(i) / 8, static_cast<double>(i + 1) / 8,
                      static_cast<std::uint64_t>(counts[i])});
    }
  }
  // Bins of 1/8; in the second histogram each is cut in two. 8 levels of 16 bins.
  const halfway::detail::even_histogram even = halfway::detail::make_even(bins, 20.0, 160);
  ASSERT_EQ(even.width, 0.125);
  // The arithmetic but for the logarithm is of small integers; a few hundred terms of at most 10.
  EXPECT_NEAR(halfway::detail::relative_entropy(even, 128, 8), relative_entropy(counts, 128, 8),
              500 * 10 * 0x1p-52);
  std::vector<double> cut(320);
  for (std::size_t i = 0; i < 320; ++i) cut[i] = counts[i / 2] / 2;
  EXPECT_NEAR(
      halfway::detail::relative_entropy(halfway::detail::make_even(bins, 20.0, 320), 128, 8),
      relative_entropy(cut, 128, 8), 500 * 10 * 0x1p-52);
}

TEST(Calibration, EntropyLeavesOutAnOutlierAndKeepsAnEvenDistribution) {
  std::vector<float> x = normal_values(20000, 8);
  x.push_back(1e6f);
  for (const affine_scheme scheme : schemes) {
    const value_interval r =
        calibrate_range(observed(x), dtype::int8, scheme, {.method = calibration::entropy});
    EXPECT_LT(r.max, 8.0f);
    EXPECT_GT(r.max, 2.0f);
    EXPECT_LT(r.min, -2.0f);
  }
  std::vector<float> even(20000);
  for (std::size_t i = 0; i < even.size(); ++i) even[i] = static_cast<float>(i) / 20000;
  EXPECT_GT(calibrate_range(observed(even), dtype::uint8, affine_scheme::asymmetric,
                            {.method = calibration::entropy})
                .max,
            0.97f);
}

TEST(Calibration, HardInputsHaveAnswers) {
  for (const calibration method : methods) {
    for (const affine_scheme scheme : schemes) {
      SCOPED_TRACE(static_cast<int>(method));
      const auto of = [&](const std::vector<float>& x) {
        return calibrate(observed(x), dtype::int8, scheme, {.method = method});
      };
      EXPECT_EQ(of(std::vector<float>(10)), (affine_params{1.0f, 0})) << "zeros";
      for (const float constant : {3.0f, -3.0f}) {
        const affine_params p = of(std::vector<float>(100, constant));
        EXPECT_EQ(p, halfway::choose_affine_params(std::min(constant, 0.0f),
                                                   std::max(constant, 0.0f), dtype::int8, scheme));
      }
      EXPECT_EQ(of({1e-42f, -3e-42f, 1e-41f}).scale, std::numeric_limits<float>::min());
      std::vector<float> spoiled = normal_values(5000, 1);
      const affine_params clean = of(spoiled);
      spoiled.insert(spoiled.begin(), {infinity, -infinity, quiet_nan});
      EXPECT_EQ(of(spoiled), clean);
      std::vector<float> sparse(20000);  // as after a ReLU
      for (std::size_t i = 0; i < 200; ++i) sparse[i] = 1.0f + static_cast<float>(i) / 200;
      sparse[0] = 1e30f;
      EXPECT_TRUE(std::isfinite(of(sparse).scale));
      const std::string empty = message_of([&] { of({}); });
      EXPECT_EQ(empty, "halfway::calibrate: no finite value was observed (0 were infinite or NaN)");
      expect_error([&] { of({quiet_nan}); }, {"(1 were infinite or NaN)"});
    }
  }
}

TEST(Calibration, AnOutlierIsKeptOrLeftOutByDefinition) {
  std::vector<float> x = normal_values(30000, 5);
  x.push_back(30.0f);
  const histogram_observer h = observed(x);
  const auto top = [&](calibration method) {
    return calibrate_range(h, dtype::int8, affine_scheme::symmetric, {.method = method}).max;
  };
  EXPECT_EQ(top(calibration::min_max), 30.0f);
  EXPECT_LT(top(calibration::percentile), 5.0f);
  EXPECT_LT(top(calibration::entropy), 8.0f);
  // Clipped to t the outlier costs (30 - t)^2; the others (t / 127)^2 / 12 each. The sum is least
  // where 30 - t = 30000 t / (12 * 127^2). Fractions tried are 2^(1/128) apart, bins 2^-10.
  const float expected = 30.0f / (1.0f + 30000.0f / (12 * 127 * 127));
  EXPECT_NEAR(top(calibration::mse), expected, expected * 0.0065f);
}

TEST(ObserverErrors, NameTheArgument) {
  EXPECT_EQ(message_of([] { histogram_observer(13); }),
            "halfway::histogram_observer: digits (13) must be from 1 to 12");
  histogram_observer h(7);
  EXPECT_EQ(message_of([&] { h.merge(histogram_observer(8)); }),
            "halfway::histogram_observer::merge: other.digits (8) must equal digits (7)");
  expect_error([&] { h.params(dtype::int8); }, {"no finite value was observed"});
  expect_error([&] { h.quantile(0.5); }, {"quantile: no finite value was observed"});
  h.observe(std::vector<float>{1.0f});
  expect_error([&] { h.quantile(1.5); }, {"p (1.5) must be from 0 to 1"});
  expect_error([&] { calibrate(h, dtype::float16); }, {"type (float16)"});
  expect_error([&] { calibrate(h, dtype::int8, affine_scheme::symmetric, {.percentile = 0}); },
               {"options.percentile (0) must be above 0 and at most 100"});
  expect_error([] { moving_average_observer(0.0); }, {"weight (0) must be above 0 and at most 1"});
  expect_error([] { moving_average_observer().params(dtype::int8); }, {"no finite value"});
}

}  // namespace
