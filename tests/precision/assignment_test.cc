// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/assignment.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::assign;
using halfway::can_compute;
using halfway::dtype;
using halfway::graph;
using halfway::node_id;
using halfway::op_category;
using halfway::op_table;
using halfway::testing::expect_error;
namespace op = halfway::op;

constexpr dtype f32 = dtype::float32, f16 = dtype::float16, bf16 = dtype::bfloat16;

// x -> embed (float32) -> norm -> fc1 -> gelu -> fc2 -> residual -> norm2 -> head -> log_softmax
struct residual_block {
  residual_block() {
    const auto x = g.input("x", {4, 8});
    const auto w = g.parameter("w", {8, 8});
    const auto n = g.add("norm", op::layernorm, {x});
    const auto h = g.add("gelu", op::gelu, {g.add("fc1", op::linear, {n, w})});
    const auto r = g.add("residual", op::add, {x, g.add("fc2", op::linear, {h, w})});
    const auto l = g.add("head", op::linear, {g.add("norm2", op::rmsnorm, {r}), w});
    g.output(g.add("log", op::log_softmax, {l}));
  }
  graph g;
};

TEST(Assign, FollowsListsAndNeighbours) {
  const residual_block b;
  const auto a = assign(b.g, halfway::amp_bf16);
  const auto type = [&](std::string_view layer) { return a.compute[b.g.find(layer)]; };
  const auto why = [&](std::string_view layer) { return a.why[b.g.find(layer)]; };
  for (const auto layer : {"fc1", "fc2", "head", "gelu"}) EXPECT_EQ(type(layer), bf16) << layer;
  for (const auto layer : {"norm", "norm2", "log", "residual"})
    EXPECT_EQ(type(layer), f32) << layer;
  EXPECT_EQ(why("fc1").find("allow: "), 0u) << why("fc1");
  EXPECT_EQ(why("norm").find("deny: "), 0u) << why("norm");
  EXPECT_EQ(why("gelu"), "infer: the widest of its inputs, all narrow");
  EXPECT_EQ(why("residual"), "infer: the widest of its inputs, of which x is float32");
  EXPECT_EQ(a.output, f32);
  EXPECT_EQ(assign(b.g, halfway::pure_fp16).output, f16);
  const auto wide = assign(b.g, halfway::fp32);
  EXPECT_EQ(wide.compute, std::vector<dtype>(b.g.size(), f32));
  EXPECT_EQ(wide.why[b.g.find("gelu")], "infer: the widest of its inputs, of which fc1 is float32");
}

TEST(Assign, KeepsWhatFollowsADeniedOperationWide) {
  graph g;
  const auto x = g.input("x", {4, 8}, bf16);
  const auto s = g.add("softmax", op::softmax, {x});
  const auto r = g.add("relu", op::relu, {s});        // leads to an infer node
  const auto m = g.add("mul", op::mul, {r, r});       // infer, at the end of a path
  const auto e = g.add("relu_to_fc", op::relu, {m});  // clear, leads to a product only
  const auto y = g.add("fc", op::matmul, {e, m}, {.transposed = true});
  g.output(y);
  const auto a = assign(g, halfway::amp_bf16);
  EXPECT_EQ(a.compute, (std::vector<dtype>{bf16, f32, f32, f32, bf16, bf16}));
  EXPECT_EQ(a.why[m], "deny: it carries on what softmax computes in float32");
  EXPECT_EQ(a.why[e], "clear: it selects values that are only read narrow");
}

TEST(Assign, TakesTypesOfLayers) {
  const residual_block b;
  const auto a = assign(b.g, halfway::amp_bf16, {}, {{"fc1", f32}, {"norm2", f16}});
  EXPECT_EQ(a.compute[b.g.find("fc1")], f32);
  EXPECT_EQ(a.compute[b.g.find("gelu")], f32);  // it follows fc1
  EXPECT_EQ(a.compute[b.g.find("norm2")], f16);
  EXPECT_EQ(a.why[b.g.find("norm2")], "norm2=float16: set for this layer");
  // 8 bits are for products alone.
  const auto q = assign(b.g, halfway::amp_bf16, {}, {{"fc1", dtype::int8}});
  EXPECT_EQ(q.compute[b.g.find("gelu")], bf16);
  const auto q32 = assign(b.g, halfway::fp32, {}, {{"fc1", dtype::float8_e4m3fn}});
  EXPECT_EQ(q32.compute[b.g.find("gelu")], f32);
  expect_error([&] { assign(b.g, halfway::fp32, {}, {{"fc3", f16}}); }, {"\"fc3\"", "\"fc1\""});
  expect_error(
      [&] {
        assign(b.g, halfway::fp32, {}, {{"norm", dtype::int8}});
      },
      {"layer \"norm\" (layernorm)", "int8"});
  expect_error([&] { assign(b.g, halfway::fp32, {}, {{"w", bf16}}); }, {"\"w\""});
}

TEST(Assign, AsksTheTable) {
  graph g;
  const auto x = g.input("x", {4, 8});
  const auto w = g.parameter("w", {8, 8});
  const auto h = g.add("fc", op::linear, {x, w});
  g.output(g.add("mine", "my_op", {g.add("gelu", op::gelu, {h})}, {.shape = {4, 8}}));
  expect_error([&] { assign(g, halfway::amp_bf16); }, {"unknown operation \"my_op\""});
  op_table table;
  for (const auto category : {op_category::lower_precision, op_category::promote_widest}) {
    op_table with = table;
    with.add("my_op", category, "because");
    const auto a = assign(g, halfway::amp_bf16, with);
    EXPECT_EQ(a.compute[g.find("mine")], f32);  // the user's kernels are of float
    EXPECT_NE(a.why[g.find("mine")].find("kernel of my_op"), std::string::npos);
  }
  table.add("my_op", op_category::float32, "because");
  table.set_category(op::gelu, op_category::float32, "it is delicate here");
  const auto a = assign(g, halfway::amp_bf16, table);
  EXPECT_EQ(a.compute[g.find("gelu")], f32);
  EXPECT_EQ(a.why[g.find("gelu")], "deny: it is delicate here");
  EXPECT_EQ(a.why[g.find("mine")], "deny: because");
}

TEST(Assign, TakesRulesOfPatternsAndOperations) {
  const residual_block b;
  halfway::precision_rules rules{halfway::amp_bf16};
  rules.layers.add("fc*", dtype::int8, "small");
  rules.layers.add("norm?", dtype::int8);  // norms have no kernel in int8
  rules.layers.add("norm", op_category::lower_precision);
  rules.layers.add("log", op_category::promote_widest);
  rules.ops.set(op::matmul, f16);
  rules.ops.set(op::gelu, f16);
  const auto a = assign(b.g, rules);
  const auto type = [&](std::string_view layer) { return a.compute[b.g.find(layer)]; };
  EXPECT_EQ(type("fc1"), dtype::int8);
  EXPECT_EQ(a.why[b.g.find("fc1")], "fc*=int8: small");
  EXPECT_EQ(type("norm2"), f32);
  EXPECT_EQ(a.why[b.g.find("norm2")], "there is no kernel of rmsnorm in int8 here");
  EXPECT_EQ(type("norm"), bf16);
  EXPECT_EQ(type("gelu"), f16);
  EXPECT_EQ(type("head"), bf16);
  EXPECT_EQ(type("log"), bf16);  // as its input is
  rules.layers.add("decoder.*", f16);
  expect_error([&] { assign(b.g, rules); }, {"\"decoder.*\""});
}

TEST(Assign, KnowsWhichTypesHaveKernels) {
  graph g;
  const auto x = g.input("x", {4, 4});
  const auto w = g.parameter("w", {4, 4});
  const auto linear = g.add("linear", op::linear, {x, w});
  const auto matmul = g.add("matmul", op::matmul, {x, x});
  const auto attention = g.add("attention", op::attention, {x, x, x});
  const auto convert = g.add("convert", op::convert, {x}, {.type = f16});
  const auto mine = g.add("mine", "my_op", {x}, {.shape = {1, 1}});
  const auto types = [&](node_id id) {
    std::vector<dtype> can;
    for (const dtype type : halfway::graph_compute_types)
      if (can_compute(g, id, type)) can.push_back(type);
    return can;
  };
  EXPECT_EQ(types(linear), std::vector<dtype>(halfway::graph_compute_types.begin(),
                                              halfway::graph_compute_types.end()));
  EXPECT_EQ(types(matmul), (std::vector<dtype>{f32, bf16, f16, dtype::float8_e4m3fn}));
  EXPECT_EQ(types(attention), (std::vector<dtype>{f32, bf16, f16}));
  EXPECT_EQ(types(convert), (std::vector<dtype>{f16}));
  EXPECT_EQ(types(mine), (std::vector<dtype>{f32}));
  EXPECT_EQ(types(x), (std::vector<dtype>{f32}));
  EXPECT_FALSE(can_compute(g, linear, dtype::float64));
  expect_error([&] { can_compute(g, 99, f32); }, {"99"});
  // Where a product has no kernel in the policy's type, it is computed in float32.
  const halfway::cast_policy int8{f32, dtype::int8, f32};
  op_table table;
  table.add("my_op", op_category::float32);
  const auto a = assign(g, int8, table);
  EXPECT_EQ(a.compute, (std::vector<dtype>{f32, f32, dtype::int8, f32, f32, f16, f32}));
  EXPECT_EQ(a.why[attention], "there is no kernel of attention in int8 here");
  expect_error([&] { assign(g, {f32, dtype::float64, f32}, table); }, {"policy.compute (float64)"});
  EXPECT_EQ(halfway::assign_all(g, dtype::int8).compute,
            (std::vector<dtype>{f32, f32, dtype::int8, f32, f32, f16, f32}));
  expect_error([&] { halfway::assign_all(g, dtype::int4); }, {"type (int4)"});
}

TEST(Selects, IsOfOperationsThatRoundNothing) {
  for (const auto o : {op::relu, op::embedding, op::max_pool2d, op::concat, op::where})
    EXPECT_TRUE(halfway::selects(o)) << o;
  for (const auto o : {op::gelu, op::add, op::softmax, op::linear, op::argmax})
    EXPECT_FALSE(halfway::selects(o)) << o;
  EXPECT_FALSE(halfway::selects("my_op"));
}

// The rules once more, by walking paths, on random graphs.
enum class kind { allow, deny, infer, clear, input };
class paths {
 public:
  paths(const graph& g, const std::vector<kind>& kinds) : g_(g), kinds_(kinds) {}

  bool open(node_id id) const { return kinds_[id] == kind::infer || kinds_[id] == kind::clear; }
  bool reached_from_denied(node_id id) const {
    for (const node_id in : g_.node(id).inputs)
      if (kinds_[in] == kind::deny || (open(in) && reached_from_denied(in))) return true;
    return false;
  }
  bool reaches_deny_or_infer(node_id id) const {
    for (const node_id to : g_.consumers(id)) {
      if (kinds_[to] == kind::deny || kinds_[to] == kind::infer) return true;
      if (open(to) && reaches_deny_or_infer(to)) return true;
    }
    return false;
  }
  bool denied(node_id id) const {
    if (!open(id)) return kinds_[id] == kind::deny;
    return reached_from_denied(id) && (kinds_[id] == kind::infer || reaches_deny_or_infer(id));
  }
  bool follows(node_id id) const {  // rule 3
    if (!open(id) || denied(id)) return false;
    for (const node_id in : g_.node(id).inputs)
      if (kinds_[in] != kind::allow && !follows(in)) return false;
    return true;
  }
  bool narrow(node_id id) const {
    if (kinds_[id] == kind::allow || follows(id)) return true;
    if (kinds_[id] != kind::clear || denied(id) || g_.is_output(id)) return false;
    for (const node_id to : g_.consumers(id))
      if (!narrow(to)) return false;
    return !g_.consumers(id).empty();
  }

 private:
  const graph& g_;
  const std::vector<kind>& kinds_;
};

TEST(Assign, IsWhatWalkingAllPathsGives) {
  std::mt19937 bits(7);
  std::size_t narrow_open = 0, wide_open = 0;
  for (int round = 0; round < 3000; ++round) {
    graph g;
    g.input("x", {4, 4});
    std::vector<kind> kinds = {kind::input};
    const std::size_t size = 2 + bits() % 8;
    for (std::size_t i = 1; i < size; ++i) {
      const auto k = static_cast<kind>(bits() % 4);
      const node_id a = bits() % i, b = bits() % i;
      const std::string name(1, static_cast<char>('a' + i));
      if (k == kind::allow) g.add(name, op::matmul, {a, b});
      if (k == kind::deny) g.add(name, op::softmax, {a});
      if (k == kind::infer) g.add(name, op::add, {a, b});
      if (k == kind::clear) g.add(name, op::relu, {a});
      kinds.push_back(k);
    }
    for (node_id id = 1; id < g.size(); ++id) {
      if (g.consumers(id).empty()) g.output(id);
    }
    const auto a = assign(g, halfway::amp_bf16);
    const paths p(g, kinds);
    for (node_id id = 0; id < g.size(); ++id) {
      EXPECT_EQ(a.compute[id], p.narrow(id) ? bf16 : f32) << round << ": " << a.why[id];
      if (p.open(id)) ++(p.narrow(id) ? narrow_open : wide_open);
    }
  }
  EXPECT_GT(narrow_open, 300u);
  EXPECT_GT(wide_open, 300u);
}

}  // namespace
