// SPDX-License-Identifier: Apache-2.0
// report.html: one file that needs no other, with a roofline and a table for each family of cases.
#ifndef HALFWAY_BENCH_REPORT_PAGE_H_
#define HALFWAY_BENCH_REPORT_PAGE_H_

#include <string>

#include "results.h"

namespace halfway_bench {

// `compile_cost`: a sentence.
std::string to_html(const results& r, const std::string& compile_cost);

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_REPORT_PAGE_H_
