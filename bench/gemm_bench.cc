// SPDX-License-Identifier: Apache-2.0
// gemm/<a>_<c>/m:/n:/k: packs b in each call, gemm_packed/... once before; <a><b>_<c> where the two
// operands differ.
#include "halfway/ops/gemm.h"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <type_traits>

#include "halfway/core/thread_pool.h"
#include "halfway/ops/packed_matrix.h"
#include "report.h"
#include "shapes.h"

namespace halfway_bench {
namespace {

template <class TA, class TB, class TC>
std::string types() {
  std::string text(short_name<TA>());
  if constexpr (!std::is_same_v<TA, TB>) text += short_name<TB>();
  return text + "_" + std::string(short_name<TC>());
}

double operations(const gemm_shape& s) { return 2.0 * static_cast<double>(s.m * s.n * s.k); }

template <class TA, class TB, class TC, bool kPacked>
void add_cases(unit u) {
  for (const gemm_shape s : gemm_shapes) {
    const auto run = [s, u](benchmark::State& state) {
      halfway::matrix<TA> a(s.m, s.k);
      halfway::matrix<TB> b(s.k, s.n);
      halfway::matrix<TC> c(s.m, s.n);
      fill(a, 1);
      fill(b, 2);
      if constexpr (kPacked) {
        const halfway::packed_matrix packed(b);
        report_products(state, operations(s), u, [&] { halfway::gemm(a, packed, c); });
      } else {
        report_products(state, operations(s), u, [&] { halfway::gemm(a, b, c); });
      }
    };
    benchmark::RegisterBenchmark(name(kPacked ? "gemm_packed/" : "gemm/", types<TA, TB, TC>(),
                                      "/m:", s.m, "/n:", s.n, "/k:", s.k)
                                     .c_str(),
                                 run);
  }
}

template <class TA, class TB, class TC>
void add_one_call(unit u) {
  add_cases<TA, TB, TC, false>(u);
}
template <class TA, class TB, class TC>
void add_packed(unit u) {
  add_cases<TA, TB, TC, true>(u);
}

// gemm_threads/...: the whole machine, against one core's ceiling times the number of threads.
template <class T>
void add_threads(unit u) {
  constexpr std::size_t size = 1024;
  const auto run = [u](benchmark::State& state) {
    halfway::matrix<T> a(size, size), b(size, size);
    halfway::matrix<float> c(size, size);
    fill(a, 1);
    fill(b, 2);
    const halfway::packed_matrix packed(b);
    halfway::thread_pool pool(static_cast<std::size_t>(state.range(0)));
    report_products(
        state, operations({size, size, size}), u, [&] { halfway::gemm(a, packed, c, {}, pool); },
        static_cast<double>(pool.threads()));
  };
  benchmark::RegisterBenchmark(
      name("gemm_threads/", types<T, T, float>(), "/m:", size, "/n:", size, "/k:", size).c_str(),
      run)
      ->ArgName("threads")
      ->Arg(1)
      ->Arg(2)
      ->UseRealTime();
}

}  // namespace

void register_gemm() {
  using halfway::bfloat16;
  using halfway::half;
  add_one_call<float, float, float>(unit::f32);
  add_one_call<bfloat16, bfloat16, float>(unit::bf16);
  add_one_call<half, half, float>(unit::f32);  // no f16 arithmetic: widened
  add_one_call<std::uint8_t, std::int8_t, std::int32_t>(unit::i8);
  add_packed<float, float, float>(unit::f32);
  add_packed<bfloat16, bfloat16, float>(unit::bf16);
  add_packed<bfloat16, bfloat16, bfloat16>(unit::bf16);
  add_packed<half, half, float>(unit::f32);
  add_packed<halfway::float8_e4m3fn, halfway::float8_e4m3fn, float>(unit::f32);
  add_packed<std::uint8_t, std::int8_t, std::int32_t>(unit::i8);
  add_packed<std::int8_t, std::int8_t, std::int32_t>(unit::i8);
  add_threads<float>(unit::f32);
  add_threads<bfloat16>(unit::bf16);
}

}  // namespace halfway_bench
