// SPDX-License-Identifier: Apache-2.0
// What watching costs: adaptive_runner against graph_runner on the same plan of a transformer's two
// layers, in turns, one thread.
//
//   adaptive_cost            # prints shares; nothing is asserted of times
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "halfway/precision/adaptive_runner.h"

namespace {

namespace op = halfway::op;
using halfway::graph;
using halfway::matrix;
using halfway::node_id;

constexpr std::size_t tokens = 256, width = 768, heads = 12, sequence = 128;

matrix<float> normal_matrix(std::size_t rows, std::size_t cols, double deviation) {
  static std::mt19937 random(1);
  std::normal_distribution<double> normal(0, deviation);
  matrix<float> m(rows, cols);
  for (float& x : m.elements()) x = static_cast<float>(normal(random));
  return m;
}

struct model {
  graph g;
  std::vector<std::pair<std::string, matrix<float>>> weights;

  node_id product(const std::string& name, node_id x, std::size_t from, std::size_t to) {
    weights.emplace_back(name + ".weight",
                         normal_matrix(from, to, 1 / std::sqrt(static_cast<double>(from))));
    return g.add(name, op::linear, {x, g.parameter(name + ".weight", {from, to})});
  }

  node_id block(const std::string& name, node_id x) {
    const node_id h = g.add(name + ".norm1", op::layernorm, {x});
    const node_id q = product(name + ".q", h, width, width);
    const node_id k = product(name + ".k", h, width, width);
    const node_id v = product(name + ".v", h, width, width);
    halfway::op_attributes attributes;
    attributes.heads = heads;
    attributes.sequence = sequence;
    attributes.causal = true;
    const node_id a = g.add(name + ".attention", op::attention, {q, k, v}, attributes);
    x = g.add(name + ".add1", op::add, {x, product(name + ".o", a, width, width)});
    const node_id m = g.add(name + ".norm2", op::layernorm, {x});
    const node_id f =
        g.add(name + ".gelu", op::gelu, {product(name + ".fc1", m, width, 4 * width)});
    return g.add(name + ".add2", op::add, {x, product(name + ".fc2", f, 4 * width, width)});
  }

  halfway::graph_parameters parameters() const {
    halfway::graph_parameters p;
    for (const auto& [name, w] : weights) p.emplace(name, w.view());
    return p;
  }
};

template <class F>
double seconds(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
double tenth_percentile(std::vector<double> times) {
  std::ranges::sort(times);
  return times[times.size() / 10];
}

}  // namespace

int main() {
  model m;
  m.g.output(m.block("layer1", m.block("layer0", m.g.input("x", {tokens, width}))));
  const auto x = normal_matrix(tokens, width, 1);
  halfway::adaptive_runner_options options;
  options.layers.ladder = {halfway::dtype::bfloat16, halfway::dtype::float32};
  const std::size_t every = options.shadow_every;
  halfway::adaptive_runner watched(m.g, m.parameters(), options);
  options.shadow_every = 1;
  halfway::adaptive_runner shadowed(m.g, m.parameters(), options);
  halfway::graph_runner plain(m.g, m.parameters());

  watched.run({{"x", x}});  // the first run has a shadow
  shadowed.run({{"x", x}});
  const halfway::precision_plan plan = watched.plan();
  plain.run(plan, {{"x", x}});
  std::vector<double> of_plain, of_watched, of_shadowed;
  for (int turn = 0; turn < 200; ++turn) {
    const auto run_plain = [&] {
      of_plain.push_back(seconds([&] { plain.run(plan, {{"x", x}}); }));
    };
    if (turn % 2 == 0) run_plain();
    of_watched.push_back(seconds([&] { watched.run({{"x", x}}); }));
    if (turn % 2 != 0) run_plain();
    if (turn % 20 == 0) of_shadowed.push_back(seconds([&] { shadowed.run({{"x", x}}); }));
  }
  const double p = tenth_percentile(of_plain), w = tenth_percentile(of_watched),
               s = tenth_percentile(of_shadowed);
  const double shadow = (s - w) / static_cast<double>(every);
  std::printf(
      "%s: watching each run %.2f %%, a shadow run %.1f times a run; with one in %zu: %.2f %%\n",
      halfway::simd_target_name(), 100 * (w / p - 1), s / p, every, 100 * ((w + shadow) / p - 1));
  if (watched.precision().switches() != 0) {
    std::printf("types changed: the two ran different plans\n");
    return 1;
  }
}
