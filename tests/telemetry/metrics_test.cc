// SPDX-License-Identifier: Apache-2.0
#include "halfway/telemetry/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

#include "halfway/telemetry/prometheus.h"
#include "halfway/telemetry/registry.h"
#include "support/expect_error.h"

namespace halfway::telemetry {
namespace {

using testing::expect_error;

constexpr double infinity = std::numeric_limits<double>::infinity();

void on_threads(int threads, const std::function<void(int)>& body) {
  std::vector<std::thread> all;
  for (int t = 0; t != threads; ++t) all.emplace_back(body, t);
  for (std::thread& t : all) t.join();
}

TEST(Metrics, CountersLoseNothingOfThreads) {
  counter c;
  on_threads(4, [&c](int t) {
    for (int i = 0; i != 10000; ++i) c.add(static_cast<std::uint64_t>(t));
  });
  EXPECT_EQ(c.value(), 60000u);
}

TEST(Metrics, GaugesAddUpOverThreads) {
  gauge g;
  g.set(-8);
  on_threads(4, [&g](int t) {
    for (int i = 0; i != 10000; ++i) g.add(t % 2 == 0 ? 0.5 : 0.25);
  });
  EXPECT_EQ(g.value(), 15000 - 8);  // exact: multiples of 0.25 below 2^51
  g.set(infinity);
  EXPECT_EQ(g.value(), infinity);
}

TEST(Metrics, HistogramsCountEachSideOfABound) {
  histogram h({-1, 0.5, 2});
  for (const double v : {-infinity, -1.0, std::nextafter(-1.0, 0.0), 0.5, 2.0, 2.5, infinity}) {
    h.observe(v);
  }
  EXPECT_EQ(h.values().counts, (std::vector<std::uint64_t>{2, 2, 1, 2}));
  EXPECT_EQ(h.values().count(), 7u);
  EXPECT_TRUE(std::isnan(h.values().sum));  // infinity - infinity

  histogram of_nan({0});
  of_nan.observe(std::nan(""));
  EXPECT_EQ(of_nan.values().counts, (std::vector<std::uint64_t>{0, 1}));
  EXPECT_TRUE(std::isnan(of_nan.values().sum));
}

TEST(Metrics, HistogramsLoseNothingOfThreads) {
  histogram h({1, 2, 3});
  on_threads(4, [&h](int t) {
    for (int i = 0; i != 10000; ++i) h.observe(t + 0.5);
  });
  const histogram_values v = h.values();
  EXPECT_EQ(v.counts, (std::vector<std::uint64_t>{10000, 10000, 10000, 10000}));
  EXPECT_EQ(v.sum, 80000);  // exact: multiples of 0.5
}

TEST(Metrics, BoundsIncreaseAndAreFinite) {
  expect_error([] { histogram h({}); }, {"bounds is empty"});
  expect_error([] { histogram h({1, 1}); }, {"bounds[1] (1) must be above bounds[0] (1)"});
  expect_error([] { histogram h({1, infinity}); }, {"bounds[1] (inf) must be finite"});
  expect_error([] { histogram h({std::nan("")}); }, {"bounds[0] (nan) must be finite"});
}

TEST(Metrics, TimersObserveSeconds) {
  histogram h({10, 20});
  const auto begin = std::chrono::steady_clock::now();
  {
    const scoped_timer timer(h);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(h.values().counts, (std::vector<std::uint64_t>{1, 0, 0}));
  EXPECT_GE(h.values().sum, 0.002);
  EXPECT_LE(h.values().sum, all.count());
}

TEST(Metrics, TotalsThatBeginAnewStillCount) {
  counter c;
  running_total total(c);
  for (const std::uint64_t seen : {3u, 3u, 10u, 4u, 5u}) total.update(seen);
  EXPECT_EQ(c.value(), 15u);
}

TEST(Registry, GivesTheSameMetricForTheSameLabelsInAnyOrder) {
  registry r;
  counter& a = r.get_counter("x_total", "X.", {{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(&a, &r.get_counter("x_total", "X.", {{"b", "2"}, {"a", "1"}}));
  EXPECT_NE(&a, &r.get_counter("x_total", "X.", {{"b", "1"}, {"a", "2"}}));
  EXPECT_EQ(&r.get_histogram("h", "H.", {1}), &r.get_histogram("h", "H.", {1}));
}

TEST(Registry, TakesGetsAndChangesFromManyThreads) {
  registry r;
  on_threads(4, [&r](int t) {
    for (int i = 0; i != 200; ++i) {
      r.get_counter("x_total", "X.", {{"i", std::to_string(i)}}).add();
      r.get_gauge("g" + std::to_string(t), "G.").set(i);
      if (i % 50 == 0) {
        EXPECT_FALSE(to_prometheus_text(r).empty());
      }
    }
  });
  const auto all = r.snapshot();
  ASSERT_EQ(all.size(), 5u);
  ASSERT_EQ(all.back().series.size(), 200u);
  for (const series_snapshot& s : all.back().series) {
    EXPECT_EQ(std::get<std::uint64_t>(s.value), 4u);
  }
}

TEST(Registry, RefusesNames) {
  registry r;
  expect_error([&] { r.get_gauge("", "H."); }, {"get_gauge", "name (\"\")", "[a-z][a-z0-9_]*"});
  for (const char* name : {"1x", "_x", "aB", "a:b", "a-b", "\xC3\xA4"}) {
    expect_error([&] { r.get_gauge(name, "H."); }, {name, "[a-z][a-z0-9_]*"});
  }
  for (const char* suffix : {"_bucket", "_sum", "_count"}) {
    const std::string name = std::string("x") + suffix;
    expect_error([&] { r.get_histogram(name, "H.", {1}); }, {name, "must not end in", suffix});
  }
  expect_error([&] { r.get_counter("steps", "H."); },
               {"\"steps\"", "a counter must end in _total"});
  expect_error([&] { r.get_gauge("x_total", "H."); },
               {"\"x_total\"", "a gauge must not end in _total"});
  EXPECT_TRUE(r.snapshot().empty());
}

TEST(Registry, RefusesHelpAndLabels) {
  registry r;
  expect_error([&] { r.get_gauge("x", ""); }, {"x: help is empty"});
  expect_error([&] { r.get_gauge("x", "\xFF"); }, {"x: help is not UTF-8"});
  for (const char* name : {"", "le", "__a", "A", "a-b"}) {
    expect_error(
        [&] {
          r.get_gauge("x", "H.", {{name, "v"}});
        },
        {"x: label \"" + std::string(name) + "\""});
  }
  expect_error(
      [&] {
        r.get_gauge("x", "H.", {{"a", "1"}, {"b", ""}, {"a", "2"}});
      },
      {"x: label \"a\" stands twice"});
  // A surrogate, a long form, a number past the last one, half a character.
  for (const char* value : {"\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80", "\xE2\x82"}) {
    expect_error(
        [&] {
          r.get_gauge("x", "H.", {{"a", value}});
        },
        {"x: the value of label \"a\" is not UTF-8"});
  }
  EXPECT_TRUE(r.snapshot().empty());
}

TEST(Registry, RefusesWhatTheFamilyIsNot) {
  registry r;
  r.get_gauge("x", "H.", {{"a", "1"}});
  r.get_histogram("h", "H.", {1, 2});
  expect_error(
      [&] {
        r.get_histogram("x", "H.", {1}, {{"a", "1"}});
      },
      {"x exists with type \"gauge\", not \"histogram\""});
  expect_error(
      [&] {
        r.get_gauge("x", "Other.", {{"a", "1"}});
      },
      {"x exists with help \"H.\", not \"Other.\""});
  expect_error([&] { r.get_gauge("x", "H."); }, {"x exists with labels \"{a}\", not \"{}\""});
  expect_error(
      [&] {
        r.get_histogram("h", "H.", {1, 2.5});
      },
      {"h exists with bounds \"1 2\", not \"1 2.5\""});
  expect_error([&] { r.get_histogram("h2", "H.", {2, 1}); }, {"h2: bounds[1] (1)"});
  EXPECT_EQ(r.snapshot().size(), 2u);
}

}  // namespace
}  // namespace halfway::telemetry
