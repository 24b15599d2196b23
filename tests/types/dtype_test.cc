// SPDX-License-Identifier: Apache-2.0
#include "halfway/types/dtype.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace halfway {
namespace {

static_assert(dtype_of<float> == dtype::float32 && dtype_of<double> == dtype::float64);
static_assert(dtype_of<half> == dtype::float16 && dtype_of<float16> == dtype::float16 &&
              dtype_of<bfloat16> == dtype::bfloat16);
static_assert(dtype_of<float8_e4m3fn> == dtype::float8_e4m3fn &&
              dtype_of<float8_e5m2> == dtype::float8_e5m2);
static_assert(dtype_of<float8_e4m3fnuz> == dtype::float8_e4m3fnuz &&
              dtype_of<float8_e5m2fnuz> == dtype::float8_e5m2fnuz);
static_assert(dtype_of<float8_e8m0fnu> == dtype::float8_e8m0fnu &&
              dtype_of<float4_e2m1fn> == dtype::float4_e2m1fn);
static_assert(dtype_of<float6_e2m3fn> == dtype::float6_e2m3fn &&
              dtype_of<float6_e3m2fn> == dtype::float6_e3m2fn);
static_assert(dtype_of<int8> == dtype::int8 && dtype_of<uint8> == dtype::uint8 &&
              dtype_of<const int4> == dtype::int4);
static_assert(dtype_of<uint4> == dtype::uint4 && dtype_of<std::int32_t> == dtype::int32);

static_assert(float_storage<float> && float_storage<half> && float_storage<float4_e2m1fn> &&
              !float_storage<double>);
static_assert(int_storage<int8> && int_storage<uint4> && !int_storage<int> && !int_storage<float>);

TEST(Dtype, NamesReadBackAndAreDistinct) {
  std::set<std::string_view> names;
  for (const dtype d : all_dtypes) {
    EXPECT_EQ(parse_dtype(name(d)), d) << name(d);
    EXPECT_TRUE(names.insert(name(d)).second) << name(d);
  }
  EXPECT_EQ(names.size(), all_dtypes.size());
}

// The rows of the table stand in the order of the enumeration.
TEST(Dtype, TableIsInOrder) {
  for (const dtype d : all_dtypes) EXPECT_EQ(detail::row(d).type, d);
  EXPECT_EQ(all_dtypes.back(), dtype::uint4);
}

TEST(Dtype, CanonicalNames) {
  EXPECT_EQ(name(dtype::float64), "float64");
  EXPECT_EQ(name(dtype::float32), "float32");
  EXPECT_EQ(name(dtype::float16), "float16");
  EXPECT_EQ(name(dtype::bfloat16), "bfloat16");
  EXPECT_EQ(name(dtype::float8_e4m3fn), "float8_e4m3fn");
  EXPECT_EQ(name(dtype::float8_e8m0fnu), "float8_e8m0fnu");
  EXPECT_EQ(name(dtype::float4_e2m1fn), "float4_e2m1fn");
  EXPECT_EQ(name(dtype::int32), "int32");
  EXPECT_EQ(name(dtype::int4), "int4");
}

TEST(Dtype, Aliases) {
  for (const auto& [alias, d] : {std::pair{"f64", dtype::float64},
                                 {"double", dtype::float64},
                                 {"f32", dtype::float32},
                                 {"fp32", dtype::float32},
                                 {"float", dtype::float32},
                                 {"f16", dtype::float16},
                                 {"fp16", dtype::float16},
                                 {"half", dtype::float16},
                                 {"bf16", dtype::bfloat16},
                                 {"e4m3fn", dtype::float8_e4m3fn},
                                 {"e5m2", dtype::float8_e5m2},
                                 {"e8m0", dtype::float8_e8m0fnu},
                                 {"i32", dtype::int32},
                                 {"i8", dtype::int8},
                                 {"u8", dtype::uint8},
                                 {"i4", dtype::int4},
                                 {"u4", dtype::uint4}}) {
    EXPECT_EQ(parse_dtype(alias), d) << alias;
  }
  // No alias hides a name or stands for two types.
  std::set<std::string_view> seen;
  for (const dtype d : all_dtypes) seen.insert(name(d));
  for (const auto& [alias, d] : detail::dtype_aliases)
    EXPECT_TRUE(seen.insert(alias).second) << alias;
}

TEST(Dtype, OtherTextIsNoDtype) {
  for (const char* text :
       {"", "Float32", "BF16", " f32", "f32 ", "float33", "flot16", "f", "float8"}) {
    EXPECT_EQ(parse_dtype(text), std::nullopt) << text;
  }
}

TEST(Dtype, Properties) {
  EXPECT_EQ(bits_of(dtype::float64), 64);
  EXPECT_EQ(bits_of(dtype::float32), 32);
  EXPECT_EQ(bits_of(dtype::float16), 16);
  EXPECT_EQ(bits_of(dtype::bfloat16), 16);
  EXPECT_EQ(bits_of(dtype::float8_e8m0fnu), 8);
  EXPECT_EQ(bits_of(dtype::float6_e3m2fn), 6);
  EXPECT_EQ(bits_of(dtype::float4_e2m1fn), 4);
  EXPECT_EQ(bits_of(dtype::int32), 32);
  EXPECT_EQ(bits_of(dtype::uint8), 8);
  EXPECT_EQ(bits_of(dtype::int4), 4);
  EXPECT_TRUE(is_floating(dtype::float8_e5m2) && is_floating(dtype::float64));
  EXPECT_FALSE(is_floating(dtype::int4) || is_floating(dtype::int32));
  EXPECT_EQ(max_finite(dtype::float64), std::numeric_limits<double>::max());
  EXPECT_EQ(max_finite(dtype::float32), static_cast<double>(std::numeric_limits<float>::max()));
  EXPECT_EQ(max_finite(dtype::float16), 65504.0);
  EXPECT_EQ(max_finite(dtype::float8_e4m3fn), 448.0);
  EXPECT_EQ(max_finite(dtype::float8_e8m0fnu), 0x1p127);
  EXPECT_EQ(max_finite(dtype::int32), 2147483647.0);
  EXPECT_EQ(max_finite(dtype::uint8), 255.0);
  EXPECT_EQ(max_finite(dtype::int4), 7.0);
}

}  // namespace
}  // namespace halfway
