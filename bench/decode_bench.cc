// SPDX-License-Identifier: Apache-2.0
// decode/<weights>/m:/n:/k: float activations times weights that are read from memory, as a model
// does for each token: GB/s of the bytes that the weights take, against a read of as many.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

#include "halfway/ops/gemm.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/ops/quantized_matrix.h"
#include "halfway/types/int4.h"
#include "report.h"

namespace halfway_bench {
namespace {

constexpr std::size_t n = 4096, k = 4096;

// make() gives the weights.
template <class Make>
void add_case(std::string_view weights, const Make& make) {
  for (const std::size_t m : {1u, 4u, 16u}) {
    const auto run = [m, make](benchmark::State& state) {
      const auto w = make();
      halfway::matrix<float> x(m, k), y(m, n);
      fill(x, 1);
      report_bytes(state, w.bytes(), read_bandwidth(w.bytes()), [&] { halfway::gemm(x, w, y); });
    };
    benchmark::RegisterBenchmark(name("decode/", weights, "/m:", m, "/n:", n, "/k:", k).c_str(),
                                 run);
  }
}

template <class T>
halfway::packed_matrix<T> make_packed() {
  halfway::matrix<T> w(k, n);
  fill(w, 2);
  return halfway::packed_matrix<T>(w);
}

template <class T>
halfway::quantized_matrix<T> make_quantized(std::size_t group) {
  std::mt19937 random(2);
  halfway::matrix<T> codes(k, n);
  for (T& code : codes.elements()) code = T::from_bits(static_cast<std::uint8_t>(random() & 15));
  halfway::matrix<float> scales(group == 0 ? 1 : k / group, n);
  for (float& scale : scales.elements()) scale = 0.01f;
  return halfway::quantized_matrix<T>(codes, scales, group);
}

}  // namespace

void register_decode() {
  add_case("f32", [] { return make_packed<float>(); });
  add_case("bf16", [] { return make_packed<halfway::bfloat16>(); });
  add_case("f16", [] { return make_packed<halfway::half>(); });
  add_case("e4m3", [] { return make_packed<halfway::float8_e4m3fn>(); });
  add_case("int8_channel", [] { return make_quantized<halfway::int8>(0); });
  add_case("int8_group:32", [] { return make_quantized<halfway::int8>(32); });
  add_case("int4_group:32", [] { return make_quantized<halfway::int4>(32); });
  add_case("int4_group:128", [] { return make_quantized<halfway::int4>(128); });
}

}  // namespace halfway_bench
