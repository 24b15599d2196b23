// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/policy_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace {

using halfway::dtype;
using halfway::load_policy;
using halfway::op_category;
using halfway::op_table;
using halfway::parse_policy_file;
using halfway::precision_rules;
using halfway::save_policy;
using halfway::testing::expect_error;
using halfway::testing::temporary_folder;
namespace op = halfway::op;

TEST(PolicyFile, ReadsEveryStatement) {
  const precision_rules rules = parse_policy_file(
      "\xEF\xBB\xBF# the encoder\r\n"
      "\n"
      "  policy = p=f32, c=bf16, o=f32   # bfloat16 inside\r\n"
      "softmax = bf16\n"
      "encoder.*.softmax=float32\n"
      "op gelu = float32 \"its \\\"tail\\\" # matters\"   # a reason\n"
      "layer softmax = half\n"
      "\tnew op gate = lower_precision\n"
      "op log = refused \"log1p\" \"an example\"\n"
      "chain relu log = refused \"softplus\"\n"
      "chain exp log = allowed\n"
      "layer \"a name = with\\\\blanks\" = refused",
      "enc.policy");
  EXPECT_EQ(rules.policy, halfway::amp_bf16);
  EXPECT_EQ(rules.ops.at(op::softmax).type, dtype::bfloat16);
  EXPECT_EQ(rules.ops.at(op::softmax).why, "set in enc.policy:4");
  EXPECT_EQ(rules.ops.at(op::gelu).why, "its \"tail\" # matters");
  EXPECT_EQ(rules.ops.category("gate"), op_category::lower_precision);
  EXPECT_EQ(rules.ops.at(op::log).alternative, "log1p");
  EXPECT_EQ(rules.ops.at(op::log).why, "an example");
  EXPECT_EQ(rules.ops.find_chain(op::relu, op::log)->alternative, "softplus");
  EXPECT_EQ(rules.ops.find_chain(op::exp, op::log), nullptr);
  ASSERT_EQ(rules.layers.rules().size(), 3u);
  EXPECT_EQ(rules.layers.find("encoder.0.softmax")->choice, dtype::float32);
  EXPECT_EQ(rules.layers.find("softmax")->choice, dtype::float16);
  EXPECT_EQ(rules.layers.find("a name = with\\blanks")->choice, op_category::refused);
}

precision_rules with_everything() {
  precision_rules rules{halfway::int8_inference};
  for (const dtype type : halfway::all_dtypes)
    rules.layers.add(std::string("layers.*.") + std::string(name(type)), type);
  for (const op_category category : halfway::all_op_categories)
    rules.ops.add(std::string("my ") + std::string(name(category)), category,
                  "line\nand \"quote\"");
  rules.ops.set(op::linear, dtype::float8_e4m3fn, "\\ # = ' \t");
  rules.ops.set(op::softmax, op_category::refused, "");
  rules.ops.refuse(op::log, "log = \"1p\"", "why");
  rules.ops.refuse("policy", "x");
  rules.ops.allow_chain(op::softmax, op::log);
  rules.ops.refuse_chain(op::exp, op::log, "another", "reason");
  rules.ops.refuse_chain("my float32", "policy", "z");
  for (const std::string_view odd : {"policy", "op", "#", "a#b", "a b", "a=b", "\"", "\\", "a\r\nb",
                                     "/encoder/layer.0/MatMul:0", "softmax", "new op x", "*"}) {
    rules.layers.add(odd, op_category::promote_widest, odd);
  }
  return rules;
}

TEST(PolicyFile, EveryRuleReadsBackFromItsText) {
  const precision_rules rules = with_everything();
  const std::string text = to_string(rules);
  EXPECT_EQ(parse_policy_file(text), rules) << text;
  for (const auto& [name, policy] : halfway::policy_presets) {
    const precision_rules preset = halfway::preset_rules(name);
    EXPECT_EQ(parse_policy_file(to_string(preset)), preset) << name;
  }
  EXPECT_EQ(to_string(precision_rules()),
            "policy = params=float32,compute=float32,output=float32\n");
}

TEST(PolicyFile, SavesAndLoads) {
  const temporary_folder folder;
  const std::string path = folder.file("all.policy");
  const precision_rules rules = with_everything();
  save_policy(rules, path);
  EXPECT_EQ(load_policy(path), rules);
  save_policy(precision_rules(), path);  // replaces it
  EXPECT_EQ(load_policy(path), precision_rules());
}

TEST(PolicyFile, KnowsTheProgramsOperations) {
  op_table mine;
  mine.add("gate", op_category::lower_precision);
  const precision_rules rules = parse_policy_file("policy=fp32\ngate = float32", "x", mine);
  EXPECT_EQ(rules.ops.category("gate"), op_category::float32);
  EXPECT_EQ(parse_policy_file(to_string(rules), "x", mine), rules);
  EXPECT_EQ(parse_policy_file(to_string(rules)), rules);
}

TEST(PolicyFile, ErrorsNameFileLineAndNearest) {
  const auto refuses = [](std::string_view text, std::initializer_list<std::string_view> parts) {
    expect_error([&] { parse_policy_file(text, "enc.policy"); }, parts);
    expect_error([&] { parse_policy_file(text, "enc.policy"); },
                 {"halfway::parse_policy_file: enc"});
  };
  refuses("policy = amp-bf16\n\nsofmax = float32\n",
          {"enc.policy:3: unknown operation \"sofmax\"; did you mean \"softmax\"", "layer sofmax"});
  refuses("# c\nop lineer = bf16\n", {"enc.policy:2: ", "\"lineer\"", "\"linear\""});
  refuses("a.b = bflaot16\n",
          {"enc.policy:1: unknown type or category \"bflaot16\"; did you mean \"bfloat16\""});
  refuses("softmax = lower_precison\n", {"enc.policy:1: ", "\"lower_precision\""});
  refuses("policy = amp-bf61\n", {"enc.policy:1: \"amp-bf61\" is neither", "\"amp-bf16\""});
  refuses("\npolicy = p=f32,c=bf17,o=f32 # c\n",
          {"enc.policy:2: unknown type \"bf17\"", "\"bf16\""});
  refuses("policy = p=f32\n", {"enc.policy:1: \"compute\" is missing"});
  refuses("policy = fp32\npolicy = fp32\n", {"enc.policy:2: policy was set before, in line 1"});
  refuses("a.b = f32\n\na.b = f16\n", {"enc.policy:3: \"a.b\" was set before, in line 1"});
  refuses("gelu = f32\nop gelu = f32\n", {"enc.policy:2: \"gelu\" was set before, in line 1"});
  refuses("softmax\n", {"enc.policy:1: \"softmax\" is not of the form key = value"});
  refuses("softmax =  # nothing\n", {"enc.policy:1: \"softmax\" lacks a value"});
  refuses("= f32\n", {"enc.policy:1: there is nothing before \"=\""});
  refuses("a.b == f32\n", {"enc.policy:1: unexpected \"=\""});
  refuses("lyer a.b = f32\n", {"enc.policy:1: \"lyer a.b\" is none of: policy,", "layer PATTERN"});
  refuses("a.b = f32 because\n", {"enc.policy:1: unexpected \"because\"", "quotes"});
  refuses("a.b = f32 \"x\" \"y\"\n", {"enc.policy:1: unexpected \"y\""});
  refuses("a.b = f32 \"x\n", {"enc.policy:1: the closing quote is missing"});
  refuses("a.b = f32 \"\\t\"\n", {"enc.policy:1: ", "must be followed by n, r, \\"});
  refuses("layer \"\" = f32\n", {"enc.policy:1: the layer's name is empty"});
  refuses("new op \"\" = f32\n", {"enc.policy:1: the operation's name is empty"});
  refuses("chain relu lgo = allowed\n", {"enc.policy:1: ", "\"lgo\"", "\"log\""});
  refuses("chain relu log = maybe\n", {"enc.policy:1: ", "not \"maybe\""});
  refuses("chain relu log = refused\n", {"enc.policy:1: ", "names the alternative"});
  refuses("softmax = f32\n", {"enc.policy: there is no policy"});
  refuses("", {"enc.policy: there is no policy"});
}

TEST(PolicyFile, APatternThatMatchesNoLayerNamesItsLine) {
  const std::vector<std::string> layers = {"encoder.0.softmax", "encoder.0.ffn"};
  const precision_rules rules =
      parse_policy_file("policy = amp-bf16\nencoder.*.sofmax = float32\n", "enc.policy");
  expect_error([&] { rules.layers.check(layers); },
               {"enc.policy:2: ", "\"encoder.*.sofmax\" matches no layer", "encoder.0.softmax"});
}

TEST(PolicyFile, FilesThatCannotBeUsedAreErrors) {
  const temporary_folder folder;
  expect_error([&] { load_policy(folder.file("none")); }, {"can't read", "none", "No such file"});
  expect_error([&] { load_policy(folder.path()); }, {"can't read", "directory"});
  expect_error([&] { save_policy({}, folder.file("none/x")); }, {"can't write", "No such file"});
  const std::string path = folder.file("bad.policy");
  std::ofstream(path) << "policy = amp-bf16\nx.y = f33\n";
  expect_error([&] { load_policy(path); }, {"halfway::load_policy: ", "bad.policy:2: ", "\"f32\""});
}

}  // namespace
