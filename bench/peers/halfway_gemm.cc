// SPDX-License-Identifier: Apache-2.0
#include "halfway_gemm.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "halfway/core/matrix.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"

namespace {

template <class T>
halfway::matrix<T> narrowed(const float* values, std::size_t rows, std::size_t cols) {
  halfway::matrix<T> to(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) to(i, j) = static_cast<T>(values[i * cols + j]);
  }
  return to;
}

template <class TA, class TB, class TC>
std::function<void()> product(std::size_t m, std::size_t n, std::size_t k, const float* a,
                              const float* b, float* c) {
  struct operands {
    halfway::matrix<TA> a;
    halfway::packed_matrix<TB> b;
    halfway::matrix<TC> c;
  };
  const auto o = std::make_shared<operands>(
      operands{narrowed<TA>(a, m, k), halfway::packed_matrix<TB>(narrowed<TB>(b, k, n)),
               halfway::matrix<TC>(m, n)});
  auto run = [o] { halfway::gemm(o->a, o->b, o->c); };
  run();
  for (std::size_t i = 0; i < m * n; ++i) c[i] = static_cast<float>(o->c.data()[i]);
  return run;
}

}  // namespace

std::function<void()> halfway_gemm(const char* type, std::size_t m, std::size_t n, std::size_t k,
                                   const float* a, const float* b, float* c) {
  const std::string name = type;
  if (name == "f32") return product<float, float, float>(m, n, k, a, b, c);
  if (name == "bf16") {
    return product<halfway::bfloat16, halfway::bfloat16, float>(m, n, k, a, b, c);
  }
  if (name == "f16") return product<halfway::half, halfway::half, float>(m, n, k, a, b, c);
  if (name == "u8s8") return product<std::uint8_t, std::int8_t, std::int32_t>(m, n, k, a, b, c);
  throw std::invalid_argument("halfway_gemm: unknown type " + name);
}
