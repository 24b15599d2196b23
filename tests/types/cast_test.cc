// SPDX-License-Identifier: Apache-2.0
#include "halfway/types/cast.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "halfway/types/int4.h"
#include "halfway/types/int8.h"
#include "types/reference.h"

namespace halfway::testing {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

static_assert(isinf(ieee_cast<half>(1e6f)) && saturate_cast<half>(1e6f) == 65504);
static_assert(saturate_cast<half>(-inf) == -65504 && saturate_cast<half>(half(-inf)) == -65504);
static_assert(isinf(ieee_cast<half>(half(inf))));
static_assert(ieee_cast<half>(int8(-5)) == -5 && ieee_cast<int8>(half(2.5f)) == 2);
static_assert(saturate_cast<int4>(half(100)) == 7 && ieee_cast<float>(bfloat16(0.5f)) == 0.5f);
static_assert(ieee_cast<int8>(int4(-8)) == -8 && saturate_cast<int4>(int8(-100)) == -8);
static_assert(saturate_cast<float8_e4m3fn>(1ll << 60) == 448);

/// Every pattern of From into To under both names: the value is exact in double, so the reference
/// rounds it once.
template <class To, class From>
void check_every_pattern() {
  using F = reference<From>;
  using R = reference<To>;
  differences d;
  for (std::uint32_t bits = 0; bits < F::patterns; ++bits) {
    const auto x = From::from_bits(static_cast<typename From::storage>(bits));
    const double v = F::value(bits);
    if (std::isnan(v)) {
      const bool named = R::f.special == specials::none;
      d.check(named ? ieee_cast<To>(x) == R::f.largest : isnan(ieee_cast<To>(x)), true, bits);
      d.check(named ? saturate_cast<To>(x) == R::f.largest : isnan(saturate_cast<To>(x)), true,
              bits);
      continue;
    }
    d.check(ieee_cast<To>(x).bits(), R::encode(v), v);
    d.check(saturate_cast<To>(x).bits(), R::encode(v, true), v);
    d.check(To(x).bits(), R::encode(v), v);
  }
}

template <class T>
class Cast : public ::testing::Test {};
TYPED_TEST_SUITE(Cast, all_formats, format_names);

TYPED_TEST(Cast, EveryPatternOfEveryOtherFormat) {
  check_every_pattern<TypeParam, half>();
  check_every_pattern<TypeParam, bfloat16>();
  check_every_pattern<TypeParam, float8_e4m3fn>();
  check_every_pattern<TypeParam, float8_e5m2>();
  check_every_pattern<TypeParam, float8_e4m3fnuz>();
  check_every_pattern<TypeParam, float8_e5m2fnuz>();
  check_every_pattern<TypeParam, float8_e8m0fnu>();
  check_every_pattern<TypeParam, float6_e2m3fn>();
  check_every_pattern<TypeParam, float6_e3m2fn>();
  check_every_pattern<TypeParam, float4_e2m1fn>();
}

}  // namespace
}  // namespace halfway::testing
