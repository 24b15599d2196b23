// SPDX-License-Identifier: Apache-2.0
#include "halfway/ops/moments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "halfway/ops/reduce.h"
#include "halfway/simd/sum_order.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::moments_accumulator;
using halfway::testing::expect_error;
using halfway::testing::expect_same_bits_on_every_target;
using halfway::testing::for_each_target;
using halfway::testing::gamma;
using halfway::testing::normal_values;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

struct exact_moments {
  explicit exact_moments(std::span<const float> x) {
    const long double n = static_cast<long double>(x.size());
    long double sum = 0, squares = 0;
    for (const float v : x) sum += static_cast<long double>(v);
    for (const float v : x) {
      const long double d = static_cast<long double>(v) - sum / n;
      squares += d * d;
    }
    mean = static_cast<double>(sum / n);
    variance = static_cast<double>(squares / n);
  }
  double mean, variance;
};

// A chunk's moments err as tests/ops/reduce_test.cc derives: with d additions, the variance by
// 3 gamma(d + 4) (variance + m^2), m the distance of the float that deviations are taken from to the
// mean, here below a deviation, and the mean by gamma(d + 2) deviations; what merging them in double
// adds is 2^-53 of the mean for each chunk. A chunk's variance and the distance between means add up
// to the variance of all.
void expect_moments(const moments_accumulator& m, std::span<const float> x, std::size_t chunks) {
  const exact_moments exact(x);
  const double d = static_cast<double>(halfway::detail::additions_in_part(
      std::min(x.size(), halfway::detail::reduction_part), halfway::detail::pair_lanes));
  const double deviation = std::sqrt(exact.variance);
  const double merged = static_cast<double>(chunks) * 0x1p-50 * std::abs(exact.mean);
  EXPECT_EQ(m.count(), x.size());
  EXPECT_LE(std::abs(m.mean() - exact.mean), gamma(d + 2) * 2 * deviation + merged);
  EXPECT_LE(std::abs(m.variance() - exact.variance),
            6 * gamma(d + 4) * exact.variance + 4 * merged * deviation);
  const auto rounded = m.result();
  EXPECT_EQ(rounded.mean, static_cast<float>(m.mean()));
  EXPECT_EQ(rounded.variance, static_cast<float>(m.variance()));
}

TEST(Moments, OfChunksAreThoseOfTheWhole) {
  for (const double mean : {0.0, 1e6}) {  // the second is 1e6 times the deviation
    const std::vector<float> x = normal_values<float>(20000, mean, 1.0, 1);
    for_each_target([&] {
      for (const std::size_t chunk : {1u, 7u, 64u, 1000u, 20000u}) {
        SCOPED_TRACE(chunk);
        moments_accumulator m;
        std::size_t chunks = 0;
        for (std::size_t begin = 0; begin < x.size(); begin += chunk, ++chunks) {
          m.add(std::span(x).subspan(begin, std::min(chunk, x.size() - begin)));
        }
        expect_moments(m, x, chunks);
        EXPECT_NEAR(m.variance(), 1.0, 0.05);  // of the draw: 5 times its deviation of sqrt(2 / n)
      }
    });
  }
}

TEST(Moments, Merge) {
  const std::vector<float> x = normal_values<float>(3000, 1e6, 1.0, 2);
  const auto v = std::span(x);
  moments_accumulator a, b, c, empty;
  a.add(v.first(10));
  b.add(v.subspan(10, 2000));
  c.add(v.subspan(2010));
  a.merge(b);
  a.merge(empty);
  empty.merge(c);
  a.merge(empty);
  expect_moments(a, x, 4);
}

// As the formula of Welford for single elements: nothing is lost that a float of the mean would
// lose.
TEST(Moments, HaveTheMeanInDouble) {
  moments_accumulator m;
  m.add(std::vector<float>{16777216.0f});
  m.add(std::vector<float>{16777218.0f});
  EXPECT_EQ(m.mean(), 16777217.0);
  EXPECT_EQ(m.variance(), 1.0);
  EXPECT_EQ(m.sample_variance(), 2.0);
}

TEST(Moments, OfEqualElementsHaveNoVariance) {
  for_each_target([] {
    for (const float value : {0.1f, -1e6f, 3e38f, 1e-40f}) {
      moments_accumulator m;
      for (const std::size_t n : {3u, 100u, 1u}) m.add(std::vector<float>(n, value));
      EXPECT_EQ(m.result().mean, value);
      EXPECT_EQ(m.variance(), 0.0);
    }
  });
}

TEST(Moments, SpecialValues) {
  const std::vector<float> ones(5, 1.0f), infinite = {1.0f, -inf}, other = {inf}, bad = {nan};
  moments_accumulator m;
  EXPECT_TRUE(std::isnan(m.mean()) && std::isnan(m.variance()));
  m.add(std::vector<float>());
  EXPECT_EQ(m.count(), 0u);
  m.add(ones);
  m.add(infinite);
  m.add(ones);
  EXPECT_EQ(m.mean(), -inf);
  EXPECT_TRUE(std::isnan(m.variance()));
  m.add(other);
  EXPECT_TRUE(std::isnan(m.mean()));
  moments_accumulator with_nan;
  with_nan.add(ones);
  with_nan.add(bad);
  with_nan.add(ones);
  EXPECT_TRUE(std::isnan(with_nan.mean()) && std::isnan(with_nan.variance()));
}

// mean_variance of more than a part merges those of its parts.
TEST(Moments, OfManyElements) {
  const std::size_t n = 3 * halfway::detail::reduction_part + 5;
  std::vector<float> x = normal_values<float>(n, 1e6, 1.0, 3);
  moments_accumulator m;
  m.add(x);
  expect_moments(m, x, 4);
  EXPECT_EQ(halfway::mean_variance(x).mean, m.result().mean);
  EXPECT_EQ(halfway::mean_variance(x).variance, m.result().variance);
  halfway::mean_and_variance result{};
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    result = halfway::mean_variance(x, on);
    return std::as_bytes(std::span(&result, 1));
  });
}

TEST(Moments, HaveTheSameBitsOnEveryTarget) {
  const auto x = normal_values<halfway::half>(5000, 3.0, 1.0, 4);
  expect_same_bits_on_every_target([&](std::vector<std::uint32_t>& bits) {
    moments_accumulator m;
    for (const std::size_t begin : {0u, 1u, 100u}) m.add(std::span(x).subspan(begin, 4000));
    for (const double value : {m.mean(), m.variance()}) {
      const auto pattern = std::bit_cast<std::uint64_t>(value);
      bits.push_back(static_cast<std::uint32_t>(pattern));
      bits.push_back(static_cast<std::uint32_t>(pattern >> 32));
    }
  });
}

TEST(Moments, RefuseBadInput) {
  moments_accumulator m;
  expect_error([&] { m.result(); }, {"halfway::moments_accumulator::result", "no elements"});
  expect_error([&] { m.add(std::span<const float>(static_cast<const float*>(nullptr), 5)); },
               {"halfway::moments_accumulator::add", "x is null", "5"});
}

}  // namespace
