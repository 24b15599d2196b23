// SPDX-License-Identifier: Apache-2.0
// Mixed-precision training from nothing but the library: a network that tells three arms of a spiral
// apart. FP32 master weights, half everywhere else, dynamic loss scaling, Adam.
//
//   cmake --preset demo && cmake --build build/demo --target train_loop
//   build/demo/examples/train_loop [steps]
//
// Prints the loss, the share of right answers and the scale as it goes.
#include <halfway/nn/activation.h>
#include <halfway/nn/dropout.h>
#include <halfway/nn/linear.h>
#include <halfway/nn/loss.h>
#include <halfway/nn/norm.h>
#include <halfway/nn/sequential.h>
#include <halfway/training/loss_scaler.h>
#include <halfway/training/optimizer.h>
#include <halfway/types/half.h>
#include <halfway/types/philox.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numbers>
#include <string>
#include <vector>

namespace {

namespace nn = halfway::nn;
using compute = halfway::half;  // or bfloat16, or float: nothing else changes
constexpr std::size_t rows = 256, arms = 3, width = 64;

// `rows` points of the spiral's arms, the same for the same step.
void draw(std::uint64_t step, halfway::matrix<compute>& x, std::vector<std::int32_t>& labels) {
  for (std::size_t i = 0; i < rows; ++i) {
    const auto uniform = [&](std::uint64_t k) {
      return 0x1p-32 * halfway::random_word(/*seed=*/1, 4 * (step * rows + i) + k);
    };
    labels[i] = static_cast<std::int32_t>(i % arms);
    const double radius = uniform(0), turn = radius + labels[i] / 3.0 + 0.1 * (uniform(1) - 0.5);
    x(i, 0) = compute(radius * std::cos(2 * std::numbers::pi * turn));
    x(i, 1) = compute(radius * std::sin(2 * std::numbers::pi * turn));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t steps = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 600;

  nn::weight_source random(/*seed=*/2);
  nn::sequential<compute> body;
  body.add<nn::linear<compute>>("fc1", 2, width, random);
  body.add<nn::gelu<compute>>();
  body.add<nn::linear<compute>>("fc2", width, width, random);
  body.add<nn::layernorm<compute>>("norm", width);
  body.add<nn::gelu<compute>>();
  body.add<nn::dropout<compute>>(0.1f);
  nn::linear<compute, float> head("head", width, arms, random);  // logits in FP32
  nn::cross_entropy<compute> loss;

  const std::vector<nn::weight*> weights = nn::weights_of(body, head);
  std::map<std::string, halfway::adam_state> states;
  const halfway::adam optimizer({.learning_rate = 3e-3});
  halfway::loss_scaler scaler;

  halfway::matrix<compute> x(rows, 2);
  std::vector<std::int32_t> labels(rows);
  for (std::uint64_t step = 0; step < steps; ++step) {
    draw(step, x, labels);
    nn::pass pass{.seed = 3, .next_word = nn::words_of_step(step)};
    const auto logits = head.forward(body.forward(x.view(), pass), pass);
    const float mean_loss = loss.forward(logits, labels, scaler.scale(), pass);
    body.backward(head.backward(loss.gradient(), pass), pass, /*wants_dx=*/false);

    auto unscale = scaler.begin_unscale();
    for (nn::weight* w : weights) unscale(w->gradient.elements(), w->gradient.elements());
    for (nn::weight* w : weights) {
      if (scaler.should_step()) {
        optimizer.step(states[w->name], w->value.write(), w->gradient.elements());
      }
      w->zero_gradient();
    }
    scaler.update();

    if (step % 100 == 0 || step + 1 == steps) {
      std::size_t right = 0;
      for (std::size_t i = 0; i < rows; ++i) {
        const float* row = logits.row(i);
        right += std::max_element(row, row + arms) - row == labels[i];
      }
      std::printf("step %4llu  loss %.4f  right %5.1f%%  scale %g\n",
                  static_cast<unsigned long long>(step), static_cast<double>(mean_loss),
                  100.0 * static_cast<double>(right) / rows, static_cast<double>(scaler.scale()));
    }
  }
}
