// SPDX-License-Identifier: Apache-2.0
// The figures of the report, drawn by gnuplot as SVG.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PLOTS_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PLOTS_H_

#include <string>
#include <vector>

#include "experiment.h"

namespace demo {

struct figure {
  std::string title;
  std::string caption;
  std::string svg;  // an <svg> element; empty where gnuplot failed
};

// `gnuplot`: the program's name or path. `folder`: for the script, its output and messages, which
// are removed when all went well. Without gnuplot the figures have no svg, and `problem` says why.
std::vector<figure> draw_figures(const experiment& e, const std::string& gnuplot,
                                 const std::string& folder, std::string& problem);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PLOTS_H_
