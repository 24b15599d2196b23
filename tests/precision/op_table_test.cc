// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/op_table.h"

#include <gtest/gtest.h>

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
               {"\"linear\" exists", "set_category"});
  expect_error([&] { table.add("", op_category::float32); }, {"op_name is empty"});
  expect_error([&] { table.resolve(op::relu, {}, halfway::fp32); },
               {"relu computes in the widest type of its inputs"});
  EXPECT_EQ(table.category(op::linear), op_category::lower_precision);
}

TEST(OpCategory, Prints) {
  std::ostringstream out;
  out << op_category::lower_precision << ' ' << op_category::float32 << ' '
      << op_category::promote_widest;
  EXPECT_EQ(out.str(), "lower_precision float32 promote_widest");
}

}  // namespace
