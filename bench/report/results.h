// SPDX-License-Identifier: Apache-2.0
// What a run of halfway_bench measured, read from Google Benchmark's JSON file.
//
//   const results r = read_results("results.json");
//   for (const measured& m : r.cases) std::cout << m.name << " " << m.rate.median << "\n";
#ifndef HALFWAY_BENCH_REPORT_RESULTS_H_
#define HALFWAY_BENCH_REPORT_RESULTS_H_

#include <map>
#include <string>
#include <vector>

namespace halfway_bench {

// What stands before a peer's rate in the JSON file, as in "peer:Eigen".
inline constexpr char peer_prefix[] = "peer:";

// Values of several repetitions, and their quartiles (of one value: that value).
struct statistic {
  explicit statistic(std::vector<double> values = {});
  std::vector<double> values;  // in order of size
  double lower_quartile = 0, median = 0, upper_quartile = 0;
};

struct measured {
  std::string name;
  std::string error;      // why there is no figure
  std::string rate_unit;  // "GFLOP/s" or "GB/s"
  statistic rate, of_ceiling, seconds;
  double operations = 0, bytes = 0;         // of one run
  std::map<std::string, statistic> peers;   // rates
  std::map<std::string, statistic> ratios;  // rate to that of the peer, by repetition

  double intensity() const { return operations / bytes; }
  double gflops() const { return operations / seconds.median / 1e9; }
  // The name of the fastest peer; empty if there is none.
  std::string best_peer() const;
};

struct results {
  std::string file;
  std::map<std::string, std::string> context;  // CPU, compiler, ceilings...
  std::vector<measured> cases;                 // in order of the file

  // A number of the context. Throws if it is missing.
  double number(const std::string& key) const;
};

// Throws std::runtime_error, with the file's name and what is wrong with it.
results read_results(const std::string& file);

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_REPORT_RESULTS_H_
