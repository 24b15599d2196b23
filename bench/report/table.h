// SPDX-License-Identifier: Apache-2.0
// The figures as words: one row a case.
#ifndef HALFWAY_BENCH_REPORT_TABLE_H_
#define HALFWAY_BENCH_REPORT_TABLE_H_

#include <array>
#include <string>
#include <vector>

#include "results.h"

namespace halfway_bench {

// Cases whose names begin alike: "softmax", or "gemm_packed/f32_f32" where there are many of them.
struct family {
  std::string name;
  std::vector<const measured*> cases;
};
// They point into `r`.
std::vector<family> families_of(const results& r);

// The rest of a case's name.
std::string name_within(const family& f, const measured& m);

inline constexpr std::array table_titles = {"case", "rate", "of ceiling", "to best peer", "peers"};
std::array<std::string, table_titles.size()> table_row(const measured& m);

// Such as "12.3"; three digits.
std::string three_digits(double x);

// All of them as Markdown.
std::string to_markdown(const results& r);

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_REPORT_TABLE_H_
