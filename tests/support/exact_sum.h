// SPDX-License-Identifier: Apache-2.0
// A sum of doubles without any rounding: what sums in FP32 are held against.
//
//   exact_sum sum;
//   for (float v : x) sum.add(v);
//   sum.add(-halfway::sum(x));
//   double error = sum.value();  // of halfway::sum, rounded only now
#ifndef HALFWAY_TESTS_SUPPORT_EXACT_SUM_H_
#define HALFWAY_TESTS_SUPPORT_EXACT_SUM_H_

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace halfway::testing {

// A fixed-point number of 32-bit digits from 2^-320 to 2^384, in two's complement but for carries
// that wait in the upper halves: enough for products of two floats, and for 2^31 of them.
class exact_sum {
 public:
  // Of a finite multiple of 2^-320 below 2^320.
  void add(double x) {
    int exponent = 0;
    const double fraction = std::frexp(x, &exponent);  // x = fraction 2^exponent
    if (fraction == 0) return;
    const auto integer = static_cast<std::int64_t>(std::ldexp(fraction, 53));
    const int at = exponent - 53 + 320;  // of the last bit of `integer`
    const bool below = at < 0;           // its trailing bits are zero
    const std::uint64_t magnitude =
        static_cast<std::uint64_t>(integer < 0 ? -integer : integer) >> (below ? -at : 0);
    const auto position = static_cast<std::size_t>(below ? 0 : at);
    std::uint64_t rest = magnitude;
    const std::size_t digit = position / 32, shift = position % 32;
    const std::int64_t sign = integer < 0 ? -1 : 1;
    digits_[digit] += sign * static_cast<std::int64_t>((rest << shift) & 0xFFFFFFFFu);
    rest >>= 32 - shift;  // shift < 32, so this is at most 32
    digits_[digit + 1] += sign * static_cast<std::int64_t>(rest & 0xFFFFFFFFu);
    digits_[digit + 2] += sign * static_cast<std::int64_t>(rest >> 32);
    if (++waiting_ == (1u << 30)) carry();
  }

  // To within two roundings.
  double value() {
    carry();
    // A number that is negative has a last digit of -1; its magnitude is summed instead.
    std::array<std::int64_t, count> magnitude = digits_;
    const bool negative = digits_.back() < 0;
    if (negative) {
      for (auto& d : magnitude) d = -d;
      carry(magnitude);
    }
    double sum = 0;
    for (std::size_t i = count; i-- > 0;) {
      sum += std::ldexp(static_cast<double>(magnitude[i]), static_cast<int>(32 * i) - 320);
    }
    return negative ? -sum : sum;
  }

 private:
  static constexpr std::size_t count = 24;

  static void carry(std::array<std::int64_t, count>& digits) {
    for (std::size_t i = 0; i + 1 < count; ++i) {
      const std::int64_t up = digits[i] >> 32;  // toward minus infinity
      digits[i] -= up * (std::int64_t{1} << 32);
      digits[i + 1] += up;
    }
  }
  void carry() {
    carry(digits_);
    waiting_ = 0;
  }

  std::array<std::int64_t, count> digits_{};
  unsigned waiting_ = 0;
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_EXACT_SUM_H_
