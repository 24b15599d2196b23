// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <random>

#include "data/fortunes.h"
#include "halfway/training/optimizer.h"
#include "model.h"
#include "transformer.h"

namespace language {

namespace {

double rate_share(std::size_t step, std::size_t steps) {
  const double at = static_cast<double>(step) + 1, warm = static_cast<double>(steps) / 20;
  const double falls = (1 + std::cos(std::numbers::pi * at / static_cast<double>(steps))) / 2;
  return std::min(1.0, at / warm) * falls;
}

}  // namespace

trained_model train(std::span<const std::int32_t> text, const training_settings& settings,
                    const std::function<void(std::size_t, float)>& progress) {
  const auto start = std::chrono::steady_clock::now();
  const model_layout layout;
  trained_model trained;
  trained.parameters = initial_parameters(layout, settings.seed);
  std::vector<float> gradients(layout.size());
  halfway::adam optimizer({.beta2 = 0.99});
  halfway::adam_state state;
  transformer model(settings.windows);
  std::mt19937_64 random(settings.seed);
  std::vector<std::size_t> places(settings.windows);

  const std::size_t last_tenth = settings.steps - (settings.steps + 9) / 10;
  for (std::size_t s = 0; s < settings.steps; ++s) {
    for (std::size_t& place : places) place = random() % (text.size() - context);
    const float loss =
        model.loss_and_gradients(trained.parameters, windows_at(text, places, context), gradients);
    optimizer.set_learning_rate(settings.learning_rate * rate_share(s, settings.steps));
    optimizer.step(state, trained.parameters, gradients);
    if (s >= last_tenth)
      trained.loss += static_cast<double>(loss) / static_cast<double>(settings.steps - last_tenth);
    if (progress) progress(s + 1, loss);
  }
  trained.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return trained;
}

}  // namespace language
