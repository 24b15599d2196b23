// SPDX-License-Identifier: Apache-2.0
// Trains three networks on real data in FP32 and in four ways of mixed precision, from several seeds
// each, and reports whether they end where FP32 ends.
//
//   cmake --preset demo && cmake --build --preset demo --target demo_convergence
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "experiment.h"
#include "halfway/simd/dispatch.h"
#include "plots.h"
#include "program.h"
#include "report/page.h"

namespace {

using namespace convergence;

struct options {
  std::string images = "/usr/share/datasets/fashion-mnist";
  std::string text = "/usr/share/games/fortunes";
  std::string out = "convergence_report";
  std::string gnuplot = "gnuplot";
  std::size_t seeds = 3;
  bool quick = false;
};

void add_options(CLI::App& app, options& o) {
  app.add_option("--images", o.images, "Folder of the Fashion-MNIST files")->capture_default_str();
  app.add_option("--text", o.text, "Folder of the collections of sayings")->capture_default_str();
  app.add_option("--out", o.out, "Folder for summary.json and report.html")->capture_default_str();
  app.add_option("--gnuplot", o.gnuplot, "The program that draws the figures")
      ->capture_default_str();
  app.add_option("--seeds", o.seeds, "Trainings of each kind")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_flag("--quick", o.quick, "A few seconds, to see that it runs");
}

std::vector<task> all_tasks(bool quick) {
  std::vector<task> tasks = {
      {network::mlp, "MLP, Fashion-MNIST", "accuracy", true, 940, 128, 1e-3},
      {network::cnn, "CNN, Fashion-MNIST", "accuracy", true, 300, 128, 2e-3},
      {network::transformer, "Transformer, fortunes", "nats/character", false, 400, 16, 5e-3}};
  if (quick) {
    for (task& t : tasks) {
      t.steps = 8;
      t.batch = t.kind == network::transformer ? 2 : 16;
    }
  }
  return tasks;
}

// Few test images and little text, so that evaluation takes no longer than training.
void shorten(data& d) {
  constexpr std::size_t images = 200;
  d.images.test.pixels.resize(images * demo::image_bytes);
  d.images.test.labels.resize(images);
}

experiment run_all(const options& o, const data& d) {
  experiment e;
  e.simd_target = halfway::simd_target_name();
  for (std::uint64_t s = 1; s <= o.seeds; ++s) e.seeds.push_back(s);
  for (const task& t : all_tasks(o.quick)) {
    task_runs all{t, {}, {}};
    for (const recipe& r : all_recipes()) {
      recipe_runs runs{r, {}};
      for (const std::uint64_t seed : e.seeds) {
        gradient_census census;
        const bool counts = r.compute == compute_kind::float32;
        runs.runs.push_back(train(t, r, seed, d, counts ? &census : nullptr));
        all.census.merge(census);
        std::cout << '.' << std::flush;
      }
      all.recipes.push_back(std::move(runs));
    }
    std::cout << "\n\n"
              << report::to_text(cells(all)) << '\n'
              << report::to_text(underflow_cells(all)) << '\n'
              << std::flush;
    e.tasks.push_back(std::move(all));
  }
  return e;
}

std::string to_html(const experiment& e, const std::vector<report::figure>& figures,
                    const std::string& problem) {
  report::page page(
      "Where mixed precision ends",
      "Three networks on real data, each trained in FP32 and in four other ways from " +
          std::to_string(e.seeds.size()) +
          " seeds. Within: on average no worse than FP32 by more than FP32's own seeds "
          "differ. Kernels: " +
          e.simd_target + ", one thread.");
  for (const task_runs& t : e.tasks) {
    page.add_table(cells(t));
    page.add_table(underflow_cells(t));
  }
  page.add_note(problem);
  page.add_figures(figures);
  return page.html();
}

void run_program(const options& o) {
  data d{demo::read_fashion_mnist(o.images), language::read_fortunes(o.text)};
  if (o.quick) shorten(d);
  std::filesystem::create_directories(o.out);
  const experiment e = run_all(o, d);
  const std::filesystem::path out = std::filesystem::absolute(o.out);
  std::string problem;
  const std::vector<report::figure> figures = draw_figures(e, o.gnuplot, out.string(), problem);
  examples::write_file(out / "summary.json", to_json(e));
  examples::write_file(out / "report.html", to_html(e, figures, problem));
  if (!problem.empty()) std::cout << problem << '\n';
  std::cout << "Report:  " << (out / "report.html").string() << '\n'
            << "Summary: " << (out / "summary.json").string() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app(
      "Trains networks in several precisions from several seeds and compares where they end.",
      "convergence");
  add_options(app, o);
  return examples::run(app, argc, argv, [&] { run_program(o); });
}
