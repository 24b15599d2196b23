// SPDX-License-Identifier: Apache-2.0
// Gradients of a product with respect to its operands and its bias.
#include "halfway/ops/gemm_backward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::matrix;
using halfway::matrix_view;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;
using halfway::testing::gamma;
using halfway::testing::normal_values;
using halfway::testing::rounding_of;

template <class T>
matrix<T> normal_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
  matrix<T> m(rows, cols);
  const auto values = normal_values<T>(rows * cols, 0.0, 1.0, seed);
  std::copy(values.begin(), values.end(), m.data());
  return m;
}

// Operands, a gradient that they are narrowed to, and one of FP32.
template <class TA, class TB, class TDC, class TDA>
void expect_gradients(std::size_t m, std::size_t k, std::size_t n) {
  const auto a = normal_matrix<TA>(m, k, 1);
  const auto b = normal_matrix<TB>(k, n, 2);
  const auto dc = normal_matrix<TDC>(m, n, 3);
  matrix<TDA> da(m, k);
  matrix<float> db = normal_matrix<float>(k, n, 4);
  const matrix<float> db_before = db;
  auto dbias = normal_values<float>(n, 0.0, 1.0, 5);
  const auto dbias_before = dbias;
  const float fa = 0.5f, fb = 0.25f;  // exact
  halfway::gemm_backward(a, b, dc, da.view(), db.view(), dbias, {.da_factor = fa, .db_factor = fb});
  const auto value = [](auto x) { return static_cast<double>(x); };
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < k; ++j) {
      double exact = 0, magnitude = 0;
      for (std::size_t l = 0; l < n; ++l) {
        exact += fa * value(dc(i, l)) * value(b(j, l));
        magnitude += std::abs(fa * value(dc(i, l)) * value(b(j, l)));
      }
      const double error = gamma(static_cast<double>(n) + 3) * magnitude;
      ASSERT_LE(std::abs(value(da(i, j)) - exact),
                error + rounding_of<TDA>(std::abs(exact) + error));
    }
  }
  for (std::size_t i = 0; i < k; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double exact = db_before(i, j), magnitude = std::abs(exact);
      for (std::size_t l = 0; l < m; ++l) {
        exact += fb * value(a(l, i)) * value(dc(l, j));
        magnitude += std::abs(fb * value(a(l, i)) * value(dc(l, j)));
      }
      const double error = gamma(static_cast<double>(m) + 4) * magnitude;
      ASSERT_LE(std::abs(db(i, j) - exact), error);
    }
  }
  for (std::size_t j = 0; j < n; ++j) {
    double exact = dbias_before[j], magnitude = std::abs(exact);
    for (std::size_t l = 0; l < m; ++l) {
      exact += value(dc(l, j));
      magnitude += std::abs(value(dc(l, j)));
    }
    const double d = static_cast<double>(m) / 8 + 11;  // column_sums, and one addition
    ASSERT_LE(std::abs(dbias[j] - exact), gamma(d) * magnitude);
  }
}

TEST(GemmBackward, StaysWithinTheBoundsOfItsProducts) {
  for_each_target([] {
    expect_gradients<float, float, float, float>(7, 5, 3);
    expect_gradients<half, half, half, half>(33, 20, 17);
    expect_gradients<bfloat16, bfloat16, bfloat16, bfloat16>(33, 20, 17);
  });
  expect_gradients<halfway::float8_e4m3fn, halfway::float8_e4m3fn, halfway::float8_e5m2, bfloat16>(
      9, 10, 11);
}

TEST(GemmBackward, ComputesWhatIsWanted) {
  const auto a = normal_matrix<half>(6, 4, 1);
  const auto b = normal_matrix<half>(4, 5, 2);
  const auto dc = normal_matrix<half>(6, 5, 3);
  matrix<half> da(6, 4), da_alone(6, 4);
  matrix<float> db(4, 5), db_alone(4, 5);
  std::vector<float> dbias(5), dbias_alone(5);
  halfway::gemm_backward(a, b, dc, da.view(), db.view(), dbias);
  const matrix<half> none;
  halfway::gemm_backward(none, b, dc, da_alone.view(), {}, {});
  halfway::gemm_backward(a, none, dc, matrix_view<half>(), db_alone.view(), {});
  halfway::gemm_backward(none, none, dc, matrix_view<half>(), {}, dbias_alone);
  EXPECT_TRUE(std::ranges::equal(da.elements(), da_alone.elements()));
  EXPECT_TRUE(std::ranges::equal(db.elements(), db_alone.elements()));
  EXPECT_EQ(dbias, dbias_alone);
}

TEST(GemmBackward, NamesBadArguments) {
  matrix<float> a(6, 4), b(4, 5), dc(6, 5), da(6, 4), db(4, 5);
  std::vector<float> dbias(5, 2.0f), shorter(4);
  expect_error([&] { halfway::gemm_backward(a, b, dc, matrix<float>(5, 4).view(), {}, {}); },
               {"halfway::gemm_backward", "da.rows() (5)", "dc.rows() (6)"});
  expect_error(
      [&] { halfway::gemm_backward(a, b, dc, da.view(), matrix<float>(4, 6).view(), dbias); },
      {"db.cols() (6)", "dc.cols() (5)"});
  expect_error([&] { halfway::gemm_backward(a, b, dc, da.view(), db.view(), shorter); },
               {"dbias.size() (4)", "dc.cols() (5)"});
  expect_error([&] { halfway::gemm_backward(a, b, dc, a.view(), db.view(), dbias); },
               {"da and a share memory"});
  expect_error([&] { halfway::gemm_backward(a, b, dc, da.view(), b.view(), dbias); },
               {"db and b share memory"});
  expect_error([&] { halfway::gemm_backward(a, b, dc, da.view(), db.view(), dc.row(0)); },
               {"dbias and dc share memory"});
  expect_error(
      [&] {
        halfway::gemm_backward(a, b, dc, da.view(), db.view(), dbias,
                               {.db_factor = std::numeric_limits<float>::infinity()});
      },
      {"db_factor (inf)"});
  EXPECT_EQ(dbias, std::vector<float>(5, 2.0f));
}

}  // namespace
