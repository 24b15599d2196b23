// SPDX-License-Identifier: Apache-2.0
// docs/observability in step with the names that the library exports.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/telemetry/names.h"
#include "support/guide.h"
#include "telemetry/promtool.h"

namespace halfway::telemetry {
namespace {

using nlohmann::json;

const std::filesystem::path folder = HALFWAY_OBSERVABILITY;

std::string text_of(const std::filesystem::path& file) {
  return testing::text_of_file(file.string());
}

// What the group of `pattern` is in each of its places in `text`.
std::set<std::string> all_matches(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator i(text.begin(), text.end(), regex), end; i != end; ++i) {
    found.insert((*i)[1]);
  }
  return found;
}

std::set<std::string> alerts() {
  return all_matches(text_of(folder / "alerts.yml"), "\\n *- alert: (\\w+)");
}

// The metrics that a text asks for: a histogram's by its family's name.
std::set<std::string> metrics_in(const std::string& text) {
  std::set<std::string> found;
  for (std::string name : all_matches(text, "\\b(halfway_[a-z0-9_]*[a-z0-9])\\b")) {
    for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
      if (!name.ends_with(suffix)) continue;
      const std::string family = name.substr(0, name.size() - suffix.size());
      for (const metric_description& d : library_metrics) {
        if (d.type == metric_type::histogram && d.name == family) name = family;
      }
    }
    found.insert(name);
  }
  return found;
}

std::set<std::string> exported() {
  std::set<std::string> names;
  for (const metric_description& d : library_metrics) names.insert(std::string(d.name));
  return names;
}

// Each must be among the others.
void expect_among(const std::set<std::string>& some, const std::set<std::string>& all,
                  const std::string& where) {
  for (const std::string& one : some) EXPECT_TRUE(all.contains(one)) << where << ": " << one;
}

struct expression {
  std::string where;
  std::string text;
};

std::vector<expression> dashboard_expressions() {
  std::vector<expression> all;
  for (const auto& file : std::filesystem::directory_iterator(folder / "dashboards")) {
    const json board = json::parse(text_of(file.path()));
    for (const json& panel : board.at("panels")) {
      EXPECT_FALSE(panel.at("targets").empty()) << file << panel.at("title");
      for (const json& target : panel.at("targets")) {
        all.push_back(
            {file.path().filename().string() + ": " + panel.at("title").get<std::string>(),
             target.at("expr").get<std::string>()});
      }
    }
  }
  return all;
}

TEST(Observability, ListsEachNameOnceAndByTheRules) {
  EXPECT_EQ(exported().size(), library_metrics.size());
  for (const metric_description& d : library_metrics) {
    EXPECT_TRUE(d.name.starts_with("halfway_")) << d.name;
    detail::check_metric_name("names.h", d.name, d.type);
    EXPECT_TRUE(d.help.ends_with('.')) << d.name;
  }
}

TEST(Observability, RulesAskForExportedMetrics) {
  for (const char* file : {"alerts.yml", "alerts_test.yml"}) {
    const auto asked = metrics_in(text_of(folder / file));
    EXPECT_FALSE(asked.empty());
    expect_among(asked, exported(), file);
  }
}

// The latency objective is a bound, and no other bound is asked for.
TEST(Observability, RulesAskForABoundThatExists) {
  const auto bounds = all_matches(text_of(folder / "alerts.yml"), "le=\"([^\"]*)\"");
  ASSERT_EQ(bounds.size(), 1u);
  std::set<std::string> existing;
  for (const double bound : latency_bounds) existing.insert(halfway::detail::to_text(bound));
  expect_among(bounds, existing, "alerts.yml");
}

TEST(Observability, EachAlertIsTested) {
  const auto names = alerts();
  EXPECT_GE(names.size(), 12u);
  const std::string tests = text_of(folder / "alerts_test.yml");
  // Fires: a test with labels after its name. The tests that expect nothing stand in one line.
  EXPECT_EQ(all_matches(tests, "alertname: (\\w+)\\n *exp_alerts:\\n *- exp_labels"), names);
  EXPECT_EQ(all_matches(tests, "alertname: (\\w+), exp_alerts: \\[\\]"), names);
}

// A failure mode of the runbook, ## to ##.
struct section {
  std::string anchor, text;
};

std::vector<section> runbook() {
  std::vector<section> all;
  const std::string page = text_of(folder.parent_path() / "operations.md");
  for (std::size_t at = page.find("\n## "); at != page.npos;) {
    const std::size_t next = page.find("\n## ", at + 1);
    const std::string text = page.substr(at + 4, next == page.npos ? next : next - at - 4);
    std::string anchor = text.substr(0, text.find('\n'));  // as GitHub makes it
    std::ranges::transform(anchor, anchor.begin(), [](unsigned char c) {
      return c == ' ' ? '-' : static_cast<char>(std::tolower(c));
    });
    all.push_back({anchor, text});
    at = next;
  }
  return all;
}

// The alerts of each address that a rule gives, and what their expressions ask for, recorded ones
// included.
struct alert_rule {
  std::string name, anchor;
  std::set<std::string> metrics;
};

std::vector<alert_rule> alert_rules() {
  const std::string rules = text_of(folder / "alerts.yml");
  std::vector<alert_rule> all;
  const std::regex rule("- (alert|record|name): (\\S+)\n");
  std::map<std::string, std::set<std::string>> recorded;
  for (std::sregex_iterator i(rules.begin(), rules.end(), rule), end; i != end; ++i) {
    const std::string kind = (*i)[1], name = (*i)[2], rest = i->suffix();
    std::smatch next;
    const std::string body = std::regex_search(rest, next, rule) ? next.prefix().str() : rest;
    if (kind == "record") recorded[name] = metrics_in(body);
    if (kind != "alert") continue;
    const auto anchors = all_matches(body, "runbook_url: \\.\\./operations\\.md#([\\w-]+)");
    EXPECT_EQ(anchors.size(), 1u) << name;
    alert_rule& r = all.emplace_back();
    r.name = name;
    if (!anchors.empty()) r.anchor = *anchors.begin();
    r.metrics = metrics_in(body);
    for (const std::string& record : all_matches(body, "\\b(halfway:[\\w:]+)")) {
      r.metrics.insert(recorded[record].begin(), recorded[record].end());
    }
  }
  return all;
}

TEST(Observability, TheRunbookHasASectionForEachAlertAndItsSignal) {
  const auto rules = alert_rules();
  EXPECT_EQ(rules.size(), alerts().size());
  const auto sections = runbook();
  std::set<std::string> anchors, linked;
  for (const section& s : sections) {
    anchors.insert(s.anchor);
    const auto lines = [&](const char* start) {
      const std::size_t at = s.text.find(std::string("\n**") + start + "**");
      EXPECT_NE(at, s.text.npos) << s.anchor << ": no " << start;
      return at == s.text.npos ? "" : s.text.substr(at + 1, s.text.find("\n\n", at) - at - 1);
    };
    const auto signals = metrics_in(lines("Signal"));
    EXPECT_FALSE(signals.empty() && s.text.find("any metric") == s.text.npos) << s.anchor;
    expect_among(signals, exported(), s.anchor);
    // Exactly the rules that point here, and each asks for one of the signals.
    std::set<std::string> expected;
    for (const alert_rule& r : rules) {
      if (r.anchor != s.anchor) continue;
      expected.insert(r.name);
      EXPECT_TRUE(
          r.metrics.empty() ||
          std::ranges::any_of(r.metrics, [&](const std::string& m) { return signals.contains(m); }))
          << r.name << " asks for no signal of " << s.anchor;
    }
    EXPECT_EQ(all_matches(lines("Alert"), "`(Halfway\\w+)`"), expected) << s.anchor;
    // Three things to look at, and what helps, as code.
    EXPECT_EQ(all_matches(s.text, "\\n(\\d)\\. ").size(), 3u) << s.anchor;
    EXPECT_NE(s.text.find("\n**Mitigation**"), s.text.npos) << s.anchor;
    EXPECT_NE(s.text.find("\n```cpp\n"), s.text.npos) << s.anchor;
  }
  for (const alert_rule& r : rules) linked.insert(r.anchor);
  EXPECT_EQ(linked, anchors);
}

TEST(Observability, DashboardsAskForExportedMetricsAndForAllOfThem) {
  const auto recorded = all_matches(text_of(folder / "alerts.yml"), "- record: ([\\w:]+)");
  std::set<std::string> shown;
  for (const expression& e : dashboard_expressions()) {
    const auto metrics = metrics_in(e.text);
    const auto records = all_matches(e.text, "\\b(halfway:[\\w:]+)");
    EXPECT_FALSE(metrics.empty() && records.empty()) << e.where << ": " << e.text;
    expect_among(metrics, exported(), e.where);
    expect_among(records, recorded, e.where);
    shown.insert(metrics.begin(), metrics.end());
  }
  EXPECT_EQ(shown, exported());
}

// `label` or `{label}` after by, in legends and in selectors: those of some exported metric, and
// what Prometheus adds.
TEST(Observability, DashboardsAskForLabelsThatExist) {
  std::set<std::string> labels = {"job", "instance", "le"};
  for (const metric_description& d : library_metrics) {
    for (const std::string_view label : d.labels) labels.insert(std::string(label));
  }
  for (const expression& e : dashboard_expressions()) {
    expect_among(all_matches(e.text, "[{,](\\w+)=~?\""), labels, e.where);
    for (const std::string& list : all_matches(e.text, "by \\(([^)]*)\\)")) {
      expect_among(all_matches(list, "(\\w+)"), labels, e.where);
    }
  }
  for (const auto& file : std::filesystem::directory_iterator(folder / "dashboards")) {
    expect_among(all_matches(text_of(file.path()), "\\{\\{(\\w+)\\}\\}"), labels, file.path());
  }
}

TEST(Observability, DashboardsHaveThreeReadersAndPanelsThatDontOverlap) {
  std::set<std::string> titles, uids;
  for (const auto& file : std::filesystem::directory_iterator(folder / "dashboards")) {
    const json board = json::parse(text_of(file.path()));
    titles.insert(board.at("title").get<std::string>());
    uids.insert(board.at("uid").get<std::string>());
    std::set<std::pair<int, int>> taken;
    for (const json& panel : board.at("panels")) {
      const json& at = panel.at("gridPos");
      const int x = at.at("x"), y = at.at("y"), w = at.at("w"), h = at.at("h");
      EXPECT_LE(x + w, 24);
      for (int i = x; i != x + w; ++i) {
        for (int j = y; j != y + h; ++j) {
          EXPECT_TRUE(taken.emplace(i, j).second) << file << panel.at("title");
        }
      }
    }
  }
  EXPECT_EQ(titles,
            (std::set<std::string>{"halfway: debug", "halfway: executive", "halfway: on call"}));
  EXPECT_EQ(uids.size(), 3u);
}

TEST(Observability, ThePageListsExactlyTheExportedMetrics) {
  std::set<std::string> rows;
  for (const metric_description& d : library_metrics) {
    std::string labels;
    for (const std::string_view label : d.labels) {
      if (!label.empty()) labels += (labels.empty() ? "" : ", ") + std::string(label);
    }
    rows.insert(std::string(d.name) + "` | " + labels);
  }
  const auto listed =
      all_matches(text_of(folder / "README.md"), "\\n\\| `(halfway_\\w+` \\| [a-z, ]*?) ?[(|]");
  std::set<std::string> trimmed;
  for (const std::string& row : listed) {
    const std::size_t end = row.find_last_not_of(' ');
    trimmed.insert(row.substr(0, end + 1) + (row[end] == '|' ? " " : ""));
  }
  EXPECT_EQ(trimmed, rows);
}

std::string promtool_says(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {HALFWAY_PROMTOOL};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const auto run = testing::run_command(words);
  return run.status == 0 ? "" : run.output;
}

TEST(Observability, PromtoolAcceptsTheRulesAndTheirTests) {
  const testing::promtool tool;
  if (!tool.exists()) GTEST_SKIP() << tool.missing;
  EXPECT_EQ(promtool_says({"check", "rules", (folder / "alerts.yml").string()}), "");
  EXPECT_EQ(promtool_says({"test", "rules", (folder / "alerts_test.yml").string()}), "");
}

// As recording rules, with Grafana's variables filled in.
TEST(Observability, PromtoolAcceptsTheDashboardsExpressions) {
  const testing::promtool tool;
  if (!tool.exists()) GTEST_SKIP() << tool.missing;
  const testing::temporary_folder temporary;
  json rules = json::array();
  for (const expression& e : dashboard_expressions()) {
    std::string text = std::regex_replace(e.text, std::regex("\\$__rate_interval"), "1m");
    text = std::regex_replace(text, std::regex("\\$job"), ".*");
    EXPECT_EQ(text.find('$'), std::string::npos) << e.where;
    rules.push_back({{"record", "test:" + std::to_string(rules.size())}, {"expr", text}});
  }
  const json file = {{"groups", {{{"name", "dashboards"}, {"rules", rules}}}}};
  std::ofstream(temporary.file("rules.yml")) << file.dump();  // JSON is YAML
  EXPECT_EQ(promtool_says({"check", "rules", temporary.file("rules.yml")}), "");
}

}  // namespace
}  // namespace halfway::telemetry
