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

// A compensated sum: the sum in float, and the sum of what it was rounded by.
struct sum_and_error {
  float sum;
  float error;
};

// The mean as pivot + correction, which together are more exact than a float, and the variance
// about it.
struct moments {
  float pivot;       // a float close to the mean
  float correction;  // mean - pivot
  float variance;    // mean of the squared deviations, >= 0 or NaN
};

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
  row_block from(std::size_t i) const { return {row(i), stride}; }
};

// Whether to write y past the caches: where it is so large that little of it would be left there.
// That saves reading the memory that is overwritten, a third of what a copy moves: measured, a copy
// of 128 MB is 1.3 to 1.4 times as fast, one of 16 MB within a cache of 32 MB 0.8 times.
inline constexpr std::size_t stream_from_bytes = std::size_t{16} << 20;
inline bool streams(std::size_t bytes, const void* x, const void* y) {
  return bytes >= stream_from_bytes && x != y;
}

// Rows that a kernel takes through each of its passes together: as many as stay in the first-level
// cache.
inline constexpr std::size_t max_rows_together = 8;
constexpr std::size_t rows_together(std::size_t cols, std::size_t element_bytes) {
  const std::size_t fit = (std::size_t{16} << 10) / (cols * element_bytes + 1);
  return fit < 1 ? 1 : fit > max_rows_together ? max_rows_together : fit;
}

template <class TX, class TG, class TB, class TY>
struct norm_config {
  using A = float;
  using R = float;
  using X = TX;
  using G = TG;
  using B = TB;
  using Y = TY;
  static constexpr bool kAdds = false;
};
// x is first written: the sum of an addend and a residual.
template <class TA, class TR, class TX, class TG, class TB, class TY>
struct add_norm_config : norm_config<TX, TG, TB, TY> {
  using A = TA;
  using R = TR;
  static constexpr bool kAdds = true;
};

// `rows` rows of `cols` elements.
template <class Config>
struct norm_rows {
  row_block<const typename Config::X> x;
  const typename Config::G* gamma;  // or null
  const typename Config::B* beta;   // or null
  row_block<typename Config::Y> y;
  std::size_t rows;
  std::size_t cols;
  float epsilon;
  bool stream;  // y is written past the caches
  // Where Config::kAdds:
  row_block<const typename Config::A> addend{nullptr, 0};
  row_block<const typename Config::R> residual{nullptr, 0};
  row_block<typename Config::X> sum{nullptr, 0};  // x, to write

  // `count` rows from row `begin` on.
  norm_rows block(std::size_t begin, std::size_t count) const {
    norm_rows b = *this;
    b.x.data = x.row(begin);
    b.y.data = y.row(begin);
    b.rows = count;
    if constexpr (Config::kAdds) {
      b.addend.data = addend.row(begin);
      b.residual.data = residual.row(begin);
      b.sum.data = sum.row(begin);
    }
    return b;
  }
};

template <class TX, class TY>
struct softmax_config {
  using X = TX;
  using M = float;
  using Y = TY;
  static constexpr bool kMasked = false;
};
template <class TX, class TM, class TY>
struct masked_softmax_config {
  using X = TX;
  using M = TM;
  using Y = TY;
  static constexpr bool kMasked = true;
};

// `rows` rows of `cols` elements.
template <class Config>
struct softmax_rows {
  row_block<const typename Config::X> x;
  row_block<typename Config::Y> y;
  std::size_t rows;
  std::size_t cols;
  bool stream;                    // y is written past the caches
  std::size_t first_visible = 0;  // how many elements of row 0 take part; one more each row
  float scale = 1.0f;
  row_block<const typename Config::M> mask{nullptr, 0};

  std::size_t visible(std::size_t i) const {
    if constexpr (Config::kMasked) return i < cols - first_visible ? first_visible + i : cols;
    return cols;
  }
  // `count` rows from row `begin` on.
  softmax_rows block(std::size_t begin, std::size_t count) const {
    softmax_rows b = *this;
    b.x.data = x.row(begin);
    b.y.data = y.row(begin);
    b.rows = count;
    if constexpr (Config::kMasked) {
      b.first_visible = visible(begin);
      if (mask.data != nullptr) b.mask.data = mask.row(begin);
    }
    return b;
  }
};

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_SIMD_ROW_ARGS_H_
