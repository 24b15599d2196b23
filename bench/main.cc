// SPDX-License-Identifier: Apache-2.0
// halfway_bench: every kernel with its share of what this machine could do. All options are Google
// Benchmark's:
//
//   halfway_bench --benchmark_filter='gemm/bf16' --benchmark_format=json
#include <benchmark/benchmark.h>

#include <string>

#include "halfway/simd/dispatch.h"
#include "report.h"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  using namespace halfway_bench;
  register_gemm();
  register_decode();
  register_eigen_gemm();
  register_rows();
  register_casts();
  register_attention();
  benchmark::AddCustomContext("simd_target", halfway::simd_target_name());
  benchmark::AddCustomContext("ceiling_f32_gflops", std::to_string(multiply_ceiling(unit::f32)));
  benchmark::AddCustomContext("ceiling_bf16_gflops", std::to_string(multiply_ceiling(unit::bf16)));
  benchmark::AddCustomContext("ceiling_i8_gops", std::to_string(multiply_ceiling(unit::i8)));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
