// SPDX-License-Identifier: Apache-2.0
#include "halfway/training/loss_scaler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::half;
using halfway::loss_scaler;
using halfway::loss_scaler_options;
using halfway::loss_scaler_state;
using halfway::parse_loss_scaler_state;
using halfway::testing::expect_error;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

void step(loss_scaler& scaler, bool overflows) {
  scaler.report(0, overflows ? 1 : 0);
  scaler.update();
}

// ------------------------------ the rule

struct expected {
  float scale;
  std::uint64_t growths, backoffs;
};

// The scale after `overflows`, from the definition: each step is judged by looking back over the
// whole history. Products of two floats are exact in double, so rounding them to float once is the
// float product.
expected from_definition(const loss_scaler_options& o, const std::vector<bool>& overflows) {
  expected e{o.initial_scale, 0, 0};
  std::size_t since_growth = 0;  // first step after the last growth interval was completed
  for (std::size_t i = 0; i < overflows.size(); ++i) {
    double wanted = e.scale;
    if (overflows[i]) {
      std::uint64_t skipped = 0;
      for (std::size_t j = since_growth; j <= i; ++j) skipped += overflows[j] ? 1u : 0u;
      if (skipped >= o.hysteresis)
        wanted = static_cast<double>(e.scale) * static_cast<double>(o.backoff_factor);
    } else {
      std::uint64_t good = 0;
      for (std::size_t j = i + 1; j-- > 0 && !overflows[j];) ++good;
      if (good % o.growth_interval == 0) {
        wanted = static_cast<double>(e.scale) * static_cast<double>(o.growth_factor);
        since_growth = i + 1;
      }
    }
    const double limited =
        std::clamp(wanted, static_cast<double>(o.min_scale), static_cast<double>(o.max_scale));
    const auto scale = static_cast<float>(limited);
    if (scale > e.scale) ++e.growths;
    if (scale < e.scale) ++e.backoffs;
    e.scale = scale;
  }
  return e;
}

constexpr std::size_t longest = 16;

// Every continuation of `history`, each checked after every step; the text of those of 12 steps.
void explore(const loss_scaler& scaler, std::vector<bool>& history) {
  const loss_scaler_options& o = scaler.options();
  const expected e = from_definition(o, history);
  const auto& counts = scaler.statistics();
  const auto skipped = static_cast<std::uint64_t>(std::ranges::count(history, true));
  ASSERT_EQ(scaler.scale(), e.scale);
  ASSERT_TRUE(std::isfinite(scaler.scale()) && scaler.scale() > 0);
  ASSERT_TRUE(std::isfinite(scaler.inverse_scale()) && scaler.inverse_scale() > 0);
  ASSERT_EQ(counts.growths, e.growths);
  ASSERT_EQ(counts.backoffs, e.backoffs);
  ASSERT_EQ(counts.skipped, skipped);
  ASSERT_EQ(counts.steps, history.size() - skipped);
  ASSERT_EQ(counts.non_finite, skipped);
  if (history.size() == 12) {
    ASSERT_EQ(loss_scaler(parse_loss_scaler_state(to_string(scaler.state()))), scaler);
  }
  if (history.size() == longest) return;
  for (const bool overflow : {false, true}) {
    loss_scaler next = scaler;
    step(next, overflow);
    history.push_back(overflow);
    explore(next, history);
    history.pop_back();
  }
}

TEST(LossScaler, EverySequenceOfStepsFollowsTheDefinition) {
  const float tiniest_growth = std::nextafter(1.0f, 2.0f);
  const float tiniest_backoff = std::nextafter(1.0f, 0.0f);
  const std::vector<loss_scaler_options> settings = {
      {.growth_interval = 1},
      {.growth_interval = 2},
      {.growth_interval = 3, .hysteresis = 2},
      {.growth_interval = 5, .hysteresis = 3},
      {.growth_interval = 4, .hysteresis = std::numeric_limits<std::uint64_t>::max()},
      {.growth_interval = std::numeric_limits<std::uint64_t>::max()},
      // factors that leave float's range at the first step
      {.initial_scale = 1.0f,
       .growth_factor = 0x1p126f,
       .backoff_factor = 0x1p-149f,
       .growth_interval = 1,
       .min_scale = 0x1p-126f,
       .max_scale = 0x1p126f},
      {.initial_scale = 0x1p-126f,
       .growth_factor = 1e38f,
       .backoff_factor = 1e-38f,
       .growth_interval = 2,
       .hysteresis = 2,
       .min_scale = 0x1p-126f,
       .max_scale = 0x1p126f},
      {.initial_scale = 0x1p126f,
       .growth_factor = 3.0f,
       .backoff_factor = 0.1f,
       .growth_interval = 2,
       .min_scale = 0x1p-126f,
       .max_scale = 0x1p126f},
      // factors next to one, and not powers of two
      {.growth_factor = tiniest_growth, .backoff_factor = tiniest_backoff, .growth_interval = 1},
      {.initial_scale = 1000.0f,
       .growth_factor = 1.5f,
       .backoff_factor = 0.7f,
       .growth_interval = 2},
      // narrow limits
      {.initial_scale = 4.0f, .growth_interval = 1, .min_scale = 2.0f, .max_scale = 8.0f},
      {.initial_scale = 4.0f,
       .growth_interval = 2,
       .hysteresis = 2,
       .min_scale = 3.0f,
       .max_scale = 5.0f},
      {.initial_scale = 4.0f, .growth_interval = 1, .min_scale = 4.0f, .max_scale = 4.0f},
  };
  for (loss_scaler_options options : settings) {
    options.max_skips_at_floor = 0;
    std::vector<bool> history;
    explore(loss_scaler(options), history);
    ASSERT_FALSE(HasFatalFailure()) << to_string(loss_scaler(options).state());
  }
}

TEST(LossScaler, TheTiniestFactorsStillMoveTheScale) {
  const loss_scaler_options options = {.growth_factor = std::nextafter(1.0f, 2.0f),
                                       .backoff_factor = std::nextafter(1.0f, 0.0f),
                                       .growth_interval = 1};
  for (const float start : {1.5f, 65536.0f, 65535.9f, 1234.5f}) {
    loss_scaler_options o = options;
    o.initial_scale = start;
    loss_scaler up(o), down(o);
    step(up, false);
    step(down, true);
    EXPECT_GT(up.scale(), start);
    EXPECT_LT(down.scale(), start);
  }
}

TEST(LossScaler, HasTheUsualDefaults) {
  const loss_scaler scaler;
  EXPECT_EQ(scaler.scale(), 65536.0f);
  EXPECT_EQ(scaler.options().growth_factor, 2.0f);
  EXPECT_EQ(scaler.options().backoff_factor, 0.5f);
  EXPECT_EQ(scaler.options().growth_interval, 2000u);
  EXPECT_EQ(scaler.options().hysteresis, 1u);
  loss_scaler grown = scaler;
  for (int i = 0; i < 1999; ++i) step(grown, false);
  EXPECT_EQ(grown.scale(), 65536.0f);
  step(grown, false);
  EXPECT_EQ(grown.scale(), 131072.0f);
}

TEST(LossScaler, FixedNeverMovesButStillSkips) {
  loss_scaler scaler = loss_scaler::fixed(1024.0f);
  EXPECT_TRUE(scaler.is_fixed());
  EXPECT_FALSE(loss_scaler().is_fixed());
  for (int i = 0; i < 5000; ++i) step(scaler, i % 7 == 0);
  EXPECT_EQ(scaler.scale(), 1024.0f);
  EXPECT_EQ(scaler.statistics().skipped, 715u);
  EXPECT_EQ(scaler.statistics().growths + scaler.statistics().backoffs, 0u);
}

TEST(LossScaler, FailsWhenSkippingAtTheFloorDoesNotEnd) {
  loss_scaler scaler({.initial_scale = 4.0f, .max_skips_at_floor = 3});
  step(scaler, true);
  step(scaler, true);  // now at the floor
  ASSERT_EQ(scaler.scale(), 1.0f);
  step(scaler, true);
  step(scaler, true);
  step(scaler, false);  // a good step ends the row
  step(scaler, true);
  step(scaler, true);
  EXPECT_EQ(scaler.statistics().skips_at_floor, 2u);
  expect_error([&] { step(scaler, true); },
               {"halfway::loss_scaler::update", "3 steps in a row", "min_scale (1)"});
  EXPECT_EQ(scaler.statistics().skipped, 7u);  // the step was counted
  EXPECT_EQ(scaler.scale(), 1.0f);
  expect_error([&] { step(scaler, true); }, {"4 steps in a row"});
  step(scaler, false);
  EXPECT_EQ(scaler.statistics().skips_at_floor, 0u);
}

// ------------------------------ the workflow

TEST(LossScaler, UnscalesChecksAndSkips) {
  halfway::testing::for_each_target([] {
    loss_scaler scaler({.initial_scale = 8.0f, .growth_interval = 2});
    std::vector<half> scaled(37);
    std::vector<float> gradient(37, -1.0f);
    for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] = half(static_cast<float>(i));
    EXPECT_EQ(scaler.unscale(scaled, gradient), 0u);
    for (std::size_t i = 0; i < scaled.size(); ++i)
      EXPECT_EQ(gradient[i], static_cast<float>(i) / 8.0f);
    EXPECT_TRUE(scaler.should_step());
    scaler.update();

    scaled[36] = half(infinity);
    scaled[5] = half(nan);
    EXPECT_EQ(scaler.unscale(scaled, gradient), 2u);
    EXPECT_FALSE(scaler.should_step());
    scaler.update();
    EXPECT_EQ(scaler.scale(), 4.0f);
    EXPECT_EQ(scaler.statistics().steps, 1u);
    EXPECT_EQ(scaler.statistics().skipped, 1u);
    EXPECT_EQ(scaler.statistics().non_finite, 2u);
  });
}

TEST(LossScaler, UnscalesInPlace) {
  loss_scaler scaler;
  std::vector<float> gradient = {65536.0f, -32768.0f, 0.0f};
  EXPECT_EQ(scaler.unscale(gradient), 0u);
  EXPECT_EQ(gradient, (std::vector<float>{1.0f, -0.5f, 0.0f}));
}

TEST(LossScaler, SeveralTensorsMakeAGroup) {
  loss_scaler scaler = loss_scaler::fixed(2.0f);
  std::vector<half> w16(5, half(4.0f));
  std::vector<halfway::bfloat16> b16(3, halfway::bfloat16(infinity));
  std::vector<float> w(5), b(3), in_place(2, 6.0f);
  const auto unscale = scaler.begin_unscale(3);
  EXPECT_EQ(unscale(w16, w), 0u);
  EXPECT_EQ(unscale(in_place), 0u);
  EXPECT_TRUE(scaler.should_step(3));
  EXPECT_EQ(unscale(b16, b), 3u);
  EXPECT_FALSE(scaler.should_step(3));
  EXPECT_EQ(w, std::vector<float>(5, 2.0f));
  EXPECT_EQ(in_place, std::vector<float>(2, 3.0f));
  scaler.update();
  expect_error([&] { unscale(w16, w); },
               {"group 3", "begin_unscale() came before the last update()"});
}

TEST(LossScaler, MicroBatchesAccumulate) {
  loss_scaler scaler = loss_scaler::fixed(4.0f);
  const std::vector<half> first = {half(4.0f), half(8.0f)}, second = {half(-2.0f), half(infinity)};
  std::vector<float> sum(2);
  const auto unscale = scaler.begin_unscale(2);
  EXPECT_EQ(unscale.accumulate(first, sum), 0u);
  EXPECT_TRUE(scaler.should_step(2));
  EXPECT_EQ(unscale.accumulate(second, sum), 1u);
  EXPECT_EQ(sum, (std::vector<float>{0.5f, infinity}));
  EXPECT_FALSE(scaler.should_step(2));
  EXPECT_EQ(unscale.accumulate(first, sum), 1u);  // an overflow does not go away
  scaler.update();
  expect_error([&] { unscale.accumulate(first, sum); },
               {"group 2", "begin_unscale() came before the last update()"});
  EXPECT_EQ(sum[0], 1.5f);
}

// bfloat16 has the range of float: the same program, with nothing to scale.
TEST(LossScaler, OneLeavesBfloat16AsItIs) {
  loss_scaler scaler = loss_scaler::fixed(1.0f);
  const std::vector<halfway::bfloat16> gradient = {halfway::bfloat16(1e-30f),
                                                   halfway::bfloat16(-3e38f)};
  std::vector<float> unscaled(2);
  EXPECT_EQ(scaler.unscale(gradient, unscaled), 0u);
  EXPECT_TRUE(scaler.should_step());
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(unscaled[i], static_cast<float>(gradient[i]));
  scaler.update();
  EXPECT_EQ(scaler.scale(), 1.0f);
}

TEST(LossScaler, OptimizersShareAScaler) {
  loss_scaler scaler({.initial_scale = 16.0f});
  std::vector<float> good = {1.0f}, bad = {nan};
  scaler.unscale(good, 0);
  scaler.unscale(bad, 1);
  scaler.report(63, 0);
  EXPECT_TRUE(scaler.should_step(0));
  EXPECT_FALSE(scaler.should_step(1));
  EXPECT_TRUE(scaler.should_step(63));
  scaler.update();
  EXPECT_EQ(scaler.scale(), 8.0f);  // one group is enough
  EXPECT_EQ(scaler.statistics().skipped, 1u);
}

TEST(LossScaler, ReportsFromElsewhereCount) {
  loss_scaler scaler;
  std::vector<float> gradient = {1.0f};
  scaler.unscale(gradient);
  EXPECT_TRUE(scaler.should_step());
  scaler.report(0, 5);  // another rank
  scaler.report(0, 0);
  EXPECT_FALSE(scaler.should_step());
  EXPECT_EQ(scaler.statistics().non_finite, 5u);
}

TEST(LossScaler, RefusesStepsOutOfOrder) {
  loss_scaler scaler;
  std::vector<float> gradient = {1.0f}, other = {1.0f, 2.0f};
  expect_error([&] { scaler.update(); }, {"update: no group has been unscaled"});
  expect_error([&] { static_cast<void>(scaler.should_step(2)); },
               {"group 2 has not been unscaled"});
  scaler.unscale(gradient, 7);
  const loss_scaler before = scaler;
  const std::vector<float> gradient_before = gradient;
  expect_error([&] { scaler.unscale(gradient, 7); }, {"group 7 has already been unscaled"});
  expect_error([&] { scaler.unscale(gradient, other, 7); }, {"group 7 has already been unscaled"});
  expect_error([&] { static_cast<void>(scaler.begin_unscale(7)); },
               {"group 7 has already been unscaled"});
  expect_error([&] { scaler.unscale(gradient, 64); }, {"group 64 must be below max_groups (64)"});
  expect_error([&] { scaler.report(64, 0); }, {"group 64"});
  expect_error([&] { static_cast<void>(scaler.should_step(64)); }, {"group 64"});
  expect_error([&] { scaler.unscale(gradient, other, 8); },
               {"halfway::unscale: y.size() (2)", "x.size() (1)"});
  EXPECT_EQ(gradient, gradient_before);
  EXPECT_EQ(scaler, before);  // refused calls leave no trace
  scaler.update();
  scaler.unscale(gradient, 7);
}

// ------------------------------ options and state

TEST(LossScaler, RefusesBadOptionsByNameAndValue) {
  const auto refuses = [](loss_scaler_options o, std::string_view text) {
    expect_error([&] { loss_scaler scaler(o); }, {"halfway::loss_scaler: ", text});
  };
  refuses({.growth_factor = 1.0f}, "growth_factor (1) must be above 1");
  refuses({.growth_factor = nan}, "growth_factor (nan)");
  refuses({.growth_factor = infinity}, "growth_factor (inf)");
  refuses({.backoff_factor = 1.0f}, "backoff_factor (1) must be above 0 and below 1");
  refuses({.backoff_factor = 0.0f}, "backoff_factor (0)");
  refuses({.backoff_factor = -0.5f}, "backoff_factor (-0.5)");
  refuses({.backoff_factor = nan}, "backoff_factor (nan)");
  refuses({.growth_interval = 0}, "growth_interval (0)");
  refuses({.hysteresis = 0}, "hysteresis (0)");
  refuses({.initial_scale = 0.5f},
          "initial_scale (0.5) must be within [min_scale, max_scale] = [1, 16777216]");
  refuses({.initial_scale = 33554432.0f}, "initial_scale (33554432)");
  refuses({.initial_scale = nan}, "initial_scale (nan)");
  refuses({.min_scale = 0.0f}, "min_scale (0) must be at least 2^-126");
  refuses({.min_scale = -1.0f}, "min_scale (-1)");
  refuses({.min_scale = std::numeric_limits<float>::denorm_min()}, "min_scale (1e-45)");
  refuses({.min_scale = nan}, "min_scale (nan)");
  refuses({.max_scale = infinity}, "max_scale (inf) must be at most 2^126");
  refuses({.max_scale = nan}, "max_scale (nan)");
  refuses({.min_scale = 8.0f, .max_scale = 4.0f}, "min_scale (8) must be at most max_scale (4)");
  for (const float scale : {0.0f, -1.0f, infinity, nan, 0x1p127f, 0x1p-127f}) {
    expect_error([&] { loss_scaler::fixed(scale); }, {"halfway::loss_scaler::fixed: scale ("});
  }
}

static_assert(std::is_trivially_copyable_v<loss_scaler_state>);
static_assert(std::is_nothrow_copy_constructible_v<loss_scaler> &&
              std::is_nothrow_copy_assignable_v<loss_scaler>);

TEST(LossScaler, ContinuesFromASavedStateExactly) {
  loss_scaler original({.initial_scale = 1000.1f,
                        .growth_factor = 1.7f,
                        .backoff_factor = 0.3f,
                        .growth_interval = 3,
                        .hysteresis = 2});
  for (int i = 0; i < 50; ++i) {
    // In the middle of a step too: one group has been unscaled, one was found non-finite.
    original.report(1, 0);
    if (i % 5 == 0) original.report(9, 2);
    const std::string text = to_string(original.state());
    loss_scaler restored(parse_loss_scaler_state(text));
    ASSERT_EQ(restored, original) << text;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(restored.scale()),
              std::bit_cast<std::uint32_t>(original.scale()));
    expect_error([&] { restored.begin_unscale(1)(std::vector<float>{}, std::vector<float>{}); },
                 {"group 1 has already"});
    original.update();
    restored.update();
    ASSERT_EQ(restored, original) << text;
  }
  std::ostringstream out;
  out << original.state();
  EXPECT_EQ(out.str(), to_string(original.state()));
}

TEST(LossScaler, EveryScaleSurvivesTheText) {
  loss_scaler_state state = loss_scaler({.min_scale = 0x1p-126f, .max_scale = 0x1p126f}).state();
  // Floats from 2^-126 to 2^126, a prime number of patterns apart.
  for (std::uint32_t bits = 0x00800000u; bits <= 0x7E800000u; bits += 1299709u) {
    state.scale = std::bit_cast<float>(bits);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(parse_loss_scaler_state(to_string(state)).scale), bits);
  }
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(ParseLossScalerState, RefusesBadText) {
  const std::string good = to_string(loss_scaler().state());
  const auto refuses = [&](std::string_view from, std::string_view to,
                           std::initializer_list<std::string_view> parts) {
    expect_error([&] { parse_loss_scaler_state(replaced(good, from, to)); }, parts);
  };
  EXPECT_EQ(parse_loss_scaler_state(good), loss_scaler().state());
  expect_error([] { parse_loss_scaler_state(""); },
               {"halfway::parse_loss_scaler_state", "not of the form key=value"});
  expect_error([] { parse_loss_scaler_state("scale=65536"); }, {"\"good_steps\" is missing"});
  refuses("scale=65536", "scale=65536x", {"scale=65536x", "is not a number in the range of float"});
  refuses("scale=65536", "scale=1e99", {"scale=1e99", "is not a number in the range of float"});
  refuses("good_steps=0", "good_steps=-1", {"good_steps=-1", "is not a whole number below 2^64"});
  refuses("good_steps=0", "good_steps=18446744073709551616", {"good_steps=18446744073709551616"});
  refuses("good_steps=0", "good_stepz=0", {"\"good_steps\" is missing"});
  refuses("good_steps=0", "good_steps=0,good_stepz=0",
          {"unknown key \"good_stepz\"", "\"good_steps\""});
  refuses("good_steps=0", "good_steps=0,good_steps=1", {"\"good_steps\" stands twice"});
  // text of the right form, for a state that no scaler can be in
  refuses("scale=65536", "scale=0.5",
          {"scale (0.5) in the state must be within [min_scale, max_scale]"});
  refuses("scale=65536", "scale=nan", {"scale (nan) in the state"});
  refuses("scale=65536", "scale=inf", {"scale (inf) in the state"});
  refuses("good_steps=0", "good_steps=2000",
          {"good_steps (2000) in the state must be below growth_interval (2000)"});
  refuses("hysteresis_left=1", "hysteresis_left=2",
          {"hysteresis_left (2)", "at most hysteresis (1)"});
  refuses("non_finite_groups=0", "non_finite_groups=2", {"non_finite_groups (2)"});
  refuses("growth_factor=2", "growth_factor=1", {"growth_factor (1)"});
}

}  // namespace
