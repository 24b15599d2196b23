// SPDX-License-Identifier: Apache-2.0
// What becomes of the sums of a product, and on which threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/core/thread_pool.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/fused_activation.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/gemm_requantized.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/ops/quantized_matrix.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::activation;
using halfway::fused;
using halfway::gemm;
using halfway::gemm_health;
using halfway::gemm_options;
using halfway::half;
using halfway::matrix;
using halfway::packed_matrix;
using halfway::testing::for_each_target;
using halfway::testing::message_of;

struct problem {
  matrix<float> a, b;
  std::vector<float> bias, row_scale, column_scale;

  problem(std::size_t m, std::size_t n, std::size_t k)
      : a(m, k), b(k, n), bias(n), row_scale(m), column_scale(n) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::span<float> to) {
      for (float& x : to) x = normal(random);
    };
    fill(a.elements());
    fill(b.elements());
    fill(bias);
    fill(row_scale);
    fill(column_scale);
  }
};

// Column-major c takes another way: both are tested.
matrix<float> product(const problem& p, const gemm_options& options, bool column_major) {
  matrix<float> c(p.a.rows(), p.b.cols());
  if (column_major) {
    matrix<float> t(c.cols(), c.rows());
    gemm(p.a, p.b, t.view().transposed(), options);
    for (std::size_t i = 0; i < c.rows(); ++i) {
      for (std::size_t j = 0; j < c.cols(); ++j) c(i, j) = t(j, i);
    }
  } else {
    gemm(p.a, p.b, c, options);
  }
  return c;
}

// Each option is a rounded operation of FP32 on the plain product, in the documented order.
TEST(GemmOptions, AreAppliedInOrder) {
  const problem p(9, 70, 20);
  for_each_target([&] {
    for (const bool column_major : {false, true}) {
      const matrix<float> sums = product(p, {}, column_major);
      const matrix<float> got = product(p,
                                        {.alpha = 0.5f,
                                         .bias = p.bias,
                                         .row_scale = p.row_scale,
                                         .column_scale = p.column_scale,
                                         .activation = fused<activation::gelu>()},
                                        column_major);
      for (std::size_t i = 0; i < sums.rows(); ++i) {
        std::vector<float> want(sums.cols());
        for (std::size_t j = 0; j < want.size(); ++j) {
          // alpha is a power of 2, so it does not matter which of the scales meets it.
          const float first = column_major ? p.column_scale[j] : p.row_scale[i];
          const float second = column_major ? p.row_scale[i] : p.column_scale[j];
          const volatile float scaled =  // rounded, where the compiler might contract
              sums(i, j) * (0.5f * first) * second;
          want[j] = scaled + p.bias[j];
        }
        halfway::gelu(want, want);
        for (std::size_t j = 0; j < want.size(); ++j) {
          ASSERT_EQ(got(i, j), want[j]) << i << ", " << j << (column_major ? " transposed" : "");
        }
      }
    }
  });
}

TEST(GemmOptions, EveryActivationIsThatOfTheOperation) {
  const problem p(3, 33, 8);
  const matrix<float> sums = product(p, {}, false);
  const auto check = [&](halfway::fused_activation f, auto&& op, const char* name) {
    const matrix<float> got = product(p, {.activation = f}, false);
    std::vector<float> want(sums.elements().begin(), sums.elements().end());
    op(want);
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got.data()[i], want[i]) << name << i;
  };
  check(
      fused<activation::relu>(), [](auto& x) { halfway::relu(x, x); }, "relu ");
  check(
      fused<activation::gelu_tanh>(), [](auto& x) { halfway::gelu_tanh(x, x); }, "gelu_tanh ");
  check(
      fused<activation::silu>(), [](auto& x) { halfway::silu(x, x); }, "silu ");
  check(
      fused<activation::tanh>(), [](auto& x) { halfway::tanh(x, x); }, "tanh ");
  check(
      fused<activation::sigmoid>(), [](auto& x) { halfway::sigmoid(x, x); }, "sigmoid ");
}

TEST(GemmOptions, HealthIsThatOfWhatIsStored) {
  matrix<float> a(5, 1), b(1, 70);
  for (auto& x : b.elements()) x = 1.0f;
  for (std::size_t i = 0; i < 5; ++i) a(i, 0) = static_cast<float>(i);
  b(0, 3) = -1000.0f;
  b(0, 66) = 60000.0f;  // times 2, 3 and 4 it is past half's range
  b(0, 69) = std::numeric_limits<float>::quiet_NaN();
  for_each_target([&] {
    gemm_health health, in_float;
    matrix<half> c(5, 70);
    gemm(a, b, c, {.health = &health});
    EXPECT_EQ(health.non_finite, 3u + 5u);
    EXPECT_EQ(health.amax, static_cast<float>(half(60000.0f)));
    matrix<float> f(5, 70);
    gemm(a, b, f.view().transposed().transposed(), {.health = &in_float});
    EXPECT_EQ(in_float.non_finite, 5u);
    EXPECT_EQ(in_float.amax, 240000.0f);
  });
}

TEST(GemmOptions, ErrorsNameTheArgument) {
  const problem p(3, 4, 2);
  matrix<float> c(3, 4);
  EXPECT_EQ(message_of([&] { gemm(p.a, p.b, c, {.row_scale = p.bias}); }),
            "halfway::gemm: row_scale.size (4) must equal c.rows (3)");
  EXPECT_EQ(message_of([&] { gemm(p.a, p.b, c, {.column_scale = p.row_scale}); }),
            "halfway::gemm: column_scale.size (3) must equal c.cols (4)");
}

// Large enough to be cut, with ragged ends, along rows and along columns.
TEST(GemmThreads, SameBitsForAnyNumber) {
  halfway::thread_pool two(2), three(3);
  for (const auto& [m, n, k] :
       {std::array<std::size_t, 3>{301, 130, 300}, {65, 1000, 300}, {1, 4099, 2050}}) {
    const problem p(m, n, k);
    gemm_health health, want_health;
    const gemm_options options{.alpha = 1.5f,
                               .bias = p.bias,
                               .row_scale = p.row_scale,
                               .column_scale = p.column_scale,
                               .health = &health};
    const packed_matrix packed(p.b);
    matrix<halfway::int4> codes(k, n);
    for (std::size_t i = 0; i < k * n; ++i) {
      codes.data()[i] = halfway::int4(static_cast<int>(i * i % 16) - 8);
    }
    matrix<float> scales(1, n);
    for (std::size_t j = 0; j < n; ++j) scales(0, j) = p.column_scale[j];
    const halfway::quantized_matrix<halfway::int4> quantized(codes, scales, 0);

    matrix<float> want(m, n), from_codes(m, n);
    gemm(p.a, p.b, want, options);
    gemm(p.a, quantized, from_codes);
    want_health = health;
    for (halfway::thread_pool* pool : {&two, &three}) {
      matrix<float> got(m, n);
      health = {};
      gemm(p.a, p.b, got, options, *pool);
      EXPECT_TRUE(std::ranges::equal(got.elements(), want.elements())) << m << 'x' << n;
      EXPECT_EQ(health.amax, want_health.amax);
      health = {};
      gemm(p.a, packed, got, options, *pool);
      EXPECT_TRUE(std::ranges::equal(got.elements(), want.elements())) << m << 'x' << n;
      gemm(p.a, quantized, got, {}, *pool);
      EXPECT_TRUE(std::ranges::equal(got.elements(), from_codes.elements())) << m << 'x' << n;
    }
  }
}

TEST(GemmThreads, Integers) {
  constexpr std::size_t m = 200, n = 200, k = 200;
  matrix<std::uint8_t> a(m, k);
  matrix<std::int8_t> b(k, n);
  for (std::size_t i = 0; i < m * k; ++i) a.data()[i] = static_cast<std::uint8_t>(i * 7 % 251);
  for (std::size_t i = 0; i < k * n; ++i) b.data()[i] = static_cast<std::int8_t>(i * 5 % 255 - 127);
  matrix<std::int32_t> want(m, n), got(m, n);
  gemm(a, b, want);
  halfway::thread_pool pool(3);
  gemm(a, b, got, pool);
  EXPECT_TRUE(std::ranges::equal(got.elements(), want.elements()));
  gemm(a, packed_matrix(b), got, pool);
  EXPECT_TRUE(std::ranges::equal(got.elements(), want.elements()));

  std::vector<float> scale(n);
  for (std::size_t j = 0; j < n; ++j) scale[j] = 1e-4f * static_cast<float>(j + 1);
  const halfway::requantize_options options{.a_zero_point = 3, .scale = scale, .c_zero_point = 9};
  matrix<std::uint8_t> want8(m, n), got8(m, n);
  halfway::gemm_requantized(a, b, want8, options);
  halfway::gemm_requantized(a, b, got8, options, pool);
  EXPECT_TRUE(std::ranges::equal(got8.elements(), want8.elements()));
}

}  // namespace
