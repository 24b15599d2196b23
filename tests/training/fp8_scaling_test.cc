// SPDX-License-Identifier: Apache-2.0
// Scales of fp8 tensors against their formulas, and the cast that goes with them.
#include "halfway/training/fp8_scaling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "halfway/ops/scale.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/cast.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::bfloat16;
using halfway::current_scale;
using halfway::delayed_scaling;
using halfway::delayed_scaling_state;
using halfway::float8_e4m3fn;
using halfway::float8_e5m2;
using halfway::fp8_scaling_options;
using halfway::half;
using halfway::parse_delayed_scaling_state;
using halfway::scale_and_cast;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// ------------------------------ the formulas

TEST(CurrentScale, MapsAmaxToTheLargestValue) {
  EXPECT_EQ(current_scale(448.0f), 1.0f);
  EXPECT_EQ(current_scale(1.0f), 448.0f);
  EXPECT_EQ(current_scale(3.0f), static_cast<float>(448.0 / 3.0));
  EXPECT_EQ(current_scale(3.0f, {.margin = 2}), static_cast<float>(448.0 / 3.0 / 4));
  EXPECT_EQ(current_scale(3.0f, {.largest = 57344.0f}), static_cast<float>(57344.0 / 3.0));
  EXPECT_EQ(fp8_scaling_options().largest, 448.0f);
}

TEST(CurrentScale, PowersOfTwoNeverExceedTheRatio) {
  const fp8_scaling_options o = {.power_of_two = true};
  // Floats from 2^-100 to 2^100, a prime number of patterns apart, and each power's neighbours.
  const auto check = [&](float amax) {
    const float scale = current_scale(amax, o);
    int exponent = 0;
    ASSERT_EQ(std::frexp(scale, &exponent), 0.5f) << amax;  // a power of two
    // Exact in double: 24 bits each.
    ASSERT_LE(static_cast<double>(scale) * static_cast<double>(amax), 448.0) << amax;
    ASSERT_GT(static_cast<double>(scale) * static_cast<double>(amax) * 2, 448.0) << amax;
  };
  for (std::uint32_t bits = 27u << 23; bits <= 227u << 23; bits += 1299709u) {
    check(std::bit_cast<float>(bits));
  }
  for (int e = -100; e <= 100; ++e) {
    const float at = std::ldexp(448.0f, e);
    check(at);
    check(std::nextafter(at, 0.0f));
    check(std::nextafter(at, infinity));
  }
}

TEST(CurrentScale, KeepsThePreviousOneForZeroAndNonFinite) {
  for (const float amax : {0.0f, -0.0f, infinity, nan}) {
    EXPECT_EQ(current_scale(amax, {}, 12.5f), 12.5f);
  }
}

TEST(CurrentScale, StaysANormalFloatWithANormalInverse) {
  for (const bool power_of_two : {false, true}) {
    for (const std::int32_t margin : {-64, 0, 64}) {
      for (const float amax : {std::numeric_limits<float>::denorm_min(), 0x1p-126f, 1.0f,
                               std::numeric_limits<float>::max()}) {
        const float s = current_scale(amax, {.margin = margin, .power_of_two = power_of_two});
        EXPECT_TRUE(s >= 0x1p-126f && s <= 0x1p126f) << amax << ' ' << margin;
      }
    }
  }
}

TEST(CurrentScale, RefusesBadInputByNameAndValue) {
  expect_error([] { current_scale(-1.0f); },
               {"halfway::current_scale: amax (-1) must not be negative"});
  expect_error([] { current_scale(1.0f, {}, 0.0f); }, {"previous (0) must be within"});
  expect_error([] { current_scale(1.0f, {}, nan); }, {"previous (nan)"});
  expect_error([] { current_scale(1.0f, {.largest = 0.5f}); },
               {"halfway::fp8_scaling_options: largest (0.5) must be at least 1"});
  expect_error([] { current_scale(1.0f, {.largest = infinity}); }, {"largest (inf)"});
  expect_error([] { current_scale(1.0f, {.margin = 65}); }, {"margin (65)"});
  expect_error([] { delayed_scaling bad({.history_length = 0}); }, {"history_length (0)"});
}

// ------------------------------ delayed

// Every amax in turn, against a history that is looked through from its definition.
TEST(DelayedScaling, FollowsTheHistory) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> kind(0, 9);
  std::uniform_real_distribution<float> exponent(-20.0f, 20.0f);
  for (const bool most_recent : {false, true}) {
    for (const bool power_of_two : {false, true}) {
      for (const std::uint32_t length : {1u, 2u, 7u, 1024u}) {
        const fp8_scaling_options o = {.margin = 1,
                                       .power_of_two = power_of_two,
                                       .history_length = length,
                                       .most_recent = most_recent};
        delayed_scaling scaling(o);
        std::vector<float> finite;
        float expected = 1.0f;
        for (int step = 0; step < 200; ++step) {
          const int k = kind(random);
          const float amax = k == 0   ? 0.0f
                             : k == 1 ? infinity
                             : k == 2 ? nan
                                      : std::exp2(exponent(random));
          scaling.update(amax);
          if (std::isfinite(amax)) {
            finite.push_back(amax);
            const std::size_t from = finite.size() > length ? finite.size() - length : 0;
            float decisive = finite.back();
            for (std::size_t i = from; i < finite.size() && !most_recent; ++i) {
              decisive = std::max(decisive, finite[i]);
            }
            if (decisive > 0) {
              const double ratio = 448.0 / static_cast<double>(decisive);
              expected = static_cast<float>(
                  (power_of_two ? std::exp2(std::floor(std::log2(ratio))) : ratio) / 2);
            }
          }
          ASSERT_EQ(scaling.scale(), expected) << step;
        }
        EXPECT_EQ(scaling.state().history.size(), std::min<std::size_t>(length, finite.size()));
        EXPECT_EQ(scaling.state().non_finite, 200 - finite.size());
      }
    }
  }
}

TEST(DelayedScaling, OneInfiniteStepDoesNotHoldTheScale) {
  delayed_scaling scaling;
  scaling.update(infinity);
  EXPECT_EQ(scaling.scale(), 1.0f);
  scaling.update(2.0f);
  EXPECT_EQ(scaling.scale(), 224.0f);
  expect_error([&] { scaling.update(-2.0f); },
               {"halfway::delayed_scaling::update: amax (-2) must not be negative"});
  EXPECT_EQ(scaling.scale(), 224.0f);
}

TEST(DelayedScaling, ContinuesFromItsText) {
  delayed_scaling original({.largest = 57344.0f, .margin = -3, .history_length = 3});
  for (const float amax : {0.0f, 0.1f, nan, 3e-5f, 123456.7f, 1e-40f, 0.0f}) {
    delayed_scaling restored(parse_delayed_scaling_state(to_string(original.state())));
    ASSERT_EQ(restored, original) << original.state();
    original.update(amax);
    restored.update(amax);
    ASSERT_EQ(restored, original);
  }
  std::ostringstream out;
  out << original.state();
  EXPECT_EQ(out.str(), to_string(original.state()));
  EXPECT_EQ(to_string(delayed_scaling().state()),
            "scale=1,largest=448,margin=0,power_of_two=false,history_length=1024,"
            "most_recent=false,non_finite=0,history=none");
}

TEST(DelayedScaling, RefusesBadText) {
  const std::string good = to_string(delayed_scaling().state());
  const auto refuses = [&](std::string_view from, std::string_view to, std::string_view text) {
    std::string bad = good;
    const std::size_t at = bad.find(from);
    ASSERT_NE(at, std::string::npos);
    expect_error([&] { parse_delayed_scaling_state(bad.replace(at, from.size(), to)); }, {text});
  };
  refuses("scale=1", "scale=0", "scale (0) in the state must be within");
  refuses("scale=1", "scale=nan", "scale (nan)");
  refuses("scale=1,", "", "\"scale\" is missing");
  refuses("margin=0", "margin=1.5", "margin=1.5");
  refuses("false", "no", "power_of_two=no");
  refuses("history=none", "history=1 x", "history=1 x");
  refuses("history=none", "history=1 -2", "history in the state has -2");
  refuses("history=none", "history=inf", "history in the state has inf");
  refuses("history=none", "hystory=none", "\"history\" is missing");
  refuses("history=none", "history=none,extra=1", "unknown key \"extra\"");
  refuses("history_length=1024", "history_length=0", "history_length (0)");
  std::string crowded = good;
  crowded.replace(crowded.find("history_length=1024"), 19, "history_length=1");
  crowded.replace(crowded.find("none"), 4, "1 2");
  expect_error([&] { parse_delayed_scaling_state(crowded); },
               {"history.size() (2) in the state must be at most history_length (1)"});
}

// ------------------------------ the cast

template <class X, class Y>
void check_cast(float scale) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (const std::size_t n : {0u, 1u, 15u, 16u, 63u, 64u, 65u, 257u}) {
    std::vector<X> x(n);
    for (X& v : x) v = X(normal(random));
    if (n > 20) x[20] = X(-50.0f);
    std::vector<Y> y(n + 1, Y(1.0f));
    EXPECT_EQ(scale_and_cast(x, std::span(y).first(n), scale), halfway::amax(x));
    for (std::size_t i = 0; i < n; ++i) {
      const Y expected = halfway::saturate_cast<Y>(static_cast<float>(x[i]) * scale);
      ASSERT_EQ(std::bit_cast<std::uint8_t>(y[i]), std::bit_cast<std::uint8_t>(expected)) << i;
    }
    EXPECT_EQ(static_cast<float>(y[n]), 1.0f);
  }
}

TEST(ScaleAndCast, IsAProductAndASaturatingCast) {
  for_each_target([] {
    check_cast<float, float8_e4m3fn>(100.0f);
    check_cast<bfloat16, float8_e4m3fn>(0x1p7f);
    check_cast<half, float8_e5m2>(3000.0f);
  });
}

TEST(ScaleAndCast, SaturatesAndTellsOfNan) {
  for_each_target([] {
    std::vector<float> x(40, 1.0f);
    std::vector<float8_e4m3fn> y(40);
    x[7] = -infinity;
    EXPECT_EQ(scale_and_cast(x, y, 2.0f), infinity);
    EXPECT_EQ(static_cast<float>(y[7]), -448.0f);
    x[39] = nan;
    EXPECT_TRUE(std::isnan(scale_and_cast(x, y, 2.0f)));
    EXPECT_TRUE(std::isnan(static_cast<float>(y[39])));
    EXPECT_EQ(static_cast<float>(y[38]), 2.0f);
  });
}

TEST(ScaleAndCast, RefusesBadInputBeforeItWrites) {
  std::vector<float> x(3);
  std::vector<float8_e4m3fn> y(2), z(3, float8_e4m3fn(1.0f));
  const auto before = z;
  expect_error([&] { scale_and_cast(x, y, 1.0f); },
               {"halfway::scale_and_cast: y.size() (2) must equal x.size() (3)"});
  for (const float scale : {0.0f, -1.0f, infinity, nan}) {
    expect_error([&] { scale_and_cast(x, z, scale); }, {"scale (", "must be positive and finite"});
  }
  expect_error([&] { scale_and_cast(z, z, 1.0f); }, {"x and y share memory"});
  EXPECT_EQ(z, before);
}

// The next step's scale comes from this one's amax: what was saturated is in range again.
TEST(DelayedScaling, FollowsAGrowingTensor) {
  delayed_scaling scaling;
  std::vector<float8_e4m3fn> y(1);
  for (float x = 1.0f; x < 1e6f; x *= 10) {
    scaling.update(scale_and_cast(std::vector<float>{x}, y, scaling.scale()));
    scale_and_cast(std::vector<float>{x}, y, scaling.scale());
    // The scale, its inverse and a product are rounded to float; 448 is reached to within a
    // rounding of e4m3, which is exact there.
    EXPECT_NEAR(static_cast<double>(static_cast<float>(y[0]) * scaling.inverse_scale()),
                static_cast<double>(x), static_cast<double>(x) * 4 * 0x1p-24);
  }
}

}  // namespace
