// SPDX-License-Identifier: Apache-2.0
// Empty where the standard library has no <format>.
#include "halfway/types/format.h"

#include <gtest/gtest.h>

#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "halfway/types/int4.h"
#include "halfway/types/int8.h"

namespace halfway {
namespace {

#if defined(__cpp_lib_format)

TEST(Format, ShortestTextByDefault) {
  EXPECT_EQ(std::format("{} {}", half(0.1f), bfloat16(-1004.0f)), "0.1 -1004");
  EXPECT_EQ(std::format("{:8}|{:<8}|{:*^9}", half(0.1f), half(-2.5f), half(1.5f)),
            "     0.1|-2.5    |***1.5***");
  EXPECT_EQ(std::format("{:2}", half(1000.5f)), "1000.5");
}

TEST(Format, OtherSpecificationsFormatTheFloat) {
  EXPECT_EQ(std::format("{:.2f} {:08.3f} {:+}", half(0.1f), half(3.0f), half(1.0f)),
            "0.10 0003.000 +1");
  EXPECT_EQ(std::format("{:e}", half(0.5f)), "5.000000e-01");
}

TEST(Format, StorageIntegersAreIntegers) {
  EXPECT_EQ(std::format("{} {:4} {:x}", int8(-5), int4(7), uint8(255)), "-5    7 ff");
}

#endif

}  // namespace
}  // namespace halfway
