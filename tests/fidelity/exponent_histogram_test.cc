// SPDX-License-Identifier: Apache-2.0
#include "halfway/fidelity/exponent_histogram.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <vector>

#include "halfway/types/dtype.h"
#include "halfway/types/formats.h"
#include "support/expect_error.h"

namespace {

using halfway::exponent_histogram;

// The same, by the mathematics library, of one value at a time.
struct slow_histogram {
  std::map<int, std::uint64_t> binades;
  std::uint64_t zeros = 0, infinite = 0, nan = 0;

  void add(float x) {
    if (std::isnan(x)) {
      ++nan;
    } else if (std::isinf(x)) {
      ++infinite;
    } else if (x == 0) {
      ++zeros;
    } else {
      ++binades[std::ilogb(x)];
    }
  }
};

void expect_same(const exponent_histogram& h, const slow_histogram& slow) {
  EXPECT_EQ(h.zeros(), slow.zeros);
  EXPECT_EQ(h.infinite(), slow.infinite);
  EXPECT_EQ(h.nan(), slow.nan);
  std::uint64_t count = 0;
  for (int e = exponent_histogram::min_exponent; e <= exponent_histogram::max_exponent; ++e) {
    const auto found = slow.binades.find(e);
    ASSERT_EQ(h.count(e), found == slow.binades.end() ? 0 : found->second) << e;
    ASSERT_EQ(h.count_below(e), count) << e;
    count += h.count(e);
  }
  EXPECT_EQ(h.count(), count);
}

template <class T>
class ExponentHistogram : public ::testing::Test {};
using formats =
    ::testing::Types<halfway::half, halfway::bfloat16, halfway::float8_e4m3fn, halfway::float8_e5m2,
                     halfway::float8_e4m3fnuz, halfway::float8_e5m2fnuz, halfway::float6_e2m3fn,
                     halfway::float6_e3m2fn, halfway::float4_e2m1fn>;
TYPED_TEST_SUITE(ExponentHistogram, formats);

TYPED_TEST(ExponentHistogram, CountsEveryValueOfTheFormat) {
  using T = TypeParam;
  std::vector<T> all;
  slow_histogram slow;
  for (std::uint32_t code = 0; code >> halfway::bits_of(halfway::dtype_of<T>) == 0; ++code) {
    all.push_back(T::from_bits(static_cast<typename T::storage>(code)));
    slow.add(static_cast<float>(all.back()));
  }
  exponent_histogram h;
  h.add(all);
  expect_same(h, slow);
}

TEST(ExponentHistogramOfFloat, CountsEveryBinadeAndMergesToTheSameAsOne) {
  std::mt19937 random(1);
  std::vector<float> x = {
      0.0f,      -0.0f,           0x1p-149f, -0x1p-149f, 0x1.8p-149f, 0x1.fffffep-127f,
      0x1p-126f, 0x1.fffffep127f, -INFINITY, NAN,        -NAN};
  for (int i = 0; i != 100003; ++i) {
    // Every exponent 390 times, and subnormal numbers of every length.
    const auto bits = static_cast<std::uint32_t>(random());
    x.push_back(std::bit_cast<float>(i % 5 == 0 ? bits >> (9 + i % 23) : bits));
  }
  slow_histogram slow;
  for (const float v : x) slow.add(v);
  exponent_histogram all, left, right;
  all.add(x);
  expect_same(all, slow);
  left.add(std::span(x).first(333));
  right.add(std::span(x).subspan(333));
  left.merge(right);
  EXPECT_EQ(left, all);
  left.clear();
  EXPECT_EQ(left, exponent_histogram());
}

TEST(ExponentHistogramOfFloat, RefusesWhatItCannotCount) {
  halfway::testing::expect_error([] { exponent_histogram().count(128); },
                                 {"exponent (128)", "[-149, 127]"});
  halfway::testing::expect_error([] { exponent_histogram().count(-150); }, {"exponent (-150)"});
  halfway::testing::expect_error(
      [] {
        exponent_histogram().add(std::span<const float>(static_cast<const float*>(nullptr), 3));
      },
      {"exponent_histogram::add", "x"});
}

}  // namespace
