// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/op_table.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <sstream>
#include <string_view>

#include "support/expect_error.h"

namespace {

using halfway::dtype;
using halfway::op_category;
using halfway::op_table;
using halfway::testing::expect_error;
namespace op = halfway::op;

TEST(DefaultOps, EachStandsOnceWithAReason) {
  std::set<std::string_view> names;
  for (const halfway::default_op& o : halfway::default_ops) {
    EXPECT_TRUE(names.insert(o.name).second) << o.name;
    EXPECT_GT(o.why.size(), 20u) << o.name;
    EXPECT_EQ(o.category == op_category::refused, !o.alternative.empty()) << o.name;
  }
  EXPECT_EQ(op_table().entries().size(), halfway::default_ops.size());
}

TEST(DefaultOps, MatrixProductsAreLowSoftmaxAndNormsAreNot) {
  const op_table table;
  for (const auto o : {op::gemm, op::matmul, op::linear, op::conv2d, op::attention, op::dot}) {
    EXPECT_EQ(table.category(o), op_category::lower_precision) << o;
  }
  for (const auto o : {op::softmax, op::log_softmax, op::layernorm, op::rmsnorm,
                       op::softmax_cross_entropy, op::sum, op::exp}) {
    EXPECT_EQ(table.category(o), op_category::float32) << o;
  }
  for (const auto o : {op::relu, op::gelu, op::add, op::concat, op::embedding}) {
    EXPECT_EQ(table.category(o), op_category::promote_widest) << o;
  }
}

TEST(OpTable, ResolvesByCategory) {
  const op_table table;
  EXPECT_EQ(table.resolve(op::linear, {}, halfway::amp_bf16), dtype::bfloat16);
  EXPECT_EQ(table.resolve(op::linear, {dtype::float32, dtype::bfloat16}, halfway::amp_bf16),
            dtype::bfloat16);
  EXPECT_EQ(table.resolve(op::linear, {dtype::bfloat16}, halfway::fp32), dtype::float32);
  EXPECT_EQ(table.resolve(op::softmax, {dtype::bfloat16}, halfway::amp_bf16), dtype::float32);
  EXPECT_EQ(table.resolve(op::softmax, {}, halfway::pure_fp16), dtype::float32);
  EXPECT_EQ(table.resolve(op::relu, {dtype::float16}, halfway::amp_bf16), dtype::float16);
  EXPECT_EQ(table.resolve(op::add, {dtype::float16, dtype::float32}, halfway::amp_fp16),
            dtype::float32);
  EXPECT_EQ(table.resolve(op::add, {dtype::float16, dtype::bfloat16}, halfway::amp_fp16),
            dtype::float32);
}

TEST(DefaultOps, HoldEveryOperationOfTheLibrary) {
  const op_table table;
  for (const std::string_view name : {"sum",
                                      "dot",
                                      "sum_of_squares",
                                      "max",
                                      "min",
                                      "argmax",
                                      "mean_variance",
                                      "column_sums",
                                      "relu",
                                      "gelu",
                                      "gelu_tanh",
                                      "silu",
                                      "tanh",
                                      "sigmoid",
                                      "relu_backward",
                                      "gelu_backward",
                                      "gelu_tanh_backward",
                                      "silu_backward",
                                      "tanh_backward",
                                      "sigmoid_backward",
                                      "attention",
                                      "convert",
                                      "exp",
                                      "exp2",
                                      "log",
                                      "log2",
                                      "erf",
                                      "softplus",
                                      "rsqrt",
                                      "reciprocal",
                                      "sqrt",
                                      "sin",
                                      "cos",
                                      "gemm",
                                      "gemm_requantized",
                                      "layernorm",
                                      "rmsnorm",
                                      "layernorm_backward",
                                      "rmsnorm_backward",
                                      "rotary_embedding",
                                      "unscale",
                                      "amax",
                                      "softmax",
                                      "log_softmax",
                                      "softmax_cross_entropy",
                                      "quantize",
                                      "dequantize",
                                      "optimizer_step"}) {
    EXPECT_TRUE(table.contains(name)) << name;
  }
}

TEST(OpTable, RefusesInLowPrecisionAndNamesTheAlternative) {
  const op_table table;
  const auto bce = op::binary_cross_entropy;
  expect_error([&] { table.resolve(bce, {}, halfway::amp_bf16); },
               {"binary_cross_entropy is refused in low precision (bfloat16)",
                "use binary_cross_entropy_with_logits instead", "set(\"binary_cross_entropy\""});
  expect_error(
      [&] {
        table.resolve(bce, {dtype::float32, dtype::float16}, halfway::fp32);
      },
      {"(float32, float16)", "binary_cross_entropy_with_logits"});
  expect_error(
      [&] {
        table.resolve(bce, {dtype::int8, dtype::int8}, halfway::int8_inference);
      },
      {"(int8, int8)"});
  EXPECT_EQ(table.resolve(bce, {}, halfway::fp32), dtype::float32);
  EXPECT_EQ(table.resolve(bce, {dtype::float32, dtype::float32}, halfway::amp_bf16),
            dtype::float32);
  EXPECT_EQ(table.resolve(bce, {dtype::float32, dtype::uint8}, halfway::amp_bf16),
            dtype::float32);  // labels
  EXPECT_EQ(table.resolve(bce, {dtype::float64}, halfway::amp_bf16), dtype::float64);
  EXPECT_EQ(
      table.resolve(op::binary_cross_entropy_with_logits, {dtype::float16}, halfway::amp_fp16),
      dtype::float32);

  op_table changed = table;
  changed.set(bce, op_category::float32);
  EXPECT_EQ(changed.resolve(bce, {dtype::float16}, halfway::amp_fp16), dtype::float32);
  changed.refuse(op::log, "log1p", "an example");
  expect_error([&] { changed.resolve(op::log, {}, halfway::amp_bf16); },
               {"log is refused", "an example", "use log1p"});
  changed.refuse("my_loss", "my_loss_of_logits");
  EXPECT_EQ(changed.category("my_loss"), op_category::refused);
  changed.set(op::exp, op_category::refused);
  expect_error([&] { changed.resolve(op::exp, {}, halfway::amp_bf16); }, {"use float32 inputs"});
  expect_error([&] { changed.refuse("x", ""); }, {"alternative to \"x\" is empty"});
  expect_error([&] { changed.refuse("", "y"); }, {"op_name is empty"});
  EXPECT_FALSE(changed.contains("x"));
}

TEST(OpTable, RefusesChainsWhoseValuesBetweenAreNarrow) {
  op_table table;
  expect_error(
      [&] { table.check_chain(op::softmax, op::log, dtype::bfloat16); },
      {"log of softmax is refused in low precision (bfloat16)", "log_softmax", "nll_loss"});
  table.check_chain(op::softmax, op::log, dtype::float32);
  table.check_chain(op::log, op::softmax, dtype::bfloat16);  // the order matters
  EXPECT_EQ(table.find_chain(op::relu, op::log), nullptr);
  table.refuse_chain(op::relu, op::log, "softplus", "log of 0");
  expect_error([&] { table.check_chain(op::relu, op::log, dtype::float16, "layer \"a\""); },
               {"layer \"a\": log of relu", "log of 0; use softplus"});
  table.allow_chain(op::relu, op::log);
  table.check_chain(op::relu, op::log, dtype::float16);
  EXPECT_EQ(table, op_table());
  expect_error([&] { table.refuse_chain("sofmax", op::log, "x"); }, {"did you mean \"softmax\""});
  expect_error([&] { table.allow_chain(op::softmax, "lgo"); }, {"\"log\""});
  expect_error([&] { table.refuse_chain(op::relu, op::log, ""); }, {"log of relu is empty"});
  EXPECT_EQ(table, op_table());
}

TEST(OpTable, TakesATypeWhateverThePolicySays) {
  op_table table;
  table.set(op::linear, dtype::float16);
  EXPECT_EQ(table.resolve(op::linear, {dtype::float32}, halfway::amp_bf16), dtype::float16);
  EXPECT_EQ(table.resolve(op::linear, {}, halfway::fp32), dtype::float16);
  EXPECT_EQ(table.resolve(op::linear, {dtype::float64}, halfway::amp_bf16), dtype::float64);
  table.set(op::linear, dtype::float32);
  EXPECT_EQ(table.at(op::linear).category, op_category::float32);
  EXPECT_EQ(table.at(op::linear).type, std::nullopt);
}

TEST(OpTable, GivesIntegersOnlyToProducts) {
  const op_table table;
  EXPECT_EQ(table.resolve(op::linear, {dtype::float32}, halfway::int8_inference), dtype::int8);
  EXPECT_EQ(table.resolve(op::conv2d, {}, halfway::int8_inference), dtype::int8);
  for (const auto o : {op::attention, op::lstm, op::prelu, op::softmax, op::layernorm})
    EXPECT_EQ(table.resolve(o, {dtype::float32}, halfway::int8_inference), dtype::float32) << o;
  op_table mine;
  mine.add("my_product", op_category::lower_precision);
  EXPECT_EQ(mine.resolve("my_product", {}, halfway::int8_inference), dtype::float32);
  mine.set("my_product", dtype::int8);
  EXPECT_EQ(mine.resolve("my_product", {}, halfway::int8_inference), dtype::int8);
}

TEST(PrecisionChoice, ReadsBackFromItsText) {
  for (const op_category category : halfway::all_op_categories) {
    const halfway::precision_choice choice = category;
    EXPECT_EQ(halfway::parse_precision_choice(to_string(choice)), choice);
  }
  for (const dtype type : halfway::all_dtypes) {
    const halfway::precision_choice choice = type;
    EXPECT_EQ(halfway::parse_precision_choice(to_string(choice)), choice);
  }
  EXPECT_EQ(halfway::parse_precision_choice("bf16"), halfway::precision_choice(dtype::bfloat16));
  EXPECT_EQ(halfway::parse_precision_choice("bf17"), std::nullopt);
}

TEST(OpTable, LeavesFloat64AndIntegersAlone) {
  const op_table table;
  EXPECT_EQ(table.resolve(op::linear, {dtype::float64, dtype::float32}, halfway::amp_bf16),
            dtype::float64);
  EXPECT_EQ(table.resolve(op::softmax, {dtype::float64}, halfway::amp_bf16), dtype::float64);
  EXPECT_EQ(table.resolve(op::linear, {dtype::int8, dtype::int8}, halfway::amp_bf16), dtype::int8);
  EXPECT_EQ(table.resolve(op::linear, {dtype::int8, dtype::float32}, halfway::amp_bf16),
            dtype::bfloat16);
  EXPECT_EQ(table.resolve(op::softmax, {dtype::int32}, halfway::amp_bf16), dtype::int32);
}

TEST(OpTable, TakesUserOperationsAndOverrides) {
  op_table table;
  EXPECT_FALSE(table.contains("my_attention"));
  table.add("my_attention", op_category::lower_precision, "one fused chain");
  EXPECT_EQ(table.resolve("my_attention", {}, halfway::amp_fp16), dtype::float16);
  EXPECT_EQ(table.at("my_attention").why, "one fused chain");
  table.set_category(op::gelu, op_category::float32);
  EXPECT_EQ(table.resolve(op::gelu, {dtype::bfloat16}, halfway::amp_bf16), dtype::float32);
  EXPECT_EQ(op_table().category(op::gelu), op_category::promote_widest);  // tables are values
}

TEST(OpTable, RefusesWhatItDoesNotKnow) {
  op_table table;
  expect_error([&] { table.resolve("layer_norm", {}, halfway::fp32); },
               {"unknown operation \"layer_norm\"", "did you mean \"layernorm\""});
  expect_error([&] { table.set_category("sofmax", op_category::float32); },
               {"\"sofmax\"", "did you mean \"softmax\""});
  expect_error([&] { table.category(""); }, {"unknown operation \"\""});
  expect_error([&] { table.add(op::linear, op_category::float32); },
               {"\"linear\" exists", "set changes it"});
  expect_error([&] { table.add("", op_category::float32); }, {"op_name is empty"});
  expect_error([&] { table.resolve(op::relu, {}, halfway::fp32); },
               {"relu computes in the widest type of its inputs"});
  EXPECT_EQ(table.category(op::linear), op_category::lower_precision);
}

TEST(OpCategory, Prints) {
  std::ostringstream out;
  out << op_category::lower_precision << ' ' << op_category::float32 << ' '
      << op_category::promote_widest << ' ' << op_category::refused << ' '
      << halfway::precision_choice(dtype::bfloat16);
  EXPECT_EQ(out.str(), "lower_precision float32 promote_widest refused bfloat16");
}

}  // namespace
