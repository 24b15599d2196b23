// SPDX-License-Identifier: Apache-2.0
// Bulk conversions give the bits of the scalar ones, on every SIMD target: the scalar conversions are tested against independent
// references in tests/types.
#include "halfway/ops/convert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/types/cast.h"
#include "halfway/types/dtype.h"
#include "support/for_each_target.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::overflow;
using halfway::testing::for_each_target;

template <class... Types, class Body>
void for_each_type(std::tuple<Types...>, Body&& body) {
  (body(Types()), ...);
}

using Minifloats = std::tuple<half, bfloat16, halfway::float8_e4m3fn, halfway::float8_e5m2, halfway::float8_e4m3fnuz,
                              halfway::float8_e5m2fnuz, halfway::float8_e8m0fnu, halfway::float6_e2m3fn, halfway::float6_e3m2fn,
                              halfway::float4_e2m1fn>;
using Integers = std::tuple<halfway::int8, halfway::uint8, halfway::int4, halfway::uint4>;
using Narrow = decltype(std::tuple_cat(Minifloats(), Integers()));

template <class T>
auto bits_of(T x) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<std::uint32_t>(x);
  else if constexpr (std::is_same_v<T, double>) return std::bit_cast<std::uint64_t>(x);
  else if constexpr (std::is_integral_v<T>) return x;
  else return x.bits();
}

template <class To, class From>
To scalar(From x, overflow policy) {
  if constexpr (std::is_same_v<To, double>) return static_cast<double>(halfway::ieee_cast<float>(x));
  else return policy == overflow::ieee ? halfway::ieee_cast<To>(x) : halfway::saturate_cast<To>(x);
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
void expect_same_bits(const std::vector<From>& x, const std::vector<To>& expected, const std::vector<To>& got, overflow policy) {
  ASSERT_EQ(expected.size(), got.size());
  if (std::memcmp(expected.data(), got.data(), got.size() * sizeof(To)) == 0) return;
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(bits_of(expected[i]), bits_of(got[i]))
        << type_name<From>() << " -> " << type_name<To>() << " (" << text(policy) << "), element " << i << ", from bits 0x" << std::hex
        << +bits_of(x[i]);
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

// Floats of every sign, exponent and leading 11 mantissa bits, with the 12 bits below at and beside zero, one half and one. So
// every tie of every format is there, and its neighbours, in the normal and in the subnormal range; infinities and NaNs too.
std::vector<float> structured_floats() {
  std::vector<float> x;
  for (std::uint32_t upper = 0; upper < 1u << 20; ++upper) {
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

TEST(Convert, FloatsRoundOnceIntoEveryFormat) {
  const std::vector<float> x = structured_floats();
  for_each_type(Narrow(), [&](auto tag) { expect_matches_scalar_on_every_target<decltype(tag)>(x); });
}

TEST(Convert, EverySixteenBitPatternIntoEveryNarrowerFormat) {
  for_each_type(Narrow(), [](auto tag) {
    using To = decltype(tag);
    expect_matches_scalar_on_every_target<To>(all_patterns<half>());
    expect_matches_scalar_on_every_target<To>(all_patterns<bfloat16>());
  });
}

}  // namespace
