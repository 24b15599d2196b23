// SPDX-License-Identifier: Apache-2.0
// The figures of the report, drawn by gnuplot as SVG.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PLOTS_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PLOTS_H_

#include <string>
#include <vector>

#include "experiment.h"
#include "report/gnuplot.h"

namespace demo {

// report::draw of them.
std::vector<report::figure> draw_figures(const experiment& e, const std::string& gnuplot,
                                         const std::string& folder, std::string& problem);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PLOTS_H_
