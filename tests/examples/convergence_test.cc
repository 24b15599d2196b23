// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "convergence/experiment.h"
#include "convergence/gradient_census.h"
#include "examples/run_command.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/temporary_folder.h"

namespace {

using convergence::gradient_census;
using convergence::recipe_runs;
using convergence::run_record;
using convergence::task_runs;

// Against the conversions themselves; no value is a tie.
TEST(GradientCensus, KnowsWhatFormatsFlush) {
  std::mt19937_64 random(1);
  std::vector<float> values(20000);
  for (float& v : values) {
    const double mantissa = 1.0 + static_cast<double>(random() >> 12) * 0x1p-52 + 0x1p-30;
    v = static_cast<float>(std::ldexp(mantissa, -static_cast<int>(random() % 50)));
    if (random() % 2 == 0) v = -v;
  }
  float largest = 0;
  for (const float v : values) largest = std::max(largest, std::abs(v));
  gradient_census census;
  census.add(values);
  census.add(std::vector<float>{0.0f, NAN, INFINITY});
  ASSERT_EQ(census.values(), values.size());
  const auto flushed = [&](auto convert) {
    std::size_t n = 0;
    for (const float v : values) n += convert(v) == 0;
    return static_cast<double>(n) / static_cast<double>(values.size());
  };
  EXPECT_EQ(census.flushed_share(-25),
            flushed([](float v) { return static_cast<float>(halfway::half(v)); }));
  EXPECT_EQ(census.flushed_share(-17),
            flushed([](float v) { return static_cast<float>(halfway::float8_e5m2(v)); }));
  EXPECT_EQ(census.flushed_share(-25 - 10),
            flushed([](float v) { return static_cast<float>(halfway::half(v * 0x1p10f)); }));
  // The largest becomes 2^15; quotients next to a power of two may fall on its other side.
  EXPECT_NEAR(census.flushed_share_when_scaled(-17, 15), flushed([&](float v) {
                return static_cast<float>(halfway::float8_e5m2(v / largest * 0x1p15f));
              }),
              1e-3);
  EXPECT_GT(census.flushed_share(-25), 0.3);
}

TEST(GradientCensus, Merges) {
  gradient_census a, b, both;
  const std::vector<float> x = {1.0f, 0x1p-30f}, y = {0x1p-40f};
  a.add(x);
  b.add(y);
  both.add(x);
  both.add(y);
  a.merge(b);
  EXPECT_EQ(a.absolute(), both.absolute());
  EXPECT_EQ(a.relative(), both.relative());
  EXPECT_EQ(a.values(), 3u);
}

run_record ended_with(double metric) {
  run_record r;
  r.losses = {1.0f, 0.5f};
  r.metric = metric;
  return r;
}

TEST(Convergence, JudgesByTheSpreadOfFp32Seeds) {
  task_runs t;
  t.recipes = {{{"FP32"}, {ended_with(0.84), ended_with(0.86)}},
               {{"near"}, {ended_with(0.83), ended_with(0.84)}},
               {{"far"}, {ended_with(0.82), ended_with(0.83)}},
               {{"stopped"}, {ended_with(0.9), ended_with(0.9)}},
               {{"diverged"}, {ended_with(0.9), ended_with(0.9)}}};
  t.recipes[3].runs[1].stopped = "why";
  t.recipes[4].runs[0].losses.back() = NAN;
  EXPECT_NEAR(t.fp32_spread(), 0.02, 1e-12);
  EXPECT_TRUE(t.matches_fp32(t.recipes[1]));
  EXPECT_FALSE(t.matches_fp32(t.recipes[2]));
  EXPECT_FALSE(t.matches_fp32(t.recipes[3]));
  EXPECT_FALSE(t.matches_fp32(t.recipes[4]));
  t.what.higher_is_better = false;  // then 0.9 is too much, and less is welcome
  EXPECT_TRUE(t.matches_fp32(t.recipes[2]));
  EXPECT_EQ(convergence::cells(t)[4].at(3), "FAILED");
}

TEST(Convergence, TrainsEveryNetworkInEveryWay) {
  if (std::string(FORTUNES_FOLDER).empty() || std::string(IMAGES_FOLDER).empty())
    GTEST_SKIP() << "no Fashion-MNIST or no fortunes here";
  const halfway::testing::temporary_folder folder;
  const auto run = halfway::testing::run_command(
      {CONVERGENCE_PROGRAM, "--quick", "--seeds", "2", "--images", IMAGES_FOLDER, "--text",
       FORTUNES_FOLDER, "--out", folder.file("report"), "--gnuplot", "/nowhere/gnuplot"});
  ASSERT_EQ(run.status, 0) << run.output;
  const auto j = nlohmann::json::parse(std::ifstream(folder.file("report/summary.json")));
  ASSERT_EQ(j["tasks"].size(), 3u);
  for (const auto& task : j["tasks"]) {
    ASSERT_EQ(task["recipes"].size(), 5u);
    EXPECT_GT(task["gradients"]["counted"], 0u);
    const double start = task["recipes"][0]["runs"][0]["final_loss"];
    for (const auto& recipe : task["recipes"]) {
      ASSERT_EQ(recipe["runs"].size(), 2u);
      // Eight steps from the same weights: the types differ by less than the seeds.
      EXPECT_NEAR(recipe["runs"][0]["final_loss"], start, 0.25) << task["name"] << recipe["name"];
      EXPECT_NE(recipe["runs"][0]["metric"], recipe["runs"][1]["metric"]);
    }
  }
  EXPECT_NE(run.output.find("gnuplot"), std::string::npos);
  EXPECT_TRUE(std::ifstream(folder.file("report/report.html")));
}

TEST(Convergence, SaysWhatItCannotRead) {
  const auto run =
      halfway::testing::run_command({CONVERGENCE_PROGRAM, "--quick", "--images", "/nowhere"});
  EXPECT_EQ(run.status, 2);
  EXPECT_NE(run.output.find("dataset-fashion-mnist"), std::string::npos) << run.output;
}

}  // namespace
