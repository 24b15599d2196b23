// SPDX-License-Identifier: Apache-2.0
// Every conversion into and out of the small formats against the reference: all 2^32 floats into
// half and bfloat16, and every boundary of every format from every source type.
//
// Into the 8-bit and smaller formats go, of all floats, those within 2048 of each boundary and
// every 31st of the rest.

#include "halfway/types/encode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cfenv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "halfway/types/cast.h"
#include "types/reference.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace halfway::testing {
namespace {

constexpr std::uint32_t float_infinity = 0x7F800000u;

// Not inlined: a call in each of the many loops below keeps this file's compile time down.
template <class T, class Number>
[[gnu::noinline]] std::uint32_t convert(Number x) {
  return T(x).bits();
}
template <class T, class Number>
[[gnu::noinline]] std::uint32_t convert_saturating(Number x) {
  return saturate_cast<T>(x).bits();
}
constexpr std::uint64_t all_floats = 1ull << 32;

/// Calls f(first, last) for pieces of [0, count) on every core; f returns the number of failures it
/// saw.
template <class F>
std::uint64_t in_parallel(std::uint64_t count, F f) {
  constexpr std::uint64_t piece = 1u << 22;
  std::atomic<std::uint64_t> next{0};
  std::atomic<std::uint64_t> failures{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t first = next.fetch_add(piece); first < count;
           first = next.fetch_add(piece)) {
        failures += f(first, std::min(first + piece, count));
      }
    });
  }
  for (std::thread& t : threads) t.join();
  return failures;
}

/// The first float pattern that converts to each code: patterns of positive floats are in the order
/// of their values, so each code owns an interval, which ends where the midpoint to the next code
/// begins.
template <class T>
std::vector<std::uint32_t> first_patterns() {
  using R = reference<T>;
  std::vector<std::uint32_t> first(1, 0);
  for (std::uint32_t code = 1; code <= R::largest_code + 1; ++code) {
    const double midpoint = R::midpoint_below(code);
    const auto as_float = static_cast<float>(midpoint);
    EXPECT_EQ(static_cast<double>(as_float), midpoint) << "a midpoint that is not a float";
    first.push_back(std::bit_cast<std::uint32_t>(as_float) + (R::tie_goes_up_to(code) ? 0 : 1));
  }
  return first;
}

/// Expected bits for the float patterns first .. first + out.size(), all of one sign.
template <class T>
void fill_expected(std::uint32_t first, const std::vector<std::uint32_t>& starts,
                   std::vector<typename T::storage>& out) {
  using R = reference<T>;
  const bool negative = first >> 31 != 0;
  const std::uint32_t s = negative ? R::sign : 0;
  std::uint64_t a = first & 0x7FFFFFFFu;
  const std::uint64_t end = a + out.size();
  auto code = static_cast<std::uint32_t>(std::upper_bound(starts.begin(), starts.end(), a) -
                                         starts.begin() - 1);
  std::size_t i = 0;
  while (a < end) {
    if (a > float_infinity) {  // NaN
      for (; a < end; ++a, ++i)
        out[i] = static_cast<typename T::storage>(R::encode_nan(negative, a << 42));
      break;
    }
    std::uint64_t stop = code + 1 < starts.size() ? starts[code + 1] : float_infinity + 1;
    stop = std::min(stop, end);
    std::uint32_t bits = s | code;
    if (code > R::largest_code) bits = R::overflow_bits(negative);
    if (R::f.special == specials::fnuz && code == 0) bits = 0;
    if (!R::has_zero && (negative || a == 0)) {
      bits = R::codes - 1;
      if (a == 0) stop = 1;
    }
    for (; a < stop; ++a, ++i) out[i] = static_cast<typename T::storage>(bits);
    if (code + 1 < starts.size() && a >= starts[code + 1]) ++code;
  }
}

constexpr std::size_t chunk = 4096;

#if defined(__x86_64__)
// Asked of cpuid, because clang 14's __builtin_cpu_supports does not know F16C.
bool hardware_converts_halves() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) != 0 &&
         (c & bit_F16C) != 0;
}

/// What the processor itself makes of the `chunk` floats from pattern `first` on.
__attribute__((target("avx,f16c"))) void hardware_encode(std::uint32_t first,
                                                         std::vector<std::uint16_t>& out) {
  for (std::uint32_t i = 0; i < chunk; i += 8) {
    alignas(32) float x[8];
    for (std::uint32_t j = 0; j < 8; ++j) x[j] = std::bit_cast<float>(first + i + j);
    const __m128i h = _mm256_cvtps_ph(_mm256_load_ps(x), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out.data() + i), h);
  }
}

__attribute__((target("avx,f16c"))) std::uint32_t hardware_decode(std::uint16_t bits) {
  return std::bit_cast<std::uint32_t>(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits))));
}
#else
bool hardware_converts_halves() { return false; }
void hardware_encode(std::uint32_t, std::vector<std::uint16_t>&) {}
std::uint32_t hardware_decode(std::uint16_t) { return 0; }
#endif

/// Converts every `stride`-th chunk of [first, last) and counts the chunks that are not as
/// expected.
template <class T>
std::uint64_t wrong_chunks(std::uint64_t first, std::uint64_t last,
                           const std::vector<std::uint32_t>& starts, std::uint64_t stride,
                           bool ask_hardware = false) {
  std::vector<typename T::storage> expected(chunk);
  std::vector<typename T::storage> got(chunk);
  std::uint64_t wrong = 0;
  for (std::uint64_t at = first; at < last; at += chunk * stride) {
    const auto pattern = static_cast<std::uint32_t>(at);
    for (std::uint32_t i = 0; i < chunk; ++i) got[i] = T(std::bit_cast<float>(pattern + i)).bits();
    fill_expected<T>(pattern, starts, expected);
    wrong += got != expected ? 1 : 0;
    if constexpr (std::same_as<T, half>) {
      if (ask_hardware) {
        hardware_encode(pattern, expected);
        wrong += got != expected ? 1 : 0;
      }
    }
  }
  return wrong;
}

// Where the processor has the conversion (F16C) every result, NaN payloads included, is also what
// it gives.
TEST(Encode, AllFloatsIntoHalf) {
  const auto starts = first_patterns<half>();
  const bool hardware = hardware_converts_halves();
  EXPECT_EQ(
      in_parallel(all_floats,
                  [&](auto a, auto b) { return wrong_chunks<half>(a, b, starts, 1, hardware); }),
      0u);
}

TEST(Encode, AllFloatsIntoBfloat16) {
  const auto starts = first_patterns<bfloat16>();
  EXPECT_EQ(in_parallel(all_floats,
                        [&](auto a, auto b) { return wrong_chunks<bfloat16>(a, b, starts, 1); }),
            0u);
}

TEST(Decode, AllHalvesAsTheHardware) {
  if (!hardware_converts_halves()) GTEST_SKIP() << "this processor has no F16C";
  for (std::uint32_t b = 0; b < 65536; ++b) {
    const auto bits = static_cast<std::uint16_t>(b);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(static_cast<float>(half::from_bits(bits))),
              hardware_decode(bits))
        << b;
  }
}

template <class T>
class EncodeFormat : public ::testing::Test {};
TYPED_TEST_SUITE(EncodeFormat, all_formats, format_names);

TYPED_TEST(EncodeFormat, FloatsAcrossTheirWholeRange) {
  const auto starts = first_patterns<TypeParam>();
  EXPECT_EQ(in_parallel(all_floats,
                        [&](auto a, auto b) { return wrong_chunks<TypeParam>(a, b, starts, 31); }),
            0u);
}

/// Both conversions of x and -x.
template <class T, class Number>
void check_both_signs(differences& d, Number x) {
  using R = reference<T>;
  for (const Number y : {x, static_cast<Number>(-x)}) {
    d.check(convert<T>(y), R::encode(y), static_cast<long double>(y));
    d.check(convert_saturating<T>(y), R::encode(y, true), static_cast<long double>(y));
  }
}

TYPED_TEST(EncodeFormat, FloatsAroundEveryBoundary) {
  const int reach = reference<TypeParam>::patterns > 256 ? 8 : 2048;
  differences d;
  for (const std::uint32_t start : first_patterns<TypeParam>()) {
    for (int i = -reach; i <= reach; ++i) {
      const std::int64_t a = std::int64_t{start} + i;
      if (a >= 0 && a <= float_infinity)
        check_both_signs<TypeParam>(d, std::bit_cast<float>(static_cast<std::uint32_t>(a)));
    }
  }
}

/// The midpoints of all neighbours, the values themselves, and what lies next to each in Number,
/// with both signs.
template <class T, class Number>
void check_at_and_beside_every_boundary() {
  using R = reference<T>;
  using Limits = std::numeric_limits<Number>;
  differences d;
  for (std::uint32_t code = 0; code <= R::largest_code + 1; ++code) {
    for (const double at : {R::value_of_code(code), code > 0 ? R::midpoint_below(code) : 0.0}) {
      const auto x = static_cast<Number>(at);
      check_both_signs<T>(d, x);
      check_both_signs<T>(d, std::nextafter(x, Limits::infinity()));
      check_both_signs<T>(d, std::nextafter(x, -Limits::infinity()));
    }
  }
  for (const Number x : {Limits::denorm_min(), Limits::min(), Limits::max(), Limits::infinity()})
    check_both_signs<T>(d, x);
}

TYPED_TEST(EncodeFormat, DoublesAtAndBesideEveryTie) {
  check_at_and_beside_every_boundary<TypeParam, double>();
}

TYPED_TEST(EncodeFormat, LongDoublesAtAndBesideEveryTie) {
  check_at_and_beside_every_boundary<TypeParam, long double>();
}

/// x rounded to one binary digit; a tie, and a number below the smallest, goes up.
double nearest_power_of_two(double x, int lowest) {
  const int exponent = std::ilogb(x);
  const int up = x >= std::ldexp(1.5, exponent) ? 1 : 0;
  return std::ldexp(1.0, std::max(exponent + up, lowest));
}

// A second reference, which shares nothing with the first: nearbyint of the scaled value.
TYPED_TEST(EncodeFormat, RandomDoublesByScaling) {
  using R = reference<TypeParam>;
  const int lowest = R::has_zero ? 1 - R::f.bias : -R::f.bias;
  std::mt19937_64 random(42);
  differences d;
  for (int i = 0; i < 300000; ++i) {
    const auto span = static_cast<std::uint64_t>(2 * R::f.bias + 20);
    const int exponent = lowest - 15 + static_cast<int>(random() % span);
    const double x = std::ldexp(1.0 + static_cast<double>(random() >> 12) * 0x1p-52, exponent);
    const int quantum = std::max(std::ilogb(x), lowest) - R::f.mantissa_bits;
    const double rounded = R::has_zero
                               ? std::ldexp(std::nearbyint(std::ldexp(x, -quantum)), quantum)
                               : nearest_power_of_two(x, lowest);
    const double got = static_cast<float>(saturate_cast<TypeParam>(x));
    d.check(std::bit_cast<std::uint64_t>(got),
            std::bit_cast<std::uint64_t>(std::min(rounded, R::f.largest)), x);
  }
}

/// An integer has at most 64 significant bits, which the reference takes as a long double.
template <class T, class Int>
void check_integer(differences& d, Int value) {
  static_assert(std::numeric_limits<long double>::digits >= 64);
  const auto exact = static_cast<long double>(value);
  d.check(convert<T>(value), reference<T>::encode(exact), exact);
  d.check(convert_saturating<T>(value), reference<T>::encode(exact, true), exact);
}

TYPED_TEST(EncodeFormat, IntegersAroundEveryBoundary) {
  using R = reference<TypeParam>;
  differences d;
  for (std::uint32_t code = 1; code <= R::largest_code + 1; ++code) {
    for (const double at : {R::value_of_code(code), R::midpoint_below(code)}) {
      if (at >= 0x1p64) continue;
      const auto u = static_cast<std::uint64_t>(at);
      for (const std::uint64_t v : {u - 1, u, u + 1}) {
        check_integer<TypeParam>(d, v);
        const auto s = static_cast<std::int64_t>(v >> 1);
        check_integer<TypeParam>(d, s);
        check_integer<TypeParam>(d, -s);
        check_integer<TypeParam>(d, static_cast<std::int32_t>(v & 0x7FFFFFFF));
      }
    }
  }
  check_integer<TypeParam>(d, std::numeric_limits<std::int64_t>::max());
  check_integer<TypeParam>(d, std::numeric_limits<std::int64_t>::min());
  check_integer<TypeParam>(d, std::numeric_limits<std::uint64_t>::max());
  for (int v = -32768; v < 32768; ++v) check_integer<TypeParam>(d, static_cast<std::int16_t>(v));
  for (int v = -128; v < 128; ++v) check_integer<TypeParam>(d, static_cast<std::int8_t>(v));
  check_integer<TypeParam>(d, true);
}

// Where a rounding through float, or through double, would give the other neighbour.
TEST(Encode, RoundsOnce) {
  EXPECT_EQ(half(1.0 + 0x1p-11 + 0x1p-30).bits(), 0x3C01u);     // as float a tie, to 0x3C00
  EXPECT_EQ(half(1.0L + 0x1p-11L + 0x1p-60L).bits(), 0x3C01u);  // as double a tie
  EXPECT_EQ(bfloat16((1ll << 40) + (1ll << 32) + 1).bits(),
            bfloat16(0x1.02p40).bits());  // as float a tie, to 2^40
  EXPECT_EQ(bfloat16((1ll << 62) + (1ll << 54) + 1).bits(),
            bfloat16(0x1.02p62).bits());  // as double a tie
}

TYPED_TEST(EncodeFormat, NanKeepsWhatItCan) {
  using R = reference<TypeParam>;
  differences d;
  for (const bool negative : {false, true}) {
    for (int bit = 0; bit < 52; ++bit) {  // 51 payload bits below the quiet bit
      const auto x =
          std::bit_cast<double>((negative ? 1ull << 63 : 0) | 0x7FF0000000000000ull | 1ull << bit);
      d.check(convert<TypeParam>(x), R::encode_nan(negative, 1ull << bit << 13), bit);
      d.check(convert_saturating<TypeParam>(x), R::encode_nan(negative, 1ull << bit << 13), bit);
    }
    for (int bit = 0; bit < 23; ++bit) {
      const auto x = std::bit_cast<float>((negative ? 1u << 31 : 0u) | float_infinity | 1u << bit);
      d.check(convert<TypeParam>(x), R::encode_nan(negative, 1ull << bit << 42), bit);
      d.check(convert_saturating<TypeParam>(x), R::encode_nan(negative, 1ull << bit << 42), bit);
    }
    const long double n = std::numeric_limits<long double>::quiet_NaN();
    d.check(convert<TypeParam>(negative ? -n : n), R::encode_nan(negative, 0), n);
  }
}

TYPED_TEST(EncodeFormat, EveryPatternOutAndBack) {
  using R = reference<TypeParam>;
  differences d;
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    const auto x = TypeParam::from_bits(static_cast<typename TypeParam::storage>(bits));
    d.check(x.bits(), bits, bits);
    const float f = x;
    const double wide = x;
    const double expected = R::value(bits);
    if (!std::isnan(expected)) {
      d.check(std::bit_cast<std::uint64_t>(wide), std::bit_cast<std::uint64_t>(expected),
              bits);  // -0 too
      d.check(convert<TypeParam>(f), bits, bits);
      d.check(convert<TypeParam>(wide), bits, bits);
      d.check(convert<TypeParam>(static_cast<long double>(wide)), bits, bits);
      continue;
    }
    // A NaN: quiet; with sign and payload where the format has them.
    const auto pattern = std::bit_cast<std::uint32_t>(f);
    const std::uint32_t quiet = (1u << R::f.mantissa_bits) / 2;
    const bool negative = R::f.special != specials::fnuz && bits >= R::codes;
    const std::uint32_t payload =
        R::f.special == specials::ieee ? (bits & (quiet - 1)) << (23 - R::f.mantissa_bits) : 0u;
    d.check(pattern, (negative ? 1u << 31 : 0u) | 0x7FC00000u | payload, bits);
    d.check(std::isnan(wide), true, bits);
    d.check(convert<TypeParam>(f), R::f.special == specials::ieee ? bits | quiet : bits, bits);
  }
}

// The processor's rounding mode and, on x86, flush-to-zero and denormals-are-zero change nothing.
TYPED_TEST(EncodeFormat, IgnoresTheFloatingPointEnvironment) {
  using R = reference<TypeParam>;
  using storage = typename TypeParam::storage;
  std::vector<float> inputs;
  for (const std::uint32_t start : first_patterns<TypeParam>()) {
    for (int i = -1; i <= 1; ++i)
      inputs.push_back(std::bit_cast<float>(start + static_cast<std::uint32_t>(i)));
  }
  // Widened here: where denormals are zero the widening itself would lose subnormal floats.
  const std::vector<double> doubles(inputs.begin(), inputs.end());
  const std::vector<long double> long_doubles(inputs.begin(), inputs.end());
  const auto run = [&](std::vector<std::uint32_t>& out) {
    for (const float x : inputs) out.push_back(convert<TypeParam>(x));
    for (const double x : doubles) out.push_back(convert<TypeParam>(x));
    for (const long double x : long_doubles) out.push_back(convert<TypeParam>(x));
    for (std::uint32_t b = 0; b < R::patterns; ++b) {
      out.push_back(std::bit_cast<std::uint32_t>(
          static_cast<float>(TypeParam::from_bits(static_cast<storage>(b)))));
    }
  };
  std::vector<std::uint32_t> expected;
  run(expected);
  for (const int mode : {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO}) {
    std::vector<std::uint32_t> got;
    std::fesetround(mode);
    run(got);
    std::fesetround(FE_TONEAREST);
    EXPECT_EQ(got, expected) << mode;
  }
#if defined(__x86_64__)
  std::vector<std::uint32_t> got;
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040);
  run(got);
  _mm_setcsr(saved);
  EXPECT_EQ(got, expected);
#endif
}

}  // namespace
}  // namespace halfway::testing
