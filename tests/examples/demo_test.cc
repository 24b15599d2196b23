// SPDX-License-Identifier: Apache-2.0
// The main job as a user runs it, on a small part of the data.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "examples/idx_files.h"
#include "examples/run_command.h"

namespace {

namespace fs = std::filesystem;
using halfway::testing::command_result;
using halfway::testing::run_command;
using halfway::testing::test_folder;
using nlohmann::json;

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

command_result run_quick(const test_folder& out, std::vector<std::string> more = {}) {
  std::vector<std::string> words = {DEMO_PROGRAM, "--quick", "--data",
                                    DATA_FOLDER,  "--out",   out.file("report")};
  words.insert(words.end(), more.begin(), more.end());
  return run_command(words);
}

#define HALFWAY_SKIP_WITHOUT_DATA() \
  if (!fs::exists(DATA_FOLDER)) GTEST_SKIP() << "dataset-fashion-mnist is missing"

const std::vector<std::string> run_names = {"FP32", "FP16 unscaled", "FP16 scaled", "BF16", "INT8"};

void expect_table(const std::string& text) {
  for (const char* title : {"accuracy", "as FP32", "SQNR", "steps/s", "weights", "activations",
                            "skipped", "non-finite", "final scale", "flushed"})
    EXPECT_NE(text.find(title), std::string::npos) << title << " is not in:\n" << text;
}

// Nothing in the page may point to another file or host. gnuplot refers to its own symbols (#...),
// and names the two vocabularies that SVG is written in.
void expect_self_contained(std::string html) {
  for (const std::string name : {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}) {
    for (std::size_t at; (at = html.find(name)) != std::string::npos;) html.erase(at, name.size());
  }
  for (const char* reference : {"http:", "https:", "src=", "<link", "<script", "@import", "url("})
    EXPECT_EQ(html.find(reference), std::string::npos) << reference;
  for (std::size_t at = 0; (at = html.find("href=", at)) != std::string::npos; ++at)
    EXPECT_EQ(html[at + 6], '#') << html.substr(at, 40);
}

TEST(Demo, QuickRunWritesTableSummaryAndReport) {
  HALFWAY_SKIP_WITHOUT_DATA();
  const test_folder folder;
  const command_result run = run_quick(folder);
  ASSERT_EQ(run.status, 0) << run.output;
  expect_table(run.output);
  for (const std::string& name : run_names)
    EXPECT_NE(run.output.find('\n' + name), std::string::npos) << name << "\n" << run.output;
  EXPECT_NE(run.output.find("FP16 without scaling fails because"), std::string::npos);
  EXPECT_EQ(run.output.find('\r'), std::string::npos) << "progress bars without a terminal";

  const json summary = json::parse(read_text(folder.file("report/summary.json")));
  EXPECT_EQ(summary.at("data").at("train_images"), 2048);
  EXPECT_EQ(summary.at("data").at("test_images"), 512);
  EXPECT_EQ(summary.at("settings").at("planned_steps"), 16);
  EXPECT_TRUE(summary.at("why_fp16_needs_scaling").is_string());
  ASSERT_EQ(summary.at("runs").size(), run_names.size());
  for (std::size_t r = 0; r < run_names.size(); ++r) {
    const json& j = summary.at("runs")[r];
    SCOPED_TRACE(j.dump());
    EXPECT_EQ(j.at("name"), run_names[r]);
    EXPECT_TRUE(j.at("policy").is_string());
    const bool trained = run_names[r] != "INT8";
    for (const char* share : {"accuracy", "agreement_with_fp32"}) {
      EXPECT_GE(j.at(share), 0.0);
      EXPECT_LE(j.at(share), 1.0);
    }
    // Ten classes: whatever learned anything at all is right more often than one in ten.
    EXPECT_GT(j.at("accuracy"), 0.2);
    EXPECT_EQ(j.at("sqnr_db").is_null(), run_names[r] == "FP32");
    EXPECT_GT(j.at("weight_bytes"), 0);
    EXPECT_GT(j.at("activation_bytes"), 0);
    for (const char* field : {"steps", "steps_per_second", "skipped_steps", "non_finite_gradients",
                              "final_scale", "flushed_share"})
      EXPECT_EQ(j.at(field).is_number(), trained) << field;
    EXPECT_EQ(j.at("epoch_losses").size(), trained ? 1u : 0u);
  }
  // 16-bit weights and activations take half the bytes but for biases and logits, 8-bit ones less.
  const auto bytes = [&](std::size_t r) {
    return summary["runs"][r]["weight_bytes"].get<double>() +
           summary["runs"][r]["activation_bytes"].get<double>();
  };
  EXPECT_NEAR(bytes(3) / bytes(0), 0.5, 0.01);
  EXPECT_LT(bytes(4), bytes(3));

  const std::string html = read_text(folder.file("report/report.html"));
  expect_table(html);
  expect_self_contained(html);
}

TEST(Demo, ReportAppearsWithoutGnuplot) {
  HALFWAY_SKIP_WITHOUT_DATA();
  const test_folder folder;
  const command_result run = run_quick(folder, {"--gnuplot", "/nonexistent/gnuplot"});
  ASSERT_EQ(run.status, 0) << run.output;
  EXPECT_NE(run.output.find("/nonexistent/gnuplot"), std::string::npos) << run.output;
  const std::string html = read_text(folder.file("report/report.html"));
  expect_table(html);
  expect_self_contained(html);
  EXPECT_NE(html.find("/nonexistent/gnuplot"), std::string::npos);
  EXPECT_EQ(html.find("<svg"), std::string::npos);
}

TEST(Demo, TrainsInTheGivenPolicy) {
  HALFWAY_SKIP_WITHOUT_DATA();
  const test_folder folder;
  const command_result run = run_quick(folder, {"--policy", "p=f32,c=bf16,o=f32"});
  ASSERT_EQ(run.status, 0) << run.output;
  const json summary = json::parse(read_text(folder.file("report/summary.json")));
  ASSERT_EQ(summary.at("runs").size(), 3u);
  EXPECT_EQ(summary["runs"][1]["policy"], "params=float32,compute=bfloat16,output=float32");
  EXPECT_EQ(summary["runs"][1]["weight_bytes"].get<double>() * 2,
            summary["runs"][0]["weight_bytes"].get<double>() +
                4 * (4 * 256 + 10 + 2 * 256));  // biases, gamma and beta are FP32 in both
}

TEST(Demo, TheSameSeedGivesTheSameResult) {
  HALFWAY_SKIP_WITHOUT_DATA();
  std::vector<json> summaries;
  for (const char* seed : {"5", "5", "6"}) {
    const test_folder folder;
    const command_result run = run_quick(folder, {"--policy", "amp-bf16", "--seed", seed});
    ASSERT_EQ(run.status, 0) << run.output;
    summaries.push_back(json::parse(read_text(folder.file("report/summary.json"))).at("runs"));
  }
  for (const std::size_t r : {0u, 1u}) {
    EXPECT_EQ(summaries[0][r]["epoch_losses"], summaries[1][r]["epoch_losses"]);
    EXPECT_NE(summaries[0][r]["epoch_losses"], summaries[2][r]["epoch_losses"]);
  }
}

void expect_refused(const command_result& run, const std::vector<std::string>& parts) {
  EXPECT_EQ(run.status, 2) << run.output;
  for (const std::string& part : parts)
    EXPECT_NE(run.output.find(part), std::string::npos) << part << " is not in: " << run.output;
}

TEST(Demo, MissingDataNamesThePackage) {
  const test_folder folder;
  expect_refused(
      run_command({DEMO_PROGRAM, "--data", "/nonexistent/folder", "--out", folder.file("report")}),
      {"/nonexistent/folder", "dataset-fashion-mnist"});
  EXPECT_FALSE(fs::exists(folder.file("report")));
}

TEST(Demo, TruncatedDataNamesTheFile) {
  HALFWAY_SKIP_WITHOUT_DATA();
  const test_folder folder;
  for (const fs::directory_entry& file : fs::directory_iterator(DATA_FOLDER))
    fs::copy(file.path(), folder.file(file.path().filename().string()));
  const std::string cut = folder.file("train-images-idx3-ubyte.gz");
  fs::resize_file(cut, fs::file_size(cut) / 2);
  expect_refused(
      run_command({DEMO_PROGRAM, "--data", folder.path(), "--out", folder.file("report")}),
      {cut, "60000 x 28 x 28", "47040000 bytes", "cut off"});
}

TEST(Demo, PoliciesItCannotTrain) {
  expect_refused(run_command({DEMO_PROGRAM, "--policy", "p=f32,c=bfloat17,o=f32"}),
                 {"bfloat17", "bfloat16"});
  expect_refused(run_command({DEMO_PROGRAM, "--policy", "pure-fp16"}),
                 {"params=float16,compute=float16,output=float16"});
  expect_refused(run_command({DEMO_PROGRAM, "--policy", "p=f32,c=e4m3,o=f32"}),
                 {"compute=float8_e4m3fn"});
}

TEST(Demo, BadOptions) {
  expect_refused(run_command({DEMO_PROGRAM, "--epochs", "0"}), {"--epochs"});
  expect_refused(run_command({DEMO_PROGRAM, "--no-such-option"}), {"--no-such-option"});
  const command_result help = run_command({DEMO_PROGRAM, "--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* option :
       {"--epochs", "--batch", "--seed", "--policy", "--data", "--out", "--gnuplot", "--quick"})
    EXPECT_NE(help.output.find(option), std::string::npos) << option;
}

}  // namespace
