// SPDX-License-Identifier: Apache-2.0
// eigen_gemm/...: the same products with Eigen's own types, as it comes (it sums bfloat16 in
// bfloat16, integers in int32).
#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <cstdint>
#include <string_view>

#include "report.h"
#include "shapes.h"

namespace halfway_bench {
namespace {

template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Larger products take Eigen seconds each in the 16-bit types.
constexpr double most_operations_of_slow_types = 3e9;

template <class T>
void add_cases(std::string_view types, unit u, bool is_slow) {
  for (const auto [m, n, k] : gemm_shapes) {
    const double operations = 2.0 * static_cast<double>(m * n * k);
    if (is_slow && operations > most_operations_of_slow_types) continue;
    const auto run = [m = m, n = n, k = k, u, operations](benchmark::State& state) {
      const auto rows = static_cast<Eigen::Index>(m), cols = static_cast<Eigen::Index>(n),
                 depth = static_cast<Eigen::Index>(k);
      row_major<T> a = row_major<float>::Random(rows, depth).template cast<T>();
      row_major<T> b = row_major<float>::Random(depth, cols).template cast<T>();
      row_major<T> c(rows, cols);
      report_products(state, operations, u, [&] { c.noalias() = a * b; });
    };
    benchmark::RegisterBenchmark(name("eigen_gemm/", types, "/m:", m, "/n:", n, "/k:", k).c_str(),
                                 run);
  }
}

}  // namespace

void register_eigen_gemm() {
  add_cases<float>("f32_f32", unit::f32, false);
  add_cases<Eigen::bfloat16>("bf16_bf16", unit::bf16, true);
  add_cases<Eigen::half>("f16_f16", unit::f32, true);
  add_cases<std::int32_t>("s32_s32", unit::i8, true);  // Eigen has no 8-bit product
}

}  // namespace halfway_bench
