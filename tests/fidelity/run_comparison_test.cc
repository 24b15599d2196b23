// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/run_comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "halfway/types/half.h"
#include "support/expect_error.h"

namespace {

using halfway::comparison;
using halfway::dtype;
using halfway::half;
using halfway::run_comparison;
using halfway::testing::expect_error;

constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(RunComparison, NamesTheLayerWhereRunsPart) {
  run_comparison runs;
  const std::vector<float> x = {1, 2, 3};
  for (int batch = 0; batch < 2; ++batch) {
    runs.add("embedding", x, x);
    runs.add("attention", x, std::vector<float>{1, 2, 3 + 0x1p-10f});
    runs.add("a name that sorts before", x, std::vector<float>{1, 2, 4});
  }
  ASSERT_EQ(runs.layers().size(), 3u);
  EXPECT_EQ(runs.layers()[0].name, "embedding");
  EXPECT_EQ(runs.layers()[1].values.max_absolute_error(), 0x1p-10);
  EXPECT_EQ(runs.layers()[1].values.count(), 6u);
  const auto differs_by = [](double limit) {
    return [limit](const comparison& c) { return !(c.max_absolute_error() <= limit); };
  };
  EXPECT_EQ(runs.first(differs_by(0))->name, "attention");
  EXPECT_EQ(runs.first(differs_by(0.5))->name, "a name that sorts before");
  EXPECT_EQ(runs.first(differs_by(1)), nullptr);
  EXPECT_EQ(runs.origin_of_nan(), nullptr);
  EXPECT_EQ(runs.total().count(), 18u);
  EXPECT_EQ(runs.total().max_absolute_error(), 1);
}

// A network in float16 of which one layer's product overflows: NaN further on, but it began there.
TEST(RunComparison, FindsTheOriginOfNanAmongWhatSpreadIt) {
  run_comparison runs(dtype::float16);
  for (int batch = 0; batch < 3; ++batch) {
    std::vector<float> b = {1, 2, 300, 4};
    std::vector<half> c(b.begin(), b.end());
    const auto layer = [&](const std::string& name, const auto& f) {
      for (float& v : b) v = f(v);
      for (half& v : c) v = half(f(static_cast<float>(v)));
      runs.add(name, b, c);
    };
    layer("scale", [&](float v) { return batch == 0 ? v / 2 : v; });
    layer("square", [](float v) { return v * v; });  // 90000 is past 65504, 22500 is not
    layer("difference", [](float v) { return v - (std::isinf(v) ? infinity : 1); });
  }
  const halfway::layer_comparison* origin = runs.origin_of_nan();
  ASSERT_NE(origin, nullptr);
  EXPECT_EQ(origin->name, "square");
  EXPECT_EQ(origin->first_broken, 4u + 2);  // the second batch's third element
  EXPECT_EQ(origin->values.broken(), 2u);
  EXPECT_EQ(origin->elements, 12u);
  EXPECT_TRUE(runs.layers()[2].first_broken.has_value());
  EXPECT_FALSE(runs.layers()[0].first_broken.has_value());
}

TEST(RunComparison, DoesNotBlameTheCandidateForTheBaselinesNan) {
  run_comparison runs;
  runs.add("a", std::vector<float>{infinity, 1, 2}, std::vector<float>{std::nanf(""), 1, infinity});
  EXPECT_EQ(runs.origin_of_nan()->first_broken, 2u);
}

TEST(RunComparison, MergesToTheSameAsOne) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  run_comparison all, left, right;
  for (int batch = 0; batch < 10; ++batch) {
    for (const char* layer : {"one", "two", "three"}) {
      std::vector<float> x(20), y(20);
      for (std::size_t i = 0; i < 20; ++i) {
        x[i] = normal(random);
        y[i] = x[i] + 0.01f * normal(random);
      }
      if (batch > 6) y[3] = infinity;
      all.add(layer, x, y);
      (batch < 4 ? left : right).add(layer, x, y);
    }
  }
  left.merge(right);
  ASSERT_EQ(left.layers().size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto &a = left.layers()[i], &b = all.layers()[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.elements, 200u);
    EXPECT_EQ(a.first_broken, b.first_broken);
    EXPECT_EQ(a.first_broken, 7u * 20 + 3);
    EXPECT_EQ(a.values.count(), b.values.count());
    EXPECT_EQ(a.values.max_absolute_error(), b.values.max_absolute_error());
    EXPECT_NEAR(a.values.rmse(), b.values.rmse(), 200 * 0x1p-52 * b.values.rmse());
  }
  left.merge(left);
  EXPECT_EQ(left.layers()[0].elements, 400u);
  EXPECT_EQ(left.layers()[0].values.broken(), 6u);
}

TEST(RunComparison, RefusesWhatDoesNotFit) {
  run_comparison runs;
  expect_error([&] { runs.add("fc1", std::vector<float>(3), std::vector<float>(4)); },
               {"halfway::run_comparison::add", "fc1", "candidate.size() (4)", "(3)"});
  EXPECT_TRUE(runs.layers().empty());
  expect_error([&] { runs.merge(run_comparison(dtype::float16)); },
               {"other.ulp_type (float16)", "ulp_type (float32)"});
  expect_error([] { run_comparison k(dtype::int8); }, {"int8"});
}

}  // namespace
