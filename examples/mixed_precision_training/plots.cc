// SPDX-License-Identifier: Apache-2.0
#include "plots.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "report/gnuplot.h"

namespace demo {

namespace {

using report::colour;
using report::number;
using report::quoted;

constexpr double largest_half = 65504;

// A curve of one value a step, as a gnuplot data block and the piece of a plot command.
struct curve {
  std::string data;
  std::string plot;
};

template <class Value>
curve make_curve(const std::string& block, const compared_run& run, const std::string& style,
                 const Value& value) {
  std::ostringstream data;
  data << '$' << block << " << EOD\n";
  const std::vector<step_record>& steps = run.result.training.steps;
  for (std::size_t s = 0; s < steps.size(); ++s)
    data << s + 1 << ' ' << number(value(steps, s)) << '\n';
  data << "EOD\n";
  return {data.str(),
          '$' + block + " using 1:2 with " + style + " title " + quoted(run.result.settings.name)};
}

// One figure with a curve for each run that `wanted` lets pass.
template <class Wanted, class Value>
std::string curves(const experiment& e, const std::string& name, const std::string& kind,
                   const Wanted& wanted, const Value& value, const std::string& extra = "") {
  std::string data, plot;
  for (std::size_t r = 0; r < e.runs.size(); ++r) {
    if (!e.runs[r].is_trained() || !wanted(e.runs[r])) continue;
    // The baseline is a broad band, so that it shows where others lie on it.
    const std::string look = r == 0 ? " lw 7 lc rgb '#c8c8c8'" : " lw 1.6 lc " + colour(r);
    const curve c = make_curve(name + std::to_string(r), e.runs[r], kind + look, value);
    data += c.data;
    plot += (plot.empty() ? "" : ", ") + c.plot;
  }
  if (plot.empty()) return {};
  return data + "set output '" + name + ".svg'\nplot " + plot + extra + '\n';
}

double smoothed_loss(const std::vector<step_record>& steps, std::size_t step) {
  constexpr std::size_t window = 15;
  const std::size_t first = step + 1 < window ? 0 : step + 1 - window;
  double sum = 0;
  for (std::size_t s = first; s <= step; ++s) sum += static_cast<double>(steps[s].loss);
  return sum / static_cast<double>(step + 1 - first);
}

double largest_value(const std::vector<step_record>& steps, std::size_t step) {
  const auto value = static_cast<double>(steps[step].largest_before_norm);
  return value < largest_half ? value : largest_half;  // infinity and NaN too
}

double scale_of(const std::vector<step_record>& steps, std::size_t step) {
  return static_cast<double>(steps[step].scale);
}

bool any(const compared_run&) { return true; }
bool scales(const compared_run& run) { return run.result.settings.scales_loss; }

double mebibytes(const compared_run& run) {
  return static_cast<double>(run.result.weight_bytes + run.result.activation_bytes) / 1048576;
}

// Whether a label above run r would meet that of an earlier run, which stands above its point too.
bool is_crowded(const experiment& e, std::size_t r) {
  const compared_run& run = e.runs[r];
  const auto is_near = [&run](const compared_run& other) {
    return std::abs(mebibytes(other) - mebibytes(run)) < 0.3 &&
           std::abs(other.with_fp32.accuracy - run.with_fp32.accuracy) < 0.01;
  };
  return std::any_of(e.runs.begin(), e.runs.begin() + static_cast<std::ptrdiff_t>(r), is_near);
}

// A point with a label for each run.
std::string accuracy_plot(const experiment& e) {
  std::string data, plot, labels;
  double lowest = 100, highest = 0, most = 0;
  for (std::size_t r = 0; r < e.runs.size(); ++r) {
    const double bytes = mebibytes(e.runs[r]);
    const double accuracy = 100 * e.runs[r].with_fp32.accuracy;
    lowest = std::min(lowest, accuracy);
    highest = std::max(highest, accuracy);
    most = std::max(most, bytes);
    const std::string block = "$point" + std::to_string(r);
    data += block + " << EOD\n" + number(bytes) + ' ' + number(accuracy) + "\nEOD\n";
    plot += (plot.empty() ? "" : ", ") + block + " using 1:2 with points pt 7 ps 1.1 lc " +
            colour(r) + " notitle";
    labels += "set label " + quoted(e.runs[r].result.settings.name) + " at " + number(bytes) + ',' +
              number(accuracy) + " center offset 0," + (is_crowded(e, r) ? "-0.9" : "0.9") +
              " textcolor " + colour(r) + " noenhanced\n";
  }
  const double margin = std::max(0.5, 0.15 * (highest - lowest));
  return data + labels + "set yrange [" + number(lowest - margin) + ':' + number(highest + margin) +
         "]\nset xrange [0:" + number(most * 1.15) + "]\nset output 'accuracy.svg'\nplot " + plot +
         '\n';
}

std::string script(const experiment& e) {
  const std::string steps = std::to_string(e.planned_steps);
  std::string text = report::gnuplot_style() + "set autoscale yfix\n";
  text += "set xrange [0:" + steps + "]\nset xlabel 'step'\nset logscale y\n";
  text += "set ylabel 'training loss'\nset ytics (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5)\n";
  text += curves(e, "loss", "lines", any, smoothed_loss);
  text += "set ylabel 'largest value before the layernorm'\nset ytics auto\nset format y '%.0f'\n";
  text += "set label '65504' at graph 0.99, first " + number(largest_half) +
          " right offset 0,-0.7 textcolor rgb '#777777'\n";
  text +=
      curves(e, "values", "lines", any, largest_value,
             ", " + number(largest_half) + " with lines lw 1 dt (6,4) lc rgb '#999999' notitle");
  text += "unset label\n";
  text += "set ylabel 'loss scale'\nset logscale y 2\nset format y '2^{%L}'\n";
  text += curves(e, "scale", "steps", scales, scale_of);
  text +=
      "unset logscale y\nset format y '%g%%'\nset ylabel 'test accuracy'\n"
      "set xlabel 'MiB of weights and of the activations of a batch'\n";
  text += accuracy_plot(e);
  return text;
}

}  // namespace

std::vector<report::figure> draw_figures(const experiment& e, const std::string& gnuplot,
                                         const std::string& folder, std::string& problem) {
  return report::draw(
      script(e),
      {{"loss", "Loss",
        "Training loss, the mean of the last 15 steps; a curve that ends early is a run that could "
        "not go on."},
       {"accuracy", "Accuracy and bytes",
        "Test accuracy against the bytes that the weights and the activations of one batch take: "
        "up and to the left is better."},
       {"values", "Before the layernorm",
        "The largest magnitude that enters the layernorm in each step; what passes the largest "
        "finite half is drawn on its line."},
       {"scale", "Loss scale",
        "The dynamic loss scale doubles after " + std::to_string(growth_interval) +
            " steps without an overflow, and halves when a gradient overflows and its step is "
            "skipped."}},
      gnuplot, folder, problem);
}

}  // namespace demo
