// SPDX-License-Identifier: Apache-2.0
#include "halfway/ops/scale.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <tuple>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::half;
using halfway::unscale;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float canary = 123.25f;

template <class Body>
void for_each_type(Body&& body) {
  std::apply(
      [&](auto... x) { (body(x), ...); },
      std::tuple<float, half, halfway::bfloat16, halfway::float8_e4m3fn, halfway::float8_e5m2>());
}

// n elements from all patterns of T, non-finite ones among them.
template <class T>
std::vector<T> random_patterns(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<T> x(n);
  for (T& v : x) {
    if constexpr (std::same_as<T, float>) {
      v = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    } else {
      v = T::from_bits(static_cast<typename T::storage>(random()));
    }
  }
  return x;
}

const std::vector<std::size_t> sizes = {0,  1,  2,  3,  4,  5,  7,  8,  9,   15,
                                        16, 17, 31, 32, 33, 63, 64, 65, 100, 5000};

TEST(Unscale, GivesTheFloatProductAndCountsWhatIsNotFinite) {
  for_each_target([] {
    for_each_type([](auto type) {
      using T = decltype(type);
      for (const std::size_t n : sizes) {
        const std::vector<T> x = random_patterns<T>(n, static_cast<unsigned>(n));
        for (const float factor : {0x1p-16f, 1.0f / 3.0f, 0x1p10f, 0.0f, -1.0f}) {
          std::vector<float> y(n + 1, canary);
          const std::size_t count = unscale(x, std::span(y).first(n), factor);
          std::size_t expected_count = 0;
          for (std::size_t i = 0; i < n; ++i) {
            const float expected = static_cast<float>(x[i]) * factor;
            if (!std::isfinite(expected)) ++expected_count;
            ASSERT_TRUE(std::isnan(expected) ? std::isnan(y[i])
                                             : std::bit_cast<std::uint32_t>(y[i]) ==
                                                   std::bit_cast<std::uint32_t>(expected))
                << i << ": " << y[i] << " " << expected;
          }
          EXPECT_EQ(count, expected_count);
          EXPECT_EQ(y[n], canary);
        }
      }
    });
  });
}

TEST(Unscale, CountsOverflowByTheFactorItself) {
  for_each_target([] {
    const std::vector<half> x(19, half(60000.0f));
    std::vector<float> y(19);
    EXPECT_EQ(unscale(x, y, 1e30f), 0u);
    EXPECT_EQ(unscale(x, y, 1e35f), 19u);
    EXPECT_EQ(y, std::vector<float>(19, infinity));
  });
}

TEST(Unscale, FindsOneBadElementAnywhere) {
  for_each_target([] {
    for (std::size_t n = 1; n <= 70; ++n) {
      for (std::size_t at = 0; at < n; ++at) {
        std::vector<half> x(n, half(1.0f));
        x[at] = half(at % 2 == 0 ? infinity : nan);
        std::vector<float> y(n);
        ASSERT_EQ(unscale(x, y, 0.5f), 1u) << n << " " << at;
        ASSERT_EQ(halfway::count_non_finite(x), 1u) << n << " " << at;
      }
    }
  });
}

TEST(Unscale, WorksInPlaceAndOnMatrices) {
  for_each_target([] {
    halfway::matrix<float> m(3, 7);
    for (std::size_t i = 0; i < m.size(); ++i) m.elements()[i] = static_cast<float>(i);
    m(1, 1) = nan;
    EXPECT_EQ(unscale(m.elements(), 0.25f), 1u);
    for (std::size_t i = 0; i < m.size(); ++i) {
      if (i != 8) {  // m(1, 1)
        EXPECT_EQ(m.elements()[i], static_cast<float>(i) / 4);
      }
    }
    EXPECT_EQ(unscale(m.elements(), m.elements(), 4.0f), 1u);
    EXPECT_EQ(m(2, 6), 20.0f);
  });
}

TEST(CountNonFinite, AgreesWithTheScalarCount) {
  for_each_target([] {
    for_each_type([](auto type) {
      using T = decltype(type);
      for (const std::size_t n : sizes) {
        const std::vector<T> x = random_patterns<T>(n, static_cast<unsigned>(n) + 1);
        const auto expected =
            std::ranges::count_if(x, [](T v) { return !std::isfinite(static_cast<float>(v)); });
        EXPECT_EQ(halfway::count_non_finite(x), static_cast<std::size_t>(expected)) << n;
      }
    });
  });
}

TEST(Amax, IsTheLargestMagnitude) {
  for_each_target([] {
    for_each_type([](auto type) {
      using T = decltype(type);
      for (const std::size_t n : sizes) {
        std::vector<T> x = random_patterns<T>(n, static_cast<unsigned>(n) + 2);
        std::erase_if(x, [](T v) { return std::isnan(static_cast<float>(v)); });
        float expected = 0;
        for (const T v : x) expected = std::max(expected, std::abs(static_cast<float>(v)));
        EXPECT_EQ(halfway::amax(x), expected) << n;
        EXPECT_FALSE(std::signbit(halfway::amax(x)));
      }
    });
  });
}

TEST(Amax, NanWinsOverInfinity) {
  for_each_target([] {
    for (const float bad : {nan, -nan, std::numeric_limits<float>::signaling_NaN()}) {
      for (std::size_t at = 0; at < 40; ++at) {
        std::vector<float> x(40, -infinity);
        EXPECT_EQ(halfway::amax(x), infinity);
        x[at] = bad;
        EXPECT_TRUE(std::isnan(halfway::amax(x))) << at;
      }
    }
  });
}

TEST(Scale, RefusesBadInputBeforeItWrites) {
  std::vector<half> x(4, half(1.0f));
  std::vector<float> y(4, canary), three(3, canary);
  const std::span<const half> null_x(static_cast<const half*>(nullptr), 4);
  const std::span<float> null_y(static_cast<float*>(nullptr), 4);
  expect_error([&] { unscale(x, three, 1.0f); },
               {"halfway::unscale: y.size() (3) must equal x.size() (4)"});
  expect_error([&] { unscale(null_x, y, 1.0f); },
               {"halfway::unscale: x is null but has 4 elements"});
  expect_error([&] { unscale(x, null_y, 1.0f); },
               {"halfway::unscale: y is null but has 4 elements"});
  expect_error([&] { unscale(null_y, 1.0f); }, {"x is null but has 4 elements"});
  expect_error([&] { unscale(x, y, infinity); }, {"factor (inf) must be finite"});
  expect_error([&] { unscale(x, y, nan); }, {"factor (nan) must be finite"});
  expect_error([&] { halfway::count_non_finite(null_x); },
               {"halfway::count_non_finite: x is null but has 4 elements"});
  expect_error([&] { halfway::amax(null_x); }, {"halfway::amax: x is null but has 4 elements"});
  // Shared in part, and shared by elements of another size.
  expect_error([&] { unscale(std::span(y).first(3), std::span(y).last(3), 1.0f); },
               {"x and y share memory"});
  const std::span<const half> inside(reinterpret_cast<const half*>(y.data()), 4);
  expect_error([&] { unscale(inside, y, 1.0f); }, {"x and y share memory"});
  EXPECT_EQ(y, std::vector<float>(4, canary));
  EXPECT_EQ(three, std::vector<float>(3, canary));
}

}  // namespace
