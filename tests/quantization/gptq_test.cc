// SPDX-License-Identifier: Apache-2.0
#include "halfway/quantization/gptq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "halfway/ops/gemm.h"
#include "support/expect_error.h"

namespace {

using halfway::gptq_hessian;
using halfway::group_codes;
using halfway::int4;
using halfway::int8;
using halfway::matrix;
using halfway::testing::expect_error;

matrix<float> normal_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  matrix<float> m(rows, cols);
  for (float& x : m.elements()) x = normal(random);
  return m;
}

// Inputs that depend on each other, as activations do: a few directions and some noise.
matrix<float> correlated_inputs(std::size_t rows, std::size_t k, unsigned seed) {
  const matrix<float> directions = normal_matrix(6, k, 99), amounts = normal_matrix(rows, 6, seed);
  matrix<float> x = normal_matrix(rows, k, seed + 1);
  halfway::gemm(amounts, directions, x, {.beta = 0.3f});
  return x;
}

template <class T>
matrix<double> decoded(const group_codes<T>& q) {
  matrix<double> w(q.codes.rows(), q.codes.cols());
  for (std::size_t i = 0; i < w.rows(); ++i) {
    for (std::size_t j = 0; j < w.cols(); ++j) {
      w(i, j) = static_cast<double>(int(q.codes(i, j))) *
                static_cast<double>(q.scales(i / q.rows_in_group(), j));
    }
  }
  return w;
}

// Sum of (x w - x w')^2.
double output_error(const matrix<float>& x, const matrix<float>& w, const matrix<double>& other) {
  double total = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < w.cols(); ++j) {
      double d = 0;
      for (std::size_t p = 0; p < w.rows(); ++p) {
        d += static_cast<double>(x(i, p)) * (static_cast<double>(w(p, j)) - other(p, j));
      }
      total += d * d;
    }
  }
  return total;
}

TEST(Gptq, ErrsLessThanRoundingToNearest) {
  for (const std::size_t group : {0u, 32u}) {
    for (unsigned seed = 0; seed < 3; ++seed) {
      const matrix<float> x = correlated_inputs(200, 96, seed * 10),
                          w = normal_matrix(96, 24, seed);
      gptq_hessian hessian(96);
      hessian.observe(x);
      const double nearest =
          output_error(x, w, decoded(halfway::choose_group_codes<int4>(w, group)));
      const double made_up = output_error(x, w, decoded(halfway::gptq<int4>(w, hessian, group)));
      EXPECT_LT(made_up, nearest);
      const matrix<float> unseen = correlated_inputs(200, 96, seed * 10 + 5);
      EXPECT_LT(output_error(unseen, w, decoded(halfway::gptq<int4>(w, hessian, group))),
                output_error(unseen, w, decoded(halfway::choose_group_codes<int4>(w, group))));
    }
  }
}

// Solves a x = b by elimination with pivots; a is n x n.
std::vector<double> solve(std::vector<std::vector<double>> a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t c = 0; c < n; ++c) {
    std::size_t pivot = c;
    for (std::size_t r = c; r < n; ++r) {
      if (std::abs(a[r][c]) > std::abs(a[pivot][c])) pivot = r;
    }
    std::swap(a[c], a[pivot]);
    std::swap(b[c], b[pivot]);
    for (std::size_t r = c + 1; r < n; ++r) {
      const double f = a[r][c] / a[c][c];
      for (std::size_t q = c; q < n; ++q) a[r][q] -= f * a[c][q];
      b[r] -= f * b[c];
    }
  }
  for (std::size_t r = n; r-- > 0;) {
    for (std::size_t q = r + 1; q < n; ++q) b[r] -= a[r][q] * b[q];
    b[r] /= a[r][r];
  }
  return b;
}

// Optimal brain quantization from its definition: after each rounding the remaining rows are solved for.
TEST(Gptq, EachRowIsTheLeastSquaresAnswerToThoseBefore) {
  constexpr std::size_t k = 16, n = 5;
  const matrix<float> x = correlated_inputs(60, k, 3), w = normal_matrix(k, n, 4);
  gptq_hessian hessian(k);
  hessian.observe(x);
  const group_codes<int4> got = halfway::gptq<int4>(w, hessian, 8);
  double mean = 0;
  for (std::size_t i = 0; i < k; ++i) mean += hessian.sums()(i, i) / k;
  const auto h = [&](std::size_t i, std::size_t j) {
    return hessian.sums()(i, j) + (i == j ? 0.01 * mean : 0.0);
  };
  matrix<double> rest(k, n);
  for (std::size_t i = 0; i < rest.size(); ++i) rest.elements()[i] = w.elements()[i];
  for (std::size_t j = 0; j < n; ++j) {
    double scale = 0;
    for (std::size_t i = 0; i < k; ++i) {
      if (i % 8 == 0) {
        scale = 0;
        for (std::size_t r = i; r < i + 8; ++r) scale = std::max(scale, std::abs(rest(r, j)));
        scale = static_cast<double>(static_cast<float>(scale / 7));
        ASSERT_NEAR(got.scales(i / 8, j), scale, scale * 0x1p-23) << "a double may round otherwise";
      }
      const double code = std::clamp(std::nearbyint(rest(i, j) / scale), -7.0, 7.0);
      ASSERT_EQ(int(got.codes(i, j)), static_cast<int>(code)) << i << ", " << j;
      // Minimize (e_i, d) H (e_i, d)^T over d, where e_i is given: H_RR d = -H_Ri e_i.
      const std::size_t left = k - i - 1;
      std::vector<std::vector<double>> a(left, std::vector<double>(left));
      std::vector<double> b(left);
      for (std::size_t r = 0; r < left; ++r) {
        for (std::size_t q = 0; q < left; ++q) a[r][q] = h(i + 1 + r, i + 1 + q);
        b[r] = -h(i + 1 + r, i) * (code * scale - rest(i, j));
      }
      const std::vector<double> d = solve(a, b);
      for (std::size_t r = 0; r < left; ++r) rest(i + 1 + r, j) += d[r];
    }
  }
}

TEST(Gptq, IsRoundingToNearestWhereInputsAreIndependent) {
  matrix<float> unit(32, 32);
  for (std::size_t i = 0; i < 32; ++i) unit(i, i) = 2.0f;
  const matrix<float> w = normal_matrix(32, 9, 6);
  gptq_hessian hessian(32);
  hessian.observe(unit);
  const auto got = halfway::gptq<int8>(w, hessian, 8),
             nearest = halfway::choose_group_codes<int8>(w, 8);
  for (std::size_t i = 0; i < w.size(); ++i) {
    // One divides in float, the other in double: codes may differ by one where that is a tie.
    EXPECT_LE(std::abs(got.codes.elements()[i] - nearest.codes.elements()[i]), 1);
  }
  for (std::size_t i = 0; i < got.scales.size(); ++i) {
    EXPECT_NEAR(got.scales.elements()[i], nearest.scales.elements()[i],
                nearest.scales.elements()[i] * 0x1p-23f);
  }
}

TEST(Gptq, MergesDeadInputsAndRaggedGroups) {
  matrix<float> x = correlated_inputs(50, 20, 1), more = correlated_inputs(30, 20, 2);
  for (std::size_t i = 0; i < 50; ++i) x(i, 7) = 0;
  for (std::size_t i = 0; i < 30; ++i) more(i, 7) = 0;
  gptq_hessian both(20), first(20), second(20);
  both.observe(x);
  both.observe(more);
  first.observe(x);
  second.observe(more);
  first.merge(second);
  EXPECT_EQ(first.rows_observed(), 80u);
  for (std::size_t i = 0; i < 400; ++i) {
    // 80 terms in another order.
    const double a = both.sums().data()[i],
                 scale = std::sqrt(both.sums()(i / 20, i / 20) * both.sums()(i % 20, i % 20));
    EXPECT_NEAR(first.sums().data()[i], a, scale * 80 * 0x1p-52);
  }
  const matrix<float> w = normal_matrix(20, 3, 5);
  const auto q = halfway::gptq<int4>(w, both, 16);  // groups of 16 and of 4
  EXPECT_EQ(q.scales.rows(), 2u);
  EXPECT_EQ(q.packed().rows(), 20u);
  for (const int4 code : q.codes.elements()) EXPECT_GE(int(code), -7);
}

TEST(GptqErrors, NameTheArgument) {
  const matrix<float> w = normal_matrix(16, 4, 1);
  gptq_hessian none(16), other(8), thin(16);
  expect_error([&] { halfway::gptq<int4>(w, other, 8); },
               {"hessian.size (8) must equal w.rows (16)"});
  expect_error([&] { halfway::gptq<int4>(w, none, 8); }, {"hessian has observed no rows"});
  thin.observe(normal_matrix(1, 16, 2));
  expect_error([&] { halfway::gptq<int4>(w, thin, 12); }, {"group (12) must be a multiple of 8"});
  expect_error([&] { halfway::gptq<int4>(w, thin, 8, {.damping = -1}); }, {"options.damping (-1)"});
  expect_error([&] { halfway::gptq<int4>(w, thin, 8, {.damping = 0}); }, {"not positive definite"});
  matrix<float> x = normal_matrix(3, 16, 3);
  x(1, 1) = std::numeric_limits<float>::infinity();
  expect_error([&] { thin.observe(x); }, {"x has 1 infinite or NaN elements"});
  expect_error([&] { halfway::gptq<int4>(x.view().transposed(), gptq_hessian(16), 8); },
               {"no rows"});
  expect_error([&] { thin.observe(w); }, {"x.cols (4) must equal size (16)"});
}

}  // namespace
