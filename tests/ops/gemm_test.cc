// SPDX-License-Identifier: Apache-2.0
#include "halfway/ops/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::testing::message_of;
using halfway::bfloat16;
using halfway::half;
using halfway::matrix;
using halfway::matrix_view;
using halfway::testing::for_each_target;

// Storage with room for strides, guarded: every element that the view does not cover keeps its
// value.
template <class T>
class placed_matrix {
 public:
  placed_matrix(std::size_t rows, std::size_t cols, bool column_major, std::size_t pad)
      : rows_(rows),
        cols_(cols),
        column_major_(column_major),
        lead_((column_major ? rows : cols) + pad) {
    storage_.assign((column_major ? cols : rows) * lead_ + 1, T(guard));
  }
  matrix_view<T> view() {
    return column_major_ ? matrix_view<T>(storage_.data(), rows_, cols_, 1, lead_)
                         : matrix_view<T>(storage_.data(), rows_, cols_, lead_, 1);
  }
  bool guards_are_whole() {
    const std::size_t used = column_major_ ? rows_ : cols_;
    for (std::size_t i = 0; i < storage_.size(); ++i) {
      if (i % lead_ >= used && static_cast<float>(storage_[i]) != guard) return false;
    }
    return true;
  }

 private:
  static constexpr float guard = 96.0f;  // exact in every type
  std::size_t rows_, cols_;
  bool column_major_;
  std::size_t lead_;
  std::vector<T> storage_;
};

template <class T>
void fill_normal(matrix_view<T> m, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < m.rows(); ++i) {
    for (std::size_t j = 0; j < m.cols(); ++j) m(i, j) = T(normal(random));
  }
}

// Half the distance between neighbours of T around x, for the one rounding to T.
template <class T>
double rounding_error(double x) {
  if constexpr (std::is_same_v<T, float>) {
    return 0.0;  // part of the bound below
  } else {
    const double spacing = std::ldexp(
        1.0, std::max(std::ilogb(x == 0.0 ? 1e-30 : x), std::numeric_limits<T>::min_exponent - 1) -
                 (std::numeric_limits<T>::digits - 1));
    return 0.5 * spacing;
  }
}

struct layout {
  bool a_column_major, b_column_major, c_column_major;
  std::size_t pad;
};

template <class TA, class TB, class TC>
void expect_product_within_bound(std::size_t m, std::size_t n, std::size_t k, layout where,
                                 halfway::gemm_options options, bool with_bias) {
  placed_matrix<TA> a(m, k, where.a_column_major, where.pad);
  placed_matrix<TB> b(k, n, where.b_column_major, where.pad);
  placed_matrix<TC> c(m, n, where.c_column_major, where.pad);
  fill_normal(a.view(), 1);
  fill_normal(b.view(), 2);
  fill_normal(c.view(), 3);
  std::vector<float> bias(n);
  for (std::size_t j = 0; j < n; ++j) bias[j] = 0.25f * static_cast<float>(j % 7) - 0.5f;
  if (with_bias) options.bias = bias;
  const auto va = a.view();
  const auto vb = b.view();
  const auto vc = c.view();
  std::vector<double> before(m * n);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) before[i * n + j] = static_cast<double>(vc(i, j));
  }

  halfway::gemm(va, vb, vc, options);

  // The documented bound; u and the smallest normal number as flushed by bf16 instructions.
  const double u = std::ldexp(1.0, -24);
  const double steps = static_cast<double>(k + 3) * u;
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0.0, magnitude = 0.0;
      for (std::size_t q = 0; q < k; ++q) {
        const double product = static_cast<double>(va(i, q)) * static_cast<double>(vb(q, j));
        sum += product;
        magnitude += std::abs(product);
      }
      const double alpha = options.alpha, beta = options.beta;
      const double want = alpha * sum + beta * before[i * n + j] + (with_bias ? bias[j] : 0.0);
      const double bound = steps / (1.0 - steps) *
                               (std::abs(alpha) * magnitude + std::abs(beta * before[i * n + j]) +
                                (with_bias ? std::abs(bias[j]) : 0.0)) +
                           static_cast<double>(k) * 0x1p-126;
      ASSERT_LE(std::abs(static_cast<double>(vc(i, j)) - want),
                bound + rounding_error<TC>(std::abs(want) + bound))
          << m << " x " << n << " x " << k << " at (" << i << ", " << j << ")";
    }
  }
  ASSERT_TRUE(c.guards_are_whole()) << m << " x " << n << " x " << k;
}

template <class Types>
class GemmTest : public ::testing::Test {};

using FloatTypes =
    ::testing::Types<std::tuple<float, float, float>, std::tuple<bfloat16, bfloat16, float>,
                     std::tuple<half, half, half>, std::tuple<bfloat16, bfloat16, bfloat16>,
                     std::tuple<float, half, float>,
                     std::tuple<halfway::float8_e4m3fn, halfway::float8_e5m2, float>>;
TYPED_TEST_SUITE(GemmTest, FloatTypes);

template <class Types>
void check(std::size_t m, std::size_t n, std::size_t k, layout where,
           halfway::gemm_options options = {}, bool with_bias = false) {
  expect_product_within_bound<std::tuple_element_t<0, Types>, std::tuple_element_t<1, Types>,
                              std::tuple_element_t<2, Types>>(m, n, k, where, options, with_bias);
}

// Every remainder of the tile in rows, of the vectors in columns, and of the unit along k.
TYPED_TEST(GemmTest, RaggedShapes) {
  for_each_target([] {
    for (std::size_t m : {1, 2, 3, 5, 7, 8, 9, 13, 16, 17}) check<TypeParam>(m, 5, 9, {});
    for (std::size_t n : {1, 3, 4, 7, 8, 12, 15, 16, 17, 31, 33, 47, 48, 49, 64, 97})
      check<TypeParam>(3, n, 6, {});
    for (std::size_t k = 0; k <= 9; ++k) check<TypeParam>(9, 18, k, {});
    check<TypeParam>(127, 83, 109, {});
  });
}

TYPED_TEST(GemmTest, StridesAndTransposes) {
  for_each_target([] {
    for (int bits = 0; bits < 8; ++bits) {
      check<TypeParam>(11, 53, 37, {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, 0});
      check<TypeParam>(10, 19, 16, {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, 3}, {},
                       true);
    }
  });
}

TYPED_TEST(GemmTest, AlphaBetaBias) {
  for_each_target([] {
    for (bool c_column_major : {false, true}) {
      check<TypeParam>(9, 50, 20, {false, false, c_column_major, 1},
                       {.alpha = -1.5f, .beta = 0.75f}, true);
      check<TypeParam>(9, 50, 20, {false, true, c_column_major, 0}, {.alpha = 0.0f, .beta = 1.0f},
                       false);
      check<TypeParam>(9, 50, 0, {false, false, c_column_major, 0}, {.alpha = 2.0f, .beta = -1.0f},
                       true);
    }
  });
}

// More k than one pass over a panel takes, and more rows than one block: the accumulators go
// through memory.
TYPED_TEST(GemmTest, LargerThanTheBlocks) {
  for_each_target([] {
    check<TypeParam>(3, 20, 4999, {});
    check<TypeParam>(261, 5, 2050, {});
    check<TypeParam>(530, 7, 5, {true, false, false, 0});
  });
}

TEST(Gemm, BetaZeroDoesNotReadC) {
  for_each_target([] {
    matrix<bfloat16> a(3, 4), b(4, 5), c(3, 5);
    for (auto& x : c.elements()) x = std::numeric_limits<bfloat16>::quiet_NaN();
    halfway::gemm(a, b, c);
    for (auto x : c.elements()) EXPECT_EQ(static_cast<float>(x), 0.0f);
  });
}

TEST(Gemm, NonFinitePropagates) {
  for_each_target([] {
    matrix<bfloat16> a(2, 3), b(3, 2);
    matrix<float> c(2, 2);
    for (auto& x : a.elements()) x = bfloat16(1.0f);
    for (auto& x : b.elements()) x = bfloat16(2.0f);
    a(0, 2) = std::numeric_limits<bfloat16>::infinity();
    a(1, 0) = std::numeric_limits<bfloat16>::quiet_NaN();
    halfway::gemm(a, b, c);
    EXPECT_EQ(c(0, 0), std::numeric_limits<float>::infinity());
    EXPECT_EQ(c(0, 1), std::numeric_limits<float>::infinity());
    EXPECT_TRUE(std::isnan(c(1, 0)) && std::isnan(c(1, 1)));
  });
}

// The elements beyond an odd k are somebody else's: NaN there must not reach the sums.
TEST(Gemm, ReadsNothingBeyondTheRows) {
  for_each_target([] {
    matrix<bfloat16> a_storage(3, 8), b(5, 4);
    for (auto& x : a_storage.elements()) x = std::numeric_limits<bfloat16>::quiet_NaN();
    for (auto& x : b.elements()) x = bfloat16(1.0f);
    const auto a = a_storage.view().block(0, 0, 3, 5);
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t q = 0; q < 5; ++q) a(i, q) = bfloat16(1.0f);
    }
    matrix<float> c(3, 4);
    halfway::gemm(a, b, c);
    for (float x : c.elements()) EXPECT_EQ(x, 5.0f);
  });
}

// The sum is rounded once, to the output's type: the largest half plus its half spacing stays, one
// more is infinite.
TEST(Gemm, OutputRoundsOnceAndOverflowsToInfinity) {
  for_each_target([] {
    matrix<float> a(1, 2), b(2, 3);
    matrix<half> c(1, 3);
    a(0, 0) = a(0, 1) = 1.0f;
    b(0, 0) = 65504.0f, b(1, 0) = 15.0f;
    b(0, 1) = 65504.0f, b(1, 1) = 16.0f;
    b(0, 2) = 2048.0f, b(1, 2) = 1.0f;  // a tie: to even
    halfway::gemm(a, b, c);
    EXPECT_EQ(static_cast<float>(c(0, 0)), 65504.0f);
    EXPECT_EQ(static_cast<float>(c(0, 1)), std::numeric_limits<float>::infinity());
    EXPECT_EQ(static_cast<float>(c(0, 2)), 2048.0f);
  });
}

TEST(Gemm, SameBitsWhereverTheOperandsLie) {
  for_each_target([] {
    matrix<bfloat16> a(19, 67), b(67, 41);
    matrix<float> c(19, 41);
    fill_normal(a.view(), 1);
    fill_normal(b.view(), 2);
    halfway::gemm(a, b, c);
    for (std::size_t i = 0; i < a.rows(); ++i) {  // row by row, and from a transposed copy
      matrix<bfloat16> at(67, 1);
      for (std::size_t q = 0; q < 67; ++q) at(q, 0) = a(i, q);
      matrix<float> row(1, 41);
      halfway::gemm(at.view().transposed(), b, row);
      for (std::size_t j = 0; j < 41; ++j) ASSERT_EQ(row(0, j), c(i, j));
    }
  });
}

// ------------------------------ integers

template <class TA>
void expect_exact(std::size_t m, std::size_t n, std::size_t k, layout where) {
  std::mt19937 random(7);
  placed_matrix<TA> a(m, k, where.a_column_major, where.pad);
  placed_matrix<std::int8_t> b(k, n, where.b_column_major, where.pad);
  placed_matrix<std::int32_t> c(m, n, where.c_column_major, where.pad);
  const auto va = a.view();
  const auto vb = b.view();
  const auto vc = c.view();
  // Extremes half of the time: they are what saturates in the 16-bit sums of older instructions.
  const auto draw = [&](int lowest) {
    const auto r = random();
    return (r & 1) != 0 ? ((r & 2) != 0 ? lowest : lowest + 255)
                        : lowest + static_cast<int>((r >> 8) % 256);
  };
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t q = 0; q < k; ++q)
      va(i, q) = static_cast<TA>(draw(std::is_same_v<TA, std::uint8_t> ? 0 : -128));
  }
  for (std::size_t q = 0; q < k; ++q) {
    for (std::size_t j = 0; j < n; ++j) vb(q, j) = static_cast<std::int8_t>(draw(-128));
  }
  halfway::gemm(va, vb, vc);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      std::int64_t want = 0;
      for (std::size_t q = 0; q < k; ++q) want += std::int64_t{va(i, q)} * vb(q, j);
      ASSERT_EQ(vc(i, j), want) << m << " x " << n << " x " << k << " at (" << i << ", " << j
                                << ")";
    }
  }
  ASSERT_TRUE(c.guards_are_whole());
}

TEST(GemmInteger, ExactForAllShapesAndLayouts) {
  for_each_target([] {
    for (std::size_t k = 0; k <= 9; ++k) {
      expect_exact<std::uint8_t>(9, 18, k, {});
      expect_exact<std::int8_t>(9, 18, k, {});
    }
    for (std::size_t n : {1, 15, 16, 17, 47, 48, 49, 97}) expect_exact<std::int8_t>(5, n, 21, {});
    for (int bits = 0; bits < 8; ++bits) {
      const layout where{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0,
                         static_cast<std::size_t>(bits % 3)};
      expect_exact<std::uint8_t>(13, 50, 43, where);
      expect_exact<std::int8_t>(13, 50, 43, where);
    }
    expect_exact<std::uint8_t>(3, 20, 9001, {});
    expect_exact<std::int8_t>(300, 20, 4111, {});
  });
}

// The largest k for which no sum of u8 * s8 can leave int32, all products at their extreme.
TEST(GemmInteger, NoOverflowAtTheDocumentedLimit) {
  for_each_target([] {
    constexpr std::size_t k = 65793;
    matrix<std::uint8_t> a(1, k);
    matrix<std::int8_t> b(k, 1);
    matrix<std::int32_t> c(1, 1);
    for (auto& x : a.elements()) x = 255;
    for (auto& x : b.elements()) x = -128;
    halfway::gemm(a, b, c);
    EXPECT_EQ(c(0, 0), -2147483520);  // 65,793 * 255 * -128
  });
}

TEST(GemmInteger, TakesTheSaturatingTypes) {
  matrix<halfway::uint8> a(2, 3);
  matrix<halfway::int8> b(3, 2);
  matrix<std::int32_t> c(2, 2);
  for (auto& x : a.elements()) x = halfway::uint8(300.0f);
  for (auto& x : b.elements()) x = halfway::int8(-300.0f);
  halfway::gemm(a, b, c);
  for (auto x : c.elements()) EXPECT_EQ(x, 3 * 255 * -128);
}

// ------------------------------ errors

TEST(GemmErrors, NameTheArgumentsAndTheValuesBeforeAnythingIsWritten) {
  matrix<float> a(2, 3), b(4, 5), c(2, 5), b_right(3, 5);
  for (auto& x : c.elements()) x = 7.0f;
  EXPECT_EQ(message_of([&] { halfway::gemm(a, b, c); }),
            "halfway::gemm: b.rows (4) must equal a.cols (3)");
  matrix<float> c_rows(1, 5), c_cols(2, 4);
  EXPECT_EQ(message_of([&] { halfway::gemm(a, b_right, c_rows); }),
            "halfway::gemm: c.rows (1) must equal a.rows (2)");
  EXPECT_EQ(message_of([&] { halfway::gemm(a, b_right, c_cols); }),
            "halfway::gemm: c.cols (4) must equal b.cols (5)");
  const std::vector<float> bias(4);
  EXPECT_EQ(message_of([&] { halfway::gemm(a, b_right, c, {.bias = bias}); }),
            "halfway::gemm: bias.size (4) must equal c.cols (5)");
  for (float x : c.elements()) EXPECT_EQ(x, 7.0f);
}

TEST(GemmErrors, OutputMayNotShareMemoryWithAnOperand) {
  matrix<float> a(4, 4), b(4, 4);
  EXPECT_EQ(message_of([&] { halfway::gemm(a, b, a); }), "halfway::gemm: c and a share memory");
  EXPECT_EQ(message_of([&] { halfway::gemm(a, b, b.view().transposed()); }),
            "halfway::gemm: c and b share memory");
}

TEST(GemmErrors, EmptyProductsAreNotErrors) {
  matrix<float> a(0, 3), b(3, 0), c(0, 0);
  halfway::gemm(a, b, c);
  matrix<float> d(2, 0), e(0, 2), f(2, 2);
  for (auto& x : f.elements()) x = 9.0f;
  halfway::gemm(d, e, f);
  for (float x : f.elements()) EXPECT_EQ(x, 0.0f);
}

}  // namespace
