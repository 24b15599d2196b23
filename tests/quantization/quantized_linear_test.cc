// SPDX-License-Identifier: Apache-2.0
#include "halfway/quantization/quantized_linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "halfway/core/thread_pool.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::affine_params;
using halfway::int8;
using halfway::matrix;
using halfway::quantized_linear;
using halfway::uint8;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

matrix<float> normal_matrix(std::size_t rows, std::size_t cols, unsigned seed, float mean = 0.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean);
  matrix<float> m(rows, cols);
  for (float& x : m.elements()) x = normal(random);
  return m;
}

// The definition: exact integers, three roundings to float. std::fma has the one rounding.
matrix<float> reference(const matrix<float>& x, const std::vector<affine_params>& params,
                        const matrix<int8>& codes, const std::vector<float>& scales,
                        const std::vector<float>& bias) {
  matrix<float> y(x.rows(), codes.cols());
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t j = 0; j < y.cols(); ++j) {
      std::int64_t sum = 0;
      for (std::size_t p = 0; p < x.cols(); ++p) {
        const double quotient = static_cast<double>(x(i, p) / params[i].scale);
        const double q = std::clamp(std::nearbyint(quotient) + params[i].zero_point, 0.0, 255.0);
        sum += (static_cast<std::int64_t>(q) - params[i].zero_point) * int(codes(p, j));
      }
      y(i, j) = std::fma(static_cast<float>(sum), params[i].scale * scales[j],
                         bias.empty() ? 0.0f : bias[j]);
    }
  }
  return y;
}

struct layer_parts {
  matrix<int8> codes;
  std::vector<float> scales;
};

layer_parts columns_of(const matrix<float>& w) {
  layer_parts l{matrix<int8>(w.rows(), w.cols()), {}};
  for (std::size_t j = 0; j < w.cols(); ++j) {
    float amax = 0;
    for (std::size_t p = 0; p < w.rows(); ++p) amax = std::max(amax, std::abs(w(p, j)));
    l.scales.push_back(static_cast<float>(static_cast<double>(amax) / 127));
    for (std::size_t p = 0; p < w.rows(); ++p) l.codes(p, j) = int8(w(p, j) / l.scales[j]);
  }
  return l;
}

TEST(QuantizedLinear, DynamicAndStaticFollowTheDefinitionOnEveryTarget) {
  const matrix<float> x = normal_matrix(9, 77, 1, 0.5f), w = normal_matrix(77, 45, 2);
  const layer_parts parts = columns_of(w);
  std::vector<float> bias(45);
  for (std::size_t j = 0; j < 45; ++j) bias[j] = static_cast<float>(j) * 0.37f - 5;
  const auto rows = halfway::choose_row_params(x, halfway::dtype::uint8);
  const affine_params fixed = halfway::choose_affine_params<uint8>(-2.0f, 3.0f);
  halfway::thread_pool pool(2);
  for_each_target([&] {
    for (const std::vector<float>& b : {bias, std::vector<float>()}) {
      const quantized_linear layer(w, b);
      EXPECT_TRUE(std::equal(layer.scales().begin(), layer.scales().end(), parts.scales.begin()));
      matrix<float> y(9, 45), z(9, 45);
      layer.dynamic(x, y, pool);
      const matrix<float> expected = reference(x, rows, parts.codes, parts.scales, b);
      for (std::size_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(y.elements()[i], expected.elements()[i]);
      }
      layer.with_params(x, fixed, z);
      const matrix<float> clipped =
          reference(x, std::vector<affine_params>(9, fixed), parts.codes, parts.scales, b);
      for (std::size_t i = 0; i < z.size(); ++i) {
        ASSERT_EQ(z.elements()[i], clipped.elements()[i]);
      }
    }
  });
}

TEST(QuantizedLinear, IsExactForMoreRowsThanInt32Holds) {
  // 140,000 * 255 * 127 is more than 2^32. The codes of x are 255 and its zero point 0; w's are 127
  // and -127.
  constexpr std::size_t k = 140000;
  matrix<float> x(1, k), w(k, 2), y(1, 2);
  for (float& v : x.elements()) v = 255.0f;
  for (std::size_t p = 0; p < k; ++p) w(p, 0) = 127.0f, w(p, 1) = -127.0f;
  for_each_target([&] {
    quantized_linear(w).dynamic(x, y);
    EXPECT_EQ(y(0, 0), static_cast<float>(std::int64_t{k} * 255 * 127));
    EXPECT_EQ(y(0, 1), -static_cast<float>(std::int64_t{k} * 255 * 127));
  });
}

TEST(QuantizedLinear, TakesTheExtremesThatSaturate16Bits) {
  // u8 * s8 in pairs (maddubs) saturates at 32767: 2 * 255 * 127 does not fit.
  matrix<float> x(3, 64), y(3, 2);
  matrix<int8> codes(64, 2);
  for (float& v : x.elements()) v = 255.0f;
  for (std::size_t p = 0; p < 64; ++p) codes(p, 0) = int8(127), codes(p, 1) = int8(-128);
  const std::vector<float> scales(2, 1.0f);
  for_each_target([&] {
    quantized_linear(codes, scales).with_params(x, {1.0f, 0}, y);
    EXPECT_EQ(y(2, 0), 64 * 255 * 127);
    EXPECT_EQ(y(2, 1), -64 * 255 * 128);
    quantized_linear(codes, scales).with_params(x, {1.0f, 255}, y);
    EXPECT_EQ(y(1, 1), 0.0f) << "255 saturates at the code of 0";
  });
}

TEST(QuantizedLinear, EmptyAndNarrowOutputs) {
  const quantized_linear layer(normal_matrix(8, 3, 4));
  matrix<halfway::bfloat16> y(2, 3);
  matrix<float> wide(2, 3);
  const matrix<float> x = normal_matrix(2, 8, 5);
  layer.dynamic(x, y);
  layer.dynamic(x, wide);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(y.elements()[i], halfway::bfloat16(wide.elements()[i]));
  }
  matrix<float> none(0, 3);
  layer.dynamic(matrix<float>(0, 8), none);
  const std::vector<float> bias = {1, 2, 3};
  quantized_linear(matrix<float>(0, 3), bias).dynamic(matrix<float>(2, 0), wide);
  EXPECT_EQ(wide(1, 2), 3.0f);
}

TEST(QuantizedLinearErrors, NameTheArgument) {
  const matrix<int8> codes(4, 2);
  const std::vector<float> one = {1.0f}, two = {1.0f, 1.0f}, zero = {1.0f, 0.0f};
  expect_error([&] { quantized_linear(codes, one); },
               {"scales.size (1) must equal codes.cols (2)"});
  expect_error([&] { quantized_linear(codes, two, one); }, {"bias.size (1)", "codes.cols (2)"});
  expect_error([&] { quantized_linear(codes, zero); }, {"scales[1] (0) must be positive"});
  const quantized_linear layer(codes, two);
  matrix<float> x(3, 4), narrow(3, 3), y(3, 2);
  expect_error([&] { layer.dynamic(narrow, y); }, {"x.cols (3) must equal rows (4)"});
  expect_error([&] { layer.dynamic(x, narrow); }, {"y.cols (3) must equal cols (2)"});
  expect_error([&] { layer.with_params(x, {0.0f, 0}, y); }, {"scale (0) must be positive"});
  expect_error([&] { layer.with_params(x, {1.0f, 256}, y); }, {"zero_point (256)"});
  x(1, 2) = std::numeric_limits<float>::infinity();
  expect_error([&] { layer.dynamic(x, y); }, {"row 1 of x has 1 infinite or NaN elements"});
}

}  // namespace
