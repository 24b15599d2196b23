// SPDX-License-Identifier: Apache-2.0
// An engine in Eigen before and after, and docs/how-to/migrate-from-eigen.md, which shows what
// changed.
#include <gtest/gtest.h>

#include <Eigen/Core>
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "examples/run_command.h"
#include "halfway/interop/eigen.h"
#include "halfway/ops/gemm.h"
#include "support/guide.h"

#undef NDEBUG  // the guide's asserts are the test
#include <cassert>

namespace {

namespace fs = std::filesystem;
using halfway::testing::command_result;
using halfway::testing::run_command;

template <class T>
using dynamic = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

TEST(EigenGuide, ValuesBothWays) {
  const halfway::half ours = halfway::from_eigen(Eigen::half(1.5f));
  const Eigen::half theirs = halfway::to_eigen(ours);
  assert(ours == halfway::half(1.5f) && theirs == Eigen::half(1.5f));
}

TEST(EigenGuide, MatricesBothWays) {
  dynamic<Eigen::bfloat16> weights = dynamic<Eigen::bfloat16>::Random(16, 8);
  dynamic<halfway::bfloat16> x = dynamic<halfway::bfloat16>::Random(4, 16);
  dynamic<float> y(4, 8);
  const Eigen::Map<const dynamic<halfway::bfloat16>> seen(
      reinterpret_cast<const halfway::bfloat16*>(weights.data()), weights.rows(), weights.cols());
  halfway::gemm(x, seen, y);  // no copy: weights stay where they are, in Eigen's order

  halfway::matrix<halfway::half> made(4, 8);
  const Eigen::Map<Eigen::Matrix<halfway::half, -1, -1, Eigen::RowMajor>> as_eigen(made.data(), 4,
                                                                                   8);
  const dynamic<float> widened = as_eigen.cast<float>();
  assert(widened == dynamic<float>::Zero(4, 8));

  // Magnitudes of at most 1: sums of 16 exact products err by at most 16 u times 16, and 3
  // roundings more.
  const Eigen::MatrixXd exact =
      x.cast<float>().cast<double>() * weights.cast<float>().cast<double>();
  EXPECT_LE((y.cast<double>() - exact).cwiseAbs().maxCoeff(), 19 * 16 * 0x1p-24);
}

TEST(EigenGuide, SumsAndRoundings) {
  const dynamic<Eigen::bfloat16> a = dynamic<Eigen::bfloat16>::Constant(2, 300, Eigen::bfloat16(1)),
                                 b = dynamic<Eigen::bfloat16>::Constant(300, 3,
                                                                        Eigen::bfloat16(0.25f));
#if EIGEN_WORLD_VERSION == 3
  const dynamic<Eigen::bfloat16> c = a * b;
  assert(static_cast<float>(c(0, 0)) == 64);  // each sum is rounded: 64 + 0.25 is 64 again
#endif
  const auto view = [](const dynamic<Eigen::bfloat16>& m) {
    return Eigen::Map<const dynamic<halfway::bfloat16>>(
        reinterpret_cast<const halfway::bfloat16*>(m.data()), m.rows(), m.cols());
  };
  dynamic<halfway::bfloat16> d(2, 3);
  halfway::gemm(view(a), view(b), d);
  assert(d(0, 0) == halfway::bfloat16(75));  // FP32 sums, rounded once

  const double x = 1 + 0x1p-11 + 0x1p-40;  // above the middle between two halfs
  assert(static_cast<float>(halfway::half(x)) == 1 + 0x1p-10f);
  assert(static_cast<float>(Eigen::half(x)) == 1);  // by way of float, where it is the middle
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// What `diff` says of the code: "-line" and "+line", comments left out.
std::vector<std::string> changed_lines(const std::string& after) {
  const std::string folder = EIGEN_MLP_FOLDER;
  const command_result run = run_command({"diff", folder + "/before.cc", folder + "/" + after});
  EXPECT_EQ(run.status, 1) << run.output;
  std::vector<std::string> changes;
  for (const std::string& line : lines_of(run.output)) {
    if (line.size() < 2 || line.substr(2).starts_with("//")) continue;
    if (line[0] == '<') changes.push_back("-" + line.substr(2));
    if (line[0] == '>') changes.push_back("+" + line.substr(2));
  }
  return changes;
}

TEST(EigenMlp, TheGuideShowsAllThatChanged) {
  const std::vector<std::string> guide = halfway::testing::blocks_of_guide(EIGEN_GUIDE, "diff");
  ASSERT_EQ(guide.size(), 2u);
  const std::vector<std::string> after = {"after_bfloat16.cc", "after_int8.cc"};
  for (std::size_t i = 0; i < 2; ++i) {
    std::vector<std::string> shown;
    for (const std::string& line : lines_of(guide[i]))
      if (line.starts_with("-") || line.starts_with("+")) shown.push_back(line);
    EXPECT_EQ(shown, changed_lines(after[i]));
    EXPECT_LE(shown.size(), 12u) << "a diff of a few lines";
  }
}

TEST(EigenMlp, EachBlockOfTheGuideIsTested) {
  EXPECT_EQ(halfway::testing::expect_blocks_in(EIGEN_GUIDE, {__FILE__}), 5u);
}

TEST(EigenMlp, AnswersAreKept) {
  if (!fs::exists(IMAGES_FOLDER)) GTEST_SKIP() << "dataset-fashion-mnist is missing";
  std::vector<double> right, speed;
  for (const char* program :
       {EIGEN_MLP_BEFORE_PROGRAM, EIGEN_MLP_BFLOAT16_PROGRAM, EIGEN_MLP_INT8_PROGRAM}) {
    const command_result run = run_command({program, IMAGES_FOLDER});
    ASSERT_EQ(run.status, 0) << run.output;
    const std::size_t comma = run.output.find(" of 10000 right, ");
    ASSERT_NE(comma, std::string::npos) << run.output;
    right.push_back(std::strtod(run.output.c_str(), nullptr));
    speed.push_back(std::strtod(run.output.c_str() + comma + 17, nullptr));
    EXPECT_GT(speed.back(), 0) << run.output;
    std::cout << fs::path(program).filename().string() << ": " << run.output << "  "
              << speed.back() / speed[0] << " times as fast as before\n";
  }
  EXPECT_GT(right[0], 8000);  // it has learned
  // Only an answer whose runner-up is within two errors can change: 129 of 10000 in bfloat16, as
  // autocast_inference counts them. In int8 a value errs by up to 1/510 of its row's range instead
  // of 2^-9 of itself: where it is an eighth of the largest, by eight times as much.
  EXPECT_LE(std::abs(right[1] - right[0]), 2 * 129);  // and other weights may have more
  EXPECT_LE(std::abs(right[2] - right[0]), 8 * 129);
}

}  // namespace
