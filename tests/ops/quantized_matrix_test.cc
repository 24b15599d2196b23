// SPDX-License-Identifier: Apache-2.0
#include "halfway/ops/quantized_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <tuple>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/int4.h"
#include "halfway/types/int8.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::bfloat16;
using halfway::int4;
using halfway::int8;
using halfway::matrix;
using halfway::quantized_matrix;
using halfway::testing::for_each_target;
using halfway::testing::message_of;

constexpr std::size_t groups_of(std::size_t k, std::size_t group) {
  return group == 0 ? (k != 0) : (k + group - 1) / group;
}

// Codes over their whole range.
template <class T>
matrix<T> random_codes(std::size_t k, std::size_t n, std::mt19937& random) {
  constexpr int bits = std::is_same_v<T, int4> ? 4 : 8;
  std::uniform_int_distribution<int> code(-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
  matrix<T> codes(k, n);
  for (auto& x : codes.elements()) x = T(code(random));
  return codes;
}

template <class Types>
class QuantizedMatrixTest : public ::testing::Test {};
using Types = ::testing::Types<std::tuple<float, int4>, std::tuple<bfloat16, int8>>;
TYPED_TEST_SUITE(QuantizedMatrixTest, Types);

// Small integers times scales that are powers of two: every sum is exact in FP32, in any order.
TYPED_TEST(QuantizedMatrixTest, ExactWhereFloatsAre) {
  using TA = std::tuple_element_t<0, TypeParam>;
  using T = std::tuple_element_t<1, TypeParam>;
  std::mt19937 random(1);
  std::uniform_int_distribution<int> small(-3, 3), power(-2, 1);
  const std::size_t shapes[][4] = {{1, 1, 1, 0},      {1, 64, 8, 8},     {1, 130, 100, 32},
                                   {2, 200, 96, 32},  {3, 256, 1100, 0}, {4, 47, 31, 8},
                                   {7, 80, 1030, 64}, {17, 129, 64, 16}, {1, 300, 1200, 1120}};
  for_each_target([&] {
    for (const auto& [m, n, k, group] : shapes) {
      matrix<TA> a(m, k);
      for (auto& x : a.elements()) x = TA(static_cast<float>(small(random)));
      const matrix<T> codes = random_codes<T>(k, n, random);
      matrix<float> scales(groups_of(k, group), n);
      for (auto& x : scales.elements()) x = std::ldexp(1.0f, power(random));
      const quantized_matrix<T> w(codes, scales, group);
      matrix<float> y(m, n);
      halfway::gemm(a, w, y);
      for (std::size_t i = 0; i < m; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          double want = 0;
          for (std::size_t q = 0; q < k; ++q) {
            want += static_cast<double>(a(i, q)) * static_cast<int>(codes(q, j)) *
                    static_cast<double>(scales(group == 0 ? 0 : q / group, j));
          }
          ASSERT_EQ(y(i, j), want)
              << m << 'x' << n << 'x' << k << " group " << group << " at " << i << ", " << j;
        }
      }
    }
  });
}

TEST(QuantizedMatrix, KeepsItsErrorBound) {
  constexpr std::size_t m = 5, n = 70, k = 1000, group = 32;
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  matrix<float> a(m, k), scales(groups_of(k, group), n);
  for (auto& x : a.elements()) x = normal(random);
  for (auto& x : scales.elements()) x = std::abs(normal(random));
  const matrix<int4> codes = random_codes<int4>(k, n, random);
  const quantized_matrix<int4> w(codes, scales, group);
  const std::vector<float> bias(n, 3.0f);
  for_each_target([&] {
    matrix<float> y(m, n);
    halfway::gemm(a, w, y, {.alpha = -2.0f, .bias = bias});
    constexpr double terms = group + groups_of(k, group) + 3, u = 0x1p-24;
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        double sum = 0, magnitude = 0;
        for (std::size_t q = 0; q < k; ++q) {
          const double product = static_cast<double>(a(i, q)) * static_cast<int>(codes(q, j)) *
                                 static_cast<double>(scales(q / group, j));
          sum += product;
          magnitude += std::abs(product);
        }
        const double bound = terms * u / (1 - terms * u) * (2 * magnitude + 3.0);
        ASSERT_LE(std::abs(y(i, j) - (-2 * sum + 3.0)), bound) << i << ", " << j;
      }
    }
  });
}

// A row's bits don't depend on the rows beside it, however many there are.
TEST(QuantizedMatrix, RowsAreIndependent) {
  constexpr std::size_t m = 20, n = 200, k = 700;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  matrix<float> a(m, k), scales(groups_of(k, 64), n);
  for (auto& x : a.elements()) x = normal(random);
  for (auto& x : scales.elements()) x = normal(random);
  const quantized_matrix<int8> w(random_codes<int8>(k, n, random), scales, 64);
  for_each_target([&] {
    matrix<float> all(m, n), one(1, n);
    halfway::gemm(a, w, all);
    for (std::size_t i = 0; i < m; ++i) {
      halfway::gemm(a.view().block(i, 0, 1, k), w, one);
      for (std::size_t j = 0; j < n; ++j) ASSERT_EQ(one(0, j), all(i, j)) << i << ", " << j;
    }
  });
}

TEST(QuantizedMatrix, SaysHowMuchMemoryItTakes) {
  const matrix<int4> codes(64, 32);
  const matrix<float> scales(2, 32);
  EXPECT_EQ(quantized_matrix<int4>(codes, scales, 32).bytes(), 64 * 32 / 2 + 2 * 32 * 4u);
  EXPECT_EQ(quantized_matrix<int4>().bytes(), 0u);
}

TEST(QuantizedMatrixErrors, NameTheArgument) {
  const matrix<int4> codes(64, 3);
  EXPECT_EQ(message_of([&] { quantized_matrix<int4>(codes, matrix<float>(2, 3), 12); }),
            "halfway::quantized_matrix: group (12) must be a multiple of 8, or 0");
  EXPECT_EQ(message_of([&] { quantized_matrix<int4>(codes, matrix<float>(3, 3), 32); }),
            "halfway::quantized_matrix: scales.rows (3) must equal ceil(codes.rows / group) (2)");
  EXPECT_EQ(message_of([&] { quantized_matrix<int4>(codes, matrix<float>(2, 4), 32); }),
            "halfway::quantized_matrix: scales.cols (4) must equal codes.cols (3)");
  const quantized_matrix<int4> w(codes, matrix<float>(2, 3), 32);
  matrix<float> a(1, 63), y(1, 3);
  EXPECT_EQ(message_of([&] { halfway::gemm(a, w, y); }),
            "halfway::gemm: b.rows (64) must equal a.cols (63)");
}

}  // namespace
