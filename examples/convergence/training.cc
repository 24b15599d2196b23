// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numbers>

#include "halfway/ops/convert.h"
#include "halfway/training/adam.h"
#include "halfway/training/loss_scaler.h"
#include "halfway/training/weight_storage.h"
#include "halfway/types/bfloat16.h"

namespace convergence {

namespace {

namespace nn = halfway::nn;
using halfway::bfloat16;

double rate_share(std::size_t step, std::size_t steps) {
  const double at = static_cast<double>(step) + 1, warm = static_cast<double>(steps) / 20;
  const double falls = (1 + std::cos(std::numbers::pi * at / static_cast<double>(steps))) / 2;
  return std::min(1.0, at / warm) * falls;
}

// A weight with what its recipe keeps of it.
class trained_weight {
 public:
  trained_weight(nn::weight& w, weight_kind kind, std::uint64_t seed) : weight_(w), seed_(seed) {
    if (kind == weight_kind::stochastic) {
      narrow_.resize(w.value.size());
      halfway::convert(w.values(), narrow_);
      show_narrow();
    }
  }

  void step(const halfway::adam& optimizer) {
    if (narrow_.empty()) {
      auto values = weight_.value.write();
      optimizer.step(state_, values.elements(), weight_.gradient.elements());
    } else {
      optimizer.step(state_, halfway::stochastic_weights<bfloat16>{narrow_, seed_},
                     weight_.gradient.elements());
      show_narrow();
    }
  }

 private:
  // The layers read floats; these have the bfloat16 weights' values, exactly.
  void show_narrow() {
    auto values = weight_.value.write();
    halfway::convert(narrow_, values.elements());
  }

  nn::weight& weight_;
  std::uint64_t seed_;
  std::vector<bfloat16> narrow_;
  halfway::adam_state state_;
};

halfway::loss_scaler make_scaler(const recipe& r, std::size_t steps) {
  if (!r.scales_loss) return halfway::loss_scaler::fixed(1);
  // The usual 2000 good steps until the scale grows are more than a whole training here.
  return halfway::loss_scaler(
      {.growth_interval = std::max<std::uint64_t>(1, steps / 20), .max_scale = 0x1p30f});
}

}  // namespace

run_record train(const task& t, const recipe& r, std::uint64_t seed, const data& d,
                 gradient_census* census) {
  const std::unique_ptr<learner> model = make_learner(t, r.compute, d, seed);
  std::vector<trained_weight> weights;
  for (nn::weight* w : model->weights())
    weights.emplace_back(*w, r.weights, seed * 1000 + weights.size());
  halfway::loss_scaler scaler = make_scaler(r, t.steps);
  halfway::adam optimizer({.beta2 = 0.99});

  run_record record;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t s = 0; s < t.steps; ++s) {
    for (nn::weight* w : model->weights()) w->zero_gradient();
    record.losses.push_back(
        model->learn(s, scaler.scale(), s % census_every == 0 ? census : nullptr));
    const auto unscale = scaler.begin_unscale();
    for (nn::weight* w : model->weights()) unscale(w->gradient.elements());
    if (scaler.should_step()) {
      optimizer.set_learning_rate(t.learning_rate * rate_share(s, t.steps));
      for (trained_weight& w : weights) w.step(optimizer);
    }
    try {
      scaler.update();
    } catch (const halfway::error& e) {
      record.stopped = e.what();  // every step in a row must be skipped
      break;
    }
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  record.steps_per_second = static_cast<double>(record.losses.size()) / taken.count();
  record.metric = model->evaluate();
  record.skipped_steps = scaler.statistics().skipped;
  record.non_finite = scaler.statistics().non_finite;
  record.final_scale = static_cast<double>(scaler.scale());
  return record;
}

std::unique_ptr<learner> make_learner(const task& t, compute_kind compute, const data& d,
                                      std::uint64_t seed) {
  switch (compute) {
    case compute_kind::float16:
      return make_float16_learner(t, d, seed);
    case compute_kind::bfloat16:
      return make_bfloat16_learner(t, d, seed);
    case compute_kind::float8:
      return make_float8_learner(t, d, seed);
    case compute_kind::float32:
      break;
  }
  return make_float32_learner(t, d, seed);
}

}  // namespace convergence
