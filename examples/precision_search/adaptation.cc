// SPDX-License-Identifier: Apache-2.0
#include "adaptation.h"

#include <algorithm>
#include <utility>

#include "engine.h"
#include "halfway/precision/assignment.h"
#include "halfway/precision/plan.h"
#include "model.h"
#include "text_output.h"

namespace language {

using halfway::dtype;

halfway::adaptive_options adaptation_options() {
  return {.ladder = {dtype::float8_e4m3fn, dtype::float16, dtype::bfloat16, dtype::float32},
          .min_sqnr_db = 25,
          .quiet_calls = 32};
}

stream_result run_stream(std::span<const float> parameters, std::span<const std::int32_t> held_out,
                         const stream_settings& settings) {
  constexpr std::size_t shadow_every = 16;
  engine fixed(settings.windows, parameters);
  adaptive_engine adaptive(settings.windows, parameters, adaptation_options(), shadow_every);
  const halfway::precision_plan baseline =
      halfway::make_plan(fixed.graph(), halfway::assign_all(fixed.graph(), dtype::float32));
  halfway::precision_assignment everywhere = halfway::assign_all(fixed.graph(), dtype::float16);
  everywhere.output = dtype::float16;
  const halfway::precision_plan in_half = halfway::make_plan(fixed.graph(), everywhere);

  stream_result result;
  const std::size_t in_text = held_out.size() / (context * settings.windows) - 1;
  std::size_t batch = 0;
  const auto run_part = [&](std::string name, std::size_t batches, bool shifted) {
    stream_part part{std::move(name), {}, {}};
    for (std::size_t end = batch + batches; batch < end; ++batch) {
      windows text =
          windows_in_order(held_out, batch % in_text * settings.windows, settings.windows, context);
      // One in each window, at another place in each.
      for (std::size_t w = 0; shifted && w < settings.windows; ++w)
        text.tokens[w * context + (7 * w + batch) % context] = unknown;
      const model_outputs exact = fixed.run(baseline, text.tokens);
      part.fixed.add(exact, fixed.run(in_half, text.tokens), text);
      part.adaptive.add(exact, adaptive.run(text.tokens), text);
    }
    result.parts.push_back(std::move(part));
  };
  run_part("usual text", settings.usual, false);
  result.settled = adaptive.plan().assignment;
  run_part("with unknown characters", settings.shifted, true);
  run_part("usual text again", settings.after, false);

  const halfway::adaptive_precision& precision = adaptive.precision();
  result.log.assign(precision.log().begin(), precision.log().end());
  result.layers = precision.size();
  result.runs = batch;
  result.shadow_runs = adaptive.shadow_runs();
  result.redone_runs = adaptive.redone_runs();
  return result;
}

halfway::precision_assignment settled_types(std::span<const float> parameters,
                                            std::span<const std::int32_t> held_out,
                                            stream_settings settings) {
  settings.shifted = settings.after = 0;
  return run_stream(parameters, held_out, settings).settled;
}

std::string to_text(const stream_result& r) {
  std::vector<std::vector<std::string>> lines = {
      {"", "FP16: SQNR dB", "top-1", "not finite", "adaptive: SQNR dB", "top-1", "not finite"}};
  for (const stream_part& p : r.parts) {
    lines.push_back({p.name});
    for (const fidelity* f : {&p.fixed, &p.adaptive}) {
      lines.back().push_back(number(f->sqnr_db(), 1));
      lines.back().push_back(number(100 * f->top1_agreement(), 2) + "%");
      lines.back().push_back(std::to_string(f->broken()));
    }
  }
  std::string text = aligned(lines) + "\n" + std::to_string(r.log.size()) + " switches of " +
                     std::to_string(r.layers) + " layers in " + std::to_string(r.runs) +
                     " runs, of which " + std::to_string(r.shadow_runs) +
                     " also in FP32; batches run again: " + std::to_string(r.redone_runs) + "\n";
  for (const halfway::precision_switch& s : r.log) text += "  " + halfway::to_string(s) + "\n";
  return text;
}

std::string to_json(const stream_result& r) {
  std::string text = "{\"parts\": [";
  for (const stream_part& p : r.parts) {
    text += (&p == r.parts.data() ? "{\"name\": \"" : ", {\"name\": \"") + p.name + "\"";
    for (const auto& [name, f] : {std::pair("fixed", &p.fixed), std::pair("adaptive", &p.adaptive)})
      text += std::string(", \"") + name + "\": {\"sqnr_db\": " + json_number(f->sqnr_db()) +
              ", \"top1_agreement\": " + json_number(f->top1_agreement()) +
              ", \"not_finite\": " + std::to_string(f->broken()) + "}";
    text += "}";
  }
  text += "], \"switches\": [";
  for (const halfway::precision_switch& s : r.log) {
    text += (&s == r.log.data() ? "{\"layer\": \"" : ", {\"layer\": \"") + s.layer +
            "\", \"call\": " + std::to_string(s.call) + ", \"from\": \"" +
            std::string(name(s.from)) + "\", \"to\": \"" + std::string(name(s.to)) +
            "\", \"reason\": \"" + std::string(name(s.reason)) +
            "\", \"value\": " + json_number(s.value) + "}";
  }
  return text + "]}";
}

}  // namespace language
