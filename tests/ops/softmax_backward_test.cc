// SPDX-License-Identifier: Apache-2.0
// Gradients of softmax and log_softmax.
#include "halfway/ops/softmax_backward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/simd/sum_order.h"
#include "halfway/types/bfloat16.h"
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

// What softmax (its logarithm) makes of normal scores, in T.
template <class T>
void fill_results(padded_rows<T>& y, bool log, unsigned seed) {
  for (std::size_t i = 0; i < y.view().rows(); ++i) {
    const auto x = normal_values<float>(y.view().cols(), 0.0, 2.0, seed + static_cast<unsigned>(i));
    double sum = 0;
    for (const float v : x) sum += std::exp(v);
    for (std::size_t j = 0; j < x.size(); ++j) {
      const double p = std::exp(x[j]) / sum;
      y.view()(i, j) = T(log ? std::log(p) : p);
    }
  }
}

// The gradient of a row in double, from the results as they are stored.
template <class Y, class DY>
std::vector<double> gradient(bool log, const Y* y, const DY* dy, std::size_t n, double scale) {
  double sum = 0;
  for (std::size_t j = 0; j < n; ++j) {
    sum += static_cast<double>(dy[j]) * (log ? 1.0 : static_cast<double>(y[j]));
  }
  std::vector<double> dx(n);
  for (std::size_t j = 0; j < n; ++j) {
    const auto v = static_cast<double>(y[j]), g = static_cast<double>(dy[j]);
    dx[j] = log ? g - std::exp(v) * sum : scale * v * (g - sum);
  }
  return dx;
}

template <class T>
class SoftmaxBackward : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16>;
TYPED_TEST_SUITE(SoftmaxBackward, Types);

TYPED_TEST(SoftmaxBackward, StaysWithinItsBound) {
  using T = TypeParam;
  for_each_target([] {
    for (const std::size_t n : {1u, 2u, 7u, 16u, 31u, 64u, 65u, 1000u, 4099u}) {
      SCOPED_TRACE(n);
      padded_rows<T> y(2, n, 3), log_y(2, n, 1), dx(2, n, 2);
      padded_rows<float> dy(2, n, 5);
      fill_results(y, false, 1);
      fill_results(log_y, true, 1);
      dy.fill_normal(0.5, 1.0, 3);
      const float scale = 0.125f;
      const auto d = static_cast<double>(halfway::detail::additions_in_part(n));

      halfway::softmax_backward(y.view(), dy.view(), dx.view(), scale);
      for (std::size_t i = 0; i < 2; ++i) {
        const auto exact = gradient(false, y.view().row(i), dy.view().row(i), n, scale);
        double m = 0;
        for (std::size_t j = 0; j < n; ++j) {
          m += std::abs(static_cast<double>(y.view()(i, j)) * dy.view()(i, j));
        }
        for (std::size_t j = 0; j < n; ++j) {
          const double error =
              std::abs(scale * static_cast<double>(y.view()(i, j))) *
                  (gamma(d + 1) * (1 + 3 * u32) * m + gamma(3) * (std::abs(dy.view()(i, j)) + m)) +
              0x1p-149 * (1 + scale);
          ASSERT_LE(std::abs(static_cast<double>(dx.view()(i, j)) - exact[j]),
                    error + rounding_of<T>(std::abs(exact[j]) + error))
              << i << " " << j;
        }
      }
      EXPECT_TRUE(dx.padding_is_whole());

      halfway::log_softmax_backward(log_y.view(), dy.view(), dx.view());
      for (std::size_t i = 0; i < 2; ++i) {
        const auto exact = gradient(true, log_y.view().row(i), dy.view().row(i), n, 1);
        double m = 0;
        for (std::size_t j = 0; j < n; ++j) m += std::abs(dy.view()(i, j));
        for (std::size_t j = 0; j < n; ++j) {
          const double error = u32 * std::abs(exact[j]) +
                               std::exp(static_cast<double>(log_y.view()(i, j))) *
                                   (gamma(d) + 2 * u32) * (1 + 4 * u32) * m +
                               0x1p-149;
          ASSERT_LE(std::abs(static_cast<double>(dx.view()(i, j)) - exact[j]),
                    error + rounding_of<T>(std::abs(exact[j]) + error))
              << i << " " << j;
        }
      }
      EXPECT_TRUE(dx.padding_is_whole());
    }
  });
}

TEST(SoftmaxBackwardOf, IsTheGradientOfTheForwardFunction) {
  // Central differences of sum(dy * f(scale * x)) in double: they err by h^2 times a third
  // derivative of the order of 1, and the results by u.
  const std::size_t n = 11;
  const double scale = 0.5, h = 1e-5;
  const auto x = normal_values<float>(n, 0.0, 2.0, 5), dy = normal_values<float>(n, 0.0, 1.0, 6);
  for (const bool log : {false, true}) {
    const auto loss = [&](const std::vector<double>& at) {
      double sum = 0, total = 0;
      for (const double v : at) sum += std::exp(v);
      for (std::size_t j = 0; j < n; ++j) {
        total += dy[j] * (log ? at[j] - std::log(sum) : std::exp(at[j]) / sum);
      }
      return total;
    };
    std::vector<double> scaled(n);
    for (std::size_t j = 0; j < n; ++j) scaled[j] = (log ? 1 : scale) * x[j];
    double sum = 0;
    for (const double v : scaled) sum += std::exp(v);
    std::vector<float> y(n), dx(n);
    for (std::size_t j = 0; j < n; ++j) {
      y[j] = static_cast<float>(log ? scaled[j] - std::log(sum) : std::exp(scaled[j]) / sum);
    }
    const matrix_view<const float> vy(y.data(), 1, n), vdy(dy.data(), 1, n);
    const matrix_view<float> vdx(dx.data(), 1, n);
    if (log) {
      halfway::log_softmax_backward(vy, vdy, vdx);
    } else {
      halfway::softmax_backward(vy, vdy, vdx, static_cast<float>(scale));
    }
    for (std::size_t j = 0; j < n; ++j) {
      std::vector<double> above = scaled, below = scaled;
      above[j] += (log ? 1 : scale) * h;
      below[j] -= (log ? 1 : scale) * h;
      EXPECT_NEAR(dx[j], (loss(above) - loss(below)) / (2 * h), 1e-6) << j;
    }
  }
}

TEST(SoftmaxBackwardOf, WorksInPlaceAndLeavesMaskedElements) {
  for_each_target([] {
    matrix<float> y(1, 4), dy(1, 4), dx(1, 4);
    y(0, 0) = 0.25f, y(0, 1) = 0.75f;  // the others are masked
    for (std::size_t j = 0; j < 4; ++j) dy(0, j) = static_cast<float>(j + 1);
    halfway::softmax_backward(y, dy, dx);
    EXPECT_EQ(dx(0, 0), 0.25f * (1.0f - 1.75f));
    EXPECT_EQ(dx(0, 1), 0.75f * (2.0f - 1.75f));
    EXPECT_EQ(dx(0, 2), 0.0f);
    EXPECT_EQ(dx(0, 3), 0.0f);
    matrix<float> y_in_place = y, dy_in_place = dy;
    halfway::softmax_backward(y_in_place, dy, y_in_place);
    halfway::softmax_backward(y, dy_in_place, dy_in_place);
    EXPECT_TRUE(std::ranges::equal(y_in_place.elements(), dx.elements()));
    EXPECT_TRUE(std::ranges::equal(dy_in_place.elements(), dx.elements()));

    y(0, 1) = nan;
    halfway::softmax_backward(y, dy, dx);
    for (std::size_t j = 0; j < 4; ++j) EXPECT_TRUE(std::isnan(dx(0, j))) << j;
    y(0, 1) = -inf;
    halfway::log_softmax_backward(y, dy, dx);
    EXPECT_EQ(dx(0, 1), 2.0f);
    dy(0, 2) = inf;
    halfway::log_softmax_backward(y, dy, dx);
    EXPECT_EQ(dx(0, 0), -inf);
  });
}

TYPED_TEST(SoftmaxBackward, GivesTheSameBitsEverywhere) {
  using T = TypeParam;
  padded_rows<T> y(300, 77, 1);
  fill_results(y, false, 11);
  padded_rows<T> dy(300, 77, 0);
  dy.fill_normal(0.0, 1.0, 12);
  expect_same_bits_on_every_target([&](std::vector<std::uint32_t>& bits) {
    matrix<T> dx(300, 77);
    halfway::softmax_backward(y.view(), dy.view(), dx, 0.3f);
    append_bits<T>(bits, dx.elements());
    halfway::log_softmax_backward(y.view(), dy.view(), dx);
    append_bits<T>(bits, dx.elements());
  });
  matrix<T> dx(300, 77);
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::softmax_backward(y.view(), dy.view(), dx, 0.3f, on);
    return std::as_bytes(dx.elements());
  });
}

TEST(SoftmaxBackwardOf, NamesBadArguments) {
  matrix<float> y(2, 3), other(2, 4), dx(2, 3);
  expect_error([&] { halfway::softmax_backward(y, other, dx); },
               {"softmax_backward", "dy.cols() (4)", "y.cols() (3)"});
  expect_error([&] { halfway::softmax_backward(y, y, other); }, {"dx.cols() (4)", "y.cols() (3)"});
  expect_error([&] { halfway::softmax_backward(y, y, dx, inf); }, {"scale (inf)", "finite"});
  expect_error([&] { halfway::log_softmax_backward(y, other, dx); },
               {"log_softmax_backward", "dy.cols() (4)"});
  matrix<float> columns(3, 2);
  expect_error([&] { halfway::softmax_backward(y, columns.view().transposed(), dx); },
               {"dy.col_stride() (2)"});
  std::vector<float> memory(9);
  const matrix_view<float> a(memory.data(), 2, 3), b(memory.data() + 1, 2, 3);
  expect_error([&] { halfway::softmax_backward(a, y, b); }, {"y and dx share memory"});
}

}  // namespace
