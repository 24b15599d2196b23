// SPDX-License-Identifier: Apache-2.0
// Accumulation and clipping of gradients.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "halfway/training/gradient_accumulation.h"
#include "halfway/training/gradient_clipping.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::accumulate_gradient;
using halfway::bfloat16;
using halfway::clip_factor;
using halfway::clip_gradient_norm;
using halfway::clip_gradient_value;
using halfway::gradient_norm;
using halfway::half;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr double dinfinity = std::numeric_limits<double>::infinity();

template <class T>
std::vector<T> random_values(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<T> x(n);
  for (T& v : x) v = T(normal(random));
  return x;
}

// ------------------------------ accumulation

template <class T>
void check_accumulation(float factor) {
  for (const std::size_t n : {0u, 1u, 3u, 7u, 16u, 33u, 1000u}) {
    std::vector<float> sum(n + 1, 123.25f);  // one element behind the end
    const std::vector<float> start = random_values<float>(n, 1);
    std::copy(start.begin(), start.end(), sum.begin());
    std::vector<float> expected = start;
    for (unsigned batch = 0; batch < 3; ++batch) {
      const std::vector<T> x = random_values<T>(n, batch + 2);
      EXPECT_EQ(accumulate_gradient(x, std::span(sum).first(n), factor), 0u);
      for (std::size_t i = 0; i < n; ++i) {
        expected[i] = std::fma(static_cast<float>(x[i]), factor, expected[i]);
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(sum[i]), std::bit_cast<std::uint32_t>(expected[i]));
    }
    EXPECT_EQ(sum[n], 123.25f);
  }
}

TEST(AccumulateGradient, IsOneFusedMultiplyAddEach) {
  for_each_target([] {
    check_accumulation<half>(0x1p-10f);
    check_accumulation<bfloat16>(1.0f);
    check_accumulation<float>(0.3f);
    check_accumulation<halfway::float8_e5m2>(0.125f);
  });
}

TEST(AccumulateGradient, KeepsWhatBfloat16SumsLose) {
  const std::vector<bfloat16> gradient = {bfloat16(1.0f)};
  std::vector<float> sum = {0.0f};
  bfloat16 narrow(0.0f);
  for (int i = 0; i < 1000; ++i) {
    accumulate_gradient(gradient, sum);
    narrow = bfloat16(static_cast<float>(narrow) + 1.0f);
  }
  EXPECT_EQ(sum[0], 1000.0f);
  EXPECT_EQ(static_cast<float>(narrow), 256.0f);  // 257 is a tie, and goes to even
}

TEST(AccumulateGradient, CountsWhatIsNotFinite) {
  for_each_target([] {
    std::vector<half> x(37, half(1.0f));
    std::vector<float> sum(37);
    x[5] = half(nan);
    x[36] = half(-infinity);
    EXPECT_EQ(accumulate_gradient(x, sum), 2u);
    x.assign(37, half(1.0f));
    sum[7] = std::numeric_limits<float>::max();
    EXPECT_EQ(accumulate_gradient(x, sum, 1e35f), 3u);  // the sum overflows
    EXPECT_EQ(sum[7], infinity);
  });
}

TEST(AccumulateGradient, RefusesBadInputBeforeItWrites) {
  std::vector<float> x = {1.0f, 2.0f}, sum = {3.0f, 4.0f, 5.0f};
  const std::vector<float> before = sum;
  expect_error([&] { accumulate_gradient(x, sum); },
               {"halfway::accumulate_gradient: sum.size() (3) must equal x.size() (2)"});
  expect_error([&] { accumulate_gradient(sum, sum, nan); }, {"factor (nan) must be finite"});
  const std::span<float> s(sum);
  expect_error([&] { accumulate_gradient(s.first(2), s.last(2)); }, {"x and sum share memory"});
  EXPECT_EQ(sum, before);
}

// ------------------------------ norm

TEST(GradientNorm, IsThatOfAllTensorsTogether) {
  const auto a = random_values<half>(1001, 1);
  const auto b = random_values<bfloat16>(257, 2);
  const auto c = random_values<float>(5000, 3);
  long double squares = 0;
  const auto add = [&](const auto& x) {
    for (const auto v : x) {
      squares += static_cast<long double>(static_cast<float>(v)) *
                 static_cast<long double>(static_cast<float>(v));
    }
  };
  add(a), add(b), add(c);
  for_each_target([&] {
    gradient_norm norm, other;
    norm.add(a);
    norm.add(b);
    other.add(c);
    norm.add(other);
    const double exact = static_cast<double>(std::sqrt(squares));
    // d = ceil(5000 / 32) + 5 additions in the largest tensor, 3 tensors; the root halves it.
    EXPECT_NEAR(norm.value(), exact, exact * ((157 + 5 + 3) * 0x1p-54 + 2 * 0x1p-53));
    EXPECT_EQ(norm.non_finite(), 0u);
  });
  EXPECT_EQ(gradient_norm().value(), 0.0);
}

TEST(GradientNorm, NeitherOverflowsNorUnderflows) {
  gradient_norm large, small;
  large.add(std::vector<float>(4, std::numeric_limits<float>::max()));
  EXPECT_EQ(large.value(), 2.0 * static_cast<double>(std::numeric_limits<float>::max()));
  EXPECT_EQ(large.non_finite(), 0u);
  small.add(std::vector<float>(4, 0x1p-149f));
  EXPECT_EQ(small.value(), 0x1p-148);
}

TEST(GradientNorm, CountsWhatIsNotFinite) {
  for_each_target([] {
    gradient_norm norm;
    norm.add(std::vector<float>{1.0f, infinity, 2.0f, nan});
    norm.add(std::vector<half>{half(1.0f), half(-infinity)});
    EXPECT_EQ(norm.non_finite(), 3u);
    EXPECT_TRUE(std::isnan(norm.value()));
  });
}

// ------------------------------ clipping

TEST(ClipFactor, IsTorchs) {
  EXPECT_EQ(clip_factor(0.5, 1.0), 1.0f);
  EXPECT_EQ(clip_factor(0.0, 1.0), 1.0f);
  EXPECT_EQ(clip_factor(4.0, 1.0), static_cast<float>(1.0 / (4.0 + 1e-6)));
  // Just at the limit: 1 / (1 + 1e-6).
  EXPECT_EQ(clip_factor(1.0, 1.0), static_cast<float>(1.0 / (1.0 + 1e-6)));
  EXPECT_EQ(clip_factor(4.0, 0.0), 0.0f);
  EXPECT_EQ(clip_factor(dinfinity, 1.0), 0.0f);
  EXPECT_TRUE(std::isnan(clip_factor(std::nan(""), 1.0)));
}

TEST(ClipFactor, RefusesBadInputByNameAndValue) {
  expect_error([] { clip_factor(1.0, -1.0); }, {"halfway::clip_factor: max_norm (-1)"});
  expect_error([] { clip_factor(1.0, dinfinity); }, {"max_norm (inf)"});
  expect_error([] { clip_factor(1.0, std::nan("")); }, {"max_norm (nan)"});
  expect_error([] { clip_factor(-1.0, 1.0); }, {"norm (-1) must not be negative"});
  expect_error([] { clip_factor(dinfinity, 1.0, {.error_if_nonfinite = true}); },
               {"norm (inf) is not finite"});
  expect_error([] { clip_factor(std::nan(""), 1.0, {.error_if_nonfinite = true}); },
               {"norm (nan) is not finite"});
}

TEST(ClipGradientNorm, ScalesAllTensorsByOneFactor) {
  std::vector<std::vector<float>> g = {{3.0f, 0.0f}, {0.0f, 4.0f, 12.0f}};
  EXPECT_EQ(clip_gradient_norm(g, 26.0), 13.0);
  EXPECT_EQ(g[1][2], 12.0f);  // short enough: untouched
  EXPECT_EQ(clip_gradient_norm(g, 6.5), 13.0);
  const auto factor = static_cast<float>(6.5 / (13.0 + 1e-6));
  EXPECT_EQ(g, (std::vector<std::vector<float>>{{3.0f * factor, 0.0f},
                                                {0.0f, 4.0f * factor, 12.0f * factor}}));
  // Spans of one buffer, too.
  std::vector<float> flat = {3.0f, 4.0f};
  const std::vector<std::span<float>> parts = {std::span(flat).first(1), std::span(flat).last(1)};
  EXPECT_EQ(clip_gradient_norm(parts, 0.0), 5.0);
  EXPECT_EQ(flat, (std::vector<float>{0.0f, 0.0f}));
}

TEST(ClipGradientNorm, DoesWithNonFiniteNormsAsTorchDoes) {
  std::vector<std::vector<float>> g = {{1.0f, infinity}, {2.0f}};
  const auto before = g;
  expect_error([&] { clip_gradient_norm(g, 1.0, {.error_if_nonfinite = true}); },
               {"norm (inf) is not finite"});
  EXPECT_EQ(g, before);
  EXPECT_EQ(clip_gradient_norm(g, 1.0), dinfinity);
  EXPECT_EQ(g[0][0], 0.0f);
  EXPECT_TRUE(std::isnan(g[0][1]));  // infinity times 0
  EXPECT_EQ(g[1][0], 0.0f);
  EXPECT_TRUE(std::isnan(clip_gradient_norm(g, 1.0)));
  for (const auto& x : g) {
    for (const float v : x) EXPECT_TRUE(std::isnan(v));
  }
}

TEST(ClipGradientValue, LimitsEachElement) {
  for_each_target([] {
    for (const std::size_t n : {0u, 1u, 5u, 16u, 37u}) {
      const std::vector<float> values = {0.5f, -0.5f, 2.0f, -2.0f, infinity, -infinity, -0.0f};
      std::vector<float> x(n + 1, 9.0f);
      for (std::size_t i = 0; i < n; ++i) x[i] = values[i % values.size()];
      clip_gradient_value(std::span(x).first(n), 1.0f);
      const std::vector<float> expected = {0.5f, -0.5f, 1.0f, -1.0f, 1.0f, -1.0f, -0.0f};
      for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(x[i], expected[i % values.size()]) << i;
      EXPECT_EQ(x[n], 9.0f);
    }
    std::vector<float> x(20, nan);
    clip_gradient_value(x, 1.0f);
    for (const float v : x) EXPECT_TRUE(std::isnan(v));
  });
}

TEST(ClipGradientValue, RefusesBadLimits) {
  std::vector<float> x = {5.0f};
  expect_error([&] { clip_gradient_value(x, -1.0f); },
               {"halfway::clip_gradient_value: limit (-1) must not be negative"});
  expect_error([&] { clip_gradient_value(x, nan); }, {"limit (nan)"});
  EXPECT_EQ(x[0], 5.0f);
}

}  // namespace
