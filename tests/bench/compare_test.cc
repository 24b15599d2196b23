// SPDX-License-Identifier: Apache-2.0
// bench_compare as a user runs it.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "bench/results_file.h"

#include "examples/run_command.h"
#include "support/temporary_folder.h"

namespace {

using halfway::testing::case_rates;
using halfway::testing::command_result;
using halfway::testing::results_json;
using halfway::testing::run_command;
using halfway::testing::temporary_folder;
using halfway::testing::write_results;
using nlohmann::json;

class Compare : public ::testing::Test {
 protected:
  command_result compare(const json& before, const json& after,
                         const std::vector<std::string>& options = {}) {
    write_results(before_file, before);
    write_results(after_file, after);
    std::vector<std::string> words = {COMPARE_PROGRAM, before_file, after_file};
    words.insert(words.end(), options.begin(), options.end());
    return run_command(words);
  }
  void expect_refused(const command_result& run, const std::vector<std::string>& parts) {
    EXPECT_EQ(run.status, 2) << run.output;
    for (const std::string& part : parts)
      EXPECT_NE(run.output.find(part), std::string::npos) << part << " is not in: " << run.output;
  }

  const temporary_folder folder;
  const std::string before_file = folder.file("old.json"), after_file = folder.file("new.json");
};

const case_rates steady = {{"sum/f32", {99, 100, 101}}, {"cast/f32", {199, 200, 201}}};

TEST_F(Compare, NothingSlower) {
  const command_result run = compare(results_json(steady), results_json(steady));
  EXPECT_EQ(run.status, 0) << run.output;
  EXPECT_NE(run.output.find("x1.000"), std::string::npos) << run.output;
}

TEST_F(Compare, ReportsGeometricMeanAndWorstFirst) {
  // Ratios 2 and 1/2 * 0.99: the mean is sqrt(0.99) = 0.99499.
  const command_result run = compare(results_json({{"a", {100}}, {"b", {100}}}),
                                     results_json({{"a", {200}}, {"b", {49.5}}}));
  EXPECT_EQ(run.status, 1) << run.output;
  EXPECT_NE(run.output.find("x0.995"), std::string::npos) << run.output;
  EXPECT_LT(run.output.find("x0.495 b"), run.output.find("x2.000 a")) << run.output;
}

TEST_F(Compare, SlowerByMoreThanTheThreshold) {
  case_rates slower = steady;
  slower["sum/f32"] = {87, 88, 89};
  const json before = results_json(steady), after = results_json(slower);
  const command_result run = compare(before, after);
  EXPECT_EQ(run.status, 1) << run.output;
  EXPECT_NE(run.output.find("x0.880 sum/f32"), std::string::npos) << run.output;
  EXPECT_NE(run.output.find("SLOWER"), std::string::npos) << run.output;
  EXPECT_EQ(compare(before, after, {"--threshold", "0.15"}).status, 0);
  EXPECT_EQ(compare(after, before).status, 0) << "faster is no regression";
}

TEST_F(Compare, NotSlowerThanRepetitionsDiffer) {
  // The median falls by a fifth, but old and new values lie among each other.
  const command_result run = compare(results_json({{"a", {60, 80, 100, 120, 140}}}),
                                     results_json({{"a", {50, 70, 80, 110, 130}}}));
  EXPECT_EQ(run.status, 0) << run.output;
}

TEST_F(Compare, OnlyCasesInBothFilesCount) {
  case_rates more = steady;
  more["new/case"] = {1};
  EXPECT_EQ(compare(results_json(steady), results_json(more)).status, 0);
  expect_refused(compare(results_json({{"a", {1}}}), results_json({{"b", {1}}})),
                 {"no case is in both", before_file, after_file});
}

TEST_F(Compare, OtherMachineOrBuild) {
  for (const std::string key : {"host_name", "cpu", "simd_target", "compiler", "build_flags"}) {
    json after = results_json(steady);
    after["context"][key] = "another one";
    expect_refused(compare(results_json(steady), after), {key, "another one"});
    after["context"].erase(key);
    expect_refused(compare(results_json(steady), after), {key, after_file});
  }
  json after = results_json(steady);
  after["context"]["host_name"] = "another one";
  EXPECT_EQ(compare(results_json(steady), after, {"--any-host"}).status, 0);
}

TEST_F(Compare, WrongResultInTheNewFile) {
  json after = results_json(steady);
  after["benchmarks"].push_back({{"name", "gemm/x"},
                                 {"run_type", "iteration"},
                                 {"error_occurred", true},
                                 {"error_message", "halfway: element 3 is 7"}});
  expect_refused(compare(results_json(steady), after), {"gemm/x", "element 3 is 7"});
}

TEST_F(Compare, FilesItCannotRead) {
  write_results(after_file, results_json(steady));
  expect_refused(run_command({COMPARE_PROGRAM, folder.file("none.json"), after_file}),
                 {"none.json", "cannot be read"});
  for (const char* text :
       {"", "{", "[]", "{\"context\": {}}", "{\"context\": {}, \"benchmarks\": []}"}) {
    std::ofstream(before_file) << text;
    expect_refused(run_command({COMPARE_PROGRAM, before_file, after_file}),
                   {before_file, "not what halfway_bench writes"});
  }
  json j = results_json(steady);
  j["benchmarks"][0]["GB/s"] = 0.0;
  expect_refused(compare(j, results_json(steady)), {before_file, "GB/s is 0"});
  j["benchmarks"][0].erase("GB/s");
  expect_refused(compare(j, results_json(steady)), {before_file});
}

TEST_F(Compare, BadOptions) {
  expect_refused(run_command({COMPARE_PROGRAM}), {"usage"});
  expect_refused(run_command({COMPARE_PROGRAM, "a"}), {"usage"});
  for (const char* value : {"0", "1", "-1", "nan", "x", "0.1x", ""})
    expect_refused(run_command({COMPARE_PROGRAM, "a", "b", "--threshold", value}), {"--threshold"});
  expect_refused(run_command({COMPARE_PROGRAM, "a", "b", "--no-such-option"}),
                 {"--no-such-option"});
}

}  // namespace
