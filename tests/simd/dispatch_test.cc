// SPDX-License-Identifier: Apache-2.0
#include "halfway/simd/dispatch.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "halfway/ops/gemm.h"
#include "simd/another_file.h"
#include "support/for_each_target.h"

namespace {

using halfway::bfloat16;
using halfway::matrix;

TEST(Dispatch, ChoosesTheBestTargetThatTheCpuRuns) {
  const std::int64_t usable = HWY_TARGETS & hwy::SupportedTargets();
  const std::int64_t best = usable & -usable;  // Highway numbers better targets lower
  EXPECT_STREQ(halfway::simd_target_name(), hwy::TargetName(best));
}

#if defined(__x86_64__) && defined(__linux__)
// The same from a source that is not Highway: what the kernel says of the CPU.
TEST(Dispatch, AgreesWithTheKernelsViewOfTheCpu) {
  std::ifstream file("/proc/cpuinfo");
  std::string line, flags;
  while (std::getline(file, line)) {
    if (line.rfind("flags", 0) == 0) flags = line + " ";
  }
  ASSERT_FALSE(flags.empty());
  const auto has = [&](const char* flag) {
    return flags.find(std::string(" ") + flag + " ") != std::string::npos;
  };
  const std::string name = halfway::simd_target_name();
  if (has("avx512_bf16") && has("avx512_vnni") && has("avx512_vbmi2")) {
    EXPECT_TRUE(name == "AVX3_ZEN4" || name == "AVX3_SPR" || name == "AVX3_DL") << name;
  } else if (has("avx512vl") && has("avx512bw") && has("avx512dq")) {
    EXPECT_TRUE(name == "AVX3" || name == "AVX3_DL") << name;
  } else if (has("avx2") && has("fma") && has("f16c") && has("bmi2")) {
    EXPECT_EQ(name, "AVX2");
  } else {
    EXPECT_EQ(name, "SSE2");
  }
}
#endif

TEST(Dispatch, FollowsTheTargetThatATestAsksFor) {
  std::vector<std::string> seen;
  halfway::testing::for_each_target([&] {  // twice on the target that may go without AMX
    if (seen.empty() || seen.back() != halfway::simd_target_name()) {
      seen.emplace_back(halfway::simd_target_name());
    }
  });
  std::vector<std::string> want;
  for (std::int64_t rest = HWY_TARGETS & hwy::SupportedTargets(); rest != 0; rest &= rest - 1) {
    want.emplace_back(hwy::TargetName(rest & -rest));
  }
  EXPECT_EQ(seen, want);
}

TEST(Dispatch, SeveralFilesShareOneProgram) {
  EXPECT_STREQ(target_name_in_another_file(), halfway::simd_target_name());
  halfway::testing::for_each_target([] {
    matrix<bfloat16> a(5, 7), b(7, 9);
    for (auto& x : a.elements()) x = bfloat16(3.0f);
    for (auto& x : b.elements()) x = bfloat16(0.5f);
    matrix<float> here(5, 9), there(5, 9), after_loop(5, 9);
    halfway::gemm(a, b, here);
    multiply_in_another_file(a, b, there);
    multiply_after_own_loop(a, b, after_loop);
    for (std::size_t i = 0; i < here.size(); ++i) {
      EXPECT_EQ(here.elements()[i], 10.5f);
      EXPECT_EQ(there.elements()[i], 10.5f);
      EXPECT_EQ(after_loop.elements()[i], 10.5f);
    }
  });
}

TEST(Dispatch, AFileWithItsOwnLoopUsesTheKernels) {
  halfway::testing::for_each_target([] {
    std::vector<bfloat16> x(37), y(37);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = bfloat16(static_cast<float>(i));
    twice_in_own_loop(x.data(), y.data(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
      EXPECT_EQ(static_cast<float>(y[i]), 2.0f * static_cast<float>(i));
  });
}

}  // namespace
