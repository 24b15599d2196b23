// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/layer_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::dtype;
using halfway::layer_rules;
using halfway::matches_pattern;
using halfway::op_category;
using halfway::detail::pattern_distance;
using halfway::testing::expect_error;

static_assert(matches_pattern("encoder.*.softmax", "encoder.0.softmax"));

// The definition, without the bookkeeping that makes the real one fast.
bool matches_slowly(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') {
    return matches_slowly(pattern.substr(1), name) ||
           (!name.empty() && matches_slowly(pattern, name.substr(1)));
  }
  return !name.empty() && (pattern[0] == '?' || pattern[0] == name[0]) &&
         matches_slowly(pattern.substr(1), name.substr(1));
}

// All words of up to `longest` of these letters.
std::vector<std::string> words(std::string_view letters, std::size_t longest) {
  std::vector<std::string> all = {""};
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].size() == longest) break;
    for (const char c : letters) all.push_back(all[i] + c);
  }
  return all;
}

TEST(MatchesPattern, AgreesWithItsDefinitionOnAllShortWords) {
  std::size_t matched = 0;
  for (const std::string& pattern : words("ab*?", 5)) {
    for (const std::string& name : words("ab", 5)) {
      const bool expected = matches_slowly(pattern, name);
      matched += expected;
      ASSERT_EQ(matches_pattern(pattern, name), expected) << pattern << " on " << name;
      ASSERT_EQ(pattern_distance(pattern, name) == 0, expected) << pattern << " on " << name;
    }
  }
  EXPECT_GT(matched, 1000u);
}

TEST(MatchesPattern, StarsSpanDotsAndTheRestIsLiteral) {
  EXPECT_TRUE(matches_pattern("encoder.*.softmax", "encoder.0.attention.softmax"));
  EXPECT_TRUE(matches_pattern("encoder.*", "encoder."));
  EXPECT_FALSE(matches_pattern("encoder.*", "encoder"));
  EXPECT_FALSE(matches_pattern("encoder", "encoder.0"));
  EXPECT_FALSE(matches_pattern("Encoder*", "encoder"));
  EXPECT_TRUE(matches_pattern("blocks[?].(a+b)", "blocks[3].(a+b)"));
  EXPECT_FALSE(matches_pattern("blocks[0-9]", "blocks3"));
  const std::string many(2000, 'a');  // no exponential search
  EXPECT_FALSE(matches_pattern("*a*a*a*a*a*a*a*a*a*a*b", many));
}

TEST(LayerRules, ANameBeatsPatternsAndTheLastPatternTheOthers) {
  layer_rules rules;
  rules.add("encoder.0.softmax", dtype::float16);
  rules.add("encoder.*", dtype::bfloat16);
  rules.add("*.softmax", op_category::float32);
  EXPECT_EQ(rules.find("encoder.0.softmax")->choice, dtype::float16);
  EXPECT_EQ(rules.find("encoder.1.softmax")->choice, dtype::float32);
  EXPECT_EQ(rules.find("encoder.1.ffn")->choice, dtype::bfloat16);
  EXPECT_EQ(rules.find("head"), nullptr);
  rules.add("encoder.*", dtype::float8_e4m3fn);  // replaced, and last now
  EXPECT_EQ(rules.rules().size(), 3u);
  EXPECT_EQ(rules.find("encoder.1.softmax")->choice, dtype::float8_e4m3fn);
  expect_error([&] { rules.add("", dtype::float32); }, {"pattern is empty"});
}

TEST(LayerRules, WhatMatchesNoLayerIsAnErrorWithTheNearest) {
  const std::vector<std::string> layers = {"encoder.0.softmax", "encoder.0.ffn",
                                           "encoder.1.softmax", "encoder.1.ffn", "head.out"};
  layer_rules good;
  good.add("encoder.*.softmax", dtype::float32);
  good.add("head.out", dtype::bfloat16);
  good.check(layers);

  layer_rules bad = good;
  bad.add("encodr.*.softmx", dtype::float32);
  expect_error([&] { bad.check(layers); },
               {"pattern \"encodr.*.softmx\" matches no layer",
                "did you mean \"encoder.0.softmax\", \"encoder.1.softmax\" or \"encoder.0.ffn\""});
  layer_rules unnamed;
  unnamed.add("head.oot", dtype::float32, "why", "policy.txt:7");
  expect_error([&] { unnamed.check(layers); },
               {"policy.txt:7: ", "no layer is named \"head.oot\"; did you mean \"head.out\""});
  expect_error([&] { unnamed.check(std::vector<std::string_view>()); }, {"there are no layers"});
  layer_rules().check(layers);
}

}  // namespace
