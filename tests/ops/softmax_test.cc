// SPDX-License-Identifier: Apache-2.0
// Softmax, log-softmax and softmax cross entropy.
#include "halfway/ops/softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/softmax_cross_entropy.h"
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
using halfway::testing::append_bits;
using halfway::testing::expect_error;
using halfway::testing::expect_same_bits_on_every_target;
using halfway::testing::for_each_target;
using halfway::testing::gamma;
using halfway::testing::padded_rows;
using halfway::testing::rounding_of;
using halfway::testing::u32;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

const std::vector<std::size_t> sizes = {1,  2,  3,  4,  5,  7,  8,   9,    15,   16,  17,
                                        31, 32, 33, 63, 64, 65, 100, 1023, 1024, 3000};

// A row of logits in double.
template <class T>
struct exact_row {
  explicit exact_row(const T* x, std::size_t n) : shifted(n), p(n) {
    max = -HUGE_VAL;
    for (std::size_t j = 0; j < n; ++j) max = std::max(max, static_cast<double>(x[j]));
    for (std::size_t j = 0; j < n; ++j) {
      shifted[j] = static_cast<double>(x[j]) - max;
      p[j] = std::exp(shifted[j]);
      sum += p[j];
    }
    for (std::size_t j = 0; j < n; ++j) {
      p[j] /= sum;
      mean_shift += p[j] * std::abs(shifted[j]);
    }
  }

  // Relative error of e^(x_j - max) in FP32: the difference is rounded, which multiplies the result
  // by up to e^(u |x_j - max|), and the exponential errs by (2.1 + 0.23 |x_j - max|) u. For a
  // result of at most 11 digits it errs by 8 u more.
  static constexpr double exp_error = std::numeric_limits<T>::digits > 11 ? 2.1 : 10.1;
  double term_error(std::size_t j) const { return gamma(1.23 * std::abs(shifted[j]) + exp_error); }

  // Relative error of the sum: the mean of the terms' errors, weighted by the terms, and the
  // additions of 64 partial sums.
  double sum_error() const {
    const double n = static_cast<double>(p.size());
    return gamma(1.23 * mean_shift + exp_error + std::min(64.0, std::ceil(n / 64)) +
                 std::floor((n - 1) / 4096) + 6);
  }

  double max, sum = 0, mean_shift = 0;
  std::vector<double> shifted, p;
};

template <class T>
void expect_softmax_row(const T* x, const T* y, const T* log_y, std::size_t n) {
  const exact_row<T> exact(x, n);
  for (std::size_t j = 0; j < n; ++j) {
    // Two more roundings, of 1 / sum and of the product; an exponential below 2^-126 is rounded to
    // a multiple of 2^-149.
    const double relative = exact.term_error(j) + exact.sum_error() + gamma(2);
    ASSERT_LE(std::abs(static_cast<double>(y[j]) - exact.p[j]),
              exact.p[j] * relative + 0x1p-149 + rounding_of<T>(exact.p[j] * (1 + relative)))
        << j;
    // x - max and what is taken off it are rounded, and so is the logarithm, to 1 ULP.
    const double log_p = exact.shifted[j] - std::log(exact.sum);
    const double error = u32 * std::abs(exact.shifted[j]) + exact.sum_error() +
                         2 * u32 * std::log(exact.sum) + 2 * u32 * std::abs(log_p);
    ASSERT_LE(std::abs(static_cast<double>(log_y[j]) - log_p),
              error + rounding_of<T>(std::abs(log_p) + error))
        << j;
  }
}

template <class T>
class Softmax : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16>;
TYPED_TEST_SUITE(Softmax, Types);

TYPED_TEST(Softmax, StaysWithinItsBound) {
  for_each_target([] {
    for (const std::size_t cols : sizes) {
      SCOPED_TRACE(cols);
      padded_rows<TypeParam> x(3, cols, 5), y(3, cols, 2), log_y(3, cols, 0);
      x.fill_normal(1.0, cols % 2 == 0 ? 3.0 : 40.0, 1);
      halfway::softmax(x.view(), y.view());
      halfway::log_softmax(x.view(), log_y.view());
      for (std::size_t i = 0; i < 3; ++i) {
        expect_softmax_row(x.view().row(i), y.view().row(i), log_y.view().row(i), cols);
      }
      EXPECT_TRUE(y.padding_is_whole() && log_y.padding_is_whole() && x.padding_is_whole());
    }
  });
}

TEST(Softmax, StaysWithinItsBoundForLargeLogits) {
  for_each_target([] {
    matrix<float> x(1, 200), y(1, 200), log_y(1, 200);
    for (std::size_t j = 0; j < 200; ++j) x(0, j) = static_cast<float>(j * j % 199) * 100.0f - 1e4f;
    halfway::softmax(x, y);
    halfway::log_softmax(x, log_y);
    expect_softmax_row(x.data(), y.data(), log_y.data(), 200);
    // Differences that overflow.
    for (std::size_t j = 0; j < 200; ++j) x(0, j) = j == 14 ? 3e38f : -3e38f;
    halfway::softmax(x, y);
    for (std::size_t j = 0; j < 200; ++j) EXPECT_EQ(y(0, j), j == 14 ? 1.0f : 0.0f);
  });
}

// scale * x + mask, rounded once.
matrix<float> masked(matrix_view<const half> x, float scale, matrix_view<const bfloat16> mask) {
  matrix<float> v(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) {
      const float m = mask.empty() ? 0.0f : static_cast<float>(mask(mask.rows() == 1 ? 0 : i, j));
      v(i, j) = static_cast<float>(static_cast<double>(x(i, j)) * static_cast<double>(scale) +
                                   static_cast<double>(m));
    }
  }
  return v;
}

TEST(Softmax, ScalesAndMasksAsIfBefore) {
  for_each_target([] {
    for (const std::size_t cols : {7u, 100u, 300u}) {
      padded_rows<half> x(6, cols, 3);
      x.fill_normal(0, 20, 5);
      // Sums of a half times a power of two and of a multiple of 1/4 are exact in double.
      matrix<bfloat16> mask(6, cols), one_mask(1, cols);
      for (std::size_t j = 0; j < cols; ++j) {
        one_mask(0, j) = bfloat16(j % 3 == 1 ? -inf : 0.25f * static_cast<float>(j % 5));
        for (std::size_t i = 0; i < 6; ++i) {
          mask(i, j) = bfloat16((i + j) % 4 == 1 ? -inf : 0.5f * static_cast<float>(i));
        }
      }
      const auto same = [&](const matrix<float>& v, const matrix<float>& y) {
        matrix<float> expected(6, cols);
        halfway::softmax(v, expected);
        for (std::size_t i = 0; i < 6; ++i) {
          for (std::size_t j = 0; j < cols; ++j)
            ASSERT_EQ(y(i, j), expected(i, j)) << i << " " << j;
        }
      };
      matrix<float> y(6, cols);
      halfway::softmax(x.view(), y, halfway::softmax_options{.scale = 0.125f});
      same(masked(x.view(), 0.125f, {}), y);
      halfway::masked_softmax(x.view(), mask, y, {.scale = 0.125f});
      same(masked(x.view(), 0.125f, mask.view()), y);
      halfway::masked_softmax(x.view(), one_mask, y);
      same(masked(x.view(), 1.0f, one_mask.view()), y);
      // Row i sees cols - 6 + i + 1 columns.
      halfway::softmax(x.view(), y, {.scale = 0.5f, .causal = true});
      const matrix<float> v = masked(x.view(), 0.5f, {});
      for (std::size_t i = 0; i < 6; ++i) {
        const std::size_t visible = cols - 6 + i + 1;
        matrix<float> expected(1, visible);
        halfway::softmax(matrix_view<const float>(v.row(i).data(), 1, visible), expected);
        for (std::size_t j = 0; j < cols; ++j) {
          ASSERT_EQ(y(i, j), j < visible ? expected(0, j) : 0.0f) << i << " " << j;
        }
      }
    }
  });
}

TEST(Softmax, MaskedRowsOf16Bits) {
  for_each_target([] {
    matrix<bfloat16> x(4, 200), y(4, 200);
    for (std::size_t k = 0; k < x.size(); ++k) {
      x.elements()[k] = bfloat16(static_cast<float>(k % 17) * 0.25f);
    }
    matrix<float> wide(4, 200);
    halfway::softmax(x, wide, {.scale = 2.0f, .causal = true});
    halfway::softmax(x, y, {.scale = 2.0f, .causal = true});
    for (std::size_t k = 0; k < x.size(); ++k) {
      // Both err by less than 2^-17 of the result before they are rounded.
      const double exact = static_cast<double>(wide.elements()[k]);
      ASSERT_LE(std::abs(static_cast<double>(y.elements()[k]) - exact),
                exact * 0x1p-16 + rounding_of<bfloat16>(exact));
    }
  });
}

TEST(Softmax, MaskedRefusesBadInput) {
  matrix<float> x(4, 3), y(4, 3), mask(2, 3), narrow(1, 2), large(4, 4);
  expect_error([&] { halfway::softmax(x, y, {.scale = nan}); },
               {"halfway::softmax", "options.scale"});
  expect_error([&] { halfway::softmax(x, y, {.causal = true}); },
               {"halfway::softmax", "x.rows() (4)", "x.cols() (3)"});
  expect_error([&] { halfway::masked_softmax(x, mask, y); },
               {"halfway::masked_softmax", "mask.rows() (2)", "x.rows() (4)"});
  expect_error([&] { halfway::masked_softmax(x, narrow, y); }, {"mask.cols() (2)", "x.cols() (3)"});
  expect_error([&] { halfway::masked_softmax(x, y, y); }, {"mask", "y"});
}

// Large results are written past the caches.
TEST(Softmax, LargeMatricesAreTheirRows) {
  matrix<half> x(2050, 4200), y(2050, 4200), row(1, 4200);
  for (std::size_t k = 0; k < x.size(); ++k) {
    x.elements()[k] = half(static_cast<float>(k % 1013) * 0.01f);
  }
  halfway::softmax(x, y);
  for (const std::size_t i : {0u, 1u, 1000u, 2049u}) {
    halfway::softmax(matrix_view<const half>(x.row(i).data(), 1, 4200), row);
    for (std::size_t j = 0; j < 4200; ++j) {
      ASSERT_EQ(static_cast<float>(y(i, j)), static_cast<float>(row(0, j))) << i << " " << j;
    }
  }
}

TEST(Softmax, GivesTheSameBitsOnAnyExecutor) {
  matrix<bfloat16> x(301, 500), y(301, 500);
  for (std::size_t k = 0; k < x.size(); ++k) {
    x.elements()[k] = bfloat16(static_cast<float>(k * 37 % 101) * 0.1f);
  }
  const auto bytes = [&] { return std::as_bytes(y.elements()); };
  using halfway::testing::expect_same_bits_on_any_executor;
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::softmax(x, y, on);
    return bytes();
  });
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::log_softmax(x, y, on);
    return bytes();
  });
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::softmax(x, y, {.scale = 0.5f, .causal = true}, on);
    return bytes();
  });
  const std::vector<std::int32_t> labels(301, 7);
  float loss = 0;
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    loss = halfway::softmax_cross_entropy(x, labels, y, 2.0f, on);
    return bytes();
  });
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    loss = halfway::softmax_cross_entropy(x, labels, on);
    return std::as_bytes(std::span(&loss, 1));
  });
}

TYPED_TEST(Softmax, WorksInPlace) {
  for_each_target([] {
    padded_rows<TypeParam> x(4, 37, 3), y(4, 37, 3);
    x.fill_normal(0, 2, 2);
    halfway::softmax(x.view(), y.view());
    halfway::softmax(x.view(), x.view());
    std::vector<std::uint32_t> expected, bits;
    for (std::size_t i = 0; i < 4; ++i) {
      append_bits(expected, std::span<const TypeParam>(y.view().row(i), 37));
      append_bits(bits, std::span<const TypeParam>(x.view().row(i), 37));
    }
    EXPECT_EQ(bits, expected);
    EXPECT_TRUE(x.padding_is_whole());
  });
}

TEST(Softmax, MixesTypes) {
  for_each_target([] {
    matrix<halfway::float8_e5m2> x(2, 21);
    matrix<half> y(2, 21);
    for (std::size_t j = 0; j < x.size(); ++j) {
      x.elements()[j] = halfway::float8_e5m2(static_cast<float>(j % 7));
    }
    halfway::softmax(x, y);
    const exact_row<halfway::float8_e5m2> exact(x.data(), 21);
    for (std::size_t j = 0; j < 21; ++j) {
      const double relative = exact.term_error(j) + exact.sum_error() + gamma(2);
      EXPECT_LE(std::abs(static_cast<double>(y(0, j)) - exact.p[j]),
                exact.p[j] * relative + rounding_of<half>(exact.p[j] * (1 + relative)));
    }
  });
}

// docs/special_values.md
TEST(Softmax, SpecialValues) {
  for_each_target([] {
    for (const std::size_t n : {1u, 5u, 16u, 67u}) {
      for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
        matrix<float> x(3, n), y(3, n), log_y(3, n);
        const auto fill = [&](float others, float value) {
          std::fill(x.elements().begin(), x.elements().end(), 1.0f);
          for (std::size_t j = 0; j < n; ++j) x(1, j) = others;
          x(1, at) = value;
          halfway::softmax(x, y);
          halfway::log_softmax(x, log_y);
          for (std::size_t j = 0; j < n; ++j) {  // the rows around it
            const double share = 1.0 / static_cast<double>(n);
            EXPECT_LE(std::abs(y(0, j) - share), share * gamma(n < 16 ? 8.0 : 16.0));
            EXPECT_EQ(y(2, j), y(0, j));
          }
        };
        const auto is_nan = [&] {
          bool all = true;
          for (std::size_t j = 0; j < n; ++j) {
            all = all && std::isnan(y(1, j)) && std::isnan(log_y(1, j));
          }
          return all;
        };
        fill(1.0f, nan);
        EXPECT_TRUE(is_nan());
        fill(1.0f, inf);
        EXPECT_TRUE(is_nan());
        fill(-inf, -inf);
        EXPECT_TRUE(is_nan());
        fill(-inf, 3.0f);  // all masked but one
        for (std::size_t j = 0; j < n; ++j) {
          EXPECT_EQ(y(1, j), j == at ? 1.0f : 0.0f);
          EXPECT_EQ(log_y(1, j), j == at ? 0.0f : -inf);
        }
      }
    }
    matrix<float> empty(0, 5), no_columns(5, 0);
    halfway::softmax(empty, empty);
    halfway::log_softmax(no_columns, no_columns);
  });
}

TYPED_TEST(Softmax, GivesTheSameBitsOnEveryTarget) {
  expect_same_bits_on_every_target([](std::vector<std::uint32_t>& bits) {
    for (const std::size_t cols : sizes) {
      padded_rows<TypeParam> x(2, cols, 1), y(2, cols, 0);
      x.fill_normal(0.0, 4.0, 3);
      halfway::softmax(x.view(), y.view());
      append_bits(bits, std::span<const TypeParam>(y.view().data(), 2 * cols));
      halfway::log_softmax(x.view(), y.view());
      append_bits(bits, std::span<const TypeParam>(y.view().data(), 2 * cols));
      const std::vector<std::int32_t> labels = {0, static_cast<std::int32_t>(cols - 1)};
      const float loss = halfway::softmax_cross_entropy(x.view(), labels, y.view(), 3.0f);
      append_bits(bits, std::span<const float>(&loss, 1));
      append_bits(bits, std::span<const TypeParam>(y.view().data(), 2 * cols));
    }
  });
}

TEST(Softmax, RefusesBadInput) {
  std::vector<float> storage(24, 7.0f);
  const matrix_view<float> x(storage.data(), 3, 4), y(storage.data() + 12, 3, 4);
  const auto both = [&](auto&& a, auto&& b, std::initializer_list<std::string_view> parts) {
    expect_error([&] { halfway::softmax(a, b); }, parts);
    expect_error([&] { halfway::log_softmax(a, b); }, parts);
  };
  both(x, y.block(0, 0, 2, 4), {"softmax", "y.rows() (2)", "x.rows() (3)"});
  both(x, y.block(0, 0, 3, 3), {"softmax", "y.cols() (3)", "x.cols() (4)"});
  both(matrix_view<float>(storage.data(), 4, 3).transposed(), y,
       {"softmax", "x.col_stride() (3) must be 1"});
  both(x, matrix_view<float>(storage.data() + 12, 4, 3).transposed(),
       {"softmax", "y.col_stride() (3) must be 1"});
  both(x, matrix_view<float>(storage.data() + 1, 3, 4), {"softmax", "x and y share memory"});
  both(x, matrix_view<float>(storage.data(), 3, 4, 5), {"softmax", "x and y share memory"});
  EXPECT_EQ(storage, std::vector<float>(24, 7.0f));
}

// ------------------------------ Cross entropy

TYPED_TEST(Softmax, CrossEntropyStaysWithinItsBound) {
  for_each_target([] {
    for (const std::size_t cols : sizes) {
      SCOPED_TRACE(cols);
      const std::size_t rows = 5;
      const float scale = 512.0f;
      padded_rows<TypeParam> x(rows, cols, 2), dx(rows, cols, 3);
      x.fill_normal(0.0, 3.0, 4);
      std::vector<std::int32_t> labels(rows);
      for (std::size_t i = 0; i < rows; ++i) {
        labels[i] = static_cast<std::int32_t>(i * 7919 % cols);
      }
      const float loss = halfway::softmax_cross_entropy(x.view(), labels, dx.view(), scale);
      double exact_loss = 0, loss_error = 0;
      for (std::size_t i = 0; i < rows; ++i) {
        const exact_row<TypeParam> exact(x.view().row(i), cols);
        const std::size_t label = static_cast<std::size_t>(labels[i]);
        const double row_loss = std::log(exact.sum) - exact.shifted[label];
        exact_loss += row_loss / rows;
        loss_error += (exact.sum_error() + 2 * u32 * std::log(exact.sum) +
                       u32 * (std::abs(exact.shifted[label]) + row_loss)) /
                      rows;
        for (std::size_t j = 0; j < cols; ++j) {
          // (e - sum [j = label]) * (factor / sum), the factor and both operations rounded.
          const double onehot = j == label ? 1.0 : 0.0, factor = scale / static_cast<double>(rows);
          const double gradient = factor * (exact.p[j] - onehot);
          const double error = factor * exact.p[j] * (exact.term_error(j) + exact.sum_error()) +
                               std::abs(gradient) * gamma(4);
          ASSERT_LE(std::abs(static_cast<double>(dx.view()(i, j)) - gradient),
                    error + factor * 0x1p-149 + rounding_of<TypeParam>(std::abs(gradient) + error))
              << i << " " << j;
        }
      }
      EXPECT_LE(std::abs(loss - exact_loss), loss_error + u32 * exact_loss);
      EXPECT_EQ(loss, halfway::softmax_cross_entropy(x.view(), labels));
      EXPECT_TRUE(dx.padding_is_whole());
    }
  });
}

TEST(Softmax, CrossEntropyWorksInPlace) {
  matrix<half> x(2, 19), dx(2, 19);
  for (std::size_t i = 0; i < x.size(); ++i) x.elements()[i] = half(static_cast<float>(i % 5));
  const std::vector<std::int32_t> labels = {18, 3};
  const float loss = halfway::softmax_cross_entropy(x, labels, dx);
  EXPECT_EQ(halfway::softmax_cross_entropy(x, labels, x), loss);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(x.elements()[i], dx.elements()[i]);
}

TEST(Softmax, SpecialValuesOfCrossEntropy) {
  for_each_target([] {
    matrix<float> x(1, 3), dx(1, 3);
    const std::vector<std::int32_t> labels = {1};
    const auto run = [&](float a, float b, float c) {
      x(0, 0) = a, x(0, 1) = b, x(0, 2) = c;
      return halfway::softmax_cross_entropy(x, labels, dx, 2.0f);
    };
    EXPECT_TRUE(std::isnan(run(0.0f, 1.0f, nan)) && std::isnan(dx(0, 0)) && std::isnan(dx(0, 1)));
    EXPECT_TRUE(std::isnan(run(0.0f, inf, 0.0f)) && std::isnan(dx(0, 0)) && std::isnan(dx(0, 1)));
    EXPECT_TRUE(std::isnan(run(-inf, -inf, -inf)) && std::isnan(dx(0, 1)));
    EXPECT_EQ(run(0.0f, -inf, 0.0f), inf);  // a label that cannot be
    EXPECT_EQ(dx(0, 0), 1.0f);
    EXPECT_EQ(dx(0, 1), -2.0f);
    EXPECT_EQ(run(-inf, 5.0f, -inf), 0.0f);  // certain and right
    EXPECT_EQ(dx(0, 0), 0.0f);
    EXPECT_EQ(dx(0, 1), 0.0f);
    EXPECT_EQ(run(-1000.0f, 0.0f, 1000.0f), 1000.0f);
  });
  // A loss scale that the format cannot hold is an overflow that the loss scaler sees.
  matrix<half> x(1, 2), dx(1, 2);
  halfway::softmax_cross_entropy(x, std::vector<std::int32_t>{0}, dx, 1e6f);
  EXPECT_EQ(static_cast<float>(dx(0, 0)), -inf);
}

TEST(Softmax, CrossEntropyRefusesBadInput) {
  std::vector<float> storage(24, 7.0f);
  const matrix_view<float> x(storage.data(), 3, 4), dx(storage.data() + 12, 3, 4);
  const std::vector<std::int32_t> labels = {0, 3, 1}, two = {0, 1}, negative = {0, -1, 1},
                                  large = {0, 1, 4};
  const auto refuses = [&](auto&& a, const std::vector<std::int32_t>& l, auto&& d,
                           std::initializer_list<std::string_view> parts) {
    expect_error([&] { halfway::softmax_cross_entropy(a, l, d); }, parts);
  };
  refuses(x, two, dx, {"softmax_cross_entropy", "labels.size() (2)", "logits.rows() (3)"});
  refuses(x, negative, dx, {"softmax_cross_entropy", "labels[1] (-1)", "logits.cols() (4)"});
  refuses(x, large, dx, {"softmax_cross_entropy", "labels[2] (4)", "logits.cols() (4)"});
  refuses(x, labels, dx.block(0, 0, 3, 2), {"dlogits.cols() (2)", "logits.cols() (4)"});
  refuses(x, labels, dx.block(0, 0, 2, 4), {"dlogits.rows() (2)", "logits.rows() (3)"});
  refuses(x, labels, matrix_view<float>(storage.data() + 1, 3, 4), {"share memory"});
  refuses(matrix_view<float>(storage.data(), 4, 3).transposed(), labels, dx,
          {"logits.col_stride() (3)"});
  refuses(x, labels, matrix_view<float>(storage.data() + 12, 4, 3).transposed(),
          {"dlogits.col_stride() (3)"});
  const matrix_view<float> no_rows(storage.data(), 0, 4);
  refuses(no_rows, {}, no_rows, {"logits has no rows"});
  expect_error([&] { halfway::softmax_cross_entropy(x, large); }, {"labels[2] (4)"});
  expect_error([&] { halfway::softmax_cross_entropy(no_rows, {}); }, {"logits has no rows"});
  EXPECT_EQ(storage, std::vector<float>(24, 7.0f));
}

}  // namespace
