// SPDX-License-Identifier: Apache-2.0
// Conversions into every narrow type against MPFR, in all rounding modes, under both overflow
// policies, scalar and on every SIMD target: all boundaries between codes with their neighbours,
// every 16-bit pattern, doubles around all ties, and of all floats each HALFWAY_TEST_STRIDE-th
// (4,096th by default; 1 makes it a proof).
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "halfway/ops/convert.h"
#include "halfway/types/cast.h"
#include "halfway/types/float4.h"
#include "halfway/types/float6.h"
#include "halfway/types/int4.h"
#include "support/conversion_oracle.h"

namespace halfway::testing {
namespace {

constexpr std::uint32_t infinity_bits = 0x7F800000u;
constexpr std::size_t chunk = 16384;
constexpr std::uint64_t seed = 0x0123456789ABCDEF;

enum class mode { nearest, toward_zero, stochastic };
constexpr std::array modes = {mode::nearest, mode::toward_zero, mode::stochastic};
const char* text(mode m) {
  return m == mode::nearest ? "nearest" : m == mode::toward_zero ? "toward zero" : "stochastic";
}

std::size_t stride() {
  const char* text = std::getenv("HALFWAY_TEST_STRIDE");
  return text == nullptr ? 4096 : static_cast<std::size_t>(std::max(1, std::atoi(text)));
}

// Zero stands for the scalar conversion.
std::vector<std::int64_t> targets_and_scalar() {
  hwy::SetSupportedTargetsForTest(0);
  std::vector<std::int64_t> all = hwy::SupportedAndGeneratedTargets();
  all.push_back(0);
  return all;
}
void run_on(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}
std::string target_name(std::int64_t target) {
  return target == 0 ? "scalar" : hwy::TargetName(target);
}

// words[i]: number first + i, four at a time.
void fill_words(std::uint64_t first, std::span<std::uint32_t> words) {
  std::array<std::uint32_t, 4> block{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint64_t number = first + i;
    if (i == 0 || number % 4 == 0) {
      const std::uint64_t counter = number / 4;
      block = detail::philox::block(
          {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0},
          {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
    }
    words[i] = block[number % 4];
  }
}

// Conversions of n elements, with the types hidden: what checks them is compiled once.
using bulk_conversion = void (*)(const void* x, void* y, std::size_t n, mode m, bool saturate,
                                 std::uint64_t first);
using scalar_conversion = void (*)(const void* x, void* y, std::size_t n, mode m, bool saturate,
                                   const std::uint32_t* words);

template <class From, class To>
void convert_bulk(const void* x, void* y, std::size_t n, mode m, bool saturate,
                  std::uint64_t first) {
  const auto* from = static_cast<const From*>(x);
  auto* to = static_cast<To*>(y);
  // The function below the public ones, which takes a tenth of the time to compile; convert_test.cc
  // has the public ones.
  const auto with = [&](auto rounding) {
    saturate ? detail::convert_unchecked<overflow::saturate>(from, to, n, false, rounding)
             : detail::convert_unchecked<overflow::ieee>(from, to, n, false, rounding);
  };
  if (m == mode::nearest) {
    with(round_to_nearest_even());
  } else if (m == mode::toward_zero) {
    with(round_toward_zero());
  } else {
    with(round_stochastically{seed, first});
  }
}

template <class From, class To>
void convert_scalar(const void* x, void* y, std::size_t n, mode m, bool saturate,
                    const std::uint32_t* words) {
  const auto with = [&](auto rounding_at) {
    for (std::size_t i = 0; i < n; ++i) {
      const From value = static_cast<const From*>(x)[i];
      static_cast<To*>(y)[i] = saturate ? saturate_cast<To>(value, rounding_at(i))
                                        : ieee_cast<To>(value, rounding_at(i));
    }
  };
  if (m == mode::nearest) {
    with([](std::size_t) { return round_to_nearest_even(); });
  } else if (m == mode::toward_zero) {
    with([](std::size_t) { return round_toward_zero(); });
  } else {
    with([&](std::size_t i) { return round_with_random_word{words[i]}; });
  }
}

struct narrow_type {
  conversion_target target;
  target_patterns patterns;
  std::size_t size;
  bulk_conversion from_float, from_half, from_bfloat16;
  scalar_conversion scalar_from_float, scalar_from_double;
};
template <class T>
narrow_type type_of() {
  return {target_of<T>(),           patterns_of<T>(),         sizeof(T),
          convert_bulk<float, T>,   convert_bulk<half, T>,    convert_bulk<bfloat16, T>,
          convert_scalar<float, T>, convert_scalar<double, T>};
}

// Checks conversions of values that are floats by the oracle's tables. Storage: unsigned, of the
// type's size.
template <class Storage>
class checker {
 public:
  explicit checker(const narrow_type& type)
      : type_(type), target_(type.target), table_(type.target), targets_(targets_and_scalar()) {
    for (const bool saturate : {false, true}) {
      for (const bool negative : {false, true}) {
        for (std::uint32_t code = 0; code <= target_.largest + 1; ++code) {
          patterns_[saturate][negative].push_back(
              static_cast<Storage>(type.patterns.of_code(code, negative, saturate)));
        }
      }
    }
    policies_differ_ = patterns_[false][false] != patterns_[true][false];
  }
  ~checker() {
    EXPECT_EQ(wrong_, 0u);
    EXPECT_NE(checked_, 0u) << "nothing was checked";
    run_on(0);
  }

  const boundaries& table() const { return table_; }

  // All floats with these bits, which ascend, and one sign. `first`: the number of the first random
  // word.
  void check_floats(std::span<const std::uint32_t> magnitudes, bool negative, std::uint64_t first) {
    floats_.resize(magnitudes.size());
    for (std::size_t i = 0; i < magnitudes.size(); ++i)
      floats_[i] = std::bit_cast<float>(magnitudes[i] | (negative ? 0x80000000u : 0u));
    check(floats_.data(), type_.from_float, type_.scalar_from_float, magnitudes, negative, first);
  }

  // The same for other elements with these floats' values.
  void check(const void* x, bulk_conversion bulk, scalar_conversion scalar,
             std::span<const std::uint32_t> magnitudes, bool negative, std::uint64_t first) {
    const std::size_t n = magnitudes.size();
    codes_.resize(n), below_.resize(n), words_.resize(n), expected_.resize(n), got_.resize(n);
    codes_of(magnitudes, table_.below(), below_.data());
    fill_words(first, words_);
    for (const mode m : modes) {
      find_codes(magnitudes, m);
      for (const bool saturate : {false, true}) {
        if (saturate && !policies_differ_) continue;
        fill_expected(magnitudes, negative, saturate);
        for (const std::int64_t target : targets_) {
          if (target != 0) {
            run_on(target);
            bulk(x, got_.data(), n, m, saturate, first);
          } else if (scalar != nullptr) {
            scalar(x, got_.data(), n, m, saturate, words_.data());
          } else {
            continue;
          }
          checked_ += n;
          if (got_ == expected_) continue;
          for (std::size_t i = 0; i < n; ++i) {
            if (got_[i] == expected_[i] || ++wrong_ > 1) continue;
            ADD_FAILURE() << target_.name << ", " << text(m) << (saturate ? ", saturating" : "")
                          << ", " << target_name(target) << std::hex << ": 0x" << +got_[i]
                          << " instead of 0x" << +expected_[i] << " from the "
                          << (negative ? "negative" : "positive") << " float 0x" << magnitudes[i]
                          << ", random word 0x" << words_[i];
          }
        }
      }
    }
  }

 private:
  void find_codes(std::span<const std::uint32_t> magnitudes, mode m) {
    if (m == mode::nearest) return codes_of(magnitudes, table_.nearest(), codes_.data());
    for (std::size_t i = 0; i < magnitudes.size(); ++i) {
      const std::uint32_t below = below_[i];
      if (m == mode::stochastic) {
        codes_[i] = below + rounds_up(magnitudes[i], below, words_[i]);
      } else {
        codes_[i] = magnitudes[i] < infinity_bits ? std::min(below, target_.largest) : below;
      }
    }
  }

  void fill_expected(std::span<const std::uint32_t> magnitudes, bool negative, bool saturate) {
    const std::vector<Storage>& patterns = patterns_[saturate][negative];
    for (std::size_t i = 0; i < magnitudes.size(); ++i) expected_[i] = patterns[codes_[i]];
    for (std::size_t i = 0; i < magnitudes.size() && magnitudes[i] == 0; ++i)
      expected_[i] = static_cast<Storage>(type_.patterns.of_zero(negative, saturate));
    for (std::size_t i = magnitudes.size(); i-- > 0 && magnitudes[i] > infinity_bits;) {
      expected_[i] =
          static_cast<Storage>(type_.patterns.of_nan(negative, std::uint64_t{magnitudes[i]} << 42));
    }
  }

  // mpfr_rounds_up in the arithmetic of double, which is exact for floats.
  std::uint32_t rounds_up(std::uint32_t magnitude, std::uint32_t code, std::uint32_t word) const {
    if (code > target_.largest) return 0;  // NaN too
    const double x = std::bit_cast<float>(magnitude);
    const double low = target_.values[code], gap = target_.values[code + 1] - low;
    if (x < low) return 0;  // the target has no zero
    return (x - low) / gap >= 1.0 - static_cast<double>(word / 2) * 0x1p-31 ? 1 : 0;
  }

  const narrow_type& type_;
  const conversion_target& target_;
  boundaries table_;
  std::vector<std::int64_t> targets_;
  std::vector<Storage> patterns_[2][2];
  std::vector<std::uint32_t> codes_, below_, words_;
  std::vector<float> floats_;
  std::vector<Storage> expected_, got_;
  bool policies_differ_;  // else there is one kernel
  std::uint64_t wrong_ = 0, checked_ = 0;
};

class ConvertExact : public ::testing::TestWithParam<narrow_type> {
 public:
  // body(checker)
  template <class Body>
  static void with_checker(Body&& body) {
    if (GetParam().size == 2) {
      checker<std::uint16_t> c(GetParam());
      body(c);
    } else {
      checker<std::uint8_t> c(GetParam());
      body(c);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(AllTypes, ConvertExact,
                         ::testing::Values(type_of<half>(), type_of<bfloat16>(),
                                           type_of<float8_e4m3fn>(), type_of<float8_e5m2>(),
                                           type_of<float8_e4m3fnuz>(), type_of<float8_e5m2fnuz>(),
                                           type_of<float8_e8m0fnu>(), type_of<float6_e2m3fn>(),
                                           type_of<float6_e3m2fn>(), type_of<float4_e2m1fn>(),
                                           type_of<int8>(), type_of<uint8>(), type_of<int4>(),
                                           type_of<uint4>()),
                         [](const auto& type) { return type.param.target.name; });

TEST_P(ConvertExact, FloatsAtAndBesideEveryBoundary) {
  with_checker([](auto& c) {
    c.table().check_with_mpfr();
    std::vector<std::uint32_t> m = {0, 1, 2, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, infinity_bits};
    for (std::uint32_t bit = 0; bit < 23; ++bit) m.push_back(infinity_bits | 1u << bit);  // NaNs
    for (const auto& first : {c.table().nearest(), c.table().below()}) {
      for (const std::uint32_t at : first) {
        for (const std::uint32_t beside : {at - 2, at - 1, at, at + 1, at + 2})
          if (beside <= infinity_bits) m.push_back(beside);
      }
    }
    std::sort(m.begin(), m.end());
    for (const bool negative : {false, true}) c.check_floats(m, negative, 5);
  });
}

TEST_P(ConvertExact, EveryFloat) {
  with_checker([](auto& c) {
    const std::size_t step = stride();
    std::vector<std::uint32_t> m;
    for (std::uint64_t at = 0; at < std::uint64_t{1} << 31;) {
      const std::uint64_t first = at;
      m.clear();
      for (; m.size() < chunk && at < std::uint64_t{1} << 31; at += step)
        m.push_back(static_cast<std::uint32_t>(at));
      for (const bool negative : {false, true}) c.check_floats(m, negative, first);
    }
  });
}

// Every pattern of From, a type whose values are floats.
template <class From, class Checker>
void check_every_pattern(Checker& c, bulk_conversion bulk) {
  using R = reference<From>;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> all;  // bits as a float; code
  for (std::uint32_t code = 0; code < R::codes; ++code) {
    const std::uint32_t payload = code % (1u << R::f.mantissa_bits) << (23 - R::f.mantissa_bits);
    const auto value = static_cast<float>(R::value_of_code(code));
    all.emplace_back(code > R::infinity_code    ? infinity_bits | 0x00400000u | payload
                     : code == R::infinity_code ? infinity_bits
                                                : std::bit_cast<std::uint32_t>(value),
                     code);
  }
  std::sort(all.begin(), all.end());  // NaNs, which become quiet, have lost their order
  std::vector<std::uint32_t> magnitudes;
  for (const auto& [bits, code] : all) magnitudes.push_back(bits);
  for (const bool negative : {false, true}) {
    std::vector<From> x;
    for (const auto& [bits, code] : all)
      x.push_back(From::from_bits(static_cast<std::uint16_t>(code | (negative ? R::sign : 0))));
    c.check(x.data(), bulk, nullptr, magnitudes, negative, 3);
  }
}

TEST_P(ConvertExact, EverySixteenBitPattern) {
  with_checker([](auto& c) {
    const narrow_type& type = GetParam();
    if (type.target.name != "float16") check_every_pattern<half>(c, type.from_half);
    if (type.target.name != "bfloat16") check_every_pattern<bfloat16>(c, type.from_bfloat16);
  });
}

// What MPFR makes of doubles, each by itself; for float too, whose codes are its patterns.
class double_expectation {
 public:
  explicit double_expectation(const conversion_target& target)
      : target_(target), is_float_(target.digits == 24) {}

  // x is not NaN.
  std::uint32_t code(double x, mode m, std::uint32_t word) const {
    const double a = std::abs(x);
    if (std::isinf(a)) return target_.largest + 1;
    const std::uint32_t code =
        code_of(mpfr_rounded(a, target_, m == mode::nearest ? MPFR_RNDN : MPFR_RNDZ));
    if (m == mode::toward_zero) return std::min(code, target_.largest);
    if (m == mode::nearest || code > target_.largest || a <= value_of(code)) return code;
    return code + (mpfr_rounds_up(a, value_of(code), value_of(code + 1), word) ? 1 : 0);
  }

 private:
  std::uint32_t code_of(double y) const {
    if (is_float_) {
      return y > FLT_MAX ? infinity_bits : std::bit_cast<std::uint32_t>(static_cast<float>(y));
    }
    const auto& v = target_.values;
    return static_cast<std::uint32_t>(std::lower_bound(v.begin(), v.end() - 1, y) - v.begin());
  }
  double value_of(std::uint32_t code) const {
    if (!is_float_) return target_.values[code];
    return code >= infinity_bits ? 0x1p128 : std::bit_cast<float>(code);
  }

  const conversion_target& target_;
  bool is_float_;
};

void check_doubles(const std::vector<double>& x, const narrow_type& type) {
  const double_expectation expectation(type.target);
  const std::size_t n = x.size();
  std::vector<std::uint32_t> words(n), codes(n);
  fill_words(1, words);
  std::vector<unsigned char> got(n * type.size);
  ASSERT_NE(n, 0u);
  for (const mode m : modes) {
    for (std::size_t i = 0; i < n; ++i)
      codes[i] = std::isnan(x[i]) ? 0 : expectation.code(x[i], m, words[i]);
    for (const bool saturate : {false, true}) {
      if (type.size == 4 && saturate) continue;  // float keeps infinity under both names
      type.scalar_from_double(x.data(), got.data(), n, m, saturate, words.data());
      for (std::size_t i = 0; i < n; ++i) {
        const bool negative = std::signbit(x[i]);
        const std::uint32_t expected =
            std::isnan(x[i])
                ? type.patterns.of_nan(negative, std::bit_cast<std::uint64_t>(x[i]) << 13)
            : x[i] == 0 ? type.patterns.of_zero(negative, saturate)
                        : type.patterns.of_code(codes[i], negative, saturate);
        std::uint32_t bits = 0;
        std::memcpy(&bits, got.data() + i * type.size, type.size);  // little endian
        ASSERT_EQ(bits, expected) << type.target.name << ", " << text(m)
                                  << (saturate ? ", saturating" : "") << std::hexfloat << ", from "
                                  << x[i] << ", random word " << words[i];
      }
    }
  }
}

// x, and doubles beside it: the next ones, those that a float between would take for x, and those
// that it would take for a neighbour.
void add_around(double x, std::vector<double>& all) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double y :
       {x, std::nextafter(x, infinity), std::nextafter(x, -infinity), x * (1 + 0x1p-26),
        x * (1 - 0x1p-26), x * (1 + 0x1p-24), x * (1 - 0x1p-25), x * (1 + 0x1p-30)}) {
    all.push_back(y);
    all.push_back(-y);
  }
}

std::vector<double> special_doubles() {
  using limits = std::numeric_limits<double>;
  std::vector<double> x;
  for (const double y :
       {0.0, limits::denorm_min(), limits::min(), 0x1p-149, 0x1p-150, 0x1p-1000, limits::max(),
        double{FLT_MAX}, 0x1.FFFFFFp127, 0x1.FFFFFEFFFFFFFp127, 0x1p128, limits::infinity()}) {
    x.push_back(y);
    x.push_back(-y);
  }
  for (int bit = 0; bit < 52; ++bit) {  // NaNs
    for (const std::uint64_t sign : {std::uint64_t{0}, std::uint64_t{1} << 63})
      x.push_back(std::bit_cast<double>(sign | 0x7FF0000000000000u | std::uint64_t{1} << bit));
  }
  return x;
}

TEST_P(ConvertExact, DoublesAroundEveryValueAndTie) {
  const conversion_target& target = GetParam().target;
  std::vector<double> x = special_doubles();
  for (std::uint32_t c = 0; c <= target.largest; ++c) {
    add_around(target.values[c], x);
    add_around((target.values[c] + target.values[c + 1]) / 2, x);
  }
  add_around(target.values[target.largest + 1], x);
  check_doubles(x, GetParam());
}

TEST(ConvertExactToFloat, DoublesAroundFloatsAndTheirTies) {
  std::vector<double> x = special_doubles();
  for (std::uint32_t m = 0; m < infinity_bits; m += 0x10001) {
    const double low = std::bit_cast<float>(m);
    const double high = m + 1 < infinity_bits ? double{std::bit_cast<float>(m + 1)} : 0x1p128;
    add_around(low, x);
    add_around(low + (high - low) / 2, x);
  }
  narrow_type type{};
  type.target = float_target();
  type.patterns = {
      [](std::uint32_t code, bool negative, bool) { return (negative ? 0x80000000u : 0u) | code; },
      [](bool negative, bool) { return negative ? 0x80000000u : 0u; },
      [](bool negative, std::uint64_t payload) {
        return (negative ? 0x80000000u : 0u) | 0x7FC00000u |
               static_cast<std::uint32_t>(payload >> 42);
      }};
  type.size = sizeof(float);
  type.scalar_from_double = convert_scalar<double, float>;
  check_doubles(x, type);
}

}  // namespace
}  // namespace halfway::testing
