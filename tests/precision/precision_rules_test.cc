// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/precision_rules.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace {

using halfway::dtype;
using halfway::op_category;
using halfway::precision_rules;
using halfway::preset_rules;
using halfway::testing::expect_error;
namespace op = halfway::op;

// Adds one rule at a time, from the weakest to the strongest, and each decides.
TEST(PrecisionRules, LayerBeatsPatternBeatsOperationBeatsDefault) {
  precision_rules rules{halfway::amp_bf16};
  const auto type = [&] {
    return rules.resolve(op::softmax, {dtype::float32}, "encoder.0.softmax");
  };
  const auto why = [&] {
    return rules.explain(op::softmax, {dtype::float32}, "encoder.0.softmax").why;
  };
  EXPECT_EQ(type(), dtype::float32);
  EXPECT_EQ(why().rfind("softmax=float32: exp of half overflows", 0), 0u) << why();
  rules.ops.set(op::softmax, op_category::lower_precision, "for the op");
  EXPECT_EQ(type(), dtype::bfloat16);
  EXPECT_EQ(why(), "softmax=lower_precision: for the op");
  rules.layers.add("encoder.*.softmax", dtype::float16, "for the pattern");
  EXPECT_EQ(type(), dtype::float16);
  EXPECT_EQ(why(), "encoder.*.softmax=float16: for the pattern");
  rules.layers.add("encoder.*", dtype::float8_e5m2);
  EXPECT_EQ(type(), dtype::float8_e5m2);
  rules.layers.add("encoder.0.softmax", op_category::float32, "for the layer");
  EXPECT_EQ(type(), dtype::float32);
  EXPECT_EQ(why(), "encoder.0.softmax=float32: for the layer");
  rules.layers.add("*", dtype::float16);  // later, but a pattern
  EXPECT_EQ(type(), dtype::float32);
  EXPECT_EQ(rules.resolve(op::softmax, {dtype::float32}), dtype::bfloat16);  // no layer's name
  EXPECT_EQ(rules.resolve(op::softmax, {dtype::float64}, "other"), dtype::float64);
  EXPECT_EQ(rules.resolve(op::softmax, {dtype::int32}, "other"), dtype::int32);
}

TEST(PrecisionRules, ALayerMayAllowARefusedOperationOnlyInFloat32) {
  precision_rules rules{halfway::amp_fp16};
  const auto bce = op::binary_cross_entropy;
  expect_error([&] { rules.resolve(bce, {dtype::float16}, "loss"); },
               {"binary_cross_entropy_with_logits"});
  rules.layers.add("loss", dtype::float32);
  EXPECT_EQ(rules.resolve(bce, {dtype::float16}, "loss"), dtype::float32);
  rules.layers.add("loss", dtype::float16);
  expect_error([&] { rules.resolve(bce, {dtype::float32}, "loss"); },
               {"layer \"loss\"", "is refused", "binary_cross_entropy_with_logits"});
  rules.layers.add("loss", op_category::lower_precision);
  expect_error([&] { rules.resolve(bce, {dtype::float32}, "loss"); }, {"is refused"});
  rules.layers.add("odd", op_category::refused);
  expect_error([&] { rules.resolve(op::linear, {}, "odd"); },
               {"layer \"odd\": linear is refused in low precision (float16)"});
}

TEST(PrecisionRules, RefuseUnknownOperations) {
  precision_rules rules{halfway::amp_bf16};
  rules.layers.add("*", dtype::float32);
  expect_error([&] { rules.resolve("lineer", {}, "a"); }, {"\"linear\""});
  rules.layers.add("*", op_category::promote_widest);
  expect_error([&] { rules.resolve(op::linear, {}, "a"); }, {"layer \"a\"", "none is given"});
  EXPECT_EQ(rules.resolve(op::linear, {dtype::float16}, "a"), dtype::float16);
}

TEST(PresetRules, O2AndO3RunTheWholeModelInFloat16) {
  const precision_rules o1 = preset_rules("O1"), o2 = preset_rules("O2"), o3 = preset_rules("O3");
  const auto type = [](const precision_rules& rules, auto name) {
    return rules.resolve(name, {dtype::float32});
  };
  EXPECT_EQ(type(o1, op::softmax), dtype::float32);
  for (const auto name : {op::softmax, op::layernorm, op::exp, op::linear, op::sum}) {
    EXPECT_EQ(type(o2, name), dtype::float16) << name;
    EXPECT_EQ(type(o3, name), dtype::float16) << name;
  }
  EXPECT_EQ(type(o2, op::batchnorm), dtype::float32);
  EXPECT_EQ(type(o3, op::batchnorm), dtype::float16);
  for (const auto name : {op::cross_entropy, op::quantize, op::svd, op::optimizer_step})
    EXPECT_EQ(type(o3, name), dtype::float32) << name;
  EXPECT_EQ(preset_rules("amp-bf16"), precision_rules{halfway::amp_bf16});
  expect_error([] { preset_rules("amp_bf16"); }, {"\"amp_bf16\"", "did you mean \"amp-bf16\""});
}

}  // namespace
