// SPDX-License-Identifier: Apache-2.0
#include "halfway/ops/packed_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/gemm.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::matrix;
using halfway::packed_matrix;
using halfway::testing::for_each_target;
using halfway::testing::message_of;

template <class T>
void fill(matrix<T>& m, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (auto& x : m.elements()) x = T(normal(random));
}

template <class Types>
class PackedMatrixTest : public ::testing::Test {};

using FloatTypes = ::testing::Types<std::tuple<float, float>, std::tuple<bfloat16, bfloat16>,
                                    std::tuple<half, half>, std::tuple<float, bfloat16>,
                                    std::tuple<bfloat16, halfway::float8_e4m3fn>>;
TYPED_TEST_SUITE(PackedMatrixTest, FloatTypes);

// Packing changes where elements lie, not the order in which they are summed: but for operands that
// are both bfloat16, which are widened or not, the bits are those of the product of matrices.
template <class TA, class TB>
void expect_same_as_matrices(std::size_t m, std::size_t n, std::size_t k, bool transposed) {
  matrix<TA> a(m, k);
  matrix<TB> b(transposed ? n : k, transposed ? k : n);
  fill(a, 1);
  fill(b, 2);
  const auto view = transposed ? b.view().transposed() : b.view();
  const std::vector<float> bias(n, 0.5f);
  const halfway::gemm_options options{.alpha = 2.0f, .beta = -1.0f, .bias = bias};
  matrix<float> want(m, n), got(m, n);
  fill(want, 3);
  fill(got, 3);
  halfway::gemm(a, view, want, options);
  const packed_matrix<TB> packed(view);
  EXPECT_EQ(packed.rows(), k);
  EXPECT_EQ(packed.cols(), n);
  halfway::gemm(a, packed, got, options);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      ASSERT_EQ(got(i, j), want(i, j)) << m << " x " << n << " x " << k << " at " << i << ", " << j;
    }
  }
}

TYPED_TEST(PackedMatrixTest, GivesTheBitsOfTheProductOfMatrices) {
  using TA = std::tuple_element_t<0, TypeParam>;
  using TB = std::tuple_element_t<1, TypeParam>;
  for_each_target([] {
    for (std::size_t m : {1, 2, 3, 7, 8, 17}) expect_same_as_matrices<TA, TB>(m, 50, 33, false);
    for (std::size_t n : {1, 15, 16, 17, 32, 47, 48, 49, 97}) {
      expect_same_as_matrices<TA, TB>(5, n, 18, true);
    }
    for (std::size_t k = 0; k <= 9; ++k) expect_same_as_matrices<TA, TB>(9, 20, k, k % 2 == 0);
    expect_same_as_matrices<TA, TB>(3, 20, 4999, true);
    expect_same_as_matrices<TA, TB>(270, 5, 2051, false);
  });
}

// Weights that come from memory are taken in parts, ahead of need.
template <class TA, class TB, class TC>
void expect_same_as_matrices_of_large(std::size_t k, std::size_t n) {
  matrix<TA> a(24, k);
  matrix<TB> b(k, n);
  std::mt19937 random(7);
  const auto fill_small = [&](auto& m) {  // exact sums: the order does not matter
    for (auto& x : m.elements())
      x = std::remove_cvref_t<decltype(x)>(static_cast<int>(random() % 5) - 1);
  };
  fill_small(b);
  fill_small(a);
  const packed_matrix packed(b);
  ASSERT_GE(packed.bytes(), std::size_t{8} << 20);
  matrix<TC> want(24, n), got(24, n);
  halfway::gemm(a, b, want);
  for_each_target([&] {
    for (std::size_t m : {1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 24}) {
      const auto rows = a.view().block(0, 0, m, k);
      const auto of_rows = got.view().block(0, 0, m, n);
      halfway::gemm(rows, packed, of_rows);
      for (std::size_t i = 0; i < m * n; ++i) {
        ASSERT_EQ(got.elements()[i], want.elements()[i]) << m << " rows, element " << i;
      }
    }
  });
}

TEST(PackedMatrix, LargeWeightsGiveTheSame) {
  expect_same_as_matrices_of_large<float, float, float>(1100, 2000);
  expect_same_as_matrices_of_large<bfloat16, bfloat16, bfloat16>(2200, 2000);
  expect_same_as_matrices_of_large<std::int8_t, std::int8_t, std::int32_t>(4403, 2000);
}

template <class TA>
void expect_exact(std::size_t m, std::size_t n, std::size_t k) {
  std::mt19937 random(5);
  matrix<TA> a(m, k);
  matrix<std::int8_t> b(k, n);
  for (auto& x : a.elements()) x = static_cast<TA>(random());
  for (auto& x : b.elements()) x = static_cast<std::int8_t>(random());
  matrix<std::int32_t> want(m, n), got(m, n);
  halfway::gemm(a, b, want);
  halfway::gemm(a, packed_matrix(b), got);
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got.elements()[i], want.elements()[i]) << m << " x " << n << " x " << k;
  }
}

TEST(PackedMatrix, IntegersAreExact) {
  for_each_target([] {
    for (std::size_t k : {0, 1, 3, 4, 5, 130}) {
      expect_exact<std::uint8_t>(9, 50, k);
      expect_exact<std::int8_t>(9, 50, k);
    }
    expect_exact<std::int8_t>(3, 17, 4099);
  });
}

// What is packed on one target is read on another.
TEST(PackedMatrix, TheLayoutDoesNotDependOnTheTarget) {
  matrix<bfloat16> a(4, 37), b(37, 70);
  fill(a, 1);
  fill(b, 2);
  const packed_matrix packed(b);
  for_each_target([&] {
    matrix<float> want(4, 70), got(4, 70);
    halfway::gemm(a, b, want);
    halfway::gemm(a, packed, got);
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(got.elements()[i], want.elements()[i]);
    }
  });
}

TEST(PackedMatrix, BytesAreTheElementsPlusPadding) {
  EXPECT_EQ(packed_matrix(matrix<bfloat16>(768, 3072)).bytes(), 768u * 3072 * 2);
  EXPECT_EQ(packed_matrix(matrix<half>(5, 17)).bytes(), 5u * 32 * 2);
  EXPECT_EQ(packed_matrix(matrix<bfloat16>(5, 17)).bytes(), 6u * 32 * 2);
  EXPECT_EQ(packed_matrix<float>().bytes(), 0u);
}

TEST(PackedMatrix, ServesSeveralThreads) {
  matrix<half> a(8, 64), b(64, 100);
  fill(a, 1);
  fill(b, 2);
  const packed_matrix packed(b);
  matrix<float> want(8, 100);
  halfway::gemm(a, packed, want);
  std::vector<matrix<float>> got(4, matrix<float>(8, 100));
  std::vector<std::thread> threads;
  for (auto& c : got) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) halfway::gemm(a, packed, c);
    });
  }
  for (auto& t : threads) t.join();
  for (const auto& c : got) {
    for (std::size_t i = 0; i < c.size(); ++i) ASSERT_EQ(c.elements()[i], want.elements()[i]);
  }
}

TEST(PackedMatrix, ErrorsNameTheArgumentAndTheValues) {
  const packed_matrix packed(matrix<float>(4, 5));
  matrix<float> a(2, 3), a_right(2, 4), c(2, 5), c_wrong(2, 6);
  EXPECT_EQ(message_of([&] { halfway::gemm(a, packed, c); }),
            "halfway::gemm: b.rows (4) must equal a.cols (3)");
  EXPECT_EQ(message_of([&] { halfway::gemm(a_right, packed, c_wrong); }),
            "halfway::gemm: c.cols (6) must equal b.cols (5)");
  const std::vector<float> bias(4);
  EXPECT_EQ(message_of([&] { halfway::gemm(a_right, packed, c, {.bias = bias}); }),
            "halfway::gemm: bias.size (4) must equal c.cols (5)");
}

}  // namespace
