// SPDX-License-Identifier: Apache-2.0
// What the row operations of ops/ hand to their kernels in simd/.
#ifndef HALFWAY_SIMD_ROW_ARGS_H_
#define HALFWAY_SIMD_ROW_ARGS_H_

#include <cstddef>
#include <cstdint>

namespace halfway {

/// What `mean_variance` gives: the mean, and the mean of the squared deviations from it (divided by
/// n, not n - 1).
struct mean_and_variance {
  float mean;
  float variance;
};

namespace detail {

template <class TX, class TY>
struct pair_config {
  using X = TX;
  using Y = TY;
};

// Rows of contiguous elements, `stride` apart.
template <class T>
struct row_block {
  T* data;
  std::size_t stride;

  T* row(std::size_t i) const { return data + i * stride; }
};

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_SIMD_ROW_ARGS_H_
