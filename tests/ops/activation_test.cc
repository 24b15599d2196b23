// SPDX-License-Identifier: Apache-2.0
// Activation functions and their gradients. (The errors of the functions: elementary_test.cc.)
#include "halfway/ops/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "halfway/ops/activation_backward.h"
#include "halfway/ops/elementary.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::testing::append_bits;
using halfway::testing::expect_error;
using halfway::testing::expect_same_bits_on_every_target;
using halfway::testing::for_each_target;
using halfway::testing::normal_values;
using halfway::testing::rounding_of;
using halfway::testing::u32;
using halfway::testing::ulp_error;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// ------------------------------ The functions in double

double exact_sigmoid(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
double density(double x) { return std::exp(-x * x / 2) * 0.39894228040143267794; }
double distribution(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }
constexpr double tanh_a = 1.5957691216057307118, tanh_b = 0.044715 * tanh_a;
double tanh_argument(double x) { return x * (tanh_a + tanh_b * x * x); }

// A function, its limit at -inf, and the bound on halfway's error in ULPs.
struct Function {
  const char* name;
  double (*exact)(double);
  double at_minus_infinity;
  double ulps;
};

const Function functions[] = {
    {"relu", [](double x) { return x < 0 ? 0.0 : x; }, 0.0, 0.0},
    {"gelu", [](double x) { return x * distribution(x); }, -0.0, 1.0},
    {"gelu_tanh", [](double x) { return x * exact_sigmoid(tanh_argument(x)); }, -0.0, 1.0},
    {"silu", [](double x) { return x * exact_sigmoid(x); }, -0.0, 1.0},
    {"tanh", [](double x) { return std::tanh(x); }, -1.0, 1.0},
    {"softplus", [](double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::abs(x))); },
     0.0, 1.0},
    {"sigmoid", [](double x) { return exact_sigmoid(x); }, 0.0, 1.0},
};

template <class X, class Y>
void apply(std::size_t function, const X& x, Y&& y) {
  switch (function) {
    case 0:
      return halfway::relu(x, y);
    case 1:
      return halfway::gelu(x, y);
    case 2:
      return halfway::gelu_tanh(x, y);
    case 3:
      return halfway::silu(x, y);
    case 4:
      return halfway::tanh(x, y);
    case 5:
      return halfway::softplus(x, y);
    default:
      return halfway::sigmoid(x, y);
  }
}

template <class X, class DY, class DX>
void apply_backward(std::size_t function, const X& x, const DY& dy, DX&& dx) {
  switch (function) {
    case 0:
      return halfway::relu_backward(x, dy, dx);
    case 1:
      return halfway::gelu_backward(x, dy, dx);
    case 2:
      return halfway::gelu_tanh_backward(x, dy, dx);
    case 3:
      return halfway::silu_backward(x, dy, dx);
    case 4:
      return halfway::tanh_backward(x, dy, dx);
    case 5:
      return halfway::softplus_backward(x, dy, dx);
    default:
      return halfway::sigmoid_backward(x, dy, dx);
  }
}

double exact_value(const Function& f, double x) {
  return x == -HUGE_VAL ? f.at_minus_infinity : f.exact(x);
}

// Every `stride`-th float, in blocks.
template <class Body>
void for_floats(std::uint64_t stride, Body&& body) {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += stride) {
    const auto pattern = static_cast<std::uint32_t>(bits);
    float value;
    std::memcpy(&value, &pattern, sizeof(value));
    x.push_back(value);
    if (x.size() == 4096) {
      body(x);
      x.clear();
    }
  }
  body(x);
}

// One rounding to T of a float that errs by the ULPs above.
template <class T>
class ActivationOfEvery : public ::testing::Test {};
using SmallTypes = ::testing::Types<half, bfloat16, halfway::float8_e4m3fn, halfway::float8_e5m2>;
TYPED_TEST_SUITE(ActivationOfEvery, SmallTypes);

TYPED_TEST(ActivationOfEvery, PatternRoundsAFloat) {
  using T = TypeParam;
  std::vector<T> x;
  for (std::uint32_t bits = 0; bits < (1u << (8 * sizeof(T))); ++bits) {
    x.push_back(T::from_bits(static_cast<typename T::storage>(bits)));
  }
  for (std::size_t k = 0; k < std::size(functions); ++k) {
    const Function& f = functions[k];
    std::vector<T> y(x.size());
    apply(k, x, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double at = static_cast<double>(static_cast<float>(x[i]));
      const double exact = exact_value(f, at);
      const float result = static_cast<float>(y[i]);
      if (std::isnan(exact)) {
        ASSERT_TRUE(std::isnan(result)) << f.name << " " << at;
      } else if (std::isinf(exact)) {
        ASSERT_EQ(result, exact) << f.name << " " << at;
      } else {
        ASSERT_LE(std::abs(result - exact),
                  rounding_of<T>(exact) + f.ulps * 2 * rounding_of<float>(exact))
            << f.name << " " << at;
      }
    }
  }
}

// ------------------------------ Gradients

// The derivative, and the error of halfway's in multiples of u, from the formulas of
// simd/activation_backward-inl.h and simd/gelu-inl.h; exponentials and sigmoids err by 2 u, which
// is 1 ULP, every other operation by u.
struct Slope {
  double value;
  double error;
};

Slope exact_slope(std::size_t function, double x) {
  const double t = std::abs(x);
  switch (function) {
    case 0:
      return {x > 0 ? 1.0 : 0.0, 0.0};
    case 1: {
      // q(t) - t phi(t); the square in the density's exponent is rounded where t is below 3.9.
      const double tail = distribution(-t), share = t * density(t);
      const double slope = tail - share;
      const double error = (tail + share) * ((t < 3.9375 ? t * t : 0.0) + 8);
      return x > 0 ? Slope{1 - slope, error + 1} : Slope{slope, error};
    }
    case 2: {
      const double s = exact_sigmoid(-tanh_argument(t));
      const double share = t * (tanh_a + 3 * tanh_b * t * t) * (1 - s);
      const double error = s * (4 * std::abs(1 - share) + 8 * share);
      return x > 0 ? Slope{1 - s * (1 - share), error + 1} : Slope{s * (1 - share), error};
    }
    case 3: {
      const double s = exact_sigmoid(x), share = x * exact_sigmoid(-x);
      return {s * (1 + share), s * (5 * std::abs(1 + share) + 3 * std::abs(share))};
    }
    case 4: {
      const double e = std::exp(-2 * t), slope = 4 * e / ((1 + e) * (1 + e));
      return {slope, 8 * slope};
    }
    case 5:
      return {exact_sigmoid(x), 2 * exact_sigmoid(x)};
    default: {
      const double e = std::exp(-t), slope = e / ((1 + e) * (1 + e));
      return {slope, 8 * slope};
    }
  }
}

TEST(Activation, GradientsStayWithinTheirBounds) {
  for (std::size_t k = 0; k < std::size(functions); ++k) {
    for_floats(4093, [&](const std::vector<float>& x) {
      std::vector<float> dy(x.size(), 3.0f), dx(x.size());
      apply_backward(k, x, dy, dx);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double at = static_cast<double>(x[i]);
        if (std::isnan(at)) {
          ASSERT_TRUE(std::isnan(dx[i])) << functions[k].name;
          continue;
        }
        // Beyond, the derivatives are what they are at infinity.
        const Slope slope = exact_slope(k, std::fmin(std::fmax(at, -200.0), 200.0));
        const double bound = 3.0 * (slope.error + std::abs(slope.value)) * u32 * 1.001 + 0x1p-147;
        ASSERT_LE(std::abs(dx[i] - 3.0 * slope.value), bound) << functions[k].name << " " << at;
      }
    });
  }
}

TEST(Activation, GradientsAreThoseOfTheForwardFunction) {
  for (std::size_t k = 0; k < std::size(functions); ++k) {
    for (double x = -6.05; x < 6; x += 0.1) {
      const double h = 1e-5;
      const double difference = (functions[k].exact(x + h) - functions[k].exact(x - h)) / (2 * h);
      EXPECT_NEAR(exact_slope(k, x).value, difference, 1e-8) << functions[k].name << " " << x;
    }
  }
}

// ------------------------------ Loops

TEST(Activation, LeavesWhatLiesAround) {
  for_each_target([] {
    for (std::size_t n = 0; n < 70; ++n) {
      for (std::size_t k = 0; k < std::size(functions); ++k) {
        // Off any alignment; what lies around must neither be written nor matter.
        std::vector<float> x(n + 2, nan), y(n + 2, 7.0f), dx(n + 2, 7.0f);
        const std::vector<float> dy(n, 1.0f);
        for (std::size_t i = 0; i < n; ++i) x[i + 1] = 0.25f * static_cast<float>(i) - 3.0f;
        apply(k, std::span<const float>(x).subspan(1, n), std::span<float>(y).subspan(1, n));
        apply_backward(k, std::span<const float>(x).subspan(1, n), dy,
                       std::span<float>(dx).subspan(1, n));
        ASSERT_EQ(y[0], 7.0f);
        ASSERT_EQ(y[n + 1], 7.0f);
        ASSERT_EQ(dx[0], 7.0f);
        ASSERT_EQ(dx[n + 1], 7.0f);
        for (std::size_t i = 1; i <= n; ++i) {
          const double at = static_cast<double>(x[i]), exact = functions[k].exact(at);
          ASSERT_LE(ulp_error<float>(y[i], exact), functions[k].ulps);
          const Slope slope = exact_slope(k, at);
          ASSERT_LE(std::abs(dx[i] - slope.value),
                    (slope.error + std::abs(slope.value)) * u32 * 1.001);
        }
      }
    }
  });
}

template <class T>
class ActivationOf : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16>;
TYPED_TEST_SUITE(ActivationOf, Types);

TYPED_TEST(ActivationOf, TheSameBitsOnEveryTargetAndInPlace) {
  const auto x = normal_values<TypeParam>(4001, 0.0, 4.0, 1);
  const auto dy = normal_values<TypeParam>(4001, 0.0, 1.0, 2);
  expect_same_bits_on_every_target([&](std::vector<std::uint32_t>& bits) {
    for (std::size_t k = 0; k < std::size(functions); ++k) {
      std::vector<TypeParam> y(x.size()), dx(x.size()), in_place = x;
      apply(k, x, y);
      apply(k, in_place, in_place);
      apply_backward(k, x, dy, dx);
      append_bits(bits, std::span<const TypeParam>(dx));
      std::vector<std::uint32_t> expected, result;
      append_bits(expected, std::span<const TypeParam>(y));
      append_bits(result, std::span<const TypeParam>(in_place));
      ASSERT_EQ(result, expected) << functions[k].name;
      bits.insert(bits.end(), expected.begin(), expected.end());
      in_place = dy;
      apply_backward(k, x, in_place, in_place);
      expected.clear(), result.clear();
      append_bits(expected, std::span<const TypeParam>(dx));
      append_bits(result, std::span<const TypeParam>(in_place));
      ASSERT_EQ(result, expected) << functions[k].name;
    }
  });
}

TEST(Activation, GivesTheSameBitsOnEveryTargetForAllMagnitudes) {
  expect_same_bits_on_every_target([](std::vector<std::uint32_t>& bits) {
    for_floats(104729, [&](const std::vector<float>& x) {
      for (std::size_t k = 1; k < std::size(functions); ++k) {
        std::vector<float> y(x.size());
        apply(k, x, y);
        append_bits(bits, std::span<const float>(y));
        apply_backward(k, x, std::vector<float>(x.size(), 1.0f), y);
        append_bits(bits, std::span<const float>(y));
      }
    });
  });
}

TEST(Activation, MixesTypes) {
  for_each_target([] {
    const std::vector<half> x = normal_values<half>(37, 0.0, 1.0, 3);
    std::vector<float> y(37);
    halfway::gelu(x, y);
    std::vector<bfloat16> dx(37);
    halfway::gelu_backward(x, std::vector<float>(37, 2.0f), dx);
    for (std::size_t i = 0; i < 37; ++i) {
      const double at = static_cast<double>(x[i]);
      EXPECT_LE(ulp_error<float>(y[i], functions[1].exact(at)), 1.0);
      const Slope slope = exact_slope(1, at);
      const double error = 2 * (slope.error + std::abs(slope.value)) * u32;
      EXPECT_LE(std::abs(static_cast<double>(dx[i]) - 2 * slope.value),
                error + rounding_of<bfloat16>(2 * std::abs(slope.value) + error));
    }
  });
}

// docs/special_values.md
TEST(Activation, SpecialValues) {
  for_each_target([] {
    const std::vector<float> x = {nan,       inf,        -inf,  0.0f,  -0.0f,
                                  0x1p-149f, -0x1p-149f, 3e38f, -3e38f};
    constexpr float ln_2 = 0x1.62e43p-1f;
    const std::vector<std::vector<float>> expected = {
        {nan, inf, 0.0f, 0.0f, -0.0f, 0x1p-149f, 0.0f, 3e38f, 0.0f},          // relu
        {nan, inf, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 3e38f, -0.0f},            // gelu: ties to 0
        {nan, inf, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 3e38f, -0.0f},            // gelu_tanh
        {nan, inf, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 3e38f, -0.0f},            // silu
        {nan, 1.0f, -1.0f, 0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 1.0f, -1.0f},  // tanh
        {nan, inf, 0.0f, ln_2, ln_2, ln_2, ln_2, 3e38f, 0.0f},                // softplus
        {nan, 1.0f, 0.0f, 0.5f, 0.5f, 0.5f, 0.5f, 1.0f, 0.0f}};               // sigmoid
    const std::vector<std::vector<float>> slopes = {
        {nan, 1.0f, 0.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f},
        {nan, 1.0f, -0.0f, 0.5f, 0.5f, 0.5f, 0.5f, 1.0f, -0.0f},
        {nan, 1.0f, -0.0f, 0.5f, 0.5f, 0.5f, 0.5f, 1.0f, -0.0f},
        {nan, 1.0f, -0.0f, 0.5f, 0.5f, 0.5f, 0.5f, 1.0f, -0.0f},
        {nan, 0.0f, 0.0f, 1.0f, 1.0f, 1.0f, 1.0f, 0.0f, 0.0f},
        {nan, 1.0f, 0.0f, 0.5f, 0.5f, 0.5f, 0.5f, 1.0f, 0.0f},
        {nan, 0.0f, 0.0f, 0.25f, 0.25f, 0.25f, 0.25f, 0.0f, 0.0f}};
    for (std::size_t k = 0; k < std::size(functions); ++k) {
      std::vector<float> y(x.size()), dx(x.size());
      apply(k, x, y);
      apply_backward(k, x, std::vector<float>(x.size(), 1.0f), dx);
      std::vector<std::uint32_t> bits, expected_bits;
      append_bits(bits, std::span<const float>(y));
      append_bits(expected_bits, std::span<const float>(expected[k]));
      append_bits(bits, std::span<const float>(dx));
      append_bits(expected_bits, std::span<const float>(slopes[k]));
      for (std::size_t i = 0; i < bits.size(); ++i) {
        EXPECT_EQ(bits[i], expected_bits[i])
            << functions[k].name << (i < x.size() ? " of " : " backward at ") << x[i % x.size()];
      }
      // NaN in dy, except where relu lets nothing through.
      apply_backward(k, std::vector<float>{1.0f, -1.0f}, std::vector<float>(2, nan),
                     std::span<float>(dx).first(2));
      EXPECT_TRUE(std::isnan(dx[0]));
      EXPECT_EQ(std::isnan(dx[1]), k != 0);
    }
  });
}

TEST(Activation, GivesTheSameBitsOnAnyExecutor) {
  std::vector<float> x(100001), y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 977) * 0.02f - 9.0f;
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::gelu(x, y, on);
    return std::as_bytes(std::span(y));
  });
}

// Large results are written past the caches, from the first aligned element on.
TEST(Activation, ManyElementsAreAsFew) {
  std::vector<float> x((std::size_t{17} << 20) / sizeof(float)), y(x.size()), few(1000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 977) * 0.02f - 9.0f;
  halfway::silu(x, y);
  for (std::size_t i = 0; i < x.size(); i += few.size()) {
    const std::size_t n = std::min(few.size(), x.size() - i);
    halfway::silu(std::span(x).subspan(i, n), std::span(few).first(n));
    ASSERT_TRUE(std::equal(few.begin(), few.begin() + static_cast<std::ptrdiff_t>(n),
                           y.begin() + static_cast<std::ptrdiff_t>(i)))
        << i;
  }
}

TEST(Activation, GradientsGiveTheSameBitsOnAnyExecutor) {
  const auto x = normal_values<half>(100'003, 0.0, 2.0, 5),
             dy = normal_values<half>(x.size(), 0.0, 1.0, 6);
  std::vector<half> dx(x.size());
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    halfway::gelu_backward(x, dy, dx, on);
    return std::as_bytes(std::span<const half>(dx));
  });
}

TEST(Activation, RefusesBadInput) {
  std::vector<float> x(8, 1.0f);
  std::vector<half> y(4);
  const std::span<float> null(static_cast<float*>(nullptr), 8);
  for (std::size_t k = 0; k < std::size(functions); ++k) {
    const std::string name = std::string("halfway::") + functions[k].name;
    expect_error([&] { apply(k, x, y); }, {name, "y.size() (4)", "x.size() (8)"});
    expect_error([&] { apply(k, null, x); }, {name, "x is null", "8"});
    expect_error([&] { apply(k, x, null); }, {name, "y is null", "8"});
    const std::span<float> head(x.data(), 7), tail(x.data() + 1, 7);
    expect_error([&] { apply(k, head, tail); }, {name, "x and y share memory"});
    expect_error([&] { apply_backward(k, x, y, x); },
                 {name, "_backward", "dy.size() (4)", "x.size() (8)"});
    expect_error([&] { apply_backward(k, x, x, y); }, {name, "dx.size() (4)", "x.size() (8)"});
    expect_error([&] { apply_backward(k, null, x, x); }, {name, "x is null"});
    expect_error([&] { apply_backward(k, x, null, x); }, {name, "dy is null"});
    expect_error([&] { apply_backward(k, x, x, null); }, {name, "dx is null"});
    expect_error([&] { apply_backward(k, tail, head, head); }, {name, "x and dx share memory"});
    expect_error([&] { apply_backward(k, head, tail, head); }, {name, "dy and dx share memory"});
  }
  EXPECT_EQ(x, std::vector<float>(8, 1.0f));
}

}  // namespace
