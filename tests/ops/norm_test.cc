// SPDX-License-Identifier: Apache-2.0
// Layer normalization and RMS normalization, forwards and backwards.
#include "halfway/ops/norm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/norm_backward.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::matrix;
using halfway::matrix_view;
using halfway::no_parameters;
using halfway::testing::append_bits;
using halfway::testing::expect_error;
using halfway::testing::expect_same_bits_on_every_target;
using halfway::testing::for_each_target;
using halfway::testing::gamma;
using halfway::testing::normal_values;
using halfway::testing::padded_rows;
using halfway::testing::rounding_of;
using halfway::testing::u32;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

const std::vector<std::size_t> sizes = {1,  2,  3,  4,  5,  7,  8,  9,   15,  16,  17,
                                        31, 32, 33, 47, 63, 64, 65, 100, 768, 4099};

double additions(std::size_t n, std::size_t lanes) {
  const double count = static_cast<double>(n), width = static_cast<double>(lanes);
  return std::min(64.0, std::ceil(count / width)) + std::floor((count - 1) / (64 * width)) +
         std::log2(width);
}

// A row normalized in double, and bounds of what FP32 makes of it (u = 2^-24).
struct exact_row {
  // Layer normalization. The moments err as tests/ops/reduce_test.cc derives, p being the float
  // that deviations are taken from and m >= |p - mean|. Then x - p is rounded, and the normalized
  // value, from a scale of relative error rho, and a correction of the mean that errs by
  // gamma(d + 1) times the mean of |x - p|, and by its rounding.
  template <class T>
  static exact_row layer(const T* x, std::size_t n, double epsilon) {
    exact_row row(n);
    const double count = static_cast<double>(n), d = additions(n, 32);
    double mean = 0, variance = 0, spread = 0;
    for (std::size_t j = 0; j < n; ++j) mean += static_cast<double>(x[j]) / count;
    for (std::size_t j = 0; j < n; ++j) {
      const double value = static_cast<double>(x[j]);
      variance += (value - mean) * (value - mean) / count;
      spread += std::abs(value - static_cast<double>(x[0])) / count;
    }
    double m = gamma(additions(n, 64) + 2) * spread + u32 * std::abs(mean);
    if (n >= 64) {  // p may be the mean of the first 64 elements, if that is within a deviation
      double first = 0;
      for (std::size_t j = 0; j < 64; ++j) first += static_cast<double>(x[j]) / 64;
      m = std::max(m, 1.01 * std::min(std::abs(first - mean) + m, std::sqrt(variance)));
    }
    row.scale = 1 / std::sqrt(variance + epsilon);
    row.rho = 1.5 * gamma(d + 4) * (variance + m * m) * row.scale * row.scale + 3 * u32;
    for (std::size_t j = 0; j < n; ++j) {
      const double deviation = static_cast<double>(x[j]) - mean;
      row.z[j] = deviation * row.scale;
      row.z_error[j] =
          std::abs(row.z[j]) * (row.rho + 2 * u32) +
          1.01 * row.scale *
              (u32 * (std::abs(deviation) + 2 * m) + gamma(d + 2) * (std::sqrt(variance) + m));
    }
    return row;
  }

  // RMS normalization: the mean of the squares errs by gamma(d + 1), its root by half of that.
  template <class T>
  static exact_row rms(const T* x, std::size_t n, double epsilon) {
    exact_row row(n);
    double mean = 0;
    for (std::size_t j = 0; j < n; ++j) {
      mean += static_cast<double>(x[j]) * static_cast<double>(x[j]) / static_cast<double>(n);
    }
    row.scale = 1 / std::sqrt(mean + epsilon);
    row.rho = gamma(additions(n, 64) + 1) / 2 + 3 * u32;
    for (std::size_t j = 0; j < n; ++j) {
      row.z[j] = static_cast<double>(x[j]) * row.scale;
      row.z_error[j] = std::abs(row.z[j]) * (row.rho + u32);
    }
    return row;
  }

  explicit exact_row(std::size_t n) : z(n), z_error(n) {}

  double scale = 0;       // 1 / sqrt(... + epsilon)
  double rho = 0;         // its relative error
  std::vector<double> z;  // the normalized row
  std::vector<double> z_error;
};

template <class T, class G>
void expect_normalized(const exact_row& row, const T* y, std::span<const G> gammas,
                       std::span<const G> betas) {
  for (std::size_t j = 0; j < row.z.size(); ++j) {
    const double g = gammas.empty() ? 1.0 : static_cast<double>(gammas[j]);
    const double exact = row.z[j] * g + (betas.empty() ? 0.0 : static_cast<double>(betas[j]));
    const double error = 1.01 * std::abs(g) * row.z_error[j] + u32 * std::abs(exact);
    ASSERT_LE(std::abs(static_cast<double>(y[j]) - exact),
              error + rounding_of<T>(std::abs(exact) + error))
        << j;
  }
}

template <class T>
class Norm : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16>;
TYPED_TEST_SUITE(Norm, Types);

TYPED_TEST(Norm, StaysWithinItsBound) {
  for_each_target([] {
    for (const std::size_t cols : sizes) {
      SCOPED_TRACE(cols);
      const std::size_t rows = 3;
      padded_rows<TypeParam> x(rows, cols, 3), y(rows, cols, 2);
      x.fill_normal(2.0, 3.0, 1);
      const auto g = normal_values<float>(cols, 1.0, 0.3, 2);
      const auto b = normal_values<float>(cols, 0.0, 0.5, 3);
      const std::span<const float> none, gammas(g), betas(b);
      const auto each = [&](auto&& normalize, const auto& expect) {
        normalize();
        for (std::size_t i = 0; i < rows; ++i) expect(x.view().row(i), y.view().row(i));
        EXPECT_TRUE(x.padding_is_whole() && y.padding_is_whole());
      };
      const auto layer = [&](std::span<const float> with_gammas,
                             std::span<const float> with_betas) {
        each([&] { halfway::layernorm(x.view(), with_gammas, with_betas, y.view(), 1e-3f); },
             [&](const TypeParam* in, const TypeParam* out) {
               expect_normalized(exact_row::layer(in, cols, 1e-3f), out, with_gammas, with_betas);
             });
      };
      layer(gammas, betas);
      layer(gammas, none);
      layer(none, betas);
      layer(none, none);
      const auto rms = [&](std::span<const float> with_gammas) {
        each([&] { halfway::rmsnorm(x.view(), with_gammas, y.view(), 1e-3f); },
             [&](const TypeParam* in, const TypeParam* out) {
               expect_normalized(exact_row::rms(in, cols, 1e-3f), out, with_gammas, none);
             });
      };
      rms(gammas);
      rms(none);
    }
  });
}

TEST(Norm, SurvivesALargeMean) {
  // Mean 1e6 times the deviation: a mean in FP32 alone would be off by a good part of a deviation.
  const std::size_t cols = 1000;
  padded_rows<float> x(2, cols, 0), y(2, cols, 0);
  x.fill_normal(1e6, 1.0, 4);
  for_each_target([&] {
    halfway::layernorm(x.view(), no_parameters, no_parameters, y.view());
    for (std::size_t i = 0; i < 2; ++i) {
      const exact_row row = exact_row::layer(x.view().row(i), cols, 1e-5f);
      expect_normalized<float, float>(row, y.view().row(i), {}, {});
      EXPECT_LT(*std::max_element(row.z_error.begin(), row.z_error.end()), 1e-4);
    }
  });
}

TYPED_TEST(Norm, WorksInPlace) {
  for_each_target([] {
    padded_rows<TypeParam> x(2, 41, 3), y(2, 41, 3);
    x.fill_normal(0.0, 1.0, 5);
    std::vector<std::uint32_t> expected, bits;
    halfway::layernorm(x.view(), no_parameters, no_parameters, y.view());
    halfway::rmsnorm(y.view(), no_parameters, y.view());
    append_bits(expected, std::span<const TypeParam>(y.view().row(1), 41));
    halfway::layernorm(x.view(), no_parameters, no_parameters, x.view());
    halfway::rmsnorm(x.view(), no_parameters, x.view());
    append_bits(bits, std::span<const TypeParam>(x.view().row(1), 41));
    EXPECT_EQ(bits, expected);
    EXPECT_TRUE(x.padding_is_whole());
  });
}

TEST(Norm, MixesTypes) {
  for_each_target([] {
    const std::size_t cols = 21;
    const auto x = normal_values<halfway::float8_e4m3fn>(cols, 0.0, 2.0, 6);
    const auto g = normal_values<half>(cols, 1.0, 1.0, 7), b = normal_values<half>(cols, 0, 1, 8);
    matrix<bfloat16> y(1, cols);
    halfway::layernorm(matrix_view<const halfway::float8_e4m3fn>(x.data(), 1, cols), g, b, y);
    expect_normalized(exact_row::layer(x.data(), cols, 1e-5f), y.data(), std::span<const half>(g),
                      std::span<const half>(b));
  });
}

// docs/special_values.md
TEST(Norm, SpecialValues) {
  for_each_target([] {
    for (const std::size_t n : {std::size_t{1}, std::size_t{5}, std::size_t{16}, std::size_t{67}}) {
      const std::vector<float> g(n, 3.0f), b(n, -0.3f);
      matrix<float> x(1, n), y(1, n);
      const auto all = [&](auto&& is) {
        return std::all_of(y.data(), y.data() + n, [&](float v) { return is(v); });
      };
      for (const float value : {0.0f, 0.1f, -7e6f, 3e38f}) {  // constant rows
        std::fill(x.data(), x.data() + n, value);
        halfway::layernorm(x, g, b, y);
        EXPECT_TRUE(all([](float v) { return v == -0.3f; })) << value;
      }
      std::fill(x.data(), x.data() + n, 0.0f);
      halfway::rmsnorm(x, g, y);
      EXPECT_TRUE(all([](float v) { return v == 0.0f; }));
      halfway::rmsnorm(x, g, y, 0.0f);  // 0 * (1 / 0)
      EXPECT_TRUE(all([](float v) { return std::isnan(v); }));
      halfway::layernorm(x, g, b, y, 0.0f);
      EXPECT_TRUE(all([](float v) { return std::isnan(v); }));
      for (const float value : {nan, inf, -inf}) {
        for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
          std::fill(x.data(), x.data() + n, 1.0f);
          x(0, at) = value;
          halfway::layernorm(x, g, b, y);
          EXPECT_TRUE(all([](float v) { return std::isnan(v); }));
          halfway::rmsnorm(x, g, y);
          for (std::size_t j = 0; j < n; ++j) {  // 1 / sqrt(inf) = 0, and inf * 0 is NaN
            if (j == at || std::isnan(value)) {
              EXPECT_TRUE(std::isnan(y(0, j)));
            } else {
              EXPECT_EQ(y(0, j), 0.0f);
            }
          }
        }
      }
    }
    matrix<float> empty(0, 5), no_columns(5, 0);
    halfway::layernorm(empty, no_parameters, no_parameters, empty);
    halfway::rmsnorm(no_columns, no_parameters, no_columns);
  });
}

// ------------------------------ Backwards

struct exact_gradients {
  std::vector<double> dx, dx_error, dgamma, dgamma_error, dbeta, dbeta_error;
};

// dx = scale (g - c1 - z c2), g = dy gamma, c1 = mean of g (0 for RMS), c2 = mean of g z. The sums
// err by gamma of their additions, and by what z errs; every operation after them rounds once.
template <class T, class DY>
exact_gradients gradients(matrix_view<const T> x, std::span<const float> gammas,
                          matrix_view<const DY> dy, double epsilon, bool layer) {
  const std::size_t rows = x.rows(), cols = x.cols();
  const double n = static_cast<double>(cols), d = additions(cols, 32);
  exact_gradients e;
  e.dx.resize(rows * cols), e.dx_error.resize(rows * cols);
  e.dgamma.resize(cols), e.dgamma_error.resize(cols), e.dbeta.resize(cols);
  e.dbeta_error.resize(cols);
  for (std::size_t i = 0; i < rows; ++i) {
    const exact_row row =
        layer ? exact_row::layer(x.row(i), cols, epsilon) : exact_row::rms(x.row(i), cols, epsilon);
    double c1 = 0, c2 = 0, c1_error = 0, c2_error = 0;
    const auto g = [&](std::size_t j) {
      return static_cast<double>(dy(i, j)) *
             (gammas.empty() ? 1.0 : static_cast<double>(gammas[j]));
    };
    for (std::size_t j = 0; j < cols; ++j) {
      if (layer) c1 += g(j) / n;
      c2 += g(j) * row.z[j] / n;
      c1_error += layer ? gamma(d + 2) * std::abs(g(j)) / n : 0.0;
      c2_error += (gamma(d + 3) * std::abs(g(j) * row.z[j]) + std::abs(g(j)) * row.z_error[j]) / n;
    }
    for (std::size_t j = 0; j < cols; ++j) {
      const double z = std::abs(row.z[j]), z_error = row.z_error[j], at = g(j);
      const std::size_t k = i * cols + j;
      e.dx[k] = row.scale * (at - c1 - row.z[j] * c2);
      e.dx_error[k] = 1.01 * row.scale *
                          (c1_error + (z + z_error) * c2_error + std::abs(c2) * z_error +
                           3 * u32 * (std::abs(at) + std::abs(c1) + z * std::abs(c2))) +
                      std::abs(e.dx[k]) * (row.rho + u32);
      const double w = static_cast<double>(dy(i, j)), r = static_cast<double>(rows);
      e.dgamma[j] += w * row.z[j];
      e.dgamma_error[j] += 1.01 * (std::abs(w) * z_error + gamma(r) * std::abs(w) * z);
      e.dbeta[j] += w;
      e.dbeta_error[j] += gamma(r) * std::abs(w);
    }
  }
  return e;
}

TYPED_TEST(Norm, GradientsStayWithinTheirBounds) {
  for_each_target([] {
    for (const std::size_t cols : sizes) {
      if (cols > 1000) continue;
      for (const bool with_gamma : {true, false}) {
        SCOPED_TRACE(cols);
        const std::size_t rows = 5;
        padded_rows<TypeParam> x(rows, cols, 3), dy(rows, cols, 2), dx(rows, cols, 1);
        x.fill_normal(2.0, 3.0, 9);
        dy.fill_normal(0.1, 2.0, 10);
        std::vector<float> g = normal_values<float>(cols, 1.0, 0.3, 11);
        if (!with_gamma) g.clear();
        std::vector<float> dgamma(cols, 5.0f), dbeta(cols, 5.0f);
        const auto expect = [&](bool layer) {
          const exact_gradients e =
              gradients<TypeParam, TypeParam>(x.view(), g, dy.view(), 1e-3f, layer);
          for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < cols; ++j) {
              const std::size_t k = i * cols + j;
              ASSERT_LE(std::abs(static_cast<double>(dx.view()(i, j)) - e.dx[k]),
                        e.dx_error[k] + rounding_of<TypeParam>(std::abs(e.dx[k]) + e.dx_error[k]))
                  << i << " " << j;
            }
          }
          for (std::size_t j = 0; j < cols; ++j) {
            ASSERT_LE(std::abs(dgamma[j] - e.dgamma[j]), e.dgamma_error[j]) << j;
            if (layer) {
              ASSERT_LE(std::abs(dbeta[j] - e.dbeta[j]), e.dbeta_error[j]) << j;
            }
          }
          EXPECT_TRUE(dx.padding_is_whole());
        };
        halfway::layernorm_backward(x.view(), g, dy.view(), dx.view(), dgamma, dbeta, 1e-3f);
        expect(true);
        halfway::rmsnorm_backward(x.view(), g, dy.view(), dx.view(), dgamma, 1e-3f);
        expect(false);
      }
    }
  });
}

TEST(Norm, GradientsAreThoseOfTheForwardFunction) {
  // Central differences of sum(dy * y) in double.
  const std::size_t n = 9;
  const auto x = normal_values<float>(n, 1.0, 2.0, 12), dy = normal_values<float>(n, 0.0, 1.0, 13),
             g = normal_values<float>(n, 1.0, 0.5, 14);
  for (const bool layer : {true, false}) {
    const auto loss = [&](const std::vector<double>& at) {
      const exact_row row =
          layer ? exact_row::layer(at.data(), n, 1e-5f) : exact_row::rms(at.data(), n, 1e-5f);
      double sum = 0;
      for (std::size_t j = 0; j < n; ++j) sum += dy[j] * row.z[j] * g[j];
      return sum;
    };
    std::vector<float> dx(n), dgamma(n);
    const matrix_view<const float> vx(x.data(), 1, n), vdy(dy.data(), 1, n);
    const matrix_view<float> vdx(dx.data(), 1, n);
    if (layer) {
      halfway::layernorm_backward(vx, g, vdy, vdx, dgamma, {});
    } else {
      halfway::rmsnorm_backward(vx, g, vdy, vdx, dgamma);
    }
    for (std::size_t j = 0; j < n; ++j) {
      const double h = 1e-5;  // errs by h^2 times a third derivative of the order of 1
      std::vector<double> above(x.begin(), x.end()), below = above;
      above[j] += h;
      below[j] -= h;
      EXPECT_NEAR(dx[j], (loss(above) - loss(below)) / (2 * h), 1e-5) << j;
    }
  }
}

TEST(Norm, GradientsWorkInPlaceAndLeaveOutWhatIsNotWanted) {
  for_each_target([] {
    padded_rows<float> x(3, 20, 1), dy(3, 20, 1), dx(3, 20, 1);
    x.fill_normal(0, 1, 15);
    dy.fill_normal(0, 1, 16);
    std::vector<float> dgamma(20), dbeta(20), alone(20);
    halfway::layernorm_backward(x.view(), no_parameters, dy.view(), dx.view(), dgamma, dbeta);
    halfway::layernorm_backward(x.view(), no_parameters, dy.view(), x.view(), {}, alone);
    EXPECT_EQ(alone, dbeta);
    for (std::size_t j = 0; j < 20; ++j) EXPECT_EQ(x.view()(2, j), dx.view()(2, j));
    x.fill_normal(0, 1, 15);
    halfway::layernorm_backward(x.view(), no_parameters, dy.view(), dy.view(), alone, {});
    EXPECT_EQ(alone, dgamma);
    for (std::size_t j = 0; j < 20; ++j) EXPECT_EQ(dy.view()(2, j), dx.view()(2, j));
    // Without rows the gradients of the parameters are zero.
    const matrix_view<float> none(nullptr, 0, 20);
    halfway::layernorm_backward(none, no_parameters, none, none, dgamma, dbeta);
    EXPECT_EQ(dgamma, std::vector<float>(20));
    EXPECT_EQ(dbeta, std::vector<float>(20));
  });
}

TEST(Norm, GradientsOfConstantRows) {
  for_each_target([] {
    // Normalized to 0: dx = (dy - mean of dy) / sqrt(epsilon), no gradient for gamma.
    matrix<float> x(1, 8), dy(1, 8), dx(1, 8);
    std::fill(x.data(), x.data() + 8, 0.1f);
    for (std::size_t j = 0; j < 8; ++j) dy(0, j) = static_cast<float>(j);
    std::vector<float> dgamma(8, 1.0f);
    halfway::layernorm_backward(x, no_parameters, dy, dx, dgamma, {}, 0.25f);
    for (std::size_t j = 0; j < 8; ++j) {
      EXPECT_EQ(dx(0, j), (static_cast<float>(j) - 3.5f) * 2.0f);
      EXPECT_EQ(dgamma[j], 0.0f);
    }
    dy(0, 3) = nan;
    halfway::layernorm_backward(x, no_parameters, dy, dx, dgamma, {});
    for (std::size_t j = 0; j < 8; ++j) EXPECT_TRUE(std::isnan(dx(0, j)));
    EXPECT_TRUE(std::isnan(dgamma[3]));
  });
}

TYPED_TEST(Norm, GivesTheSameBitsOnEveryTarget) {
  expect_same_bits_on_every_target([](std::vector<std::uint32_t>& bits) {
    for (const std::size_t cols : sizes) {
      padded_rows<TypeParam> x(2, cols, 1), dy(2, cols, 0), y(2, cols, 0);
      x.fill_normal(1.0, 2.0, 17);
      dy.fill_normal(0.0, 2.0, 18);
      const auto g = normal_values<float>(cols, 1.0, 0.3, 19);
      const std::span<const TypeParam> out(y.view().data(), 2 * cols);
      std::vector<float> dgamma(cols), dbeta(cols);
      halfway::layernorm(x.view(), g, g, y.view());
      append_bits(bits, out);
      halfway::rmsnorm(x.view(), g, y.view());
      append_bits(bits, out);
      halfway::layernorm_backward(x.view(), g, dy.view(), y.view(), dgamma, dbeta);
      append_bits(bits, out);
      append_bits(bits, std::span<const float>(dgamma));
      append_bits(bits, std::span<const float>(dbeta));
      halfway::rmsnorm_backward(x.view(), g, dy.view(), y.view(), dgamma);
      append_bits(bits, out);
      append_bits(bits, std::span<const float>(dgamma));
    }
  });
}

TEST(Norm, AddsAResidualFirst) {
  for_each_target([] {
    for (const std::size_t cols : {5u, 300u}) {
      padded_rows<half> x(5, cols, 3);
      padded_rows<bfloat16> residual(5, cols, 1);
      x.fill_normal(1, 2, 1);
      residual.fill_normal(-1, 3, 2);
      const std::vector<float> g(cols, 1.5f), b(cols, 0.25f);
      matrix<bfloat16> sum(5, cols), expected_sum(5, cols);
      matrix<half> y(5, cols), expected(5, cols);
      for (std::size_t i = 0; i < 5; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          expected_sum(i, j) = bfloat16(static_cast<float>(x.view()(i, j)) +
                                        static_cast<float>(residual.view()(i, j)));
        }
      }
      std::vector<std::uint32_t> bits, expected_bits;
      const auto append = [](std::vector<std::uint32_t>& to, auto& m) {
        using T = std::remove_cvref_t<decltype(m.elements()[0])>;
        append_bits(to, std::span<const T>(m.elements()));
      };
      halfway::rmsnorm(expected_sum, g, expected);
      halfway::add_rmsnorm(x.view(), residual.view(), g, sum, y);
      append(bits, sum), append(bits, y), append(expected_bits, expected_sum),
          append(expected_bits, expected);
      halfway::layernorm(expected_sum, g, b, expected);
      // The residual stream in place, the result over x.
      halfway::add_layernorm(x.view(), residual.view(), g, b, residual.view(), x.view());
      append(expected_bits, expected_sum), append(expected_bits, expected);
      for (std::size_t i = 0; i < 5; ++i) {
        append_bits(bits, std::span<const bfloat16>(residual.view().row(i), cols));
      }
      for (std::size_t i = 0; i < 5; ++i) {
        append_bits(bits, std::span<const half>(x.view().row(i), cols));
      }
      EXPECT_EQ(bits, expected_bits);
      EXPECT_TRUE(x.padding_is_whole() && residual.padding_is_whole());
    }
  });
}

TEST(Norm, AddingRefusesBadInput) {
  matrix<float> x(2, 3), r(2, 4), s(2, 3), y(2, 3);
  const std::vector<float> g(3, 1.0f);
  expect_error([&] { halfway::add_rmsnorm(x, r, g, s, y); },
               {"halfway::add_rmsnorm", "residual.cols() (4)", "x.cols() (3)"});
  expect_error([&] { halfway::add_rmsnorm(x, x, g, y, y); }, {"sum", "y"});
  expect_error([&] { halfway::add_layernorm(x, x, g, s.row(0), s, y); },
               {"halfway::add_layernorm", "beta", "sum"});
}

// Large results are written past the caches.
TEST(Norm, LargeMatricesAreTheirRows) {
  matrix<half> x(2050, 4200), y(2050, 4200), row(1, 4200);
  for (std::size_t k = 0; k < x.size(); ++k) {
    x.elements()[k] = half(static_cast<float>(k % 1013) * 0.01f);
  }
  const std::vector<float> g(4200, 1.5f);
  halfway::layernorm(x, g, g, y);
  for (const std::size_t i : {0u, 1u, 1000u, 2049u}) {
    halfway::layernorm(matrix_view<const half>(x.row(i).data(), 1, 4200), g, g, row);
    for (std::size_t j = 0; j < 4200; ++j) {
      ASSERT_EQ(static_cast<float>(y(i, j)), static_cast<float>(row(0, j))) << i << " " << j;
    }
  }
}

TEST(Norm, GivesTheSameBitsOnAnyExecutor) {
  matrix<bfloat16> x(301, 500), y(301, 500), sum(301, 500);
  for (std::size_t k = 0; k < x.size(); ++k) {
    x.elements()[k] = bfloat16(static_cast<float>(k * 37 % 101) * 0.1f - 3.0f);
  }
  const std::vector<float> g(500, 1.5f);
  using halfway::testing::expect_same_bits_on_any_executor;
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::layernorm(x, g, g, y, 1e-5f, on);
    return std::as_bytes(y.elements());
  });
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::rmsnorm(x, g, y, 1e-5f, on);
    return std::as_bytes(y.elements());
  });
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::add_rmsnorm(x, x, g, sum, y, 1e-5f, on);
    return std::as_bytes(sum.elements());
  });
}

TEST(Norm, RefusesBadInput) {
  std::vector<float> storage(24, 7.0f), four(4, 1.0f), three(3, 1.0f);
  const matrix_view<float> x(storage.data(), 3, 4), y(storage.data() + 12, 3, 4);
  const matrix_view<float> columns = matrix_view<float>(storage.data(), 4, 3).transposed();
  const std::span<const float> inside(storage.data() + 14, 4);
  const std::span<const float> null(static_cast<const float*>(nullptr), 4);
  const auto refuses = [&](const auto& a, std::span<const float> g, std::span<const float> b,
                           const auto& out, float epsilon,
                           std::initializer_list<std::string_view> parts) {
    expect_error([&] { halfway::layernorm(a, g, b, out, epsilon); }, parts);
  };
  refuses(x, four, four, y.block(0, 0, 2, 4), 1.0f,
          {"halfway::layernorm", "y.rows() (2)", "x.rows() (3)"});
  refuses(x, four, four, y.block(0, 0, 3, 2), 1.0f, {"y.cols() (2)", "x.cols() (4)"});
  refuses(x, three, four, y, 1.0f, {"gamma.size() (3)", "x.cols() (4)"});
  refuses(x, four, three, y, 1.0f, {"beta.size() (3)", "x.cols() (4)"});
  refuses(x, null, four, y, 1.0f, {"gamma is null"});
  refuses(x, four, null, y, 1.0f, {"beta is null"});
  refuses(x, inside, four, y, 1.0f, {"gamma and y share memory"});
  refuses(x, four, inside, y, 1.0f, {"beta and y share memory"});
  refuses(columns, four, four, y, 1.0f, {"x.col_stride() (3)"});
  refuses(x, four, four, matrix_view<float>(storage.data() + 1, 3, 4), 1.0f,
          {"x and y share memory"});
  refuses(x, four, four, y, -1.0f, {"epsilon (-1"});
  refuses(x, four, four, y, nan, {"epsilon (nan)"});
  refuses(x, four, four, y, inf, {"epsilon (inf)"});
  expect_error([&] { halfway::rmsnorm(x, three, y); },
               {"halfway::rmsnorm", "gamma.size() (3)", "x.cols() (4)"});
  expect_error([&] { halfway::rmsnorm(x, inside, y); }, {"gamma and y share memory"});
  expect_error([&] { halfway::rmsnorm(x, four, y.block(0, 0, 2, 4)); }, {"y.rows() (2)"});
  expect_error([&] { halfway::rmsnorm(x, four, y, -1.0f); }, {"epsilon (-1"});
  EXPECT_EQ(storage, std::vector<float>(24, 7.0f));
}

TEST(Norm, GradientsRefuseBadInput) {
  std::vector<float> storage(36, 7.0f), four(4, 1.0f), three(3, 1.0f), out(8, 7.0f);
  const matrix_view<float> x(storage.data(), 3, 4), dy(storage.data() + 12, 3, 4),
      dx(storage.data() + 24, 3, 4);
  const std::span<float> dg(out.data(), 4), db(out.data() + 4, 4), inside(storage.data() + 12, 4);
  const auto refuses = [&](std::span<const float> g, const auto& w, const auto& d,
                           std::span<float> dgamma, std::span<float> dbeta,
                           std::initializer_list<std::string_view> parts) {
    expect_error([&] { halfway::layernorm_backward(x, g, w, d, dgamma, dbeta); }, parts);
  };
  refuses(three, dy, dx, dg, db, {"layernorm_backward", "gamma.size() (3)", "x.cols() (4)"});
  refuses(four, dy.block(0, 0, 2, 4), dx, dg, db, {"dy.rows() (2)", "x.rows() (3)"});
  refuses(four, dy, dx.block(0, 0, 3, 3), dg, db, {"dx.cols() (3)", "x.cols() (4)"});
  refuses(four, dy, dx, dg.first(2), db, {"dgamma.size() (2)", "x.cols() (4)"});
  refuses(four, dy, dx, dg, db.first(1), {"dbeta.size() (1)", "x.cols() (4)"});
  refuses(four, dy, dx, inside, db, {"dgamma and dy share memory"});
  refuses(four, dy, dx, dg, inside, {"dbeta and dy share memory"});
  refuses(four, dy, dx, dg, dg, {"dgamma and dbeta share memory"});
  refuses(dg, dy, dx, dg, db, {"dgamma and gamma share memory"});
  refuses(four, dy, matrix_view<float>(storage.data() + 13, 3, 4), dg, db,
          {"dy and dx share memory"});
  refuses(four, dy, matrix_view<float>(storage.data() + 1, 2, 4), dg, db, {"dx.rows() (2)"});
  expect_error([&] { halfway::layernorm_backward(x, four, dy, dx, dg, db, -1.0f); },
               {"epsilon (-1"});
  expect_error([&] { halfway::rmsnorm_backward(x, four, dy, dx, dg.first(3)); },
               {"rmsnorm_backward", "dgamma.size() (3)"});
  expect_error([&] { halfway::rmsnorm_backward(x, four, dy.block(0, 0, 3, 2), dx, dg); },
               {"rmsnorm_backward", "dy.cols() (2)"});
  EXPECT_EQ(storage, std::vector<float>(36, 7.0f));
  EXPECT_EQ(out, std::vector<float>(8, 7.0f));
}

}  // namespace
