// SPDX-License-Identifier: Apache-2.0
#include "halfway/quantization/smooth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "halfway/ops/gemm.h"
#include "halfway/quantization/blocks.h"
#include "halfway/quantization/quantized_linear.h"
#include "support/expect_error.h"

namespace {

using halfway::matrix;
using halfway::testing::expect_error;

matrix<float> normal_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  matrix<float> m(rows, cols);
  for (float& x : m.elements()) x = normal(random);
  return m;
}

double squared_distance(const matrix<float>& a, const matrix<float>& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a.elements()[i]) - static_cast<double>(b.elements()[i]);
    total += d * d;
  }
  return total;
}

std::vector<float> column_amax(const matrix<float>& x) {
  std::vector<float> amax(x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) amax[j] = std::max(amax[j], std::abs(x(i, j)));
  }
  return amax;
}

TEST(Smooth, OutlyingChannelsCostLessAndTheProductStays) {
  constexpr std::size_t m = 40, k = 64, n = 32;
  matrix<float> x = normal_matrix(m, k, 1), w = normal_matrix(k, n, 2);
  for (std::size_t i = 0; i < m; ++i) {
    for (const std::size_t channel : {5u, 40u})
      x(i, channel) *= 60.0f;  // as in Xiao et al., figure 2
  }
  matrix<float> exact(m, n), before(m, n), after(m, n), again(m, n);
  halfway::gemm(x, w, exact);
  halfway::quantized_linear(w).dynamic(x, before);

  const auto factors = halfway::smoothing_factors(column_amax(x), w, 0.5);
  const std::vector<float> amax_x = column_amax(x);
  for (std::size_t p = 0; p < k; ++p) {
    float amax_w = 0;
    for (std::size_t j = 0; j < n; ++j) amax_w = std::max(amax_w, std::abs(w(p, j)));
    const double ideal = std::sqrt(static_cast<double>(amax_x[p]) / static_cast<double>(amax_w));
    EXPECT_EQ(factors[p], std::exp2(std::nearbyint(std::log2(ideal))));
  }
  halfway::divide_columns(x, factors);
  halfway::multiply_rows(w, factors);
  halfway::gemm(x, w, again);
  EXPECT_EQ(squared_distance(again, exact), 0.0) << "powers of two cancel in each product";
  halfway::quantized_linear(w).dynamic(x, after);
  EXPECT_LT(squared_distance(after, exact), squared_distance(before, exact));
}

TEST(Smooth, EqualizedLayersErrLessPerTensor) {
  constexpr std::size_t m = 50, k = 30, hidden = 40, n = 20;
  const matrix<float> x = normal_matrix(m, k, 3);
  matrix<float> first = normal_matrix(k, hidden, 4), second = normal_matrix(hidden, n, 5);
  for (std::size_t c = 0; c < hidden;
       ++c) {  // channels of unlike ranges, as after folded batch norms
    const float range = std::ldexp(1.0f, static_cast<int>(c % 9) - 4);
    for (std::size_t p = 0; p < k; ++p) first(p, c) *= range;
    for (std::size_t j = 0; j < n; ++j) second(c, j) /= range;
  }
  const auto network = [&](const matrix<float>& a, const matrix<float>& b) {
    matrix<float> h(m, hidden), y(m, n);
    halfway::gemm(x, a, h);
    for (float& v : h.elements()) v = std::max(v, 0.0f);
    halfway::gemm(h, b, y);
    return y;
  };
  const auto quantized = [](const matrix<float>& w) {  // int8 per tensor
    const auto params = halfway::choose_block_params(w, halfway::dtype::int8, {});
    matrix<halfway::int8> codes(w.rows(), w.cols());
    matrix<float> decoded(w.rows(), w.cols());
    halfway::quantize_blocks(w, codes, params, {});
    halfway::dequantize_blocks(codes, decoded, params, {});
    return decoded;
  };
  const matrix<float> exact = network(first, second);
  const double before = squared_distance(network(quantized(first), quantized(second)), exact);
  const auto factors = halfway::equalizing_factors(first, second);
  halfway::divide_columns(first, factors);
  halfway::multiply_rows(second, factors);
  EXPECT_EQ(squared_distance(network(first, second), exact), 0.0);
  EXPECT_LT(squared_distance(network(quantized(first), quantized(second)), exact), before);
}

TEST(Smooth, BiasShiftIsTheMeanErrorOfTheOutputs) {
  constexpr std::size_t m = 64, k = 40, n = 12;
  matrix<float> x = normal_matrix(m, k, 6);
  for (float& v : x.elements()) v = std::abs(v);  // inputs with a mean
  const matrix<float> w = normal_matrix(k, n, 7);
  const halfway::block_shape columns{0, 1};
  const auto params = halfway::choose_block_params(w, halfway::dtype::int4, columns);
  matrix<halfway::int4> codes(k, n);
  matrix<float> decoded(k, n), exact(m, n), y(m, n);
  halfway::quantize_blocks(w, codes, params, columns);
  halfway::dequantize_blocks(codes, decoded, params, columns);
  std::vector<float> mean_x(k);
  for (std::size_t p = 0; p < k; ++p) {
    double sum = 0;
    for (std::size_t i = 0; i < m; ++i) sum += static_cast<double>(x(i, p));
    mean_x[p] = static_cast<float>(sum / m);
  }
  const auto shift = halfway::bias_shift(mean_x, w, decoded);
  halfway::gemm(x, w, exact);
  halfway::gemm(x, decoded, y);
  matrix<float> corrected = y;
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) corrected(i, j) -= shift[j];
  }
  EXPECT_LT(squared_distance(corrected, exact), squared_distance(y, exact));
  for (std::size_t j = 0; j < n; ++j) {
    double mean = 0, size = 0;
    for (std::size_t i = 0; i < m; ++i) {
      mean += (static_cast<double>(y(i, j)) - static_cast<double>(exact(i, j))) / m;
      for (std::size_t p = 0; p < k; ++p) {
        size += static_cast<double>(x(i, p)) *
                (std::abs(static_cast<double>(decoded(p, j))) +
                 std::abs(static_cast<double>(w(p, j)))) /
                m;
      }
    }
    // Both products sum 40 terms in float; mean_x is rounded, and the shift.
    EXPECT_NEAR(static_cast<double>(shift[j]), mean, size * 44 * 0x1p-24);
  }
}

TEST(Smooth, ChannelsOfZerosKeepTheirScale) {
  matrix<float> w(3, 2);
  w(0, 0) = 4.0f;
  w(2, 1) = 1.0f;
  const std::vector<float> amax = {1.0f, 5.0f, 0.0f};
  const std::vector<float> expected = {0.5f, 1.0f, 1.0f};
  EXPECT_EQ(halfway::smoothing_factors(amax, w), expected);
  EXPECT_EQ(halfway::smoothing_factors(amax, w, 1.0)[0], 1.0f);
  EXPECT_EQ(halfway::smoothing_factors(amax, w, 0.0)[0], 0.25f);
}

TEST(SmoothErrors, NameTheArgument) {
  matrix<float> w(3, 2);
  const std::vector<float> two = {1.0f, 1.0f}, bad = {1.0f, -1.0f, 1.0f}, zero = {1.0f, 0.0f},
                           three(3, 1.0f);
  expect_error([&] { halfway::smoothing_factors(two, w); },
               {"amax_x.size (2) must equal w.rows (3)"});
  expect_error([&] { halfway::smoothing_factors(bad, w); }, {"amax_x[1] (-1)"});
  expect_error([&] { halfway::smoothing_factors(three, w, 1.5); }, {"alpha (1.5)"});
  expect_error([&] { halfway::divide_columns(w, three); },
               {"factors.size (3) must equal m.cols (2)"});
  expect_error([&] { halfway::divide_columns(w, zero); }, {"factors[1] (0) must be positive"});
  expect_error([&] { halfway::equalizing_factors(w, w); },
               {"first.cols (2) must equal second.rows (3)"});
  expect_error([&] { halfway::bias_shift(two, w, w); }, {"mean_x.size (2) must equal w.rows (3)"});
  w(2, 0) = std::numeric_limits<float>::quiet_NaN();
  expect_error([&] { halfway::smoothing_factors(three, w); }, {"row 2 has 1 infinite or NaN"});
}

}  // namespace
