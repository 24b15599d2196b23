// SPDX-License-Identifier: Apache-2.0
// Trains two networks on Fashion-MNIST in FP32, stores them in a dozen ways from bfloat16 to 4 bits,
// and reports accuracy, bytes and speed of each.
//
//   cmake --preset demo && cmake --build --preset demo --target demo_quantization
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "architecture.h"
#include "data/images.h"
#include "evaluation.h"
#include "halfway/simd/dispatch.h"
#include "program.h"
#include "report/gnuplot.h"
#include "schemes.h"
#include "training.h"

namespace {

using namespace quantization;

struct options {
  std::string data = "/usr/share/datasets/fashion-mnist";
  std::string out = "quantization_report";
  std::string gnuplot = "gnuplot";
  bool quick = false;
};

// Accuracy against bytes, a point for each way.
std::string plot_of(const network_evaluations& n, const std::string& name) {
  std::string script, plot;
  for (std::size_t i = 0; i < n.ways.size(); ++i) {
    const evaluation& e = n.ways[i];
    const std::string block = '$' + name + std::to_string(i);
    script += block + " << EOD\n" + report::number(static_cast<double>(e.bytes) / 1024) + ' ' +
              report::number(100 * e.accuracy) + "\nEOD\n";
    plot += (i == 0 ? "" : ", ") + block + " using 1:2 with points pt " +
            std::to_string(4 + i % 10) + " ps 1.1 lc " + report::colour(i) + " title " +
            report::quoted(e.name);
  }
  return script + "set output '" + name + ".svg'\nplot " + plot + '\n';
}

std::vector<report::figure> draw_figures(const std::vector<network_evaluations>& all,
                                         const std::string& gnuplot, const std::string& folder,
                                         std::string& problem) {
  std::string script = report::gnuplot_style() +
                       "set terminal svg size 560,420 dynamic font 'sans-serif,13'\n"
                       "set key outside bottom left horizontal maxrows 5 width 0\n"
                       "set xlabel 'KiB of weights'\nset ylabel 'test accuracy'\n"
                       "set format y '%g%%'\nset xrange [0:*]\nset offsets 0,0,0.2,0.2\n";
  std::vector<report::figure> figures;
  for (const network_evaluations& n : all) {
    script += plot_of(n, n.name);
    figures.push_back({n.name, n.name + ": accuracy and bytes",
                       "Up and to the left is better. Accuracy on the test images."});
  }
  return report::draw(script, std::move(figures), gnuplot, folder, problem);
}

network_evaluations run_network(network n, const demo::fashion_mnist& data, bool quick) {
  training_settings settings;
  settings.steps = quick ? 20 : 900;
  train(n, data.train, settings);
  network tuned = n;
  settings.steps /= 4;
  settings.learning_rate /= 4;
  settings.seed = 2;
  const auto params = train_for_int8(tuned, data.train, settings);
  const demo::labelled_batch calibration = take_first(data.train, quick ? 128 : 1024);
  const auto ways = store_in_every_way(n, calibration.pixels.view(), tuned, params);
  const demo::labelled_batch test = take_first(data.test, quick ? 200 : data.test.size());
  return evaluate(ways, test, 256, quick ? 1 : 5);
}

void run_program(const options& o) {
  const demo::fashion_mnist data = demo::read_fashion_mnist(o.data);
  std::filesystem::create_directories(o.out);
  std::vector<network_evaluations> all;
  for (const network& n : {mlp(), cnn()}) {
    all.push_back(run_network(n, data, o.quick));
    std::cout << report::to_text(cells(all.back())) << '\n'
              << report::to_text(stage_cells(all.back())) << '\n'
              << std::flush;
  }
  const std::filesystem::path out = std::filesystem::absolute(o.out);
  std::string problem;
  const auto figures = draw_figures(all, o.gnuplot, out.string(), problem);
  report::page page(
      "Quantization with halfway",
      std::string("Two networks that were trained in FP32 on Fashion-MNIST, stored in "
                  "fewer bits. Weights have a scale for each output channel (int8), or "
                  "for 32 inputs of each. Kernels: ") +
          halfway::simd_target_name() + ", one thread, batches of 256 images.");
  for (const network_evaluations& n : all) {
    page.add_table(cells(n));
    page.add_table(stage_cells(n));
  }
  page.add_note(problem);
  page.add_figures(figures);
  examples::write_file(out / "summary.json", to_json(all));
  examples::write_file(out / "report.html", page.html());
  if (!problem.empty()) std::cout << problem << '\n';
  std::cout << "Report:  " << (out / "report.html").string() << '\n'
            << "Summary: " << (out / "summary.json").string() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Stores trained networks in fewer bits and reports what that costs.",
               "quantization");
  app.add_option("--data", o.data, "Folder of the Fashion-MNIST files")->capture_default_str();
  app.add_option("--out", o.out, "Folder for summary.json and report.html")->capture_default_str();
  app.add_option("--gnuplot", o.gnuplot, "The program that draws the figures")
      ->capture_default_str();
  app.add_flag("--quick", o.quick, "A few seconds, to see that it runs");
  return examples::run(app, argc, argv, [&] { run_program(o); });
}
