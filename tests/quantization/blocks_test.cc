// SPDX-License-Identifier: Apache-2.0
// Block formats against their definitions in scalar double code.
#include "halfway/quantization/blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "halfway/quantization/microscaling.h"
#include "halfway/quantization/nvfp4.h"
#include "support/expect_error.h"

namespace {

using halfway::affine_params;
using halfway::affine_scheme;
using halfway::block_shape;
using halfway::dtype;
using halfway::matrix;
using halfway::testing::message_of;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();

// Every magnitude from subnormals to the largest, in blocks of neighbours and in mixed ones.
matrix<float> hard_matrix(std::size_t rows, std::size_t cols) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  matrix<float> x(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    const int exponent = static_cast<int>(i * 277 / rows) - 149;
    for (std::size_t j = 0; j < cols; ++j) {
      const int spread = j % 3 == 0 ? -static_cast<int>(random() % 20) : 0;
      const float v = std::ldexp(normal(random), exponent + spread);
      x(i, j) = std::isfinite(v) ? v : std::copysign(std::numeric_limits<float>::max(), v);
    }
  }
  for (std::size_t j = 0; j < std::min<std::size_t>(cols, 40); ++j) x(0, j) = j % 2 ? 0.0f : -0.0f;
  return x;
}

// All values that an element format has: nearest by search, ties to the even pattern.
template <class Element>
struct values_of {
  std::vector<double> magnitudes;  // at index = the pattern without its sign

  values_of() {
    if constexpr (std::is_same_v<Element, halfway::int8>) {
      for (int c = 0; c <= 127; ++c) magnitudes.push_back(c / 64.0);
    } else {
      for (unsigned bits = 0; bits < 128; ++bits) {
        const Element e = Element::from_bits(static_cast<std::uint8_t>(bits));
        const float v = e;
        if (e.bits() != bits || !std::isfinite(v) || v < 0 || std::signbit(v)) break;
        magnitudes.push_back(static_cast<double>(v));
      }
    }
  }

  double nearest(double x) const {
    std::size_t best = 0;
    for (std::size_t c = 1; c < magnitudes.size(); ++c) {
      const double now = std::abs(magnitudes[c] - std::abs(x));
      const double before = std::abs(magnitudes[best] - std::abs(x));
      if (now < before || (now == before && c % 2 == 0)) best = c;
    }
    return std::copysign(magnitudes[best], x);
  }
};

template <class T>
class Microscaling : public ::testing::Test {};
using Elements =
    ::testing::Types<halfway::float8_e4m3fn, halfway::float8_e5m2, halfway::float6_e2m3fn,
                     halfway::float6_e3m2fn, halfway::float4_e2m1fn, halfway::int8>;
TYPED_TEST_SUITE(Microscaling, Elements);

TYPED_TEST(Microscaling, FollowsTheSpecification) {
  constexpr std::size_t rows = 150, cols = 83;
  const values_of<TypeParam> values;
  const int emax = static_cast<int>(std::floor(std::log2(values.magnitudes.back())));
  const matrix<float> x = hard_matrix(rows, cols);
  const auto q = halfway::quantize_mx<TypeParam>(x);
  ASSERT_EQ(q.scales.cols(), 3u);
  matrix<float> y(rows, cols);
  halfway::dequantize(q, y);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t b = 0; b < 3; ++b) {
      const std::size_t end = std::min(cols, (b + 1) * 32);
      double amax = 0;
      for (std::size_t j = b * 32; j < end; ++j) amax = std::max<double>(amax, std::abs(x(i, j)));
      // log2 of a float in double errs by less than floats are apart, except just below a power.
      int exponent = amax == 0 ? -127 : static_cast<int>(std::floor(std::log2(amax)));
      if (amax != 0 && std::ldexp(1.0, exponent) > amax) --exponent;
      if (amax != 0) exponent = std::clamp(exponent - emax, -127, 127);
      ASSERT_EQ(q.scales(i, b).bits(), exponent + 127);
      const double largest_part = std::is_same_v<TypeParam, halfway::float4_e2m1fn> ? 0.25 : 0.125;
      for (std::size_t j = b * 32; j < end; ++j) {
        const double scaled = std::ldexp(static_cast<double>(x(i, j)), -exponent);
        const double decoded = std::ldexp(values.nearest(scaled), exponent);
        ASSERT_EQ(y(i, j), static_cast<float>(decoded)) << i << ", " << j << ": " << x(i, j);
        if (exponent != -127) {
          ASSERT_LE(std::abs(decoded - x(i, j)), amax * largest_part);
        }
      }
    }
  }
}

TYPED_TEST(Microscaling, NonFiniteElementsSpoilTheirBlockOnly) {
  matrix<float> x(2, 64), y(2, 64);
  for (float& v : x.elements()) v = 1.0f;
  x(0, 3) = infinity;
  x(1, 40) = quiet_nan;
  const auto q = halfway::quantize_mx<TypeParam>(x);
  halfway::dequantize(q, y);
  for (std::size_t j = 0; j < 64; ++j) {
    EXPECT_EQ(std::isnan(y(0, j)), j < 32);
    EXPECT_EQ(std::isnan(y(1, j)), j >= 32);
  }
}

TYPED_TEST(Microscaling, IsExactInBfloat16) {
  const matrix<float> x = hard_matrix(40, 32);
  const auto q = halfway::quantize_mx<TypeParam>(x);
  matrix<float> wide(40, 32);
  matrix<halfway::bfloat16> narrow(40, 32);
  halfway::dequantize(q, wide);
  halfway::dequantize(q, narrow);
  for (std::size_t i = 24; i < 40; ++i) {  // from scales of 2^-100 on
    for (std::size_t j = 0; j < 32; ++j) ASSERT_EQ(float(narrow(i, j)), wide(i, j));
  }
}

TEST(Microscaling4, TwoCodesFitAByte) {
  matrix<float> x(1, 2);
  x(0, 0) = -6.0f;
  x(0, 1) = 1.5f;
  const halfway::mxfp4 q = halfway::quantize_mx<halfway::float4_e2m1fn>(x);
  std::uint8_t byte = 0;
  halfway::pack_int4(q.codes.data(), 2, &byte);
  EXPECT_EQ(byte, 0x3F);  // low nibble first: 1111 is -6, 0011 is 1.5
}

TEST(Nvfp4, FollowsTheFormulas) {
  constexpr std::size_t rows = 60, cols = 50;
  matrix<float> x(rows, cols);
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      x(i, j) = std::ldexp(normal(random), -static_cast<int>(i % 22));
    }
  }
  for (std::size_t j = 0; j < 16; ++j) x(5, j) = 0;
  const halfway::nvfp4_matrix q = halfway::quantize_nvfp4(x);
  double amax = 0;
  for (const float v : x.elements()) amax = std::max<double>(amax, std::abs(v));
  ASSERT_EQ(q.tensor_scale, static_cast<float>(amax / (6 * 448)));
  const values_of<halfway::float8_e4m3fn> scales;
  const values_of<halfway::float4_e2m1fn> values;
  matrix<float> y(rows, cols);
  halfway::dequantize(q, y);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t b = 0; b < q.scales.cols(); ++b) {
      const std::size_t end = std::min(cols, (b + 1) * 16);
      double block = 0;
      for (std::size_t j = b * 16; j < end; ++j) block = std::max<double>(block, std::abs(x(i, j)));
      const double scale =
          std::max(0x1p-9, scales.nearest(block / 6 / static_cast<double>(q.tensor_scale)));
      ASSERT_EQ(static_cast<double>(float(q.scales(i, b))), scale);
      const double step = scale * static_cast<double>(q.tensor_scale);
      for (std::size_t j = b * 16; j < end; ++j) {
        const double quotient = static_cast<double>(static_cast<float>(x(i, j) / step));
        ASSERT_EQ(y(i, j), static_cast<float>(values.nearest(quotient) * step));
        if (scale >= 0x1p-6) {
          // The bound, and the roundings to float of the quotient and the result.
          ASSERT_LE(std::abs(static_cast<double>(y(i, j)) - x(i, j)),
                    block / 6 * (1 + 0x1p-4) + block * 0x1p-22);
        }
      }
    }
  }
}

TEST(Nvfp4, HardInputs) {
  matrix<float> x(1, 32), y(1, 32);
  halfway::dequantize(halfway::quantize_nvfp4(x), y);
  for (const float v : y.elements()) EXPECT_EQ(v, 0.0f);
  for (float& v : x.elements()) v = 3.0f;
  x(0, 0) = infinity;
  const auto q = halfway::quantize_nvfp4(x);
  halfway::dequantize(q, y);
  EXPECT_TRUE(std::isnan(y(0, 1)));
  EXPECT_NEAR(y(0, 20), 3.0f, 3 * 0x1p-22f) << "the tensor scale is that of finite elements";
  EXPECT_EQ(message_of([&] { halfway::quantize_nvfp4(x, 0.0f); }),
            "halfway::quantize_nvfp4: tensor_scale (0) must be positive, finite and not subnormal");
  EXPECT_EQ(message_of([&] { halfway::nvfp4_tensor_scale(-1.0f); }),
            "halfway::nvfp4_tensor_scale: amax (-1) must be finite and not negative");
  matrix<float> narrow(1, 31);
  EXPECT_EQ(message_of([&] { halfway::dequantize(q, narrow); }),
            "halfway::dequantize: y.cols (31) must equal q.codes.cols (32)");
}

template <class Code>
void check_shape(block_shape shape, affine_scheme scheme) {
  constexpr std::size_t m = 37, n = 41;
  matrix<float> x(m, n), y(m, n), expected(m, n);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.3f);
  for (float& v : x.elements()) v = normal(random);
  const auto params = halfway::choose_block_params(x, halfway::dtype_of<Code>, shape, scheme);
  matrix<Code> codes(m, n);
  halfway::quantize_blocks(x, codes, params, shape);
  halfway::dequantize_blocks(codes, y, params, shape);
  const std::size_t height = shape.rows ? shape.rows : m, width = shape.cols ? shape.cols : n;
  ASSERT_EQ(params.rows(), (m + height - 1) / height);
  ASSERT_EQ(params.cols(), (n + width - 1) / width);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      float low = 0, high = 0;
      for (std::size_t p = i / height * height; p < std::min(m, (i / height + 1) * height); ++p) {
        for (std::size_t q = j / width * width; q < std::min(n, (j / width + 1) * width); ++q) {
          low = std::min(low, x(p, q));
          high = std::max(high, x(p, q));
        }
      }
      const affine_params& p = params(i / height, j / width);
      if constexpr (halfway::int_storage<Code>) {
        ASSERT_EQ(p, halfway::choose_affine_params(low, high, halfway::dtype_of<Code>, scheme));
        const double code = static_cast<double>(std::nearbyint(x(i, j) / p.scale)) + p.zero_point;
        ASSERT_EQ(int(codes(i, j)), std::clamp<double>(code, std::numeric_limits<Code>::lowest(),
                                                       std::numeric_limits<Code>::max()));
        ASSERT_EQ(y(i, j), static_cast<float>(int(codes(i, j)) - p.zero_point) * p.scale);
      } else {
        const double amax = std::max<double>(-low, high);
        const double largest = halfway::max_finite(halfway::dtype_of<Code>);
        ASSERT_EQ(p, (affine_params{static_cast<float>(amax / largest), 0}));
        const values_of<Code> values;
        const double code = values.nearest(static_cast<double>(x(i, j) / p.scale));
        ASSERT_EQ(y(i, j), static_cast<float>(code * static_cast<double>(p.scale)));
      }
    }
  }
}

TEST(Blocks, EveryShapeOfBlockAndCode) {
  for (const block_shape shape : {block_shape{}, block_shape{1, 0}, block_shape{0, 1},
                                  block_shape{1, 16}, block_shape{32, 1}, block_shape{16, 16}}) {
    check_shape<halfway::int8>(shape, affine_scheme::symmetric);
    check_shape<halfway::uint8>(shape, affine_scheme::asymmetric);
    check_shape<halfway::int4>(shape, affine_scheme::symmetric);
    check_shape<halfway::uint4>(shape, affine_scheme::asymmetric);
    check_shape<halfway::float8_e4m3fn>(shape, affine_scheme::symmetric);
    check_shape<halfway::float8_e5m2>(shape, affine_scheme::symmetric);
  }
}

TEST(Blocks, ZerosConstantsAndSubnormals) {
  matrix<float> x(3, 4), y(3, 4);
  for (std::size_t j = 0; j < 4; ++j) {
    x(1, j) = 5.0f;
    x(2, j) = std::numeric_limits<float>::denorm_min();
  }
  for (const dtype type : {dtype::int8, dtype::float8_e4m3fn}) {
    const auto params = halfway::choose_block_params(x, type, {1, 0});
    EXPECT_EQ(params(0, 0), (affine_params{1.0f, 0}));
    EXPECT_EQ(params(2, 0).scale, std::numeric_limits<float>::min());
    matrix<halfway::int8> codes(3, 4);
    if (type == dtype::int8) {
      halfway::quantize_blocks(x, codes, params, {1, 0});
      halfway::dequantize_blocks(codes, y, params, {1, 0});
      EXPECT_EQ(codes(1, 2), 127);
      EXPECT_EQ(y(0, 0), 0.0f);
      EXPECT_NEAR(y(1, 0), 5.0f, 5 * 0x1p-23f);
    }
  }
  EXPECT_EQ(halfway::choose_block_params(matrix<float>(0, 4), dtype::int8, {1, 2}).size(), 0u);
}

TEST(BlocksErrors, NameTheArgumentAndLeaveTheOutput) {
  matrix<float> x(4, 6);
  matrix<halfway::int8> codes(4, 6);
  matrix<affine_params> params(4, 2);
  const auto quantize = [&] { halfway::quantize_blocks(x, codes, params, {1, 3}); };
  EXPECT_EQ(message_of(quantize), "no error");
  params(2, 1).scale = quiet_nan;
  EXPECT_EQ(message_of(quantize),
            "halfway::quantize_blocks: params(2, 1).scale (nan) must be "
            "positive, finite and not subnormal");
  params(2, 1) = {-1.0f, 0};
  halfway::testing::expect_error(quantize, {"params(2, 1).scale (-1)"});
  params(2, 1) = {1.0f, 128};
  EXPECT_EQ(message_of(quantize),
            "halfway::quantize_blocks: params(2, 1).zero_point (128) must be from -128 to 127");
  matrix<halfway::float8_e4m3fn> floats(4, 6);
  params(2, 1) = {1.0f, 1};
  halfway::testing::expect_error(
      [&] {
        halfway::quantize_blocks(x, floats, params, {1, 3});
      },
      {"zero_point (1) must be from 0 to 0"});
  EXPECT_EQ(
      message_of([&] {
        halfway::quantize_blocks(x, codes, params, {1, 2});
      }),
      "halfway::quantize_blocks: params.cols (2) must equal the number of blocks side by side "
      "(3)");
  x(3, 4) = quiet_nan;
  EXPECT_EQ(message_of([&] {
              halfway::choose_block_params(x, dtype::int8, {2, 3});
            }),
            "halfway::choose_block_params: block (1, 1) of x has 1 infinite or NaN elements");
  halfway::testing::expect_error(
      [&] {
        halfway::choose_block_params(x, dtype::float16, {2, 3});
      },
      {"type (float16) must be int8, uint8, int4 or uint4"});
}

}  // namespace
