// SPDX-License-Identifier: Apache-2.0
// The transformer's example as a user runs it, with little training, and what it is made of.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "examples/run_command.h"
#include "precision_search/half_operations.h"
#include "precision_search/model.h"
#include "data/fortunes.h"
#include "precision_search/transformer.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using halfway::testing::command_result;
using halfway::testing::expect_error;
using halfway::testing::run_command;
using halfway::testing::temporary_folder;
using nlohmann::json;

json read_json(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return json::parse(in);
}

const json& row_of(const json& table, const std::string& name) {
  for (const json& row : table)
    if (row.at("name") == name) return row;
  ADD_FAILURE() << name << " is not in " << table.dump(1);
  return table.at(0);
}

double top1(const json& table, const std::string& name) {
  return row_of(table, name).at("top1_agreement");
}
double sqnr(const json& table, const std::string& name) {
  return row_of(table, name).at("sqnr_db");
}
double bytes(const json& table, const std::string& name) {
  return row_of(table, name).at("weight_bytes");
}

#define HALFWAY_SKIP_WITHOUT_TEXT() \
  if (!fs::exists(FORTUNES_FOLDER)) GTEST_SKIP() << "the package fortunes is missing"

const std::vector<std::string> row_names = {"FP32",
                                            "FP16 everywhere, and inside",
                                            "FP16 everywhere",
                                            "FP8 everywhere",
                                            "autocast FP16",
                                            "autocast BF16",
                                            "searched, small",
                                            "searched, small and fast",
                                            "adaptive, as settled"};

struct finished_run {
  std::string output;
  std::string folder;
  json summary;
};

finished_run run_quick(const std::string& folder) {
  const command_result run = run_command(
      {PRECISION_SEARCH_PROGRAM, "--quick", "--data", FORTUNES_FOLDER, "--out", folder});
  EXPECT_EQ(run.status, 0) << run.output;
  return {run.output, folder,
          run.status == 0 ? read_json(folder + "/summary.json") : json::object()};
}

void expect_learned_more_than_frequencies(const finished_run& run) {
  // Of the held-out text: what single characters' frequencies give, and what the model makes of it.
  const double perplexity = row_of(run.summary.at("trained"), "FP32").at("perplexity");
  EXPECT_LT(std::log(perplexity), run.summary.at("unigram_entropy").get<double>());
}

void expect_every_row_of_both_tables(const finished_run& run) {
  for (const std::string& name : row_names) {
    const std::size_t first = run.output.find('\n' + name + "  ");
    ASSERT_NE(first, std::string::npos) << name << "\n" << run.output;
    EXPECT_NE(run.output.find('\n' + name + "  ", first + 1), std::string::npos) << name;
  }
  for (const char* table : {"trained", "larger_residuals"}) {
    const json& fp32 = row_of(run.summary.at(table), "FP32");
    EXPECT_TRUE(fp32.at("sqnr_db").is_null());  // infinite
    EXPECT_EQ(fp32.at("top1_agreement"), 1.0);
    for (const std::string& name : row_names) {
      const json& row = row_of(run.summary.at(table), name);
      EXPECT_EQ(row.at("microseconds_per_token").is_null(), name == row_names[1]) << name;
      EXPECT_LE(bytes(run.summary.at(table), name), bytes(run.summary.at(table), "FP32")) << name;
    }
  }
}

void expect_autocast_nearer_than_narrow_types(const finished_run& run) {
  const json& table = run.summary.at("trained");
  EXPECT_GT(sqnr(table, "autocast FP16"), sqnr(table, "FP16 everywhere"));
  EXPECT_GT(sqnr(table, "FP16 everywhere"), sqnr(table, "FP16 everywhere, and inside"));
  EXPECT_GT(sqnr(table, "autocast BF16"), sqnr(table, "FP8 everywhere"));
}

// Squares of the residual stream overflow half in a norm that computes in half, so that nothing is
// left of the predictions. The library's kernels compute norms in FP32.
void expect_norms_in_half_to_break(const finished_run& run) {
  const json& table = run.summary.at("larger_residuals");
  EXPECT_LT(top1(table, "FP16 everywhere, and inside"), 0.5);
  EXPECT_GT(top1(table, "autocast FP16"), 0.95);
  EXPECT_GT(top1(table, "autocast BF16"), 0.95);
  const double fp32 = row_of(table, "FP32").at("perplexity");
  EXPECT_GT(row_of(table, "FP16 everywhere, and inside").at("perplexity").get<double>(), 2 * fp32);
}

void expect_searches_to_keep_their_budget(const finished_run& run) {
  for (const char* name : {"small", "small_and_fast"}) {
    SCOPED_TRACE(name);
    const json front = read_json(run.folder + "/front_" + std::string(name) + ".json");
    const json& best = front.at("best");
    EXPECT_EQ(front.at("limit"), 40.0);
    EXPECT_TRUE(best.at("within"));
    EXPECT_GE(best.at("fidelity"), 40.0);
    EXPECT_LT(best.at("cost"), 1.0);  // of FP32's
    EXPECT_GT(front.at("front").size(), 1u);
    EXPECT_EQ(best.at("types").size(), 15u);  // products and attention
    for (const char* file : {"front_%.svg", "plan_%.txt", "plan_%.dot"}) {
      std::string path = file;
      path.replace(path.find('%'), 1, name);
      EXPECT_GT(fs::file_size(run.folder + "/" + path), 0u) << path;
    }
  }
  EXPECT_LT(bytes(run.summary.at("trained"), "searched, small"),
            bytes(run.summary.at("trained"), "autocast FP16"));
}

void expect_adaptive_types_to_outlive_the_shift(const finished_run& run) {
  const json& stream = run.summary.at("stream");
  const json& parts = stream.at("parts");
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_GT(parts[1].at("fixed").at("not_finite"), 0);
  for (const json& part : parts) {
    EXPECT_EQ(part.at("adaptive").at("not_finite"), 0) << part;
    EXPECT_GT(part.at("adaptive").at("sqnr_db"), 20.0) << part;
  }
  bool up = false, down = false;
  for (const json& s : stream.at("switches")) {
    const bool is_norm = s.at("layer").get<std::string>().find("norm") != std::string::npos;
    up = up || (is_norm && s.at("reason") == "range");
    down = down || (up && is_norm && s.at("reason") == "quiet");
    EXPECT_NE(
        run.output.find(s.at("layer").get<std::string>() + ": " + s.at("from").get<std::string>() +
                        " -> " + s.at("to").get<std::string>()),
        std::string::npos)
        << s;
  }
  EXPECT_TRUE(up);
  EXPECT_TRUE(down);
}

void expect_the_same_again(const finished_run& run, const finished_run& again) {
  EXPECT_EQ(again.summary.at("training_loss"), run.summary.at("training_loss"));
  EXPECT_EQ(again.summary.at("stream"), run.summary.at("stream"));
  for (std::size_t r = 0; r < row_names.size(); ++r) {
    if (row_names[r] == "searched, small and fast") continue;  // by time
    json one = run.summary.at("trained")[r], two = again.summary.at("trained")[r];
    one.erase("microseconds_per_token");
    two.erase("microseconds_per_token");
    EXPECT_EQ(one, two);
  }
}

// One test, as each runs in a process of its own.
TEST(PrecisionSearch, QuickRun) {
  HALFWAY_SKIP_WITHOUT_TEXT();
  const temporary_folder folder;
  const finished_run run = run_quick(folder.file("report")),
                     again = run_quick(folder.file("again"));
  ASSERT_FALSE(HasFailure());
  expect_learned_more_than_frequencies(run);
  expect_every_row_of_both_tables(run);
  expect_autocast_nearer_than_narrow_types(run);
  expect_norms_in_half_to_break(run);
  expect_searches_to_keep_their_budget(run);
  expect_adaptive_types_to_outlive_the_shift(run);
  expect_the_same_again(run, again);
}

TEST(PrecisionSearchOptions, MissingTextNamesThePackage) {
  const temporary_folder folder;
  const command_result run = run_command(
      {PRECISION_SEARCH_PROGRAM, "--data", "/nonexistent/folder", "--out", folder.file("report")});
  EXPECT_EQ(run.status, 2);
  for (const char* part : {"/nonexistent/folder", "package fortunes"})
    EXPECT_NE(run.output.find(part), std::string::npos) << run.output;
  EXPECT_FALSE(fs::exists(folder.file("report")));
}

TEST(PrecisionSearchOptions, BadOnes) {
  EXPECT_EQ(run_command({PRECISION_SEARCH_PROGRAM, "--steps", "0"}).status, 2);
  EXPECT_EQ(run_command({PRECISION_SEARCH_PROGRAM, "--no-such-option"}).status, 2);
  EXPECT_EQ(run_command({PRECISION_SEARCH_PROGRAM, "--help"}).status, 0);
}

TEST(Text, EveryTenthSayingIsHeldOut) {
  language::corpus text;
  std::string sayings;
  for (int i = 0; i < 20; ++i) sayings += std::string(1, static_cast<char>('a' + i)) + "\n%\n";
  language::add_sayings(sayings, text);
  EXPECT_EQ(text.held_out, language::tokens_of("j\n\nt\n\n"));
  EXPECT_EQ(text.train.size(), 18u * 3);
}

TEST(Text, LeavesOutWhatIsNotAscii) {
  EXPECT_EQ(language::tokens_of("\ta\xC3\xA9~"), language::tokens_of(" a~"));
  EXPECT_EQ(language::tokens_of("~").at(0), language::unknown - 1);
}

TEST(Text, WindowsCarryWhatFollows) {
  const std::vector<std::int32_t> text = {1, 2, 3, 4, 5};
  const language::windows w = language::windows_in_order(text, 0, 2, 2);
  EXPECT_EQ(w.tokens, (std::vector<std::int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(w.next, (std::vector<std::int32_t>{2, 3, 4, 5}));
  expect_error([&] { language::windows_in_order(text, 0, 3, 2); }, {"2 tokens", "at 4", "5"});
}

TEST(Text, EntropyOfFrequencies) {
  // Counts of one more than there are: ln 97/2 for a character that was seen, ln 97 for one not.
  EXPECT_NEAR(
      language::unigram_entropy(std::vector<std::int32_t>{3}, std::vector<std::int32_t>{3, 4}),
      (std::log(97.0 / 2) + std::log(97.0)) / 2, 1e-12);
}

// The slope of the loss in a random direction of each parameter, by central differences of two widths:
// a third of what they differ by estimates the wider one's error, of which the narrower one has a
// quarter; the loss is a float.
TEST(Transformer, GradientsAreSlopes) {
  const language::model_layout layout;
  const std::vector<float> at = language::initial_parameters(layout, 1);
  std::vector<std::int32_t> text;
  std::mt19937 random(2);
  for (std::size_t i = 0; i <= 2 * language::context; ++i)
    text.push_back(static_cast<std::int32_t>(random() % language::vocabulary));
  const language::windows batch = language::windows_in_order(text, 0, 2, language::context);
  language::transformer model(2);
  std::vector<float> gradients(layout.size()), ignored(layout.size());
  const double loss = static_cast<double>(model.loss_and_gradients(at, batch, gradients));
  for (const auto& [name, p] : layout.all()) {
    SCOPED_TRACE(name);
    std::vector<float> direction(p.size());
    double expected = 0;
    for (std::size_t i = 0; i < p.size(); ++i) {
      direction[i] = random() % 2 == 0 ? 1.0f : -1.0f;
      expected += static_cast<double>(direction[i]) * static_cast<double>(gradients[p.offset + i]);
    }
    const auto slope = [&](float step) {
      double ends[2];
      for (const int end : {0, 1}) {
        std::vector<float> there = at;
        for (std::size_t i = 0; i < p.size(); ++i)
          there[p.offset + i] += (end == 0 ? -step : step) * direction[i];
        ends[end] = static_cast<double>(model.loss_and_gradients(there, batch, ignored));
      }
      return (ends[1] - ends[0]) / (2 * static_cast<double>(step));
    };
    const float step = 0x1p-10f;
    const double narrow = slope(step), wide = slope(2 * step);
    // Each of some thousand roundings of a float moves the loss by at most about its last place.
    const double rounding = 64 * loss * 0x1p-24 / static_cast<double>(step);
    EXPECT_NEAR(expected, narrow, std::abs(wide - narrow) + rounding);
  }
}

TEST(HalfOperations, SquaresOverflowAndSmallProbabilitiesVanish) {
  const halfway::matrix<float> one(1, 2);
  halfway::matrix<float> gamma(1, 2), x(1, 2), y(1, 2);
  gamma(0, 0) = gamma(0, 1) = 1;
  x(0, 0) = -100;
  x(0, 1) = 100;
  language::layernorm_by_half(x.view(), gamma.view(), one.view(), 0, y.view());
  EXPECT_EQ(y(0, 1), 1.0f);
  x(0, 0) = -256;  // 256^2 is past half
  x(0, 1) = 256;
  language::layernorm_by_half(x.view(), gamma.view(), one.view(), 0, y.view());
  EXPECT_EQ(y(0, 1), 0.0f);

  x(0, 0) = -18;
  x(0, 1) = 0;
  language::log_of_softmax_by_half(x.view(), y.view());
  EXPECT_EQ(y(0, 0), -std::numeric_limits<float>::infinity());
}

}  // namespace
