// SPDX-License-Identifier: Apache-2.0
// The examples of one file that run a trained classifier, as a user runs them.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "examples/run_command.h"

namespace {

using halfway::testing::command_result;
using halfway::testing::run_command;

#define HALFWAY_SKIP_WITHOUT_IMAGES() \
  if (!std::filesystem::exists(IMAGES_FOLDER)) GTEST_SKIP() << "dataset-fashion-mnist is missing"

std::string run_to_the_end(const std::string& program) {
  const command_result run = run_command({program, IMAGES_FOLDER});
  EXPECT_EQ(run.status, 0) << run.output;
  return run.output;
}

// What stands from one heading up to the next, or the end.
std::string part(const std::string& output, const std::string& from, const std::string& to) {
  const std::size_t first = output.find(from);
  EXPECT_NE(first, std::string::npos) << from << " is not in\n" << output;
  if (first == std::string::npos) return {};
  return output.substr(first, output.find(to, first + from.size()) - first);
}

// The number that follows a text.
double number(const std::string& output, const std::string& text) {
  const std::size_t at = output.find(text);
  EXPECT_NE(at, std::string::npos) << text << " is not in\n" << output;
  return at == std::string::npos ? 0 : std::strtod(output.c_str() + at + text.size(), nullptr);
}

void expect_parts(const std::string& output, const std::vector<std::string>& parts) {
  for (const std::string& p : parts)
    EXPECT_NE(output.find(p), std::string::npos) << p << " is not in\n" << output;
}

TEST(AutocastInference, CastsOnceAndKeepsTheAnswers) {
  HALFWAY_SKIP_WITHOUT_IMAGES();
  const std::string output = run_to_the_end(AUTOCAST_INFERENCE_PROGRAM);
  const std::string fp32 = part(output, "no scope", "bfloat16 scope"),
                    bf16 = part(output, "bfloat16 scope", "float16 scope: linear in float16"),
                    fp16 = part(output, "float16 scope: linear in float16", "\n\n");
  const std::size_t weights = 784 * 256 + 256 * 10;
  EXPECT_EQ(number(fp32, "a batch reads "), 4 * weights);
  expect_parts(fp32, {"linear in float32, softmax in float32", "as float32: 100.00%"});
  EXPECT_GT(number(fp32, "right: "), 80);  // it has learned
  for (const std::string& narrow : {bf16, fp16}) {
    // Two layers, ten batches: the first batch casts, the other nine find the casts.
    expect_parts(narrow, {"softmax in float32", "weights cast: 2 times", "cache: 18 times"});
    EXPECT_EQ(number(narrow, "a batch reads "), 2 * weights);
    // An answer changes only where two logits are within two errors of each other: a theorem, which
    // the program's own two figures must obey.
    const double changed = 100 * (100 - number(narrow, "as float32: "));
    EXPECT_LE(changed, number(narrow, "may change: ") + 0.5);  // of 10000; half a unit of the print
    EXPECT_LE(number(narrow, "may change: "), 1000);           // or the theorem would say little
  }
  // The unit roundoff of half is an eighth of bfloat16's, and errors are in proportion to it: 18
  // dB. Half of an amplitude, 6 dB, is left to how single roundings fall.
  EXPECT_GT(number(fp16, "SQNR: "), number(bf16, "SQNR: ") + 12);
  EXPECT_LT(number(fp16, "error of a logit: "), number(bf16, "error of a logit: ") / 4);
}

TEST(AdaptivePrecision, FollowsTheInputsAndComesBack) {
  HALFWAY_SKIP_WITHOUT_IMAGES();
  const std::string output = run_to_the_end(ADAPTIVE_PRECISION_PROGRAM);
  const std::string usual = part(output, "30 batches of shares", "10 batches of 14-bit"),
                    wide = part(output, "10 batches of 14-bit", "30 batches of shares"),
                    wider = part(output, "10 batches of 16-bit", "60 batches of shares"),
                    last = part(output, "60 batches of shares", "\n\n");
  EXPECT_EQ(usual.find("call"), std::string::npos) << usual;
  expect_parts(usual, {"half alone: 0;", "now float16 and float16"});
  // 16383 is in half's range, and what the first layer makes of it is not; 65535 is not itself.
  EXPECT_EQ(wide.find(": hidden:"), std::string::npos) << wide;
  expect_parts(wide, {"call 31: output: float16 -> bfloat16", "now float16 and bfloat16"});
  expect_parts(wider, {": hidden: float16 -> bfloat16: non_finite", ": output: float16 -> bfloat16",
                       "now bfloat16 and bfloat16"});
  for (const std::string& shifted : {wide, wider}) {
    expect_parts(shifted, {"not finite: 0 of 500"});
    EXPECT_GT(number(shifted, "half alone: "), 0);
    EXPECT_GT(number(shifted, "right: "), number(shifted, " and "));  // answers that half loses
  }
  // Back after 20 quiet calls; what has failed since its last return waits for twice as many.
  expect_parts(part(output, "10 batches of 14-bit", "10 batches of 16-bit"),
               {"output: bfloat16 -> float16: quiet: 20 against a limit of 20"});
  expect_parts(last, {"hidden: bfloat16 -> float16: quiet: 20 against a limit of 20",
                      "output: bfloat16 -> float16: quiet: 40 against a limit of 40",
                      "half alone: 0;", "now float16 and float16"});
  EXPECT_EQ(run_to_the_end(ADAPTIVE_PRECISION_PROGRAM), output);
}

TEST(CanaryGate, PassesTheGoodAndStopsTheBadEarly) {
  HALFWAY_SKIP_WITHOUT_IMAGES();
  const command_result good = run_command({CANARY_GATE_PROGRAM, "bf16", IMAGES_FOLDER});
  EXPECT_EQ(good.status, 0) << good.output;
  expect_parts(good.output, {"bf16: acceptable after "});
  EXPECT_LT(number(good.output, "more mistakes in 100 requests: "), 1);

  const command_result bad = run_command({CANARY_GATE_PROGRAM, "int2", IMAGES_FOLDER});
  EXPECT_EQ(bad.status, 1) << bad.output;
  expect_parts(bad.output, {"int2: worse after "});
  EXPECT_GT(number(bad.output, "more mistakes in 100 requests: "), 1);
  // One pair multiplies the capital of a bet of one half by at most 1 + (1 - 0.01) / 1.01 / 2 =
  // 1.49, and 1000 times is needed: no verdict before 18 pairs.
  EXPECT_GE(number(bad.output, "after "), 18);
  EXPECT_LT(number(bad.output, "after "), number(good.output, "after "));

  // Whether int4 passes with so few requests is for the weights to say; the exit status says the
  // same.
  const command_result near = run_command({CANARY_GATE_PROGRAM, "int4", IMAGES_FOLDER});
  EXPECT_EQ(near.status, near.output.find("acceptable") != std::string::npos ? 0 : 1)
      << near.output;
  EXPECT_EQ(near.output.find("worse"), std::string::npos) << near.output;
}

TEST(CanaryGate, SaysWhatIsWrong) {
  const command_result none = run_command({CANARY_GATE_PROGRAM});
  EXPECT_EQ(none.status, 2);
  expect_parts(none.output, {"usage: canary_gate bf16|int4|int2"});
  const command_result folder = run_command({CANARY_GATE_PROGRAM, "bf16", "/nonexistent/folder"});
  EXPECT_EQ(folder.status, 2);
  expect_parts(folder.output, {"/nonexistent/folder", "dataset-fashion-mnist"});
  HALFWAY_SKIP_WITHOUT_IMAGES();
  const command_result other = run_command({CANARY_GATE_PROGRAM, "int3", IMAGES_FOLDER});
  EXPECT_EQ(other.status, 2);
  expect_parts(other.output, {"int3", "bf16, int4 or int2"});
}

}  // namespace
