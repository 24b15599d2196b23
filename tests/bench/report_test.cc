// SPDX-License-Identifier: Apache-2.0
// halfway_bench and bench_report as the target bench-report runs them, on a few short cases.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "bench/results_file.h"

#include "examples/run_command.h"
#include "support/temporary_folder.h"

namespace {

using halfway::testing::command_result;
using halfway::testing::results_json;
using halfway::testing::run_command;
using halfway::testing::temporary_folder;
using halfway::testing::write_results;
using nlohmann::json;

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// Every element that is opened is closed, in order.
void expect_balanced(const std::string& html) {
  static const std::regex tag("<(/?)([a-z0-9]+)[^>]*?(/?)>");
  std::vector<std::string> open;
  for (auto at = std::sregex_iterator(html.begin(), html.end(), tag); at != std::sregex_iterator();
       ++at) {
    const std::string name = (*at)[2];
    if (name == "meta" || (*at)[3].length() != 0) continue;
    if ((*at)[1].length() == 0) {
      open.push_back(name);
    } else {
      ASSERT_FALSE(open.empty()) << name;
      ASSERT_EQ(open.back(), name) << "at byte " << at->position();
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty());
}

void expect_no_reference(const std::string& html) {
  for (const char* reference :
       {"http:", "https:", "src=", "href=", "<link", "<script", "@import", "url("})
    EXPECT_EQ(html.find(reference), std::string::npos) << reference;
}

void expect_no_bad_number(const std::string& text) {
  static const std::regex bad("[^a-z](nan|inf)[^a-z]", std::regex::icase);
  std::smatch found;
  EXPECT_FALSE(std::regex_search(text, found, bad)) << found.str();
}

TEST(Bench, WritesTablePageAndData) {
  const temporary_folder folder;
  const std::string data = folder.file("results.json"), cost = folder.file("compile_cost.json"),
                    page = folder.file("report.html");
  const command_result bench = run_command(
      {BENCH_PROGRAM,
       "--benchmark_filter=^(gemm_packed/f32_f32/m:127|softmax/f32/rows:128|cast/f32_bf16/n:16384)",
       "--benchmark_min_time=0.01", "--benchmark_repetitions=2", "--benchmark_out=" + data,
       "--benchmark_out_format=json"});
  ASSERT_EQ(bench.status, 0) << bench.output;
  const json results = json::parse(read_text(data));
  std::string peers = results.at("context").at("peers");
  EXPECT_NE(peers.find("Eigen"), std::string::npos);
  std::vector<std::string> names;
  for (const json& run : results.at("benchmarks")) {
    if (run.at("run_type") != "iteration") continue;
    SCOPED_TRACE(run.dump());
    const std::string name = run.at("name");
    if (names.empty() || names.back() != name) names.push_back(name);
    for (const char* counter :
         {"of_ceiling", "seconds", "operations", "bytes", "peer:Eigen", "ratio"}) {
      EXPECT_TRUE(std::isfinite(run.at(counter).get<double>())) << counter;
      EXPECT_GT(run.at(counter), 0.0) << counter;
    }
    EXPECT_EQ(run.contains("GFLOP/s"), name.starts_with("gemm"));
    EXPECT_EQ(run.contains("GB/s"), !name.starts_with("gemm"));
  }
  EXPECT_EQ(names.size(), 3u);

  std::ofstream(cost) << R"({"seconds": 8.5, "object_bytes": 307200, "flags": "-O2"})";
  const command_result report = run_command({REPORT_PROGRAM, data, cost, page});
  ASSERT_EQ(report.status, 0) << report.output;
  const std::string html = read_text(page);
  for (const std::string& text : {report.output, html}) {
    for (const char* part : {"of ceiling", "to best peer", "8.50 s", "300 KiB", "Eigen "})
      EXPECT_NE(text.find(part), std::string::npos) << part;
    EXPECT_NE(text.find(peers), std::string::npos);
    expect_no_bad_number(text);
  }
  for (const std::string& name : names) {
    EXPECT_NE(report.output.find("\n| " + name), std::string::npos) << name;
    EXPECT_NE(html.find(name), std::string::npos) << name;
  }
  for (const char* part :
       {"<svg", "f32 ", "bf16 ", "int8 ", "memory ", "cache ", "prefers-color-scheme: dark"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  expect_balanced(html);
  expect_no_reference(html);
}

TEST(Bench, ReportShowsErrorsAndEscapesThem) {
  const temporary_folder folder;
  const std::string data = folder.file("results.json"), cost = folder.file("compile_cost.json"),
                    page = folder.file("report.html");
  json j = results_json({{"sum/f32", {100}}});
  j["benchmarks"].push_back({{"name", "gemm/x"},
                             {"run_type", "iteration"},
                             {"error_occurred", true},
                             {"error_message", "<b> & 'c'"}});
  write_results(data, j);
  std::ofstream(cost) << R"({"seconds": 8.5, "object_bytes": 307200, "flags": "-O2"})";
  const command_result report = run_command({REPORT_PROGRAM, data, cost, page});
  ASSERT_EQ(report.status, 0) << report.output;
  EXPECT_NE(report.output.find("ERROR"), std::string::npos);
  EXPECT_NE(report.output.find("2.00x Eigen"), std::string::npos) << report.output;
  const std::string html = read_text(page);
  EXPECT_NE(html.find("&lt;b&gt; &amp; &#39;c&#39;"), std::string::npos);
  expect_balanced(html);
}

TEST(Bench, ReportRefusesBadFiles) {
  const temporary_folder folder;
  const std::string data = folder.file("results.json"), cost = folder.file("compile_cost.json"),
                    page = folder.file("report.html");
  const auto expect_refused = [&](const std::string& part) {
    const command_result run = run_command({REPORT_PROGRAM, data, cost, page});
    EXPECT_EQ(run.status, 2) << run.output;
    EXPECT_NE(run.output.find(part), std::string::npos) << run.output;
  };
  expect_refused(data);
  write_results(data, results_json({{"sum/f32", {100}}}));
  expect_refused(cost);
  std::ofstream(cost) << R"({"seconds": 8.5, "object_bytes": 307200, "flags": "-O2"})";
  json j = results_json({{"sum/f32", {100}}});
  j["context"].erase("ceiling_f32_gflops");
  write_results(data, j);
  expect_refused("ceiling_f32_gflops");
  EXPECT_EQ(run_command({REPORT_PROGRAM}).status, 2);
}

TEST(Bench, CompileCostIsMeasured) {
  const temporary_folder folder;
  const std::string out = folder.file("cost.json");
  const command_result run =
      run_command({CMAKE_PROGRAM, "-D", "COMPILER=" CXX_COMPILER, "-D",
                   "FLAGS=-std=c++20;-O0;-DHALFWAY_STATIC_DISPATCH", "-D",
                   "INCLUDES=" PROJECT_FOLDER "/include;" HIGHWAY_INCLUDES, "-D", "OUT=" + out,
                   "-P", PROJECT_FOLDER "/bench/compile_cost/compile_cost.cmake"});
  ASSERT_EQ(run.status, 0) << run.output;
  const json cost = json::parse(read_text(out));
  EXPECT_GT(cost.at("seconds"), 0.01);
  EXPECT_LT(cost.at("seconds"), 300.0);
  EXPECT_GT(cost.at("object_bytes"), 1000);
}

}  // namespace
