// SPDX-License-Identifier: Apache-2.0
#include "plots.h"

#include <algorithm>
#include <cstddef>
#include <sstream>

namespace convergence {

namespace {

using report::colour;
using report::number;
using report::quoted;

// The mean over the seeds and the last steps.
std::string smoothed_losses(const recipe_runs& r) {
  constexpr std::size_t window = 20;
  std::ostringstream data;
  std::size_t steps = 0;
  for (const run_record& run : r.runs) steps = std::max(steps, run.losses.size());
  for (std::size_t s = 0; s < steps; ++s) {
    double sum = 0, count = 0;
    for (const run_record& run : r.runs) {
      for (std::size_t i = s + 1 < window ? 0 : s + 1 - window; i <= s; ++i) {
        if (i >= run.losses.size()) continue;
        sum += static_cast<double>(run.losses[i]);
        ++count;
      }
    }
    if (s % 5 == 0) data << s + 1 << ' ' << number(count == 0 ? 0 : sum / count) << '\n';
  }
  return data.str();
}

std::string loss_plot(const task_runs& t, const std::string& name) {
  std::string data, plot;
  for (std::size_t r = 0; r < t.recipes.size(); ++r) {
    const std::string block = '$' + name + std::to_string(r);
    data += block + " << EOD\n" + smoothed_losses(t.recipes[r]) + "EOD\n";
    // The baseline is a broad band, so that it shows where others lie on it.
    const std::string look = r == 0 ? "lw 7 lc rgb '#c8c8c8'" : "lw 1.6 lc " + colour(r);
    plot += (r == 0 ? "" : ", ") + block + " using 1:2 with lines " + look + " title " +
            quoted(t.recipes[r].how.name);
  }
  return data + "set xlabel 'step'\nset ylabel 'training loss'\nset logscale y\nset autoscale x\n" +
         "set output '" + name + ".svg'\nplot " + plot + "\nunset logscale y\n";
}

// What formats lose lies to the left of their lines.
std::string gradient_plot(const task_runs& t, const std::string& name) {
  std::string data = '$' + name + " << EOD\n";
  const auto total = static_cast<double>(std::max<std::uint64_t>(1, t.census.values()));
  for (std::size_t i = 0; i < t.census.absolute().size(); ++i) {
    data += std::to_string(static_cast<int>(i) + gradient_census::lowest) + ' ' +
            number(100 * static_cast<double>(t.census.absolute()[i]) / total) + '\n';
  }
  std::string lines;
  const auto line = [&](int exponent, const std::string& label, const std::string& height) {
    lines += "set arrow from " + std::to_string(exponent) + ",graph 0 to " +
             std::to_string(exponent) + ",graph 1 nohead dt (6,4) lc rgb '#999999'\nset label " +
             quoted(label) + " at " + std::to_string(exponent) + ",graph " + height +
             " right offset -0.5,0 textcolor rgb '#555555'\n";
  };
  line(-25, "float16", "0.95");
  line(-17, "float8_e5m2", "0.85");
  double scale = 0;
  for (const recipe_runs& r : t.recipes) {
    if (r.how.scales_loss) scale = r.runs.back().final_scale;
  }
  if (scale > 1) {
    int exponent = 0;
    while (scale >= 2) {
      scale /= 2;
      ++exponent;
    }
    line(-25 - exponent, "float16, scaled", "0.95");
  }
  return data + "EOD\n" + lines +
         "set xlabel 'exponent of a gradient'\nset ylabel 'share'\nset format y '%g%%'\n" +
         "set xrange [-60:5]\nset yrange [0:*]\nset style fill solid 0.7 noborder\n" +
         "set output '" + name + ".svg'\nplot $" + name +
         " using 1:2 with boxes lc rgb '#2a6fbb' " +
         "notitle\nunset arrow\nunset label\nset format y '%g'\nset autoscale\n";
}

}  // namespace

std::vector<report::figure> draw_figures(const experiment& e, const std::string& gnuplot,
                                         const std::string& folder, std::string& problem) {
  std::string script = report::gnuplot_style();
  std::vector<report::figure> figures;
  for (std::size_t i = 0; i < e.tasks.size(); ++i) {
    const task_runs& t = e.tasks[i];
    const std::string loss = "loss" + std::to_string(i), size = "gradients" + std::to_string(i);
    script += loss_plot(t, loss) + gradient_plot(t, size);
    figures.push_back({loss, t.what.name + ": loss",
                       "Training loss, the mean of the seeds and of the last 20 steps."});
    figures.push_back({size, t.what.name + ": size of the gradients",
                       "Gradients between the layers of the FP32 trainings, by their exponent. "
                       "What lies left of a format's line is flushed to zero in it."});
  }
  return report::draw(script, std::move(figures), gnuplot, folder, problem);
}

}  // namespace convergence
