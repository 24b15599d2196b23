// SPDX-License-Identifier: Apache-2.0
// Compares two safetensors files, recorded outputs or weights, and says by its exit code whether the
// candidate keeps its objectives:
//
//   validate_precision --baseline fp32.safetensors --candidate bf16.safetensors --slo slo.json
//       [--data labels.safetensors] [--timings seconds.json] [--junit result.xml]
//
//   0  every objective is met
//   1  one is missed: a table says which and where
//   2  bad input: nothing was decided
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "halfway/io/safetensors.h"
#include "junit.h"
#include "number_text.h"
#include "program.h"
#include "report/page.h"
#include "slo.h"
#include "validation.h"

namespace {

using namespace validate;

struct options {
  std::string baseline, candidate, slo, data, timings, junit;
};

report::table tensors_table(const validation& v) {
  report::table t = {{"tensor", "elements", "SQNR dB", "cosine", "RMSE", "max error", "max ulps",
                      "broken", "excluded"}};
  for (const halfway::layer_comparison& layer : v.runs.layers()) {
    const halfway::comparison& c = layer.values;
    t.push_back({layer.name, std::to_string(layer.elements), number_text(c.sqnr_db()),
                 number_text(c.cosine()), number_text(c.rmse()),
                 number_text(c.max_absolute_error()), number_text(c.max_ulps()),
                 std::to_string(c.broken()), std::to_string(c.excluded())});
  }
  return t;
}

report::table missed_table(const std::vector<verdict>& verdicts) {
  report::table t = {{"missed by", "objective", "measured"}};
  for (const verdict& v : verdicts) {
    if (!v.met) t.push_back({v.where, v.objective, v.measured});
  }
  return t;
}

// Whether every objective is met.
bool run_program(const options& o) {
  const slo objectives = read_slo(o.slo);
  const halfway::safetensors_file baseline(o.baseline), candidate(o.candidate);
  std::optional<halfway::safetensors_file> data;
  if (!o.data.empty()) data.emplace(o.data);
  validation v = compare(baseline, candidate, objectives, data ? &*data : nullptr);
  if (objectives.latency.empty() != o.timings.empty()) {
    throw std::runtime_error(o.timings.empty() ? o.slo + ": latency needs --timings"
                                               : "--timings needs latency in " + o.slo);
  }
  if (!o.timings.empty()) {
    const std::vector<double> timings = read_timings(o.timings);
    for (const latency_rule& rule : objectives.latency) {
      v.verdicts.push_back(judge_latency(timings, rule));
    }
  }
  if (!o.junit.empty()) examples::write_file(o.junit, junit(v.verdicts));

  std::cout << report::to_text(tensors_table(v)) << '\n';
  if (v.nan_origin) std::cout << "The first NaN or infinity is " << *v.nan_origin << '\n';
  if (v.parted) std::cout << "The runs part at " << *v.parted << '\n';
  const auto missed = std::ranges::count_if(v.verdicts, [](const verdict& d) { return !d.met; });
  if (missed != 0) std::cout << '\n' << report::to_text(missed_table(v.verdicts)) << '\n';
  std::cout << missed << " of " << v.verdicts.size() << " objectives missed\n";
  return missed == 0;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Compares two safetensors files against objectives of fidelity.",
               "validate_precision");
  app.add_option("--baseline", o.baseline, "Tensors that are right")->required();
  app.add_option("--candidate", o.candidate, "Tensors of the same names and shapes")->required();
  app.add_option("--slo", o.slo, "Objectives (JSON; docs/fidelity.md)")->required();
  app.add_option("--data", o.data, "The right choices of logits: integers under their names");
  app.add_option("--timings", o.timings, "The candidate's latencies, an array (JSON)");
  app.add_option("--junit", o.junit, "Where to write JUnit XML");
  return examples::run(app, argc, argv, [&] { return run_program(o); });
}
