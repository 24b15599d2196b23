// SPDX-License-Identifier: Apache-2.0
#include "measurement.h"

#include <algorithm>
#include <utility>

#include "ceilings.h"

namespace info {

namespace {

using halfway_bench::unit;

constexpr double seconds_each = 0.03;

std::string product_of(halfway::dtype type, const target_facts& t) {
  return format_supports(t)[static_cast<std::size_t>(type)].how;
}

bandwidth measure_bandwidth(std::string level, std::size_t bytes) {
  return {std::move(level), bytes, halfway_bench::read_bandwidth(bytes, seconds_each),
          halfway_bench::copy_bandwidth(bytes, seconds_each)};
}

}  // namespace

measurement measure(const machine& m, const target_facts& t) {
  using halfway::dtype;
  const auto gflops = [](unit u) { return halfway_bench::multiply_ceiling(u, seconds_each); };
  measurement all;
  all.arithmetic = {{"f32", gflops(unit::f32), product_of(dtype::float32, t)},
                    {"f16", gflops(unit::f32), product_of(dtype::float16, t)},
                    {"bf16", gflops(unit::bf16), product_of(dtype::bfloat16, t)},
                    {"int8", gflops(unit::i8), product_of(dtype::int8, t)}};
  if (t.bfloat16_dot &&
      (t.amx ||
       format_supports(t)[static_cast<std::size_t>(dtype::bfloat16)].gemm != support::native)) {
    all.arithmetic.push_back({"bf16_dot", gflops(unit::bf16_dot),
                              "dot products of pairs, which gemm does without on this CPU"});
  }

  // Half of a cache, but little more than what the one before it holds: the last one may be shared.
  std::size_t before = 0;
  for (int level = 1; level <= 4; ++level) {
    const std::size_t size = m.cache_bytes(level);
    if (size == 0) continue;
    const std::size_t bytes = before == 0 ? size / 2 : std::min(size / 2, 4 * before);
    if (bytes > before)
      all.bandwidths.push_back(measure_bandwidth("L" + std::to_string(level), bytes));
    before = size;
  }
  // As much as can be read a few times in the time that there is.
  constexpr std::size_t least = std::size_t{64} << 20, most = std::size_t{192} << 20;
  const std::size_t bytes = std::clamp(4 * before, least, most);
  all.bandwidths.push_back(measure_bandwidth("memory", bytes));
  all.bandwidths.back().exceeds_caches = before != 0 && bytes > before;
  return all;
}

}  // namespace info
