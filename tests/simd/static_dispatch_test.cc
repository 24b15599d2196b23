// SPDX-License-Identifier: Apache-2.0
#define HALFWAY_STATIC_DISPATCH
#include <gtest/gtest.h>

#include "halfway/ops/gemm.h"
#include "halfway/simd/dispatch.h"

namespace {

using halfway::bfloat16;
using halfway::matrix;

TEST(StaticDispatch, RunsTheTargetOfTheCompilerFlags) {
  EXPECT_STREQ(halfway::simd_target_name(), hwy::TargetName(HWY_STATIC_TARGET));
}

TEST(StaticDispatch, ComputesTheSame) {
  matrix<bfloat16> a(5, 7), b(7, 9);
  for (auto& x : a.elements()) x = bfloat16(3.0f);
  for (auto& x : b.elements()) x = bfloat16(0.5f);
  matrix<float> c(5, 9);
  halfway::gemm(a, b, c);
  for (float x : c.elements()) EXPECT_EQ(x, 10.5f);
}

}  // namespace
