// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/adaptive.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::adaptive_layer;
using halfway::adaptive_options;
using halfway::adaptive_precision;
using halfway::dtype;
using halfway::layer_evidence;
using halfway::precision_switch;
using halfway::switch_reason;
using halfway::testing::expect_error;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

adaptive_options eight_to_32(std::size_t quiet_calls) {
  adaptive_options o;
  o.ladder = {dtype::float8_e4m3fn, dtype::float16, dtype::bfloat16, dtype::float32};
  o.quiet_calls = quiet_calls;
  return o;
}

// The type after `e`, from the type at `rung`.
std::optional<precision_switch> after(const layer_evidence& e) {
  adaptive_layer layer(eight_to_32(1));
  return layer.observe(e);
}

TEST(AdaptiveLayer, MovesUpAtOnceToWhatMayHelp) {
  EXPECT_FALSE(after({.amax = 224}));  // half of 448
  const auto range = after({.amax = 225});
  ASSERT_TRUE(range);
  EXPECT_EQ(range->from, dtype::float8_e4m3fn);
  EXPECT_EQ(range->to, dtype::float16);
  EXPECT_EQ(range->reason, switch_reason::range);
  EXPECT_EQ(range->value, 225);
  EXPECT_EQ(range->limit, 224);
  EXPECT_EQ(range->call, 1u);
  EXPECT_EQ(after({.amax = 32753})->to, dtype::bfloat16);  // past half of float16's range
  EXPECT_EQ(after({.amax = infinity})->to, dtype::float16);
  EXPECT_EQ(after({.amax = nan})->reason, switch_reason::non_finite);
  EXPECT_FALSE(after({.underflow_share = 0.05}));
  const auto underflow = after({.underflow_share = 0.06});
  EXPECT_EQ(underflow->to, dtype::float16);
  EXPECT_EQ(underflow->reason, switch_reason::underflow);
  EXPECT_FALSE(after({.sqnr_db = 20}));
  EXPECT_EQ(after({.sqnr_db = 19})->reason, switch_reason::fidelity);
  EXPECT_EQ(after({.sqnr_db = static_cast<double>(nan)})->reason, switch_reason::fidelity);
}

TEST(AdaptiveLayer, TakesMoreDigitsWhereFidelityIsLow) {
  adaptive_layer layer(eight_to_32(1));
  EXPECT_EQ(layer.observe({.sqnr_db = 10})->to, dtype::float16);
  EXPECT_EQ(layer.observe({.sqnr_db = 10})->to, dtype::float32);  // bfloat16 has fewer digits
  EXPECT_FALSE(layer.observe({.sqnr_db = 10}));
  EXPECT_EQ(layer.helpless(), 1u);
}

TEST(AdaptiveLayer, ComesDownAfterQuietCallsWithRoomToSpare) {
  adaptive_layer layer(eight_to_32(3));
  layer.observe({.amax = 1000});
  ASSERT_EQ(layer.type(), dtype::float16);
  EXPECT_EQ(layer.type_below(), dtype::float8_e4m3fn);
  // 113 is within float8's limit of 224, but not with a factor of 2 to spare.
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(layer.observe({.amax = 113}));
  EXPECT_EQ(layer.quiet(), 0u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(layer.observe({.amax = 1, .underflow_share_below = 0.03}));
  }
  EXPECT_FALSE(layer.observe({.amax = 112}));
  EXPECT_FALSE(layer.observe({.amax = 112}));
  EXPECT_FALSE(layer.observe({.amax = 113}));  // begins anew
  EXPECT_FALSE(layer.observe({.amax = 112}));
  EXPECT_FALSE(layer.observe({.amax = 112}));
  const auto down = layer.observe({.amax = 112});
  ASSERT_TRUE(down);
  EXPECT_EQ(down->to, dtype::float8_e4m3fn);
  EXPECT_EQ(down->reason, switch_reason::quiet);
  EXPECT_EQ(down->value, 3);
  EXPECT_EQ(down->limit, 3);
}

TEST(AdaptiveLayer, TakesIntegersForScaled) {
  adaptive_options o;
  o.ladder = {dtype::int8, dtype::float32};
  adaptive_layer layer(o);
  EXPECT_FALSE(layer.observe({.amax = 1e6f}));
  EXPECT_TRUE(layer.observe({.sqnr_db = 5}));
}

// How often a layer of `rungs` types may switch in n calls: the k-th return to a type takes
// quiet * growth^(k - 1) calls; each failure but the first of each type follows a return.
std::size_t most_switches(std::size_t rungs, std::size_t n, const adaptive_options& o) {
  std::size_t returns = 0;
  double calls = 0, needed = static_cast<double>(o.quiet_calls);
  while (calls + needed <= static_cast<double>(n)) {
    calls += needed;
    needed *= o.quiet_growth;
    ++returns;
  }
  return (rungs - 1) * (2 * returns + 1);
}

TEST(AdaptiveLayer, DoesNotOscillateWhereTheStreamDoes) {
  // Bursts every `period` calls, which a layer without memory would follow for ever.
  for (const std::size_t period : {2u, 5u, 17u, 100u, 1000u}) {
    adaptive_options o = eight_to_32(4);
    adaptive_layer layer(o);
    constexpr std::size_t n = 100000;
    std::size_t switches = 0, first_half = 0;
    for (std::size_t i = 0; i < n; ++i) {
      switches += layer.observe({.amax = i % period == 0 ? 300.0f : 1.0f}).has_value();
      if (i == n / 2) first_half = switches;
    }
    EXPECT_LE(switches, most_switches(2, n, o)) << period;
    EXPECT_LE(switches - first_half, 2u) << period;  // at most one return is left to double for
    EXPECT_GE(switches, 1u);
  }
  // The same with a growth of 1, to see that it is the growth which calms: a layer then follows.
  adaptive_options o = eight_to_32(4);
  o.quiet_growth = 1;
  adaptive_layer layer(o);
  std::size_t switches = 0;
  for (std::size_t i = 0; i < 10000; ++i) {
    switches += layer.observe({.amax = i % 17 == 0 ? 300.0f : 1.0f}).has_value();
  }
  EXPECT_GT(switches, 1000u);
}

// What a layer may see, and what each type of eight_to_32 makes of it: written down by hand, not by
// the code under test.
struct event {
  layer_evidence evidence;
  std::array<bool, 4> faulty;  // as the type in use
  std::array<bool, 4> unfit;   // as the next cheaper type
};
const std::array<event, 7> events = {{
    {{.amax = 1}, {}, {}},
    {{.amax = 200}, {}, {true, false, false, false}},  // no room to spare in float8
    {{.amax = 1000}, {true, false, false, false}, {true, false, false, false}},
    {{.amax = 50000}, {true, true, false, false}, {true, true, false, false}},
    {{.amax = nan}, {true, true, true, true}, {true, true, true, true}},
    {{.amax = 1, .underflow_share_below = 0.9}, {}, {true, true, true, true}},
    {{.amax = 1, .sqnr_db = 1}, {true, true, true, true}, {}},
}};

std::size_t rung_of(const adaptive_options& o, dtype type) {
  std::size_t i = 0;
  while (o.ladder[i] != type) ++i;
  return i;
}

// Walks every stream of `length` events, and holds each step to the rules.
class model_check {
 public:
  explicit model_check(std::size_t quiet_calls) : options_(eight_to_32(quiet_calls)) {}

  std::size_t walk(std::size_t length) {
    step(adaptive_layer(options_), {}, 0, length);
    return streams_;
  }

 private:
  struct history {
    std::size_t quiet = 0;                 // calls in a row
    std::array<std::size_t, 4> returns{};  // to each rung
    std::array<std::size_t, 4> relapses{};
    std::array<std::size_t, 4> failures{};
    std::size_t switches = 0;
  };

  void step(const adaptive_layer& before, const history& h, std::size_t done, std::size_t length) {
    if (done == length) {
      ++streams_;
      ASSERT_LE(h.switches, most_switches(4, length, options_));
      return;
    }
    for (const event& e : events) {
      adaptive_layer layer = before;
      history next = h;
      const std::size_t from = rung_of(options_, layer.type());
      const auto s = layer.observe(e.evidence);
      const std::size_t to = rung_of(options_, layer.type());
      ASSERT_EQ(s.has_value(), from != to);
      if (s) {
        ASSERT_EQ(s->from, options_.ladder[from]);
        ASSERT_EQ(s->to, options_.ladder[to]);
        ASSERT_EQ(s->call, done + 1);
        ++next.switches;
      }
      if (e.faulty[from]) {
        if (from != 3) {
          ASSERT_GT(to, from) << "a fault moves up at once";
          ASSERT_NE(s->reason, switch_reason::quiet);
          ASSERT_FALSE(s->reason == switch_reason::range && e.faulty[to]) << "and far enough";
        } else {
          ASSERT_EQ(to, 3u);
        }
        next.quiet = 0;
        if (next.returns[from] != 0) ++next.relapses[from];
        ++next.failures[from];
      } else {
        ASSERT_LE(to, from) << "nothing else moves up";
        ASSERT_GE(to + 1, from) << "down one type at a time";
        next.quiet = from != 0 && e.unfit[from - 1] ? 0 : next.quiet + 1;
        if (from != 0) {
          const double needed = std::ldexp(static_cast<double>(options_.quiet_calls),
                                           static_cast<int>(next.relapses[from - 1]));
          ASSERT_EQ(to < from, static_cast<double>(next.quiet) >= needed);
        }
        if (to < from) {
          ASSERT_EQ(s->reason, switch_reason::quiet);
          ++next.returns[to];
        }
        if (to != from) next.quiet = 0;
      }
      step(layer, next, done + 1, length);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }

  adaptive_options options_;
  std::size_t streams_ = 0;
};

TEST(AdaptiveLayer, KeepsItsRulesOnEveryShortStream) {
  EXPECT_EQ(model_check(1).walk(7), 823543u);
  EXPECT_EQ(model_check(2).walk(6), 117649u);
}

TEST(AdaptiveLayer, KeepsItsBoundOnLongRandomStreams) {
  std::mt19937 random(6);
  for (int stream = 0; stream < 200; ++stream) {
    const adaptive_options o = eight_to_32(1 + random() % 20);
    adaptive_layer layer(o);
    const unsigned rarity = 1 + static_cast<unsigned>(random() % 50);
    std::size_t switches = 0;
    constexpr std::size_t n = 5000;
    for (std::size_t i = 0; i < n; ++i) {
      const event& e = random() % rarity == 0 ? events[random() % events.size()] : events[0];
      switches += layer.observe(e.evidence).has_value();
    }
    EXPECT_LE(switches, most_switches(4, n, o));
  }
}

TEST(AdaptivePrecision, LogsEachSwitchWithItsReason) {
  adaptive_precision adaptive(eight_to_32(2), 2);
  const auto fc1 = adaptive.add_layer("fc1"), fc2 = adaptive.add_layer("fc2");
  std::vector<std::string> heard;
  adaptive.on_switch([&](const precision_switch& s) {
    heard.push_back(to_string(s));
    EXPECT_EQ(adaptive.type(fc1), s.to);  // after it took effect
  });
  EXPECT_TRUE(adaptive.observe(fc1, {.amax = 1000}));
  EXPECT_FALSE(adaptive.observe(fc2, {.amax = 10}));
  EXPECT_EQ(adaptive.type(fc2), dtype::float8_e4m3fn);
  EXPECT_FALSE(adaptive.observe(fc1, {.amax = 10}));
  EXPECT_TRUE(adaptive.observe(fc1, {.amax = 10}));
  EXPECT_TRUE(adaptive.observe(fc1, {.underflow_share = 0.25}));
  EXPECT_EQ(heard,
            (std::vector<std::string>{
                "call 1: fc1: float8_e4m3fn -> float16: range: 1000 against a limit of 224",
                "call 3: fc1: float16 -> float8_e4m3fn: quiet: 2 against a limit of 2",
                "call 4: fc1: float8_e4m3fn -> float16: underflow: 0.25 against a limit of 0.05"}));
  EXPECT_EQ(adaptive.switches(), 3u);
  ASSERT_EQ(adaptive.log().size(), 2u);  // the last ones
  EXPECT_EQ(to_string(adaptive.log().front()), heard[1]);
  EXPECT_EQ(adaptive.layer(fc1).calls(), 4u);
  EXPECT_EQ(adaptive.layer(fc1).quiet_needed(), 4);
}

TEST(AdaptivePrecision, RefusesBadInput) {
  adaptive_precision adaptive;
  adaptive.add_layer("fc1");
  expect_error([&] { adaptive.add_layer("fc1"); }, {"layer \"fc1\" exists"});
  expect_error([&] { adaptive.observe(1, {}); }, {"layer 1 does not exist", "there are 1"});
  const auto refused = [](auto change) {
    adaptive_options o;
    change(o);
    return halfway::testing::message_of([&] { adaptive_precision p(o); });
  };
  const auto expect = [](const std::string& message, std::string_view part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(refused([](adaptive_options& o) { o.ladder = {}; }), "options.ladder is empty");
  expect(refused([](adaptive_options& o) { o.ladder.push_back(dtype::float16); }),
         "options.ladder has float16 twice");
  expect(refused([](adaptive_options& o) { o.max_amax_share = 2; }), "max_amax_share (2)");
  expect(refused([](adaptive_options& o) { o.max_underflow_share = -1; }), "(-1)");
  expect(refused([](adaptive_options& o) { o.min_sqnr_db = std::nan(""); }), "min_sqnr_db (nan)");
  expect(refused([](adaptive_options& o) { o.spare = 0; }), "spare (0)");
  expect(refused([](adaptive_options& o) { o.quiet_calls = 0; }), "quiet_calls (0)");
  expect(refused([](adaptive_options& o) { o.quiet_growth = 0.5; }), "quiet_growth (0.5)");
}

}  // namespace
