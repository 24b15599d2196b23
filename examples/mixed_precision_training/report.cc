// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <sstream>

#include "parameters.h"

namespace demo {

namespace {

constexpr const char* style = R"(
:root { color-scheme: light; }
body { margin: 0; background: #fafafa; color: #222; font: 16px/1.5 system-ui, "Segoe UI",
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; font-weight: 600; margin: 0 0 4px; }
h2 { font-size: 17px; font-weight: 600; margin: 0 0 8px; }
p { max-width: 46em; }
.lead { color: #555; margin-top: 0; }
.note { border-left: 3px solid #d1495b; padding-left: 14px; }
.scroll { overflow-x: auto; background: #fff; border: 1px solid #e3e3e3; border-radius: 8px;
  padding: 6px 14px; margin: 24px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 8px; white-space: nowrap; }
th { color: #666; font-weight: 500; border-bottom: 1px solid #ccc; }
th:first-child, td:first-child { text-align: left; font-weight: 600; }
tr + tr td { border-top: 1px solid #eee; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); gap: 20px; }
figure { margin: 0; background: #fff; border: 1px solid #e3e3e3; border-radius: 8px;
  padding: 16px; }
figure svg { width: 100%; height: auto; display: block; }
figure svg text { font-family: inherit; }
figcaption { color: #555; font-size: 14px; margin-top: 8px; }
.small { color: #666; font-size: 13px; }
)";

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

void write_table(std::ostream& out, const experiment& e) {
  out << "<div class=\"scroll\"><table>\n<tr>";
  for (const table_column& c : table_columns()) out << "<th>" << escaped(c.title) << "</th>";
  out << "</tr>\n";
  for (const compared_run& run : e.runs) {
    out << "<tr>";
    for (const table_column& c : table_columns()) out << "<td>" << escaped(c.cell(run)) << "</td>";
    out << "</tr>\n";
  }
  out << "</table></div>\n";
}

void write_settings(std::ostream& out, const experiment& e) {
  out << "<p class=\"small\">The columns: test accuracy; share of the test images classified as by "
         "the FP32 run; SQNR of the logits against it (trainings drift apart, so only INT8, which "
         "is the FP32 run quantized, comes close); training steps a second, on one thread; bytes "
         "of the weights, and of the activations of a batch of "
      << e.settings.batch
      << "; steps skipped for a non-finite gradient; non-finite gradient values; the loss scale at "
         "the end; share of gradient values that rounding to the run's type made zero.</p>\n"
      << "<p class=\"small\">Network: ";
  for (std::size_t l = 0; l < layer_sizes.size(); ++l)
    out << (l == 0 ? "" : " &ndash; ") << layer_sizes[l];
  out << ", ReLU, a layernorm in the last hidden layer. Adam, learning rate "
      << e.settings.learning_rate << " falling along a cosine, " << e.settings.epochs
      << " epochs of batches of " << e.settings.batch << ", seed " << e.settings.seed
      << ". Kernels: " << escaped(e.simd_target) << ". Policies: ";
  for (std::size_t r = 0; r < e.runs.size(); ++r) {
    const run_settings& s = e.runs[r].result.settings;
    out << (r == 0 ? "" : "; ") << escaped(s.name) << " <code>" << escaped(to_string(s.policy))
        << "</code>" << (s.scales_loss ? " with a dynamic loss scaler" : "");
  }
  out << ".</p>\n";
}

}  // namespace

std::string to_html(const experiment& e, const std::vector<figure>& figures,
                    const std::string& problem) {
  std::ostringstream out;
  out << "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<title>Mixed-precision training with halfway</title>\n<style>"
      << style << "</style>\n</head>\n<body>\n<main>\n<h1>Mixed-precision training</h1>\n"
      << "<p class=\"lead\">One network, one seed, one order of the " << e.train_images
      << " Fashion-MNIST images; what differs is the type that activations, gradients and weights "
         "are stored in. Evaluated on "
      << e.test_images << " test images.</p>\n";
  write_table(out, e);
  const std::string why = explain_unscaled_fp16(e);
  if (!why.empty()) out << "<p class=\"note\">" << escaped(why) << "</p>\n";
  for (const compared_run& run : e.runs) {
    const training_record& t = run.result.training;
    if (t.stopped.empty()) continue;
    out << "<p class=\"note\">" << escaped(run.result.settings.name) << " stopped after step "
        << t.steps.size() << " of " << e.planned_steps << ": " << escaped(t.stopped) << ".</p>\n";
  }
  if (!problem.empty()) out << "<p class=\"note\">" << escaped(problem) << "</p>\n";
  out << "<div class=\"figures\">\n";
  for (const figure& f : figures) {
    if (f.svg.empty()) continue;
    out << "<figure><h2>" << escaped(f.title) << "</h2>\n"
        << f.svg << "\n<figcaption>" << escaped(f.caption) << "</figcaption></figure>\n";
  }
  out << "</div>\n";
  write_settings(out, e);
  out << "</main>\n</body>\n</html>\n";
  return out.str();
}

}  // namespace demo
