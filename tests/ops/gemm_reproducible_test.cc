// SPDX-License-Identifier: Apache-2.0
// With gemm_options::reproducible every target gives the bits of the sum written out in scalar code.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/ops/quantized_matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/for_each_target.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::matrix;
using halfway::testing::for_each_target;

constexpr halfway::gemm_options reproducible{.reproducible = true};

// Values whose products are rounded in every sum, and now and then a subnormal.
template <class T>
void fill(matrix<T>& m, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (auto& x : m.elements()) {
    x = random() % 16 == 0 ? std::numeric_limits<T>::denorm_min() : T(normal(random));
  }
}

void expect_bits(const matrix<float>& got, const matrix<float>& want, const char* what) {
  for (std::size_t i = 0; i < want.rows(); ++i) {
    for (std::size_t j = 0; j < want.cols(); ++j) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got(i, j)), std::bit_cast<std::uint32_t>(want(i, j)))
          << what << " at " << i << ", " << j << ": " << got(i, j) << ", not " << want(i, j);
    }
  }
}

// Fused multiply-adds in the order of k.
template <class TA, class TB>
void expect_scalar_bits(std::size_t m, std::size_t n, std::size_t k) {
  matrix<TA> a(m, k);
  matrix<TB> b(k, n);
  fill(a, 1);
  fill(b, 2);
  matrix<float> want(m, n);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      float sum = 0.0f;
      for (std::size_t q = 0; q < k; ++q) {
        sum = std::fma(static_cast<float>(a(i, q)), static_cast<float>(b(q, j)), sum);
      }
      want(i, j) = sum;
    }
  }
  const halfway::packed_matrix packed(b);
  for_each_target([&] {
    matrix<float> got(m, n), of_packed(m, n), transposed(n, m);
    halfway::gemm(a, b, got, reproducible);
    expect_bits(got, want, "matrices");
    halfway::gemm(a, packed, of_packed, reproducible);
    expect_bits(of_packed, want, "packed");
    halfway::gemm(a, b, transposed.view().transposed(), reproducible);
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) ASSERT_EQ(transposed(j, i), want(i, j)) << i << ", " << j;
    }
  });
}

TEST(GemmReproducible, Floats) {
  expect_scalar_bits<float, float>(13, 70, 301);
  expect_scalar_bits<float, float>(2, 130, 40);
}
TEST(GemmReproducible, Bfloat16) {
  expect_scalar_bits<bfloat16, bfloat16>(13, 70, 301);
  expect_scalar_bits<bfloat16, bfloat16>(1, 130, 41);
}
TEST(GemmReproducible, Mixed) { expect_scalar_bits<half, halfway::float8_e4m3fn>(7, 33, 50); }

// A scale for each group: the group's sum times it is added in one more fused multiply-add.
TEST(GemmReproducible, Codes) {
  constexpr std::size_t m = 3, n = 40, k = 96, group = 32;
  matrix<float> a(m, k), scales(k / group, n), want(m, n);
  matrix<halfway::int4> codes(k, n);
  fill(a, 1);
  fill(scales, 2);
  for (std::size_t i = 0; i < k; ++i) {
    for (std::size_t j = 0; j < n; ++j)
      codes(i, j) = halfway::int4(static_cast<int>((i * 7 + j * 3) % 16) - 8);
  }
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      float all = 0.0f;
      for (std::size_t g = 0; g < k / group; ++g) {
        float sum = 0.0f;
        for (std::size_t q = g * group; q < (g + 1) * group; ++q) {
          sum = std::fma(a(i, q), static_cast<float>(static_cast<int>(codes(q, j))), sum);
        }
        all = std::fma(sum, scales(g, j), all);
      }
      want(i, j) = all;
    }
  }
  const halfway::quantized_matrix<halfway::int4> b(codes, scales, group);
  for_each_target([&] {
    matrix<float> got(m, n);
    halfway::gemm(a, b, got, reproducible);
    expect_bits(got, want, "codes");
  });
}

// alpha, scales, beta and bias: each a rounding of its own but for beta's, which is fused.
TEST(GemmReproducible, Epilogue) {
  constexpr std::size_t m = 4, n = 21, k = 30;
  matrix<float> a(m, k), b(k, n), c(m, n), sums(m, n);
  fill(a, 1);
  fill(b, 2);
  fill(c, 3);
  std::vector<float> bias(n), columns(n), rows(m);
  for (std::size_t j = 0; j < n; ++j) {
    bias[j] = 0.3f * static_cast<float>(j);
    columns[j] = 1.0f / (3.0f + static_cast<float>(j));
  }
  for (std::size_t i = 0; i < m; ++i) rows[i] = 1.0f / (7.0f + static_cast<float>(i));
  halfway::gemm(a, b, sums, reproducible);
  matrix<float> want(m, n);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const volatile float row = 1.7f * rows[i];  // volatile: rounded, not contracted
      const volatile float scaled = row * sums(i, j);
      const volatile float of_column = scaled * columns[j];
      want(i, j) = std::fma(-0.6f, c(i, j), of_column) + bias[j];
    }
  }
  for_each_target([&] {
    matrix<float> got(m, n);
    for (std::size_t i = 0; i < got.size(); ++i) got.elements()[i] = c.elements()[i];
    halfway::gemm(a, b, got,
                  {.alpha = 1.7f,
                   .beta = -0.6f,
                   .bias = bias,
                   .row_scale = rows,
                   .column_scale = columns,
                   .reproducible = true});
    expect_bits(got, want, "epilogue");
  });
}

}  // namespace
