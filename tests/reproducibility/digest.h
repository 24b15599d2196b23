// SPDX-License-Identifier: Apache-2.0
// What digest.cc makes data from, and digests of.
#ifndef HALFWAY_TESTS_REPRODUCIBILITY_DIGEST_H_
#define HALFWAY_TESTS_REPRODUCIBILITY_DIGEST_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>

#include "halfway/core/matrix.h"
#include "halfway/types/dtype.h"

namespace {

using halfway::matrix;

class random_stream {  // Vigna's xorshift64*
 public:
  explicit random_stream(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  std::uint32_t bits() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<std::uint32_t>((state_ * 0x2545F4914F6CDD1Du) >> 32);
  }
  // A value in [-8, 8), now and then of another magnitude.
  float value() {
    const auto integer = static_cast<std::int32_t>(bits()) >> 4;
    const std::uint32_t kind = bits() % 32;
    const float scale = kind == 0 ? 0x1p-45f : kind == 1 ? 0x1p-20f : 0x1p-24f;
    return static_cast<float>(integer) * scale;
  }

 private:
  std::uint64_t state_;
};

// FNV-1a over the bits of the values; all NaN count as one.
class digest {
 public:
  template <class T>
  void add(const T& value) {
    if constexpr (std::is_integral_v<T>) {
      mix(static_cast<std::uint32_t>(value));
      if constexpr (sizeof(T) > 4) mix(static_cast<std::uint32_t>(value >> 32));
    } else {
      const float v = static_cast<float>(value);
      mix(v != v ? 0x7FC00000u : std::bit_cast<std::uint32_t>(v));
    }
  }
  template <class Range>
  void add_all(const Range& range) {
    for (const auto& x : range) add(x);
  }
  std::string text() const {
    char buffer[17];
    std::snprintf(buffer, sizeof buffer, "%016llx", static_cast<unsigned long long>(hash_));
    return buffer;
  }

 private:
  void mix(std::uint32_t bits) {
    for (int i = 0; i < 4; ++i, bits >>= 8) hash_ = (hash_ ^ (bits & 255)) * 0x100000001B3u;
  }
  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

template <class T>
std::string_view type_name() {
  return halfway::name(halfway::dtype_of<T>);
}

using digests = std::map<std::string, std::string>;

template <class T>
matrix<T> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  random_stream random(seed);
  matrix<T> m(rows, cols);
  for (auto& x : m.elements()) {
    if constexpr (std::is_integral_v<T>) {
      x = static_cast<T>(random.bits());
    } else {
      x = T(random.value());
    }
  }
  return m;
}

}  // namespace

#endif  // HALFWAY_TESTS_REPRODUCIBILITY_DIGEST_H_
