// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <sstream>

#include "parameters.h"
#include "report/page.h"

namespace demo {

namespace {

std::string settings_text(const experiment& e) {
  std::ostringstream out;
  out << "Network: ";
  for (std::size_t l = 0; l < layer_sizes.size(); ++l)
    out << (l == 0 ? "" : " - ") << layer_sizes[l];
  out << ", ReLU, a layernorm in the last hidden layer. Adam, learning rate "
      << e.settings.learning_rate << " falling along a cosine, " << e.settings.epochs
      << " epochs of batches of " << e.settings.batch << ", seed " << e.settings.seed
      << ". Kernels: " << e.simd_target << ". Policies: ";
  for (std::size_t r = 0; r < e.runs.size(); ++r) {
    const run_settings& s = e.runs[r].result.settings;
    out << (r == 0 ? "" : "; ") << s.name << ' ' << to_string(s.policy)
        << (s.scales_loss ? " with a dynamic loss scaler" : "");
  }
  out << '.';
  return out.str();
}

}  // namespace

std::string to_html(const experiment& e, const std::vector<report::figure>& figures,
                    const std::string& problem) {
  report::page page(
      "Mixed-precision training with halfway",
      "One network, one seed, one order of the " + std::to_string(e.train_images) +
          " Fashion-MNIST images; what differs is the type that activations, gradients and weights "
          "are stored in. Evaluated on " +
          std::to_string(e.test_images) + " test images.");
  page.add_table(cells(e));
  page.add_note(explain_unscaled_fp16(e));
  for (const compared_run& run : e.runs) {
    const training_record& t = run.result.training;
    if (t.stopped.empty()) continue;
    page.add_note(run.result.settings.name + " stopped after step " +
                  std::to_string(t.steps.size()) + " of " + std::to_string(e.planned_steps) + ": " +
                  t.stopped + '.');
  }
  page.add_note(problem);
  page.add_figures(figures);
  page.add_small(
      "The columns: test accuracy; share of the test images classified as by the FP32 run; SQNR of "
      "the logits against it (trainings drift apart, so only INT8, which is the FP32 run "
      "quantized, "
      "comes close); training steps a second, on one thread; bytes of the weights, and of the "
      "activations of a batch of " +
      std::to_string(e.settings.batch) +
      "; steps skipped for a non-finite gradient; non-finite gradient values; the loss scale at "
      "the "
      "end; share of gradient values that rounding to the run's type made zero.");
  page.add_small(settings_text(e));
  return page.html();
}

}  // namespace demo
