// SPDX-License-Identifier: Apache-2.0
// Compiled with -fno-exceptions.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"

namespace {

TEST(ErrorHandlerDeathTest, PrintsTheMessageAndAborts) {
  EXPECT_DEATH(halfway::fail("halfway::f: x (1) must be 2"), "halfway::f: x \\(1\\) must be 2");
}

TEST(ErrorHandlerDeathTest, AReplacementGetsTheSameMessage) {
  EXPECT_EXIT(
      {
        halfway::set_error_handler([](const char* message) {
          std::fprintf(stderr, "mine: %s\n", message);
          std::_Exit(3);
        });
        const halfway::matrix<float> m(4, 6);
        m.view().block(3, 0, 2, 1);
      },
      ::testing::ExitedWithCode(3),
      "mine: halfway::matrix_view::block: 2 x 1 at \\(3, 0\\) does not lie within 4 x 6");
}

TEST(ErrorHandlerDeathTest, AbortFollowsAHandlerThatReturns) {
  EXPECT_EXIT(
      {
        halfway::set_error_handler([](const char*) {});
        halfway::fail("x");
      },
      ::testing::KilledBySignal(SIGABRT), "");
}

TEST(ErrorHandler, SetReturnsTheOldOneAndNullRestoresTheDefault) {
  const halfway::error_handler mine = [](const char*) {};
  const halfway::error_handler standard = halfway::set_error_handler(mine);
  EXPECT_EQ(halfway::set_error_handler(nullptr), mine);
  EXPECT_EQ(halfway::set_error_handler(nullptr), standard);
}

}  // namespace
