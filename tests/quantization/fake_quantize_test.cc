// SPDX-License-Identifier: Apache-2.0
#include "halfway/quantization/fake_quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "halfway/ops/gemm.h"
#include "halfway/quantization/quantized_linear.h"
#include "support/expect_error.h"

namespace {

using halfway::affine_params;
using halfway::affine_scheme;
using halfway::dtype;
using halfway::int8;
using halfway::matrix;
using halfway::testing::expect_error;

matrix<float> normal_matrix(std::size_t rows, std::size_t cols, unsigned seed,
                            float deviation = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  matrix<float> m(rows, cols);
  for (float& x : m.elements()) x = normal(random);
  return m;
}

template <class Code>
void check_round_trip(const affine_params& params) {
  matrix<float> x = normal_matrix(40, 50, 1, params.scale * 80);
  for (std::size_t j = 0; j < 50; ++j)
    x(0, j) = (static_cast<float>(j) - 25.5f) * params.scale;  // ties
  x(1, 0) = std::numeric_limits<float>::infinity();
  x(1, 1) = -x(1, 0);
  x(1, 2) = -0.0f;
  x(1, 3) = std::numeric_limits<float>::denorm_min();
  matrix<Code> q(40, 50);
  matrix<float> expected(40, 50), y(40, 50);
  halfway::quantize(x, q, params);
  halfway::dequantize(q, expected, params);
  halfway::fake_quantize(x, y, params, halfway::dtype_of<Code>);
  for (std::size_t i = 0; i < y.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(y.elements()[i]),
              std::bit_cast<std::uint32_t>(expected.elements()[i]))
        << x.elements()[i];
  }
}

TEST(FakeQuantize, IsQuantizeAndDequantizeBitForBit) {
  for (const float scale : {0.25f, 0.3f, 1e-30f}) {
    check_round_trip<int8>({scale, 0});
    check_round_trip<int8>({scale, -77});
    check_round_trip<halfway::uint8>({scale, 200});
    check_round_trip<halfway::int4>({scale, 2});
    check_round_trip<halfway::uint4>({scale, 8});
  }
}

TEST(FakeQuantize, RowsAndInPlaceAndNan) {
  matrix<float> x = normal_matrix(3, 8, 2);
  const std::vector<affine_params> params = {{0.1f, 0}, {0.2f, 3}, {0.5f, -1}};
  matrix<int8> q(3, 8);
  matrix<float> expected(3, 8);
  halfway::quantize_rows(x, q, params);
  halfway::dequantize_rows(q, expected, params);
  halfway::fake_quantize_rows(x, x, params, dtype::int8);
  EXPECT_TRUE(std::equal(x.elements().begin(), x.elements().end(), expected.elements().begin()));
  x(0, 0) = std::numeric_limits<float>::quiet_NaN();
  halfway::fake_quantize(x, x, params[0], dtype::int8);
  EXPECT_TRUE(std::isnan(x(0, 0)));
}

struct gradients {
  matrix<float> dx;
  double step = 0;
};

// Esser et al. 2020, equations 3 and 5, in double.
gradients reference(const matrix<float>& x, const matrix<float>& dy, const affine_params& p,
                    int lowest, int largest) {
  gradients g{matrix<float>(x.rows(), x.cols())};
  const double qn = lowest - p.zero_point, qp = largest - p.zero_point;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double ratio = static_cast<double>(x.elements()[i] / p.scale);
    const double code = std::nearbyint(ratio);
    const bool inside = code >= qn && code <= qp;
    g.dx.elements()[i] = inside ? dy.elements()[i] : 0.0f;
    g.step += static_cast<double>(dy.elements()[i]) * (code < qn   ? qn
                                                       : code > qp ? qp
                                                                   : code - ratio);
  }
  g.step /= std::sqrt(static_cast<double>(x.size()) * qp);
  return g;
}

TEST(FakeQuantize, GradientsPassWhereCodesAreNotClipped) {
  const matrix<float> x = normal_matrix(20, 30, 3, 2.0f), dy = normal_matrix(20, 30, 4);
  for (const affine_params p : {affine_params{0.25f, 0}, affine_params{0.3f, 3}}) {
    const gradients expected = reference(x, dy, p, -8, 7);
    matrix<float> dx(20, 30), learned(20, 30);
    halfway::fake_quantize_backward(x, dy, dx, p, dtype::int4);
    const double step = halfway::learned_step_backward(x, dy, learned, p, dtype::int4);
    std::size_t clipped = 0;
    double size = 0;
    for (std::size_t i = 0; i < dx.size(); ++i) {
      ASSERT_EQ(dx.elements()[i], expected.dx.elements()[i]);
      ASSERT_EQ(learned.elements()[i], expected.dx.elements()[i]);
      clipped += dx.elements()[i] == 0.0f ? 1 : 0;
      size += std::abs(dy.elements()[i]) * 11;
    }
    EXPECT_GT(clipped, 10u);
    // `code - ratio` is exact in float (Sterbenz, or both below one); sums of 600 in double.
    EXPECT_NEAR(step, expected.step, 600 * size * 0x1p-52);
  }
}

TEST(FakeQuantize, StepsOfRowsAreThoseOfTheRowsAlone) {
  const matrix<float> x = normal_matrix(3, 40, 5), dy = normal_matrix(3, 40, 6);
  const std::vector<affine_params> params = {{0.1f, 0}, {0.2f, 0}, {0.05f, 1}};
  matrix<float> dx(3, 40), one(1, 40), straight(3, 40);
  const auto steps = halfway::learned_step_rows_backward(x, dy, dx, params, dtype::int4);
  halfway::fake_quantize_rows_backward(x, dy, straight, params, dtype::int4);
  for (std::size_t i = 0; i < 3; ++i) {
    const double step = halfway::learned_step_backward(
        x.view().block(i, 0, 1, 40), dy.view().block(i, 0, 1, 40), one, params[i], dtype::int4);
    EXPECT_EQ(steps[i], step);
    for (std::size_t j = 0; j < 40; ++j) {
      EXPECT_EQ(dx(i, j), one(0, j));
      EXPECT_EQ(straight(i, j), one(0, j));
    }
  }
}

double squared_error(const matrix<float>& x, float scale) {
  matrix<float> y(x.rows(), x.cols());
  halfway::fake_quantize(x, y, {scale, 0}, dtype::int4);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double e = static_cast<double>(y.elements()[i]) - x.elements()[i];
    sum += e * e;
  }
  return sum;
}

TEST(FakeQuantize, DescentAlongTheLearnedStepFindsTheLeastError) {
  const matrix<float> x = normal_matrix(50, 80, 7);
  matrix<float> y(50, 80), dy(50, 80), dx(50, 80);
  affine_params p{halfway::initial_step(x, dtype::int4), 0};
  for (int i = 0; i < 300; ++i) {
    halfway::fake_quantize(x, y, p, dtype::int4);
    for (std::size_t k = 0; k < y.size(); ++k) {
      dy.elements()[k] = 2 * (y.elements()[k] - x.elements()[k]) / 4000;
    }
    p.scale -= static_cast<float>(5 * halfway::learned_step_backward(x, dy, dx, p, dtype::int4));
  }
  double least = squared_error(x, p.scale);
  for (float scale = 0.1f; scale < 1.0f; scale += 0.005f) {
    // The error's derivative is the gradient, but where codes change, and there it does not jump: the
    // minimum is where descent ends. It is flat: a step of 0.005 off by half costs less than 1%.
    EXPECT_GE(squared_error(x, scale) * 1.01, least) << scale;
  }
}

// A layer trained with fake quantization, and the same in integers. With scales of powers of two all
// of it is exact in float: codes times codes sum to less than 2^24.
TEST(FakeQuantize, FoldsIntoTheSameIntegers) {
  constexpr std::size_t m = 6, k = 100, n = 12;
  const matrix<float> x = normal_matrix(m, k, 8), w = normal_matrix(k, n, 9);
  const affine_params activation{0x1p-5f, 100};
  std::vector<affine_params> params(n);
  std::vector<float> scales(n), bias(n);
  for (std::size_t j = 0; j < n; ++j) {
    scales[j] = std::ldexp(1.0f, -6 + static_cast<int>(j % 3));
    params[j] = {scales[j], 0};
    bias[j] = static_cast<float>(j) * 0.125f;
  }
  matrix<float> x_fake(m, k), w_fake(k, n), y_fake(m, n), y(m, n);
  halfway::fake_quantize(x, x_fake, activation, dtype::uint8);
  halfway::fake_quantize_rows(w.view().transposed(), w_fake.view().transposed(), params,
                              dtype::int8);
  halfway::gemm(x_fake, w_fake, y_fake, {.bias = bias});

  matrix<int8> codes(k, n);
  halfway::quantize_rows(w.view().transposed(), codes.view().transposed(), params);
  const halfway::quantized_linear layer(codes, scales, bias);
  layer.with_params(x, activation, y);
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y.elements()[i], y_fake.elements()[i]);
}

TEST(FakeQuantizeErrors, NameTheArgument) {
  matrix<float> x(2, 3), y(2, 3), other(3, 3);
  const affine_params fine{1.0f, 0};
  expect_error([&] { halfway::fake_quantize(x, other, fine, dtype::int8); },
               {"x.rows() (2)", "y.rows() (3)"});
  expect_error([&] { halfway::fake_quantize(x, y, fine, dtype::float16); }, {"type (float16)"});
  expect_error(
      [&] {
        halfway::fake_quantize(x, y, {-1.0f, 0}, dtype::int8);
      },
      {"params.scale (-1)"});
  expect_error(
      [&] {
        halfway::fake_quantize(x, y, {1.0f, 8}, dtype::int4);
      },
      {"params.zero_point (8)"});
  const std::vector<affine_params> one(1), bad = {{1.0f, 0}, {0.0f, 0}};
  expect_error([&] { halfway::fake_quantize_rows(x, y, one, dtype::int4); },
               {"params.size() (1)", "x.rows() (2)"});
  expect_error([&] { halfway::fake_quantize_rows(x, y, bad, dtype::int4); },
               {"params[1].scale (0)"});
  expect_error([&] { halfway::fake_quantize_backward(x, other, y, fine, dtype::int4); },
               {"dy.rows() (3)"});
  expect_error([&] { halfway::initial_step(matrix<float>(0, 2), dtype::int4); },
               {"x (0 x 2) is empty"});
  x(0, 0) = std::numeric_limits<float>::infinity();
  expect_error([&] { halfway::initial_step(x, dtype::int4); }, {"infinite or NaN"});
}

}  // namespace
