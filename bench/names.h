// SPDX-License-Identifier: Apache-2.0
// The words that case names are made of, and numbers to compute with.
//
//   name("softmax/", short_name<float>(), "/rows:", 128)     // "softmax/f32/rows:128"
#ifndef HALFWAY_BENCH_NAMES_H_
#define HALFWAY_BENCH_NAMES_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>

#include "halfway/core/matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "problem.h"

namespace halfway_bench {

template <class T>
constexpr element element_of() {
  if constexpr (std::is_same_v<T, float>) return element::f32;
  if constexpr (std::is_same_v<T, halfway::half>) return element::f16;
  if constexpr (std::is_same_v<T, halfway::bfloat16>) return element::bf16;
  if constexpr (std::is_same_v<T, halfway::float8_e4m3fn>) return element::e4m3;
  if constexpr (std::is_same_v<T, halfway::float8_e5m2>) return element::e5m2;
  if constexpr (std::is_same_v<T, std::uint8_t>) return element::u8;
  if constexpr (std::is_same_v<T, std::int8_t>) return element::s8;
  if constexpr (std::is_same_v<T, std::int32_t>) return element::s32;
}

template <class T>
std::string_view short_name() {
  return short_name(element_of<T>());
}

// Joins the parts of a case name.
template <class... Parts>
std::string name(const Parts&... parts) {
  std::string text;
  const auto add = [&](const auto& part) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(part)>>) {
      text += std::to_string(part);
    } else {
      text += part;
    }
  };
  (add(parts), ...);
  return text;
}

// A matrix of normal random numbers; of bytes, all their values.
template <class T>
halfway::matrix<T> random_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
  halfway::matrix<T> m(rows, cols);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  // Drawing all of them would take longer than the bench. A prime, so that rows differ.
  constexpr std::size_t drawn = 65521;
  for (std::size_t i = 0; i < m.size(); ++i) {
    if (i >= drawn) {
      m.data()[i] = m.data()[i - drawn];
    } else if constexpr (std::is_integral_v<T>) {
      m.data()[i] = static_cast<T>(random());
    } else {
      m.data()[i] = T(normal(random));
    }
  }
  return m;
}

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_NAMES_H_
