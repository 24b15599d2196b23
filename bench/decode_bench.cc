// SPDX-License-Identifier: Apache-2.0
// decode/<weights>/m:/n:/k: float activations times weights that are read from memory, as a model
// does for each token: GB/s of the bytes that the weights take, against a read of as many.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string_view>

#include "benches.h"
#include "case.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/ops/quantized_matrix.h"
#include "halfway/types/int4.h"
#include "names.h"

namespace halfway_bench {
namespace {

constexpr std::size_t n = 4096, k = 4096;

// make() gives the weights, which take so many bytes.
template <class Make>
void add_case(std::string_view weights, double bits, const Make& make) {
  for (const std::size_t m : {1u, 4u, 16u}) {
    const double elements = static_cast<double>(n * k);
    bench_case c = reading(name("decode/", weights, "/m:", m, "/n:", n, "/k:", k),
                           2 * elements * static_cast<double>(m), elements * bits / 8);
    c.prepare = [m, make] {
      const auto w = std::make_shared<decltype(make())>(make());
      const auto x = std::make_shared<halfway::matrix<float>>(random_matrix<float>(m, k, 1));
      const auto y = std::make_shared<halfway::matrix<float>>(m, n);
      return std::vector{contender{"halfway", [=] { halfway::gemm(*x, *w, *y); }}};
    };
    register_case(std::move(c));
  }
}

template <class T>
halfway::packed_matrix<T> make_packed() {
  return halfway::packed_matrix<T>(random_matrix<T>(k, n, 2));
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

// A scale of 32 bits for each group of a column.
double scale_bits(std::size_t group) { return 32.0 / static_cast<double>(group); }

}  // namespace

void register_decode() {
  add_case("f32", 32, [] { return make_packed<float>(); });
  add_case("bf16", 16, [] { return make_packed<halfway::bfloat16>(); });
  add_case("f16", 16, [] { return make_packed<halfway::half>(); });
  add_case("e4m3", 8, [] { return make_packed<halfway::float8_e4m3fn>(); });
  add_case("int8_channel", 8 + scale_bits(k), [] { return make_quantized<halfway::int8>(0); });
  add_case("int8_group:32", 8 + scale_bits(32), [] { return make_quantized<halfway::int8>(32); });
  add_case("int4_group:32", 4 + scale_bits(32), [] { return make_quantized<halfway::int4>(32); });
  add_case("int4_group:128", 4 + scale_bits(128),
           [] { return make_quantized<halfway::int4>(128); });
}

}  // namespace halfway_bench
