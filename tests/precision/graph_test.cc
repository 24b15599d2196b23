// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/graph.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::dtype;
using halfway::graph;
using halfway::node_id;
using halfway::node_kind;
using halfway::tensor_shape;
using halfway::testing::expect_error;
namespace op = halfway::op;

struct of_inputs {
  explicit of_inputs(std::vector<tensor_shape> shapes) {
    for (std::size_t i = 0; i < shapes.size(); ++i)
      ids.push_back(g.input("in" + std::to_string(i), shapes[i]));
  }
  tensor_shape shape(std::string_view op_name, const halfway::op_attributes& a = {}) {
    return g.node(g.add("layer", op_name, ids, a)).shape;
  }
  graph g;
  std::vector<node_id> ids;
};

tensor_shape shape_of(std::string_view op_name, std::vector<tensor_shape> shapes,
                      const halfway::op_attributes& a = {}) {
  return of_inputs(std::move(shapes)).shape(op_name, a);
}

TEST(Graph, HoldsNodesInTheOrderOfTheirInputs) {
  graph g;
  const node_id x = g.input("x", {4, 8}, dtype::bfloat16);
  const node_id w = g.parameter("fc.weight", {8, 2});
  const node_id h = g.add("fc", op::linear, {x, w});
  const node_id y = g.add("square", op::mul, {h, h});
  g.output(y);
  EXPECT_EQ(g.size(), 4u);
  EXPECT_EQ(g.node(x).kind, node_kind::input);
  EXPECT_EQ(g.node(x).type, dtype::bfloat16);
  EXPECT_EQ(g.node(w).kind, node_kind::parameter);
  EXPECT_EQ(g.node(h).op, "linear");
  EXPECT_EQ(g.node(h).inputs, (std::vector<node_id>{x, w}));
  EXPECT_EQ(g.node(h).shape, (tensor_shape{4, 2}));
  EXPECT_EQ(g.find("square"), y);
  EXPECT_TRUE(g.contains("fc"));
  EXPECT_FALSE(g.contains("fc.bias"));
  ASSERT_EQ(g.consumers(h).size(), 1u);  // once, though it reads it twice
  EXPECT_EQ(g.consumers(h)[0], y);
  EXPECT_TRUE(g.consumers(y).empty());
  ASSERT_EQ(g.outputs().size(), 1u);
  EXPECT_TRUE(g.is_output(y));
  EXPECT_FALSE(g.is_output(h));
}

TEST(Graph, InfersShapes) {
  EXPECT_EQ(shape_of(op::linear, {{3, 5}, {5, 7}, {1, 7}}), (tensor_shape{3, 7}));
  EXPECT_EQ(shape_of(op::matmul, {{3, 5}, {5, 7}}), (tensor_shape{3, 7}));
  EXPECT_EQ(shape_of(op::matmul, {{3, 5}, {7, 5}}, {.transposed = true}), (tensor_shape{3, 7}));
  EXPECT_EQ(shape_of(op::add, {{6, 5}, {2, 5}}), (tensor_shape{6, 5}));
  EXPECT_EQ(shape_of(op::mul, {{6, 5}, {6, 5}}), (tensor_shape{6, 5}));
  EXPECT_EQ(shape_of(op::layernorm, {{6, 5}, {1, 5}, {1, 5}}), (tensor_shape{6, 5}));
  EXPECT_EQ(shape_of(op::rmsnorm, {{6, 5}}), (tensor_shape{6, 5}));
  for (const auto o : {op::softmax, op::log_softmax, op::relu, op::gelu, op::gelu_tanh, op::silu,
                       op::tanh, op::sigmoid})
    EXPECT_EQ(shape_of(o, {{6, 5}}), (tensor_shape{6, 5})) << o;
  EXPECT_EQ(shape_of(op::convert, {{6, 5}}, {.type = dtype::float16}), (tensor_shape{6, 5}));
  EXPECT_EQ(shape_of(op::attention, {{6, 8}, {10, 4}, {10, 6}},
                     {.heads = 4, .kv_heads = 2, .sequence = 3, .causal = true}),
            (tensor_shape{6, 12}));
  EXPECT_EQ(shape_of("my_pool", {{6, 5}}, {.shape = {1, 5}}), (tensor_shape{1, 5}));
  graph g;
  const node_id ids = g.input("ids", {2, 9}, dtype::int32);
  const node_id table = g.parameter("table", {100, 16});
  EXPECT_EQ(g.node(g.add("embed", op::embedding, {ids, table})).shape, (tensor_shape{18, 16}));
}

TEST(Graph, NamesLayerOperationAndShapes) {
  expect_error(
      [] {
        shape_of(op::linear, {{3, 5}, {4, 7}});
      },
      {"layer \"layer\": linear of 3 x 5 and 4 x 7", "w.rows (4)", "x.cols (5)"});
  expect_error(
      [] {
        shape_of(op::linear, {{3, 5}, {5, 7}, {1, 6}});
      },
      {"bias.cols (6)", "w.cols (7)"});
  expect_error([] { shape_of(op::linear, {{3, 5}, {5, 7}, {2, 7}}); }, {"bias.rows (2)"});
  expect_error([] { shape_of(op::linear, {{3, 5}}); }, {"it has 1 inputs", "x, w[, bias]"});
  expect_error(
      [] {
        shape_of(op::matmul, {{3, 5}, {5, 7}}, {.transposed = true});
      },
      {"b.cols (7)", "a.cols (5)"});
  expect_error([] { shape_of(op::add, {{6, 5}, {4, 5}}); }, {"a.rows (6)", "b.rows (4)"});
  expect_error([] { shape_of(op::add, {{6, 5}, {0, 5}}); }, {"a.rows (6)", "b.rows (0)"});
  expect_error([] { shape_of(op::mul, {{6, 5}, {6, 4}}); }, {"b.cols (4)", "a.cols (5)"});
  expect_error([] { shape_of(op::layernorm, {{6, 5}, {1, 5}, {1, 4}}); }, {"beta.cols (4)"});
  expect_error([] { shape_of(op::softmax, {{6, 5}}, {.causal = true}); }, {"more rows"});
  expect_error([] { shape_of(op::convert, {{6, 5}}); }, {"attributes.type is not given"});
  expect_error([] { shape_of(op::convert, {{6, 5}}, {.type = dtype::int8}); }, {"(int8)"});
  expect_error(
      [] {
        shape_of(op::relu, {{6, 5}}, {.shape = {5, 6}});
      },
      {"attributes.shape (5 x 6) must be 6 x 5"});
  const std::vector<tensor_shape> qkv = {{6, 8}, {6, 8}, {6, 8}};
  expect_error([&] { shape_of(op::attention, qkv, {.heads = 3}); }, {"q.cols (8)", "heads (3)"});
  expect_error([&] { shape_of(op::attention, qkv, {.heads = 4, .kv_heads = 3}); },
               {"heads (4)", "kv_heads (3)"});
  expect_error([&] { shape_of(op::attention, qkv, {.heads = 4, .kv_heads = 2}); },
               {"k.cols (8)", "(4)"});
  expect_error([&] { shape_of(op::attention, qkv, {.heads = 2, .sequence = 4}); },
               {"q.rows (6)", "sequence (4)"});
  expect_error(
      [&] {
        shape_of(op::attention, {{6, 8}, {5, 8}, {5, 8}}, {.sequence = 3});
      },
      {"k.rows (5)", "2 sequences"});
  expect_error(
      [&] {
        shape_of(op::attention, {{6, 8}, {5, 8}, {5, 8}}, {.causal = true});
      },
      {"(6 rows)", "(5)"});
}

TEST(Graph, RefusesWhatItDoesNotKnow) {
  graph g;
  const node_id x = g.input("x", {4, 8});
  const node_id ids = g.input("ids", {4, 1}, dtype::int32);
  const node_id h = g.add("block.relu", op::relu, {x});
  g.output(h);
  expect_error([&] { g.add("fc", "lineer", {x}); },
               {"layer \"fc\"", "unknown operation \"lineer\"", "did you mean \"linear\""});
  expect_error([&] { g.add("c", op::conv2d, {x}); }, {"shape of conv2d", "attributes.shape"});
  expect_error([&] { g.add("x", op::relu, {x}); }, {"layer \"x\" exists"});
  expect_error([&] { g.input("", {1, 1}); }, {"graph::input", "empty"});
  expect_error([&] { g.input("codes", {1, 1}, dtype::int8); }, {"\"codes\"", "int8"});
  expect_error([&] { g.parameter("x", {1, 1}); }, {"graph::parameter", "\"x\" exists"});
  expect_error([&] { g.add("y", op::relu, {node_id{7}}); }, {"layer \"y\"", "input 7"});
  expect_error([&] { g.add("y", op::relu, {ids}); }, {"\"ids\"", "int32", "a floating type"});
  expect_error([&] { g.add("y", op::embedding, {x, x}); }, {"\"x\"", "float32", "int32"});
  expect_error([&] { g.find("block.rellu"); }, {"\"block.rellu\"", "did you mean \"block.relu\""});
  expect_error([&] { graph().find("x"); }, {"empty"});
  expect_error([&] { g.output(h); }, {"\"block.relu\" is an output already"});
  expect_error([&] { g.output(x); }, {"\"x\" is no operation"});
  expect_error([&] { g.output(99); }, {"99"});
  expect_error([&] { g.consumers(99); }, {"99"});
  EXPECT_EQ(g.size(), 3u);  // nothing was added
}

}  // namespace
