// SPDX-License-Identifier: Apache-2.0
// How each case is timed and what it reports: a rate, and `of_ceiling`, the share of what this
// machine could do.
//
//   report_products(state, 2.0 * m * n * k, unit::f32, [&] { halfway::gemm(a, b, c); });
#ifndef HALFWAY_BENCH_REPORT_H_
#define HALFWAY_BENCH_REPORT_H_

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>

#include "ceilings.h"
#include "halfway/core/matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"

namespace halfway_bench {

// The short names that case names are made of: "f32", "bf16", "f16", "e4m3", "u8", "s8"...
template <class T>
constexpr std::string_view short_name() {
  if constexpr (std::is_same_v<T, float>) return "f32";
  if constexpr (std::is_same_v<T, halfway::half>) return "f16";
  if constexpr (std::is_same_v<T, halfway::bfloat16>) return "bf16";
  if constexpr (std::is_same_v<T, halfway::float8_e4m3fn>) return "e4m3";
  if constexpr (std::is_same_v<T, halfway::float8_e5m2>) return "e5m2";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "u8";
  if constexpr (std::is_same_v<T, std::int8_t>) return "s8";
  if constexpr (std::is_same_v<T, std::int32_t>) return "s32";
}

// Joins the parts of a case name: name("gemm/", "f32", "/m:", 16).
template <class... Parts>
std::string name(const Parts&... parts) {
  std::string text;
  const auto add = [&](const auto& part) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(part)>>) {
      text += std::to_string(part);
    } else {
      text += part;
    }
  };
  (add(parts), ...);
  return text;
}

// Normal random numbers; bytes get all their values.
template <class T>
void fill(halfway::matrix<T>& m, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (auto& x : m.elements()) {
    if constexpr (std::is_integral_v<T>) {
      x = static_cast<T>(random());
    } else {
      x = T(normal(random));
    }
  }
}

// Repeats `run` for as long as the benchmark asks and returns the seconds of one call.
template <class Run>
double time_calls(benchmark::State& state, Run&& run) {
  using clock = std::chrono::steady_clock;
  const auto start = clock::now();
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  const std::chrono::duration<double> all = clock::now() - start;
  return all.count() / static_cast<double>(state.iterations());
}

// Times `run`, which does `operations` multiplies and adds: GFLOP/s against the ceiling of `u` on so
// many threads.
template <class Run>
void report_products(benchmark::State& state, double operations, unit u, Run&& run,
                     double threads = 1.0) {
  const double rate = operations / time_calls(state, run) / 1e9;
  state.counters["GFLOP/s"] = rate;
  state.counters["of_ceiling"] = rate / (threads * multiply_ceiling(u));
}

// Times `run`, which reads and writes `bytes` bytes once: GB/s against `ceiling`, what a copy (or,
// where little is written, a read) of as many bytes reaches.
template <class Run>
void report_bytes(benchmark::State& state, std::size_t bytes, double ceiling, Run&& run) {
  const double rate = static_cast<double>(bytes) / time_calls(state, run) / 1e9;
  state.counters["GB/s"] = rate;
  state.counters["of_ceiling"] = rate / ceiling;
}

void register_gemm();
void register_decode();
void register_eigen_gemm();
void register_rows();
void register_casts();
void register_attention();

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_REPORT_H_
