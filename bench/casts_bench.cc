// SPDX-License-Identifier: Apache-2.0
// cast/<from>_<to>/n: against a copy of as many bytes.
#include <benchmark/benchmark.h>

#include <cstddef>

#include "halfway/core/matrix.h"
#include "halfway/ops/convert.h"
#include "report.h"

namespace halfway_bench {
namespace {

template <class From, class To>
void add_cast() {
  for (std::size_t n :
       {std::size_t{1} << 14, std::size_t{1} << 17, std::size_t{1} << 20, std::size_t{1} << 24}) {
    const auto run = [n](benchmark::State& state) {
      halfway::matrix<From> x(1, n);
      halfway::matrix<To> y(1, n);
      fill(x);
      const std::size_t bytes = x.bytes() + y.bytes();
      report_bytes(state, bytes, copy_bandwidth(bytes),
                   [&] { halfway::convert(x.elements(), y.elements()); });
    };
    benchmark::RegisterBenchmark(
        name("cast/", short_name<From>(), "_", short_name<To>(), "/n:", n).c_str(), run);
  }
}

template <class T>
void add_both_ways() {
  add_cast<float, T>();
  add_cast<T, float>();
}

}  // namespace

void register_casts() {
  add_both_ways<halfway::bfloat16>();
  add_both_ways<halfway::half>();
  add_both_ways<halfway::float8_e4m3fn>();
  add_both_ways<halfway::float8_e5m2>();
  add_cast<halfway::half, halfway::bfloat16>();
}

}  // namespace halfway_bench
