// SPDX-License-Identifier: Apache-2.0
// A roofline plot (Williams, Waterman and Patterson 2009): operations a second over operations a
// byte, under the machine's arithmetic ceilings and the slopes of its read bandwidth.
#ifndef HALFWAY_BENCH_REPORT_ROOFLINE_H_
#define HALFWAY_BENCH_REPORT_ROOFLINE_H_

#include <string>
#include <vector>

#include "results.h"

namespace halfway_bench {

struct roof {
  std::string name;
  double value;  // GFLOP/s of a ceiling, GB/s of a slope
};

struct machine {
  std::vector<roof> ceilings, slopes;
};
machine machine_of(const results& r);

struct plot_point {
  std::string name;
  double intensity, gflops;
  double best_peer_gflops;  // 0: none
};

// An <svg> element. Colours are the page's variables. `with_names`: at the side of the plot; else they
// show when the mouse rests on a point.
std::string roofline_svg(const machine& m, const std::vector<plot_point>& points, bool with_names);

std::string escaped(const std::string& text);  // for HTML and SVG

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_REPORT_ROOFLINE_H_
