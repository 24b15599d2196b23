// SPDX-License-Identifier: Apache-2.0
#include "halfway/telemetry/trace.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/expect_error.h"

namespace halfway::telemetry {
namespace {

using nlohmann::json;

// Spans go to it while it lives.
struct recording : trace_recorder {
  explicit recording(std::size_t capacity = 64) : trace_recorder(capacity) {
    set_trace_recorder(this);
  }
  ~recording() { set_trace_recorder(nullptr); }
};

TEST(Trace, SpansNestAndLastAsLongAsTheyLive) {
  recording r;
  const auto begin = std::chrono::steady_clock::now();
  {
    const trace_span outer("layer");
    const trace_span inner("gemm", {2, 3, 4}, "bfloat16", 1000);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const std::chrono::duration<double, std::micro> all = std::chrono::steady_clock::now() - begin;
  const json trace = json::parse(to_chrome_trace(r, 7));
  const json& events = trace.at("traceEvents");
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].at("ph"), "M");
  const json &inner = events[1], &outer = events[2];
  EXPECT_EQ(inner.at("name"), "gemm");
  EXPECT_EQ(outer.at("name"), "layer");
  for (const json& e : {inner, outer}) {
    EXPECT_EQ(e.at("ph"), "X");
    EXPECT_EQ(e.at("pid"), 7);
    EXPECT_EQ(e.at("tid"), outer.at("tid"));
    EXPECT_GE(e.at("dur").get<double>(), 2000);
    EXPECT_LE(e.at("dur").get<double>(), all.count());
  }
  const auto end = [](const json& e) {
    return e.at("ts").get<double>() + e.at("dur").get<double>();
  };
  EXPECT_LE(outer.at("ts").get<double>(), inner.at("ts").get<double>());
  EXPECT_LE(end(inner), end(outer) + 1e-6);  // sums of two numbers of at most 10^7 in double
  EXPECT_EQ(inner.at("args").at("shape"), "2x3x4");
  EXPECT_EQ(inner.at("args").at("precision"), "bfloat16");
  EXPECT_EQ(inner.at("args").at("bytes"), 1000);
  EXPECT_EQ(outer.at("args"), json::object());
}

TEST(Trace, WritesAnEventByteByByte) {
  trace_recorder r(1);
  trace_event e;
  e.op = detail::short_text<63>("a\"\\\n\x01\xFF\xC3\xA9");
  e.precision = detail::short_text<47>("float16");
  e.shape = {5, 6};
  e.rank = 2;
  e.bytes = 30;
  e.nanoseconds = 1234567;
  e.duration = 60;
  e.thread = 3;
  EXPECT_TRUE(r.add(e));
  EXPECT_FALSE(r.add(e));
  EXPECT_EQ(
      to_chrome_trace(r),
      "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"dropped\":\"1\"},\"traceEvents\":[\n"
      "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{\"name\":\"halfway 1\"}},\n"
      "{\"name\":\"a\\\"\\\\\\u000a\\u0001\xEF\xBF\xBD\xC3\xA9\",\"cat\":\"halfway\","
      "\"ph\":\"X\",\"ts\":1234.567,\"dur\":0.060,\"pid\":1,\"tid\":3,\"args\":{\"shape\":"
      "\"5x6\",\"precision\":\"float16\",\"bytes\":30,\"gigabytes_per_second\":0.5}}\n]}\n");
}

TEST(Trace, KeepsTheFirstOfManyThreadsAndCountsTheRest) {
  recording r(1000);
  std::vector<std::thread> threads;
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([] {
      for (std::size_t i = 0; i != 400; ++i) const trace_span span("op", {i});
    });
  }
  while (r.events().size() < 100) std::this_thread::yield();  // reads while others write
  for (std::thread& t : threads) t.join();
  const std::vector<trace_event> events = r.events();
  EXPECT_EQ(events.size(), 1000u);
  EXPECT_EQ(r.dropped(), 600u);
  std::set<std::pair<std::uint32_t, std::size_t>> seen;  // each thread's i comes once
  for (const trace_event& e : events) {
    EXPECT_EQ(e.op.view(), "op");
    EXPECT_TRUE(seen.emplace(e.thread, e.shape[0]).second);
  }
}

// The description costs something, so nobody asks for it in vain.
TEST(Trace, AsksForADescriptionOnlyWhereItRecords) {
  int asked = 0;
  const auto describe = [&](trace_event& e) {
    ++asked;
    e.op = detail::short_text<63>("linear");
    e.layer = detail::short_text<47>("fc1");
    e.precision = detail::short_text<47>("bfloat16/bfloat16/float32");
    e.bytes = 7;
  };
  { const trace_span span(describe); }
  EXPECT_EQ(asked, 0);
  recording r;
  { const trace_span span(describe); }
  EXPECT_EQ(asked, 1);
  const json event = json::parse(to_chrome_trace(r)).at("traceEvents").at(1);
  EXPECT_EQ(event.at("name"), "linear");
  EXPECT_EQ(event.at("args").at("layer"), "fc1");
  EXPECT_EQ(event.at("args").at("precision"), "bfloat16/bfloat16/float32");
  EXPECT_EQ(event.at("args").at("bytes"), 7);
}

TEST(Trace, WithoutARecorderNothingIsKept) {
  { const trace_span span("op"); }
  trace_recorder r(4);
  EXPECT_EQ(set_trace_recorder(&r), nullptr);
  EXPECT_EQ(set_trace_recorder(nullptr), &r);
  { const trace_span span("op"); }
  EXPECT_TRUE(r.events().empty());
}

TEST(Trace, CutsLongTextsBetweenCharacters) {
  EXPECT_EQ(detail::short_text<4>("abcd").view(), "abcd");
  EXPECT_EQ(detail::short_text<4>("abcde").view(), "abcd");
  EXPECT_EQ(detail::short_text<4>("abc\xC3\xA9").view(), "abc");
  EXPECT_EQ(detail::short_text<4>("a\xE2\x82\xAC!").view(), "a\xE2\x82\xAC");
  recording r;
  { const trace_span span(std::string(100, 'x'), {1, 2, 3, 4, 5, 6, 7}); }
  EXPECT_EQ(r.events()[0].op.view(), std::string(63, 'x'));
  EXPECT_EQ(r.events()[0].rank, 6u);
}

TEST(Trace, RefusesNoRoom) {
  testing::expect_error([] { trace_recorder r(0); }, {"capacity (0)"});
}

}  // namespace
}  // namespace halfway::telemetry
