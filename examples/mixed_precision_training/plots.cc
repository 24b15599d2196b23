// SPDX-License-Identifier: Apache-2.0
#include "plots.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace demo {

namespace {

constexpr double largest_half = 65504;

// The same colour for a run in every figure.
std::string colour(std::size_t run) {
  constexpr std::array<const char*, 6> colours = {"#333333", "#d1495b", "#2a6fbb",
                                                  "#2e9e6b", "#8a5fbf", "#c98a1b"};
  return std::string("rgb '") + colours[run % colours.size()] + "'";
}

// gnuplot reads NaN as "no point here".
std::string number(double value) {
  if (!std::isfinite(value)) return "NaN";
  std::ostringstream text;
  text << value;
  return text.str();
}

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("''") : std::string(1, c);
  return result + "'";
}

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
  std::string text =
      "set terminal svg size 560,320 dynamic font 'sans-serif,13' linewidth 1\n"
      "set border 3 lc rgb '#999999'\n"
      "set tics nomirror out scale 0.6 textcolor rgb '#555555'\n"
      "set xlabel textcolor rgb '#555555'\n"
      "set ylabel textcolor rgb '#555555'\n"
      "set grid ytics lt 1 lw 0.6 lc rgb '#e3e3e3'\n"
      "set key outside top left horizontal Left reverse samplen 1 width -2 maxrows 1 textcolor rgb "
      "'#333333' "
      "noenhanced\n"
      "set lmargin 9\n"
      "set autoscale yfix\n";
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

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Runs `program -d file` in `folder` with its messages in `messages`; whether it ran and returned
// 0.
bool run_in(const std::string& folder, const std::string& program, const std::string& file,
            const std::string& messages) {
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    const bool ready = chdir(folder.c_str()) == 0;
    const int out = open(messages.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (ready && out >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0)
      execlp(program.c_str(), program.c_str(), "-d", file.c_str(), nullptr);  // -d: no ~/.gnuplot
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// The <svg> element of a file, without the XML declaration and DOCTYPE that HTML cannot hold.
std::string svg_element(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  const std::size_t first = text.find("<svg");
  const std::size_t last = text.rfind("</svg>");
  return first == std::string::npos || last == std::string::npos
             ? std::string()
             : text.substr(first, last + 6 - first);
}

}  // namespace

std::vector<figure> draw_figures(const experiment& e, const std::string& gnuplot,
                                 const std::string& folder, std::string& problem) {
  struct plan {
    const char* name;
    const char* title;
    std::string caption;
  };
  const std::array<plan, 4> plans = {{
      {"loss", "Loss",
       "Training loss, the mean of the last 15 steps; a curve that ends early is a run that could "
       "not go on."},
      {"accuracy", "Accuracy and bytes",
       "Test accuracy against the bytes that the weights and the activations of one batch take: up "
       "and to the left is better."},
      {"values", "Before the layernorm",
       "The largest magnitude that enters the layernorm in each step; what passes the largest "
       "finite half is drawn on its line."},
      {"scale", "Loss scale",
       "The dynamic loss scale doubles after " + std::to_string(growth_interval) +
           " steps without an overflow, and halves when a gradient overflows and its step is "
           "skipped."},
  }};
  namespace fs = std::filesystem;
  const fs::path root(folder);
  std::ofstream(root / "plots.gp") << script(e);
  const bool drawn = run_in(folder, gnuplot, "plots.gp", "plots.log");

  std::vector<figure> figures;
  for (const plan& p : plans) {
    std::string svg = svg_element(root / (std::string(p.name) + ".svg"));
    if (drawn && svg.empty()) continue;  // nothing to draw, as for the scale of unscaled runs
    figures.push_back({p.title, p.caption, drawn ? svg : ""});
  }
  std::error_code ignored;
  for (const plan& p : plans) fs::remove(root / (std::string(p.name) + ".svg"), ignored);
  if (drawn) {
    fs::remove(root / "plots.gp", ignored);
    fs::remove(root / "plots.log", ignored);
  } else {
    problem = "gnuplot (\"" + gnuplot + "\") is missing or failed, so there are no figures. " +
              read_text(root / "plots.log");
  }
  return figures;
}

}  // namespace demo
