// SPDX-License-Identifier: Apache-2.0
// Runs one trained network in FP32, FP16, BF16, INT8 and INT4 on this machine, and says which of them
// to serve it in: the cheapest that is proven to keep what is asked for.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "measurement.h"
#include "mixed_precision_training/training.h"
#include "model.h"
#include "output.h"
#include "program.h"
#include "recommendation.h"

namespace {

using namespace trade_off;

struct options {
  std::string data = "/usr/share/datasets/fashion-mnist";
  std::string out = "trade_off_report";
  std::string gnuplot = "gnuplot";
  std::string weights, save_weights;
  std::size_t epochs = 6;
  std::uint64_t seed = 1;
  timing timed;
  double min_agreement = -1, max_accuracy_drop = -1, max_latency = -1;  // negative: not asked for
  double confidence = 0.95;
  price cost{0, "USD"};
  bool json = false, quick = false;
};

void add_options(CLI::App& app, options& o) {
  app.add_option("--data", o.data, "Folder of the Fashion-MNIST files")->capture_default_str();
  app.add_option("--out", o.out, "Folder for summary.json and report.html")->capture_default_str();
  app.add_option("--gnuplot", o.gnuplot, "The program that draws the figures")
      ->capture_default_str();
  auto* weights = app.add_option("--weights", o.weights,
                                 "A safetensors file with the network, which is trained otherwise");
  app.add_option("--save-weights", o.save_weights, "Where to write the trained network to")
      ->excludes(weights);
  app.add_option("--epochs", o.epochs, "Of the training")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "Of the training")->capture_default_str();
  app.add_option("--batch", o.timed.batch, "Images of an inference")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--seconds", o.timed.seconds, "Of measuring, for all ways together")
      ->check(CLI::Range(0.1, 36000.0))
      ->capture_default_str();
  app.add_option("--min-agreement", o.min_agreement, "Share of images with FP32's class, as 0.99")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--max-accuracy-drop", o.max_accuracy_drop,
                 "Below FP32's, as 0.005 for half a point; 0.01 if nothing is asked for")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--max-latency", o.max_latency, "Milliseconds of a batch that 99% do not exceed")
      ->check(CLI::PositiveNumber);
  app.add_option("--confidence", o.confidence, "Of each statement")
      ->check(CLI::Range(0.5, 0.9999))
      ->capture_default_str();
  app.add_option("--price-per-hour", o.cost.per_hour,
                 "Of one core: the machine's price divided by its cores")
      ->check(CLI::PositiveNumber);
  app.add_option("--currency", o.cost.currency, "Of the price")->capture_default_str();
  app.add_flag("--json", o.json, "JSON on standard output instead of text");
  app.add_flag("--quick", o.quick, "A few seconds on a part of the data, to see that it runs");
}

void keep_first(demo::labelled_images& images, std::size_t count) {
  count = std::min(count, images.size());
  images.pixels.resize(count * demo::image_bytes);
  images.labels.resize(count);
}

objectives wanted(const options& o) {
  objectives w;
  w.confidence = o.confidence;
  if (o.min_agreement >= 0) w.min_agreement = o.min_agreement;
  if (o.max_accuracy_drop >= 0) w.max_accuracy_drop = o.max_accuracy_drop;
  if (o.max_latency >= 0) w.max_p99 = o.max_latency / 1e3;
  if (!w.min_agreement && !w.max_accuracy_drop && !w.max_p99) w.max_accuracy_drop = 0.01;
  return w;
}

bool run_program(options o) {
  demo::fashion_mnist data = demo::read_fashion_mnist(o.data);
  if (o.quick) {
    keep_first(data.train, 4096);
    keep_first(data.test, 1024);
    o.epochs = 1;
    o.timed.seconds = std::min(o.timed.seconds, 0.5);
  }
  if (o.timed.batch > data.test.size()) {
    halfway::fail("--batch " + std::to_string(o.timed.batch) + " is more than the " +
                  std::to_string(data.test.size()) + " test images");
  }
  study s;
  model m;
  if (o.weights.empty()) {
    m = train(data, o.epochs, o.seed, o.json ? std::cerr : std::cout);
    s.weights = "trained here in FP32, seed " + std::to_string(o.seed);
    if (!o.save_weights.empty()) write_model(m, o.save_weights);
  } else {
    m = read_model(o.weights);
    s.weights = o.weights;
  }
  std::filesystem::create_directories(o.out);

  s.simd_target = demo::simd_target();
  s.timed = o.timed;
  s.wanted = wanted(o);
  if (o.cost.per_hour > 0) s.cost = o.cost;
  s.ways =
      measure(store_in_every_way(m, o.timed.batch, data.train), data.test, o.timed, o.confidence);
  const std::vector<measured_row> rows(s.ways.begin(), s.ways.end());
  s.result = recommend(rows, s.wanted);

  const std::filesystem::path out = std::filesystem::absolute(o.out);
  std::string problem;
  const auto figures = draw_figures(s, o.gnuplot, out.string(), problem);
  examples::write_file(out / "summary.json", to_json(s));
  examples::write_file(out / "report.html", to_html(s, figures, problem));
  if (o.json) {
    std::cout << to_json(s);
  } else {
    std::cout << '\n' << to_text(s) << '\n';
    if (!problem.empty()) std::cout << problem << '\n';
    std::cout << "Report:  " << (out / "report.html").string() << '\n'
              << "Summary: " << (out / "summary.json").string() << '\n';
  }
  return s.result.row.has_value();
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app(
      "Measures one network in several precisions on this machine and says which one to serve it "
      "in. Returns 1 where it recommends none.",
      "trade_off");
  add_options(app, o);
  return examples::run(app, argc, argv, [&] { return run_program(o); });
}
