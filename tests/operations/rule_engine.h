// SPDX-License-Identifier: Apache-2.0
// Which of docs/observability's alerts fire on pages that a program has exported, by promtool.
//
//   EXPECT_EQ(alerts_after({before, after}), std::set<std::string>{"HalfwayValuesFlushToZero"});
#ifndef HALFWAY_TESTS_OPERATIONS_RULE_ENGINE_H_
#define HALFWAY_TESTS_OPERATIONS_RULE_ENGINE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ios>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "examples/run_command.h"
#include "telemetry/promtool.h"

namespace halfway::testing {

// The samples of a page of metrics: name and labels to value.
inline std::map<std::string, std::string> samples_of(const std::string& page) {
  std::map<std::string, std::string> samples;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t blank = line.rfind(' ');
    samples[line.substr(0, blank)] = line.substr(blank + 1);
  }
  return samples;
}

// Two scrapes of one program. A minute lies between them, and each of the minutes that follow does
// again to counters what this one did; gauges stay as they are at the second.
struct scrapes {
  std::string before, after;
};

constexpr int observed_minutes = 200;

// As promtool's series. With `ends`, the program is gone after an hour.
inline nlohmann::json series_of(const scrapes& pages, bool ends = false) {
  nlohmann::json all = nlohmann::json::array();
  const auto before = samples_of(pages.before);
  for (const auto& [series, after] : samples_of(pages.after)) {
    if (after == "NaN")
      continue;  // not known yet: no rule fires on it, which promtool can't be told
    const std::size_t brace = series.find('{');
    const std::string name = series.substr(0, brace);
    std::string labels = "{job=\"model\",instance=\"host:1\"";
    if (brace != series.npos) labels += "," + series.substr(brace + 1);
    if (brace == series.npos) labels += "}";
    bool counts = false;
    for (const char* end : {"_total", "_bucket", "_count", "_sum"}) {
      counts = counts || name.ends_with(end);
    }
    std::ostringstream values;
    values.precision(17);
    const double last = std::strtod(after.c_str(), nullptr);
    const auto first = before.find(series);
    const double start = first == before.end() ? 0 : std::strtod(first->second.c_str(), nullptr);
    const int minutes = ends ? 60 : observed_minutes;
    if (after == "+Inf" || after == "-Inf") {  // which promtool does not repeat
      for (int i = 0; i <= minutes; ++i) values << (i == 0 ? "" : " ") << after;
    } else if (counts) {
      values << start << std::showpos << last - start << std::noshowpos << 'x' << minutes;
    } else {
      values << last << 'x' << minutes;
    }
    if (ends) values << " stale _x" << observed_minutes - minutes;
    all.push_back({{"series", name + labels}, {"values", values.str()}});
  }
  return all;
}

// The alerts that fire at a minute. All of docs/observability's rules are loaded.
inline std::set<std::string> alerts_in(const nlohmann::json& series, int minute) {
  const std::string test = ::testing::TempDir() + "halfway_rules_" + std::to_string(getpid());
  // What fires is what promtool got where nothing was expected.
  const nlohmann::json file = {
      {"rule_files", {HALFWAY_OBSERVABILITY "/alerts.yml"}},
      {"evaluation_interval", "1m"},
      {"tests",
       {{{"interval", "1m"},
         {"input_series", series},
         {"promql_expr_test",
          {{{"expr", "group by (alertname) (ALERTS{alertstate=\"firing\"})"},
            {"eval_time", std::to_string(minute) + "m"},
            {"exp_samples", {{{"labels", "{alertname=\"none\"}"}, {"value", 1}}}}}}}}}}};
  std::ofstream(test) << file.dump();  // JSON is YAML
  const auto run = run_command({HALFWAY_PROMTOOL, "test", "rules", test});
  std::filesystem::remove(test);
  EXPECT_EQ(run.status, 1) << run.output;
  const std::size_t got = run.output.find("got:");
  EXPECT_NE(got, run.output.npos) << run.output;
  std::set<std::string> firing;
  const std::string opening = "alertname=\"";
  for (std::size_t at = got; (at = run.output.find(opening, at)) != run.output.npos;) {
    at += opening.size();
    firing.insert(run.output.substr(at, run.output.find('"', at) - at));
  }
  return firing;
}

inline std::set<std::string> alerts_after(const scrapes& pages, int minute = 45) {
  return alerts_in(series_of(pages), minute);
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_OPERATIONS_RULE_ENGINE_H_
