// SPDX-License-Identifier: Apache-2.0
// Bulk conversions with a rounding mode: the numbering of random words, their statistics, and what
// must not change a bit. (convert_exact_test.cc has their values.)
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/convert.h"
#include "halfway/types/cast.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

using halfway::convert;
using halfway::float8_e4m3fn;
using halfway::half;
using halfway::ieee_cast;
using halfway::round_stochastically;
using halfway::round_toward_zero;
using halfway::testing::for_each_target;
using halfway::testing::message_of;

std::vector<float> random_floats(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> x(n);
  for (float& v : x) v = normal(generator);
  return x;
}

template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// Sizes around vectors and the kernel's blocks of 512, first words at every place in a block and
// where counters pass 2^32 and 2^64.
TEST(ConvertRounding, ElementIRoundsByWordFirstPlusI) {
  const std::vector<float> x = random_floats(1100, 1);
  constexpr std::uint64_t seed = 0xC0FFEE0123456789;
  for (const std::uint64_t first :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{7},
        (std::uint64_t{1} << 34) - 6, ~std::uint64_t{0} - 100}) {
    std::vector<half> expected(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
      expected[i] = ieee_cast<half>(x[i], round_stochastically{seed, first + i});
    for_each_target([&] {
      for (const std::size_t n : {0u, 1u, 3u, 17u, 64u, 511u, 513u, 1100u}) {
        std::vector<half> y(n + 1, half(77.0f));
        convert(std::span(x).first(n), std::span(y).first(n), round_stochastically{seed, first});
        ASSERT_TRUE(
            same_bits(std::span<const half>(y).first(n), std::span<const half>(expected).first(n)))
            << n << " from " << first;
        ASSERT_EQ(y[n], half(77.0f)) << "written past the end";
      }
    });
  }
}

TEST(ConvertRounding, NeitherExecutorsNorPiecesChangeABit) {
  const std::vector<float> x = random_floats(200'001, 2);
  std::vector<float8_e4m3fn> y(x.size()), pieces(x.size());
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    convert(x, y, round_stochastically{3, 5}, on);
    return std::as_bytes(std::span(y));
  });
  for (std::size_t i = 0; i < x.size(); i += 777) {
    const std::size_t n = std::min<std::size_t>(777, x.size() - i);
    convert(std::span(x).subspan(i, n), std::span(pieces).subspan(i, n),
            round_stochastically{3, 5 + i});
  }
  EXPECT_TRUE(same_bits(std::span<const float8_e4m3fn>(y), std::span<const float8_e4m3fn>(pieces)));
}

TEST(ConvertRounding, MatricesAreNumberedRowAfterRow) {
  constexpr std::size_t rows = 37, cols = 300;
  const std::vector<float> values = random_floats(rows * cols, 4);
  const halfway::matrix_view<const float> x(values.data(), rows, cols);
  std::vector<half> expected(values.size());
  convert(values, expected, round_stochastically{8, 9});
  const auto expect_all = [&](auto from, auto to, halfway::executor_ref on) {
    halfway::convert_saturating(from, to, round_stochastically{8, 9}, on);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j)
        ASSERT_EQ(to(i, j).bits(), expected[i * cols + j].bits()) << i << ", " << j;
    }
  };
  halfway::matrix<float> columns(cols, rows);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < cols; ++j) columns(j, i) = x(i, j);
  halfway::matrix<half> y(rows, cols), t(cols, rows), wide(rows, cols + 5);
  halfway::testing::backward_executor three{3};
  for (const halfway::executor_ref on : {halfway::executor_ref(), halfway::executor_ref(three)}) {
    expect_all(x, y.view(), on);
    expect_all(x, wide.view().block(0, 2, rows, cols), on);
    expect_all(x, t.view().transposed(), on);
    const halfway::matrix_view<const float> by_columns = columns.view().transposed();
    expect_all(by_columns, t.view().transposed(), on);
  }
}

// A rounding is a Bernoulli experiment of probability f, in units of the gap. By Hoeffding's
// inequality the mean of n is off by t with a probability below 2 exp(-2 n t^2): 1e-9 for this t.
double confidence(std::size_t n) {
  return std::sqrt(std::log(2e9) / (2.0 * static_cast<double>(n)));
}

TEST(ConvertRounding, TheMeanIsTheValue) {
  constexpr std::size_t n = 1 << 18;
  std::vector<half> y(n);
  for (const double f : {0.0, 0x1p-13, 0.1, 0.25, 0.5, 0.7, 1 - 0x1p-13}) {
    for (const float low : {1.0f, -0x1p-24f * 3, 0.0f, 1000.0f}) {
      const half next = half::from_bits(static_cast<std::uint16_t>(half(low).bits() + 1));
      const double gap = double{next} - low;
      const auto value = static_cast<float>(low + f * gap);
      convert(std::vector<float>(n, value), y, round_stochastically{11, 0});
      double sum = 0;
      for (const half v : y) sum += (double{v} - low) / gap;
      const double exact = (value - low) / gap;
      EXPECT_LE(std::abs(sum / n - exact), exact == 0 ? 0.0 : confidence(n)) << value;
    }
  }
}

// Pairs of roundings at distance d both go up with probability f^2: those at 2 i d and (2 i + 1) d
// are n / 2 independent experiments, if roundings are. Also across seeds.
TEST(ConvertRounding, RoundingsAreIndependent) {
  constexpr std::size_t n = 1 << 18;
  const std::vector<float> x(n, 1.0f + 0x1p-11f);  // f = 1/2
  std::vector<half> y(n), other(n);
  convert(x, y, round_stochastically{1});
  const auto up = [](half v) { return v.bits() == 0x3C01; };
  for (const std::size_t d : {1u, 2u, 3u, 4u, 16u, 64u, 512u, 1024u}) {
    std::size_t both = 0, pairs = 0;
    for (std::size_t block = 0; block + 2 * d <= n; block += 2 * d) {
      for (std::size_t i = block; i < block + d; ++i, ++pairs) both += up(y[i]) && up(y[i + d]);
    }
    EXPECT_LE(std::abs(static_cast<double>(both) / static_cast<double>(pairs) - 0.25),
              confidence(pairs))
        << d;
  }
  for (const std::uint64_t seed : {std::uint64_t{2}, std::uint64_t{1} << 32 | 1}) {
    convert(x, other, round_stochastically{seed});
    std::size_t both = 0;
    for (std::size_t i = 0; i < n; ++i) both += up(y[i]) && up(other[i]);
    EXPECT_LE(std::abs(static_cast<double>(both) / n - 0.25), confidence(n)) << seed;
  }
}

TEST(ConvertRounding, ValuesOfTheTypeNeverMove) {
  std::vector<half> codes;
  std::vector<float> x;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const half h = half::from_bits(static_cast<std::uint16_t>(bits));
    if (isnan(h)) continue;
    codes.push_back(h);
    x.push_back(h);
  }
  std::vector<half> y(x.size());
  for_each_target([&] {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      convert(x, y, round_stochastically{seed, seed});
      ASSERT_TRUE(same_bits(std::span<const half>(y), std::span<const half>(codes))) << seed;
    }
    convert(x, y, round_toward_zero());
    ASSERT_TRUE(same_bits(std::span<const half>(y), std::span<const half>(codes)));
  });
}

// Types without a kernel for the mode go element by element.
TEST(ConvertRounding, DoublesAndWideIntegers) {
  const std::vector<double> x = {1.0 + 0x1p-11 + 0x1p-40, -2.75, 3e9, -3e9, 1e300, 0.5, -0.0};
  std::vector<half> h(x.size());
  std::vector<std::int32_t> i(x.size());
  std::vector<float> f(x.size());
  convert(x, h, round_stochastically{5, 6});
  for (std::size_t k = 0; k < x.size(); ++k)
    EXPECT_EQ(h[k].bits(), ieee_cast<half>(x[k], round_stochastically{5, 6 + k}).bits());
  convert(x, h, round_toward_zero());
  EXPECT_EQ(h[0].bits(), 0x3C00);
  EXPECT_EQ(h[4].bits(), 0x7BFF);
  convert(x, i, round_toward_zero());
  constexpr auto largest = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(i, (std::vector<std::int32_t>{1, -2, largest, std::numeric_limits<std::int32_t>::min(),
                                          largest, 0, 0}));
  convert(x, f, round_toward_zero());
  EXPECT_EQ(f[4], std::numeric_limits<float>::max());
  const std::vector<std::int32_t> wide = {(1 << 24) + 3, -(1 << 24) - 3, 7};
  convert(wide, std::span(f).first(3), round_toward_zero());
  EXPECT_EQ(f[0], 0x1.000002p24f);
  EXPECT_EQ(f[1], -0x1.000002p24f);
  EXPECT_EQ(f[2], 7.0f);
}

TEST(ConvertRounding, IntoBytesOfTheStandardLibrary) {
  const std::vector<float> x = {-200.0f, -0.75f, 2.75f, 127.5f, 300.0f, std::nanf("")};
  for_each_target([&] {
    std::vector<std::int8_t> s(x.size());
    std::vector<std::uint8_t> u(x.size());
    convert(x, s, round_toward_zero());
    convert(x, u, round_toward_zero());
    EXPECT_EQ(s, (std::vector<std::int8_t>{-128, 0, 2, 127, 127, 0}));
    EXPECT_EQ(u, (std::vector<std::uint8_t>{0, 0, 2, 127, 255, 0}));
  });
}

TEST(ConvertRounding, DoesNotDependOnTheFloatingPointEnvironment) {
  std::vector<float> x;
  for (std::uint32_t upper = 0; upper < 1u << 16; ++upper) {
    for (const std::uint32_t lower : {0x0000u, 0x0001u, 0x8000u, 0xFFFFu})
      x.push_back(std::bit_cast<float>(upper << 16 | lower));
  }
  std::vector<halfway::bfloat16> y(x.size()), zero(x.size()), random(x.size());
  convert(x, zero, round_toward_zero());
  convert(x, random, round_stochastically{1, 1});
  const auto expect_same = [&] {
    for_each_target([&] {
      convert(x, y, round_toward_zero());
      ASSERT_TRUE(same_bits(std::span<const halfway::bfloat16>(y),
                            std::span<const halfway::bfloat16>(zero)));
      convert(x, y, round_stochastically{1, 1});
      ASSERT_TRUE(same_bits(std::span<const halfway::bfloat16>(y),
                            std::span<const halfway::bfloat16>(random)));
    });
  };
  for (const int mode : {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO}) {
    std::fesetround(mode);
    expect_same();
    std::fesetround(FE_TONEAREST);
  }
#if defined(__SSE2__)
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040);  // subnormals are flushed
  expect_same();
  _mm_setcsr(saved);
#endif
}

TEST(ConvertRounding, BadInputNamesArgumentsAndValues) {
  std::vector<float> x(4, 1.0f);
  std::vector<half> y(3, half(7.0f));
  EXPECT_EQ(message_of([&] { convert(x, y, round_toward_zero()); }),
            "halfway::convert: x.size() (4) must equal y.size() (3)");
  EXPECT_EQ(message_of([&] { halfway::convert_saturating(x, y, round_stochastically{1}); }),
            "halfway::convert_saturating: x.size() (4) must equal y.size() (3)");
  EXPECT_EQ(y[0], half(7.0f));
}

}  // namespace
