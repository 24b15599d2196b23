// SPDX-License-Identifier: Apache-2.0
// A case of the bench: one piece of work, and everybody who does it. All of them are timed in turns,
// so that their ratios hold however the clock of a shared machine wanders.
//
//   bench_case c = products("gemm/f32", unit::f32, 2.0 * m * n * k, bytes);
//   c.prepare = [] { return std::vector{contender{"halfway", [] { halfway::gemm(a, b, c); }}}; };
//   register_case(std::move(c));
#ifndef HALFWAY_BENCH_CASE_H_
#define HALFWAY_BENCH_CASE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "ceilings.h"

namespace halfway_bench {

struct contender {
  std::string name;
  std::function<void()> run;  // the work, once
  std::string problem = {};   // why its result is wrong; then nothing of the case is timed
};

struct bench_case {
  std::string name;
  double operations = 0;           // of one run: a multiply and an add count two
  double bytes = 0;                // read once and written once, as if caches held all the rest
  bool rate_is_bandwidth = false;  // GB/s of `bytes` instead of GFLOP/s of `operations`
  std::function<double()> ceiling = {};  // the rate that this machine could reach
  // Called once. The first contender is this library, the others are its peers.
  std::function<std::vector<contender>()> prepare = {};
};

// Bound by arithmetic on so many threads, or else by reading all bytes: the ceiling is the roofline.
bench_case products(std::string name, unit u, double operations, double bytes, double threads = 1);
// Bound by a copy (a read) of as many bytes.
bench_case copying(std::string name, double operations, double bytes);
bench_case reading(std::string name, double operations, double bytes);

// Hands a case to Google Benchmark. Counters: the rate of halfway as GFLOP/s or GB/s, `of_ceiling`,
// `ratio` (to the best peer), the rate of each peer, `seconds` of one run, `operations`, `bytes`.
void register_case(bench_case c);

// Whether a case so far gave a wrong result.
bool any_case_failed();

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_CASE_H_
