// SPDX-License-Identifier: Apache-2.0
// The experiment as one HTML page that needs nothing else: table, figures, style.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_REPORT_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_REPORT_H_

#include <string>
#include <vector>

#include "experiment.h"
#include "report/gnuplot.h"

namespace demo {

// `problem`: why figures are missing, or empty.
std::string to_html(const experiment& e, const std::vector<report::figure>& figures,
                    const std::string& problem);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_REPORT_H_
