// SPDX-License-Identifier: Apache-2.0
// gemm/<a>_<c>/m:/n:/k: where both operands have one type, gemm/<a><b>_<c>/... where they differ.
#include "halfway/ops/gemm.h"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <type_traits>

#include "report.h"
#include "shapes.h"

namespace halfway_bench {
namespace {

template <class TA, class TB, class TC>
void add_cases(unit u) {
  std::string types(short_name<TA>());
  if constexpr (!std::is_same_v<TA, TB>) types += short_name<TB>();
  types += "_";
  types += short_name<TC>();
  for (const auto [m, n, k] : gemm_shapes) {
    const auto run = [m = m, n = n, k = k, u](benchmark::State& state) {
      halfway::matrix<TA> a(m, k);
      halfway::matrix<TB> b(k, n);
      halfway::matrix<TC> c(m, n);
      fill(a, 1);
      fill(b, 2);
      report_products(state, 2.0 * static_cast<double>(m * n * k), u,
                      [&] { halfway::gemm(a, b, c); });
    };
    benchmark::RegisterBenchmark(name("gemm/", types, "/m:", m, "/n:", n, "/k:", k).c_str(), run);
  }
}

}  // namespace

void register_gemm() {
  using halfway::bfloat16;
  using halfway::half;
  add_cases<float, float, float>(unit::f32);
  add_cases<bfloat16, bfloat16, float>(unit::bf16);
  add_cases<bfloat16, bfloat16, bfloat16>(unit::bf16);
  add_cases<half, half, float>(unit::f32);  // no f16 arithmetic: widened
  add_cases<halfway::float8_e4m3fn, halfway::float8_e4m3fn, float>(unit::f32);
  add_cases<std::uint8_t, std::int8_t, std::int32_t>(unit::i8);
  add_cases<std::int8_t, std::int8_t, std::int32_t>(unit::i8);
}

}  // namespace halfway_bench
