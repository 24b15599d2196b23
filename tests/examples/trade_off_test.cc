// SPDX-License-Identifier: Apache-2.0
// Which way is recommended, from rows made by hand, and the program as a user runs it.
#include "trade_off/recommendation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "examples/run_command.h"
#include "halfway/core/error.h"
#include "support/temporary_folder.h"

#if defined(TRADE_OFF_PROGRAM)  // not in the quick tests
#include <nlohmann/json.hpp>
#endif

namespace {

using trade_off::measured_row;
using trade_off::objectives;
using trade_off::recommend;
using trade_off::recommendation;
using trade_off::verdict;

constexpr double infinity = std::numeric_limits<double>::infinity();

// Of 10,000 images. Each stretch takes `seconds`, but for an eighth of `noise` less or more.
measured_row row(const std::string& name, double seconds, std::size_t bytes, double noise = 0) {
  measured_row r;
  r.name = name;
  r.images = 10000;
  r.correct = 8800;
  r.agrees = 10000;
  r.weight_bytes = bytes;
  for (int i = 0; i < 20; ++i) r.seconds.push_back(seconds * (1 + noise * ((i * 7) % 5 - 2) / 8));
  r.p99 = 100 * seconds;
  r.p99_interval = {95 * seconds, 110 * seconds};
  return r;
}

// The baseline, then one at half its cost and a quarter of its bytes that differs for `wrong` images
// one way and `right` the other.
std::vector<measured_row> two(std::size_t wrong, std::size_t right) {
  std::vector<measured_row> rows = {row("FP32", 2e-5, 4000), row("INT8", 1e-5, 1000)};
  rows[1].agrees = 10000 - wrong - right;
  rows[1].correct = 8800 - wrong + right;
  rows[1].newly_wrong = wrong;
  rows[1].newly_right = right;
  return rows;
}

std::vector<verdict> verdicts(const recommendation& r) {
  std::vector<verdict> all;
  for (const auto& j : r.judgements) all.push_back(j.is);
  return all;
}

TEST(Recommendation, TakesTheCheapestThatKeepsTheObjective) {
  const auto r = recommend(two(20, 20), {.min_agreement = 0.99});
  ASSERT_EQ(r.row, 1u);
  EXPECT_EQ(verdicts(r), (std::vector{verdict::costs_more, verdict::recommended}));
  EXPECT_NE(r.judgements[0].reason.find("+100.0%"), std::string::npos) << r.judgements[0].reason;
  EXPECT_NE(r.judgements[0].reason.find("INT8"), std::string::npos) << r.judgements[0].reason;
}

// 100 of 10,000 differ: Wilson's 95% interval of the agreement is 98.79% to 99.18%.
TEST(Recommendation, ProvesAgreement) {
  auto r = recommend(two(60, 40), {.min_agreement = 0.987});
  EXPECT_EQ(r.row, 1u);
  r = recommend(two(60, 40), {.min_agreement = 0.989});
  EXPECT_EQ(r.row, 0u);  // nothing differs from itself
  EXPECT_EQ(r.judgements[1].is, verdict::undecided);
  EXPECT_NE(r.judgements[1].reason.find("99.00% (98.79% to 99.18%), not proven to be at least"),
            std::string::npos)
      << r.judgements[1].reason;
  r = recommend(two(60, 40), {.min_agreement = 0.992});
  EXPECT_EQ(r.judgements[1].is, verdict::misses);
  EXPECT_EQ(r.reason, "the only one that is proven to keep the objectives");
}

// Agresti and Min's interval of 60 against 40 of 10,000: (60.5 - 40.5) / 10002 -+ 1.96 *
// sqrt(101 / 10002 - 0.002^2) / sqrt(10002) = 0.00200 -+ 0.00197.
TEST(Recommendation, ProvesAnAccuracyDrop) {
  const auto i = trade_off::accuracy_drop_interval(10000, 60, 40, 0.95);
  EXPECT_NEAR(i.low, 0.00003, 1e-5);
  EXPECT_NEAR(i.high, 0.00397, 1e-5);
  EXPECT_EQ(recommend(two(60, 40), {.max_accuracy_drop = 0.004}).row, 1u);
  auto r = recommend(two(60, 40), {.max_accuracy_drop = 0.003});
  EXPECT_EQ(r.judgements[1].is, verdict::undecided);
  EXPECT_EQ(r.row, 0u);
  EXPECT_EQ(recommend(two(60, 40), {.max_accuracy_drop = 0}).judgements[1].is, verdict::misses);
  // No difference seen is not none: 3 of 10,000 may still be.
  const auto none = trade_off::accuracy_drop_interval(10000, 0, 0, 0.95);
  EXPECT_GT(none.high, 0.0001);
  EXPECT_EQ(none.low, -none.high);
}

TEST(Recommendation, NothingMeetsTheObjectives) {
  auto r = recommend(two(20, 20), {.max_p99 = 5e-4});  // they take at least 9.5e-4
  EXPECT_FALSE(r.row);
  EXPECT_EQ(verdicts(r), (std::vector{verdict::misses, verdict::misses}));
  EXPECT_EQ(r.reason, "nothing meets the objectives");
  r = recommend(two(20, 20), {.max_p99 = 1e-3});  // within INT8's interval
  EXPECT_FALSE(r.row);
  EXPECT_EQ(verdicts(r), (std::vector{verdict::misses, verdict::undecided}));
  EXPECT_NE(r.reason.find("INT8"), std::string::npos) << r.reason;
  EXPECT_EQ(recommend(two(20, 20), {.max_p99 = 1.1e-3}).row, 1u);
}

TEST(Recommendation, RefusesNaN) {
  auto rows = two(0, 0);
  rows[1].broken = 3;
  auto r = recommend(rows, {});
  EXPECT_EQ(r.row, 0u);
  EXPECT_EQ(r.judgements[1].is, verdict::broken);
  EXPECT_EQ(r.judgements[1].reason, "infinite or NaN for 3 of 10000 images");
  for (const double bad : {std::nan(""), infinity, 0.0, -1.0}) {
    rows = two(0, 0);
    rows[1].seconds[7] = bad;
    EXPECT_EQ(recommend(rows, {}).judgements[1].is, verdict::broken) << bad;
  }
  rows = two(0, 0);  // a latency of which nothing is known proves nothing
  rows[1].p99_interval = {};
  EXPECT_EQ(recommend(rows, {.max_p99 = 1}).judgements[1].is, verdict::undecided);
  rows[1].p99_interval = {1e-3, infinity};
  EXPECT_EQ(recommend(rows, {.max_p99 = 1}).judgements[1].is, verdict::undecided);
}

// Where costs are the same within 2%, bytes decide; where that is not proven either, nothing does.
TEST(Recommendation, DecidesTiesByBytesOnlyWhenTheyAreProven) {
  std::vector<measured_row> rows = {row("FP32", 2e-5, 4000), row("BF16", 1.000e-5, 2000),
                                    row("INT8", 1.005e-5, 1000)};
  auto r = recommend(rows, {});
  ASSERT_EQ(r.row, 2u);
  EXPECT_EQ(verdicts(r),
            (std::vector{verdict::costs_more, verdict::takes_more_bytes, verdict::recommended}));
  EXPECT_NE(r.judgements[1].reason.find("2000 bytes instead of 1000"), std::string::npos);
  // At the same bytes the cheaper one.
  rows[2].weight_bytes = 2000;
  EXPECT_EQ(recommend(rows, {}).row, 1u);

  // Stretches that differ by a tenth in an order of their own: the interval of twenty is about 5% to
  // both sides, too wide to say "the same", and has zero in it.
  rows[2] = row("INT8", 1.005e-5, 1000, 0.4);
  std::swap(rows[2].seconds[0], rows[2].seconds[19]);
  r = recommend(rows, {});
  EXPECT_FALSE(r.row);
  EXPECT_EQ(verdicts(r), (std::vector{verdict::costs_more, verdict::tied, verdict::tied}));
  EXPECT_EQ(r.reason, "not proven which is cheaper: BF16 and INT8; measure longer");
}

// A clock that halves its rate in some stretches is no noise: all rows have the stretches in common.
TEST(Recommendation, ComparesStretchByStretch) {
  auto rows = two(0, 0);
  rows[1] = row("INT8", 1.9e-5, 1000);
  for (measured_row& r : rows) {
    for (std::size_t i = 0; i < r.seconds.size(); i += 3) r.seconds[i] *= 2;
  }
  const auto r = recommend(rows, {});
  EXPECT_EQ(r.row, 1u);
  EXPECT_EQ(r.judgements[0].is, verdict::costs_more);
}

// 380 values are the fewest that bound the 99th percentile at 95%: 380 * 0.99 + 1.96 *
// sqrt(380 * 0.99 * 0.01) = 380.0.
TEST(Recommendation, BoundsQuantilesByOrder) {
  std::vector<double> values(1000);
  std::iota(values.begin(), values.end(), 1.0);
  const auto of_median = trade_off::quantile_interval(values, 0.5, 0.95);
  EXPECT_EQ(of_median.low, 470);   // ceil(500 - 1.96 * sqrt(250)) = ceil(469.01)
  EXPECT_EQ(of_median.high, 531);  // ceil(530.99)
  EXPECT_EQ(trade_off::quantile_interval(values, 0.99, 0.95).high, 997);  // ceil(996.17)
  values.resize(300);
  EXPECT_EQ(trade_off::quantile_interval(values, 0.99, 0.95).high, infinity);
  EXPECT_TRUE(std::isnan(trade_off::quantile_interval({}, 0.5, 0.95).low));
}

TEST(Recommendation, RefusesRowsThatDoNotFit) {
  EXPECT_THROW(recommend({}, {}), halfway::error);
  auto rows = two(0, 0);
  rows[1].images = 9999;
  EXPECT_THROW(recommend(rows, {}), halfway::error);
  rows = two(0, 0);
  rows[1].seconds.pop_back();
  EXPECT_THROW(recommend(rows, {}), halfway::error);
  rows = two(0, 0);
  rows[1].agrees = 10001;
  EXPECT_THROW(recommend(rows, {}), halfway::error);
  EXPECT_THROW(recommend(two(0, 0), {.confidence = 1}), halfway::error);
}

// ------------------------------ The program

#if defined(TRADE_OFF_PROGRAM)

using halfway::testing::run_command;
using nlohmann::json;

TEST(TradeOff, ReportsEveryWayAndReadsItsOwnWeights) {
  if (std::string(DATA_FOLDER).empty()) GTEST_SKIP() << "dataset-fashion-mnist is missing";
  const halfway::testing::temporary_folder folder;
  const auto words = [&](std::vector<std::string> more) {
    std::vector<std::string> all = {TRADE_OFF_PROGRAM, "--quick",         "--data",
                                    DATA_FOLDER,       "--out",           folder.file("report"),
                                    "--gnuplot",       "/nowhere/gnuplot"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const auto text = run_command(words({"--save-weights", folder.file("net.safetensors"),
                                       "--price-per-hour", "0.04", "--currency", "EUR"}));
  ASSERT_TRUE(text.status == 0 || text.status == 1) << text.output;
  EXPECT_NE(text.output.find("EUR a million"), std::string::npos) << text.output;
  const json j = json::parse(std::ifstream(folder.file("report/summary.json")));
  EXPECT_EQ(text.status == 0, j.at("recommended").is_string());
  EXPECT_TRUE(std::ifstream(folder.file("report/report.html")));

  std::map<std::string, json> ways;
  for (const json& w : j.at("ways")) ways[w.at("name")] = w;
  ASSERT_EQ(ways.size(), 6u);
  const auto bytes = [&](const char* name) {
    return ways.at(name).at("weight_bytes").get<double>();
  };
  EXPECT_NEAR(bytes("FP16") / bytes("FP32"), 0.5, 0.01);  // biases and the layernorm stay FP32
  EXPECT_EQ(bytes("FP16"), bytes("BF16"));
  EXPECT_LT(bytes("INT8 static"), 0.27 * bytes("FP32"));
  EXPECT_LT(bytes("INT4 weights"), 0.17 * bytes("FP32"));
  for (const auto& [name, w] : ways) {
    SCOPED_TRACE(name);
    EXPECT_EQ(w.at("images"), 1024);
    EXPECT_EQ(w.at("broken_images"), 0);
    EXPECT_EQ(w.at("hidden_values").at("non_finite"), 0);
    EXPECT_EQ(w.at("sqnr_db").is_null(), name == "FP32");  // infinite
    EXPECT_LE(w.at("agreement_interval")[0], w.at("agreement"));
    EXPECT_GE(w.at("agreement_interval")[1], w.at("agreement"));
    EXPECT_LE(w.at("batch_p50_seconds"), w.at("batch_p99_seconds"));
    // Of an hour's price: seconds of a million inferences / 3600.
    EXPECT_NEAR(
        w.at("cost_per_million").get<double>() * w.at("inferences_per_second").get<double>(),
        0.04 / 3600 * 1e6, 1e-9);
    EXPECT_NEAR(w.at("bytes_read"),
                w.at("weight_bytes").get<double>() / 32 + w.at("activation_bytes").get<double>(),
                1e-6);
  }
  EXPECT_GT(ways["FP16"]["sqnr_db"], ways["BF16"]["sqnr_db"]);  // 10 bits against 7
  EXPECT_GT(ways["BF16"]["sqnr_db"], ways["INT4 weights"]["sqnr_db"]);

  // Whatever the time says, the numbers are those of the trained network.
  const auto again = run_command(words({"--weights", folder.file("net.safetensors"), "--json"}));
  const std::size_t begin = again.output.find('{');
  ASSERT_NE(begin, std::string::npos) << again.output;
  const json second = json::parse(again.output.substr(begin));
  for (const json& w : second.at("ways")) {
    for (const char* same : {"accuracy", "agreement", "sqnr_db", "weight_bytes"})
      EXPECT_EQ(w.at(same), ways.at(w.at("name")).at(same)) << w.at("name") << same;
    EXPECT_TRUE(w.at("cost_per_million").is_null());
  }
}

TEST(TradeOff, RefusesWhatItCannotUse) {
  const auto refused = [](std::vector<std::string> options, const std::string& part) {
    options.insert(options.begin(), TRADE_OFF_PROGRAM);
    const auto run = run_command(options);
    EXPECT_EQ(run.status, 2) << run.output;
    EXPECT_NE(run.output.find(part), std::string::npos) << run.output;
  };
  refused({"--data", "/nowhere"}, "dataset-fashion-mnist");
  refused({"--min-agreement", "1.5"}, "--min-agreement");
  refused({"--batch", "0"}, "--batch");
  refused({"--weights", "a", "--save-weights", "b"}, "--weights");
  if (!std::string(DATA_FOLDER).empty()) {
    refused({"--data", DATA_FOLDER, "--weights", "/nowhere/net.safetensors"},
            "/nowhere/net.safetensors");
  }
}

#endif  // TRADE_OFF_PROGRAM

}  // namespace
