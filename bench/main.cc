// SPDX-License-Identifier: Apache-2.0
// halfway_bench: every kernel with its share of what this machine could do, beside its peers. All
// options are Google Benchmark's:
//
//   halfway_bench --benchmark_filter='gemm_packed/bf16' --benchmark_out=results.json
//
// Returns 1 where a result is wrong.
#include <benchmark/benchmark.h>

#include <fstream>
#include <string>

#include "benches.h"
#include "case.h"
#include "ceilings.h"
#include "peers/peer.h"

namespace halfway_bench {
namespace {

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  const std::string key = "model name";
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with(key)) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string compiler() {
#ifdef __clang__
  return __VERSION__;  // "Clang 19.1.7 (3)"
#else
  return "GCC " __VERSION__;
#endif
}

// What the report and the comparison of two runs need to know.
void add_context() {
  using benchmark::AddCustomContext;
  AddCustomContext("cpu", cpu_name());
  AddCustomContext("compiler", compiler());
  AddCustomContext("build_flags", HALFWAY_BENCH_FLAGS);
  AddCustomContext("simd_target", simd_target());
  AddCustomContext("ceiling_f32_gflops", std::to_string(multiply_ceiling(unit::f32)));
  AddCustomContext("ceiling_bf16_gflops", std::to_string(multiply_ceiling(unit::bf16)));
  AddCustomContext("ceiling_i8_gops", std::to_string(multiply_ceiling(unit::i8)));
  AddCustomContext("read_cache_gbs", std::to_string(read_bandwidth(std::size_t{256} << 10)));
  AddCustomContext("read_memory_gbs", std::to_string(read_bandwidth(std::size_t{256} << 20)));
  std::string peers;
  for (const peer& p : all_peers()) peers += (peers.empty() ? "" : ", ") + p.name + " " + p.version;
  AddCustomContext("peers", peers);
}

}  // namespace
}  // namespace halfway_bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  using namespace halfway_bench;
  add_context();
  register_gemm();
  register_decode();
  register_rows();
  register_casts();
  register_attention();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return any_case_failed() ? 1 : 0;
}
