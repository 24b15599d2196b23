// SPDX-License-Identifier: Apache-2.0
// Sums and products: measured errors, against exact sums, stay within their a-priori bounds, and an
// adversary comes close to them.
#include "halfway/fidelity/error_bound.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "fidelity/hard_data.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/accurate_sum.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/reduce.h"
#include "halfway/simd/sum_order.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"
#include "halfway/types/half.h"
#include "support/exact_sum.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::bfloat16;
using halfway::dtype;
using halfway::gemm_error_bound;
using halfway::gemm_error_options;
using halfway::half;
using halfway::matrix;
using halfway::testing::exact_sum;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;
using halfway::testing::hard_vectors;

constexpr double u = 0x1p-24;
constexpr double infinity = std::numeric_limits<double>::infinity();

double product(float a, float b) { return static_cast<double>(a) * static_cast<double>(b); }

// The exact sum of the elements or products, and of their magnitudes.
struct exact_dot {
  explicit exact_dot(std::span<const float> x) {
    for (const float v : x) add(static_cast<double>(v));
  }
  exact_dot(std::span<const float> x, std::span<const float> y) {
    for (std::size_t i = 0; i < x.size(); ++i) add(product(x[i], y[i]));
  }
  void add(double term) {
    sum.add(term);
    magnitudes += std::abs(term) * (1 + 0x1p-40);
  }
  double error_of(double result) const {
    exact_sum difference = sum;
    difference.add(-result);
    return std::abs(difference.value());
  }
  double value() const {
    exact_sum copy = sum;
    return copy.value();
  }

  exact_sum sum;
  double magnitudes = 0;
};

const std::vector<std::size_t> sizes = {0, 1, 2, 3, 6, 33, 64, 65, 1000, 1025, 4096, 4097, 20001};

struct exact_case {
  halfway::testing::hard_pair data;
  exact_dot sum, dot;
};
const std::vector<exact_case>& exact_cases() {
  static const std::vector<exact_case> cases = [] {
    std::vector<exact_case> all;
    for (const std::size_t n : sizes) {
      for (auto& data : hard_vectors(n)) {
        const exact_dot sum(data.x), dot(data.x, data.y);
        all.push_back({std::move(data), sum, dot});
      }
    }
    return all;
  }();
  return cases;
}

TEST(ErrorBound, HoldsForSumsOfAnyData) {
  for_each_target([] {
    for (const auto& [data, sum, dot] : exact_cases()) {
      const std::size_t n = data.x.size();
      SCOPED_TRACE(data.name);
      SCOPED_TRACE(n);
      const double s = std::abs(sum.value()), d = std::abs(dot.value());
      EXPECT_LE(sum.error_of(halfway::sum(data.x)), halfway::sum_error_bound(n, sum.magnitudes));
      EXPECT_LE(sum.error_of(halfway::sum_pairwise(data.x)),
                halfway::sum_pairwise_error_bound(n, sum.magnitudes));
      EXPECT_LE(sum.error_of(halfway::sum_in_double(data.x)),
                halfway::sum_in_double_error_bound(n, sum.magnitudes));
      EXPECT_LE(dot.error_of(halfway::dot_in_double(data.x, data.y)),
                halfway::dot_in_double_error_bound(n, dot.magnitudes));
      EXPECT_LE(sum.error_of(halfway::sum_compensated(data.x)),
                halfway::sum_compensated_error_bound(n, sum.magnitudes, s));
      EXPECT_LE(dot.error_of(halfway::dot(data.x, data.y)),
                halfway::dot_error_bound(n, dot.magnitudes));
      EXPECT_LE(dot.error_of(halfway::dot_pairwise(data.x, data.y)),
                halfway::dot_pairwise_error_bound(n, dot.magnitudes));
      EXPECT_LE(dot.error_of(halfway::dot_compensated(data.x, data.y)),
                halfway::dot_compensated_error_bound(n, dot.magnitudes, d));
    }
  });
}

TEST(ErrorBound, HoldsForManyElements) {
  const std::size_t n = 5 * halfway::detail::reduction_part + 77;
  const auto data = halfway::testing::ill_conditioned(n, 1e8, 3);
  const exact_dot sum(data.x), dot(data.x, data.y);
  EXPECT_LE(sum.error_of(halfway::sum(data.x)), halfway::sum_error_bound(n, sum.magnitudes));
  EXPECT_LE(sum.error_of(halfway::sum_pairwise(data.x)),
            halfway::sum_pairwise_error_bound(n, sum.magnitudes));
  EXPECT_LE(sum.error_of(halfway::sum_compensated(data.x)),
            halfway::sum_compensated_error_bound(n, sum.magnitudes));
  EXPECT_LE(sum.error_of(halfway::sum_in_double(data.x)),
            halfway::sum_in_double_error_bound(n, sum.magnitudes));
  EXPECT_LE(dot.error_of(halfway::dot(data.x, data.y)),
            halfway::dot_error_bound(n, dot.magnitudes));
  EXPECT_LE(dot.error_of(halfway::dot_compensated(data.x, data.y)),
            halfway::dot_compensated_error_bound(n, dot.magnitudes));
}

// Of a condition of 1e8 and more, where FP32 alone promises nothing, digits are left.
TEST(ErrorBound, OfAccurateSumsIsSmallForIllConditionedData) {
  const std::size_t n = 100;
  const auto data = halfway::testing::ill_conditioned(n, 1e8, 4);
  const exact_dot dot(data.x, data.y);
  const double exact = std::abs(dot.value());
  EXPECT_GT(dot.magnitudes / exact, 1e8) << "the data are not ill-conditioned";
  EXPECT_GT(halfway::dot_error_bound(n, dot.magnitudes), exact);
  EXPECT_LT(halfway::dot_compensated_error_bound(n, dot.magnitudes, exact), exact * 1e-3);
  EXPECT_LT(halfway::dot_in_double_error_bound(n, dot.magnitudes), exact * 1e-6);
}

// Every addition of a path loses half a unit: to 1, in one lane, 2^-24 is added as often as an
// element can go through an addition, and a tie goes to the even 1.
std::vector<float> adversary(std::size_t n, std::size_t run, std::size_t lanes) {
  std::vector<float> x(n, 0.0f);
  const float lost = 0x1p-24f;
  x[0] = 1.0f;
  for (std::size_t i = 1; i < run; ++i) x[i * lanes] = lost;
  for (std::size_t block = run * lanes; block < n; block += run * lanes) x[block] = lost;
  for (std::size_t lane = 1; lane < lanes; lane *= 2) x[lane] = lost;
  return x;
}

TEST(ErrorBound, OfSumsIsReached) {
  const std::size_t n = 40000;
  const std::vector<float> x = adversary(n, 64, 64), ones(n, 1.0f);
  const exact_dot exact(x);
  for_each_target([&] {
    const double reached = exact.error_of(halfway::sum(x));
    EXPECT_LE(reached, halfway::sum_error_bound(n, exact.magnitudes));
    EXPECT_GE(reached * 1.01, halfway::sum_error_bound(n, exact.magnitudes));
  });
  // (1 + 2^-12)^2 loses 2^-24 too, before any addition.
  std::vector<float> y = x;
  y[0] = 1 + 0x1p-12f;
  std::vector<float> z = ones;
  z[0] = y[0];
  const exact_dot dot(y, z);
  for_each_target([&] {
    const double reached = dot.error_of(halfway::dot(y, z));
    EXPECT_GE(reached * 1.02, halfway::dot_error_bound(n, dot.magnitudes));
  });
  // Runs of 16; then a block of 1024 elements at each power of two.
  const std::size_t pairwise_n = 32 * 1024;
  std::vector<float> p = adversary(1024, 16, 64);
  p.resize(pairwise_n, 0.0f);
  for (std::size_t block = 1; block < 32; block *= 2) p[block * 1024] = 0x1p-24f;
  const exact_dot pairwise(p);
  for_each_target([&] {
    const double reached = pairwise.error_of(halfway::sum_pairwise(p));
    EXPECT_GE(reached * 1.01, halfway::sum_pairwise_error_bound(pairwise_n, pairwise.magnitudes));
  });
}

TEST(ErrorBound, OfSumsCountsTheirAdditions) {
  EXPECT_EQ(halfway::sum_error_bound(0, 0), 0.0);
  EXPECT_EQ(halfway::sum_error_bound(1, 5.0), 0.0);
  EXPECT_EQ(halfway::detail::additions(2), 1u);
  EXPECT_EQ(halfway::detail::additions(64), 6u);
  EXPECT_EQ(halfway::detail::additions(65), 7u);
  EXPECT_EQ(halfway::detail::additions(4096), 69u);
  EXPECT_EQ(halfway::detail::additions(4097), 70u);
  EXPECT_EQ(halfway::detail::additions(1u << 18), 132u);
  EXPECT_EQ(halfway::detail::additions((1u << 18) + 1), 133u);
  EXPECT_EQ(halfway::detail::pairwise_additions(4096), 23u);
  EXPECT_EQ(halfway::detail::pairwise_additions(1u << 18), 29u);
  EXPECT_EQ(halfway::detail::compensated_additions(4096), 69u);
  EXPECT_EQ(halfway::detail::wide_additions(4096), 132u);
  EXPECT_DOUBLE_EQ(halfway::sum_error_bound(64, 1.0) / (1 + 0x1p-40), 6 * u / (1 - 6 * u));
}

TEST(ErrorBound, IsInfiniteWhereAResultMayOverflow) {
  EXPECT_EQ(halfway::sum_error_bound(3, 4e38), infinity);
  EXPECT_EQ(halfway::dot_error_bound(3, 4e38), infinity);
  EXPECT_EQ(halfway::sum_compensated_error_bound(3, 4e38), infinity);
  EXPECT_EQ(gemm_error_bound(3, 4e38), infinity);
  EXPECT_EQ(gemm_error_bound(3, 65504.0, {.c = dtype::float16}), infinity);
  EXPECT_LT(gemm_error_bound(3, 65000.0, {.c = dtype::float16}), infinity);
  EXPECT_EQ(halfway::rounding_error_bound(500.0, dtype::float8_e4m3fn), infinity);
}

TEST(ErrorBound, OfRoundingIsReached) {
  EXPECT_DOUBLE_EQ(halfway::rounding_error_bound(1.0, dtype::bfloat16) / (1 + 0x1p-40), 0x1p-8);
  EXPECT_DOUBLE_EQ(halfway::rounding_error_bound(0.0, dtype::float16) / (1 + 0x1p-40), 0x1p-25);
  EXPECT_DOUBLE_EQ(halfway::rounding_error_bound(1.0, dtype::float8_e4m3fn) / (1 + 0x1p-40),
                   0x1p-4);
  const auto lost = [](double x, auto rounded) {
    return std::abs(x - static_cast<double>(static_cast<float>(rounded)));
  };
  for (const double x : {1 + 0x1p-11, 3.0001, 0x1p-24 * 1.5, 60000.0}) {
    EXPECT_LE(lost(x, half(x)), halfway::rounding_error_bound(x, dtype::float16));
  }
  EXPECT_GE(lost(1 + 0x1p-11, half(1 + 0x1p-11)) * 1.001,
            halfway::rounding_error_bound(1 + 0x1p-11, dtype::float16));
}

// ------------------------------ GEMM

// Every element of c against exact sums.
template <class T>
void expect_product(std::size_t k, const std::vector<float>& x, const std::vector<float>& y,
                    float largest, bool reproducible) {
  const std::size_t rows = 2, cols = 3;
  matrix<T> a(rows, k), b(k, cols);
  matrix<T> c(rows, cols), old(rows, cols);
  std::vector<float> bias(cols, 0.3f);
  for (std::size_t q = 0; q < k; ++q) {
    for (std::size_t i = 0; i < rows; ++i) a(i, q) = T(x[(q * (i + 1)) % k]);
    for (std::size_t j = 0; j < cols; ++j) b(q, j) = T(y[(q + j) % k]);
  }
  for (auto& element : old.elements()) element = T(-0.7f);
  const gemm_error_options plain = {.a = halfway::dtype_of<T>,
                                    .b = halfway::dtype_of<T>,
                                    .c = halfway::dtype_of<T>,
                                    .reproducible = reproducible,
                                    .largest = static_cast<double>(largest)};
  const auto expect = [&](const halfway::gemm_options& options) {
    for (std::size_t e = 0; e < c.size(); ++e) c.elements()[e] = old.elements()[e];
    halfway::gemm(a, b, c, options);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        exact_sum sum;
        double magnitudes = 0;
        for (std::size_t q = 0; q < k; ++q) {
          const double term = product(static_cast<float>(a(i, q)), static_cast<float>(b(q, j)));
          sum.add(term);
          magnitudes += std::abs(term) * (1 + 0x1p-40);
        }
        gemm_error_options with = plain;
        with.scale = std::abs(static_cast<double>(options.alpha));
        const double added = product(options.beta, static_cast<float>(old(i, j))) +
                             (options.bias.empty() ? 0.0 : static_cast<double>(options.bias[j]));
        with.added = std::abs(product(options.beta, static_cast<float>(old(i, j)))) +
                     (options.bias.empty() ? 0.0 : static_cast<double>(options.bias[j]));
        const double result = static_cast<double>(static_cast<float>(c(i, j)));
        sum.add(added / static_cast<double>(options.alpha));  // alpha is a power of two
        sum.add(-result / static_cast<double>(options.alpha));
        EXPECT_LE(std::abs(sum.value() * static_cast<double>(options.alpha)),
                  gemm_error_bound(k, magnitudes, with));
      }
    }
  };
  expect({.reproducible = reproducible});
  expect({.alpha = -0.5f, .beta = 0.75f, .bias = bias, .reproducible = reproducible});
}

TEST(ErrorBound, HoldsForProductsOfAnyData) {
  for_each_target([] {
    for (const std::size_t k : {0u, 1u, 2u, 7u, 64u, 301u, 1000u}) {
      for (const auto& data : hard_vectors(k)) {
        if (data.name == "one giant") continue;  // some element would be 1e30 times 1e30
        SCOPED_TRACE(data.name);
        SCOPED_TRACE(k);
        float largest = 0;
        for (const float v : data.x) largest = std::max(largest, 1.01f * std::abs(v));
        for (const float v : data.y) largest = std::max(largest, 1.01f * std::abs(v));
        expect_product<float>(k, data.x, data.y, 0.0f, false);
        expect_product<bfloat16>(k, data.x, data.y, largest, false);
        expect_product<bfloat16>(k, data.x, data.y, 0.0f, true);
      }
    }
  });
}

// Without `largest`, the bound of products of bfloat16 would not hold: a subnormal operand may be
// taken as zero.
TEST(ErrorBound, CountsOperandsThatAreTakenAsZero) {
  matrix<bfloat16> a(1, 1), b(1, 1);
  a(0, 0) = bfloat16(0x1p-127f);
  b(0, 0) = bfloat16(0x1p127f);
  gemm_error_options options = {.a = dtype::bfloat16, .b = dtype::bfloat16, .largest = 0x1p127};
  EXPECT_GE(gemm_error_bound(1, 1.0, options), 1.0);
  options.reproducible = true;
  EXPECT_LT(gemm_error_bound(1, 1.0, options), 1e-6);
  matrix<bfloat16> c(1, 1);
  for_each_target([&] {
    halfway::gemm(a, b, c, {.reproducible = true});
    EXPECT_EQ(static_cast<float>(c(0, 0)), 1.0f);
  });
}

TEST(ErrorBound, OfProductsIsReached) {
  const std::size_t k = 500;
  matrix<float> a(1, k), b(k, 1), c(1, 1);
  for (std::size_t q = 0; q < k; ++q) a(0, q) = 0x1p-24f, b(q, 0) = 1.0f;
  a(0, 0) = b(0, 0) = 1 + 0x1p-12f;
  const exact_dot exact(a.elements(), b.elements());
  const double bound = gemm_error_bound(k, exact.magnitudes);
  for_each_target([&] {
    halfway::gemm(a, b, c);
    EXPECT_LE(exact.error_of(static_cast<double>(c(0, 0))), bound);
    EXPECT_GE(exact.error_of(static_cast<double>(c(0, 0))) * 1.02, bound);
  });
}

TEST(ErrorBound, OfProductsTakesInTheRoundingOfOperands) {
  const std::size_t k = 64;
  const auto data = hard_vectors(k)[0];
  matrix<bfloat16> a(1, k), b(k, 1), c(1, 1);
  for (std::size_t q = 0; q < k; ++q) {
    a(0, q) = bfloat16(data.x[q]);
    b(q, 0) = bfloat16(data.y[q]);
  }
  const exact_dot exact(data.x, data.y);
  const gemm_error_options options = {.a = dtype::bfloat16,
                                      .b = dtype::bfloat16,
                                      .c = dtype::bfloat16,
                                      .rounded_operands = true,
                                      .largest = 10.0};
  for_each_target([&] {
    halfway::gemm(a, b, c);
    EXPECT_LE(exact.error_of(static_cast<double>(static_cast<float>(c(0, 0)))),
              gemm_error_bound(k, exact.magnitudes, options));
  });
}

TEST(ErrorBound, RefusesBadInput) {
  expect_error([] { halfway::sum_error_bound(3, -1.0); },
               {"halfway::sum_error_bound", "sum_of_magnitudes (-1)", "negative"});
  expect_error([] { halfway::dot_error_bound(3, std::nan("")); }, {"dot_error_bound", "nan"});
  expect_error([] { gemm_error_bound(3, 1.0, {.a = dtype::int8}); },
               {"halfway::gemm_error_bound", "type (int8)"});
  expect_error([] { gemm_error_bound(3, 1.0, {.added = -2.0}); }, {"options.added (-2)"});
  expect_error([] { halfway::relative_error_bound(3, dtype::float8_e8m0fnu); },
               {"halfway::relative_error_bound", "float8_e8m0fnu"});
  expect_error([] { halfway::rounding_error_bound(-1.0, dtype::float32); }, {"magnitude (-1)"});
}

}  // namespace
