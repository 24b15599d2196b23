// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/nan_trace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "halfway/types/half.h"
#include "support/expect_error.h"

namespace {

using halfway::half;
using halfway::nan_trace;

TEST(NanTrace, NamesTheOperationThatMadeItAndNotThoseThatSpreadIt) {
  nan_trace trace;
  std::vector<half> x = {half(1.0f), half(300.0f), half(-2.0f)};
  trace.add("input", x);
  for (half& v : x) v = half(static_cast<float>(v) * static_cast<float>(v));  // 90000 > 65504
  EXPECT_FALSE(trace.origin().has_value());
  trace.add("square", x);
  for (half& v : x) v = half(static_cast<float>(v) - static_cast<float>(x[1]));
  trace.add("difference", x);
  ASSERT_TRUE(trace.origin().has_value());
  EXPECT_EQ(trace.origin()->operation, "square");
  EXPECT_EQ(trace.origin()->index, 1u);
  EXPECT_EQ(trace.origin()->call, 1u);
  EXPECT_EQ(trace.origin()->value, HUGE_VALF);
  EXPECT_EQ(trace.calls(), 3u);
  trace.clear();
  EXPECT_FALSE(trace.origin().has_value());
  EXPECT_EQ(trace.calls(), 0u);
  trace.add("log", std::vector<float>{0, 1, std::nanf("")});
  EXPECT_EQ(trace.origin()->index, 2u);
  EXPECT_TRUE(std::isnan(trace.origin()->value));
}

TEST(NanTrace, MergesToTheEarlierCall) {
  const std::vector<float> good = {1}, bad = {std::nanf("")};
  nan_trace early, late, none;
  for (const bool second : {false, true}) {
    early.add(second ? "b" : "a", bad);
    late.add(second ? "b" : "a", second ? bad : good);
    none.add(second ? "b" : "a", good);
  }
  nan_trace merged = none;
  merged.merge(none);
  EXPECT_FALSE(merged.origin().has_value());
  merged.merge(late);
  EXPECT_EQ(merged.origin()->operation, "b");
  merged.merge(early);
  EXPECT_EQ(merged.origin()->operation, "a");
  merged.merge(late);
  EXPECT_EQ(merged.origin()->operation, "a");
}

TEST(NanTrace, RefusesNullWithASize) {
  nan_trace trace;
  halfway::testing::expect_error(
      [&] { trace.add("a", std::span<const float>(static_cast<const float*>(nullptr), 3)); },
      {"halfway::nan_trace::add", "x", "3"});
  EXPECT_EQ(trace.calls(), 0u);
}

}  // namespace
