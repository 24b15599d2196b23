// SPDX-License-Identifier: Apache-2.0
// The example that decodes tokens, as a user runs it, with little training.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "data/fortunes.h"
#include "examples/run_command.h"

namespace {

using halfway::testing::command_result;
using halfway::testing::run_command;

// The number that follows a text.
double number(const std::string& output, const std::string& text) {
  const std::size_t at = output.find(text);
  EXPECT_NE(at, std::string::npos) << text << " is not in\n" << output;
  return at == std::string::npos ? 0 : std::strtod(output.c_str() + at + text.size(), nullptr);
}

struct way {
  double weights = 0, cache = 0, sqnr = 0, same = 0, perplexity = 0, speed = 0;
};

way row_of(const std::string& output, const std::string& name) {
  const std::size_t at = output.find("\n" + name + "  ");
  EXPECT_NE(at, std::string::npos) << name << " is not in\n" << output;
  if (at == std::string::npos) return {};
  std::istringstream row(output.substr(at + 1 + name.size()));
  std::string sqnr, same;
  way w;
  row >> w.weights >> w.cache >> sqnr >> same >> w.perplexity >> w.speed;
  EXPECT_TRUE(row) << output;
  w.sqnr = std::strtod(sqnr.c_str(), nullptr);  // "inf" too
  w.same = std::strtod(same.c_str(), nullptr);
  return w;
}

TEST(DecodeTokens, WritesTheSameWithACacheAndInFewerBits) {
  if (!std::filesystem::exists(FORTUNES_FOLDER)) GTEST_SKIP() << "the package fortunes is missing";
  const command_result run = run_command(
      {DECODE_TOKENS_PROGRAM, "--steps", "60", "--windows", "16", "--data", FORTUNES_FOLDER});
  ASSERT_EQ(run.status, 0) << run.output;
  const std::string& output = run.output;

  // It has learned more than how frequent each character is.
  const language::corpus text = language::read_fortunes(FORTUNES_FOLDER);
  EXPECT_LT(number(output, "steps of training: "),
            language::unigram_entropy(text.train, text.held_out));

  // Nine characters of prompt, 87 written. The longest path of roundings from a token to a logit
  // has two blocks of four products with sums of at most 384, and a last one: errors of 1536 u in
  // proportion to logits whose magnitudes add up to less than 100.
  EXPECT_NE(output.find("with the cache 87 of 87 tokens as without"), std::string::npos) << output;
  const double difference = number(output, "logits differ by up to ");
  EXPECT_LE(difference, 1536 * 0x1p-24 * 100);
  EXPECT_GT(number(output, "the nearest runner-up is "), 2 * difference);
  EXPECT_NE(output.find("FP32, 96 of 96 characters as FP32:\nThe only "), std::string::npos);

  const way fp32 = row_of(output, "FP32"), bf16 = row_of(output, "bfloat16"),
            int8 = row_of(output, "int8");
  // Weights of two blocks and the head, and a row of the table; all are multiples of 32 columns.
  const double weights = 2 * (96 * 288 + 96 * 96 + 2 * 96 * 384) + 96 * 96, row = 4 * 96;
  EXPECT_EQ(fp32.weights, 4 * weights + row);
  EXPECT_EQ(bf16.weights, 2 * weights + row);
  EXPECT_EQ(int8.weights, (1 + 4.0 / 32) * weights + row);  // a scale for 32 codes
  EXPECT_EQ(fp32.cache, 2 * 2 * 96 * 4);                    // keys and values of two blocks
  EXPECT_EQ(bf16.cache, 2 * 2 * 96 * 2);
  EXPECT_EQ(int8.cache, 2 * 2 * (96 + 4 * 4));  // a scale for each head

  EXPECT_TRUE(std::isinf(fp32.sqnr));
  EXPECT_EQ(fp32.same, 100);
  EXPECT_GT(bf16.sqnr,
            int8.sqnr);  // int8 rounds its activations to bfloat16, and weights and cache more
  // Roundings to eight bits are 2^-9 of a value at most, 54 dB; those of 17 tensors one after the
  // other add up to a noise that is sqrt(17) times as large, 12 dB.
  EXPECT_GT(bf16.sqnr, 54 - 12);
  EXPECT_GT(int8.sqnr, 54 - 12 - 6);  // with two roundings where bfloat16 has one
  for (const way& narrow : {bf16, int8}) {
    EXPECT_GT(narrow.same, 95);
    // At 36 dB logits err by 1.6% of their root mean square, which is below 6: by 0.1, and so do
    // the nats of a character at most, of either sign.
    EXPECT_NEAR(std::log(narrow.perplexity), std::log(fp32.perplexity), 0.1);
    EXPECT_GT(narrow.speed, 0);
  }
}

TEST(DecodeTokens, SaysWhatIsWrong) {
  const command_result run = run_command({DECODE_TOKENS_PROGRAM, "--data", "/nonexistent/folder"});
  EXPECT_EQ(run.status, 2);
  for (const char* text : {"/nonexistent/folder", "package fortunes"})
    EXPECT_NE(run.output.find(text), std::string::npos) << run.output;
  EXPECT_EQ(run_command({DECODE_TOKENS_PROGRAM, "--steps", "0"}).status, 2);
}

}  // namespace
