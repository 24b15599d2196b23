// SPDX-License-Identifier: Apache-2.0
// Every block of docs/interop.md stands in one of this folder's tests.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/guide.h"

namespace halfway {
namespace {

TEST(InteropGuide, IsWhatTheTestsCompile) {
  const std::string here = std::string(__FILE__).substr(0, std::string(__FILE__).rfind('/') + 1);
  EXPECT_EQ(
      testing::expect_blocks_in(
          HALFWAY_GUIDE, {here + "eigen_views_test.cc", here + "same_bits_test.cc",
                          here + "mdspan_test.cc", here + "dlpack_test.cc", here + "tbb_test.cc"}),
      10u);
}

}  // namespace
}  // namespace halfway
