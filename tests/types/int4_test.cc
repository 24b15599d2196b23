// SPDX-License-Identifier: Apache-2.0
#include "halfway/types/int4.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace halfway {
namespace {

static_assert(pack_int4(int4(-1), int4(7)) == 0x7F && low_int4<int4>(0x7F) == -1 &&
              high_int4<uint4>(0xF0) == 15);
static_assert(packed_int4_bytes(0) == 0 && packed_int4_bytes(1) == 1 && packed_int4_bytes(2) == 1 &&
              packed_int4_bytes(7) == 4);

template <class T>
class PackedInt4 : public ::testing::Test {};
using four_bit = ::testing::Types<int4, uint4>;
TYPED_TEST_SUITE(PackedInt4, four_bit);

TYPED_TEST(PackedInt4, EveryPairOfValuesSharesAByte) {
  for (int low = 0; low < 16; ++low) {
    for (int high = 0; high < 16; ++high) {
      const auto l = TypeParam::from_bits(static_cast<std::uint8_t>(low));
      const auto h = TypeParam::from_bits(static_cast<std::uint8_t>(high));
      const std::uint8_t byte = pack_int4(l, h);
      ASSERT_EQ(byte, low + 16 * high) << "low nibble first";
      ASSERT_EQ(low_int4<TypeParam>(byte), l);
      ASSERT_EQ(high_int4<TypeParam>(byte), h);
    }
  }
}

TYPED_TEST(PackedInt4, PacksAndUnpacksAnyLength) {
  for (std::size_t n = 0; n < 20; ++n) {
    std::vector<TypeParam> x(n);
    for (std::size_t i = 0; i < n; ++i)
      x[i] = TypeParam::from_bits(static_cast<std::uint8_t>(i * 7 + 3));
    std::vector<std::uint8_t> bytes(packed_int4_bytes(n) + 1, 0xAA);
    pack_int4(x.data(), n, bytes.data());
    EXPECT_EQ(bytes.back(), 0xAA) << "written past the end";
    if (n % 2 == 1) {
      EXPECT_EQ(bytes[n / 2] >> 4, 0) << "the unused nibble";
    }
    std::vector<TypeParam> back(n + 1, TypeParam(5));
    unpack_int4(bytes.data(), n, back.data());
    EXPECT_EQ(back.back(), 5);
    EXPECT_TRUE(std::equal(x.begin(), x.end(), back.begin()));
  }
}

TYPED_TEST(PackedInt4, SpanReadsAndWritesOneElement) {
  std::vector<std::uint8_t> bytes(packed_int4_bytes(5), 0xF0);
  const packed_int4_span<TypeParam> span(bytes.data(), 5);
  EXPECT_EQ(span.size(), 5u);
  EXPECT_EQ(span.size_bytes(), 3u);
  EXPECT_FALSE(span.empty());
  for (std::size_t i = 0; i < 5; ++i) {
    const std::vector<std::uint8_t> before = bytes;
    span.set(i, TypeParam(static_cast<int>(i) + 1));
    EXPECT_EQ(span[i], static_cast<int>(i) + 1);
    EXPECT_EQ(span.get(i), span[i]);
    // The other nibble of the byte, and the other bytes, are as they were.
    const std::uint8_t other = i % 2 == 0 ? 0xF0 : 0x0F;
    for (std::size_t b = 0; b < bytes.size(); ++b) {
      const int mask = b == i / 2 ? other : 0xFF;
      EXPECT_EQ(bytes[b] & mask, before[b] & mask);
    }
  }
  EXPECT_EQ(bytes[2] & 0xF0, 0xF0) << "no element there";
  const packed_int4_span<TypeParam, const std::uint8_t> read_only = span;
  EXPECT_EQ(read_only[4], 5);
  EXPECT_TRUE(packed_int4_span<TypeParam>().empty());
}

}  // namespace
}  // namespace halfway
