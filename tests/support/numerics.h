// SPDX-License-Identifier: Apache-2.0
// What tests of numerical operations share: error bounds, data, bits.
//
//   EXPECT_LE(std::abs(result - exact), gamma(n) * sum_of_magnitudes + rounding_of<half>(exact));
#ifndef HALFWAY_TESTS_SUPPORT_NUMERICS_H_
#define HALFWAY_TESTS_SUPPORT_NUMERICS_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/types/dtype.h"
#include "support/for_each_target.h"

namespace halfway::testing {

// Unit roundoff of FP32.
inline constexpr double u32 = 0x1p-24;

// n u / (1 - n u), the relative error that n roundings in FP32 can add up to (Higham, Accuracy and
// Stability of Numerical Algorithms, 2002, lemma 3.1).
inline double gamma(double n) { return n * u32 / (1.0 - n * u32); }

// Half the distance between the values of T around `exact`: the error of one rounding to T.
template <class T>
double rounding_of(double exact) {
  using limits = std::numeric_limits<T>;
  int exponent = 0;
  std::frexp(exact, &exponent);
  exponent = std::max(exponent, limits::min_exponent);
  return std::ldexp(0.5, exponent - limits::digits);
}

// The distance of y from `exact` in units of the last place of T.
template <class T>
double ulp_error(double y, double exact) {
  return std::abs(y - exact) / (2.0 * rounding_of<T>(exact));
}

template <class T>
std::vector<double> widened(std::span<const T> x) {
  return {x.begin(), x.end()};
}

// n values of a normal distribution, each rounded to T.
template <class T>
std::vector<T> normal_values(std::size_t n, double mean, double deviation, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> distribution(mean, deviation);
  std::vector<T> x(n);
  for (T& element : x) element = T(distribution(random));
  return x;
}

// Rows with `pad` elements between them that must keep their value. Starts off any alignment.
template <class T>
class padded_rows {
 public:
  padded_rows(std::size_t rows, std::size_t cols, std::size_t pad)
      : rows_(rows), cols_(cols), stride_(cols + pad), storage_(1 + rows * stride_, T(guard)) {}

  matrix_view<T> view() { return {storage_.data() + 1, rows_, cols_, stride_}; }

  void fill_normal(double mean, double deviation, unsigned seed) {
    const std::vector<T> values = normal_values<T>(rows_ * cols_, mean, deviation, seed);
    for (std::size_t i = 0; i < rows_; ++i) {
      for (std::size_t j = 0; j < cols_; ++j) view()(i, j) = values[i * cols_ + j];
    }
  }

  bool padding_is_whole() {
    for (std::size_t i = 0; i < storage_.size(); ++i) {
      const bool is_element = i > 0 && (i - 1) % stride_ < cols_;
      if (!is_element && static_cast<float>(storage_[i]) != guard) return false;
    }
    return true;
  }

 private:
  static constexpr float guard = 96.0f;  // exact in every type
  std::size_t rows_, cols_, stride_;
  std::vector<T> storage_;
};

// Appends the bits of the elements, with one pattern for all NaNs.
template <class T>
void append_bits(std::vector<std::uint32_t>& bits, std::span<const T> x) {
  for (const T& element : x) {
    const float value = static_cast<float>(element);
    std::uint32_t pattern = 0x7FC00000;
    if (value == value) std::memcpy(&pattern, &value, sizeof(pattern));
    bits.push_back(pattern);
  }
}

// `results` gives bits; they must be the same on every target.
template <class Results>
void expect_same_bits_on_every_target(Results&& results) {
  std::vector<std::uint32_t> first;
  for_each_target([&] {
    std::vector<std::uint32_t> bits;
    results(bits);
    ASSERT_FALSE(bits.empty());
    if (first.empty()) first = bits;
    ASSERT_EQ(bits.size(), first.size());
    for (std::size_t i = 0; i < bits.size(); ++i) {
      ASSERT_EQ(bits[i], first[i]) << "result " << i;
    }
  });
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_NUMERICS_H_
