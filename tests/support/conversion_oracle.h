// SPDX-License-Identifier: Apache-2.0
// What a conversion must give, from MPFR: its arithmetic, its rounding, its exponent range. Shares
// nothing with the library but the names of types.
//
//   conversion_target half_target = target_of<half>();
//   double y = mpfr_rounded(0.1, half_target, MPFR_RNDN);       // exactly what MPFR makes of it
//   boundaries all(half_target);                                // where each code begins
//   codes_of(magnitudes, all.nearest(), codes);                 // of 2^31 floats, in seconds
//
// Rounding is monotone: so the floats that become one code are an interval, and the first of each
// says all. MPFR finds these and is asked about the float before each.
#ifndef HALFWAY_TESTS_SUPPORT_CONVERSION_ORACLE_H_
#define HALFWAY_TESTS_SUPPORT_CONVERSION_ORACLE_H_

#include <gtest/gtest.h>
#include <mpfr.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "halfway/types/int4.h"
#include "halfway/types/int8.h"
#include "types/reference.h"

namespace halfway::testing {

/// A format, or an integer type, as the oracle sees it. Codes number the magnitudes that it has,
/// from 0; largest + 1 stands for all that are larger.
struct conversion_target {
  std::string name;
  int digits;  // of the significand
  int bias;
  bool is_integer;
  bool has_zero;
  std::uint32_t largest;
  // By code, to one past the largest.
  std::vector<double> values;

  double smallest() const { return values[has_zero ? 1 : 0]; }
};

template <class T>
conversion_target target_of() {
  conversion_target t;
  if constexpr (is_small_int_v<T>) {
    t.name = (T::lowest_value < 0 ? "int" : "uint") + std::string(T::max_value > 15 ? "8" : "4");
    t.digits = 0;
    t.bias = 0;
    t.is_integer = true;
    t.has_zero = true;
    t.largest = static_cast<std::uint32_t>(std::max(T::max_value, -T::lowest_value));
    for (std::uint32_t c = 0; c <= t.largest + 1; ++c) t.values.push_back(c);
  } else {
    using R = reference<T>;
    t.name = R::f.name;
    t.digits = R::f.mantissa_bits + 1;
    t.bias = R::f.bias;
    t.is_integer = false;
    t.has_zero = R::has_zero;
    t.largest = R::largest_code;
    for (std::uint32_t c = 0; c <= t.largest + 1; ++c) t.values.push_back(R::value_of_code(c));
  }
  return t;
}

/// float as a target, for conversions from double; without a table of its values.
inline conversion_target float_target() {
  return {"float32", 24, 127, false, true, 0x7F7FFFFFu, {0.0, 0x1p-149}};
}

/// A number of MPFR that ends with its scope. What is computed here fits 64 bits, and is so exact.
class big {
 public:
  explicit big(double x, mpfr_prec_t precision = 64) {
    mpfr_init2(value_, precision);
    mpfr_set_d(value_, x, MPFR_RNDN);
  }
  big(const big&) = delete;
  big& operator=(const big&) = delete;
  ~big() { mpfr_clear(value_); }
  mpfr_ptr get() { return value_; }

 private:
  mpfr_t value_;
};

/// x rounded into `target` by MPFR, as if the target had no largest value. In a target without zero
/// what is below the smallest value becomes that.
inline double mpfr_rounded(double x, const conversion_target& target, mpfr_rnd_t mode) {
  big exact(x);
  if (target.is_integer) {
    mpfr_rint(exact.get(), exact.get(), mode);
    return mpfr_get_d(exact.get(), MPFR_RNDN);
  }
  big result(0.0, target.digits);
  if (target.has_zero) {
    const mpfr_exp_t emin = mpfr_get_emin();
    int inexact = mpfr_set(result.get(), exact.get(), mode);
    // MPFR's significands begin after the point.
    mpfr_set_emin(2 - target.bias - (target.digits - 1));
    inexact = mpfr_check_range(result.get(), inexact, mode);
    mpfr_subnormalize(result.get(), inexact, mode);
    mpfr_set_emin(emin);
  } else {
    mpfr_set(result.get(), exact.get(), mode);
  }
  const double y = mpfr_get_d(result.get(), MPFR_RNDN);  // exact
  return target.has_zero || x == 0 ? y : std::copysign(std::max(std::abs(y), target.smallest()), x);
}

/// Which neighbour of x >= 0 stochastic rounding by `word` takes: whether the upper one. `low` and
/// `high` are the neighbours, low <= x < high.
inline bool mpfr_rounds_up(double x, double low, double high, std::uint32_t word) {
  big fraction(x), gap(high), needed(1.0 - static_cast<double>(word / 2) * 0x1p-31);
  mpfr_sub_d(fraction.get(), fraction.get(), low, MPFR_RNDN);
  mpfr_sub_d(gap.get(), gap.get(), low, MPFR_RNDN);
  mpfr_div(fraction.get(), fraction.get(), gap.get(), MPFR_RNDN);  // by a power of two
  return mpfr_cmp(fraction.get(), needed.get()) >= 0;
}

/// The first float, as its bits, that becomes each code or a larger one; for two ways of rounding.
class boundaries {
 public:
  explicit boundaries(const conversion_target& target) : target_(target) {
    nearest_.push_back(0);
    below_.push_back(0);
    for (std::uint32_t c = 1; c <= target.largest + 1; ++c) {
      const double low = target.values[c - 1], high = target.values[c];
      big middle(low);
      mpfr_add_d(middle.get(), middle.get(), high, MPFR_RNDN);
      mpfr_div_2ui(middle.get(), middle.get(), 1, MPFR_RNDN);
      float first = mpfr_get_flt(middle.get(), MPFR_RNDU);
      if (mpfr_rounded(first, target, MPFR_RNDN) < high) first = after(first);
      nearest_.push_back(bits(first));
      below_.push_back(bits(static_cast<float>(high)));
    }
  }

  const std::vector<std::uint32_t>& nearest() const { return nearest_; }
  const std::vector<std::uint32_t>& below() const { return below_; }  // toward zero

  /// Asks MPFR about both sides of every boundary, both signs.
  void check_with_mpfr() const {
    for (std::uint32_t c = 1; c <= target_.largest + 1; ++c) {
      for (const auto& [mode, first] :
           {std::pair(MPFR_RNDN, nearest_[c]), std::pair(MPFR_RNDZ, below_[c])}) {
        const float at = std::bit_cast<float>(first), before = std::bit_cast<float>(first - 1);
        const std::string what = target_.name + ", code " + std::to_string(c);
        ASSERT_EQ(mpfr_rounded(before, target_, mode), target_.values[c - 1]) << what;
        ASSERT_EQ(mpfr_rounded(-before, target_, mode), -target_.values[c - 1]) << what;
        if (std::isinf(at)) continue;  // no finite float is that large
        ASSERT_EQ(mpfr_rounded(at, target_, mode), target_.values[c]) << what;
        ASSERT_EQ(mpfr_rounded(-at, target_, mode), -target_.values[c]) << what;
      }
    }
  }

 private:
  static std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
  static float after(float x) { return std::bit_cast<float>(bits(x) + 1); }

  const conversion_target& target_;
  std::vector<std::uint32_t> nearest_, below_;
};

/// codes[i]: of the float with bits magnitudes[i], which ascend from at least 0. `first`: one of the
/// tables above.
inline void codes_of(std::span<const std::uint32_t> magnitudes,
                     const std::vector<std::uint32_t>& first, std::uint32_t* codes) {
  if (magnitudes.empty()) return;
  auto code = static_cast<std::size_t>(std::upper_bound(first.begin(), first.end(), magnitudes[0]) -
                                       first.begin() - 1);
  const std::size_t last = first.size() - 1;
  for (std::size_t i = 0; i < magnitudes.size(); ++i) {
    while (code < last && first[code + 1] <= magnitudes[i]) ++code;
    codes[i] = static_cast<std::uint32_t>(code);
  }
}

/// What codes, zeros and NaNs are as patterns of T, by the formats' definitions (types/reference.h).
struct target_patterns {
  std::uint32_t (*of_code)(std::uint32_t code, bool negative, bool saturate);
  std::uint32_t (*of_zero)(bool negative, bool saturate);
  /// `payload`: the bits below the quiet bit, the highest at bit 63.
  std::uint32_t (*of_nan)(bool negative, std::uint64_t payload);
};

template <class T>
constexpr target_patterns patterns_of() {
  if constexpr (is_small_int_v<T>) {
    return {[](std::uint32_t code, bool negative, bool) {
              const int value = negative ? -static_cast<int>(code) : static_cast<int>(code);
              const int limited = std::clamp(value, T::lowest_value, T::max_value);
              return static_cast<std::uint32_t>(limited) & 0xFF;
            },
            [](bool, bool) { return 0u; }, [](bool, std::uint64_t) { return 0u; }};
  } else {
    using R = reference<T>;
    return {[](std::uint32_t code, bool negative, bool saturate) {
              if (!R::has_zero && negative) return saturate ? 0 : R::codes - 1;
              if (code > R::largest_code && !saturate) return R::overflow_bits(negative);
              const std::uint32_t limited = std::min(code, R::largest_code);
              if (R::f.special == specials::fnuz && limited == 0) return 0u;
              return (negative ? R::sign : 0) | limited;
            },
            [](bool negative, bool saturate) {
              if (!R::has_zero) return saturate ? 0 : R::codes - 1;
              return negative && R::f.special != specials::fnuz ? R::sign : 0;
            },
            [](bool negative, std::uint64_t payload) { return R::encode_nan(negative, payload); }};
  }
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_CONVERSION_ORACLE_H_
