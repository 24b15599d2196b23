// SPDX-License-Identifier: Apache-2.0
// The study as text, JSON and a page.
#ifndef HALFWAY_EXAMPLES_TRADE_OFF_OUTPUT_H_
#define HALFWAY_EXAMPLES_TRADE_OFF_OUTPUT_H_

#include <optional>
#include <string>
#include <vector>

#include "measurement.h"
#include "recommendation.h"
#include "report/gnuplot.h"

namespace trade_off {

struct price {
  double per_hour = 0;  // of one core
  std::string currency;
};

struct study {
  std::string simd_target;
  std::string weights;  // where they come from
  timing timed;
  objectives wanted;
  std::optional<price> cost;
  std::vector<measured_way> ways;
  recommendation result;
};

std::string to_text(const study& s);
// Indented, with a line end; docs/trade-off.md describes it. What is not finite is null.
std::string to_json(const study& s);
// Two figures, accuracy against bytes and against throughput, and the page around them. `problem`: why
// there are none, or empty.
std::vector<report::figure> draw_figures(const study& s, const std::string& gnuplot,
                                         const std::string& folder, std::string& problem);
std::string to_html(const study& s, const std::vector<report::figure>& figures,
                    const std::string& problem);

}  // namespace trade_off

#endif  // HALFWAY_EXAMPLES_TRADE_OFF_OUTPUT_H_
