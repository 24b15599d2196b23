// SPDX-License-Identifier: Apache-2.0
// The single-rounding FMA of simd/fma-inl.h and the functions of simd/math-inl.h, on every target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/math_test.cc"
#include "halfway/simd/targets.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/fma-inl.h"
#include "halfway/simd/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {

struct ExpOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return Exp(df, x);
  }
};
struct LogOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return Log(df, x);
  }
};
void ExpArray(const float* x, float* y, size_t n) { MapElements(ExpOp(), x, y, n); }
void LogArray(const float* x, float* y, size_t n) { MapElements(LogOp(), x, y, n); }

// Whole vectors, then single lanes: two ways through fma-inl.h where FMA is emulated.
void FmaArray(const float* a, const float* b, const float* c, float* y, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(Fma(hn::LoadU(df, a + i), hn::LoadU(df, b + i), hn::LoadU(df, c + i)), df, y + i);
  }
  for (; i < n; ++i) y[i] = FmaScalar(a[i], b[i], c[i]);
}
void NegFmaArray(const float* a, const float* b, const float* c, float* y, size_t n) {
  const hn::CappedTag<float, 1> df;
  for (size_t i = 0; i < n; ++i) {
    hn::StoreU(NegFma(hn::LoadU(df, a + i), hn::LoadU(df, b + i), hn::LoadU(df, c + i)), df, y + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace halfway {
HWY_EXPORT(ExpArray);
HWY_EXPORT(LogArray);
HWY_EXPORT(FmaArray);
HWY_EXPORT(NegFmaArray);

namespace {

template <class Body>
void on_every_target(Body&& body) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
std::uint32_t to_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return value == value ? bits : 0x7FC00000u;
}

// All that can go wrong in an FMA through double: sums that lie half-way between two floats but for
// a digit far below, subnormal results, cancellation, overflow, infinities and NaN.
struct Triples {
  std::vector<float> a, b, c;
  void add(float x, float y, float z) {
    for (const float sign : {1.0f, -1.0f}) {
      a.push_back(x), b.push_back(sign * y), c.push_back(z);
      a.push_back(x), b.push_back(sign * y), c.push_back(-z);
    }
  }
};

Triples hard_triples() {
  Triples t;
  std::mt19937 random(1);
  const auto significand = [&] { return from_bits(0x3F800000u | (random() & 0x7FFFFFu)); };
  const auto power = [&](int low, int high) {
    return std::ldexp(1.0f, low + static_cast<int>(random() % static_cast<unsigned>(high - low)));
  };
  for (int i = 0; i < 20000; ++i) {
    t.add(significand(), significand(), significand() * power(-60, 60));
    t.add(significand() * power(-126, 60), significand() * power(-60, 66),
          significand() * power(-149, 127));
    // (1 + k 2^-23) plus half a last place, give or take a product far below.
    t.add(significand() * power(-60, -25), significand(),
          from_bits(0x3F800000u | (random() & 0x7FFFFFu)));
    const float x = significand();
    t.add(x * 0x1p-12f, 0x1p-13f + power(-40, -24), x);  // a tie and its neighbours
    t.add(1.0f + power(-23, 0), 0x1p-24f + power(-47, -30), x);
    t.add(significand() * 0x1p-75f, significand() * 0x1p-75f, power(-149, -126));  // subnormal ties
    t.add(significand() * 0x1p-100f, significand() * 0x1p-49f,
          0x1p-149f * static_cast<float>(random() % 16));
    t.add(x, x, -x * x);
  }
  const float special[] = {0.0f,     -0.0f, 1.0f,     0x1p-149f, 0x1p-126f, 0x1.fffffep127f,
                           0x1p127f, 1.5f,  INFINITY, -INFINITY, NAN,       0x1p-75f,
                           0x1p64f};
  for (const float x : special) {
    for (const float y : special) {
      for (const float z : special) t.add(x, y, z);
    }
  }
  return t;
}

TEST(Fma, RoundsOnce) {
  const Triples t = hard_triples();
  const std::size_t n = t.a.size();
  std::vector<std::uint32_t> expected(n), expected_negative(n);
  for (std::size_t i = 0; i < n; ++i) {
    expected[i] = to_bits(std::fma(t.a[i], t.b[i], t.c[i]));
    expected_negative[i] = to_bits(std::fma(-t.a[i], t.b[i], t.c[i]));
  }
  on_every_target([&] {
    std::vector<float> y(n);
    HWY_DYNAMIC_DISPATCH(FmaArray)(t.a.data(), t.b.data(), t.c.data(), y.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(to_bits(y[i]), expected[i]) << t.a[i] << " " << t.b[i] << " " << t.c[i];
    }
    HWY_DYNAMIC_DISPATCH(NegFmaArray)(t.a.data(), t.b.data(), t.c.data(), y.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(to_bits(y[i]), expected_negative[i]) << t.a[i] << " " << t.b[i] << " " << t.c[i];
    }
    for (std::size_t i = 0; i < n; i += 97) {  // one at a time
      HWY_DYNAMIC_DISPATCH(FmaArray)(&t.a[i], &t.b[i], &t.c[i], y.data(), 1);
      ASSERT_EQ(to_bits(y[0]), expected[i]) << t.a[i] << " " << t.b[i] << " " << t.c[i];
    }
  });
}

// Every 499th float (tests/ops/elementary_test.cc takes all of them); HALFWAY_TEST_STRIDE=1: all.
std::uint64_t stride() {
  const char* text = std::getenv("HALFWAY_TEST_STRIDE");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 499;
}

template <class Function>
void expect_below_one_ulp(Function&& function, double (*exact)(double)) {
  constexpr std::size_t block = 8192;
  std::vector<float> x(block), y(block);
  double worst = 0;
  float worst_x = 0;
  std::uint64_t bits = 0;
  while (bits < (std::uint64_t{1} << 32)) {
    std::size_t n = 0;
    for (; n < block && bits < (std::uint64_t{1} << 32); ++n, bits += stride()) {
      x[n] = from_bits(static_cast<std::uint32_t>(bits));
    }
    function(x.data(), y.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      const double reference = exact(static_cast<double>(x[i]));
      const float rounded = static_cast<float>(reference);
      if (std::isnan(rounded) || std::isinf(rounded)) {
        ASSERT_EQ(to_bits(y[i]), to_bits(rounded)) << x[i];
        continue;
      }
      int exponent;
      std::frexp(reference, &exponent);
      const double ulp = std::ldexp(1.0, std::max(exponent, -125) - 24);
      const double error = std::abs(static_cast<double>(y[i]) - reference) / ulp;
      if (!(error <= worst)) worst = error, worst_x = x[i];
    }
  }
  EXPECT_LT(worst, 1.0) << "at " << worst_x;
  ::testing::Test::RecordProperty("ulps", std::to_string(worst));
}

TEST(Math, ExpErrsByLessThanOneUlp) {
  expect_below_one_ulp(HWY_DYNAMIC_DISPATCH(ExpArray), [](double x) { return std::exp(x); });
}

TEST(Math, LogErrsByLessThanOneUlp) {
  expect_below_one_ulp(HWY_DYNAMIC_DISPATCH(LogArray), [](double x) { return std::log(x); });
}

TEST(Math, GivesTheSameBitsOnEveryTarget) {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 20011) {
    x.push_back(from_bits(static_cast<std::uint32_t>(bits)));
  }
  std::vector<std::uint32_t> first;
  on_every_target([&] {
    std::vector<float> e(x.size()), l(x.size());
    HWY_DYNAMIC_DISPATCH(ExpArray)(x.data(), e.data(), x.size());
    HWY_DYNAMIC_DISPATCH(LogArray)(x.data(), l.data(), x.size());
    std::vector<std::uint32_t> bits;
    for (const float value : e) bits.push_back(to_bits(value));
    for (const float value : l) bits.push_back(to_bits(value));
    if (first.empty()) first = bits;
    EXPECT_TRUE(bits == first);
  });
}

}  // namespace
}  // namespace halfway

#endif  // HWY_ONCE
