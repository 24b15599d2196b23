// SPDX-License-Identifier: Apache-2.0
// Figures of a report, drawn by gnuplot as SVG.
#ifndef HALFWAY_EXAMPLES_REPORT_GNUPLOT_H_
#define HALFWAY_EXAMPLES_REPORT_GNUPLOT_H_

#include <string>
#include <string_view>
#include <vector>

namespace report {

struct figure {
  std::string name;  // the script writes <name>.svg
  std::string title;
  std::string caption;
  std::string svg = {};  // an <svg> element; empty where it was not drawn
};

// The beginning of every script: fonts, colours, borders, key.
std::string gnuplot_style();
// "rgb '...'", the same for a curve in every figure; they come again after eight.
std::string colour(std::size_t curve);
// gnuplot reads NaN as "no point here", which infinities become, too.
std::string number(double value);
std::string quoted(const std::string& text);

// Runs the script and fills in what it wrote; figures that it did not write are left out. `gnuplot`:
// the program's name or path. `folder`: for the script, its output and messages, which are removed
// when all went well. Without gnuplot no figure has an svg, and `problem` says why.
std::vector<figure> draw(const std::string& script, std::vector<figure> figures,
                         const std::string& gnuplot, const std::string& folder,
                         std::string& problem);

}  // namespace report

#endif  // HALFWAY_EXAMPLES_REPORT_GNUPLOT_H_
