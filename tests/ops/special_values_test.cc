// SPDX-License-Identifier: Apache-2.0
// What row operations do with NaN, infinities, signed zeros, subnormals and empty input: one test
// for each line of docs/special_values.md, which names it. Products, attention and conversions are
// in special_values_products_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/accurate_sum.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/activation_backward.h"
#include "halfway/ops/elementary.h"
#include "halfway/ops/moments.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/norm_backward.h"
#include "halfway/ops/reduce.h"
#include "halfway/ops/scale.h"
#include "halfway/ops/softmax.h"
#include "halfway/ops/softmax_cross_entropy.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/floating_point_mode.h"
#include "support/for_each_target.h"

namespace {

using halfway::half;
using halfway::matrix;
using halfway::matrix_view;
using halfway::no_parameters;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;

using floats = std::vector<float>;
constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
const floats none;

// Lengths that end within a vector, at its end and in a further block; and where in them.
const std::vector<std::size_t> sizes = {1, 5, 16, 67, 300};
std::vector<std::size_t> places(std::size_t n) { return {0, n / 2, n - 1}; }
floats ones_but(std::size_t n, std::size_t at, float value) {
  floats x(n, 1.0f);
  x[at] = value;
  return x;
}

bool is_positive_zero(float x) { return x == 0.0f && !std::signbit(x); }
bool is_negative_zero(float x) { return x == 0.0f && std::signbit(x); }

// The same value, zeros with their sign; NaN is NaN.
void expect_same(std::span<const float> y, std::span<const float> expected, std::string_view of) {
  ASSERT_EQ(y.size(), expected.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(y[i])) << of << " " << i << ": " << y[i];
    } else {
      EXPECT_TRUE(y[i] == expected[i] && std::signbit(y[i]) == std::signbit(expected[i]))
          << of << " " << i << ": " << y[i] << ", expected " << expected[i];
    }
  }
}

// ------------------------------ Reductions

TEST(SpecialValues, SumOfNothing) {
  for_each_target([] {
    for (const float s :
         {halfway::sum(none), halfway::dot(none, none), halfway::sum_of_squares(none),
          halfway::sum_pairwise(none), static_cast<float>(halfway::sum_in_double(none)),
          static_cast<float>(halfway::sum_compensated(none))}) {
      EXPECT_TRUE(is_positive_zero(s));
    }
  });
}

TEST(SpecialValues, SumWithNan) {
  const floats opposite = {inf, 1.0f, -inf}, infinite = {inf}, zero = {0.0f};
  for_each_target([&] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        const floats x = ones_but(n, at, nan);
        EXPECT_TRUE(std::isnan(halfway::sum(x)) && std::isnan(halfway::dot(x, x)) &&
                    std::isnan(halfway::sum_of_squares(x)) && std::isnan(halfway::sum_pairwise(x)));
        EXPECT_TRUE(std::isnan(halfway::sum_in_double(x)) &&
                    std::isnan(halfway::sum_compensated(x)));
      }
    }
    EXPECT_TRUE(std::isnan(halfway::sum(opposite)));
    EXPECT_TRUE(std::isnan(halfway::dot(infinite, zero)));
  });
}

TEST(SpecialValues, SumWithInfinity) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        const floats x = ones_but(n, at, -inf);
        EXPECT_EQ(halfway::sum(x), -inf);
        EXPECT_EQ(halfway::sum_pairwise(x), -inf);
        EXPECT_EQ(static_cast<float>(halfway::sum_in_double(x)), -inf);
        EXPECT_EQ(static_cast<float>(halfway::sum_compensated(x)), -inf);
        EXPECT_EQ(halfway::sum_of_squares(x), inf);
      }
    }
  });
}

TEST(SpecialValues, SumOfNegativeZeros) {
  const floats x(70, -0.0f);
  for_each_target([&] {
    EXPECT_TRUE(is_positive_zero(halfway::sum(x)));
    EXPECT_TRUE(is_positive_zero(halfway::sum_pairwise(x)));
  });
}

TEST(SpecialValues, SumPastTheRange) {
  const floats x(3, 3e38f);
  for_each_target([&] {
    EXPECT_EQ(halfway::sum(x), inf);
    EXPECT_EQ(halfway::sum_pairwise(x), inf);
    EXPECT_EQ(static_cast<float>(halfway::sum_compensated(x)), inf);
    EXPECT_DOUBLE_EQ(halfway::sum_in_double(x), 3 * static_cast<double>(3e38f));
  });
}

TEST(SpecialValues, SumOfSubnormals) {
  const floats x(100, 0x1p-149f);
  for_each_target([&] {
    EXPECT_EQ(halfway::sum(x), 100 * 0x1p-149f);
    EXPECT_EQ(halfway::sum_pairwise(x), 100 * 0x1p-149f);
    EXPECT_EQ(halfway::sum_compensated(x), 100 * 0x1p-149);
  });
}

TEST(SpecialValues, ExtremaOfNothing) {
  expect_error([] { halfway::max(none); }, {"halfway::max", "x is empty"});
  expect_error([] { halfway::min(none); }, {"halfway::min", "x is empty"});
  expect_error([] { halfway::argmax(none); }, {"halfway::argmax", "x is empty"});
}

TEST(SpecialValues, ExtremaWithNan) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        floats x = ones_but(n, at, nan);
        x[n - 1] = nan;
        EXPECT_TRUE(std::isnan(halfway::max(x)) && std::isnan(halfway::min(x)));
        EXPECT_EQ(halfway::argmax(x), at);
      }
    }
  });
}

TEST(SpecialValues, ExtremaOfEquals) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      floats zeros(n, 0.0f);
      zeros[0] = -0.0f;
      EXPECT_TRUE(is_negative_zero(halfway::max(zeros)) && is_negative_zero(halfway::min(zeros)));
      EXPECT_EQ(halfway::argmax(zeros), 0u);
      EXPECT_EQ(halfway::argmax(floats(n, -inf)), 0u);
    }
  });
}

TEST(SpecialValues, AmaxOfNothing) {
  for_each_target([] { EXPECT_TRUE(is_positive_zero(halfway::amax(none))); });
}

TEST(SpecialValues, AmaxWithNan) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        EXPECT_TRUE(std::isnan(halfway::amax(ones_but(n, at, nan))));
        EXPECT_EQ(halfway::amax(ones_but(n, at, -inf)), inf);
      }
    }
  });
}

TEST(SpecialValues, UnscaleCountsNonFinite) {
  for_each_target([] {
    floats x = {1.0f, nan, inf, -inf, 3e38f, -0.0f};
    EXPECT_EQ(halfway::count_non_finite(x), 3u);
    EXPECT_EQ(halfway::unscale(x, 2.0f), 4u);  // one more passes the range
    expect_same(x, floats{2.0f, nan, inf, -inf, inf, -0.0f}, "unscale");
    EXPECT_EQ(halfway::count_non_finite(none), 0u);
  });
}

TEST(SpecialValues, MomentsOfNothing) {
  expect_error([] { halfway::mean_variance(none); }, {"halfway::mean_variance", "x is empty"});
  halfway::moments_accumulator m;
  m.add(none);
  expect_error([&] { m.result(); }, {"no elements"});
}

TEST(SpecialValues, MomentsOfEquals) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const float value : {0.0f, 0.1f, -1e6f, 3e38f, 1e-40f}) {
        const auto m = halfway::mean_variance(floats(n, value));
        EXPECT_EQ(m.mean, value);
        EXPECT_EQ(m.variance, 0.0f);
      }
    }
  });
}

TEST(SpecialValues, MomentsWithInfinity) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        const auto m = halfway::mean_variance(ones_but(n, at, -inf));
        EXPECT_EQ(m.mean, -inf);
        EXPECT_TRUE(std::isnan(m.variance));
      }
    }
  });
}

TEST(SpecialValues, MomentsWithNan) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        const auto m = halfway::mean_variance(ones_but(n, at, nan));
        EXPECT_TRUE(std::isnan(m.mean) && std::isnan(m.variance));
      }
    }
  });
}

TEST(SpecialValues, ColumnSumsOfNoRows) {
  for_each_target([] {
    floats out(5, 7.0f);
    halfway::column_sums(matrix<float>(0, 5), out);
    expect_same(out, floats(5, 0.0f), "column_sums");
  });
}

// ------------------------------ Softmax

// The middle one of three rows is x, the others are ones.
struct softmax_of_three {
  explicit softmax_of_three(const floats& x) : in(3, x.size()), y(3, x.size()), log_y(3, x.size()) {
    for (std::size_t j = 0; j < x.size(); ++j) in(0, j) = in(2, j) = 1.0f, in(1, j) = x[j];
    halfway::softmax(in, y);
    halfway::log_softmax(in, log_y);
    const float share = 1.0f / static_cast<float>(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) {
      EXPECT_NEAR(y(0, j), share, share * 0x1p-20f);
      EXPECT_EQ(y(2, j), y(0, j));
    }
  }
  std::span<const float> row() { return y.row(1); }
  std::span<const float> log_row() { return log_y.row(1); }
  bool is_nan() {
    const auto all = [](std::span<const float> v) {
      return std::all_of(v.begin(), v.end(), [](float e) { return std::isnan(e); });
    };
    return all(row()) && all(log_row());
  }
  matrix<float> in, y, log_y;
};

TEST(SpecialValues, SoftmaxRowWithNan) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        EXPECT_TRUE(softmax_of_three(ones_but(n, at, nan)).is_nan());
      }
    }
  });
}

TEST(SpecialValues, SoftmaxRowWithInfinity) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        EXPECT_TRUE(softmax_of_three(ones_but(n, at, inf)).is_nan());
      }
    }
  });
}

TEST(SpecialValues, SoftmaxRowAllMasked) {
  for_each_target([] {
    for (const std::size_t n : sizes) EXPECT_TRUE(softmax_of_three(floats(n, -inf)).is_nan());
    matrix<float> x(2, 5), mask(2, 5), y(2, 5);
    for (float& m : mask.row(1)) m = -inf;
    halfway::masked_softmax(x, mask, y);
    for (std::size_t j = 0; j < 5; ++j) {
      EXPECT_FLOAT_EQ(y(0, j), 0.2f);
      EXPECT_TRUE(std::isnan(y(1, j)));
    }
  });
}

TEST(SpecialValues, SoftmaxOfMinusInfinity) {
  for_each_target([] {
    for (const std::size_t n : {std::size_t{5}, std::size_t{67}}) {
      for (const std::size_t at : places(n)) {
        softmax_of_three rows(ones_but(n, at, -inf));
        EXPECT_TRUE(is_positive_zero(rows.row()[at]));
        EXPECT_EQ(rows.log_row()[at], -inf);
      }
    }
  });
}

TEST(SpecialValues, SoftmaxOfOneThatIsLeft) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        floats x(n, -inf), one(n, 0.0f), log_one(n, -inf);
        x[at] = 3.0f;
        one[at] = 1.0f;
        log_one[at] = 0.0f;
        softmax_of_three rows(x);
        expect_same(rows.row(), one, "softmax");
        expect_same(rows.log_row(), log_one, "log_softmax");
      }
    }
  });
}

TEST(SpecialValues, SoftmaxOfDifferencesThatOverflow) {
  for_each_target([] {
    floats x(67, -3e38f), one(67, 0.0f);
    x[14] = 3e38f;
    one[14] = 1.0f;
    softmax_of_three rows(x);
    expect_same(rows.row(), one, "softmax");
    EXPECT_EQ(rows.log_row()[0], -inf);
  });
}

TEST(SpecialValues, SoftmaxMaskOverNan) {
  for_each_target([] {
    matrix<float> x(2, 4), mask(1, 4), y(2, 4);
    mask(0, 2) = -inf;
    x(0, 2) = nan;
    x(1, 2) = inf;
    halfway::masked_softmax(x, mask, y);
    for (const float v : y.elements()) EXPECT_TRUE(std::isnan(v));
  });
}

TEST(SpecialValues, SoftmaxCausalOverNan) {
  for_each_target([] {
    matrix<float> x(2, 4), y(2, 4);
    x(0, 3) = nan;  // which row 0 does not see
    halfway::softmax(x, y, halfway::softmax_options{.causal = true});
    EXPECT_FLOAT_EQ(y(0, 0), 1.0f / 3);
    EXPECT_TRUE(is_positive_zero(y(0, 3)));
    EXPECT_FLOAT_EQ(y(1, 3), 0.25f);
  });
}

TEST(SpecialValues, SoftmaxOfNothing) {
  matrix<float> no_rows(0, 5), no_columns(5, 0);
  for_each_target([&] {
    halfway::softmax(no_rows, no_rows);
    halfway::log_softmax(no_rows, no_rows);
    halfway::softmax(no_columns, no_columns);
    EXPECT_NO_THROW(halfway::log_softmax(no_columns, no_columns));
  });
}

// ------------------------------ Cross entropy

struct cross_entropy_of_row {
  cross_entropy_of_row(float a, float b, float c) : dx(1, 3) {
    matrix<float> x(1, 3);
    x(0, 0) = a, x(0, 1) = b, x(0, 2) = c;
    loss = halfway::softmax_cross_entropy(x, std::vector<std::int32_t>{1}, dx, 2.0f);
  }
  void expect(float expected_loss, const floats& gradients) const {
    expect_same(std::span(&loss, 1), std::span(&expected_loss, 1), "loss");
    expect_same(dx.elements(), gradients, "gradient");
  }
  matrix<float> dx;
  float loss;
};

TEST(SpecialValues, CrossEntropyRowWithNan) {
  for_each_target([] {
    cross_entropy_of_row(0.0f, 1.0f, nan).expect(nan, {nan, nan, nan});
    cross_entropy_of_row(0.0f, inf, 0.0f).expect(nan, {nan, nan, nan});
    cross_entropy_of_row(-inf, -inf, -inf).expect(nan, {nan, nan, nan});
  });
}

TEST(SpecialValues, CrossEntropyOfImpossibleLabel) {
  for_each_target([] { cross_entropy_of_row(0.0f, -inf, 0.0f).expect(inf, {1.0f, -2.0f, 1.0f}); });
}

TEST(SpecialValues, CrossEntropyOfCertainLabel) {
  for_each_target([] { cross_entropy_of_row(-inf, 5.0f, -inf).expect(0.0f, {0.0f, 0.0f, 0.0f}); });
}

TEST(SpecialValues, CrossEntropyGradientPastTheRange) {
  for_each_target([] {
    matrix<float> x(1, 2);
    matrix<half> dx(1, 2);
    halfway::softmax_cross_entropy(x, std::vector<std::int32_t>{0}, dx, 1e6f);
    EXPECT_EQ(static_cast<float>(dx(0, 0)), -inf);
    EXPECT_EQ(static_cast<float>(dx(0, 1)), inf);
  });
}

TEST(SpecialValues, CrossEntropyOfNothing) {
  matrix<float> no_rows(0, 5);
  expect_error([&] { halfway::softmax_cross_entropy(no_rows, std::span<const std::int32_t>()); },
               {"halfway::softmax_cross_entropy"});
}

// ------------------------------ Norms

struct norm_of_row {
  explicit norm_of_row(const floats& x, float epsilon = 1e-5f)
      : layer(1, x.size()), rms(1, x.size()) {
    const matrix_view<const float> in(x.data(), 1, x.size());
    const floats gamma(x.size(), 3.0f), beta(x.size(), -0.3f);
    halfway::layernorm(in, gamma, beta, layer, epsilon);
    halfway::rmsnorm(in, gamma, rms, epsilon);
  }
  matrix<float> layer, rms;
};

TEST(SpecialValues, LayernormOfEquals) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const float value : {0.0f, 0.1f, -7e6f, 3e38f}) {
        expect_same(norm_of_row(floats(n, value)).layer.elements(), floats(n, -0.3f), "layernorm");
      }
    }
  });
}

TEST(SpecialValues, LayernormOfEqualsWithoutEpsilon) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      expect_same(norm_of_row(floats(n, 0.1f), 0.0f).layer.elements(), floats(n, nan), "layernorm");
    }
  });
}

TEST(SpecialValues, LayernormRowWithNan) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        for (const float value : {nan, inf, -inf}) {
          expect_same(norm_of_row(ones_but(n, at, value)).layer.elements(), floats(n, nan),
                      "layernorm");
        }
      }
    }
  });
}

TEST(SpecialValues, RmsnormOfZeros) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      expect_same(norm_of_row(floats(n, 0.0f)).rms.elements(), floats(n, 0.0f), "rmsnorm");
    }
  });
}

TEST(SpecialValues, RmsnormOfZerosWithoutEpsilon) {
  for_each_target([] {
    expect_same(norm_of_row(floats(67, 0.0f), 0.0f).rms.elements(), floats(67, nan), "rmsnorm");
  });
}

TEST(SpecialValues, RmsnormRowWithInfinity) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        floats expected(n, 0.0f);
        expected[at] = nan;
        expect_same(norm_of_row(ones_but(n, at, inf)).rms.elements(), expected, "rmsnorm");
      }
    }
  });
}

TEST(SpecialValues, RmsnormRowWithNan) {
  for_each_target([] {
    for (const std::size_t n : sizes) {
      for (const std::size_t at : places(n)) {
        expect_same(norm_of_row(ones_but(n, at, nan)).rms.elements(), floats(n, nan), "rmsnorm");
      }
    }
  });
}

TEST(SpecialValues, NormOfNothing) {
  matrix<float> no_rows(0, 5), no_columns(5, 0);
  for_each_target([&] {
    halfway::layernorm(no_rows, no_parameters, no_parameters, no_rows);
    EXPECT_NO_THROW(halfway::rmsnorm(no_columns, no_parameters, no_columns));
  });
}

struct layernorm_gradients {
  explicit layernorm_gradients(const matrix<float>& dy)
      : dx(dy.rows(), dy.cols()), dgamma(dy.cols(), 1.0f), dbeta(dy.cols(), 1.0f) {
    matrix<float> x(dy.rows(), dy.cols());
    std::fill(x.elements().begin(), x.elements().end(), 0.1f);
    halfway::layernorm_backward(x, no_parameters, dy, dx, dgamma, dbeta, 0.25f);
  }
  matrix<float> dx;
  floats dgamma, dbeta;
};

TEST(SpecialValues, LayernormGradientOfEquals) {
  for_each_target([] {
    matrix<float> dy(1, 8);
    for (std::size_t j = 0; j < 8; ++j) dy(0, j) = static_cast<float>(j);
    const layernorm_gradients g(dy);
    for (std::size_t j = 0; j < 8; ++j) {
      EXPECT_EQ(g.dx(0, j), (static_cast<float>(j) - 3.5f) * 2.0f);
      EXPECT_EQ(g.dgamma[j], 0.0f);
    }
  });
}

TEST(SpecialValues, LayernormGradientWithNan) {
  for_each_target([] {
    matrix<float> dy(2, 8);
    dy(1, 3) = nan;
    const layernorm_gradients g(dy);
    for (std::size_t j = 0; j < 8; ++j) {
      EXPECT_EQ(g.dx(0, j), 0.0f);
      EXPECT_TRUE(std::isnan(g.dx(1, j)));
      EXPECT_EQ(std::isnan(g.dgamma[j]), j == 3);
      EXPECT_EQ(std::isnan(g.dbeta[j]), j == 3);
    }
  });
}

TEST(SpecialValues, LayernormGradientOfNothing) {
  for_each_target([] {
    const layernorm_gradients g(matrix<float>(0, 8));
    expect_same(g.dgamma, floats(8, 0.0f), "dgamma");
    expect_same(g.dbeta, floats(8, 0.0f), "dbeta");
  });
}

// ------------------------------ Activations

const floats points = {nan, inf, -inf, 0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 3e38f, -3e38f};

TEST(SpecialValues, Relu) {
  for_each_target([] {
    floats y(points.size());
    halfway::relu(points, y);
    expect_same(y, floats{nan, inf, 0.0f, 0.0f, -0.0f, 0x1p-149f, 0.0f, 3e38f, 0.0f}, "relu");
  });
}

TEST(SpecialValues, GeluAndSilu) {
  for_each_target([] {
    floats y(points.size());
    const floats expected = {nan, inf, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 3e38f, -0.0f};
    halfway::gelu(points, y);
    expect_same(y, expected, "gelu");
    halfway::gelu_tanh(points, y);
    expect_same(y, expected, "gelu_tanh");
    halfway::silu(points, y);
    expect_same(y, expected, "silu");
  });
}

TEST(SpecialValues, Tanh) {
  for_each_target([] {
    floats y(points.size());
    halfway::tanh(points, y);
    expect_same(y, floats{nan, 1.0f, -1.0f, 0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 1.0f, -1.0f},
                "tanh");
  });
}

TEST(SpecialValues, Sigmoid) {
  for_each_target([] {
    floats y(points.size());
    halfway::sigmoid(points, y);
    expect_same(y, floats{nan, 1.0f, 0.0f, 0.5f, 0.5f, 0.5f, 0.5f, 1.0f, 0.0f}, "sigmoid");
  });
}

// ------------------------------ Elementary functions

TEST(SpecialValues, Exp) {
  const floats x = {nan, inf, -inf, 0.0f, -0.0f}, expected = {nan, inf, 0.0f, 1.0f, 1.0f};
  for_each_target([&] {
    floats y(x.size());
    halfway::exp(x, y);
    expect_same(y, expected, "exp");
    halfway::exp2(x, y);
    expect_same(y, expected, "exp2");
  });
}

TEST(SpecialValues, ExpPastTheRange) {
  const floats x = {129.0f, -140.0f, -151.0f}, expected2 = {inf, 0x1p-140f, 0.0f};
  for_each_target([&] {
    floats y(x.size());
    halfway::exp2(x, y);
    expect_same(y, expected2, "exp2");
    halfway::exp(floats{89.0f, -100.0f, -104.0f}, y);
    EXPECT_EQ(y[0], inf);
    EXPECT_NEAR(y[1], 3.78e-44f, 1e-45f);  // subnormal
    EXPECT_TRUE(is_positive_zero(y[2]));
  });
}

TEST(SpecialValues, Log) {
  const floats x = {nan, inf, 0.0f, -0.0f, -1.0f, -inf, 1.0f},
               expected = {nan, inf, -inf, -inf, nan, nan, 0.0f};
  for_each_target([&] {
    floats y(x.size());
    halfway::log(x, y);
    expect_same(y, expected, "log");
    halfway::log2(x, y);
    expect_same(y, expected, "log2");
  });
}

TEST(SpecialValues, Erf) {
  const floats x = {nan, inf, -inf, 0.0f, -0.0f}, expected = {nan, 1.0f, -1.0f, 0.0f, -0.0f};
  for_each_target([&] {
    floats y(x.size());
    halfway::erf(x, y);
    expect_same(y, expected, "erf");
  });
}

TEST(SpecialValues, Softplus) {
  const floats x = {nan, inf, -inf, 3e38f}, expected = {nan, inf, 0.0f, 3e38f};
  for_each_target([&] {
    floats y(x.size());
    halfway::softplus(x, y);
    expect_same(y, expected, "softplus");
  });
}

TEST(SpecialValues, Roots) {
  const floats x = {nan, inf, 0.0f, -0.0f, -1.0f, -inf};
  for_each_target([&] {
    floats y(x.size());
    halfway::sqrt(x, y);
    expect_same(y, floats{nan, inf, 0.0f, -0.0f, nan, nan}, "sqrt");
    halfway::rsqrt(x, y);
    expect_same(y, floats{nan, 0.0f, inf, -inf, nan, nan}, "rsqrt");
  });
}

TEST(SpecialValues, Reciprocal) {
  const floats x = {nan, inf, -inf, 0.0f, -0.0f, 0x1p-149f},
               expected = {nan, 0.0f, -0.0f, inf, -inf, inf};
  for_each_target([&] {
    floats y(x.size());
    halfway::reciprocal(x, y);
    expect_same(y, expected, "reciprocal");
  });
}

TEST(SpecialValues, SineAndCosine) {
  const floats x = {nan, inf, -inf, 0.0f, -0.0f};
  for_each_target([&] {
    floats y(x.size());
    halfway::sin(x, y);
    expect_same(y, floats{nan, nan, nan, 0.0f, -0.0f}, "sin");
    halfway::cos(x, y);
    expect_same(y, floats{nan, nan, nan, 1.0f, 1.0f}, "cos");
  });
}

// ------------------------------ Gradients of activations

// dx of x and dy for each activation: relu, gelu, gelu_tanh, silu, tanh, sigmoid.
std::vector<floats> gradients(const floats& x, const floats& dy) {
  std::vector<floats> dx(6, floats(x.size()));
  halfway::relu_backward(x, dy, dx[0]);
  halfway::gelu_backward(x, dy, dx[1]);
  halfway::gelu_tanh_backward(x, dy, dx[2]);
  halfway::silu_backward(x, dy, dx[3]);
  halfway::tanh_backward(x, dy, dx[4]);
  halfway::sigmoid_backward(x, dy, dx[5]);
  return dx;
}

TEST(SpecialValues, ActivationGradientAtNan) {
  for_each_target([] {
    for (const floats& dx : gradients({nan}, {1.0f})) EXPECT_TRUE(std::isnan(dx[0]));
  });
}

TEST(SpecialValues, ActivationGradientOfNan) {
  for_each_target([] {
    const auto dx = gradients({1.0f, -1.0f}, {nan, nan});
    for (std::size_t k = 0; k < dx.size(); ++k) {
      EXPECT_TRUE(std::isnan(dx[k][0]));
      EXPECT_EQ(std::isnan(dx[k][1]), k != 0);
    }
    EXPECT_EQ(dx[0][1], 0.0f);
  });
}

TEST(SpecialValues, ActivationGradientAtInfinity) {
  for_each_target([] {
    const auto dx = gradients({inf, -inf}, {2.0f, 2.0f});
    for (std::size_t k = 0; k < dx.size(); ++k) {
      EXPECT_EQ(dx[k][0], k < 4 ? 2.0f : 0.0f);
      EXPECT_EQ(dx[k][1], 0.0f);
    }
  });
}

TEST(SpecialValues, ReluGradientAtZero) {
  for_each_target([] {
    const auto dx = gradients({0.0f, -0.0f}, {2.0f, 2.0f});
    EXPECT_EQ(dx[0][0], 0.0f);
    EXPECT_EQ(dx[0][1], 0.0f);
  });
}

// ------------------------------ The floating-point mode

TEST(SpecialValues, FlushToZeroStaysInRowOperations) {
  if (!halfway::testing::has_floating_point_mode) GTEST_SKIP() << "no control register known";
  const auto run_everything = [] {
    const floats x = ones_but(300, 7, 0x1p-140f);
    floats y(x.size());
    halfway::sum(x), halfway::dot(x, x), halfway::sum_in_double(x), halfway::sum_compensated(x);
    halfway::max(x), halfway::amax(x), halfway::mean_variance(x);
    softmax_of_three rows(x);
    norm_of_row norms(x);
    halfway::gelu(x, y), halfway::exp(x, y), halfway::sin(x, y);
    gradients(x, y);
  };
  for_each_target([&] {
    const auto before = halfway::testing::floating_point_mode();
    run_everything();
    EXPECT_EQ(halfway::testing::floating_point_mode(), before);
    const halfway::testing::scoped_flush_to_zero flush;
    const auto flushing = halfway::testing::floating_point_mode();
    EXPECT_NE(flushing, before);
    run_everything();
    EXPECT_EQ(halfway::testing::floating_point_mode(), flushing);
  });
}

}  // namespace
