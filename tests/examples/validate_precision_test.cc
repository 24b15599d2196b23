// SPDX-License-Identifier: Apache-2.0
// The program as CI runs it: exit codes, what it prints, JUnit XML.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "examples/run_command.h"
#include "halfway/io/safetensors_writer.h"
#include "halfway/types/bfloat16.h"
#include "support/guide.h"
#include "support/temporary_folder.h"

namespace {

using halfway::bfloat16;
using halfway::testing::command_result;
using halfway::testing::run_command;

void expect_holds(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in:\n" << text;
}
void expect_lacks(const std::string& text, const std::string& part) {
  EXPECT_EQ(text.find(part), std::string::npos) << "\"" << part << "\" is in:\n" << text;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Tensors of a small network, in FP32 and as bfloat16 stores them, in files that a test may change.
class ValidatePrecision : public ::testing::Test {
 protected:
  ValidatePrecision() {
    for (const char* name : {"blocks.10.out", "blocks.2.out", "embedding"}) {
      for (int i = 0; i < 64; ++i) tensors_[name].push_back(std::sin(static_cast<float>(i) + 1));
    }
    for (int i = 0; i < 40; ++i) tensors_["logits"].push_back(static_cast<float>(i * 7 % 40));
    write(folder_.file("baseline"), false);
  }

  void write(const std::string& path, bool narrow) {
    halfway::safetensors_writer out;
    std::map<std::string, std::vector<bfloat16>> rounded;
    for (const auto& [name, values] : tensors_) {
      std::vector<std::uint64_t> shape = {4, values.size() / 4};
      if (shapes_.contains(name)) shape = shapes_[name];
      if (narrow) {
        for (const float x : values) rounded[name].push_back(bfloat16(x));
        out.add(name, rounded[name], shape);
      } else {
        out.add(name, values, shape);
      }
    }
    out.add("steps", steps_);
    out.write(path);
  }

  // The candidate as it is now, in bfloat16, against these objectives.
  command_result run(const std::string& slo, const std::vector<std::string>& more = {}) {
    write(folder_.file("candidate"), true);
    std::ofstream(folder_.file("slo.json")) << slo;
    std::vector<std::string> words = {
        VALIDATE_PRECISION_PROGRAM, "--baseline", folder_.file("baseline"), "--candidate",
        folder_.file("candidate"),  "--slo",      folder_.file("slo.json")};
    words.insert(words.end(), more.begin(), more.end());
    return run_command(words);
  }

  halfway::testing::temporary_folder folder_;
  std::map<std::string, std::vector<float>> tensors_;
  std::map<std::string, std::vector<std::uint64_t>> shapes_;  // where not 4 rows
  std::vector<std::int64_t> steps_ = {1, 2, 3};
};

// Rounding to bfloat16 errs by 2^-9 of a value at most, half a unit: an SQNR of at least 54 dB. The
// logits, integers below 40, are exact.
const std::string fair = R"({"ulp_type": "bfloat16", "order": ["embedding", "blocks.*", "logits"],
  "tensors": [
    {"match": "*", "sqnr_db": 54, "max_ulps": 0.5, "max_absolute_error": 0.002},
    {"match": "logits", "top1_agreement": 1, "mean_kl": 0, "sqnr_db": 1000, "top_k": 3}]})";

TEST_F(ValidatePrecision, Returns0WhereEveryObjectiveIsMet) {
  const command_result r = run(fair);
  EXPECT_EQ(r.status, 0) << r.output;
  expect_holds(r.output, "0 of 16 objectives missed");  // 4 * 3, 3 and the integers' equality
  expect_lacks(r.output, "part at");
  // In the order of the network, numbers as numbers.
  std::size_t last = 0;
  for (const char* name : {"embedding", "blocks.2.out", "blocks.10.out", "logits"}) {
    const std::size_t at = r.output.find(name);
    ASSERT_NE(at, std::string::npos) << r.output;
    EXPECT_GT(at + 1, last) << name;
    last = at + 1;
  }
}

TEST_F(ValidatePrecision, Returns1AndSaysWhatAndWhere) {
  tensors_["blocks.10.out"][5] += 0.25f;
  tensors_["blocks.2.out"][7] += 0.125f;
  std::swap(tensors_["logits"][0], tensors_["logits"][5]);  // the largest of the first row
  const command_result r = run(fair, {"--junit", folder_.file("out.xml")});
  EXPECT_EQ(r.status, 1) << r.output;
  expect_holds(r.output, "The runs part at blocks.2.out\n");
  expect_holds(r.output, "max_absolute_error <= 0.002");
  expect_holds(r.output, "top1_agreement >= 1");
  expect_lacks(r.output, "embedding     sqnr_db");
  const std::string xml = text_of(folder_.file("out.xml"));
  expect_holds(xml, "<testsuite name=\"validate_precision\" tests=\"16\" failures=\"");
  expect_holds(xml, "<testcase classname=\"blocks.2.out\" name=\"sqnr_db &gt;= 54\"><failure");
  expect_holds(xml, "<testcase classname=\"embedding\" name=\"sqnr_db &gt;= 54\"/>");
  expect_holds(xml, "name=\"max_ulps &lt;= 0.5\"");
  expect_holds(xml, "classname=\"steps\" name=\"equal\"/>");
}

TEST_F(ValidatePrecision, FindsTheFirstNanAndChangedIntegers) {
  tensors_["blocks.10.out"][3] = std::nanf("");
  tensors_["blocks.2.out"][9] = HUGE_VALF;
  steps_[1] = 7;
  const command_result r = run(fair);
  EXPECT_EQ(r.status, 1) << r.output;
  expect_holds(r.output, "The first NaN or infinity is blocks.2.out[9]\n");
  expect_holds(r.output, "1 values broken");
  expect_holds(r.output, "different");
}

TEST_F(ValidatePrecision, JudgesLatencyByPercentiles) {
  std::ofstream(folder_.file("timings.json")) << "[0.5, 0.1, 0.4, 0.2, 0.3]";
  const std::vector<std::string> timings = {"--timings", folder_.file("timings.json")};
  command_result r = run(R"({"latency": {"p50": 0.3, "p80": 0.4, "p100": 0.5}})", timings);
  EXPECT_EQ(r.status, 0) << r.output;
  r = run(R"({"latency": {"p50": 0.29, "p80.1": 0.4}})", timings);
  EXPECT_EQ(r.status, 1) << r.output;
  expect_holds(r.output, "2 of 3 objectives missed");
  expect_holds(r.output, "p80.1 <= 0.4       0.5");
}

// Of 4000 rows of two choices, the right one is 1; logits are (0, x). The canary needs about
// 2 variance (ln 1000 + ln 12) / difference^2 of them: 1900 with a drop of 0 against 0.01, 400 with
// one of 0.1 against it.
TEST_F(ValidatePrecision, TestsWhetherMistakesBecomeMore) {
  const auto with_mistakes = [&](int percent) {
    tensors_["scores"].clear();
    for (int i = 0; i < 4000; ++i) {
      tensors_["scores"].insert(tensors_["scores"].end(), {0.0f, i % 100 < percent ? -1.0f : 1.0f});
    }
  };
  shapes_["scores"] = {4000, 2};
  const std::vector<std::int64_t> labels(4000, 1);
  halfway::safetensors_writer out;
  out.add("scores", labels);
  out.write(folder_.file("labels"));
  const std::vector<std::string> data = {"--data", folder_.file("labels")};
  const std::string slo = R"({"tensors": [{"match": "scores", "accuracy_drop": 0.01}]})";
  with_mistakes(10);
  write(folder_.file("baseline"), false);
  command_result r = run(slo, data);
  EXPECT_EQ(r.status, 0) << r.output;
  with_mistakes(20);
  r = run(slo, data);
  EXPECT_EQ(r.status, 1) << r.output;
  expect_holds(r.output, "accuracy_drop <= 0.01 (error rate 0.001)");
  expect_holds(r.output, "worse after");
  with_mistakes(11);  // at the margin nothing can be proven
  r = run(slo, data);
  EXPECT_EQ(r.status, 1) << r.output;
  expect_holds(r.output, "0.01, undecided after 4000 rows");

  EXPECT_EQ(run(slo).status, 2);
  EXPECT_EQ(run(fair, data).status, 2);
  r = run(R"({"tensors": [{"match": "logits", "accuracy_drop": 0.01}]})", data);
  EXPECT_EQ(r.status, 2);
  expect_holds(r.output, "no tensor \"logits\"");
  r = run(R"({"tensors": [{"match": "scores", "accuracy_drop": 1}]})", data);
  EXPECT_EQ(r.status, 2);
  expect_holds(r.output, "accuracy_drop must be within (-1, 1)");
}

TEST_F(ValidatePrecision, ReadsTheObjectivesOfTheGuide) {
  const auto blocks = halfway::testing::blocks_of_guide(FIDELITY_GUIDE, "json");
  ASSERT_EQ(blocks.size(), 1u);
  std::ofstream(folder_.file("seconds.json")) << "[0.01, 0.02]";
  halfway::safetensors_writer labels;
  const std::vector<std::int32_t> right = {1, 2, 3, 4};
  labels.add("logits", right);
  labels.write(folder_.file("labels"));
  const command_result r =
      run(blocks[0], {"--timings", folder_.file("seconds.json"), "--data", folder_.file("labels")});
  // Four rows that agree prove little: at least 4 / (4 + 1.96^2) of all do; nor of mistakes.
  EXPECT_EQ(r.status, 1) << r.output;
  expect_holds(r.output, "top1_agreement >= 0.99 (confidence 0.95)  ");
  expect_holds(r.output, "  0.510109\n");
  expect_holds(r.output, "2 of 13 objectives missed");
}

TEST_F(ValidatePrecision, Returns2OnBadInput) {
  const auto expect_refused = [&](const std::string& slo, const std::string& part,
                                  const std::vector<std::string>& more = {}) {
    const command_result r = run(slo, more);
    EXPECT_EQ(r.status, 2) << r.output;
    expect_holds(r.output, part);
  };
  expect_refused("{", "slo.json");
  expect_refused("{}", "no objective");
  expect_refused("[]", "must be an object");
  expect_refused(R"({"tensor": []})", "tensor is not");
  expect_refused(R"({"ulp_type": "bf17", "tensors": []})", "bf17");
  expect_refused(R"({"ulp_type": "int8", "tensors": [{"match": "*", "cosine": 1}]})", "int8");
  expect_refused(R"({"tensors": [{"cosine": 1}]})", "no \"match\"");
  expect_refused(R"({"tensors": [{"match": "*"}]})", "no objective");
  expect_refused(R"({"tensors": [{"match": "*", "sqnr": 1}]})", "metric (sqnr)");
  expect_refused(R"({"tensors": [{"match": "*", "sqnr_db": "1"}]})", "must be a number");
  expect_refused(R"({"tensors": [{"match": "*", "mean_kl": 1, "confidence": 1}]})", "confidence");
  expect_refused(R"({"tensors": [{"match": "*", "cosine": 1, "confidence": 0.9}]})", "confidence");
  expect_refused(R"({"tensors": [{"match": "*", "mean_kl": 1, "top_k": 0}]})", "top_k");
  expect_refused(R"({"tensors": [{"match": "block.*", "cosine": 1}]})", "\"block.*\" matches no");
  expect_refused(R"({"latency": {"p99": 1}})", "needs --timings");
  std::ofstream(folder_.file("timings.json")) << "[1, -1]";
  const std::vector<std::string> timings = {"--timings", folder_.file("timings.json")};
  expect_refused(R"({"latency": {"p99": 1}})", "timings.json[1]", timings);
  expect_refused(R"({"latency": {"p0": 1}})", "p0 must be", timings);
  expect_refused(R"({"latency": {"99": 1}})", "99 must be", timings);
  expect_refused(fair, "needs latency", timings);
  expect_refused(fair, "cannot be written", {"--junit", "/nowhere/out.xml"});
  expect_refused(fair, "--unknown", {"--unknown"});
  tensors_["extra"] = {1, 2, 3, 4};
  expect_refused(fair, "extra of the candidate is not in the baseline");
  tensors_.erase("extra");
  tensors_.erase("logits");
  expect_refused(fair, "logits of the baseline is not in the candidate");
  tensors_["logits"] = {1, 2, 3, 4};
  expect_refused(fair, "[4, 10] in the baseline, [4, 1] in the candidate");
  std::ofstream(folder_.file("baseline")) << "no tensors";
  expect_refused(fair, "baseline");
}

TEST_F(ValidatePrecision, ExplainsItself) {
  EXPECT_EQ(run_command({VALIDATE_PRECISION_PROGRAM}).status, 2);
  const command_result help = run_command({VALIDATE_PRECISION_PROGRAM, "--help"});
  EXPECT_EQ(help.status, 0);
  expect_holds(help.output, "--candidate");
}

}  // namespace
