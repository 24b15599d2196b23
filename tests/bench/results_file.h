// SPDX-License-Identifier: Apache-2.0
// Files as halfway_bench writes them, with the rates that a test wants.
//
//   write_results(folder.file("old.json"), results_json({{"sum/f32", {100, 101, 99}}}));
#ifndef HALFWAY_TESTS_BENCH_RESULTS_FILE_H_
#define HALFWAY_TESTS_BENCH_RESULTS_FILE_H_

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace halfway::testing {

// Rates in GB/s by case, one value a repetition.
using case_rates = std::map<std::string, std::vector<double>>;

inline nlohmann::json results_json(const case_rates& cases) {
  nlohmann::json j;
  j["context"] = {{"date", "2026-01-01"},
                  {"host_name", "here"},
                  {"num_cpus", 2},
                  {"cpu", "some CPU"},
                  {"simd_target", "AVX2"},
                  {"compiler", "some compiler"},
                  {"build_flags", "-O2"},
                  {"peers", "Eigen 3.4.0"},
                  {"ceiling_f32_gflops", "100.0"},
                  {"ceiling_bf16_gflops", "200.0"},
                  {"ceiling_i8_gops", "400.0"},
                  {"read_cache_gbs", "150.0"},
                  {"read_memory_gbs", "20.0"}};
  j["benchmarks"] = nlohmann::json::array();
  for (const auto& [name, rates] : cases) {
    for (const double rate : rates) {
      j["benchmarks"].push_back({{"name", name},
                                 {"run_type", "iteration"},
                                 {"GB/s", rate},
                                 {"of_ceiling", rate / 1000},
                                 {"seconds", 1e-6 * 100 / rate},
                                 {"operations", 1e5},
                                 {"bytes", 1e5},
                                 {"peer:Eigen", 50.0}});
    }
    // Google Benchmark's own summary, which is no repetition.
    j["benchmarks"].push_back({{"name", name + "_mean"}, {"run_type", "aggregate"}});
  }
  return j;
}

inline void write_results(const std::string& file, const nlohmann::json& j) {
  std::ofstream(file) << j.dump();
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_BENCH_RESULTS_FILE_H_
