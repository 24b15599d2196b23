// SPDX-License-Identifier: Apache-2.0
#include "halfway/types/literals.h"

#include <gtest/gtest.h>

namespace {

using namespace halfway::literals;

static_assert((0.1_h).bits() == 0x2E66);
static_assert((1.5_bf16).bits() == 0x3FC0);
static_assert((65504_h).bits() == 0x7BFF && (65'504.0_h).bits() == 0x7BFF &&
              (65519.999_h).bits() == 0x7BFF);
static_assert((0_h).bits() == 0 && (-0.0_h).bits() == 0x8000);
static_assert((0x1.8p3_h).bits() == halfway::half(12).bits() &&
              (0xFF_h).bits() == halfway::half(255).bits());
static_assert((1e-7_h).bits() == 2 && (448_e4m3fn).bits() == 0x7E && (57344_e5m2).bits() == 0x7B);
static_assert((240_e4m3fnuz).bits() == 0x7F && (1_e5m2fnuz).bits() == 0x40 &&
              (0.5_e8m0fnu).bits() == 126);
static_assert((7.5_e2m3fn).bits() == 0x1F && (28_e3m2fn).bits() == 0x1F &&
              (-6_e2m1fn).bits() == 0xF);
static_assert(std::is_same_v<decltype(1_h), halfway::half> &&
              std::is_same_v<decltype(1.5_bf16), halfway::bfloat16>);

// Rounded from the digits as written: as double, and as long double, this is a tie, which would go
// to 1.
static_assert((1.00048828125000000000000000000000000000000001_h).bits() == 0x3C01);

TEST(Literals, AreConstants) {
  constexpr halfway::half table[] = {0.25_h, 0.5_h, 1_h};
  EXPECT_EQ(table[0] + table[1], 0.75_h);
}

}  // namespace
