// SPDX-License-Identifier: Apache-2.0
#include "halfway/quantization/groups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>

#include "halfway/core/matrix.h"
#include "halfway/ops/gemm.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/int4.h"
#include "halfway/types/int8.h"
#include "support/expect_error.h"

namespace {

using halfway::bfloat16;
using halfway::int4;
using halfway::int8;
using halfway::matrix;
using halfway::quantize_groups;
using halfway::testing::message_of;

// The matrix itself, read back through a product with the unit matrix, which is exact.
template <class T>
matrix<float> decoded(const halfway::quantized_matrix<T>& w) {
  matrix<float> unit(w.rows(), w.rows()), out(w.rows(), w.cols());
  for (std::size_t i = 0; i < w.rows(); ++i) unit(i, i) = 1.0f;
  halfway::gemm(unit, w, out);
  return out;
}

template <class T>
void expect_half_a_step(std::size_t group, float largest_code) {
  constexpr std::size_t k = 100, n = 37;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  matrix<float> w(k, n);
  for (float& x : w.elements()) x = normal(random);
  const matrix<float> got = decoded(quantize_groups<T>(w, group));
  const std::size_t step = group == 0 ? k : group;
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < k; ++i) {
      float amax = 0;
      for (std::size_t q = i / step * step; q < std::min(k, (i / step + 1) * step); ++q) {
        amax = std::max(amax, std::abs(w(q, j)));
      }
      // Half a step; the quotient, the scale and the product are each rounded once.
      const double bound = static_cast<double>(amax) / largest_code / 2 + 3 * 0x1p-24 * amax;
      ASSERT_LE(std::abs(static_cast<double>(w(i, j)) - got(i, j)), bound) << i << ", " << j;
      if (std::abs(w(i, j)) == amax) {
        ASSERT_NEAR(got(i, j), w(i, j), 2 * 0x1p-24 * amax) << "the largest is a code of its own";
      }
    }
  }
}

TEST(QuantizeGroups, ErrsByHalfAStep) {
  expect_half_a_step<int4>(32, 7);
  expect_half_a_step<int4>(0, 7);
  expect_half_a_step<int8>(8, 127);
  expect_half_a_step<int8>(0, 127);
}

TEST(QuantizeGroups, ZerosAndWhatIsTooSmallForAScale) {
  matrix<float> w(16, 2);
  w(3, 1) = std::numeric_limits<float>::denorm_min();
  const matrix<float> got = decoded(quantize_groups<int4>(w, 8));
  for (const float x : got.elements()) EXPECT_EQ(x, 0.0f);
  EXPECT_EQ(quantize_groups<int8>(matrix<float>(0, 3), 0).rows(), 0u);
}

// As docs/quantization.md shows it.
TEST(GroupCodes, PackedGiveTheProductOfWhatTheyStandFor) {
  matrix<float> x(3, 40), w(40, 5), plain(40, 5), expected(3, 5);
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  for (float& v : x.elements()) v = normal(random);
  for (float& v : w.elements()) v = normal(random);
  const halfway::group_codes<int4> gptq = halfway::choose_group_codes<int4>(w, 16);  // 16, 16, 8
  for (std::size_t i = 0; i < 40; ++i) {
    for (std::size_t j = 0; j < 5; ++j) {
      plain(i, j) = static_cast<float>(static_cast<int>(gptq.codes(i, j))) * gptq.scales(i / 16, j);
    }
  }
  halfway::gemm(x, plain, expected);
  halfway::matrix<float> y(x.rows(), w.cols());
  const halfway::quantized_matrix<halfway::int4> packed = gptq.packed();
  halfway::gemm(x, packed, y);  // codes are decoded in registers
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 5; ++j) {
      double size = 0;
      for (std::size_t p = 0; p < 40; ++p)
        size += std::abs(static_cast<double>(x(i, p)) * plain(p, j));
      // gamma(16 + 3 + 3) of one product, gamma(40 + 3) of the other, and the rounding of `plain`.
      EXPECT_NEAR(y(i, j), expected(i, j), size * (22 + 43 + 1) * 1.01 * 0x1p-24);
    }
  }
}

TEST(QuantizeGroups, TakesAnyFormatAndStrides) {
  matrix<bfloat16> w(2, 8);
  for (std::size_t j = 0; j < 8; ++j) w(1, j) = bfloat16(static_cast<float>(j) - 7);
  const matrix<float> got = decoded(quantize_groups<int4>(w.view().transposed(), 8));
  for (std::size_t j = 0; j < 8; ++j) EXPECT_EQ(got(j, 1), static_cast<float>(j) - 7);
}

TEST(QuantizeGroupsErrors, NameTheArgument) {
  matrix<float> w(16, 2);
  EXPECT_EQ(message_of([&] { quantize_groups<int4>(w, 12); }),
            "halfway::group_codes: group (12) must be a multiple of 8, or 0");
  w(9, 1) = std::numeric_limits<float>::infinity();
  EXPECT_EQ(message_of([&] { quantize_groups<int4>(w, 8); }),
            "halfway::quantize_groups: w(9, 1) (inf) must be finite");
}

}  // namespace
