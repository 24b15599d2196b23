// SPDX-License-Identifier: Apache-2.0
#include "halfway/telemetry/prometheus.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <utility>

#include "telemetry/promtool.h"

namespace halfway::telemetry {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// One of each type, with what is hard to write.
void fill(registry& r) {
  r.get_counter("app_steps_total", "Steps, by outcome.", {{"outcome", "skipped"}}).add(2);
  r.get_counter("app_steps_total", "Steps, by outcome.", {{"outcome", "good"}})
      .add(std::numeric_limits<std::uint64_t>::max());
  const char* help = "A \"path\" like C:\\temp\nor none.";
  r.get_gauge("app_load_ratio", help, {{"path", "C:\\\"temp\"\n\xC3\xA9"}}).set(0.1);
  r.get_gauge("app_load_ratio", help, {{"path", "a"}}).set(std::nan(""));
  r.get_gauge("app_load_ratio", help, {{"path", "b"}}).set(infinity);
  r.get_gauge("app_load_ratio", help, {{"path", "c"}}).set(-infinity);
  r.get_gauge("app_load_ratio", help, {{"path", "d"}}).set(-0.0);
  r.get_gauge("app_load_ratio", help, {{"path", "e"}}).set(1.0 / 3);
  r.get_gauge("app_load_ratio", help, {{"path", "f"}}).set(5e-324);
  histogram& h = r.get_histogram("app_run_seconds", "Seconds.", {0.001, 0.25, 1e6}, {{"p", "x"}});
  for (const double v : {0.001, 0.125, 0.25, 2.0, 3e6}) h.observe(v);
  r.get_histogram("app_wait_seconds", "Seconds.", {1}).observe(0.5);
}

constexpr const char* page = R"(# HELP app_load_ratio A "path" like C:\\temp\nor none.
# TYPE app_load_ratio gauge
app_load_ratio{path="C:\\\"temp\"\né"} 0.1
app_load_ratio{path="a"} NaN
app_load_ratio{path="b"} +Inf
app_load_ratio{path="c"} -Inf
app_load_ratio{path="d"} -0
app_load_ratio{path="e"} 0.3333333333333333
app_load_ratio{path="f"} 5e-324
# HELP app_run_seconds Seconds.
# TYPE app_run_seconds histogram
app_run_seconds_bucket{p="x",le="0.001"} 1
app_run_seconds_bucket{p="x",le="0.25"} 3
app_run_seconds_bucket{p="x",le="1e+06"} 4
app_run_seconds_bucket{p="x",le="+Inf"} 5
app_run_seconds_sum{p="x"} 3.000002376e+06
app_run_seconds_count{p="x"} 5
# HELP app_steps_total Steps, by outcome.
# TYPE app_steps_total counter
app_steps_total{outcome="good"} 18446744073709551615
app_steps_total{outcome="skipped"} 2
# HELP app_wait_seconds Seconds.
# TYPE app_wait_seconds histogram
app_wait_seconds_bucket{le="1"} 1
app_wait_seconds_bucket{le="+Inf"} 1
app_wait_seconds_sum 0.5
app_wait_seconds_count 1
)";

TEST(Prometheus, WritesTheFormatByteByByte) {
  registry r;
  EXPECT_EQ(to_prometheus_text(r), "");
  fill(r);
  EXPECT_EQ(to_prometheus_text(r), page);
}

// Go's strconv.FormatFloat(x, 'g', -1, 64).
TEST(Prometheus, WritesNumbersAsGoDoes) {
  for (const auto& [value, text] :
       std::initializer_list<std::pair<double, const char*>>{{1e-5, "1e-05"},
                                                             {1.5e-5, "1.5e-05"},
                                                             {0.0001, "0.0001"},
                                                             {0.00025, "0.00025"},
                                                             {100000, "100000"},
                                                             {123456.5, "123456.5"},
                                                             {1e6, "1e+06"},
                                                             {3000002.5, "3.0000025e+06"},
                                                             {1e100, "1e+100"}}) {
    EXPECT_EQ(detail::prometheus_number(value), text);
  }
}

TEST(Prometheus, PromtoolHasNothingToSay) {
  const testing::promtool tool;
  if (!tool.exists()) GTEST_SKIP() << tool.missing;
  registry r;
  fill(r);
  EXPECT_EQ(tool.check_metrics(to_prometheus_text(r)), "");
  // It looks: a counter without _total.
  EXPECT_NE(tool.check_metrics("# HELP steps Steps.\n# TYPE steps counter\nsteps 1\n"), "");
}

}  // namespace
}  // namespace halfway::telemetry
