// SPDX-License-Identifier: Apache-2.0
// Trains a small transformer on English text, then compares what it predicts in FP32, in narrow types
// everywhere, under autocast, with the types that a precision search finds, and with types that adapt.
//
//   cmake --preset demo && cmake --build --preset demo --target demo_precision_search
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "adaptation.h"
#include "data/fortunes.h"
#include "engine.h"
#include "evaluation.h"
#include "halfway/precision/plan_text.h"
#include "halfway/precision/search.h"
#include "halfway/precision/search_report.h"
#include "model.h"
#include "program.h"
#include "searching.h"
#include "text_output.h"
#include "training.h"

namespace {

using namespace language;

struct settings {
  training_settings training;
  stream_settings stream;
  std::string data = "/usr/share/games/fortunes";
  std::string out = "precision_search_report";
  double sqnr = 40;               // the budget, in decibels
  std::size_t evaluations = 400;  // assignments that each search may measure
  std::size_t held_out = 8;       // batches to judge by
  std::size_t windows = 16;       // a batch
  std::size_t calibration = 8;    // windows of training text to search by
  float residuals = 64;           // how much larger in the second table
  float loud = 1e5f;              // past FP16's range, 65504
  int turns = 30;                 // to time each variant
  bool quick = false;
};

void add_options(CLI::App& app, settings& s) {
  const auto at_least_1 = CLI::Range(std::size_t{1}, std::size_t{1000000});
  app.add_option("--steps", s.training.steps, "Of training")
      ->check(at_least_1)
      ->capture_default_str();
  app.add_option("--seed", s.training.seed, "Of the weights and of where the windows lie")
      ->capture_default_str();
  app.add_option("--sqnr", s.sqnr, "Decibels that the searches have to keep")
      ->capture_default_str();
  app.add_option("--evaluations", s.evaluations, "Assignments that a search may measure")
      ->check(at_least_1)
      ->capture_default_str();
  app.add_option("--data", s.data, "Folder of the collections of sayings")->capture_default_str();
  app.add_option("--out", s.out, "Folder for summary.json, front.svg, plan.dot and more")
      ->capture_default_str();
  app.add_flag("--quick", s.quick, "A few seconds with little training, to see that it runs");
}

void be_quick(settings& s) {
  s.training.steps = std::min<std::size_t>(s.training.steps, 60);
  s.training.windows = 8;
  s.evaluations = std::min<std::size_t>(s.evaluations, 90);
  s.held_out = 2;
  s.windows = s.stream.windows = 4;
  s.calibration = 2;
  s.turns = 3;
}

void print_heading(const std::string& text) { std::cout << "\n" << text << "\n\n" << std::flush; }

trained_model train_with_progress(const corpus& text, const settings& s) {
  std::cout << text.train.size() << " characters to learn from, " << text.held_out.size()
            << " held out; their unigram entropy is "
            << number(unigram_entropy(text.train, text.held_out), 3) << " nats\n"
            << model_layout().size() << " parameters, " << s.training.steps << " steps of "
            << s.training.windows * context << " characters\n";
  trained_model model = train(text.train, s.training, [&](std::size_t step, float loss) {
    const std::size_t every = std::max<std::size_t>(1, s.training.steps / 10);
    if (step % every == 0)
      std::cout << "  step " << step << ": " << number(static_cast<double>(loss), 3) << "\n"
                << std::flush;
  });
  std::cout << "trained in " << number(model.seconds, 1) << " s, the last tenth to a loss of "
            << number(model.loss, 3) << " nats\n";
  return model;
}

// By bytes alone, which a second run finds again, and by bytes and time as this machine measures it.
std::vector<std::pair<std::string, found_types>> search_both(const trained_model& model,
                                                             const corpus& text,
                                                             const settings& s) {
  const std::vector<windows> calibration = {
      windows_in_order(text.train, 0, s.calibration, context)};
  std::vector<std::pair<std::string, found_types>> found;
  for (const auto& [name, time_weight] :
       {std::pair("searched, small", 0.0), std::pair("searched, small and fast", 0.5)}) {
    found.emplace_back(name, search_types(model.parameters, calibration,
                                          {.budget = halfway::sqnr_budget(s.sqnr),
                                           .time_weight = time_weight,
                                           .max_evaluations = s.evaluations},
                                          s.quick ? 1 : 3));
    const found_types& f = found.back().second;
    std::cout << name << ": " << f.result.evaluations() << " assignments measured in "
              << number(f.seconds, 1) << " s, " << f.result.front().size()
              << " of them on the Pareto front\n"
              << std::flush;
  }
  std::vector<std::vector<std::string>> lines = {{"layer", found[0].first, found[1].first}};
  const auto& units = found[0].second.result.units();
  for (std::size_t u = 0; u < units.size(); ++u) {
    lines.push_back({units[u].name});
    for (const auto& f : found)
      lines.back().emplace_back(halfway::name(f.second.result.best().types[u]));
  }
  std::cout << '\n' << aligned(lines);
  return found;
}

void run_program(settings s) {
  if (s.quick) be_quick(s);
  const corpus text = read_fortunes(s.data);
  std::filesystem::create_directories(s.out);
  const std::filesystem::path out = std::filesystem::absolute(s.out);

  const trained_model model = train_with_progress(text, s);

  print_heading("Search for the cheapest types within " + number(s.sqnr, 0) +
                " dB of FP32, on training text:");
  const auto found = search_both(model, text, s);

  print_heading("A stream of text, from FP8 on; unknown characters have embeddings of magnitude " +
                number(static_cast<double>(s.loud), 0) + ", which is put there by hand:");
  const model_layout layout;
  const stream_result stream =
      run_stream(with_loud_unknown(layout, model.parameters, s.loud), text.held_out, s.stream);
  std::cout << to_text(stream);

  const engine judge(s.windows, model.parameters);
  std::vector<variant> variants = usual_variants(judge.graph());
  for (const auto& [name, f] : found) variants.push_back({name, f.assignment});
  variants.push_back({"adaptive, as settled", stream.settled});
  std::vector<windows> held_out;
  for (std::size_t b = 0; b < s.held_out; ++b)
    held_out.push_back(windows_in_order(text.held_out, b * s.windows, s.windows, context));

  print_heading("On " + std::to_string(s.held_out * s.windows * context) +
                " characters of held-out text, the model as trained:");
  const std::vector<table_row> trained = compare(model.parameters, variants, held_out, s.turns);
  std::cout << to_table(trained);

  print_heading("The same function by other parameters, whose residual stream is " +
                number(static_cast<double>(s.residuals), 0) + " times as large:");
  const std::vector<float> larger = with_larger_residuals(layout, model.parameters, s.residuals);
  variants.back().assignment = settled_types(larger, text.held_out, s.stream);
  const std::vector<table_row> scaled = compare(larger, variants, held_out, s.turns);
  std::cout
      << to_table(scaled)
      << "\n\"and inside\": softmax, norms and their sums in FP16, too, by kernels that are not "
         "worth timing.\n\"not finite\": predictions lost.\n";

  const std::string summary =
      "{\n  \"training_loss\": " + json_number(model.loss) +
      ",\n  \"unigram_entropy\": " + json_number(unigram_entropy(text.train, text.held_out)) +
      ",\n  \"trained\": " + to_json(trained) + ",\n  \"larger_residuals\": " + to_json(scaled) +
      ",\n  \"stream\": " + to_json(stream) + "\n}\n";
  examples::write_file(out / "summary.json", summary);
  const std::vector<std::string> names = {"small", "small_and_fast"};
  for (std::size_t f = 0; f < found.size(); ++f) {
    const found_types& types = found[f].second;
    examples::write_file(out / ("front_" + names[f] + ".json"), halfway::to_json(types.result));
    examples::write_file(out / ("front_" + names[f] + ".svg"), halfway::to_svg(types.result));
    const auto plan = halfway::make_plan(judge.graph(), types.assignment);
    examples::write_file(out / ("plan_" + names[f] + ".txt"),
                         halfway::to_string(plan, judge.graph()));
    examples::write_file(out / ("plan_" + names[f] + ".dot"), halfway::to_dot(plan, judge.graph()));
  }
  std::cout << "summary.json, Pareto fronts (front_*.json, .svg) and plans (plan_*.txt, .dot): "
            << out.string() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  CLI::App app("Compares a transformer's predictions in several precisions.", "precision_search");
  add_options(app, s);
  return examples::run(app, argc, argv, [&] { run_program(s); });
}
