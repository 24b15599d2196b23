// SPDX-License-Identifier: Apache-2.0
// Built with -fno-exceptions: a bad policy text reaches the handler with the same message that the
// exception carries.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "halfway/core/error.h"
#include "halfway/precision/autocast.h"
#include "halfway/precision/autocast_executor.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/policy_file.h"

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
  EXPECT_EXIT(halfway::parse_policy_file("policy = fp32\nsofmax = f32", "enc.policy"),
              ::testing::ExitedWithCode(3), "enc.policy:2: unknown operation \"sofmax\"");
  EXPECT_EXIT(halfway::load_policy("/none"), ::testing::ExitedWithCode(3), "can't read \"/none\"");
  EXPECT_EXIT(halfway::op_table().resolve(halfway::op::binary_cross_entropy, {}, halfway::amp_bf16),
              ::testing::ExitedWithCode(3), "use binary_cross_entropy_with_logits");
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
  const halfway::parameter p(halfway::matrix<float>(1, 1));
  EXPECT_EQ(*halfway::autocast::current().cache->get<int>(p, [] { return 7; }), 7);
  EXPECT_EQ(halfway::parse_policy_file(to_string(halfway::preset_rules("O2"))),
            halfway::preset_rules("O2"));
}

}  // namespace
