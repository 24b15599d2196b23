// SPDX-License-Identifier: Apache-2.0
// Curves of the losses and histograms of the gradients.
#ifndef HALFWAY_EXAMPLES_CONVERGENCE_PLOTS_H_
#define HALFWAY_EXAMPLES_CONVERGENCE_PLOTS_H_

#include <string>
#include <vector>

#include "experiment.h"
#include "report/gnuplot.h"

namespace convergence {

// Two for each task, by report::draw.
std::vector<report::figure> draw_figures(const experiment& e, const std::string& gnuplot,
                                         const std::string& folder, std::string& problem);

}  // namespace convergence

#endif  // HALFWAY_EXAMPLES_CONVERGENCE_PLOTS_H_
