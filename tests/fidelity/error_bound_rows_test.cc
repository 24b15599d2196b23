// SPDX-License-Identifier: Apache-2.0
// Softmax and norms: measured errors, against 64-bit significands, stay within their a-priori
// bounds, and an adversary comes close to them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "fidelity/hard_data.h"
#include "halfway/core/matrix.h"
#include "halfway/fidelity/error_bound.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/softmax.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::dtype;
using halfway::half;
using halfway::matrix;
using halfway::matrix_view;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

// The references' own error is far below any bound here: n 2^-64 where long double has 64 bits, and
// n 2^-53 where it has not.
using real = long double;

constexpr float infinity = std::numeric_limits<float>::infinity();

struct row {
  std::string name;
  std::vector<float> x;
};

// To 1, exponentials (squares) of 2^-24 are added in one lane of 64 as often as an element of it can
// go through an addition; each is lost. `lost` is what has that exponential, `nothing` what has 0.
std::vector<float> adversary(std::size_t n, float one, float lost, float nothing) {
  std::vector<float> x(n, nothing);
  x[0] = one;
  for (std::size_t i = 64; i < std::min<std::size_t>(n, 4096); i += 64) x[i] = lost;
  for (std::size_t block = 4096; block < n; block += 4096) x[block] = lost;
  for (std::size_t lane = 1; lane < std::min<std::size_t>(n, 64); lane *= 2) x[lane] = lost;
  return x;
}

std::vector<row> hard_rows(std::size_t n) {
  std::mt19937 random(static_cast<unsigned>(n));
  std::normal_distribution<double> normal;
  const auto make = [&](double mean, double deviation) {
    std::vector<float> x(n);
    for (auto& v : x) v = static_cast<float>(mean + deviation * normal(random));
    return x;
  };
  std::vector<row> rows = {
      {"normal", make(0, 1)},           {"spread", make(0, 40)},
      {"far from zero", make(1000, 3)}, {"large", make(0, 3000)},
      {"subnormal", make(0, 1e-40)},    {"all equal", std::vector<float>(n, 0.1f)},
      {"one giant", make(0, 1)},        {"alternating", make(0, 0.1)}};
  rows[6].x[n / 2] = 1e4f;
  for (std::size_t i = 0; i < n; ++i) rows[7].x[i] += i % 2 == 0 ? 5.0f : -5.0f;
  rows.push_back({"adversary", adversary(n, 0.0f, -16.7f, -infinity)});
  return rows;
}

const std::vector<std::size_t> sizes = {1, 2, 17, 64, 65, 200, 1000, 4097, 9000};

struct exact_softmax {
  exact_softmax(std::span<const float> x, real scale) {
    real max = -std::numeric_limits<real>::infinity(), sum = 0;
    for (const float v : x) max = std::max(max, scale * static_cast<real>(v));
    for (const float v : x) sum += std::exp(scale * static_cast<real>(v) - max);
    for (const float v : x) {
      const real shifted = scale * static_cast<real>(v) - max;
      p.push_back(std::exp(shifted) / sum);
      log_p.push_back(shifted - std::log(sum));
    }
  }
  std::vector<real> p, log_p;
};

double difference(auto y, real exact) {
  return static_cast<double>(std::abs(static_cast<real>(static_cast<float>(y)) - exact));
}

// The largest quotient of an error and its bound.
struct quotient {
  double largest = 0;
  void expect(double error, double bound) {
    ASSERT_LE(error, bound);
    if (bound > 0) largest = std::max(largest, error / bound);
  }
};

template <class T>
void expect_softmax(std::span<const float> x, quotient& of_p, quotient& of_log) {
  const std::size_t n = x.size();
  const exact_softmax exact(x, 1), scaled(x, 0.3f);
  real largest = 0;
  for (const float v : x) {
    if (std::isfinite(v)) largest = std::max(largest, std::abs(0.3f * static_cast<real>(v)));
  }
  const matrix_view<const float> in(x.data(), 1, n);
  matrix<T> y(1, n), log_y(1, n), scaled_y(1, n);
  halfway::softmax(in, y);
  halfway::softmax(in, scaled_y, halfway::softmax_options{.scale = 0.3f});
  halfway::log_softmax(in, log_y);
  for (std::size_t j = 0; j < n; ++j) {
    const double p = static_cast<double>(exact.p[j]);
    of_p.expect(difference(y(0, j), exact.p[j]),
                halfway::softmax_error_bound(n, p, halfway::dtype_of<T>));
    of_p.expect(difference(scaled_y(0, j), scaled.p[j]),
                halfway::softmax_error_bound(n, static_cast<double>(scaled.p[j]),
                                             halfway::dtype_of<T>, static_cast<double>(largest)));
    ASSERT_LE(difference(y(0, j), exact.p[j]),
              halfway::softmax_error_bound(n, 1.0, halfway::dtype_of<T>));
    if (std::isinf(exact.log_p[j])) continue;
    of_log.expect(difference(log_y(0, j), exact.log_p[j]),
                  halfway::log_softmax_error_bound(n, static_cast<double>(std::abs(exact.log_p[j])),
                                                   halfway::dtype_of<T>));
  }
}

TEST(ErrorBound, HoldsForSoftmaxOfAnyData) {
  for_each_target([] {
    quotient of_p, of_log;
    for (const std::size_t n : sizes) {
      for (const auto& data : hard_rows(n)) {
        SCOPED_TRACE(data.name);
        SCOPED_TRACE(n);
        expect_softmax<float>(data.x, of_p, of_log);
        quotient ignored;
        expect_softmax<half>(data.x, ignored, ignored);
      }
    }
    // What the adversary reaches.
    EXPECT_GT(of_p.largest * 1.3, 1);
    EXPECT_GT(of_log.largest * 1.3, 1);
  });
}

// ------------------------------ Norms

struct exact_norm {
  exact_norm(std::span<const float> x, real epsilon, bool centered) {
    const real n = static_cast<real>(x.size());
    for (const float v : x) mean += static_cast<real>(v) / n;
    if (!centered) mean = 0;
    real variance = 0;
    for (const float v : x) {
      const real d = static_cast<real>(v) - mean;
      variance += d * d / n;
    }
    scale = 1 / std::sqrt(variance + epsilon);
    for (const float v : x) z.push_back((static_cast<real>(v) - mean) * scale);
  }
  real mean = 0, scale = 0;
  std::vector<real> z;
};

constexpr float epsilon = 1e-5f;

template <class T>
void expect_norms(std::span<const float> x, quotient& of_layer, quotient& of_rms) {
  const std::size_t n = x.size();
  const exact_norm layer(x, epsilon, true), rms(x, epsilon, false);
  std::vector<float> gammas(n), betas(n);
  for (std::size_t j = 0; j < n; ++j) {
    gammas[j] = 0.5f + static_cast<float>(j % 7);
    betas[j] = static_cast<float>(j % 5) - 2.0f;
  }
  const matrix_view<const float> in(x.data(), 1, n);
  matrix<T> y(1, n);
  halfway::layernorm(in, gammas, betas, y, epsilon);
  for (std::size_t j = 0; j < n; ++j) {
    const real exact = layer.z[j] * static_cast<real>(gammas[j]) + static_cast<real>(betas[j]);
    of_layer.expect(difference(y(0, j), exact),
                    halfway::layernorm_error_bound(
                        n, static_cast<double>(std::abs(layer.z[j])),
                        {.gamma = static_cast<double>(gammas[j]),
                         .beta = static_cast<double>(std::abs(betas[j])),
                         .y = halfway::dtype_of<T>,
                         .mean = static_cast<double>(std::abs(layer.mean) * layer.scale)}));
  }
  halfway::rmsnorm(in, gammas, y, epsilon);
  for (std::size_t j = 0; j < n; ++j) {
    const real exact = rms.z[j] * static_cast<real>(gammas[j]);
    of_rms.expect(difference(y(0, j), exact),
                  halfway::rmsnorm_error_bound(
                      n, static_cast<double>(std::abs(rms.z[j])),
                      {.gamma = static_cast<double>(gammas[j]), .y = halfway::dtype_of<T>}));
  }
}

TEST(ErrorBound, HoldsForNormsOfAnyData) {
  for_each_target([] {
    quotient of_layer, of_rms;
    for (const std::size_t n : sizes) {
      auto rows = hard_rows(n);
      rows.back().x = adversary(n, 1.0f, 0x1p-12f, 0.0f);
      // The mean 1e6 times the deviation.
      std::mt19937 random(3);
      std::normal_distribution<double> normal(1e6, 1.0);
      std::vector<float> far(n);
      for (auto& v : far) v = static_cast<float>(normal(random));
      rows.push_back({"mean 1e6", far});
      // As the adversary, but of mean 0: squares of deviations are lost.
      std::vector<float> balanced = rows[rows.size() - 2].x;
      for (std::size_t j = 0; j < n; ++j) balanced[j] *= j % 128 < 64 ? 1.0f : -1.0f;
      if (n > 1) balanced[1] = -1.0f;
      rows.push_back({"adversary of mean 0", balanced});
      for (const auto& data : rows) {
        SCOPED_TRACE(data.name);
        SCOPED_TRACE(n);
        expect_norms<float>(data.x, of_layer, of_rms);
        quotient ignored;
        expect_norms<half>(data.x, ignored, ignored);
      }
    }
    EXPECT_GT(of_layer.largest * 6, 1);
    EXPECT_GT(of_rms.largest * 1.2, 1);
  });
}

TEST(ErrorBound, OfRowsIsMonotone) {
  using halfway::layernorm_error_bound;
  using halfway::softmax_error_bound;
  double before = 0;
  for (const double y : {0.0, 1e-30, 1e-6, 0.1, 0.5, 1.0}) {
    EXPECT_GT(softmax_error_bound(1000, y), before);
    before = softmax_error_bound(1000, y);
  }
  EXPECT_LT(softmax_error_bound(1000, 1.0), 1e-5);
  EXPECT_GT(softmax_error_bound(1000, 1.0, dtype::float16), 0x1p-12);
  EXPECT_GT(softmax_error_bound(1000, 0.5, dtype::float32, 1e4), softmax_error_bound(1000, 0.5));
  EXPECT_LE(softmax_error_bound(1000, 0.5, dtype::float32, 1e30), 1.0);
  EXPECT_GT(layernorm_error_bound(1000, 2.0), layernorm_error_bound(1000, 1.0));
  EXPECT_GT(layernorm_error_bound(1000, 2.0, {.gamma = 3.0}), layernorm_error_bound(1000, 2.0));
  EXPECT_GT(layernorm_error_bound(1000, 2.0, {.mean = 1e9}), layernorm_error_bound(1000, 2.0));
  EXPECT_EQ(layernorm_error_bound(1000, 2.0, {.mean = 1e20}),
            std::numeric_limits<double>::infinity());
  EXPECT_EQ(halfway::rmsnorm_error_bound(100, 10.0, {.gamma = 7000.0, .y = dtype::float16}),
            std::numeric_limits<double>::infinity());
}

TEST(ErrorBound, OfRowsRefusesBadInput) {
  expect_error([] { halfway::softmax_error_bound(3, 1.5); },
               {"halfway::softmax_error_bound", "y (1.5)", "above 1"});
  expect_error([] { halfway::log_softmax_error_bound(3, -1.0); }, {"y (-1)", "negative"});
  expect_error([] { halfway::layernorm_error_bound(3, std::nan("")); },
               {"halfway::layernorm_error_bound", "z (nan)"});
  expect_error([] { halfway::rmsnorm_error_bound(3, 1.0, {.y = dtype::uint8}); }, {"type (uint8)"});
}

}  // namespace
