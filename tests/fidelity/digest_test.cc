// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/digest.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/types/bfloat16.h"
#include "support/expect_error.h"

namespace {

using halfway::bit_digest;

std::uint64_t of_text(std::string_view text) {
  bit_digest d;
  d.add(std::as_bytes(std::span(text)));
  return d.value();
}

template <class T>
std::uint64_t of(const std::vector<T>& x) {
  bit_digest d;
  d.add(x);
  return d.value();
}

// The vectors of the FNV draft, appendix.
TEST(BitDigest, IsFnv1a) {
  EXPECT_EQ(of_text(""), 0xCBF29CE484222325u);
  EXPECT_EQ(of_text("a"), 0xAF63DC4C8601EC8Cu);
  EXPECT_EQ(of_text("foobar"), 0x85944171F73967E8u);
  // 1.0f is 3F800000, lowest byte first.
  EXPECT_EQ(of(std::vector<float>{1}), of_text(std::string_view("\0\0\x80\x3F", 4)));
  EXPECT_EQ(of(std::vector<halfway::bfloat16>{halfway::bfloat16(1.0f)}), of_text("\x80\x3F"));
}

TEST(BitDigest, TellsBitsApartButNotNaNs) {
  const float nan = std::nanf("");
  EXPECT_NE(of(std::vector<float>{0.0f}), of(std::vector<float>{-0.0f}));
  EXPECT_NE(of(std::vector<float>{1, 2}), of(std::vector<float>{2, 1}));
  EXPECT_NE(of(std::vector<float>{1}), of(std::vector<float>{std::nextafter(1.0f, 2.0f)}));
  EXPECT_EQ(of(std::vector<float>{nan}), of(std::vector<float>{-nan}));
  EXPECT_NE(of(std::vector<float>{nan}), of(std::vector<float>{INFINITY}));
}

TEST(BitDigest, DoesNotDependOnTheCalls) {
  const std::vector<float> x = {1, 2, 3, 4, 5};
  bit_digest parts;
  parts.add(std::span(x).first(2));
  parts.add(std::span(x).subspan(2));
  EXPECT_EQ(parts.value(), of(x));
  halfway::testing::expect_error(
      [] { bit_digest().add(std::span<const float>(static_cast<const float*>(nullptr), 3)); },
      {"bit_digest::add", "x"});
}

}  // namespace
