// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/policy.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "support/expect_error.h"

namespace {

using halfway::cast_policy;
using halfway::dtype;
using halfway::parse_policy;
using halfway::to_string;
using halfway::testing::expect_error;

TEST(CastPolicy, EveryPolicyReadsBackFromItsText) {
  for (const dtype params : halfway::all_dtypes) {
    for (const dtype compute : halfway::all_dtypes) {
      for (const dtype output : halfway::all_dtypes) {
        const cast_policy policy{params, compute, output};
        EXPECT_EQ(parse_policy(to_string(policy)), policy) << policy;
      }
    }
  }
}

TEST(CastPolicy, PrintsCanonicalNames) {
  EXPECT_EQ(to_string(halfway::amp_bf16), "params=float32,compute=bfloat16,output=float32");
  std::ostringstream out;
  out << halfway::pure_fp16;
  EXPECT_EQ(out.str(), "params=float16,compute=float16,output=float16");
}

TEST(CastPolicy, DefaultIsFp32) {
  EXPECT_EQ(cast_policy(), halfway::fp32);
  EXPECT_EQ(halfway::fp32, (cast_policy{dtype::float32, dtype::float32, dtype::float32}));
  EXPECT_NE(halfway::fp32, halfway::amp_bf16);
}

TEST(ParsePolicy, TakesShortKeysAnyOrderAndBlanks) {
  const cast_policy expected{dtype::float32, dtype::float16, dtype::bfloat16};
  EXPECT_EQ(parse_policy("params=float32,compute=float16,output=bfloat16"), expected);
  EXPECT_EQ(parse_policy("p=f32,c=f16,o=bf16"), expected);
  EXPECT_EQ(parse_policy("o=bf16,params=float,c=half"), expected);
  EXPECT_EQ(parse_policy("  p = f32 ,\tc=fp16 , output = bf16\n"), expected);
}

TEST(ParsePolicy, KnowsThePresets) {
  EXPECT_EQ(parse_policy("fp32"), halfway::fp32);
  EXPECT_EQ(parse_policy("amp-fp16"), halfway::amp_fp16);
  EXPECT_EQ(parse_policy(" amp-bf16 "), halfway::amp_bf16);
  EXPECT_EQ(parse_policy("pure-fp16"), halfway::pure_fp16);
  EXPECT_EQ(parse_policy("pure-bf16"), halfway::pure_bf16);
}

TEST(ParsePolicy, NamesTheTextTheOffenderAndTheNearest) {
  expect_error([] { parse_policy("p=f32,c=bflaot16,o=f32"); },
               {"\"p=f32,c=bflaot16,o=f32\"", "unknown type \"bflaot16\" for c",
                "did you mean \"bfloat16\""});
  expect_error([] { parse_policy("p=f32,c=BF16,o=f32"); }, {"unknown type \"BF16\"", "\"bf16\""});
  expect_error(
      [] { parse_policy("parms=f32,c=bf16,o=f32"); },
      {"unknown key \"parms\"", "\"parms=f32,c=bf16,o=f32\"", "params, compute and output"});
  expect_error([] { parse_policy("p=f32,c=bf16"); }, {"\"output\" is missing in \"p=f32,c=bf16\""});
  expect_error([] { parse_policy("c=bf16,o=f32"); }, {"\"params\" is missing"});
  expect_error([] { parse_policy("p=f32,c=bf16,o=f32,c=f16"); }, {"\"c\" stands twice"});
  expect_error([] { parse_policy("p=f32,c=bf16,o=f32,compute=f16"); },
               {"\"compute\" stands twice"});
  expect_error([] { parse_policy("p=f32,c,o=f32"); },
               {"\"c\" in \"p=f32,c,o=f32\" is not of the form key=value"});
  expect_error([] { parse_policy("amp_bf16"); }, {"\"amp_bf16\" is neither", "\"amp-bf16\""});
  expect_error([] { parse_policy(""); }, {"\"\" is neither"});
}

TEST(Presets, ReadByNameAndStayWhatTheirNamesSay) {
  EXPECT_EQ(parse_policy("O0"), halfway::fp32);
  EXPECT_EQ(parse_policy("O1"), halfway::amp_fp16);
  const cast_policy half_inside{dtype::float16, dtype::float16, dtype::float32};
  EXPECT_EQ(parse_policy("O2"), half_inside);  // Apex casts what the model returns to float32
  EXPECT_EQ(parse_policy("O3"), half_inside);
  EXPECT_EQ(parse_policy("int8-inference"),
            (cast_policy{dtype::int8, dtype::int8, dtype::float32}));
  for (const auto& [name, policy] : halfway::policy_presets) {
    EXPECT_EQ(parse_policy(name), policy) << name;
    EXPECT_EQ(parse_policy(to_string(policy)), policy) << name;
  }
  expect_error([] { parse_policy("O4"); }, {"\"O4\" is neither", "\"O0\", \"O1\" or \"O2\""});
  expect_error([] { parse_policy("int8"); }, {"\"int8\" is neither", "such as"});
}

}  // namespace
