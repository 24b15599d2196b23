// SPDX-License-Identifier: Apache-2.0
// Dropout by numbered random words.
#include "halfway/ops/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "halfway/types/philox.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::bfloat16;
using halfway::dropout_options;
using halfway::half;
using halfway::random_word;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;
using halfway::testing::normal_values;

template <class T>
class Dropout : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16>;
TYPED_TEST_SUITE(Dropout, Types);

TYPED_TEST(Dropout, FollowsTheNumberedWords) {
  using T = TypeParam;
  for_each_target([] {
    for (const std::size_t n : {1u, 3u, 16u, 31u, 511u, 513u, 1500u}) {
      for (const float p : {0.0f, 0.1f, 0.5f, 0.9f}) {
        const dropout_options options{.probability = p, .seed = 42, .first = 1001};
        const auto x = normal_values<T>(n + 1, 1.0, 1.0, 1);
        std::vector<T> y(n + 2, T(7.0f)), dx(n);
        halfway::dropout(std::span(x).subspan(1), std::span(y).subspan(1, n), options);
        halfway::dropout_backward(std::span(x).subspan(1), dx, options);
        const auto threshold = static_cast<std::uint64_t>(static_cast<double>(p) * 0x1p32 + 0.5);
        const auto scale =
            static_cast<float>(1.0 / (1.0 - static_cast<double>(threshold) * 0x1p-32));
        for (std::size_t i = 0; i < n; ++i) {
          const bool stays = random_word(42, 1001 + i) >= threshold;
          const T expected = stays ? T(static_cast<float>(x[i + 1]) * scale) : T(0.0f);
          ASSERT_EQ(static_cast<float>(y[i + 1]), static_cast<float>(expected)) << i;
          ASSERT_EQ(static_cast<float>(dx[i]), static_cast<float>(expected)) << i;
        }
        EXPECT_EQ(static_cast<float>(y[0]), 7.0f);
        EXPECT_EQ(static_cast<float>(y[n + 1]), 7.0f);
      }
    }
  });
}

TEST(DropoutOf, KeepsTheShareThatItSays) {
  const std::size_t n = 1 << 20;
  std::vector<float> x(n, 1.0f), y(n);
  for (const float p : {0.1f, 0.25f, 0.5f, 0.75f}) {
    halfway::dropout(x, y, {.probability = p, .seed = 3});
    double kept = 0, sum = 0;
    for (const float v : y) {
      kept += v != 0.0f;
      sum += v;
    }
    // Five standard deviations of a binomial distribution: exceeded by chance once in 10^6 seeds.
    const double deviation = std::sqrt(n * static_cast<double>(p) * (1 - p));
    EXPECT_NEAR(kept, n * (1.0 - p), 5 * deviation) << p;
    EXPECT_NEAR(sum, static_cast<double>(n), 5 * deviation / (1 - p)) << p;
  }
}

TEST(DropoutOf, DoesNotDependOnHowItIsCut) {
  const std::size_t n = 100'000;
  const auto x = normal_values<half>(n, 0.0, 1.0, 2);
  std::vector<half> y(n), parts(n);
  const dropout_options options{.probability = 0.3f, .seed = 9, .first = 5};
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::dropout(x, y, options, on);
    return std::as_bytes(std::span<const half>(y));
  });
  const std::size_t cut = 12'347;
  halfway::dropout(std::span(x).first(cut), std::span(parts).first(cut), options);
  halfway::dropout(std::span(x).subspan(cut), std::span(parts).subspan(cut),
                   {.probability = 0.3f, .seed = 9, .first = 5 + cut});
  for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(parts[i].bits(), y[i].bits()) << i;
}

TEST(DropoutOf, LeavesNothingOfWhatIsLeftOut) {
  for_each_target([] {
    std::vector<float> x(64);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = i % 2 == 0 ? std::numeric_limits<float>::quiet_NaN()
                        : std::numeric_limits<float>::infinity();
    }
    halfway::dropout(x, x, {.probability = 0.5f, .seed = 1});
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (random_word(1, i) < 0x80000000u) {
        EXPECT_EQ(x[i], 0.0f);
        EXPECT_FALSE(std::signbit(x[i]));
      } else {
        EXPECT_TRUE(i % 2 == 0 ? std::isnan(x[i]) : std::isinf(x[i]));
      }
    }
  });
}

TEST(DropoutOf, NamesBadArguments) {
  std::vector<float> x(4, 1.0f), y(4, 3.0f), shorter(3);
  for (const float p : {1.0f, -0.1f, std::numeric_limits<float>::quiet_NaN()}) {
    expect_error([&] { halfway::dropout(x, y, {.probability = p}); },
                 {"halfway::dropout", "probability (", "below 1"});
  }
  expect_error([&] { halfway::dropout_backward(x, shorter, {}); },
               {"halfway::dropout_backward", "y.size() (3)", "x.size() (4)"});
  EXPECT_EQ(y[0], 3.0f);
}

}  // namespace
