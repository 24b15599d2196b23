// SPDX-License-Identifier: Apache-2.0
// The elementary functions of small floats are correctly rounded: every value of every format,
// against MPFR.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "halfway/types/math.h"
#include "support/exact_functions.h"
#include "types/reference.h"

namespace halfway::testing {
namespace {

template <class T>
T apply(elementary f, T x) {
  switch (f) {
    case elementary::exp:
      return exp(x);
    case elementary::exp2:
      return exp2(x);
    case elementary::log:
      return log(x);
    case elementary::log2:
      return log2(x);
    case elementary::tanh:
      return tanh(x);
    case elementary::sigmoid:
      return sigmoid(x);
    case elementary::erf:
      return erf(x);
    case elementary::gelu:
      return gelu(x);
    case elementary::gelu_tanh:
      return gelu_tanh(x);
    case elementary::silu:
      return silu(x);
    case elementary::softplus:
      return softplus(x);
    case elementary::rsqrt:
      return rsqrt(x);
    case elementary::reciprocal:
      return reciprocal(x);
    case elementary::sqrt:
      return sqrt(x);
    case elementary::sin:
      return sin(x);
    default:
      return cos(x);
  }
}

// How far y is from the nearest number that lies half-way between two values, in ULP of double. y
// is no such number itself.
template <class T>
double distance_from_tie(double y) {
  const std::vector<double>& m = reference<T>::midpoints();
  const double magnitude = std::abs(y);
  const auto next = std::upper_bound(m.begin(), m.end(), magnitude);
  double distance = magnitude - *(next - 1);
  if (next != m.end()) distance = std::min(distance, *next - magnitude);
  int exponent;
  std::frexp(magnitude, &exponent);
  return std::ldexp(distance, 53 - exponent);
}

template <class T>
class Functions : public ::testing::Test {};
TYPED_TEST_SUITE(Functions, all_formats, format_names);

TYPED_TEST(Functions, AreCorrectlyRounded) {
  using T = TypeParam;
  using R = reference<T>;
  exact_functions exact;
  double nearest = std::numeric_limits<double>::infinity();
  double nearest_x = 0;
  std::size_t nearest_function = 0;
  for (std::size_t k = 0; k < elementary_count; ++k) {
    SCOPED_TRACE(elementary_names[k]);
    const auto f = static_cast<elementary>(k);
    differences d;
    for (std::uint32_t bits = 0; bits < R::patterns; ++bits) {
      const T x = T::from_bits(static_cast<typename T::storage>(bits));
      const double at = R::value(bits);
      const double y = exact.to_odd(f, at);
      const T result = apply(f, x);
      if (std::isnan(y)) {  // any NaN; where there is none, what NaN is converted to
        const T expected(y);
        d.check(isnan(result) ? expected.bits() : result.bits(), expected.bits(), at);
        continue;
      }
      d.check(result.bits(), R::encode(y), at);
      // An even y is exact (to_odd) and errs by nothing in double. Tiny arguments are dealt with
      // apart (types/math.h).
      std::uint64_t pattern;
      std::memcpy(&pattern, &y, sizeof(y));
      if (pattern % 2 == 0 || std::abs(at) < 0x1p-45) continue;
      const double distance = distance_from_tie<T>(y);
      if (distance < nearest) nearest = distance, nearest_x = at, nearest_function = k;
    }
  }
  // The functions in double err by less than 2^10 ULP, whatever the C library: glibc's by 1, and
  // the arguments of erfc and exp, rounded, move these by another |x|^2 < 2^9.
  EXPECT_GT(nearest, 0x1p15) << elementary_names[nearest_function] << " at " << nearest_x;
  ::testing::Test::RecordProperty("log2_of_ulps_to_nearest_tie",
                                  std::to_string(std::log2(nearest)));
}

}  // namespace
}  // namespace halfway::testing
