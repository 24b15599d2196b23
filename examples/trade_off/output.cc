// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "report/number.h"
#include "report/page.h"

namespace trade_off {

namespace {

using json = nlohmann::ordered_json;

using ::report::format;

std::string kib(double bytes) { return format("%.1f", bytes / 1024); }

std::string_view name(verdict v) {
  switch (v) {
    case verdict::recommended:
      return "recommended";
    case verdict::costs_more:
      return "costs more";
    case verdict::takes_more_bytes:
      return "takes more bytes";
    case verdict::tied:
      return "tied";
    case verdict::misses:
      return "misses";
    case verdict::undecided:
      return "undecided";
    case verdict::broken:
      break;
  }
  return "broken";
}

double cost_per_million(const study& s, const measured_way& w) {
  return s.cost->per_hour / 3600 * w.mean_seconds() * 1e6;
}

report::table cells(const study& s) {
  report::table rows = {{"", "accuracy", "as FP32", "(interval)", "SQNR dB", "NaN, inf",
                         "KiB weights", "KiB activations", "KiB read", "images/s", "p50 ms",
                         "p99 ms"}};
  if (s.cost) rows[0].push_back(s.cost->currency + " a million");
  for (const measured_way& w : s.ways) {
    const auto i = halfway::wilson_interval(w.agrees, w.images, s.wanted.confidence);
    rows.push_back(
        {w.name, format("%.2f%%", 100 * w.accuracy()), format("%.2f%%", 100 * w.agreement()),
         &w == &s.ways.front() ? "-"
                               : format("%.2f", 100 * i.low) + "-" + format("%.2f", 100 * i.high),
         std::isfinite(w.sqnr_db) ? format("%.1f", w.sqnr_db) : "-", std::to_string(w.non_finite),
         kib(static_cast<double>(w.weight_bytes)), kib(static_cast<double>(w.activation_bytes)),
         kib(w.bytes_read), format("%.0f", 1 / w.mean_seconds()), format("%.3f", 1e3 * w.p50),
         format("%.3f", 1e3 * w.p99)});
    if (s.cost) rows.back().push_back(format("%.4g", cost_per_million(s, w)));
  }
  return rows;
}

std::string wanted_text(const study& s) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  const objectives& o = s.wanted;
  if (o.min_agreement) add("agreement of at least " + format("%g%%", 100 * *o.min_agreement));
  if (o.max_accuracy_drop)
    add("an accuracy drop of at most " + format("%g", 100 * *o.max_accuracy_drop) + " points");
  if (o.max_p99) add("a p99 of at most " + format("%g", 1e3 * *o.max_p99) + " ms a batch");
  return text + ", with a confidence of " + format("%g%%", 100 * o.confidence);
}

std::string headline(const study& s) {
  return s.result.row ? "Recommended: " + s.ways[*s.result.row].name + ", " + s.result.reason + "."
                      : "No recommendation: " + s.result.reason + ".";
}

report::table verdict_cells(const study& s) {
  report::table rows = {{"", "verdict", "why"}};
  for (std::size_t i = 0; i < s.ways.size(); ++i) {
    rows.push_back({s.ways[i].name, std::string(name(s.result.judgements[i].is)),
                    s.result.judgements[i].reason});
  }
  return rows;
}

std::string conditions(const study& s) {
  return "Weights: " + s.weights + ". Kernels: " + s.simd_target + ", one thread, batches of " +
         std::to_string(s.timed.batch) + " images, " + format("%g", s.timed.seconds) +
         " seconds for all ways in turn.";
}

json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }
json number(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }
json interval(const halfway::confidence_interval& i) { return {number(i.low), number(i.high)}; }

std::string plot_of(const study& s, const std::string& name, const std::string& label,
                    double (*value)(const measured_way&)) {
  std::string script = "set xlabel " + report::quoted(label) + "\n", plot;
  for (std::size_t i = 0; i < s.ways.size(); ++i) {
    const measured_way& w = s.ways[i];
    const std::string block = '$' + name + std::to_string(i);
    script += block + " << EOD\n" + report::number(value(w)) + ' ' +
              report::number(100 * w.accuracy()) + "\nEOD\n";
    plot += (i == 0 ? "" : ", ") + block + " using 1:2 with points pt " +
            std::to_string(4 + i % 10) + " ps 1.2 lc " + report::colour(i) + " title " +
            report::quoted(w.name);
  }
  return script + "set output '" + name + ".svg'\nplot " + plot + '\n';
}

}  // namespace

std::string to_text(const study& s) {
  std::string text = conditions(s) + "\n\n" + report::to_text(cells(s)) +
                     "\nWanted: " + wanted_text(s) + ".\n" + headline(s) + "\n";
  for (std::size_t i = 0; i < s.ways.size(); ++i) {
    if (s.result.row == i) continue;
    text += "  " + s.ways[i].name + " " + std::string(name(s.result.judgements[i].is)) + ": " +
            s.result.judgements[i].reason + "\n";
  }
  return text;
}

std::string to_json(const study& s) {
  json j = {{"schema", 1},
            {"simd_target", s.simd_target},
            {"weights", s.weights},
            {"batch", s.timed.batch},
            {"seconds", s.timed.seconds},
            {"objectives",
             {{"min_agreement", number(s.wanted.min_agreement)},
              {"max_accuracy_drop", number(s.wanted.max_accuracy_drop)},
              {"max_p99_seconds", number(s.wanted.max_p99)},
              {"confidence", s.wanted.confidence}}}};
  j["price"] = s.cost ? json{{"per_core_hour", s.cost->per_hour}, {"currency", s.cost->currency}}
                      : json(nullptr);
  const double confidence = s.wanted.confidence;
  for (std::size_t i = 0; i < s.ways.size(); ++i) {
    const measured_way& w = s.ways[i];
    j["ways"].push_back(
        {{"name", w.name},
         {"images", w.images},
         {"accuracy", w.accuracy()},
         {"accuracy_drop", w.accuracy_drop()},
         {"accuracy_drop_interval",
          interval(accuracy_drop_interval(w.images, w.newly_wrong, w.newly_right, confidence))},
         {"agreement", w.agreement()},
         {"agreement_interval", interval(halfway::wilson_interval(w.agrees, w.images, confidence))},
         {"sqnr_db", number(w.sqnr_db)},
         {"broken_images", w.broken},
         {"hidden_values",
          {{"count", w.values},
           {"non_finite", w.non_finite},
           {"saturated", w.saturated},
           {"underflow_share", w.underflow_share}}},
         {"weight_bytes", w.weight_bytes},
         {"activation_bytes", w.activation_bytes},
         {"bytes_read", w.bytes_read},
         {"inferences_per_second", 1 / w.mean_seconds()},
         {"batch_p50_seconds", w.p50},
         {"batch_p99_seconds", w.p99},
         {"batch_p99_interval", interval(w.p99_interval)},
         {"cost_per_million", s.cost ? number(cost_per_million(s, w)) : json(nullptr)},
         {"verdict", name(s.result.judgements[i].is)},
         {"reason", s.result.judgements[i].reason}});
  }
  j["recommended"] = s.result.row ? json(s.ways[*s.result.row].name) : json(nullptr);
  j["reason"] = s.result.reason;
  return j.dump(2) + '\n';
}

std::vector<report::figure> draw_figures(const study& s, const std::string& gnuplot,
                                         const std::string& folder, std::string& problem) {
  const std::string script =
      report::gnuplot_style() +
      "set terminal svg size 560,420 dynamic font 'sans-serif,13'\n"
      "set key outside bottom left horizontal maxrows 3 width 0\n"
      "set ylabel 'test accuracy'\nset format y '%g%%'\nset xrange [0:*]\n"
      "set offsets 0,0,0.2,0.2\n" +
      plot_of(s, "bytes", "KiB of weights",
              [](const measured_way& w) { return static_cast<double>(w.weight_bytes) / 1024; }) +
      plot_of(s, "throughput", "images a second",
              [](const measured_way& w) { return 1 / w.mean_seconds(); });
  return report::draw(script,
                      {{"bytes", "Accuracy and bytes", "Up and to the left is better."},
                       {"throughput", "Accuracy and throughput", "Up and to the right is better."}},
                      gnuplot, folder, problem);
}

std::string to_html(const study& s, const std::vector<report::figure>& figures,
                    const std::string& problem) {
  report::page page("Which precision to serve in", conditions(s));
  page.add_note(headline(s));
  page.add_table(cells(s));
  page.add_small("Wanted: " + wanted_text(s) + ".");
  page.add_table(verdict_cells(s));
  page.add_figures(figures);
  page.add_note(problem);
  return page.html();
}

}  // namespace trade_off
