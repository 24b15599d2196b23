// SPDX-License-Identifier: Apache-2.0
#include "evaluation.h"

#include <cmath>
#include <utility>

#include "halfway/precision/policy.h"
#include "model.h"
#include "model_graph.h"
#include "text_output.h"

namespace language {

using halfway::dtype;

void fidelity::add(const model_outputs& baseline, const model_outputs& outputs,
                   const windows& batch) {
  values_.add(baseline.logits.elements(), outputs.logits.elements());
  rows_.add(baseline.logits, outputs.logits);
  for (std::size_t i = 0; i < batch.next.size(); ++i) {
    nats_ -=
        static_cast<double>(outputs.log_probabilities(i, static_cast<std::size_t>(batch.next[i])));
  }
  predictions_ += batch.next.size();
}

double fidelity::sqnr_db() const {
  return values_.broken() != 0 ? std::numeric_limits<double>::quiet_NaN() : values_.sqnr_db();
}

double fidelity::perplexity() const { return std::exp(nats_ / static_cast<double>(predictions_)); }

std::vector<variant> usual_variants(const halfway::graph& g) {
  const auto everywhere = [&](dtype type) {
    halfway::precision_assignment a = halfway::assign_all(g, type);
    a.output = type;  // logits too
    return a;
  };
  return {{"FP32", everywhere(dtype::float32)},
          {"FP16 everywhere, and inside", everywhere(dtype::float16), true},
          {"FP16 everywhere", everywhere(dtype::float16)},
          {"FP8 everywhere", everywhere(dtype::float8_e4m3fn)},
          {"autocast FP16", halfway::assign(g, halfway::amp_fp16)},
          {"autocast BF16", halfway::assign(g, halfway::amp_bf16)}};
}

double activation_bytes(const halfway::precision_plan& plan) {
  std::size_t bytes = 0;
  for (const halfway::plan_step& step : plan.steps)
    for (const std::size_t t : step.writes) bytes += plan.tensors[t].bytes;
  return static_cast<double>(bytes);
}

std::vector<table_row> compare(std::span<const float> parameters, std::span<const variant> variants,
                               std::span<const windows> held_out, int turns) {
  const std::size_t count = held_out[0].tokens.size() / context;
  engine library(count, parameters), by_half(count, parameters, true);
  std::vector<halfway::precision_plan> plans;
  for (const variant& v : variants)
    plans.push_back(halfway::make_plan(library.graph(), v.assignment));

  std::vector<table_row> rows;
  std::vector<model_outputs> baseline;
  for (const windows& batch : held_out) baseline.push_back(library.run(plans[0], batch.tokens));
  for (std::size_t v = 0; v < variants.size(); ++v) {
    table_row row;
    row.name = variants[v].name;
    row.weight_bytes = static_cast<double>(plans[v].parameter_bytes);
    row.activation_bytes = activation_bytes(plans[v]) / static_cast<double>(library.rows());
    // The operations in half are one for one those of the library, but have no other type for the
    // engine than FP32.
    halfway::precision_plan plan = plans[v];
    if (variants[v].in_half) {
      halfway::precision_assignment a = halfway::assign_all(by_half.graph(), dtype::float16);
      a.output = dtype::float16;
      plan = halfway::make_plan(by_half.graph(), a);
    }
    engine& used = variants[v].in_half ? by_half : library;
    for (std::size_t b = 0; b < held_out.size(); ++b)
      row.figures.add(baseline[b], used.run(plan, held_out[b].tokens), held_out[b]);
    rows.push_back(std::move(row));
  }
  const std::vector<double> seconds = library.seconds(plans, held_out[0].tokens, turns);
  for (std::size_t v = 0; v < variants.size(); ++v) {
    if (!variants[v].in_half)  // whose kernels are scalar, which says nothing about the type
      rows[v].microseconds = seconds[v] * 1e6 / static_cast<double>(library.rows());
  }
  return rows;
}

std::string to_table(std::span<const table_row> rows) {
  std::vector<std::vector<std::string>> lines = {{"", "SQNR dB", "top-1", "perplexity",
                                                  "not finite", "weights KB", "act. B/token",
                                                  "us/token"}};
  for (const table_row& r : rows) {
    const fidelity& f = r.figures;
    lines.push_back({r.name, number(f.sqnr_db(), 1), number(100 * f.top1_agreement(), 2) + "%",
                     number(f.perplexity(), 3), std::to_string(f.broken()),
                     number(r.weight_bytes / 1024, 1), number(r.activation_bytes, 0),
                     number(r.microseconds, 2)});
  }
  return aligned(lines);
}

std::string to_json(std::span<const table_row> rows) {
  std::string text = "[";
  for (const table_row& r : rows) {
    const fidelity& f = r.figures;
    text += text.size() == 1 ? "\n    {" : ",\n    {";
    text += "\"name\": \"" + r.name + "\", \"sqnr_db\": " + json_number(f.sqnr_db()) +
            ", \"top1_agreement\": " + json_number(f.top1_agreement()) +
            ", \"perplexity\": " + json_number(f.perplexity()) +
            ", \"not_finite\": " + std::to_string(f.broken()) +
            ", \"weight_bytes\": " + json_number(r.weight_bytes) +
            ", \"activation_bytes_per_token\": " + json_number(r.activation_bytes) +
            ", \"microseconds_per_token\": " + json_number(r.microseconds) + "}";
  }
  return text + "\n  ]";
}

}  // namespace language
