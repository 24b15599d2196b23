// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/promote.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <vector>

namespace {

using halfway::dtype;
using halfway::dtype_of;
using halfway::holds;
using halfway::promote;

using SmallFloats =
    std::tuple<halfway::half, halfway::bfloat16, halfway::float8_e4m3fn, halfway::float8_e5m2,
               halfway::float8_e4m3fnuz, halfway::float8_e5m2fnuz, halfway::float8_e8m0fnu,
               halfway::float6_e2m3fn, halfway::float6_e3m2fn, halfway::float4_e2m1fn>;

template <class Body>
void for_each_small_float(Body&& body) {
  std::apply([&](auto... x) { (body(x), ...); }, SmallFloats());
}

// Every number of type T, found by going through all patterns.
template <class T>
std::vector<float> numbers() {
  std::vector<float> all;
  for (std::uint32_t bits = 0; bits < (1u << halfway::bits_of(dtype_of<T>)); ++bits) {
    const float x = static_cast<float>(T::from_bits(static_cast<typename T::storage>(bits)));
    if (!std::isnan(x)) all.push_back(x);
  }
  return all;
}

TEST(Holds, AgreesWithConvertingEveryNumber) {
  for_each_small_float([](auto narrow) {
    using Narrow = decltype(narrow);
    const std::vector<float> all = numbers<Narrow>();
    EXPECT_TRUE(holds(dtype::float32, dtype_of<Narrow>));
    EXPECT_TRUE(holds(dtype::float64, dtype_of<Narrow>));
    EXPECT_FALSE(holds(dtype_of<Narrow>, dtype::float32));
    for_each_small_float([&](auto wide) {
      using Wide = decltype(wide);
      bool each = true;
      for (const float x : all) each = each && static_cast<float>(Wide(x)) == x;
      EXPECT_EQ(holds(dtype_of<Wide>, dtype_of<Narrow>), each)
          << name(dtype_of<Wide>) << " " << name(dtype_of<Narrow>);
    });
  });
}

struct integer_range {
  dtype type;
  std::int64_t lowest, highest;
};

TEST(Holds, AgreesWithTheRangesOfIntegers) {
  constexpr std::array<integer_range, 5> ranges = {{{dtype::int32, -2147483648LL, 2147483647LL},
                                                    {dtype::int8, -128, 127},
                                                    {dtype::uint8, 0, 255},
                                                    {dtype::int4, -8, 7},
                                                    {dtype::uint4, 0, 15}}};
  for (const integer_range& wide : ranges) {
    for (const integer_range& narrow : ranges) {
      EXPECT_EQ(holds(wide.type, narrow.type),
                wide.lowest <= narrow.lowest && wide.highest >= narrow.highest)
          << name(wide.type) << " " << name(narrow.type);
    }
    EXPECT_FALSE(holds(dtype::float64, wide.type));
    EXPECT_FALSE(holds(wide.type, dtype::float4_e2m1fn));
  }
}

TEST(Promote, IsSymmetricIdempotentAndLosesNothing) {
  for (const dtype a : halfway::all_dtypes) {
    EXPECT_EQ(promote(a, a), a);
    for (const dtype b : halfway::all_dtypes) {
      const dtype both = promote(a, b);
      EXPECT_EQ(both, promote(b, a)) << name(a) << " " << name(b);
      for (const dtype one : {a, b}) {
        EXPECT_TRUE(holds(both, one) || (is_floating(both) && !is_floating(one)))
            << name(a) << " " << name(b);
      }
    }
  }
}

TEST(Promote, OrderDoesNotMatter) {
  for (const dtype a : halfway::all_dtypes) {
    for (const dtype b : halfway::all_dtypes) {
      for (const dtype c : halfway::all_dtypes) {
        std::array<dtype, 3> types = {a, b, c};
        const dtype first = promote(types);
        std::ranges::sort(types);
        do {
          ASSERT_EQ(promote(types), first) << name(a) << " " << name(b) << " " << name(c);
        } while (std::ranges::next_permutation(types).found);
      }
    }
  }
}

TEST(Promote, KnownPairs) {
  EXPECT_EQ(promote(dtype::bfloat16, dtype::float32), dtype::float32);
  EXPECT_EQ(promote(dtype::float32, dtype::float64), dtype::float64);
  EXPECT_EQ(promote(dtype::bfloat16, dtype::float16), dtype::float32);
  EXPECT_EQ(promote(dtype::float8_e5m2, dtype::float16), dtype::float16);
  EXPECT_EQ(promote(dtype::float8_e4m3fn, dtype::float8_e5m2), dtype::float32);
  EXPECT_EQ(promote(dtype::int8, dtype::uint8), dtype::int32);
  EXPECT_EQ(promote(dtype::int4, dtype::int8), dtype::int8);
  EXPECT_EQ(promote(dtype::int32, dtype::float16), dtype::float16);
  const std::array<dtype, 3> three = {dtype::int8, dtype::bfloat16, dtype::float16};
  EXPECT_EQ(promote(three), dtype::float32);
  const std::array<dtype, 3> held = {dtype::float8_e4m3fn, dtype::float8_e5m2, dtype::float16};
  EXPECT_EQ(promote(held), dtype::float16);
  EXPECT_EQ(promote(std::array{dtype::int4}), dtype::int4);
}

}  // namespace
