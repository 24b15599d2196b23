// SPDX-License-Identifier: Apache-2.0
// Trains one network on Fashion-MNIST in FP32, FP16 with and without loss scaling, and BF16,
// quantizes the FP32 result to 8 bits, and reports what each cost and lost.
//
//   cmake --preset demo && cmake --build --preset demo --target demo
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "comparison.h"
#include "data/fashion_mnist.h"
#include "experiment.h"
#include "halfway/core/error.h"
#include "int8_network.h"
#include "plots.h"
#include "program.h"
#include "progress.h"
#include "report.h"
#include "report/page.h"
#include "summary.h"
#include "training.h"

namespace {

using namespace demo;

struct options {
  training_settings settings;
  std::string data = "/usr/share/datasets/fashion-mnist";
  std::string out = "mixed_precision_report";
  std::string policy;  // empty: the four runs
  std::string gnuplot = "gnuplot";
  bool quick = false;
};

void add_options(CLI::App& app, options& o) {
  const auto settings = &o.settings;
  app.add_option("--epochs", settings->epochs, "Passes over the training images")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--batch", settings->batch, "Images a step")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--seed", settings->seed, "Of the weights and of the order of the images")
      ->capture_default_str();
  app.add_option("--policy", o.policy,
                 "Train in FP32 and in this policy only, for example "
                 "params=float32,compute=float16,output=float32 or amp-bf16");
  app.add_option("--data", o.data, "Folder of the Fashion-MNIST files")->capture_default_str();
  app.add_option("--out", o.out, "Folder for summary.json and report.html")->capture_default_str();
  app.add_option("--gnuplot", o.gnuplot, "The program that draws the figures")
      ->capture_default_str();
  app.add_flag("--quick", o.quick, "A few seconds on a part of the data, to see that it runs");
}

std::vector<run_settings> planned_runs(const options& o) {
  std::vector<run_settings> runs = {{"FP32", halfway::fp32, false}};
  if (o.policy.empty()) {
    runs.push_back({"FP16 unscaled", halfway::amp_fp16, false});
    runs.push_back({"FP16 scaled", halfway::amp_fp16, true});
    runs.push_back({"BF16", halfway::amp_bf16, false});
  } else {
    const halfway::cast_policy policy = halfway::parse_policy(o.policy);
    check_policy(policy);
    runs.push_back(
        {std::string(name(policy.compute)), policy, policy.compute == halfway::dtype::float16});
  }
  return runs;
}

void keep_first(labelled_images& images, std::size_t count) {
  count = std::min(count, images.size());
  images.pixels.resize(count * image_bytes);
  images.labels.resize(count);
}

experiment run_all(const options& o, const std::vector<run_settings>& runs,
                   const fashion_mnist& data) {
  experiment e;
  e.settings = o.settings;
  e.train_images = data.train.size();
  e.test_images = data.test.size();
  e.planned_steps = step_count(o.settings, data.train.size());
  e.simd_target = simd_target();
  std::cout << "Fashion-MNIST: " << e.train_images << " training images, " << e.test_images
            << " test images; " << e.planned_steps << " steps of " << o.settings.batch
            << " images; " << e.simd_target << ", one thread\n"
            << std::flush;

  progress display(std::cout, progress::can_redraw());
  for (const run_settings& run : runs)
    e.runs.push_back({train(run, o.settings, data, display), {}});
  e.runs.push_back({quantize_and_evaluate(e.runs.front().result, o.settings, data), {}});
  for (compared_run& run : e.runs)
    run.with_fp32 = compare(run.result.logits, e.runs.front().result.logits, data.test.labels);
  return e;
}

void run_program(options o) {
  const std::vector<run_settings> runs = planned_runs(o);
  fashion_mnist data = read_fashion_mnist(o.data);
  if (o.quick) {
    keep_first(data.train, 2048);
    keep_first(data.test, 512);
    o.settings.epochs = 1;
    o.settings.batch = std::min<std::size_t>(o.settings.batch, 128);
  }
  if (o.settings.batch > data.train.size()) {
    halfway::fail("--batch " + std::to_string(o.settings.batch) + " is more than the " +
                  std::to_string(data.train.size()) + " training images");
  }
  std::filesystem::create_directories(o.out);

  const experiment e = run_all(o, runs, data);
  const std::filesystem::path out = std::filesystem::absolute(o.out);
  std::string problem;
  const std::vector<report::figure> figures = draw_figures(e, o.gnuplot, out.string(), problem);
  examples::write_file(out / "summary.json", to_json(e));
  examples::write_file(out / "report.html", to_html(e, figures, problem));

  std::cout << '\n' << report::to_text(cells(e)) << '\n';
  const std::string why = explain_unscaled_fp16(e);
  if (!why.empty()) std::cout << why << "\n\n";
  if (!problem.empty()) std::cout << problem << '\n';
  std::cout << "Report:  " << (out / "report.html").string() << '\n'
            << "Summary: " << (out / "summary.json").string() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Trains one network in several precisions and compares them.",
               "mixed_precision_training");
  add_options(app, o);
  return examples::run(app, argc, argv, [&] { run_program(o); });
}
