// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/error_budget.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <utility>

#include "support/expect_error.h"

namespace {

using halfway::error_budget;
using halfway::fast_burn;
using halfway::slow_burn;
using halfway::testing::expect_error;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// 1 - 0.99 is off by 2^-54 of 1, a hundred times that of 0.01; the quotients add a few 2^-53.
constexpr double rounding = 100 * 0x1p-53;

TEST(ErrorBudget, BurnsByTheFormula) {
  error_budget b(0.99);
  EXPECT_EQ(b.burn_rate(seconds(0), hours(1)), 0);
  b.add(minutes(10), 95, 5);
  EXPECT_NEAR(b.burn_rate(minutes(10), hours(1)), 5, 5 * rounding);
  EXPECT_NEAR(b.remaining(minutes(10), hours(1)), -4, 5 * rounding);
  b.add(minutes(60), 100, 0);
  EXPECT_NEAR(b.burn_rate(minutes(60), hours(1)), 2.5, 2.5 * rounding);
  // A window of an hour is 60 buckets of a minute, now's the last.
  EXPECT_NEAR(b.burn_rate(minutes(69), hours(1)), 2.5, 2.5 * rounding);
  EXPECT_EQ(b.burn_rate(minutes(70), hours(1)), 0);
  EXPECT_EQ(b.burn_rate(minutes(59), minutes(5)), 0);  // what comes later does not count
  b.add(seconds(60 * 60 + 59), false);
  EXPECT_NEAR(b.burn_rate(minutes(60), minutes(1)), 100.0 / 101, rounding);
}

// Each minute 6400 events, of which bad(minute) are bad, 100 of them allowed: all exact in double. The
// first and last minute of an alert.
template <class Bad>
std::pair<int, int> alerts(const halfway::burn_alert& alert, int length, const Bad& bad) {
  error_budget b(1 - 1.0 / 64);
  int first = -1, last = -1;
  for (int m = 0; m < length; ++m) {
    b.add(minutes(m), static_cast<std::uint64_t>(6400 - bad(m)),
          static_cast<std::uint64_t>(bad(m)));
    if (!b.burning(minutes(m), alert)) continue;
    if (first < 0) first = m;
    last = m;
  }
  return {first, last};
}

TEST(ErrorBudget, AlertsWhenBothWindowsBurnAndEndsSoonAfterTheCause) {
  // From minute 120 to 179 ten times as much is bad as may be: of an hour that is 4 times the rate
  // after 24 minutes of it, the 24th of which is minute 143. It ends when five minutes are good enough:
  // of them 2 bad ones are 4 times the rate, 1 is 2 times; 178 and 179 are in sight until 182.
  const auto outage = [](int m) { return m >= 120 && m < 180 ? 1000 : 0; };
  EXPECT_EQ(alerts(fast_burn, 400, outage), (std::pair(143, 182)));
  // Ten bad minutes are not an hour's budget at 4 times the rate: 10 / 60 * 10 = 1.7.
  EXPECT_EQ(alerts(fast_burn, 400, [](int m) { return m >= 120 && m < 130 ? 1000 : 0; }).first, -1);
  // Twice the rate for ever: never fast; slow, of 72 h, as soon as it is so on average. With nothing
  // before it, at once.
  EXPECT_EQ(alerts(fast_burn, 6000, [](int) { return 200; }).first, -1);
  EXPECT_EQ(alerts(slow_burn, 100, [](int) { return 200; }).first, 0);
  // After 72 good hours at twice the rate, half of 72 h has to be bad: the 2160th minute of it.
  EXPECT_EQ(alerts(slow_burn, 3 * 4320, [](int m) { return m >= 4320 ? 200 : 0; }).first,
            4320 + 2160 - 1);
}

TEST(ErrorBudget, ForgetsWhatIsOlderThanItsHistory) {
  error_budget b(0.5, seconds(10), seconds(60));
  b.add(seconds(-5), false);  // a clock may begin anywhere
  b.add(seconds(44), true);
  EXPECT_EQ(b.burn_rate(seconds(49), seconds(60)), 1);
  b.add(seconds(50), true);  // the bucket of -10 to -1 is the seventh now
  EXPECT_EQ(b.burn_rate(seconds(49), seconds(60)), 0);
  b.add(seconds(-7), false);
  EXPECT_EQ(b.burn_rate(seconds(49), seconds(60)), 0);
}

TEST(ErrorBudget, MergesToTheSameAsOneInAnyOrder) {
  error_budget all(0.9), left(0.9), right(0.9);
  for (int m = 0; m < 300; ++m) {
    const bool good = m % 7 != 0;
    all.add(minutes(m), good);
    (m % 3 == 0 ? left : right).add(minutes(299 - m), (299 - m) % 7 != 0);
  }
  left.merge(right);
  for (const int m : {10, 100, 299}) {
    EXPECT_EQ(left.burn_rate(minutes(m), hours(1)), all.burn_rate(minutes(m), hours(1)));
    EXPECT_GT(all.burn_rate(minutes(m), hours(1)), 1);
  }
}

TEST(ErrorBudget, RefusesWhatDoesNotFit) {
  for (const double target : {0.0, 1.0, std::nan("")}) {
    expect_error([&] { error_budget b(target); }, {"halfway::error_budget", "target"});
  }
  expect_error([] { error_budget b(0.9, seconds(0)); }, {"resolution (0 s)"});
  const error_budget b(0.9);
  expect_error([&] { b.burn_rate(seconds(0), hours(73)); },
               {"halfway::error_budget::burn_rate", "length (262800 s)", "history (259200 s)"});
  expect_error([] { error_budget(0.9).merge(error_budget(0.8)); }, {"0.8", "0.9"});
}

}  // namespace
