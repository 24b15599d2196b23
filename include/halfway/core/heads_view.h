// SPDX-License-Identifier: Apache-2.0
// The heads of queries, keys or values: a view of [heads, rows, size] elements with strides.
//
//   halfway::heads_view<float> q(data, 8, 512, 64);                        // head after head
//   auto k = halfway::heads_view<float>::token_major(data, 512, 8, 64);    // token after token
//   halfway::matrix_view<float> one = q.head(3);                           // 512 x 64
#ifndef HALFWAY_CORE_HEADS_VIEW_H_
#define HALFWAY_CORE_HEADS_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"

namespace halfway {

/// heads x rows x size elements, element (h, i, j) at data[h * head_stride + i * row_stride + j];
/// strides count elements. A row is what one head has of one token; its elements lie side by side.
/// A view is as cheap to copy as a pointer and does not own its memory. T may be const.
///
/// Part of a larger array is a view with its strides: the queries in [tokens, 3, heads, size] have
/// head_stride size and row_stride 3 * heads * size; the first n tokens of a cache for `most`
/// tokens have head_stride most * size. A batch [batch, heads, rows, size] is one view with batch *
/// heads heads.
template <class T>
class heads_view {
 public:
  using value_type = std::remove_const_t<T>;  ///< T without const

  constexpr heads_view() = default;

  /// Dense [heads, rows, size].
  heads_view(T* data, std::size_t heads, std::size_t rows, std::size_t size)
      : heads_view(data, heads, rows, size, rows * size, size) {}

  /// Errors: null data with elements; an extent that does not fit the address space; two elements
  /// in one place, or rows that interleave with those of several other heads.
  heads_view(T* data, std::size_t heads, std::size_t rows, std::size_t size,
             std::size_t head_stride, std::size_t row_stride)
      : data_(data),
        heads_(heads),
        rows_(rows),
        size_(size),
        head_stride_(head_stride),
        row_stride_(row_stride) {
    if (!empty()) check();
  }

  /// Dense [rows, heads, size], as projections of tokens come out of a matrix product.
  static heads_view token_major(T* data, std::size_t rows, std::size_t heads, std::size_t size) {
    return {data, heads, rows, size, size, heads * size};
  }

  /// A view of non-const elements is one of const elements.
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) constexpr heads_view(
      heads_view<U> other)  // NOLINT(google-explicit-constructor)
      : data_(other.data()),
        heads_(other.heads()),
        rows_(other.rows()),
        size_(other.size()),
        head_stride_(other.head_stride()),
        row_stride_(other.row_stride()) {}

  /// Element (0, 0, 0); null only in a view without elements.
  constexpr T* data() const { return data_; }
  /// Of the queries, keys or values; times the batch, if there is one.
  constexpr std::size_t heads() const { return heads_; }
  constexpr std::size_t rows() const { return rows_; }  ///< tokens
  /// Elements of a row.
  constexpr std::size_t size() const { return size_; }
  /// Elements from one head to the next.
  constexpr std::size_t head_stride() const { return head_stride_; }
  /// Elements from one row of a head to the next.
  constexpr std::size_t row_stride() const { return row_stride_; }
  /// Without elements.
  constexpr bool empty() const { return heads_ == 0 || rows_ == 0 || size_ == 0; }

  /// h < heads(), i < rows(), j < size(); not checked.
  constexpr T& operator()(std::size_t h, std::size_t i, std::size_t j) const {
    return row(h, i)[j];
  }
  /// The first element of row i of head h.
  constexpr T* row(std::size_t h, std::size_t i) const {
    return data_ + h * head_stride_ + i * row_stride_;
  }
  /// rows x size.
  matrix_view<T> head(std::size_t h) const {
    if (h >= heads_) {
      fail(detail::concat("halfway::heads_view::head: ", h, " must be less than ", heads_));
    }
    return {empty() ? data_ : row(h, 0), rows_, size_, row_stride_};
  }

  /// Elements from the first to one past the last, gaps of the strides included.
  constexpr std::size_t extent() const {
    return empty() ? 0 : (heads_ - 1) * head_stride_ + (rows_ - 1) * row_stride_ + size_;
  }

 private:
  void check() const {
    constexpr std::string_view where = "halfway::heads_view";
    const auto shape = [this] { return detail::concat(heads_, " x ", rows_, " x ", size_); };
    if (data_ == nullptr) {
      fail(detail::concat(where, ": data is null but the heads have ", shape(), " elements"));
    }
    constexpr std::size_t most =
        std::size_t(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T);
    const auto reaches_past = [](std::size_t n, std::size_t stride) {
      return n > 1 && stride != 0 && n - 1 > (most / 2 - 1) / stride;
    };
    if (size_ > most / rows_ / heads_ || reaches_past(heads_, head_stride_) ||
        reaches_past(rows_, row_stride_) ||
        (heads_ - 1) * head_stride_ + (rows_ - 1) * row_stride_ > most - size_) {
      fail(detail::concat(where, ": ", shape(), " with strides ", head_stride_, " and ",
                          row_stride_, " does not fit the address space"));
    }
    const bool rows_apart = rows_ == 1 || row_stride_ >= size_;
    const bool heads_apart = heads_ == 1 || head_stride_ >= size_;
    // Head after head, or row after row.
    const bool heads_outside = heads_ == 1 || head_stride_ >= (rows_ - 1) * row_stride_ + size_;
    const bool rows_outside = rows_ == 1 || row_stride_ >= (heads_ - 1) * head_stride_ + size_;
    if (!rows_apart || !heads_apart || !(heads_outside || rows_outside)) {
      fail(detail::concat(where, ": strides ", head_stride_, " and ", row_stride_,
                          " put two elements of ", shape(), " in one place"));
    }
  }

  T* data_ = nullptr;
  std::size_t heads_ = 0;
  std::size_t rows_ = 0;
  std::size_t size_ = 0;
  std::size_t head_stride_ = 0;
  std::size_t row_stride_ = 0;
};

namespace detail {

template <class T, class U>
bool same_places(heads_view<T> a, heads_view<U> b) {
  return static_cast<const void*>(a.data()) == static_cast<const void*>(b.data()) &&
         sizeof(T) == sizeof(U) && a.size() == b.size() && a.head_stride() == b.head_stride() &&
         a.row_stride() == b.row_stride();
}

// May a byte belong to both? False also for heads that lie in different columns of one array, such
// as queries and keys that come out of one projection.
template <class T, class U>
bool overlap(heads_view<T> a, heads_view<U> b) {
  if (!ranges_overlap(a.data(), a.extent() * sizeof(T), b.data(), b.extent() * sizeof(U))) {
    return false;
  }
  const std::size_t period = a.row_stride() * sizeof(T);
  if (period != b.row_stride() * sizeof(U) || period == 0) return true;
  const std::size_t a_bytes = ((a.heads() - 1) * a.head_stride() + a.size()) * sizeof(T);
  const std::size_t b_bytes = ((b.heads() - 1) * b.head_stride() + b.size()) * sizeof(U);
  if (a_bytes > period || b_bytes > period) return true;
  const auto from = reinterpret_cast<std::uintptr_t>(a.data());
  const auto to = reinterpret_cast<std::uintptr_t>(b.data());
  const std::size_t back = from > to ? (from - to) % period : 0;
  const std::size_t offset = from > to ? (back == 0 ? 0 : period - back) : (to - from) % period;
  return offset < a_bytes || offset + b_bytes > period;
}

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_CORE_HEADS_VIEW_H_
