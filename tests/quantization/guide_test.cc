// SPDX-License-Identifier: Apache-2.0
// Each block of C++ in docs/quantization.md as it stands there, and the figures that its walk from a
// float matrix to int4 shows. The product with packed codes is in groups_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/gemm_requantized.h"
#include "halfway/quantization/blocks.h"
#include "halfway/quantization/calibration.h"
#include "halfway/quantization/fake_quantize.h"
#include "halfway/quantization/fixed_point.h"
#include "halfway/quantization/gptq.h"
#include "halfway/quantization/groups.h"
#include "halfway/quantization/microscaling.h"
#include "halfway/quantization/nvfp4.h"
#include "halfway/quantization/onnx.h"
#include "halfway/quantization/quantized_linear.h"
#include "halfway/quantization/row_observers.h"
#include "halfway/quantization/smooth.h"
#include "halfway/types/philox.h"
#include "support/guide.h"

// The guide's assertions are tests.
#undef assert
#define assert(condition) EXPECT_TRUE(condition)

namespace {

// The same on every machine: sums of six random numbers, nearly normal, with deviation 1.
halfway::matrix<float> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  halfway::matrix<float> m(rows, cols);
  for (std::size_t i = 0; i < m.size(); ++i) {
    double sum = 0;
    for (std::uint64_t part = 0; part < 6; ++part) {
      sum += halfway::random_word(seed, i * 6 + part) * 0x1p-32 - 0.5;
    }
    m.elements()[i] = static_cast<float>(sum * std::sqrt(2.0));
  }
  return m;
}

// Activations: eight directions that all depend on, noise, and two channels that stick out.
halfway::matrix<float> activations(std::size_t rows, std::uint64_t seed) {
  constexpr std::size_t k = 256;
  const halfway::matrix<float> directions = random_matrix(8, k, 100);
  const halfway::matrix<float> amounts = random_matrix(rows, 8, seed);
  halfway::matrix<float> x = random_matrix(rows, k, seed + 1);
  halfway::gemm(amounts, directions, x, {.beta = 1.0f, .reproducible = true});
  for (std::size_t i = 0; i < rows; ++i) {
    x(i, 17) *= 20.0f;
    x(i, 200) *= 20.0f;
  }
  return x;
}

halfway::matrix<float> product(const halfway::matrix<float>& x, const halfway::matrix<float>& w) {
  halfway::matrix<float> y(x.rows(), w.cols());
  halfway::gemm(x, w, y, {.reproducible = true});
  return y;
}

// |y - exact| / |exact|, in the Frobenius norm.
double relative_error(const halfway::matrix<float>& y, const halfway::matrix<float>& exact) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double d =
        static_cast<double>(y.elements()[i]) - static_cast<double>(exact.elements()[i]);
    error += d * d;
    size += static_cast<double>(exact.elements()[i]) * static_cast<double>(exact.elements()[i]);
  }
  return std::sqrt(error / size);
}

std::string line(const char* name, double bits, double error) {
  char text[100];
  std::snprintf(text, sizeof(text), "%-38s%6.2f%9.2f%%\n", name, bits, 100 * error);
  return text;
}

// The matrix that codes and scales stand for.
halfway::matrix<float> decoded(const halfway::group_codes<halfway::int4>& q) {
  halfway::matrix<float> w(q.codes.rows(), q.codes.cols());
  for (std::size_t i = 0; i < w.rows(); ++i) {
    for (std::size_t j = 0; j < w.cols(); ++j) {
      w(i, j) = static_cast<float>(int(q.codes(i, j))) * q.scales(i / q.rows_in_group(), j);
    }
  }
  return w;
}

TEST(QuantizationGuide, TwoNumbers) {
  const halfway::affine_params p =
      halfway::choose_affine_params(-1.0f, 3.0f, halfway::dtype::uint8);
  assert(p.scale == 4.0f / 255 && p.zero_point == 64);
  const std::vector<float> x = {-1.0f, 0.0f, 0.1f, 3.0f, 100.0f};
  std::vector<halfway::uint8> q(5);
  std::vector<float> y(5);
  halfway::quantize(x, q, p);    // 0, 64, 70, 255, 255: round(x / scale) + zero_point, saturated
  halfway::dequantize(q, y, p);  // (q - zero_point) * scale
  assert(y[1] == 0.0f && std::abs(y[2] - x[2]) <= p.scale / 2);
  const int expected[] = {0, 64, 70, 255, 255};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(q[i], expected[i]);
}

TEST(QuantizationGuide, Blocks) {
  const halfway::matrix<float> w = random_matrix(256, 64, 1);
  constexpr halfway::block_shape columns{
      0, 1};  // {}: per tensor, {1, 0}: rows, {32, 1}: groups, {128, 128}: tiles
  const auto params = halfway::choose_block_params(w, halfway::dtype::float8_e4m3fn, columns);
  halfway::matrix<halfway::float8_e4m3fn> codes(w.rows(), w.cols());
  halfway::quantize_blocks(w, codes, params, columns);
  EXPECT_EQ(params.cols(), 64u);
}

TEST(QuantizationGuide, FromAFloatMatrixToInt4) {
  const halfway::matrix<float> w = random_matrix(256, 64, 1);  // a layer: 256 inputs, 64 outputs
  const halfway::matrix<float> calibration = activations(512, 2), x = activations(128, 50);
  const halfway::matrix<float> exact = product(x, w);
  std::string report;
  const auto add = [&](const char* name, double bits, const halfway::matrix<float>& weights) {
    report += line(name, bits, relative_error(product(x, weights), exact));
  };

  const auto column = halfway::choose_group_codes<halfway::int4>(w, 0);
  add("int4, a scale for each column", 4 + 32.0 / 256, decoded(column));
  const auto nearest = halfway::choose_group_codes<halfway::int4>(w, 32);
  add("int4, groups of 32", 4 + 32.0 / 32, decoded(nearest));

  halfway::gptq_hessian hessian(w.rows());
  hessian.observe(calibration);
  const auto gptq = halfway::gptq<halfway::int4>(w, hessian, 32);
  add("int4, groups of 32, GPTQ", 4 + 32.0 / 32, decoded(gptq));
  add("int4, a scale for each column, GPTQ", 4 + 32.0 / 256,
      decoded(halfway::gptq<halfway::int4>(w, hessian, 0)));

  const halfway::mxfp4 mx = halfway::quantize_mx<halfway::float4_e2m1fn>(w.view().transposed());
  const halfway::nvfp4_matrix nv = halfway::quantize_nvfp4(w.view().transposed());
  halfway::matrix<float> from_mx(w.rows(), w.cols()), from_nv(w.rows(), w.cols());
  halfway::dequantize(mx, from_mx.view().transposed());
  halfway::dequantize(nv, from_nv.view().transposed());
  add("MXFP4", 4 + 8.0 / 32, from_mx);
  add("NVFP4", 4 + 8.0 / 16, from_nv);

  EXPECT_NE(halfway::testing::text_of_file(HALFWAY_GUIDE).find("```text\n" + report + "```"),
            std::string::npos)
      << report;
}

TEST(QuantizationGuide, Activations) {
  halfway::matrix<float> w = random_matrix(256, 64, 1), x = activations(128, 50);
  const halfway::matrix<float> calibration = activations(512, 2), exact = product(x, w);
  halfway::matrix<float> y(x.rows(), w.cols());
  std::string report;
  const auto add = [&](const char* name) { report += line(name, 8, relative_error(y, exact)); };

  const halfway::quantized_linear layer(w);
  layer.dynamic(x, y);  // a scale for each row of x, from its own range
  add("dynamic");

  halfway::histogram_observer observer;
  observer.observe(calibration);
  const auto run = [&](const char* name, halfway::calibration method) {
    const halfway::affine_params params = halfway::calibrate(
        observer, halfway::dtype::uint8, halfway::affine_scheme::asymmetric, {.method = method});
    layer.with_params(x, params, y);
    add(name);
  };
  run("static, min-max", halfway::calibration::min_max);
  run("static, 99.99 percent", halfway::calibration::percentile);
  run("static, MSE", halfway::calibration::mse);
  run("static, entropy", halfway::calibration::entropy);

  halfway::row_observers<halfway::min_max_observer> channels(w.rows());
  channels.observe(calibration.view().transposed());
  std::vector<float> amax;
  for (std::size_t p = 0; p < w.rows(); ++p) {
    amax.push_back(std::max(-channels[p].min(), channels[p].max()));
  }
  const std::vector<float> factors = halfway::smoothing_factors(amax, w, 0.5);
  halfway::divide_columns(x, factors);  // in a network: the norm's weights before this layer
  halfway::multiply_rows(w, factors);
  halfway::quantized_linear(w).dynamic(x, y);
  add("dynamic, smoothed");

  EXPECT_NE(halfway::testing::text_of_file(HALFWAY_GUIDE).find("```text\n" + report + "```"),
            std::string::npos)
      << report;
}

TEST(QuantizationGuide, Observers) {
  const halfway::matrix<float> x = activations(64, 7);
  halfway::histogram_observer one, other;  // of two threads, or ranks
  one.observe(x);
  other.observe(x);
  one.merge(other);
  assert(one.finite_count() == 2 * x.size() && one.non_finite_count() == 0);
  const halfway::histogram_observer sent(
      one.state());  // a struct of plain data, to send or to save
  const auto params =
      halfway::calibrate(sent, halfway::dtype::int8, halfway::affine_scheme::symmetric,
                         {.method = halfway::calibration::entropy});
  EXPECT_EQ(params.zero_point, 0);
}

TEST(QuantizationGuide, IntegersAlone) {
  const halfway::matrix<halfway::uint8> a(4, 32);
  const halfway::matrix<halfway::int8> b(32, 8);
  halfway::matrix<halfway::uint8> c(4, 8);
  const std::vector<float> scales(8, 0.0125f);
  const std::vector<halfway::fixed_point_multiplier> multipliers(8,
                                                                 halfway::make_fixed_point(0.0125));
  halfway::gemm_requantized(a, b, c, {.a_zero_point = 3, .scale = scales, .c_zero_point = 128});
  halfway::gemm_fixed_point(a, b, c,
                            {.a_zero_point = 3, .multiplier = multipliers, .c_zero_point = 128});
  EXPECT_EQ(c(3, 7), 128);
}

TEST(QuantizationGuide, Training) {
  halfway::matrix<float> w = random_matrix(64, 16, 3), fake(64, 16), dw(64, 16);
  const halfway::matrix<float> dfake = random_matrix(64, 16, 4);
  const auto channels = w.view().transposed();
  auto params =
      halfway::choose_row_params(channels, halfway::dtype::int8, halfway::affine_scheme::symmetric);
  halfway::fake_quantize_rows(channels, fake.view().transposed(), params, halfway::dtype::int8);
  // ... the layer computes with `fake`; its backward pass gives dfake
  const std::vector<double> dsteps = halfway::learned_step_rows_backward(
      channels, dfake.view().transposed(), dw.view().transposed(), params, halfway::dtype::int8);
  for (std::size_t j = 0; j < params.size(); ++j)
    params[j].scale -= static_cast<float>(1e-4 * dsteps[j]);

  // After training: the same parameters, the same codes.
  halfway::matrix<halfway::int8> codes(w.rows(), w.cols());
  halfway::quantize_rows(channels, codes.view().transposed(), params);
  std::vector<float> scales;
  for (const halfway::affine_params& p : params) scales.push_back(p.scale);
  const halfway::quantized_linear layer(codes, scales);
  EXPECT_EQ(layer.cols(), 16u);
}

TEST(QuantizationGuide, Onnx) {
  const halfway::matrix<float> x = random_matrix(4, 6, 5);
  halfway::matrix<halfway::uint8> q(4, 6);
  const halfway::affine_params p = halfway::onnx::dynamic_quantize_linear(x, q);
  const std::vector<std::int32_t> a_zero_point = {p.zero_point};
  const halfway::matrix<halfway::uint8> b(6, 3);
  halfway::matrix<std::int32_t> c(4, 3);
  halfway::onnx::mat_mul_integer(q, b, c, a_zero_point);
  EXPECT_EQ(c(0, 0), 0);
}

TEST(QuantizationGuide, EachBlockStandsInATest) {
  const std::string folder = HALFWAY_GUIDE_TESTS;
  EXPECT_GE(halfway::testing::expect_blocks_in(
                HALFWAY_GUIDE, {folder + "/guide_test.cc", folder + "/groups_test.cc"}),
            8u);
}

}  // namespace
