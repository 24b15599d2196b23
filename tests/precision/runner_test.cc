// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "halfway/fidelity/error_bound.h"
#include "halfway/precision/plan.h"
#include "halfway/precision/plan_memory.h"
#include "halfway/precision/plan_text.h"
#include "halfway/telemetry/trace.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::assign_all;
using halfway::bfloat16;
using halfway::dtype;
using halfway::float8_e4m3fn;
using halfway::fusion;
using halfway::graph;
using halfway::graph_node;
using halfway::graph_runner;
using halfway::half;
using halfway::make_plan;
using halfway::matrix;
using halfway::matrix_view;
using halfway::node_id;
using halfway::node_kind;
using halfway::precision_assignment;
using halfway::testing::expect_error;
using halfway::testing::expect_same_bits_on_any_executor;
using halfway::testing::for_each_target;
namespace op = halfway::op;

constexpr dtype f32 = dtype::float32, f16 = dtype::float16, bf16 = dtype::bfloat16,
                fp8 = dtype::float8_e4m3fn;

matrix<float> random_matrix(std::size_t rows, std::size_t cols, unsigned seed, float size = 1.0f) {
  matrix<float> m(rows, cols);
  std::mt19937 bits(seed);
  for (float& x : m.elements()) {
    x = size * (static_cast<float>(bits() >> 8) * 0x1p-23f - 1.0f);
  }
  return m;
}

// By the scalar conversions, and back.
float round_to(float x, dtype type) {
  switch (type) {
    case dtype::float16:
      return static_cast<float>(half(x));
    case dtype::bfloat16:
      return static_cast<float>(bfloat16(x));
    case dtype::float8_e4m3fn:
      return static_cast<float>(halfway::saturate_cast<float8_e4m3fn>(x));
    default:
      return x;
  }
}
matrix<float> round_to(const matrix<float>& m, dtype type) {
  matrix<float> r(m.rows(), m.cols());
  for (std::size_t i = 0; i < m.size(); ++i) r.elements()[i] = round_to(m.elements()[i], type);
  return r;
}
template <class T>
matrix<T> typed(matrix_view<const float> m) {
  matrix<T> r(m.rows(), m.cols());
  for (std::size_t i = 0; i < m.rows(); ++i)
    for (std::size_t j = 0; j < m.cols(); ++j) r(i, j) = halfway::saturate_cast<T>(m(i, j));
  return r;
}

void expect_same(const matrix<float>& a, const matrix<float>& b) {
  ASSERT_EQ(a.rows(), b.rows());
  ASSERT_EQ(a.cols(), b.cols());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.bytes()), 0);
}

using tensors = std::map<std::string, matrix<float>>;

halfway::graph_parameters views(const tensors& values) {
  halfway::graph_parameters p;
  for (const auto& [name, m] : values) p.emplace(name, m.view());
  return p;
}
halfway::graph_inputs inputs_of(const tensors& values) {
  halfway::graph_inputs in;
  for (const auto& [name, m] : values) in.emplace(name, m);
  return in;
}

halfway::fused_activation activation_named(std::string_view name) {
  using halfway::activation;
  if (name == op::relu) return halfway::fused<activation::relu>();
  if (name == op::gelu) return halfway::fused<activation::gelu>();
  if (name == op::gelu_tanh) return halfway::fused<activation::gelu_tanh>();
  if (name == op::silu) return halfway::fused<activation::silu>();
  if (name == op::tanh) return halfway::fused<activation::tanh>();
  return halfway::fused<activation::sigmoid>();
}

template <class T>
matrix<float> product(const graph_node& n, const matrix<float>& a, const matrix<float>& b,
                      std::span<const float> bias, halfway::fused_activation then) {
  const matrix<T> x = typed<T>(a.view());
  const matrix<T> w = typed<T>(b.view());
  matrix<float> y(n.shape.rows, n.shape.cols);
  const bool transposed = n.op == op::matmul && n.attributes.transposed;
  const halfway::packed_matrix<T> packed(transposed ? w.view().transposed() : w.view());
  halfway::gemm(
      x, packed, y,
      {.alpha = n.op == op::matmul ? n.attributes.scale : 1.0f, .bias = bias, .activation = then});
  return y;
}

template <class T>
matrix<float> attend(const graph_node& n, const std::vector<matrix<float>>& in) {
  const halfway::op_attributes& o = n.attributes;
  const std::size_t sequences = o.sequence == 0 ? 1 : n.shape.rows / o.sequence;
  const std::size_t kv_heads = o.kv_heads == 0 ? o.heads : o.kv_heads;
  const auto q = typed<T>(in[0].view()), k = typed<T>(in[1].view()), v = typed<T>(in[2].view());
  matrix<float> y(n.shape.rows, n.shape.cols);
  for (std::size_t s = 0; s < sequences; ++s) {
    const auto part = [&](auto& m, std::size_t heads) {
      const std::size_t rows = m.rows() / sequences;
      using E = std::remove_pointer_t<decltype(m.data())>;
      return halfway::heads_view<E>::token_major(m.data() + s * rows * m.cols(), rows, heads,
                                                 m.cols() / heads);
    };
    halfway::attention(part(q, o.heads), part(k, kv_heads), part(v, kv_heads), part(y, o.heads),
                       {.causal = o.causal});
  }
  return y;
}

// A graph node by node, by direct calls of the operations: each reads its inputs rounded to its type
// by scalar conversions. `fused`: activations that belong to the product before.
std::vector<matrix<float>> interpret(const graph& g, const precision_assignment& a,
                                     const tensors& parameters, const tensors& inputs,
                                     const std::set<node_id>& fused) {
  std::vector<matrix<float>> result(g.size());
  for (node_id id = 0; id < g.size(); ++id) {
    const graph_node& n = g.node(id);
    if (n.kind != node_kind::operation) {
      result[id] = (n.kind == node_kind::parameter ? parameters : inputs).at(n.name);
      continue;
    }
    const dtype type = a.compute[id];
    if (fused.contains(id)) {
      result[id] = std::move(result[n.inputs[0]]);
      continue;
    }
    std::vector<matrix<float>> in;
    for (const node_id i : n.inputs) in.push_back(round_to(result[i], type));
    matrix<float> y(n.shape.rows, n.shape.cols);
    if (n.op == op::linear || n.op == op::matmul) {
      std::span<const float> bias;
      if (in.size() == 3) bias = result[n.inputs[2]].elements();
      halfway::fused_activation then;
      for (const node_id to : g.consumers(id))
        if (fused.contains(to)) then = activation_named(g.node(to).op);
      y = type == bf16  ? product<bfloat16>(n, in[0], in[1], bias, then)
          : type == f16 ? product<half>(n, in[0], in[1], bias, then)
                        : product<float>(n, in[0], in[1], bias, then);
    } else if (n.op == op::attention) {
      y = type == bf16 ? attend<bfloat16>(n, in) : attend<float>(n, in);
    } else if (n.op == op::layernorm) {
      halfway::layernorm(in[0], result[n.inputs[1]].elements(), result[n.inputs[2]].elements(), y);
    } else if (n.op == op::rmsnorm) {
      halfway::rmsnorm(in[0], halfway::no_parameters, y, n.attributes.epsilon);
    } else if (n.op == op::softmax) {
      if (n.attributes.causal) {
        halfway::softmax(in[0], y, halfway::softmax_options{.causal = true});
      } else {
        halfway::softmax(in[0], y);
      }
    } else if (n.op == op::log_softmax) {
      halfway::log_softmax(in[0], y);
    } else if (n.op == op::add || n.op == op::mul) {
      for (std::size_t i = 0; i < y.rows(); ++i)
        for (std::size_t j = 0; j < y.cols(); ++j) {
          const float b = in[1](i % in[1].rows(), j);
          y(i, j) = n.op == op::add ? in[0](i, j) + b : in[0](i, j) * b;
        }
    } else if (n.op == op::convert) {
      y = std::move(in[0]);
    } else {
      activation_named(n.op).apply(in[0].data(), y.data(), y.size());
    }
    result[id] = std::move(y);
  }
  std::vector<matrix<float>> outputs;
  for (const node_id id : g.outputs()) outputs.push_back(round_to(result[id], a.output));
  return outputs;
}

std::set<node_id> fused_activations(const halfway::precision_plan& plan) {
  std::set<node_id> ids;
  for (const auto& s : plan.steps)
    if (s.fused == fusion::activation) ids.insert(s.nodes[1]);
  return ids;
}

// A block of a transformer, before its norms: two sequences of 5 tokens, 4 heads on 2.
struct block {
  block() {
    constexpr std::size_t tokens = 10, width = 48, hidden = 96;
    input("x", tokens, width);
    parameter("position", 5, width);
    parameter("gamma", 1, width);
    parameter("beta", 1, width);
    parameter("wq", width, width);
    parameter("wk", width, width / 2);
    parameter("wv", width, width / 2);
    parameter("wo", width, width);
    parameter("bo", 1, width);
    parameter("w1", width, hidden);
    parameter("b1", 1, hidden);
    parameter("w2", hidden, width);
    const auto x = g.add("embed", op::add, {id("x"), id("position")});
    const auto n1 = g.add("norm1", op::layernorm, {x, id("gamma"), id("beta")});
    const auto q = g.add("q", op::linear, {n1, id("wq")});
    const auto k = g.add("k", op::linear, {n1, id("wk")});
    const auto v = g.add("v", op::linear, {n1, id("wv")});
    const auto a = g.add("attention", op::attention, {q, k, v},
                         {.heads = 4, .kv_heads = 2, .sequence = 5, .causal = true});
    const auto o = g.add("o", op::linear, {a, id("wo"), id("bo")});
    const auto r = g.add("residual1", op::add, {x, o});
    const auto n2 = g.add("norm2", op::rmsnorm, {r}, {.epsilon = 1e-6f});
    const auto h = g.add("gelu", op::gelu, {g.add("fc1", op::linear, {n2, id("w1"), id("b1")})});
    const auto m = g.add("residual2", op::add, {r, g.add("fc2", op::linear, {h, id("w2")})});
    const auto scores = g.add("scores", op::matmul, {m, m}, {.transposed = true, .scale = 0.125f});
    g.output(g.add("softmax", op::softmax, {scores}, {.causal = true}));
    g.output(m);
    g.output(g.add("log", op::log_softmax, {g.add("silu", op::silu, {scores})}));
  }

  node_id id(const std::string& name) const { return g.find(name); }
  void input(const std::string& name, std::size_t rows, std::size_t cols) {
    g.input(name, {rows, cols});
    inputs[name] = random_matrix(rows, cols, static_cast<unsigned>(g.size()), 2.0f);
  }
  void parameter(const std::string& name, std::size_t rows, std::size_t cols) {
    g.parameter(name, {rows, cols});
    parameters[name] = random_matrix(rows, cols, static_cast<unsigned>(g.size()), 0.5f);
  }
  void check(const precision_assignment& a, bool fuse) const {
    const auto plan = make_plan(g, a, {.fuse = fuse});
    graph_runner runner(g, views(parameters));
    const auto expected = interpret(g, a, parameters, inputs, fused_activations(plan));
    for (int again = 0; again < 2; ++again) {  // the second time with memory used before
      const auto y = runner.run(plan, inputs_of(inputs));
      ASSERT_EQ(y.size(), expected.size());
      for (std::size_t i = 0; i < y.size(); ++i) {
        SCOPED_TRACE(i);
        expect_same(y[i], expected[i]);
      }
    }
  }

  graph g;
  tensors parameters, inputs;
};

TEST(GraphRunner, HasTheBitsOfDirectCallsWithInputsRounded) {
  const block b;
  for_each_target([&] {
    for (const bool fuse : {false, true}) {
      b.check(halfway::assign(b.g, halfway::amp_bf16), fuse);
      b.check(halfway::assign(b.g, halfway::amp_fp16, {}, {{"q", bf16}, {"fc2", f32}}), fuse);
      b.check(halfway::assign(b.g, halfway::pure_bf16), fuse);
      for (const dtype type : {f32, bf16, f16}) b.check(assign_all(b.g, type), fuse);
    }
  });
}

TEST(GraphRunner, FusesWhatThePlanSays) {
  const block b;
  const auto plan = make_plan(b.g, halfway::assign(b.g, halfway::amp_bf16));
  std::size_t activations = 0, norms = 0;
  for (const auto& s : plan.steps) {
    activations += s.fused == fusion::activation;
    norms += s.fused == fusion::add_norm;
  }
  EXPECT_EQ(activations, 1u);  // not silu, beside which softmax reads the scores
  EXPECT_EQ(norms, 1u);        // not norm1: position repeats
}

// Operations one by one, in each type, and written in each type.
TEST(GraphRunner, ReadsAndWritesEveryType) {
  const matrix<float> x = random_matrix(7, 40, 1, 6.0f);
  for (const auto op_name : {op::relu, op::gelu_tanh, op::tanh, op::sigmoid, op::softmax,
                             op::log_softmax, op::rmsnorm, op::add, op::mul}) {
    for (const dtype type : {f32, bf16, f16, fp8}) {
      for (const dtype written : {f32, bf16, f16, fp8}) {
        SCOPED_TRACE(std::string(op_name) + " in " + std::string(name(type)) + " to " +
                     std::string(name(written)));
        graph g;
        std::vector<node_id> in = {g.input("x", {7, 40})};
        if (op_name == op::add || op_name == op::mul) in.push_back(in[0]);
        g.output(g.add("y", op_name, in));
        precision_assignment a = assign_all(g, type);
        a.output = written;
        const auto plan = make_plan(g, a);
        EXPECT_EQ(plan.casts, type == f32 ? 0u : 1u);
        graph_runner runner(g, {});
        expect_same(runner.run(plan, {{"x", x}})[0], interpret(g, a, {}, {{"x", x}}, {})[0]);
      }
    }
  }
}

TEST(GraphRunner, TakesNarrowInputs) {
  const matrix<bfloat16> x = typed<bfloat16>(random_matrix(7, 40, 1).view());
  graph g;
  const auto in = g.input("x", {7, 40}, bf16);
  g.output(g.add("y", op::gelu, {in}));
  g.output(g.add("z", op::relu, {in}));
  precision_assignment a = assign_all(g, bf16);
  a.compute[g.find("z")] = f32;
  const auto plan = make_plan(g, a);
  EXPECT_EQ(plan.casts, 1u);
  graph_runner runner(g, {});
  const auto y = runner.run(plan, {{"x", x}});
  matrix<float> wide(7, 40), gelu(7, 40);
  halfway::convert(x, wide);
  activation_named(op::gelu).apply(wide.data(), gelu.data(), gelu.size());
  expect_same(y[0], gelu);
  for (std::size_t i = 0; i < wide.size(); ++i) {
    EXPECT_EQ(y[1].elements()[i], std::max(wide.elements()[i], 0.0f));
  }
  expect_error([&] { runner.run(plan, {{"x", wide}}); }, {"\"x\"", "float32", "bfloat16"});
}

TEST(GraphRunner, EmbedsAndConverts) {
  graph g;
  const auto ids = g.input("ids", {2, 3}, dtype::int32);
  const auto table = g.parameter("table", {9, 20});
  const auto e = g.add("embed", op::embedding, {ids, table});
  const auto c = g.add("narrow", op::convert, {e}, {.type = f16});
  g.output(g.add("wide", op::convert, {c}, {.type = f32}));
  g.output(e);
  const matrix<float> t = random_matrix(9, 20, 3);
  matrix<std::int32_t> i(2, 3);
  const std::vector<std::int32_t> chosen = {8, 0, 3, 3, 7, 1};
  std::copy(chosen.begin(), chosen.end(), i.data());
  graph_runner runner(g, {{"table", t.view()}});
  for (const dtype type : {f32, bf16}) {
    precision_assignment a = assign_all(g, f32);
    a.compute[e] = type;
    const auto y = runner.run(make_plan(g, a), {{"ids", i}});
    for (std::size_t r = 0; r < 6; ++r) {
      for (std::size_t j = 0; j < 20; ++j) {
        const float entry = round_to(t(static_cast<std::size_t>(chosen[r]), j), type);
        EXPECT_EQ(y[1](r, j), entry);
        EXPECT_EQ(y[0](r, j), round_to(entry, f16));
      }
    }
  }
  i(1, 1) = 9;
  expect_error(
      [&] {
        runner.run(make_plan(g, assign_all(g, f32)), {{"ids", i}});
      },
      {"layer \"embed\"", "ids[4] (9)", "[0, 9)"});
}

// Of a product of x (rows x k) and w (k x n), in float64, with the magnitudes of a bound.
struct exact_product {
  double value = 0;
  double magnitudes = 0;  // sum |x||w|
  double x = 0, w = 0;    // sum |x|, sum |w|
};
exact_product multiply(const matrix<float>& x, const matrix<float>& w, std::size_t i,
                       std::size_t j) {
  exact_product p;
  for (std::size_t k = 0; k < x.cols(); ++k) {
    const double a = static_cast<double>(x(i, k)), b = static_cast<double>(w(k, j));
    p.value += a * b;
    p.magnitudes += std::abs(a * b);
    p.x += std::abs(a);
    p.w += std::abs(b);
  }
  return p;
}

TEST(GraphRunner, ProductsStayWithinTheirBounds) {
  constexpr std::size_t rows = 6, k = 70, n = 33;
  const matrix<float> x = random_matrix(rows, k, 1, 3.0f), w = random_matrix(k, n, 2, 0.05f);
  const matrix<float> bias = random_matrix(1, n, 3);
  graph g;
  const auto in = g.input("x", {rows, k});
  const auto fc = g.add("fc", op::linear, {in, g.parameter("w", {k, n}), g.parameter("b", {1, n})});
  g.output(g.add("relu", op::relu, {fc}));
  graph_runner runner(g, {{"w", w.view()}, {"b", bias.view()}});
  for_each_target([&] {
    for (const dtype type : halfway::graph_compute_types) {
      SCOPED_TRACE(name(type));
      precision_assignment a = assign_all(g, f32);
      a.compute[fc] = type;
      const matrix<float> y = runner.run(make_plan(g, a), {{"x", x}})[0];
      for (std::size_t i = 0; i < rows; ++i) {
        const double sx = static_cast<double>(halfway::amax(x.row(i))) / 127;
        for (std::size_t j = 0; j < n; ++j) {
          const exact_product p = multiply(x, w, i, j);
          const double b = static_cast<double>(bias(0, j));
          double bound = 0;
          if (type == dtype::int8) {
            // Each x is off by half a step sx, each w by half of sw, and a little for the float
            // division; then four roundings: the scales' product, int32 to float, product and sum.
            double column = 0;
            for (std::size_t l = 0; l < k; ++l)
              column = std::max(column, std::abs(static_cast<double>(w(l, j))));
            const double hx = sx / 2 * (1 + 0x1p-14), hw = column / 127 / 2 * (1 + 0x1p-14);
            const double steps = hx * p.w + hw * p.x + static_cast<double>(k) * hx * hw;
            bound = steps + halfway::relative_error_bound(6) * (p.magnitudes + steps + std::abs(b));
          } else if (type == fp8) {
            // Operands have 4 digits: relative errors of 2^-4 where they are normal, as weights are by
            // their scale; else half of 2^-9 for x, and of 2^-9 column scales (amax / 224 at most).
            double column = 0;
            for (std::size_t l = 0; l < k; ++l)
              column = std::max(column, std::abs(static_cast<double>(w(l, j))));
            const double ux = 0x1p-4, dx = 0x1p-10, dw = 0x1p-10 * column / 224;
            const double steps = (2 * ux + ux * ux) * p.magnitudes +
                                 (1 + ux) * (dx * p.w + dw * p.x) +
                                 static_cast<double>(k) * dx * dw;
            bound =
                steps + halfway::relative_error_bound(k + 4) * (p.magnitudes + steps + std::abs(b));
          } else {
            bound = halfway::gemm_error_bound(k, p.magnitudes,
                                              {.a = type,
                                               .b = type,
                                               .added = std::abs(b),
                                               .rounded_operands = true,
                                               .largest = 3.0});
          }
          const double expected = std::max(p.value + b, 0.0);
          ASSERT_NEAR(static_cast<double>(y(i, j)), expected, bound) << i << ", " << j;
        }
      }
    }
  });
}

TEST(GraphRunner, QuantizesRowsOfAnyData) {
  graph g;
  const auto in = g.input("x", {4, 3});
  const auto fc = g.add("fc", op::matmul, {in, g.parameter("w", {2, 3})}, {.transposed = true});
  g.output(fc);
  matrix<float> x(4, 3), w(2, 3);
  for (std::size_t j = 0; j < 3; ++j) {
    x(1, j) = 254.0f;  // row 0 is zero
    x(2, j) = j == 1 ? std::numeric_limits<float>::infinity() : 1.0f;
    x(3, j) = 1e-44f;
    w(0, j) = 1.0f;
    w(1, j) = j == 0 ? -2.0f : 0.0f;
  }
  precision_assignment a = assign_all(g, dtype::int8);
  graph_runner runner(g, {{"w", w.view()}});
  const matrix<float> y = runner.run(make_plan(g, a), {{"x", x}})[0];
  EXPECT_EQ(y(0, 0), 0.0f);
  EXPECT_EQ(y(1, 0), 3 * 254.0f);
  EXPECT_EQ(y(1, 1), -2 * 254.0f);
  EXPECT_TRUE(std::isnan(y(2, 0)) && std::isnan(y(2, 1)));
  EXPECT_NEAR(y(3, 0), 0.0f, 3e-44f);
  w(1, 2) = std::numeric_limits<float>::quiet_NaN();
  runner.parameters_changed();
  expect_error([&] { runner.run(make_plan(g, a), {{"x", x}}); }, {"\"w\"", "column 1", "int8"});
}

TEST(GraphRunner, RunsOperationsOfTheUsersInFloat32) {
  graph g;
  const auto x = g.input("x", {4, 8});
  const auto w = g.parameter("w", {8, 8});
  const auto fc1 = g.add("fc1", op::linear, {x, w});
  const auto mine = g.add("mine", "reverse", {fc1}, {.shape = {4, 8}});
  g.output(g.add("fc2", op::linear, {mine, w}));
  halfway::op_table table;
  table.add("reverse", halfway::op_category::lower_precision, "mine");
  const auto a = halfway::assign(g, halfway::amp_bf16, table);
  EXPECT_EQ(a.compute[mine], f32);
  const auto plan = make_plan(g, a);
  EXPECT_EQ(plan.casts, 2u);  // x, and what the user's operation writes; fc1 writes float32
  EXPECT_EQ(plan.casts_by_edge, 4u);
  const matrix<float> mx = random_matrix(4, 8, 1), mw = random_matrix(8, 8, 2);
  graph_runner runner(g, {{"w", mw.view()}});
  expect_error(
      [&] {
        runner.run(plan, {{"x", mx}});
      },
      {"layer \"mine\"", "\"reverse\"", "add_kernel"});
  runner.add_kernel("reverse", [](const halfway::user_operation& o) {
    for (std::size_t i = 0; i < o.out.rows(); ++i)
      for (std::size_t j = 0; j < o.out.cols(); ++j) o.out(i, j) = o.in[0](i, o.out.cols() - 1 - j);
  });
  const matrix<float> h = product<bfloat16>(g.node(fc1), round_to(mx, bf16), mw, {}, {});
  matrix<float> reversed(4, 8);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 8; ++j) reversed(i, j) = h(i, 7 - j);
  expect_same(runner.run(plan, {{"x", mx}})[0],
              product<bfloat16>(g.node(fc1), round_to(reversed, bf16), mw, {}, {}));
  expect_error([&] { runner.add_kernel("linear", [](const halfway::user_operation&) {}); },
               {"\"linear\"", "the library's"});
  expect_error([&] { runner.add_kernel("f", {}); }, {"\"f\" is null"});
}

TEST(GraphRunner, GivesTheSameBitsOnAnyExecutor) {
  graph g;
  const auto x = g.input("x", {600, 64});
  const auto w = g.parameter("w", {64, 64});
  const auto q = g.add("q", op::linear, {x, w});
  const auto k = g.add("k", op::linear, {g.add("n", op::rmsnorm, {q}), w});
  const auto a = g.add("a", op::attention, {q, k, q}, {.heads = 2, .sequence = 200});
  const auto r = g.add("r", op::add, {x, a});
  const auto n = g.add("m", op::rmsnorm, {r});
  g.output(g.add("y", op::softmax, {g.add("z", op::mul, {n, r})}));
  const matrix<float> mx = random_matrix(600, 64, 1), mw = random_matrix(64, 64, 2, 0.2f);
  graph_runner runner(g, {{"w", mw.view()}});
  for (const auto& layers : {halfway::layer_types{}, halfway::layer_types{{"q", dtype::int8}},
                             halfway::layer_types{{"k", fp8}, {"a", f16}}}) {
    auto assignment = halfway::assign(g, halfway::amp_bf16, {}, layers);
    assignment.output = bf16;
    const auto plan = make_plan(g, assignment);
    matrix<float> y;
    expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
      y = runner.run(plan, {{"x", mx}}, {.on = on})[0];
      return std::as_bytes(y.elements());
    });
  }
}

TEST(GraphRunner, ShowsAnObserverWhatIsStored) {
  const block b;
  auto a = halfway::assign(b.g, halfway::amp_bf16);
  const auto plan = make_plan(b.g, a);
  graph_runner runner(b.g, views(b.parameters));
  std::vector<std::string> seen;
  std::vector<float> residual;
  const auto y =
      runner.run(plan, inputs_of(b.inputs), {.observer = [&](const halfway::node_result& r) {
                   seen.push_back(r.node().name + ":" + std::string(name(r.type())));
                   EXPECT_EQ(r.shape(), r.node().shape);
                   if (r.node().name == "residual2") residual = r.values();
                 }});
  EXPECT_EQ(seen, (std::vector<std::string>{
                      "embed:float32", "norm1:bfloat16", "q:bfloat16", "k:bfloat16", "v:bfloat16",
                      "attention:bfloat16", "o:float32", "residual1:float32", "norm2:bfloat16",
                      "gelu:bfloat16", "fc2:float32", "residual2:float32", "scores:float32",
                      "softmax:float32", "silu:float32", "log:float32"}));
  EXPECT_TRUE(std::ranges::equal(residual, y[1].elements()));
}

// One within the run's, with the bytes that the plan counts; none where nothing records.
TEST(GraphRunner, RecordsEachStepAsASpan) {
  const block b;
  const auto plan = make_plan(b.g, halfway::assign(b.g, halfway::amp_bf16, {}, {{"fc2", fp8}}));
  graph_runner runner(b.g, views(b.parameters));
  halfway::telemetry::trace_recorder recorder;
  runner.run(plan, inputs_of(b.inputs));
  halfway::telemetry::set_trace_recorder(&recorder);
  runner.run(plan, inputs_of(b.inputs));
  halfway::telemetry::set_trace_recorder(nullptr);
  runner.run(plan, inputs_of(b.inputs));

  const auto events = recorder.events();
  ASSERT_EQ(events.size(), plan.steps.size() + 1);  // in the order of their ends: the run's is last
  EXPECT_EQ(events.back().op.view(), "graph_run");
  std::size_t bytes = 0, casts = 0;
  std::map<std::string, std::string> of_layer;
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    const halfway::telemetry::trace_event& e = events[i];
    EXPECT_GE(e.nanoseconds, events.back().nanoseconds);
    EXPECT_LE(e.nanoseconds + e.duration, events.back().nanoseconds + events.back().duration);
    bytes += e.bytes;
    if (e.op.view() == "cast") {
      ++casts;
      continue;
    }
    std::string text = std::string(e.op.view());
    for (std::size_t j = 0; j < e.rank; ++j) {
      text += (j == 0 ? " " : "x") + std::to_string(e.shape[j]);
    }
    of_layer[std::string(e.layer.view())] = text + " " + std::string(e.precision.view());
  }
  EXPECT_EQ(bytes, plan.traffic_bytes);
  EXPECT_EQ(casts, plan.casts);
  EXPECT_EQ(of_layer["fc1"], "linear+gelu 10x96x48 bfloat16/bfloat16/float8_e4m3fn");
  EXPECT_EQ(of_layer["fc2"], "linear 10x48x96 float8_e4m3fn/float8_e4m3fn/float32");
  EXPECT_EQ(of_layer["norm1"], "layernorm 10x48 float32/float32/bfloat16");
  EXPECT_EQ(of_layer["attention"], "attention 10x48 bfloat16/-/bfloat16");
  EXPECT_EQ(of_layer["scores"], "matmul 10x10x48 bfloat16/bfloat16/float32");
}

// What a plan holds at one time is a lower bound of what the runner allocates, which is no more after
// the first run.
TEST(GraphRunner, TakesTheMemoryThatThePlanSaysAtLeast) {
  const block b;
  for (const dtype type : {f32, bf16, f16}) {
    const auto plan = make_plan(b.g, assign_all(b.g, type));
    graph_runner runner(b.g, views(b.parameters));
    EXPECT_EQ(runner.working_bytes(), 0u);
    runner.run(plan, inputs_of(b.inputs));
    const std::size_t once = runner.working_bytes();
    EXPECT_GE(once, halfway::working_bytes(plan));
    EXPECT_GT(halfway::working_bytes(plan), 10u * 96 * bits_of(type) / 8);  // gelu, and its input
    runner.run(plan, inputs_of(b.inputs));
    EXPECT_EQ(runner.working_bytes(), once);
  }
}

// Products tell it from their sums, other kernels' results are read: the same either way, as stored.
TEST(GraphRunner, TellsAnObserverTheLargestMagnitude) {
  constexpr std::size_t rows = 150, cols = 96, depth = 64;
  const float big = 3e4f;  // sums of some of these are past float16
  for (const dtype stored : {f32, bf16, f16, fp8, dtype::int8}) {
    for (const float size : {1.0f, big}) {
      graph g;
      const node_id x = g.input("x", {rows, depth});
      const node_id w = g.parameter("w", {depth, cols});
      const node_id y = g.add("y", op::linear, {x, w});
      const node_id z = g.add("z", op::relu, {g.add("s", op::softmax, {y})});
      g.output(g.add("u", op::linear, {z, g.parameter("v", {cols, cols})}));
      tensors parameters;
      parameters.emplace("w", random_matrix(depth, cols, 2));
      parameters.emplace("v", random_matrix(cols, cols, 3));
      matrix<float> in = random_matrix(rows, depth, 1, size);
      if (size == big) in(rows - 1, 3) = std::numeric_limits<float>::quiet_NaN();
      graph_runner runner(g, views(parameters));
      const auto plan = make_plan(g, assign_all(g, stored), {.fuse = false});
      halfway::thread_pool pool(3);
      for (const halfway::executor_ref on :
           {halfway::executor_ref(), halfway::executor_ref(pool)}) {
        std::size_t seen = 0;
        runner.run(plan, {{"x", in}}, {.on = on, .observer = [&](const halfway::node_result& r) {
                                         if (!halfway::is_floating(r.type())) return;
                                         float largest = 0;
                                         bool finite = true;
                                         for (const float v : r.values()) {
                                           finite = finite && std::isfinite(v);
                                           largest = std::max(largest, std::abs(v));
                                         }
                                         ASSERT_TRUE(r.amax().has_value());
                                         EXPECT_EQ(std::isfinite(*r.amax()), finite)
                                             << r.node().name << name(r.type());
                                         if (finite) {
                                           EXPECT_EQ(*r.amax(), largest)
                                               << r.node().name << name(r.type());
                                         }
                                         ++seen;
                                       }});
        EXPECT_GE(seen, 4u);
      }
    }
  }
}

TEST(GraphRunner, CastsParametersOnceAndAgainWhenTheyChange) {
  block b;
  const auto plan = make_plan(b.g, halfway::assign(b.g, halfway::amp_bf16));
  graph_runner runner(b.g, views(b.parameters));
  EXPECT_EQ(runner.prepared_bytes(), 0u);
  runner.run(plan, inputs_of(b.inputs));
  const std::size_t bytes = runner.prepared_bytes();
  EXPECT_GT(bytes, 0u);
  runner.run(plan, inputs_of(b.inputs));
  EXPECT_EQ(runner.prepared_bytes(), bytes);
  b.parameters.at("wo")(3, 4) += 1.0f;
  runner.parameters_changed();
  const auto y = runner.run(plan, inputs_of(b.inputs));
  const auto expected =
      interpret(b.g, plan.assignment, b.parameters, b.inputs, fused_activations(plan));
  expect_same(y[1], expected[1]);
}

TEST(GraphRunner, RefusesWhatDoesNotFit) {
  block b;
  const auto plan = make_plan(b.g, assign_all(b.g, f32));
  graph_runner runner(b.g, views(b.parameters));
  const auto with = [&](const std::string& name, const matrix<float>& m) {
    halfway::graph_inputs in = inputs_of(b.inputs);
    in.insert_or_assign(name, m);
    runner.run(plan, in);
  };
  const matrix<float> m(10, 47);
  expect_error([&] { with("x", m); }, {"input \"x\" is 10 x 47 but must be 10 x 48"});
  expect_error([&] { with("gama", m); }, {"unknown layer \"gama\"", "did you mean \"gamma\""});
  expect_error([&] { with("wq", m); }, {"\"wq\" is no input"});
  expect_error([&] { runner.run(plan, {}); }, {"input \"x\" (10 x 48) is not given"});
  expect_error([&] { halfway::graph_input in(m.view().transposed()); }, {"dense", "47"});
  graph other;
  other.output(other.add("y", op::relu, {other.input("x", {10, 48})}));
  expect_error([&] { runner.run(make_plan(other, assign_all(other, f32)), inputs_of(b.inputs)); },
               {"the plan is of another graph"});
  tensors p = b.parameters;
  p.at("wq") = m;
  expect_error([&] { graph_runner r(b.g, views(p)); }, {"parameter \"wq\" is 10 x 47", "48 x 48"});
  p.erase("wq");
  expect_error([&] { graph_runner r(b.g, views(p)); }, {"parameter \"wq\" (48 x 48) is not given"});
  p = b.parameters;
  p["q"] = m;
  expect_error([&] { graph_runner r(b.g, views(p)); }, {"\"q\" is no parameter"});
}

// The code of docs/precision-policy.md, section "Graphs".
TEST(GraphGuide, Example) {
  const matrix<float> images = random_matrix(64, 784, 1),
                      weight1 = random_matrix(784, 128, 2, 0.1f), bias1 = random_matrix(1, 128, 3),
                      weight2 = random_matrix(128, 10, 4);
  halfway::graph g;
  const auto x = g.input("x", {64, 784});
  const auto w1 = g.parameter("fc1.weight", {784, 128}), b1 = g.parameter("fc1.bias", {1, 128});
  const auto w2 = g.parameter("fc2.weight", {128, 10});
  const auto h = g.add("gelu", halfway::op::gelu, {g.add("fc1", halfway::op::linear, {x, w1, b1})});
  g.output(g.add("log", halfway::op::log_softmax, {g.add("fc2", halfway::op::linear, {h, w2})}));

  const auto plan = halfway::make_plan(g, halfway::assign(g, halfway::amp_bf16));
  std::cout << halfway::to_string(plan, g);
  const std::string drawing = halfway::to_dot(plan, g);  // for dot -Tsvg

  halfway::graph_runner runner(
      g,
      {{"fc1.weight", weight1.view()}, {"fc1.bias", bias1.view()}, {"fc2.weight", weight2.view()}});
  const std::vector<halfway::matrix<float>> y = runner.run(plan, {{"x", images}});

  EXPECT_EQ(plan.casts, 1u);
  EXPECT_NE(drawing.find("fc1"), std::string::npos);
  ASSERT_EQ(y.size(), 1u);
  EXPECT_EQ(y[0].cols(), 10u);
}

TEST(GraphGuide, OwnOperations) {
  const matrix<float> x = random_matrix(64, 128, 1);
  const halfway::graph_parameters parameters;
  halfway::graph g;
  const auto h = g.input("h", {64, 128});
  g.output(g.add("mine", "negate", {h}, {.shape = {64, 128}}));
  halfway::precision_rules rules{halfway::amp_bf16};
  rules.ops.add("negate", halfway::op_category::lower_precision);
  halfway::graph_runner runner(g, parameters);
  runner.add_kernel("negate", [](const halfway::user_operation& o) {
    for (std::size_t i = 0; i < o.out.rows(); ++i) {
      for (std::size_t j = 0; j < o.out.cols(); ++j) o.out(i, j) = -o.in[0](i, j);
    }
  });
  EXPECT_EQ(runner.run(make_plan(g, halfway::assign(g, rules)), {{"h", x}})[0](3, 4), -x(3, 4));
}

}  // namespace
