// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/types/bfloat16.h"
#include "halfway/types/cast.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"

namespace {

using halfway::assign_all;
using halfway::dtype;
using halfway::fusion;
using halfway::graph;
using halfway::make_plan;
using halfway::node_id;
using halfway::op_attributes;
using halfway::plan_step;
using halfway::precision_assignment;
using halfway::precision_plan;
using halfway::testing::expect_error;
namespace op = halfway::op;

constexpr dtype f32 = dtype::float32, f16 = dtype::float16, bf16 = dtype::bfloat16,
                fp8 = dtype::float8_e4m3fn;

precision_assignment types(const graph& g, const std::map<std::string, dtype>& compute,
                           dtype output = f32) {
  precision_assignment a = assign_all(g, f32);
  for (const auto& [name, type] : compute) a.compute[g.find(name)] = type;
  a.output = output;
  return a;
}

// "fc+gelu: x:float32 fc.weight:bfloat16 -> gelu:float16", or "cast x:float32 -> x:bfloat16"
std::string text(const precision_plan& plan, const graph& g, const plan_step& step) {
  const auto tensor = [&](std::size_t t) {
    const halfway::plan_tensor& p = plan.tensors[t];
    return " " + g.node(p.node).name + ":" + std::string(name(p.type));
  };
  std::string s;
  for (const node_id id : step.nodes) s += (s.empty() ? "" : "+") + g.node(id).name;
  s += step.is_cast() ? "cast" : ":";
  for (const std::size_t t : step.reads) s += tensor(t);
  s += " ->";
  for (const std::size_t t : step.writes) s += tensor(t);
  return s;
}
std::vector<std::string> steps(const precision_plan& plan, const graph& g) {
  std::vector<std::string> all;
  for (const plan_step& s : plan.steps) all.push_back(text(plan, g, s));
  return all;
}

TEST(Plan, CastsATensorOnceForEachType) {
  graph g;
  const node_id x = g.input("x", {4, 8});
  const node_id w = g.parameter("w", {8, 8});
  const node_id q = g.add("q", op::linear, {x, w});
  const node_id k = g.add("k", op::linear, {x, w});
  const node_id n = g.add("n", op::rmsnorm, {x});
  const node_id y = g.add("y", op::matmul, {q, k}, {.transposed = true});
  const node_id z = g.add("z", op::matmul, {y, n});
  for (const node_id id : {z, q}) g.output(id);
  const auto plan = make_plan(g, types(g, {{"q", bf16}, {"k", bf16}, {"y", bf16}, {"z", bf16}}));
  EXPECT_EQ(steps(plan, g), (std::vector<std::string>{
                                "cast x:float32 -> x:bfloat16",
                                "q: x:bfloat16 w:bfloat16 -> q:float32",  // an output, and cast
                                "cast q:float32 -> q:bfloat16",
                                "k: x:bfloat16 w:bfloat16 -> k:bfloat16",
                                "n: x:float32 -> n:bfloat16",  // written as it is read
                                "y: q:bfloat16 k:bfloat16 -> y:bfloat16",
                                "z: y:bfloat16 n:bfloat16 -> z:float32",
                            }));
  ASSERT_EQ(plan.preparation.size(), 1u);
  EXPECT_EQ(text(plan, g, plan.preparation[0]), "cast w:float32 -> w:bfloat16");
  EXPECT_EQ(plan.casts, 2u);
  EXPECT_EQ(plan.casts_by_edge, 5u);  // x to q and k, n to z, q and z as results
  EXPECT_EQ(plan.cast_bytes, 2u * 4 * 8 * (4 + 2));
  EXPECT_EQ(plan.parameter_bytes, 8u * 8 * 2);
  EXPECT_EQ(plan.outputs.size(), 2u);
  EXPECT_EQ(plan.tensors[plan.outputs[1]].node, q);
}

TEST(Plan, LetsNoLayerSeeAnothersRounding) {
  graph g;
  const node_id x = g.input("x", {4, 8});
  const node_id h = g.add("h", op::gelu, {x});
  g.output(g.add("a", op::gelu, {h}));
  g.output(g.add("b", op::silu, {h}));
  // float16 does not hold bfloat16's values, nor the other way round: both come from float32.
  const auto plan = make_plan(g, types(g, {{"a", f16}, {"b", bf16}}));
  EXPECT_EQ(steps(plan, g),
            (std::vector<std::string>{"h: x:float32 -> h:float32", "cast h:float32 -> h:float16",
                                      "cast h:float32 -> h:bfloat16", "a: h:float16 -> a:float32",
                                      "b: h:bfloat16 -> b:float32"}));
}

TEST(Plan, KeepsConvertsThatRoundAndDropsThoseThatWiden) {
  graph g;
  const node_id x = g.input("x", {4, 8});
  const node_id h = g.add("h", op::gelu, {x});
  const node_id narrow = g.add("narrow", op::convert, {h}, {.type = bf16});
  const node_id wide = g.add("wide", op::convert, {narrow}, {.type = f32});
  const node_id again = g.add("again", op::convert, {wide}, {.type = bf16});
  g.output(g.add("a", op::gelu, {wide}));   // float32 values that were rounded
  g.output(g.add("b", op::gelu, {again}));  // an exact pair: widened and narrowed back
  const auto rounded = make_plan(g, types(g, {{"narrow", bf16}, {"again", bf16}, {"b", bf16}}));
  EXPECT_EQ(steps(rounded, g),
            (std::vector<std::string>{"h: x:float32 -> h:bfloat16", "cast h:bfloat16 -> h:float32",
                                      "a: h:float32 -> a:float32", "b: h:bfloat16 -> b:float32"}));
  // Rounded to bfloat16 first, then to float16: not what rounding to float16 gives.
  const auto twice =
      make_plan(g, types(g, {{"narrow", bf16}, {"again", bf16}, {"a", f16}, {"b", f16}}));
  EXPECT_EQ(steps(twice, g),
            (std::vector<std::string>{"h: x:float32 -> h:bfloat16", "cast h:bfloat16 -> h:float16",
                                      "a: h:float16 -> a:float32", "b: h:float16 -> b:float32"}));
}

TEST(Plan, WritesOnlyWhatKernelsCan) {
  graph g;
  const node_id x = g.input("x", {4, 8});
  const node_id w = g.parameter("w", {8, 8});
  const node_id h = g.add("h", op::linear, {x, w});
  const node_id n = g.add("n", op::rmsnorm, {h});
  const node_id u = g.add("u", "mine", {n}, {.shape = {4, 8}});
  const node_id q = g.add("q", op::linear, {u, w});
  const node_id r = g.add("r", op::linear, {u, w});
  g.output(g.add("s", op::add, {q, r}));
  const auto plan = make_plan(g, types(g, {{"n", fp8}, {"q", dtype::int8}, {"r", dtype::int8}}));
  EXPECT_EQ(steps(plan, g),
            (std::vector<std::string>{
                "h: x:float32 w:float32 -> h:float32", "cast h:float32 -> h:float8_e4m3fn",
                "n: h:float8_e4m3fn -> n:float32", "u: n:float32 -> u:float32",
                "cast u:float32 -> u:int8", "q: u:int8 w:int8 -> q:float32",
                "r: u:int8 w:int8 -> r:float32", "s: q:float32 r:float32 -> s:float32"}));
  EXPECT_EQ(plan.parameter_bytes, 8u * 8 * 4 + 8 * 8 + 8 * 4);  // int8 with a scale a column
}

TEST(Plan, FusesActivationsWhereNothingElseReadsTheSums) {
  const auto fused = [](bool read_twice, bool is_output, bool converted) {
    graph g;
    const node_id x = g.input("x", {4, 8});
    const node_id w = g.parameter("w", {8, 8});
    node_id h = g.add("h", op::linear, {x, w});
    if (is_output) g.output(h);
    if (converted) h = g.add("c", op::convert, {h}, {.type = bf16});
    const node_id a = g.add("a", op::gelu, {h});
    g.add("dead", op::relu, {h});  // no output needs it
    g.output(read_twice ? g.add("b", op::add, {a, h}) : a);
    return make_plan(g, types(g, converted ? std::map<std::string, dtype>{{"c", bf16}}
                                           : std::map<std::string, dtype>{}))
               .steps[0]
               .fused == fusion::activation;
  };
  EXPECT_TRUE(fused(false, false, false));
  EXPECT_FALSE(fused(true, false, false));
  EXPECT_FALSE(fused(false, true, false));
  EXPECT_FALSE(fused(false, false, true));  // a rounding that the user asked for

  graph g;
  const node_id x = g.input("x", {4, 8}, bf16);
  const node_id w = g.parameter("w", {8, 8});
  const node_id b = g.parameter("b", {1, 8});
  const node_id h = g.add("h", op::gelu, {g.add("fc1", op::linear, {x, w, b})});
  g.output(g.add("y", op::linear, {h, w, b}));
  const auto a = types(g, {{"fc1", bf16}, {"h", f32}, {"y", bf16}}, bf16);
  const auto plan = make_plan(g, a);
  EXPECT_EQ(steps(plan, g),
            (std::vector<std::string>{"fc1+h: x:bfloat16 w:bfloat16 b:float32 -> h:bfloat16",
                                      "y: h:bfloat16 w:bfloat16 b:float32 -> y:bfloat16"}));
  EXPECT_EQ(plan.casts, 0u);
  EXPECT_EQ(plan.casts_by_edge, 2u);  // to the float32 gelu and back
  EXPECT_EQ(steps(make_plan(g, a, {.fuse = false}), g)[0],
            "fc1: x:bfloat16 w:bfloat16 b:float32 -> fc1:float32");
}

TEST(Plan, FusesResidualSumsWithNorms) {
  graph g;
  const node_id x = g.input("x", {4, 8});
  const node_id r = g.input("r", {4, 8});
  const node_id gamma = g.parameter("gamma", {1, 8});
  const node_id s = g.add("s", op::add, {x, r});
  const node_id n = g.add("n", op::layernorm, {s, gamma, gamma});
  const node_id w = g.parameter("w", {8, 8});
  const node_id y = g.add("y", op::linear, {n, w});
  g.output(g.add("z", op::add, {s, y}));  // the sum goes on
  const auto plan = make_plan(g, halfway::assign(g, halfway::amp_bf16));
  EXPECT_EQ(steps(plan, g),
            (std::vector<std::string>{"s+n: x:float32 r:float32 gamma:float32 gamma:float32 -> "
                                      "s:float32 n:bfloat16",
                                      "y: n:bfloat16 w:bfloat16 -> y:float32",
                                      "z: s:float32 y:float32 -> z:float32"}));
  EXPECT_EQ(plan.casts, 0u);
  // Not where the sum is of narrow tensors, the norm narrow, or its gamma not there yet.
  EXPECT_EQ(make_plan(g, types(g, {{"s", bf16}})).steps[2].fused, fusion::none);
  EXPECT_EQ(make_plan(g, types(g, {{"n", bf16}})).steps[0].fused, fusion::none);
}

TEST(Plan, LeavesOutWhatNoOutputNeeds) {
  graph g;
  const node_id x = g.input("x", {4, 8});
  const node_id w = g.parameter("w", {8, 8});
  g.add("dead", op::linear, {g.add("dead.gelu", op::gelu, {x}), w});
  g.output(g.add("y", op::relu, {x}));
  const auto plan = make_plan(g, types(g, {{"dead", bf16}}));
  EXPECT_EQ(steps(plan, g), (std::vector<std::string>{"y: x:float32 -> y:float32"}));
  EXPECT_TRUE(plan.preparation.empty());
}

TEST(Plan, RefusesWhatItCannotStore) {
  graph g;
  const node_id x = g.input("x", {4, 8});
  const node_id h = g.add("h", op::softmax, {x});
  expect_error([&] { make_plan(g, types(g, {})); }, {"the graph has no output"});
  g.output(h);
  expect_error([&] { make_plan(g, {}); }, {"assignment.compute.size() (0)", "(2)"});
  expect_error(
      [&] {
        make_plan(g, types(g, {{"h", dtype::int8}}));
      },
      {"layer \"h\": softmax", "int8"});
  expect_error([&] { make_plan(g, types(g, {}, dtype::int8)); }, {"output", "int8"});
  graph d;
  d.output(d.add("h", op::relu, {d.input("x", {1, 1}, dtype::float64)}));
  expect_error([&] { make_plan(d, assign_all(d, f32)); }, {"input \"x\"", "float64"});
}

// --- Against brute force: every graph of up to five nodes ---
//
// A value is what it is on probe data: rounding is done on real numbers, so that nothing of how a
// plan tells values apart is taken over. Probes that could not tell two values apart would let brute
// force do with fewer casts.

using values = std::vector<float>;

float round_to(float x, dtype type) {
  switch (type) {
    case f16:
      return static_cast<float>(halfway::half(x));
    case bf16:
      return static_cast<float>(halfway::bfloat16(x));
    default:
      return x;
  }
}
values round_to(values v, dtype type) {
  for (float& x : v) x = round_to(x, type);
  return v;
}
const values probe = {1e6f,
                      1e-9f,  // past float16's range, and below it
                      65504.0f,
                      65519.0f,  // that bfloat16 rounds to 2^16, past it
                      0x1.9p-23f,
                      0x1.01p-16f,  // where float16 is subnormal
                      3.14159274f,
                      1.00390625f + 0x1p-20f,
                      1.0f + 0x1p-8f + 0x1p-12f,  // where rounding to float16 first makes a tie
                      0x1p-130f + 0x1p-140f};     // where bfloat16 is subnormal

using stored = std::pair<dtype, values>;
using stored_set = std::set<stored>;

// The fewest casts from what a kernel may write to a set that has all that is wanted: breadth first.
std::size_t fewest_casts(const std::vector<stored>& first, const stored_set& wanted,
                         const std::vector<dtype>& all) {
  std::set<stored_set> seen;
  std::vector<stored_set> level;
  for (const stored& s : first) level.push_back({s});
  for (std::size_t casts = 0;; ++casts) {
    std::vector<stored_set> next;
    for (const stored_set& have : level) {
      if (std::ranges::includes(have, wanted)) return casts;
      for (const auto& [type, v] : have) {
        for (const dtype to : all) {
          stored_set more = have;
          more.insert({to, round_to(v, to)});
          if (more.size() > have.size() && seen.insert(more).second)
            next.push_back(std::move(more));
        }
      }
    }
    level = std::move(next);
  }
}

struct small_graph {
  graph g;
  precision_assignment a;
};

std::size_t fewest_casts(const small_graph& s, const std::vector<dtype>& all) {
  const graph& g = s.g;
  // What each node gives its readers on probe data, before they round it; and whose result it is.
  std::vector<values> given(g.size(), probe);
  std::vector<node_id> source(g.size());
  std::map<node_id, stored_set> wanted;
  for (node_id id = 0; id < g.size(); ++id) {
    const halfway::graph_node& n = g.node(id);
    source[id] = id;
    if (n.op == op::convert) {
      source[id] = source[n.inputs[0]];
      given[id] = round_to(given[n.inputs[0]], s.a.compute[id]);
    } else if (n.kind == halfway::node_kind::operation) {
      for (const node_id in : n.inputs)
        wanted[source[in]].insert({s.a.compute[id], round_to(given[in], s.a.compute[id])});
    } else {
      given[id] = round_to(probe, n.type);
    }
  }
  for (const node_id id : g.outputs())
    wanted[source[id]].insert({s.a.output, round_to(given[id], s.a.output)});
  std::size_t casts = 0;
  for (const auto& [id, set] : wanted) {
    const halfway::graph_node& n = g.node(id);
    std::vector<stored> first;
    if (n.kind == halfway::node_kind::input) {
      first.push_back({n.type, given[id]});
    } else {
      for (const dtype type : all)
        if (writes_directly(n.op, type)) first.push_back({type, round_to(probe, type)});
    }
    static std::map<std::pair<std::vector<stored>, stored_set>, std::size_t> known;
    const auto [found, is_new] = known.try_emplace({first, set});
    if (is_new) found->second = fewest_casts(first, set, all);
    casts += found->second;
  }
  return casts;
}

// What steps store, played through on probe data: everything that a node reads has the values that
// it should.
void check_values(const small_graph& s, const precision_plan& plan) {
  const graph& g = s.g;
  std::vector<values> given(g.size(), probe);
  for (node_id id = 0; id < g.size(); ++id) {
    const halfway::graph_node& n = g.node(id);
    if (n.op == op::convert) given[id] = round_to(given[n.inputs[0]], s.a.compute[id]);
    if (n.kind == halfway::node_kind::input) given[id] = round_to(probe, n.type);
  }
  std::vector<values> held(plan.tensors.size());
  for (std::size_t t = 0; t < held.size(); ++t) {
    if (g.node(plan.tensors[t].node).kind == halfway::node_kind::input &&
        plan.tensors[t].roundings.empty() &&
        plan.tensors[t].type == g.node(plan.tensors[t].node).type)
      held[t] = given[plan.tensors[t].node];
  }
  for (const plan_step& step : plan.steps) {
    ASSERT_EQ(step.writes.size(), 1u);
    const halfway::plan_tensor& to = plan.tensors[step.writes[0]];
    ASSERT_TRUE(held[step.writes[0]].empty()) << "stored twice";
    if (step.is_cast()) {
      ASSERT_FALSE(held[step.reads[0]].empty()) << "read before it is there";
      held[step.writes[0]] = round_to(held[step.reads[0]], to.type);
      continue;
    }
    const halfway::graph_node& n = g.node(step.nodes[0]);
    ASSERT_TRUE(writes_directly(n.op, to.type));
    for (std::size_t i = 0; i < n.inputs.size(); ++i) {
      const dtype type = s.a.compute[step.nodes[0]];
      ASSERT_EQ(plan.tensors[step.reads[i]].type, type);
      ASSERT_EQ(held[step.reads[i]], round_to(given[n.inputs[i]], type));
    }
    held[step.writes[0]] = round_to(probe, to.type);
  }
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    ASSERT_EQ(plan.tensors[plan.outputs[i]].type, s.a.output);
    ASSERT_EQ(held[plan.outputs[i]], round_to(given[g.outputs()[i]], s.a.output));
  }
}

std::string describe(const small_graph& s, const precision_plan& plan) {
  std::string out;
  for (const halfway::graph_node& n : s.g.nodes()) {
    out += n.name + " = " + n.op + "(";
    for (const node_id in : n.inputs) out += " " + s.g.node(in).name;
    out += " ) in " + std::string(name(s.a.compute[s.g.find(n.name)])) + "\n";
  }
  for (const std::string& step : steps(plan, s.g)) out += step + "\n";
  return out + "results in " + std::string(name(s.a.output));
}

// Calls f for each choice of digits[i] in [0, sizes[i]).
template <class F>
void for_each_choice(const std::vector<std::size_t>& sizes, const F& f) {
  std::vector<std::size_t> digits(sizes.size());
  for (;;) {
    f(digits);
    std::size_t i = 0;
    while (i < sizes.size() && ++digits[i] == sizes[i]) digits[i++] = 0;
    if (i == sizes.size()) return;
  }
}

// Every graph of an input and up to `most` operations with one input or two (unordered, may be the
// same): an operation that reads and writes every type, one whose kernel writes float32 only, or a
// convert to each type. Nodes that nothing reads are outputs.
void check_all_graphs(std::size_t most, const std::vector<dtype>& all, bool wide_only,
                      std::size_t expected) {
  std::size_t graphs = 0;
  for (std::size_t ops = 1; ops <= most; ++ops) {
    // A node's choice: its inputs (i or {i, j}), what it is, its type.
    std::vector<std::vector<std::vector<node_id>>> inputs(ops);
    std::vector<std::size_t> sizes;
    const std::size_t kinds = wide_only ? 3 : 2;
    for (std::size_t i = 0; i < ops; ++i) {
      for (node_id a = 0; a <= i; ++a) {
        inputs[i].push_back({a});
        for (node_id b = 0; b < a; ++b) inputs[i].push_back({b, a});
      }
      sizes.push_back(inputs[i].size() * kinds * all.size());
    }
    sizes.push_back(all.size());  // the input's type
    for_each_choice(sizes, [&](const std::vector<std::size_t>& digits) {
      small_graph s;
      s.g.input("x", {1, 1}, all[digits.back()]);
      s.a.compute = {all[digits.back()]};
      for (std::size_t i = 0; i < ops; ++i) {
        const auto& in = inputs[i][digits[i] % inputs[i].size()];
        const std::size_t kind = digits[i] / inputs[i].size() % kinds;
        const dtype type = all[digits[i] / inputs[i].size() / kinds];
        if (kind == 1 && in.size() == 2) return;  // convert has one input
        if (kind == 2 && type != f32) return;     // has a kernel in float32 only
        const std::string name(1, static_cast<char>('a' + i));
        if (kind == 1) {
          s.g.add(name, op::convert, in, {.type = type});
        } else if (kind == 2) {
          s.g.add(name, "mine", in, {.shape = {1, 1}});
        } else {
          s.g.add(name, in.size() == 1 ? op::gelu : op::add, in);
        }
        s.a.compute.push_back(type);
      }
      for (node_id id = 1; id < s.g.size(); ++id) {
        if (s.g.consumers(id).empty()) s.g.output(id);
      }
      ++graphs;
      s.a.output = all[graphs % all.size()];
      const precision_plan plan = make_plan(s.g, s.a, {.fuse = false});
      check_values(s, plan);
      ASSERT_EQ(plan.casts, fewest_casts(s, all)) << describe(s, plan);
    });
    if (::testing::Test::HasFatalFailure()) return;
  }
  EXPECT_EQ(graphs, expected);
}

TEST(Plan, HasAsFewCastsAsAnyOfAllSmallGraphsOfTwoTypes) {
  check_all_graphs(4, {f32, bf16}, true, 121820);
}
TEST(Plan, HasAsFewCastsAsAnyOfAllSmallGraphsOfThreeTypes) {
  check_all_graphs(3, {f32, bf16, f16}, true, 12873);
  check_all_graphs(4, {f32, bf16, f16}, false, 313758);
}

}  // namespace
