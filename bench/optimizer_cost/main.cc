// SPDX-License-Identifier: Apache-2.0
// The bandwidth of optimizer steps against that of a copy, in turns, one thread, on arrays that no
// cache holds. A step's bytes are what it must move: each array that it reads counts once, each
// that it writes once more.
//
//   optimizer_cost [millions of elements, 64]     # prints shares; nothing is asserted of times
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "halfway/training/gradient_accumulation.h"
#include "halfway/training/gradient_clipping.h"
#include "halfway/training/optimizer.h"
#include "halfway/types/bfloat16.h"

namespace {

using halfway::bfloat16;

double seconds_of(const std::function<void()>& run) {
  const auto from = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

struct bench {
  std::size_t n;
  std::vector<float> from, to;

  explicit bench(std::size_t size) : n(size), from(2 * size, 1.0f), to(2 * size, 2.0f) {}

  // Five turns of a copy and `step`, which moves `bytes` bytes for each element; medians.
  void row(const std::string& name, double bytes, const std::function<void()>& step) {
    step();  // touches its state
    std::vector<double> copies, steps, shares;
    for (int turn = 0; turn < 5; ++turn) {
      const double copy_bytes = 2.0 * static_cast<double>(from.size() * sizeof(float));
      copies.push_back(copy_bytes / 1e9 / seconds_of([&] {
                         std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
                       }));
      steps.push_back(bytes * static_cast<double>(n) / 1e9 / seconds_of(step));
      shares.push_back(steps.back() / copies.back());
    }
    for (auto* v : {&copies, &steps, &shares}) std::ranges::sort(*v);
    std::printf("| %-44s | %4.0f | %5.1f | %5.1f | %3.0f%% |\n", name.c_str(), bytes, steps[2],
                copies[2], 100 * shares[2]);
    std::fflush(stdout);
  }
};

}  // namespace

int main(int argc, char** argv) {
  const std::size_t n = (argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 64) * 1000 * 1000;
  bench b(n);
  std::vector<float> w(n, 0.5f), g(n, 1e-3f);
  std::vector<bfloat16> w16(n, bfloat16(0.5f)), g16(n, bfloat16(1e-3f)), rest(n);
  std::vector<std::int16_t> low(n);
  const halfway::step_options scaled{.gradient_factor = 0x1p-10f};
  std::puts("| pass | bytes an element | GB/s | copy, GB/s | share of a copy |");
  std::puts("|---|---|---|---|---|");
  {
    halfway::sgd plain, momentum({.momentum = 0.9});
    halfway::sgd_state none, state;
    b.row("sgd, master", 12, [&] { plain.step(none, w, g, scaled); });
    b.row("sgd momentum, master + bf16, bf16 gradients", 20,
          [&] { momentum.step(state, w, g16, w16, scaled); });
    b.row("sgd momentum, split, bf16 gradients", 18, [&] {
      momentum.step(state, halfway::split_weights{w16, low}, g16, scaled);
    });
  }
  {
    halfway::lion lion;
    halfway::lion_state state;
    b.row("lion, master + bf16, bf16 gradients", 20,
          [&] { lion.step(state, w, g16, w16, scaled); });
    b.row("lion, stochastic bf16, bf16 gradients", 14,
          [&] { lion.step(state, halfway::stochastic_weights{w16}, g16, scaled); });
  }
  halfway::adam adam({.weight_decay = 0.01, .decoupled_weight_decay = true});
  {
    halfway::adam_state state;
    b.row("adamw, master", 28, [&] { adam.step(state, w, g, scaled); });
    b.row("adamw, master + bf16", 30, [&] { adam.step(state, w, g, w16, scaled); });
    b.row("adamw, master + bf16, bf16 gradients", 28,
          [&] { adam.step(state, w, g16, w16, scaled); });
    b.row("adamw, split, bf16 gradients", 26, [&] {
      adam.step(state, halfway::split_weights{w16, low}, g16, scaled);
    });
    b.row("adamw, kahan bf16, bf16 gradients", 26, [&] {
      adam.step(state, halfway::kahan_weights{w16, rest}, g16, scaled);
    });
    b.row("adamw, stochastic bf16, bf16 gradients", 22,
          [&] { adam.step(state, halfway::stochastic_weights{w16}, g16, scaled); });
  }
  {
    halfway::adam_8bit_state state;
    b.row("adamw 8-bit, master + bf16, bf16 gradients", 16,
          [&] { adam.step(state, w, g16, w16, scaled); });
    b.row("adamw 8-bit, split, bf16 gradients", 14, [&] {
      adam.step(state, halfway::split_weights{w16, low}, g16, scaled);
    });
  }
  b.row("accumulate_gradient, bf16", 10, [&] { halfway::accumulate_gradient(g16, g, 0x1p-10f); });
  b.row("gradient_norm, bf16", 2, [&] {
    halfway::gradient_norm norm;
    norm.add(g16);
  });
}
