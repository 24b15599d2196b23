// SPDX-License-Identifier: Apache-2.0
#include "summary.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "parameters.h"

namespace demo {

namespace {

using json = nlohmann::ordered_json;

// The mean loss of each epoch; null for one that a loss was not finite in.
json epoch_losses(const experiment& e, const training_record& training) {
  json losses = json::array();
  const std::size_t steps_an_epoch = e.planned_steps / e.settings.epochs;
  for (std::size_t first = 0; first < training.steps.size(); first += steps_an_epoch) {
    const std::size_t last = std::min(first + steps_an_epoch, training.steps.size());
    double sum = 0;
    for (std::size_t s = first; s < last; ++s) sum += static_cast<double>(training.steps[s].loss);
    const double mean = sum / static_cast<double>(last - first);
    losses.push_back(std::isfinite(mean) ? json(mean) : json(nullptr));
  }
  return losses;
}

json to_json(const experiment& e, const compared_run& run) {
  const run_result& r = run.result;
  const auto if_trained = [&run](auto value) {
    return run.is_trained() ? json(value) : json(nullptr);
  };
  json j;
  j["name"] = r.settings.name;
  j["policy"] = to_string(r.settings.policy);
  j["loss_scaling"] = if_trained(r.settings.scales_loss ? "dynamic" : "none");
  j["accuracy"] = run.with_fp32.accuracy;
  j["agreement_with_fp32"] = run.with_fp32.agreement;
  j["sqnr_db"] = run.with_fp32.sqnr_db ? json(*run.with_fp32.sqnr_db) : json(nullptr);
  j["images_with_non_finite_logits"] = run.with_fp32.not_finite_images;
  j["steps"] = if_trained(r.training.steps.size());
  j["steps_per_second"] = if_trained(run.steps_per_second());
  j["training_seconds"] = if_trained(r.training.seconds);
  j["test_images_per_second"] = static_cast<double>(e.test_images) / r.evaluation_seconds;
  j["weight_bytes"] = r.weight_bytes;
  j["activation_bytes"] = r.activation_bytes;
  j["skipped_steps"] = if_trained(r.skipped_steps);
  j["non_finite_gradients"] = if_trained(r.non_finite);
  j["final_scale"] = if_trained(r.final_scale);
  j["stopped"] = r.training.stopped.empty() ? json(nullptr) : json(r.training.stopped);
  j["flushed_share"] = if_trained(flushed_share(r.training));
  j["flushed_share_by_gradient"] = json::object();
  for (const flush_count& f : r.training.flushes)
    j["flushed_share_by_gradient"][f.gradient] = f.share();
  j["epoch_losses"] = epoch_losses(e, r.training);
  return j;
}

}  // namespace

std::string to_json(const experiment& e) {
  json j;
  j["data"] = {
      {"name", "Fashion-MNIST"}, {"train_images", e.train_images}, {"test_images", e.test_images}};
  j["settings"] = {{"epochs", e.settings.epochs},
                   {"batch", e.settings.batch},
                   {"seed", e.settings.seed},
                   {"optimizer", "adam"},
                   {"learning_rate", e.settings.learning_rate},
                   {"layer_sizes", layer_sizes},
                   {"planned_steps", e.planned_steps}};
  j["machine"] = {{"simd_target", e.simd_target}, {"threads", 1}};
  const std::string why = explain_unscaled_fp16(e);
  j["why_fp16_needs_scaling"] = why.empty() ? json(nullptr) : json(why);
  j["runs"] = json::array();
  for (const compared_run& run : e.runs) j["runs"].push_back(to_json(e, run));
  return j.dump(2) + '\n';
}

}  // namespace demo
