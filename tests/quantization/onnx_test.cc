// SPDX-License-Identifier: Apache-2.0
// ONNX's operators against their definitions, written out in double and int64 (in float where the
// definition is of floats).
#include "halfway/quantization/onnx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::affine_params;
using halfway::int8;
using halfway::matrix;
using halfway::uint8;
using halfway::testing::expect_error;
using halfway::testing::message_of;
namespace onnx = halfway::onnx;
using points = std::vector<std::int32_t>;

template <class T>
matrix<T> random_bytes(std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  matrix<T> m(rows, cols);
  const int lowest = std::numeric_limits<T>::lowest();
  for (T& x : m.elements()) x = static_cast<T>(static_cast<int>(random() % 256) + lowest);
  return m;
}

// Values at and about the ties of a scale.
matrix<float> some_values(std::size_t rows, std::size_t cols) {
  matrix<float> x(rows, cols);
  std::mt19937 random(5);
  for (float& v : x.elements()) v = static_cast<float>(static_cast<int>(random() % 700) - 350) / 8;
  return x;
}

template <class Code>
void check_quantize_linear(onnx::linear_attributes attributes, std::size_t scales) {
  constexpr std::size_t m = 9, n = 14;
  const matrix<float> x = some_values(m, n);
  std::vector<float> scale;
  points zero;
  for (std::size_t s = 0; s < scales; ++s) {
    scale.push_back(s % 2 ? 0.25f : 0.3f);
    zero.push_back(std::is_same_v<Code, halfway::float8_e4m3fn> ? 0 : static_cast<int>(s % 5));
  }
  matrix<Code> q(m, n);
  matrix<float> y(m, n);
  onnx::quantize_linear(x, scale, zero, q, attributes);
  onnx::dequantize_linear(q, scale, zero, y, attributes);
  const bool rows = attributes.axis == 0 || attributes.axis == -2;
  const std::size_t block = attributes.block_size;
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      std::size_t s = scales == 1 ? 0 : rows ? i : j;
      if (block != 0) s = rows ? i / block * n + j : i * ((n + block - 1) / block) + j / block;
      // The quotient of floats is what the double quotient rounds to: 53 > 2 * 24 + 2.
      const auto quotient =
          static_cast<float>(static_cast<double>(x(i, j)) / static_cast<double>(scale[s]));
      if constexpr (std::is_same_v<Code, halfway::float8_e4m3fn>) {
        ASSERT_EQ(q(i, j).bits(), halfway::saturate_cast<Code>(quotient).bits());
        ASSERT_EQ(y(i, j), float(q(i, j)) * scale[s]);
      } else {
        const double code = std::nearbyint(static_cast<double>(quotient)) + zero[s];
        ASSERT_EQ(int(q(i, j)), std::clamp<double>(code, std::numeric_limits<Code>::lowest(),
                                                   std::numeric_limits<Code>::max()));
        ASSERT_EQ(y(i, j), static_cast<float>(int(q(i, j)) - zero[s]) * scale[s]);
      }
    }
  }
}

template <class Code>
void check_quantize_linear() {
  check_quantize_linear<Code>({}, 1);
  check_quantize_linear<Code>({.axis = 0}, 9);
  check_quantize_linear<Code>({.axis = -1}, 14);
  check_quantize_linear<Code>({.axis = 1, .block_size = 4}, 9 * 4);
  check_quantize_linear<Code>({.axis = -2, .block_size = 3}, 3 * 14);
}

TEST(Onnx, QuantizeLinearAndBack) {
  check_quantize_linear<int8>();
  check_quantize_linear<uint8>();
  check_quantize_linear<halfway::int4>();
  check_quantize_linear<halfway::uint4>();
  check_quantize_linear<halfway::float8_e4m3fn>();
}

TEST(Onnx, DynamicQuantizeLinear) {
  // The example of the specification.
  matrix<float> x(1, 6);
  const float values[] = {0, 2, -3, -2.5f, 1.34f, 0.5f};
  std::copy(std::begin(values), std::end(values), x.data());
  matrix<uint8> y(1, 6);
  const affine_params p = onnx::dynamic_quantize_linear(x, y);
  EXPECT_FLOAT_EQ(p.scale, 0.0196078438f);
  EXPECT_EQ(p.zero_point, 153);
  const int expected[] = {153, 255, 0, 26, 221, 179};
  for (std::size_t j = 0; j < 6; ++j) EXPECT_EQ(y(0, j), expected[j]);

  // The formulas in float, on many ranges.
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-3.0f, 5.0f);
  for (int trial = 0; trial < 2000; ++trial) {
    const float offset = trial % 3 == 0 ? 6.0f : trial % 3 == 1 ? -6.0f : 0.0f;
    float low = 0, high = 0;
    for (float& v : x.elements()) {
      v = uniform(random) + offset;
      low = std::min(low, v);
      high = std::max(high, v);
    }
    const float scale = (high - low) / 255.0f;
    const float zero = std::nearbyint(std::clamp(-low / scale, 0.0f, 255.0f));
    const affine_params got = onnx::dynamic_quantize_linear(x, y);
    ASSERT_EQ(got.scale, scale);
    ASSERT_EQ(static_cast<float>(got.zero_point), zero);
    for (std::size_t j = 0; j < 6; ++j) {
      ASSERT_EQ(static_cast<float>(int(y(0, j))),
                std::clamp(std::nearbyint(x(0, j) / scale) + zero, 0.0f, 255.0f));
    }
  }
  for (float& v : x.elements()) v = 0;
  EXPECT_EQ(onnx::dynamic_quantize_linear(x, y), (affine_params{1.0f, 0}));
  x(0, 2) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of([&] { onnx::dynamic_quantize_linear(x, y); }),
            "halfway::onnx::dynamic_quantize_linear: x has 1 infinite or NaN elements");
  x(0, 2) = std::numeric_limits<float>::max();
  x(0, 3) = -x(0, 2);
  expect_error([&] { onnx::dynamic_quantize_linear(x, y); }, {"has no finite, normal scale"});
}

std::int32_t at(const points& p, std::size_t i) {
  return p.empty() ? 0 : p.size() == 1 ? p[0] : p[i];
}

template <class TA, class TB>
std::int64_t exact_sum(const matrix<TA>& a, const matrix<TB>& b, const points& za, const points& zb,
                       std::size_t i, std::size_t j) {
  std::int64_t sum = 0;
  for (std::size_t p = 0; p < a.cols(); ++p) {
    sum += (std::int64_t{int(a(i, p))} - at(za, i)) * (std::int64_t{int(b(p, j))} - at(zb, j));
  }
  return sum;
}

template <class TA, class TB>
void check_products(const points& za, const points& zb) {
  constexpr std::size_t m = 5, n = 7, k = 45;
  const auto a = random_bytes<TA>(m, k, 1);
  const auto b = random_bytes<TB>(k, n, 2);
  matrix<std::int32_t> c(m, n);
  onnx::mat_mul_integer(a, b, c, za, zb);
  const std::vector<float> sa = {0.02f}, sb = {0.1f, 0.2f, 0.01f, 0.3f, 0.4f, 0.05f, 0.07f};
  const std::vector<float> sy = {3.0f};
  const points zy = {3};
  matrix<std::uint8_t> y(m, n);
  onnx::q_linear_mat_mul(a, {sa, za}, b, {sb, zb}, y, {sy, zy});
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const std::int64_t sum = exact_sum(a, b, za, zb, i, j);
      ASSERT_EQ(c(i, j), sum) << i << ", " << j;
      const float multiplier = sa[0] * sb[j] / sy[0];
      const double real = static_cast<double>(static_cast<float>(sum) * multiplier);
      ASSERT_EQ(y(i, j), std::clamp(std::nearbyint(real) + zy[0], 0.0, 255.0));
    }
  }
}

TEST(Onnx, IntegerProductsOfEveryPairOfTypes) {
  const points none, one = {3}, rows = {0, 1, 2, 100, 127}, cols = {0, 1, 2, 3, 127, 5, 6};
  for (const points& za : {none, one, rows}) {
    for (const points& zb : {none, one, cols}) {
      check_products<std::uint8_t, std::uint8_t>(za, zb);
      check_products<uint8, int8>(za, zb);
      check_products<std::int8_t, uint8>(za, zb);
      check_products<int8, std::int8_t>(za, zb);
    }
  }
  check_products<uint8, uint8>({255}, {255});
  check_products<int8, int8>({-128}, {-128});
}

TEST(Onnx, IntegerProductsDoNotOverflowAtTheDocumentedLimit) {
  constexpr std::size_t k = 33025;
  static_assert(std::int64_t{255} * 255 * k <= std::numeric_limits<std::int32_t>::max());
  static_assert(std::int64_t{255} * 255 * (k + 1) > std::numeric_limits<std::int32_t>::max());
  matrix<std::uint8_t> a(1, k), b(k, 2);
  for (auto& x : a.elements()) x = 255;
  for (std::size_t p = 0; p < k; ++p) b(p, 0) = 255;
  matrix<std::int32_t> c(1, 2);
  const points zero = {0, 255};
  onnx::mat_mul_integer(a, b, c, {}, zero);
  EXPECT_EQ(c(0, 0), 255 * 255 * static_cast<std::int32_t>(k));
  EXPECT_EQ(c(0, 1), -255 * 255 * static_cast<std::int32_t>(k));
}

TEST(OnnxErrors, NameTheArgument) {
  const matrix<float> x(2, 3);
  matrix<int8> q(2, 3);
  const std::vector<float> two = {1.0f, 1.0f}, one = {1.0f}, bad = {0.0f};
  expect_error([&] { onnx::quantize_linear(x, two, {}, q); },
               {"scale.size (2) must equal the number of blocks (3)"});
  expect_error([&] { onnx::quantize_linear(x, two, points{1}, q, {.axis = 0}); },
               {"zero_point.size (1) must equal scale.size (2)"});
  expect_error([&] { onnx::quantize_linear(x, one, {}, q, {.axis = 2}); },
               {"axis (2) must be from -2 to 1"});
  expect_error([&] { onnx::quantize_linear(x, bad, {}, q); }, {"scale (0) must be positive"});
  expect_error([&] { onnx::quantize_linear(x, one, points{200}, q); },
               {"zero_point (200) must be from -128 to 127"});
  const matrix<uint8> a(2, 3), b(3, 4), long_a(1, 33026), long_b(33026, 1);
  matrix<std::int32_t> c(2, 4);
  expect_error([&] { onnx::mat_mul_integer(a, b, c, points{-1}); },
               {"a_zero_point[0] (-1) must be from 0 to 255"});
  expect_error(
      [&] {
        onnx::mat_mul_integer(a, b, c, {}, points{1, 2, 3});
      },
      {"b_zero_point.size (3)", "(4)"});
  expect_error([&] { onnx::mat_mul_integer(a, a, c); }, {"b.rows (2) must equal a.cols (3)"});
  matrix<uint8> y(2, 4), small(1, 1);
  expect_error([&] { onnx::q_linear_mat_mul(a, {bad}, b, {one}, y, {one}); },
               {"a_params.scale[0] (0) must be positive"});
  expect_error([&] { onnx::q_linear_mat_mul(long_a, {one}, long_b, {one}, small, {one}); },
               {"a.cols (33026) must not be above 33025"});
}

}  // namespace
