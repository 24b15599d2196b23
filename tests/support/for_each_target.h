// SPDX-License-Identifier: Apache-2.0
// Runs a test body once on every SIMD target that this machine can run, through the public
// operations; where there is AMX, with and without it.
//
//   TEST(Sum, IsExactOnIntegers) { halfway::testing::for_each_target([] {
//   EXPECT_EQ(halfway::sum(v), 6.0f); }); }
#ifndef HALFWAY_TESTS_SUPPORT_FOR_EACH_TARGET_H_
#define HALFWAY_TESTS_SUPPORT_FOR_EACH_TARGET_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>

#include "halfway/simd/cpu.h"
#include "halfway/simd/dispatch.h"
#include "support/without_amx.h"

namespace halfway::testing {

template <class Body>
void for_each_target(Body&& body) {
  hwy::SetSupportedTargetsForTest(0);
  const std::int64_t here = hwy::SupportedTargets();
  for (std::int64_t rest = HWY_TARGETS; rest != 0; rest &= rest - 1) {
    const std::int64_t target = rest & -rest;
    if ((target & here) == 0) {
      std::printf("[ SKIPPED  ] target %s: this CPU cannot run it\n", hwy::TargetName(target));
      continue;
    }
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
    if (target == HWY_AVX3_SPR && detail::uses_amx()) {
      SCOPED_TRACE("without AMX");
      const without_amx off;
      body();
    }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_FOR_EACH_TARGET_H_
