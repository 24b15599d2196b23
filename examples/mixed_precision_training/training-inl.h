// SPDX-License-Identifier: Apache-2.0
// The training loop and the evaluation. Included only by the files that instantiate them.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_TRAINING_INL_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_TRAINING_INL_H_

#include <numbers>
#include <numeric>
#include <utility>

#include "halfway/training/loss_scaler.h"
#include "network-inl.h"
#include "stopwatch.h"
#include "training.h"

namespace demo {

// The order of the images, another for each epoch; the same for every run and machine.
class shuffled_indices {
 public:
  shuffled_indices(std::size_t size, std::uint64_t seed) : random_(seed), indices_(size) {
    std::iota(indices_.begin(), indices_.end(), 0u);
  }

  std::span<const std::uint32_t> next_epoch() {
    for (std::size_t i = indices_.size(); i > 1; --i)
      std::swap(indices_[i - 1], indices_[random_() % i]);
    return indices_;
  }

 private:
  std::mt19937_64 random_;
  std::vector<std::uint32_t> indices_;
};

// The scaler is the only difference between the two FP16 runs. With a fixed scale of 1, too, it
// looks at the gradients, and skips and counts the steps in which some are not finite.
inline halfway::loss_scaler make_scaler(bool scales_loss) {
  if (!scales_loss) return halfway::loss_scaler::fixed(1);
  // A high ceiling lets the scale find the limit of the format by itself: it grows until a gradient
  // overflows, and steps back.
  return halfway::loss_scaler({.growth_interval = growth_interval, .max_scale = 0x1p30f});
}

template <class T>
void train_steps(network<T>& net, halfway::loss_scaler& scaler, const training_settings& settings,
                 const labelled_images& images, progress& display, training_record& record) {
  constexpr std::size_t steps_between_counts = 20;
  const std::size_t steps_an_epoch = images.size() / settings.batch;
  const auto total = static_cast<double>(step_count(settings, images.size()));
  halfway::adam optimizer;
  shuffled_indices order(images.size(), settings.seed);
  std::vector<std::int32_t> labels(settings.batch);
  for (std::size_t epoch = 0; epoch < settings.epochs; ++epoch) {
    const std::span<const std::uint32_t> indices = order.next_epoch();
    for (std::size_t s = 0; s < steps_an_epoch; ++s) {
      const auto step = static_cast<double>(record.steps.size());
      const auto batch = indices.subspan(s * settings.batch, settings.batch);
      for (std::size_t i = 0; i < batch.size(); ++i) labels[i] = images.labels[batch[i]];
      net.load(images, batch);
      net.forward();
      const bool counts = record.steps.size() % steps_between_counts == 0;
      const float loss = net.backward(labels, scaler.scale(), counts ? &record.flushes : nullptr);
      record.steps.push_back({loss, scaler.scale(), net.largest_before_norm()});

      scaler.unscale(net.gradients());
      if (scaler.should_step()) {
        optimizer.set_learning_rate(settings.learning_rate / 2 *
                                    (1 + std::cos(std::numbers::pi * step / total)));
        net.step(optimizer);
      }
      display.step(record.steps.size(), epoch, loss);
      try {
        scaler.update();
      } catch (const halfway::error& e) {
        // It gives up where every step in a row must be skipped. What was learned remains.
        record.stopped = e.what();
        return;
      }
    }
    display.epoch_done(epoch);
  }
}

// The logits of all images, in batches.
template <class T>
std::vector<float> evaluate(network<T>& net, std::size_t batch, const labelled_images& images) {
  std::vector<float> logits(images.size() * class_count);
  std::vector<std::uint32_t> indices(images.size());
  std::iota(indices.begin(), indices.end(), 0u);
  for (std::size_t first = 0; first < images.size(); first += batch) {
    const std::size_t rows = std::min(batch, images.size() - first);
    net.load(images, std::span(indices).subspan(first, rows));
    net.forward();
    std::memcpy(logits.data() + first * class_count, net.logits().data(),
                rows * class_count * sizeof(float));
  }
  return logits;
}

template <class T>
run_result train_in(const run_settings& run, const training_settings& settings,
                    const fashion_mnist& data, progress& display) {
  run_result result;
  result.settings = run;
  network<T> net(settings.batch, settings.seed);
  halfway::loss_scaler scaler = make_scaler(run.scales_loss);

  display.begin(run.name, settings.epochs, step_count(settings, data.train.size()));
  const stopwatch training_time;
  train_steps(net, scaler, settings, data.train, display, result.training);
  result.training.seconds = training_time.seconds();
  display.end(result.training.stopped);

  const stopwatch evaluation_time;
  result.logits = evaluate(net, settings.batch, data.test);
  result.evaluation_seconds = evaluation_time.seconds();
  result.parameters.assign(net.parameters().begin(), net.parameters().end());
  result.weight_bytes = parameter_layout().model_bytes(sizeof(T));
  result.activation_bytes = net.activation_bytes();
  result.skipped_steps = scaler.statistics().skipped;
  result.non_finite = scaler.statistics().non_finite;
  result.final_scale = static_cast<double>(scaler.scale());
  return result;
}

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_TRAINING_INL_H_
