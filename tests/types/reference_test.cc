// SPDX-License-Identifier: Apache-2.0
// The reference that the other tests rely on, held to numbers quoted from the specifications.

#include "types/reference.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace halfway::testing {
namespace {

template <class T>
class Reference : public ::testing::Test {};
TYPED_TEST_SUITE(Reference, all_formats, format_names);

TYPED_TEST(Reference, HasTheLandmarksOfTheSpecification) {
  using R = reference<TypeParam>;
  EXPECT_EQ(R::value(R::largest_code), R::f.largest);
  EXPECT_EQ(R::value(R::has_zero ? 1u << R::f.mantissa_bits : 0u), R::f.smallest_normal);
  EXPECT_EQ(R::value(R::has_zero ? 1u : 0u), R::f.smallest);
  EXPECT_EQ(R::value(0), R::has_zero ? 0.0 : R::f.smallest);
}

TYPED_TEST(Reference, ValuesGrowWithTheCode) {
  using R = reference<TypeParam>;
  for (std::uint32_t c = 1; c <= R::largest_code; ++c) ASSERT_LT(R::value(c - 1), R::value(c)) << c;
}

TYPED_TEST(Reference, ConvertsItsOwnValuesToThemselves) {
  using R = reference<TypeParam>;
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    const double v = R::value(bits);
    if (std::isnan(v)) continue;
    ASSERT_EQ(R::encode(v), bits);
  }
}

TEST(ReferenceConstants, Half) {
  using R = reference<half>;
  // From IEEE 754-2019 binary16, and the tables that every F16 implementation quotes.
  EXPECT_EQ(R::encode(1.0), 0x3C00u);
  EXPECT_EQ(R::encode(-2.0), 0xC000u);
  EXPECT_EQ(R::encode(1.0 / 3.0), 0x3555u);
  EXPECT_EQ(R::encode(0.1), 0x2E66u);
  EXPECT_EQ(R::encode(65504.0), 0x7BFFu);
  EXPECT_EQ(R::encode(65519.999), 0x7BFFu);
  EXPECT_EQ(R::encode(65520.0), 0x7C00u);
  EXPECT_EQ(R::encode(0x1p-14), 0x0400u);
  EXPECT_EQ(R::encode(0x1p-25), 0x0000u);
  EXPECT_EQ(R::encode(std::nextafter(0x1p-25, 1.0)), 0x0001u);
  EXPECT_EQ(R::encode(0x1.8p-24), 0x0002u);  // a tie to even
  EXPECT_EQ(R::encode(-0.0), 0x8000u);
  EXPECT_EQ(R::encode(2049.0), 0x6800u);  // a tie to even, down
  EXPECT_EQ(R::encode(2051.0), 0x6802u);  // a tie to even, up
  EXPECT_EQ(R::encode_nan(true, 0), 0xFE00u);
  EXPECT_EQ(R::encode_nan(false, 1ull << 63), 0x7F00u);
}

TEST(ReferenceConstants, Bfloat16) {
  using R = reference<bfloat16>;
  EXPECT_EQ(R::encode(1.0), 0x3F80u);
  EXPECT_EQ(R::encode(3.14159265358979), 0x4049u);
  EXPECT_EQ(R::encode(1.0 + 0x1p-8), 0x3F80u);           // a tie to even, down
  EXPECT_EQ(R::encode(1.0 + 3 * 0x1p-8), 0x3F82u);       // a tie to even, up
  EXPECT_EQ(R::encode(3.3961775292304957e38), 0x7F80u);  // the largest float rounds to infinity
  EXPECT_EQ(R::encode_nan(false, 0), 0x7FC0u);
}

TEST(ReferenceConstants, Float8) {
  // OFP8 and the ONNX tables.
  EXPECT_EQ(reference<float8_e4m3fn>::encode(448.0), 0x7Eu);
  EXPECT_EQ(reference<float8_e4m3fn>::encode(464.0), 0x7Eu);  // a tie to 1.75, the even one
  EXPECT_EQ(reference<float8_e4m3fn>::encode(464.1), 0x7Fu);
  EXPECT_EQ(reference<float8_e4m3fn>::encode(-1e9, true), 0xFEu);
  EXPECT_EQ(reference<float8_e5m2>::encode(57344.0), 0x7Bu);
  EXPECT_EQ(reference<float8_e5m2>::encode(61440.0), 0x7Cu);
  EXPECT_EQ(reference<float8_e4m3fnuz>::encode(240.0), 0x7Fu);
  EXPECT_EQ(reference<float8_e4m3fnuz>::encode(-0.0), 0x00u);
  EXPECT_EQ(reference<float8_e4m3fnuz>::encode(248.0), 0x80u);
  EXPECT_EQ(reference<float8_e5m2fnuz>::encode(1.0), 0x40u);
  EXPECT_EQ(reference<float8_e8m0fnu>::encode(1.0), 127u);
  EXPECT_EQ(reference<float8_e8m0fnu>::encode(1.5), 128u);
  EXPECT_EQ(reference<float8_e8m0fnu>::encode(1.4999), 127u);
  EXPECT_EQ(reference<float8_e8m0fnu>::encode(0.0), 255u);
}

TEST(ReferenceConstants, Float6AndFloat4) {
  EXPECT_EQ(reference<float6_e2m3fn>::encode(7.5), 0x1Fu);
  EXPECT_EQ(reference<float6_e3m2fn>::encode(-28.0), 0x3Fu);
  // All of e2m1, as in the microscaling specification's table.
  const double e2m1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (std::uint32_t i = 0; i < 8; ++i) EXPECT_EQ(reference<float4_e2m1fn>::value(i), e2m1[i]);
  EXPECT_EQ(reference<float4_e2m1fn>::encode(5.0), 6u);  // a tie to 4, the even one
  EXPECT_EQ(reference<float4_e2m1fn>::encode(-7.0), 15u);
}

}  // namespace
}  // namespace halfway::testing
