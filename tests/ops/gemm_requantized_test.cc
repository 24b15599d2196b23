// SPDX-License-Identifier: Apache-2.0
#include "halfway/ops/gemm_requantized.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "halfway/ops/packed_matrix.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::matrix;
using halfway::testing::for_each_target;
using halfway::testing::message_of;

// The definition, written out: float scaling of the exact sum, ties to even, then the zero point,
// then saturation.
template <class TC>
TC reference(std::int64_t sum, float scale, std::int32_t zero_point) {
  const float real = scale * static_cast<float>(sum);
  if constexpr (std::is_same_v<TC, float>) {
    return real;
  } else {
    const double code = std::nearbyint(static_cast<double>(real)) + zero_point;
    return static_cast<TC>(
        std::clamp<double>(code, std::numeric_limits<TC>::min(), std::numeric_limits<TC>::max()));
  }
}

template <class TA, class TC>
void check(std::size_t m, std::size_t n, std::size_t k, bool per_channel, bool with_bias,
           bool c_column_major, std::int32_t a_zero_point, std::int32_t c_zero_point) {
  std::mt19937 random(11);
  matrix<TA> a(m, k);
  matrix<std::int8_t> b(k, n);
  for (auto& x : a.elements()) x = static_cast<TA>(random());
  for (auto& x : b.elements()) x = static_cast<std::int8_t>(random());
  std::vector<float> scale(per_channel ? n : 1);
  for (std::size_t j = 0; j < scale.size(); ++j)
    scale[j] = 0.0009f + 0.0001f * static_cast<float>(j % 5);
  std::vector<std::int32_t> bias;
  if (with_bias) {
    for (std::size_t j = 0; j < n; ++j)
      bias.push_back(static_cast<std::int32_t>(random() % 20001) - 10000);
  }
  std::vector<TC> storage(m * n);
  const auto c = c_column_major ? halfway::matrix_view<TC>(storage.data(), m, n, 1, m)
                                : halfway::matrix_view<TC>(storage.data(), m, n);
  halfway::gemm_requantized(
      a, b, c,
      {.a_zero_point = a_zero_point, .bias = bias, .scale = scale, .c_zero_point = c_zero_point});
  std::vector<TC> of_packed(m * n);
  halfway::gemm_requantized(
      a, halfway::packed_matrix(b), halfway::matrix_view<TC>(of_packed.data(), m, n),
      {.a_zero_point = a_zero_point, .bias = bias, .scale = scale, .c_zero_point = c_zero_point});
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      std::int64_t sum = with_bias ? bias[j] : 0;
      for (std::size_t q = 0; q < k; ++q) sum += (std::int64_t{a(i, q)} - a_zero_point) * b(q, j);
      ASSERT_EQ(c(i, j), reference<TC>(sum, scale[per_channel ? j : 0], c_zero_point))
          << "(" << i << ", " << j << "), sum " << sum;
      ASSERT_EQ(of_packed[i * n + j], c(i, j)) << "packed at (" << i << ", " << j << ")";
    }
  }
}

TEST(GemmRequantized, FollowsTheDefinition) {
  for_each_target([] {
    for (bool per_channel : {false, true}) {
      for (bool with_bias : {false, true}) {
        check<std::uint8_t, std::uint8_t>(9, 53, 70, per_channel, with_bias, false, 131, 7);
        check<std::int8_t, std::int8_t>(9, 53, 71, per_channel, with_bias, true, -5, -3);
        check<std::uint8_t, float>(5, 10, 33, per_channel, with_bias, false, 128, 0);
      }
    }
    check<std::uint8_t, std::int8_t>(3, 17, 0, true, true, false, 255, -128);
  });
}

// Sums whose scaled value lies exactly halfway: to even, and the zero point is added after the
// rounding.
TEST(GemmRequantized, TiesGoToEvenBeforeTheZeroPoint) {
  for_each_target([] {
    matrix<std::uint8_t> a(6, 1), c(6, 1);
    matrix<std::int8_t> b(1, 1);
    b(0, 0) = 1;
    for (std::size_t i = 0; i < 6; ++i)
      a(i, 0) = static_cast<std::uint8_t>(i);  // halves: 0, .5, 1, 1.5, 2, 2.5
    const float scale[] = {0.5f};
    halfway::gemm_requantized(a, b, c, {.scale = scale, .c_zero_point = 1});
    const int want[] = {1, 1, 2, 3, 3, 3};
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(int{c(i, 0)}, want[i]) << i;
  });
}

TEST(GemmRequantized, SaturatesAtBothEndsAndNeverWraps) {
  for_each_target([] {
    matrix<std::uint8_t> a(1, 1);
    matrix<std::int8_t> b(1, 2), c(1, 2);
    a(0, 0) = 255;
    b(0, 0) = 127, b(0, 1) = -128;
    const float scale[] = {1e30f};
    halfway::gemm_requantized(a, b, c, {.scale = scale});
    EXPECT_EQ(c(0, 0), 127);
    EXPECT_EQ(c(0, 1), -128);
  });
}

TEST(GemmRequantized, ErrorsNameTheArgumentAndTheValue) {
  matrix<std::uint8_t> a(2, 3), c(2, 4);
  matrix<std::int8_t> b(3, 4);
  const std::vector<float> two(2, 1.0f), zero{0.0f},
      infinite{1.0f, 1.0f, std::numeric_limits<float>::infinity(), 1.0f};
  const std::vector<std::int32_t> bias(3);
  using halfway::gemm_requantized;
  EXPECT_EQ(message_of([&] { gemm_requantized(a, b, c, {.bias = bias}); }),
            "halfway::gemm_requantized: bias.size (3) must equal c.cols (4)");
  EXPECT_EQ(message_of([&] { gemm_requantized(a, b, c, {.scale = two}); }),
            "halfway::gemm_requantized: scale.size (2) must equal c.cols (4)");
  EXPECT_EQ(message_of([&] { gemm_requantized(a, b, c, {.scale = zero}); }),
            "halfway::gemm_requantized: scale[0] (0) must be finite and positive");
  EXPECT_EQ(message_of([&] { gemm_requantized(a, b, c, {.scale = infinite}); }),
            "halfway::gemm_requantized: scale[2] (inf) must be finite and positive");
  EXPECT_EQ(message_of([&] { gemm_requantized(a, b, c, {.a_zero_point = 256}); }),
            "halfway::gemm_requantized: a_zero_point (256) must lie in [0, 255]");
  EXPECT_EQ(message_of([&] { gemm_requantized(a, b, c, {.c_zero_point = -1}); }),
            "halfway::gemm_requantized: c_zero_point (-1) must lie in [0, 255]");
}

// 255 * -128 in each product, with the zero point at one end or the other.
float largest_sum(std::size_t k, std::int32_t bias_value, std::int32_t zero_point) {
  matrix<std::uint8_t> a(1, k);
  matrix<std::int8_t> b(k, 1);
  matrix<float> c(1, 1);
  for (auto& x : a.elements()) x = zero_point == 0 ? 255 : 0;
  for (auto& x : b.elements()) x = -128;
  const std::int32_t bias[] = {bias_value};
  halfway::gemm_requantized(a, b, c, {.a_zero_point = zero_point, .bias = bias});
  return c(0, 0);
}

TEST(GemmRequantized, DoesNotOverflowAtTheLimitAndRefusesWhatIsBeyond) {
  constexpr std::size_t k = 65793;
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  constexpr std::int32_t room = most - 128 * 255 * static_cast<std::int32_t>(k);
  for_each_target([&] {
    EXPECT_EQ(largest_sum(k, -room, 0), static_cast<float>(-most));
    EXPECT_EQ(largest_sum(k, room, 255), static_cast<float>(most));
    matrix<std::int8_t> a(1, 131071), b(131071, 1);
    matrix<float> c(1, 1);
    for (auto& x : a.elements()) x = -128;
    for (auto& x : b.elements()) x = -128;
    halfway::gemm_requantized(a, b, c);
    EXPECT_EQ(c(0, 0), 131071 * 16384.0f);
    EXPECT_EQ(message_of([&] { halfway::gemm_requantized(a, b, c, {.a_zero_point = 1}); }),
              "halfway::gemm_requantized: a.cols (131071) must not be above 130055, or sums may "
              "overflow int32");
  });
  EXPECT_EQ(message_of([&] { largest_sum(k + 1, 0, 0); }),
            "halfway::gemm_requantized: a.cols (65794) must not be above 65793, or sums may "
            "overflow int32");
  EXPECT_EQ(message_of([&] { largest_sum(k, -room - 1, 0); }),
            "halfway::gemm_requantized: bias[0] (-128) must be within 127 of zero, or sums may "
            "overflow int32");
}

}  // namespace
