// SPDX-License-Identifier: Apache-2.0
// Bulk conversions give the bits of the scalar ones, on every SIMD target: the scalar conversions
// are tested against independent references in tests/types.
#include "halfway/ops/convert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/types/cast.h"
#include "halfway/types/dtype.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::overflow;
using halfway::testing::for_each_target;
using halfway::testing::message_of;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

template <class... Types, class Body>
void for_each_type(std::tuple<Types...>, Body&& body) {
  (body(Types()), ...);
}

using Minifloats =
    std::tuple<half, bfloat16, halfway::float8_e4m3fn, halfway::float8_e5m2,
               halfway::float8_e4m3fnuz, halfway::float8_e5m2fnuz, halfway::float8_e8m0fnu,
               halfway::float6_e2m3fn, halfway::float6_e3m2fn, halfway::float4_e2m1fn>;
using Integers = std::tuple<halfway::int8, halfway::uint8, halfway::int4, halfway::uint4>;
using Narrow = decltype(std::tuple_cat(Minifloats(), Integers()));

template <class T>
auto bits_of(T x) {
  if constexpr (std::is_same_v<T, float>)
    return std::bit_cast<std::uint32_t>(x);
  else if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<std::uint64_t>(x);
  else if constexpr (std::is_integral_v<T>)
    return x;
  else
    return x.bits();
}

template <class To, class From>
To scalar(From x, overflow policy) {
  if constexpr (std::is_same_v<To, double>)
    return static_cast<double>(halfway::ieee_cast<float>(x));
  else
    return policy == overflow::ieee ? halfway::ieee_cast<To>(x) : halfway::saturate_cast<To>(x);
}

template <class X, class Y>
void bulk(const X& x, Y&& y, overflow policy) {
  policy == overflow::ieee ? halfway::convert(x, y) : halfway::convert_saturating(x, y);
}

const char* text(overflow policy) { return policy == overflow::ieee ? "ieee" : "saturate"; }

template <class T>
std::string_view type_name() {
  return halfway::name(halfway::dtype_of<T>);
}

// Every pattern of a type.
template <class T>
std::vector<T> all_patterns() {
  std::vector<T> all;
  for (unsigned bits = 0; bits < 1u << halfway::bits_of(halfway::dtype_of<T>); ++bits) {
    all.push_back(T::from_bits(static_cast<decltype(T().bits())>(bits)));
  }
  return all;
}

// Names the first element whose bits differ.
template <class From, class To>
void expect_same_bits(const std::vector<From>& x, const std::vector<To>& expected,
                      const std::vector<To>& got, overflow policy) {
  ASSERT_EQ(expected.size(), got.size());
  if (got.empty()) return;
  if (std::memcmp(expected.data(), got.data(), got.size() * sizeof(To)) == 0) return;
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(bits_of(expected[i]), bits_of(got[i]))
        << type_name<From>() << " -> " << type_name<To>() << " (" << text(policy) << "), element "
        << i << ", from bits 0x" << std::hex << +bits_of(x[i]);
  }
}

template <class To, class From>
std::vector<To> scalar_all(const std::vector<From>& x, overflow policy) {
  std::vector<To> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), [policy](From v) { return scalar<To>(v, policy); });
  return y;
}

template <class To, class From>
void expect_matches_scalar_on_every_target(const std::vector<From>& x) {
  for (const overflow policy : {overflow::ieee, overflow::saturate}) {
    const std::vector<To> expected = scalar_all<To>(x, policy);
    for_each_target([&] {
      std::vector<To> y(x.size());
      bulk(x, y, policy);
      expect_same_bits(x, expected, y, policy);
    });
  }
}

// Sanitizers and machines without wide vectors (or emulators) take tenfold the time: thin the
// samples out.
const bool is_slow = sanitized || !std::string_view(halfway::simd_target_name()).starts_with("AVX");

// Floats of every sign, exponent and leading 11 mantissa bits, with the 12 bits below at and beside
// zero, one half and one. So every tie of every format is there, and its neighbours, in the normal
// and in the subnormal range; infinities and NaNs too.
std::vector<float> structured_floats() {
  std::vector<float> x;
  for (std::uint32_t upper = 0; upper < 1u << 20; upper += is_slow ? 13 : 1) {
    for (const std::uint32_t lower : {0x000u, 0x001u, 0x7FFu, 0x800u, 0x801u, 0xFFFu}) {
      x.push_back(std::bit_cast<float>(upper << 12 | lower));
    }
  }
  return x;
}

TEST(Convert, EveryNarrowPatternWidensExactly) {
  for_each_type(Narrow(), [](auto tag) {
    using From = decltype(tag);
    expect_matches_scalar_on_every_target<float>(all_patterns<From>());
  });
}

TEST(Convert, FloatsRoundOnceIntoEveryType) {
  const std::vector<float> x = structured_floats();
  for_each_type(Narrow(),
                [&](auto tag) { expect_matches_scalar_on_every_target<decltype(tag)>(x); });
}

TEST(Convert, EverySixteenBitPatternIntoEveryNarrowType) {
  for_each_type(Narrow(), [](auto tag) {
    using To = decltype(tag);
    expect_matches_scalar_on_every_target<To>(all_patterns<half>());
    expect_matches_scalar_on_every_target<To>(all_patterns<bfloat16>());
  });
}

// Scalar results for the floats with bits `first` to `last`, among which they are monotone: where
// both ends agree, so does all between. This is what makes 2^32 expected values cheap.
template <class To>
void fill_expected(std::uint32_t first, std::uint32_t last, overflow policy, To* out) {
  const To low = scalar<To>(std::bit_cast<float>(first), policy);
  const To high = scalar<To>(std::bit_cast<float>(last), policy);
  if (low.bits() == high.bits()) {
    std::fill_n(out, std::size_t{last} - first + 1, low);
  } else if (last - first == 1) {
    out[0] = low;
    out[1] = high;
  } else {
    const std::uint32_t middle = first + (last - first) / 2;
    fill_expected(first, middle, policy, out);
    fill_expected(middle + 1, last, policy, out + (middle - first) + 1);
  }
}

// Where monotone stretches of the floats begin, for either sign: zero, which e8m0 can't hold; the
// rest of the numbers with infinity; NaNs.
constexpr std::array<std::uint32_t, 6> stretches = {0u,          1u,          0x7F800001u,
                                                    0x80000000u, 0x80000001u, 0xFF800001u};

template <class To>
std::size_t count_wrong(std::uint32_t first_bits, std::size_t count, overflow policy) {
  std::vector<float> x(count);
  std::vector<To> expected(count), got(count);
  for (std::size_t i = 0; i < count; ++i)
    x[i] = std::bit_cast<float>(first_bits + static_cast<std::uint32_t>(i));
  const std::uint32_t last_bits = first_bits + static_cast<std::uint32_t>(count - 1);
  for (std::size_t s = 0; s < stretches.size(); ++s) {
    const std::uint32_t first = std::max(first_bits, stretches[s]);
    const std::uint32_t last =
        std::min(last_bits, s + 1 < stretches.size() ? stretches[s + 1] - 1 : ~std::uint32_t{0});
    if (first <= last) fill_expected(first, last, policy, expected.data() + (first - first_bits));
  }
  bulk(x, got, policy);
  if (std::memcmp(expected.data(), got.data(), count * sizeof(To)) == 0) return 0;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) wrong += expected[i].bits() != got[i].bits();
  return wrong;
}

// Blocks of 65,536 floats, every `stride`th of them, on two threads.
template <class To>
void expect_sampled_floats_match(overflow policy, std::size_t stride) {
  constexpr std::size_t block = std::size_t{1} << 16;
  std::atomic<std::size_t> next{0}, wrong{0};
  const auto work = [&] {
    for (std::size_t b; (b = next.fetch_add(stride)) < (std::size_t{1} << 32) / block;) {
      wrong += count_wrong<To>(static_cast<std::uint32_t>(b * block), block, policy);
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(wrong, 0u) << type_name<To>() << " (" << text(policy) << ")";
}

// One block in 61, which meets every exponent. (Every float: the slow form of convert_exact_test.cc.)
TEST(Convert, FloatsAcrossTheirRangeOnTheBestTarget) {
  for_each_type(Minifloats(), [](auto tag) {
    using To = decltype(tag);
    for (const overflow policy : {overflow::ieee, overflow::saturate})
      expect_sampled_floats_match<To>(policy, is_slow ? 1021 : 61);
  });
}

// Elements among guard bytes, as close to misaligned as T allows.
template <class T>
class guarded {
 public:
  guarded(std::size_t size, std::size_t shift)
      : size_(size), offset_(64 + shift * sizeof(T)), bytes_(size * sizeof(T) + 192, guard) {}
  std::span<T> elements() { return {reinterpret_cast<T*>(bytes_.data() + offset_), size_}; }
  bool guards_untouched() const {
    const auto is_guard = [](unsigned char b) { return b == guard; };
    return std::all_of(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset_),
                       is_guard) &&
           std::all_of(bytes_.begin() + static_cast<std::ptrdiff_t>(offset_ + size_ * sizeof(T)),
                       bytes_.end(), is_guard);
  }

 private:
  static constexpr unsigned char guard = 0xA5;
  std::size_t size_, offset_;
  std::vector<unsigned char, halfway::detail::aligned_allocator<unsigned char>> bytes_;
};

template <class From, class To>
void expect_any_size_works(const std::vector<From>& x) {
  const std::vector<To> expected = scalar_all<To>(x, overflow::ieee);
  for_each_target([&] {
    // Past three vectors of the widest target, 16 lanes.
    for (std::size_t n = 0; n <= 67; ++n) {
      for (std::size_t shift = 0; shift < 3; ++shift) {
        // Input of exactly n elements, so that an address sanitizer sees a read past it.
        const std::vector<From> in(x.begin() + static_cast<std::ptrdiff_t>(shift),
                                   x.begin() + static_cast<std::ptrdiff_t>(shift + n));
        guarded<To> out(n, shift);
        halfway::convert(in, out.elements());
        ASSERT_TRUE(out.guards_untouched())
            << type_name<From>() << " -> " << type_name<To>() << ", n = " << n;
        for (std::size_t i = 0; i < n; ++i)
          ASSERT_EQ(bits_of(out.elements()[i]), bits_of(expected[shift + i])) << i << " of " << n;
      }
    }
  });
}

std::vector<float> random_floats(std::size_t n, float deviation, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> x(n);
  for (float& v : x) v = normal(generator);
  return x;
}

TEST(Convert, AnySizeAndAlignment) {
  const std::vector<float> x = random_floats(70, 10.0f, 1);
  for_each_type(
      std::tuple<half, bfloat16, halfway::float8_e4m3fn, halfway::float8_e8m0fnu, halfway::int8>(),
      [&](auto tag) {
        using T = decltype(tag);
        expect_any_size_works<float, T>(x);
        expect_any_size_works<T, float>(scalar_all<T>(x, overflow::ieee));
      });
  expect_any_size_works<half, bfloat16>(scalar_all<half>(x, overflow::ieee));
  expect_any_size_works<bfloat16, half>(scalar_all<bfloat16>(x, overflow::ieee));
}

// The bits of the control register that flush subnormals, as results and as operands.
#if defined(__SSE2__)
constexpr unsigned flush_bits = 0x8040;
unsigned control() { return _mm_getcsr(); }
void set_control(unsigned bits) { _mm_setcsr(bits); }
#elif defined(__aarch64__)
constexpr std::uint64_t flush_bits = std::uint64_t{1} << 24;
std::uint64_t control() {
  std::uint64_t bits = 0;
  asm volatile("mrs %0, fpcr" : "=r"(bits));
  return bits;
}
void set_control(std::uint64_t bits) { asm volatile("msr fpcr, %0" : : "r"(bits)); }
#else
constexpr unsigned flush_bits = 0;
unsigned control() { return 0; }
void set_control(unsigned) {}
#endif

TEST(Convert, DoesNotDependOnFlushingSubnormals) {
  if (flush_bits == 0) GTEST_SKIP() << "no known way to flush subnormals here";
  const auto flushing = [](auto body) {
    const auto before = control();
    set_control(before | flush_bits);
    body();
    EXPECT_EQ(control() & flush_bits, flush_bits);  // left as the caller had it
    set_control(before);
  };
  const std::vector<float> x = structured_floats();
  for_each_type(Minifloats(), [&](auto tag) {
    using T = decltype(tag);
    const std::vector<T> narrow = scalar_all<T>(x, overflow::ieee);
    const std::vector<T> codes = all_patterns<T>();
    const std::vector<float> wide = scalar_all<float>(codes, overflow::ieee);
    for_each_target([&] {
      std::vector<T> y(x.size());
      std::vector<float> z(codes.size());
      flushing([&] {
        halfway::convert(x, y);
        halfway::convert(codes, z);
      });
      expect_same_bits(x, narrow, y, overflow::ieee);
      expect_same_bits(codes, wide, z, overflow::ieee);
    });
  });
}

// Pairs without a kernel of their own pass through a buffer: sizes around its 1024 elements.
TEST(Convert, PairsOfNarrowTypes) {
  for (const std::size_t n : {0u, 1u, 1023u, 1024u, 1025u, 5000u}) {
    const std::vector<float> x = random_floats(n, 3.0f, 2);
    expect_matches_scalar_on_every_target<halfway::float8_e5m2fnuz>(
        scalar_all<halfway::float6_e3m2fn>(x, overflow::ieee));
    expect_matches_scalar_on_every_target<half>(scalar_all<halfway::int4>(x, overflow::ieee));
  }
}

TEST(Convert, OneTypeIsCopiedBitForBit) {
  const std::vector<half> x = all_patterns<half>();  // signalling NaNs among them
  std::vector<half> y(x.size());
  halfway::convert(x, y);
  expect_same_bits(x, x, y, overflow::ieee);

  halfway::convert_saturating(x, y);
  expect_same_bits(x, scalar_all<half>(x, overflow::saturate), y, overflow::saturate);
  EXPECT_EQ(y[0x7C00], std::numeric_limits<half>::max());
}

TEST(Convert, DoublesRoundOnce) {
  // 1 + 2^-11 is half way between two halves. The excess is lost if a float comes between: 1 would
  // be the answer.
  const std::vector<double> x = {
      1.0 + 0x1p-11 + 0x1p-40, -1.0 - 0x1p-11 - 0x1p-40, 65519.999999, 1e300, 5e-324, std::nan("")};
  std::vector<half> y(x.size());
  halfway::convert(x, y);
  EXPECT_EQ(y[0].bits(), 0x3C01);
  EXPECT_EQ(y[1].bits(), 0xBC01);
  EXPECT_EQ(y[2].bits(), 0x7BFF);
  EXPECT_EQ(y[3].bits(), 0x7C00);
  EXPECT_EQ(y[4].bits(), 0x0000);
  EXPECT_EQ(y[5].bits(), 0x7E00);
  halfway::convert_saturating(x, y);
  EXPECT_EQ(y[3].bits(), 0x7BFF);

  std::vector<double> back(x.size());
  halfway::convert(y, back);
  EXPECT_EQ(back[0], 1.0009765625);
  std::vector<float> f(x.size());
  halfway::convert(x, f);
  EXPECT_EQ(f[2], 65520.0f);
}

TEST(Convert, IntegersOf32Bits) {
  // 2^24 + 1 as a float would be 2^24; each of the targets gets one rounding of the integer itself.
  const std::vector<std::int32_t> x = {0,     -1,    (1 << 24) + 1,
                                       65520, 65519, std::numeric_limits<std::int32_t>::min()};
  std::vector<double> d(x.size());
  std::vector<half> h(x.size());
  std::vector<halfway::int8> q(x.size());
  halfway::convert(x, d);
  halfway::convert(x, h);
  halfway::convert(x, q);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(d[i], x[i]);
  EXPECT_EQ(h[3].bits(), 0x7C00);
  EXPECT_EQ(h[4].bits(), 0x7BFF);
  EXPECT_EQ(q[5], -128);

  const std::vector<float> f = {
      0.5f, 1.5f, -2.5f, 3e9f, -std::numeric_limits<float>::infinity(), std::nanf("")};
  std::vector<std::int32_t> i(f.size());
  halfway::convert(f, i);
  const std::vector<std::int32_t> rounded = {
      0, 2, -2, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min(),
      0};
  EXPECT_EQ(i, rounded);
}

TEST(Convert, BytesOfTheStandardLibraryAreIntegers) {
  const std::vector<float> x = {-200.0f, -0.5f, 2.5f, 127.5f, 300.0f, std::nanf("")};
  for_each_target([&] {
    std::vector<std::int8_t> s(x.size());
    std::vector<std::uint8_t> u(x.size());
    halfway::convert(x, s);
    halfway::convert(x, u);
    EXPECT_EQ(s, (std::vector<std::int8_t>{-128, 0, 2, 127, 127, 0}));
    EXPECT_EQ(u, (std::vector<std::uint8_t>{0, 0, 2, 128, 255, 0}));
    std::vector<float> back(x.size());
    halfway::convert(u, back);
    EXPECT_EQ(back, (std::vector<float>{0, 0, 2, 128, 255, 0}));
  });
}

TEST(Convert, InPlaceWhereElementsHaveOneSize) {
  const std::vector<half> x = all_patterns<half>();
  const std::vector<bfloat16> expected = scalar_all<bfloat16>(x, overflow::ieee);
  for_each_target([&] {
    std::vector<std::uint16_t> memory(x.size());
    std::memcpy(memory.data(), x.data(), x.size() * sizeof(half));
    const std::span<half> before(reinterpret_cast<half*>(memory.data()), memory.size());
    const std::span<bfloat16> after(reinterpret_cast<bfloat16*>(memory.data()), memory.size());
    halfway::convert(before, after);
    EXPECT_EQ(std::memcmp(memory.data(), expected.data(), memory.size() * sizeof(bfloat16)), 0);
  });
}

TEST(Convert, MatricesOfAnyStrides) {
  constexpr std::size_t rows = 5, cols = 300;  // past the 256 elements of the strided path's block
  const std::vector<float> values = random_floats(2 * rows * 2 * cols, 1.0f, 3);
  const auto expect_all = [&](auto x, auto y) {
    halfway::convert(x, y);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t j = 0; j < x.cols(); ++j)
        ASSERT_EQ(y(i, j).bits(), half(x(i, j)).bits()) << i << ", " << j;
    }
  };
  using view = halfway::matrix_view<const float>;
  halfway::matrix<half> m(rows, cols), t(cols, rows), wide(rows, cols + 7);
  expect_all(view(values.data(), rows, cols), m.view());
  expect_all(view(values.data(), rows, cols, 2 * cols), wide.view().block(0, 3, rows, cols));
  EXPECT_EQ(wide(0, 2).bits(), 0);
  EXPECT_EQ(wide(0, cols + 3).bits(), 0);
  expect_all(view(values.data(), rows, cols), t.view().transposed());
  expect_all(view(values.data(), cols, rows).transposed(), t.view().transposed());
  expect_all(view(values.data(), rows, cols, 2 * cols, 2), m.view());
  halfway::convert_saturating(m, wide.view().block(0, 0, rows, cols));
  EXPECT_EQ(wide(4, 299).bits(), m(4, 299).bits());
}

TEST(Convert, GivesTheSameBitsOnAnyExecutor) {
  halfway::matrix<float> x(401, 501);
  halfway::matrix<halfway::half> y(401, 501), t(501, 401);
  for (std::size_t k = 0; k < x.size(); ++k) x.elements()[k] = static_cast<float>(k % 4099) * 0.1f;
  using halfway::testing::expect_same_bits_on_any_executor;
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::convert(x.elements(), y.elements(), on);
    return std::as_bytes(y.elements());
  });
  expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::convert(x, t.view().transposed(), on);
    return std::as_bytes(t.elements());
  });
}

TEST(Convert, BadInputNamesArgumentsAndValues) {
  std::vector<float> x(4, 1.0f);
  std::vector<half> y(3, half(7.0f));
  EXPECT_EQ(message_of([&] { halfway::convert(x, y); }),
            "halfway::convert: x.size() (4) must equal y.size() (3)");
  EXPECT_EQ(message_of([&] { halfway::convert_saturating(x, y); }),
            "halfway::convert_saturating: x.size() (4) must equal y.size() (3)");
  EXPECT_EQ(y[0], half(7.0f));
  EXPECT_EQ(message_of([&] {
              halfway::convert(std::span<const half>(static_cast<half*>(nullptr), 4), x);
            }),
            "halfway::convert: x is null but has 4 elements");
  EXPECT_EQ(
      message_of([&] { halfway::convert(x, std::span<half>(static_cast<half*>(nullptr), 4)); }),
      "halfway::convert: y is null but has 4 elements");
  const auto share = "halfway::convert: x and y share memory";
  const std::span<half> inside(reinterpret_cast<half*>(x.data()), 4);
  EXPECT_EQ(message_of([&] { halfway::convert(x, inside); }),
            share);  // same place, but other sizes
  const std::span<float> all(x);
  EXPECT_EQ(message_of([&] { halfway::convert(all.first(3), all.last(3)); }), share);
  EXPECT_EQ(x, std::vector<float>(4, 1.0f));

  halfway::matrix<float> a(2, 3);
  halfway::matrix<half> b(3, 2);
  EXPECT_EQ(message_of([&] { halfway::convert(a, b); }),
            "halfway::convert: x.rows() (2) must equal y.rows() (3)");
  EXPECT_EQ(message_of([&] { halfway::convert(a, b.view().block(0, 0, 2, 2)); }),
            "halfway::convert: x.cols() (3) must equal y.cols() (2)");
}

}  // namespace
