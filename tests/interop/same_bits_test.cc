// SPDX-License-Identifier: Apache-2.0
#include "halfway/interop/same_bits.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <type_traits>
#include <vector>

#include "halfway/interop/highway.h"
#include "halfway/interop/std_float.h"
#include "halfway/ops/gemm.h"

/// A third library's float, that no header of halfway knows.
namespace other {
struct fp16 {
  std::uint16_t pattern;
};
}  // namespace other

template <>
struct halfway::same_bits<other::fp16> {
  using type = halfway::half;
};

namespace halfway {
namespace {

// Each pattern goes over and back unchanged; `widen` is the other library's own conversion to float.
// It must give the same number for each, a NaN a NaN (whose payload is each library's own affair).
template <class Foreign, class Widen>
void expect_same_values(const Widen& widen) {
  using Own = same_bits_t<Foreign>;
  for (std::uint32_t b = 0; b < 65536; ++b) {
    const Own own = Own::from_bits(static_cast<std::uint16_t>(b));
    const Foreign foreign = from_halfway<Foreign>(own);
    ASSERT_EQ(std::bit_cast<std::uint16_t>(foreign), b);
    ASSERT_EQ(to_halfway(foreign).bits(), b);
    const float theirs = widen(foreign);
    if (isnan(own)) {
      ASSERT_TRUE(std::isnan(theirs)) << b;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(theirs),
                std::bit_cast<std::uint32_t>(static_cast<float>(own)))
          << b;
    }
  }
}

// Rounding from float, as the other library does it: at each number, at the tie to the next, and at
// the floats on both sides of each.
template <class Foreign, class Narrow>
void expect_same_rounding(const Narrow& narrow) {
  using Own = same_bits_t<Foreign>;
  const auto expect_same = [&](float x) {
    ASSERT_EQ(std::bit_cast<std::uint16_t>(narrow(x)), Own(x).bits()) << x;
  };
  constexpr float inf = std::numeric_limits<float>::infinity();
  for (std::uint32_t b = 0; b < 65535; ++b) {
    const Own own = Own::from_bits(static_cast<std::uint16_t>(b));
    const Own next = Own::from_bits(static_cast<std::uint16_t>(b + 1));
    if (!isfinite(own) || !isfinite(next)) continue;
    const float x = own, tie = std::midpoint(x, static_cast<float>(next));
    for (const float at : {x, tie}) {
      expect_same(at);
      expect_same(std::nextafter(at, inf));
      expect_same(std::nextafter(at, -inf));
    }
  }
  const float most = std::numeric_limits<Own>::max(), last = std::numeric_limits<Own>::epsilon();
  // The tie to infinity, which bfloat16 has no float below it.
  const float edge = std::ldexp(2.0f - last / 2, std::ilogb(most));
  for (const float x : {most, edge, std::nextafter(edge, 0.0f), inf, -most, -edge, -inf}) {
    expect_same(x);
  }
}

#if HALFWAY_HAS_FLOAT16
TEST(InteropStdFloat16, HasTheCompilersValuesAndRounding) {
  expect_same_values<_Float16>([](_Float16 x) { return static_cast<float>(x); });
  expect_same_rounding<_Float16>([](float x) { return static_cast<_Float16>(x); });
  static_assert(to_halfway(static_cast<_Float16>(1.0f)).bits() == 0x3C00);
  static_assert(from_halfway<_Float16>(half(2.0f)) == static_cast<_Float16>(2.0f));
}
#endif

// clang 19 leaves even the passing of a __bf16 to libgcc 13 or to AVX512-BF16, whose instruction takes
// subnormal floats as zero.
#if HALFWAY_HAS_BFLOAT16 && (defined(__AVX512BF16__) || _GLIBCXX_RELEASE >= 13)
#define HALFWAY_TESTS_BFLOAT16 1
TEST(InteropStdBfloat16, HasTheCompilersValuesAndRounding) {
  expect_same_values<__bf16>([](__bf16 x) { return static_cast<float>(x); });
  expect_same_rounding<__bf16>([](float x) {
    const bool flushed = std::fpclassify(x) == FP_SUBNORMAL;
    return flushed ? bfloat16(x).bits() : std::bit_cast<std::uint16_t>(static_cast<__bf16>(x));
  });
}
#else
#define HALFWAY_TESTS_BFLOAT16 0
#endif

TEST(InteropStdFloat, SaysWhatThisCompilerHas) {
  if (!HALFWAY_HAS_FLOAT16) GTEST_SKIP() << "this compiler has no _Float16";
  if (!HALFWAY_TESTS_BFLOAT16)
    GTEST_SKIP() << "no __bf16 that converts (g++ 13, or clang 17 with libgcc 13)";
}

TEST(InteropHighway, HasHighwaysValuesAndRounding) {
  expect_same_values<hwy::float16_t>([](hwy::float16_t x) { return hwy::F32FromF16(x); });
  expect_same_values<hwy::bfloat16_t>([](hwy::bfloat16_t x) { return hwy::F32FromBF16(x); });
  expect_same_rounding<hwy::bfloat16_t>([](float x) { return hwy::BF16FromF32(x); });
  expect_same_rounding<hwy::float16_t>([](float x) { return hwy::F16FromF32(x); });
}

float first_of(std::vector<other::fp16>& x) {
  const std::span<half> h = to_halfway(x);  // the same memory
  h[0] = half(0.1f);
  return to_halfway(x[0]);
}

TEST(InteropSameBits, ViewsAreTheSameMemoryOnlyAsWritableAsItWas) {
  std::vector<other::fp16> x(6, {0x3C00});
  const std::vector<other::fp16>& constant = x;
  static_assert(std::is_same_v<decltype(to_halfway(x)), std::span<half>>);
  static_assert(std::is_same_v<decltype(to_halfway(constant)), std::span<const half>>);
  EXPECT_EQ(first_of(x), half(0.1f));
  EXPECT_EQ(static_cast<void*>(to_halfway(x).data()), static_cast<void*>(x.data()));
  EXPECT_EQ(to_halfway(constant).size(), 6u);

  const matrix_view<other::fp16> m(x.data(), 2, 2, 1, 3);
  const matrix_view<half> own = to_halfway(m);
  own(1, 1) = half(-2.0f);
  EXPECT_EQ(x[4].pattern, 0xC000);
  EXPECT_EQ(own.row_stride(), 1u);
  EXPECT_EQ(own.col_stride(), 3u);
  static_assert(std::is_same_v<decltype(from_halfway<other::fp16>(matrix_view<const half>())),
                               matrix_view<const other::fp16>>);
  const matrix_view<other::fp16> back = from_halfway<other::fp16>(own);
  EXPECT_EQ(&back(1, 1), &x[4]);
  EXPECT_TRUE(to_halfway(std::span<other::fp16>()).empty());
}

// Memory whose type the compiler sees, read as it was after it was written as a half: the read must
// not move ahead of the write. It does at -O2 with a class that may not alias.
template <class Foreign>
[[gnu::noinline]] std::uint16_t write_behind(Foreign* foreign, half* own) {
  *foreign = std::bit_cast<Foreign>(std::uint16_t{1});
  *own = half::from_bits(2);
  return std::bit_cast<std::uint16_t>(*foreign);
}

TEST(InteropSameBits, WritesThroughOneTypeAreSeenThroughTheOther) {
  other::fp16 x{};
  EXPECT_EQ(write_behind(&x, to_halfway(std::span(&x, 1)).data()), 2);
  hwy::float16_t h = from_halfway<hwy::float16_t>(half(0.0f));
  EXPECT_EQ(write_behind(&h, to_halfway(std::span(&h, 1)).data()), 2);
#if HALFWAY_HAS_FLOAT16
  _Float16 f{};
  EXPECT_EQ(write_behind(&f, to_halfway(std::span(&f, 1)).data()), 2);
#endif
}

void layer(matrix_view<const hwy::bfloat16_t> x, matrix_view<const hwy::bfloat16_t> w,
           matrix_view<float> y) {
  gemm(to_halfway(x), to_halfway(w), y);
}

// What code like gemma.cpp has: bfloat16 weights and activations of Highway's type. The elements are
// small integers and so are all sums, which float holds exactly.
TEST(InteropHighway, MemoryIsAnOperandOfGemm) {
  constexpr std::size_t m = 3, k = 40, n = 5;
  std::vector<hwy::bfloat16_t> x, w;
  std::vector<float> expected(m * n);
  const auto value = [](std::size_t i) { return static_cast<float>(i % 7) - 3.0f; };
  for (std::size_t i = 0; i < m * k; ++i) x.push_back(hwy::BF16FromF32(value(i)));
  for (std::size_t i = 0; i < k * n; ++i) w.push_back(hwy::BF16FromF32(value(3 * i + 1)));
  for (std::size_t i = 0; i < m * n; ++i) {
    for (std::size_t l = 0; l < k; ++l) {
      expected[i] += value(i / n * k + l) * value(3 * (l * n + i % n) + 1);
    }
  }
  std::vector<float> y(m * n);
  layer({x.data(), m, k}, {w.data(), k, n}, {y.data(), m, n});
  EXPECT_EQ(y, expected);
}

}  // namespace
}  // namespace halfway
