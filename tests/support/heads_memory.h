// SPDX-License-Identifier: Apache-2.0
// Heads in memory of their own, for tests of attention and its gradients.
//
//   heads_memory<half> q(4, 16, 64, layout::token_major);
//   q.fill_normal(1.0, seed);
//   halfway::attention(q.view(), ...);
#ifndef HALFWAY_TESTS_SUPPORT_HEADS_MEMORY_H_
#define HALFWAY_TESTS_SUPPORT_HEADS_MEMORY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <type_traits>
#include <vector>

#include "halfway/core/heads_view.h"
#include "support/numerics.h"

namespace halfway::testing {

enum class layout { dense, token_major, padded };

// Heads in memory of their own, with elements around them that must keep their value.
template <class T>
class heads_memory {
 public:
  heads_memory(std::size_t heads, std::size_t rows, std::size_t size, layout l = layout::dense)
      : storage_(2 + heads * rows * size + (l == layout::padded ? heads * 9 + heads * rows * 3 : 0),
                 T(guard)) {
    T* data = storage_.data() + 1;
    switch (l) {
      case layout::dense:
        view_ = heads_view<T>(data, heads, rows, size);
        break;
      case layout::token_major:
        view_ = heads_view<T>::token_major(data, rows, heads, size);
        break;
      case layout::padded:
        view_ = heads_view<T>(data, heads, rows, size, rows * (size + 3) + 9, size + 3);
        break;
    }
  }

  heads_view<T> view() const { return view_; }

  template <class Value>
  heads_memory& fill(Value&& value) {
    for (std::size_t h = 0; h < view_.heads(); ++h) {
      for (std::size_t i = 0; i < view_.rows(); ++i) {
        for (std::size_t j = 0; j < view_.size(); ++j) {
          view_(h, i, j) = T(static_cast<float>(value(h, i, j)));
        }
      }
    }
    return *this;
  }

  heads_memory& fill_normal(double deviation, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(0.0, deviation);
    return fill([&](auto...) {
      const double x = normal(random);
      return std::is_integral_v<T> ? std::clamp(x, -127.0, 127.0) : x;
    });
  }

  std::vector<std::uint32_t> bits() const {
    std::vector<std::uint32_t> all;
    append_bits(all, std::span<const T>(storage_));
    return all;
  }

  bool surroundings_are_whole() {
    std::vector<bool> is_element(storage_.size());
    for (std::size_t h = 0; h < view_.heads(); ++h) {
      for (std::size_t i = 0; i < view_.rows(); ++i) {
        const auto first = view_.row(h, i) - storage_.data();
        std::fill_n(is_element.begin() + first, view_.size(), true);
      }
    }
    for (std::size_t i = 0; i < storage_.size(); ++i) {
      if (!is_element[i] && static_cast<float>(storage_[i]) != guard) return false;
    }
    return true;
  }

 private:
  static constexpr float guard = 96.0f;  // exact in every type
  std::vector<T> storage_;
  heads_view<T> view_;
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_HEADS_MEMORY_H_
