// SPDX-License-Identifier: Apache-2.0
// Elementary functions of ranges: correctly rounded in half and bfloat16, and in float within the
// stated ULPs, against MPFR.
#include "halfway/ops/elementary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "halfway/ops/activation.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/exact_functions.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"
#include "types/reference.h"

namespace halfway::testing {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

// A function in double, accurate to a small part of a ULP of float, and the bound on halfway's
// error in ULPs of float, as documented in ops/elementary.h and ops/activation.h.
struct Function {
  double (*in_double)(double);
  double ulps;
};

// In the order of `elementary`.
const Function functions[elementary_count] = {
    {[](double x) { return std::exp(x); }, 0.991},
    {[](double x) { return std::exp2(x); }, 0.85},
    {[](double x) { return std::log(x); }, 0.93},
    {[](double x) { return std::log2(x); }, 1.25},
    {[](double x) { return std::tanh(x); }, 0.997},
    {[](double x) { return sigmoid_of(x); }, 0.98},
    {[](double x) { return std::erf(x); }, 0.81},
    {[](double x) { return x == -HUGE_VAL ? -0.0 : x / 2 * std::erfc(x * -std::sqrt(0.5)); }, 0.99},
    {[](double x) {
       return x == -HUGE_VAL ? -0.0
                             : x * sigmoid_of(1.5957691216057307118 * x * (1 + 0.044715 * x * x));
     },
     0.982},
    {[](double x) { return x == -HUGE_VAL ? -0.0 : x * sigmoid_of(x); }, 0.96},
    {[](double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }, 0.98},
    {[](double x) { return 1 / std::sqrt(x); }, 0.5001},
    {[](double x) { return 1 / x; }, 0.5},
    {[](double x) { return std::sqrt(x); }, 0.5},
    {[](double x) { return std::sin(x); }, 0.73},
    {[](double x) { return std::cos(x); }, 0.73},
};

template <class X, class Y>
void apply(elementary f, const X& x, Y&& y, executor_ref on = {}) {
  switch (f) {
    case elementary::exp:
      return halfway::exp(x, y, on);
    case elementary::exp2:
      return halfway::exp2(x, y, on);
    case elementary::log:
      return halfway::log(x, y, on);
    case elementary::log2:
      return halfway::log2(x, y, on);
    case elementary::tanh:
      return halfway::tanh(x, y, on);
    case elementary::sigmoid:
      return halfway::sigmoid(x, y, on);
    case elementary::erf:
      return halfway::erf(x, y, on);
    case elementary::gelu:
      return halfway::gelu(x, y, on);
    case elementary::gelu_tanh:
      return halfway::gelu_tanh(x, y, on);
    case elementary::silu:
      return halfway::silu(x, y, on);
    case elementary::softplus:
      return halfway::softplus(x, y, on);
    case elementary::rsqrt:
      return halfway::rsqrt(x, y, on);
    case elementary::reciprocal:
      return halfway::reciprocal(x, y, on);
    case elementary::sqrt:
      return halfway::sqrt(x, y, on);
    case elementary::sin:
      return halfway::sin(x, y, on);
    case elementary::cos:
      return halfway::cos(x, y, on);
  }
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

// ------------------------------ Half and bfloat16: every value, on every target

template <class T>
class ElementaryOf : public ::testing::Test {};
using SmallTypes = ::testing::Types<half, bfloat16>;
TYPED_TEST_SUITE(ElementaryOf, SmallTypes, format_names);

TYPED_TEST(ElementaryOf, EveryValueIsCorrectlyRounded) {
  using T = TypeParam;
  using R = reference<T>;
  std::vector<T> x(R::patterns), y(R::patterns);
  for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
    x[bits] = T::from_bits(static_cast<typename T::storage>(bits));
  }
  exact_functions exact;
  std::vector<std::uint32_t> expected(R::patterns);
  constexpr std::uint32_t any_nan = 0x10000;
  for (std::size_t k = 0; k < elementary_count; ++k) {
    SCOPED_TRACE(elementary_names[k]);
    const auto f = static_cast<elementary>(k);
    for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
      const double value = exact.to_odd(f, R::value(bits));
      expected[bits] = std::isnan(value) ? any_nan : R::encode(value);
    }
    for_each_target([&] {
      differences d;
      apply(f, x, y);
      for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
        const std::uint32_t got = R::is_nan(y[bits].bits()) ? any_nan : y[bits].bits();
        d.check(got, expected[bits], R::value(bits));
      }
    });
  }
}

// ------------------------------ Float

// Where the kernels pass from one formula to another, results overflow, become subnormal, or 0.
std::vector<float> edges() {
  std::vector<float> around = {
      0.0f,     0x1p-149f, 0x1p-126f, 0x1.fffffep127f, 0x1p-100f, 0x1p-50f,   0x1p-24f,   0x1p-12f,
      0.5f,     1.0f,      2.0f,      0.875f,          3.93f,     3.4375f,    3.9375f,    7.875f,
      9.01f,    16.0f,     17.33f,    88.72284f,       87.33655f, 103.2789f,  103.9721f,  104.0f,
      89.0f,    126.0f,    127.0f,    128.0f,          149.0f,    150.0f,     151.0f,     0x1p16f,
      0x1p23f,  0x1p24f,   14.6f,     10.8f,           110.0f,    0.7071068f, 1.4142135f, 0.9f,
      0x1p120f, 13.2f};
  for (int quarter = 1; quarter < 2000; ++quarter) {
    around.push_back(static_cast<float>(quarter * 0.78539816339744830962));
    around.push_back(static_cast<float>(quarter % 64) * 0.0625f);
  }
  // Close to multiples of pi / 2, the last the closest of all floats (Muller, "Elementary
  // functions", 2006, section 11.3.2).
  around.push_back(16367173.0f * 0x1p72f);
  std::vector<float> x;
  for (const float a : around) {
    for (std::uint32_t i = 0; i < 17; ++i) {
      const float value = from_bits(to_bits(a) + i - (to_bits(a) < 8 ? 0 : 8));
      x.push_back(value);
      x.push_back(-value);
    }
  }
  return x;
}

class ElementaryFunction : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(All, ElementaryFunction,
                         ::testing::Range<std::size_t>(0, elementary_count),
                         [](const auto& function) { return elementary_names[function.param]; });

// What a block of floats errs by, at most: double says where, MPFR how much.
class worst_error {
 public:
  explicit worst_error(std::size_t k) : k_(k) {}

  void add(const std::vector<float>& x) {
    const auto f = static_cast<elementary>(k_);
    std::vector<float> y(x.size());
    apply(f, x, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = functions[k_].in_double(static_cast<double>(x[i]));
      const float rounded = static_cast<float>(exact);
      if (std::isnan(rounded) || std::isinf(rounded)) {
        ASSERT_EQ(to_bits(y[i]), to_bits(rounded)) << x[i];
        continue;
      }
      ASSERT_EQ(std::signbit(y[i]), std::signbit(exact)) << x[i];
      if (!(ulp_error<float>(y[i], exact) <= ulps_ + 0x1p-20)) {
        const double error = ulp_error<float>(y[i], exact_.to_odd(f, static_cast<double>(x[i])));
        if (!(error <= ulps_)) ulps_ = error, at_ = x[i];
      }
    }
  }
  void expect_at_most(double ulps) const {
    EXPECT_LE(ulps_, ulps) << "at " << at_;
    ::testing::Test::RecordProperty("ulps", std::to_string(ulps_));
  }

 private:
  std::size_t k_;
  exact_functions exact_;
  double ulps_ = 0;
  float at_ = 0;
};

// Every 4096th float and the edges; HALFWAY_TEST_STRIDE=1 takes every float (the slow tests).
TEST_P(ElementaryFunction, ErrsByLessThanItsUlps) {
  const char* text = std::getenv("HALFWAY_TEST_STRIDE");
  const std::uint64_t stride = text != nullptr ? std::strtoull(text, nullptr, 10) : 4096;
  worst_error worst(GetParam());
  worst.add(edges());
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += stride) {
    x.push_back(from_bits(static_cast<std::uint32_t>(bits)));
    if (x.size() == 4096) {
      worst.add(x);
      if (HasFatalFailure()) return;
      x.clear();
    }
  }
  worst.add(x);
  worst.expect_at_most(functions[GetParam()].ulps);
}

TEST_P(ElementaryFunction, GivesTheSameBitsOnEveryTarget) {
  std::vector<float> x = edges(), y;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 104729) {
    x.push_back(from_bits(static_cast<std::uint32_t>(bits)));
  }
  expect_same_bits_on_every_target([&](std::vector<std::uint32_t>& bits) {
    y.assign(x.size(), 0.0f);
    apply(static_cast<elementary>(GetParam()), x, y);
    append_bits(bits, std::span<const float>(y));
  });
}

// docs/special_values.md
TEST(Elementary, SpecialValues) {
  const std::vector<float> x = {nan, inf, -inf, 0.0f, -0.0f, -1.0f, 3e38f, -3e38f};
  const std::vector<std::pair<elementary, std::vector<float>>> expected = {
      {elementary::exp, {nan, inf, 0.0f, 1.0f, 1.0f, 0x1.78b564p-2f, inf, 0.0f}},
      {elementary::exp2, {nan, inf, 0.0f, 1.0f, 1.0f, 0.5f, inf, 0.0f}},
      {elementary::log, {nan, inf, nan, -inf, -inf, nan, 0x1.6280b8p+6f, nan}},
      {elementary::log2, {nan, inf, nan, -inf, -inf, nan, 0x1.ffa2p+6f, nan}},
      {elementary::erf, {nan, 1.0f, -1.0f, 0.0f, -0.0f, -0x1.af767ap-1f, 1.0f, -1.0f}},
      {elementary::softplus,
       {nan, inf, 0.0f, 0x1.62e43p-1f, 0x1.62e43p-1f, 0x1.40d932p-2f, 3e38f, 0.0f}},
      {elementary::rsqrt, {nan, 0.0f, nan, inf, -inf, nan, 0, nan}},
      {elementary::reciprocal, {nan, 0.0f, -0.0f, inf, -inf, -1.0f, 0, 0}},
      {elementary::sqrt, {nan, inf, nan, 0.0f, -0.0f, nan, 0, nan}},
      {elementary::sin, {nan, nan, nan, 0.0f, -0.0f, 0, 0, 0}},
      {elementary::cos, {nan, nan, nan, 1.0f, 1.0f, 0, 0, 0}}};
  exact_functions exact;
  for_each_target([&] {
    for (const auto& [f, values] : expected) {
      SCOPED_TRACE(elementary_names[static_cast<std::size_t>(f)]);
      std::vector<float> y(x.size());
      apply(f, x, y);
      for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(to_bits(y[i]), to_bits(values[i])) << x[i];
      for (std::size_t i = 5; i < x.size(); ++i) {
        const auto nearest = static_cast<float>(exact.to_odd(f, static_cast<double>(x[i])));
        if (!std::isfinite(nearest)) {
          EXPECT_EQ(to_bits(y[i]), to_bits(nearest)) << x[i];
        } else {
          EXPECT_LE(std::abs(y[i] - nearest), std::abs(nearest) * 0x1p-22f) << x[i];
        }
      }
    }
  });
}

TEST(Elementary, ExactResultsAreExact) {
  std::vector<float> integers, powers;
  for (int n = -149; n < 128; ++n) {
    integers.push_back(static_cast<float>(n));
    powers.push_back(std::ldexp(1.0f, n));
  }
  for_each_target([&] {
    std::vector<float> y(integers.size());
    halfway::exp2(integers, y);
    EXPECT_EQ(y, powers);
    halfway::log2(powers, y);
    EXPECT_EQ(y, integers);
  });
}

// ------------------------------ Ranges and types

TEST(Elementary, LeavesWhatLiesAround) {
  for_each_target([] {
    for (std::size_t n = 0; n < 70; ++n) {
      // Off any alignment; what lies around must neither be written nor matter.
      std::vector<half> x(n + 2, half(nan)), y(n + 2, half(7.0f));
      for (std::size_t i = 0; i < n; ++i) x[i + 1] = half(static_cast<float>(i));
      halfway::exp2(std::span<const half>(x).subspan(1, n), std::span<half>(y).subspan(1, n));
      ASSERT_EQ(y[0], 7.0f);
      ASSERT_EQ(y[n + 1], 7.0f);
      for (std::size_t i = 0; i < n; ++i) {
        ASSERT_EQ(y[i + 1], half(std::ldexp(1.0f, static_cast<int>(i))));
      }
      halfway::exp2(x, x);
      ASSERT_TRUE(std::equal(x.begin() + 1, x.end() - 1, y.begin() + 1));
    }
  });
}

// One rounding to y's type of a float.
TEST(Elementary, MixesTypes) {
  for_each_target([] {
    const std::vector<half> x = normal_values<half>(97, 0.0, 2.0, 3);
    std::vector<float> wide(x.size());
    std::vector<bfloat16> narrow(x.size());
    std::vector<float8_e4m3fn> narrower(x.size());
    halfway::sin(x, wide);
    halfway::sin(x, narrow);
    halfway::sin(x, narrower);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_LE(ulp_error<float>(wide[i], std::sin(static_cast<double>(x[i]))), 0.73);
      EXPECT_EQ(narrow[i], bfloat16(wide[i]));
      EXPECT_EQ(narrower[i], float8_e4m3fn(wide[i]));
    }
  });
}

TEST(Elementary, GivesTheSameBitsOnAnyExecutor) {
  std::vector<float> x(100001), y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) * 0.7f;
  expect_same_bits_on_any_executor([&](executor_ref on) {
    halfway::cos(x, y, on);
    return std::as_bytes(std::span(y));
  });
}

TEST(Elementary, RefusesBadInput) {
  std::vector<float> x(8, 1.0f);
  std::vector<float> y(4);
  const std::span<float> null(static_cast<float*>(nullptr), 8);
  for (std::size_t k = 0; k < elementary_count; ++k) {
    const auto f = static_cast<elementary>(k);
    const std::string name = std::string("halfway::") + elementary_names[k];
    expect_error([&] { apply(f, x, y); }, {name, "y.size() (4)", "x.size() (8)"});
    expect_error([&] { apply(f, null, x); }, {name, "x is null", "8"});
    expect_error([&] { apply(f, x, null); }, {name, "y is null", "8"});
    const std::span<float> head(x.data(), 7), tail(x.data() + 1, 7);
    expect_error([&] { apply(f, head, tail); }, {name, "x and y share memory"});
  }
  EXPECT_EQ(x, std::vector<float>(8, 1.0f));
}

}  // namespace
}  // namespace halfway::testing
