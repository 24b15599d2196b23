// SPDX-License-Identifier: Apache-2.0
// Built with -fno-exceptions: a bad policy text reaches the handler with the same message that the
// exception carries.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "halfway/core/error.h"
#include "halfway/precision/autocast.h"
#include "halfway/precision/policy.h"

namespace {

#if defined(__cpp_exceptions)
#error "This file is meant to be built with -fno-exceptions"
#endif

void print_and_leave(const char* message) {
  std::fprintf(stderr, "handler: %s\n", message);
  std::_Exit(3);
}

TEST(WithoutExceptionsDeathTest, PolicyTextReachesTheHandler) {
  halfway::set_error_handler(&print_and_leave);
  EXPECT_EXIT(halfway::parse_policy("p=f32,c=bf17,o=f32"), ::testing::ExitedWithCode(3),
              "handler: halfway::parse_policy: unknown type \"bf17\".*did you mean \"bf16\"");
  EXPECT_EXIT(halfway::compute_dtype("lineer"), ::testing::ExitedWithCode(3),
              "handler: halfway::op_table: unknown operation \"lineer\"; did you mean \"linear\"");
  halfway::set_error_handler(nullptr);
}

TEST(WithoutExceptionsDeathTest, TheDefaultHandlerPrintsAndAborts) {
  EXPECT_EXIT(halfway::parse_policy("p=f32"), ::testing::KilledBySignal(SIGABRT),
              "\"compute\" is missing in \"p=f32\"");
}

TEST(WithoutExceptions, GoodInputWorks) {
  EXPECT_EQ(halfway::parse_policy("p=f32,c=bf16,o=f32"), halfway::amp_bf16);
  const halfway::autocast scope(halfway::amp_bf16);
  EXPECT_EQ(halfway::compute_dtype(halfway::op::linear), halfway::dtype::bfloat16);
}

}  // namespace
