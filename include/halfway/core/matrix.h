// SPDX-License-Identifier: Apache-2.0
// Matrices: a view of somebody's memory with strides, and an owner of 64-byte aligned rows.
//
//   halfway::matrix<float> m(2, 3);                      // zeros, row-major
//   m(1, 2) = 5.0f;
//   auto t = m.view().transposed();                      // 3 x 2, nothing is copied
//   halfway::matrix_view<const float> w(data, 4, 8);     // memory that somebody else owns
#ifndef HALFWAY_CORE_MATRIX_H_
#define HALFWAY_CORE_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/core/error.h"

namespace halfway {

/// rows x cols elements, element (i, j) at data[i * row_stride + j * col_stride]; strides count
/// elements. A view is as cheap to copy as a pointer and does not own its memory. T may be const.
template <class T>
class matrix_view {
 public:
  using value_type = std::remove_const_t<T>;  ///< T without const

  constexpr matrix_view() = default;

  /// Dense row-major.
  matrix_view(T* data, std::size_t rows, std::size_t cols)
      : matrix_view(data, rows, cols, cols, 1) {}

  /// Row-major with `row_stride` >= cols elements from one row to the next.
  matrix_view(T* data, std::size_t rows, std::size_t cols, std::size_t row_stride)
      : matrix_view(data, rows, cols, row_stride, 1) {}

  /// Any layout. Errors: null data with elements; an extent that does not fit the address space;
  /// two elements in one place.
  matrix_view(T* data, std::size_t rows, std::size_t cols, std::size_t row_stride,
              std::size_t col_stride)
      : data_(data), rows_(rows), cols_(cols), row_stride_(row_stride), col_stride_(col_stride) {
    if (rows != 0 && cols != 0) check();
  }

  /// A view of non-const elements is one of const elements.
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) constexpr matrix_view(
      matrix_view<U> other)  // NOLINT(google-explicit-constructor)
      : data_(other.data()),
        rows_(other.rows()),
        cols_(other.cols()),
        row_stride_(other.row_stride()),
        col_stride_(other.col_stride()) {}

  /// Element (0, 0); null only in a view without elements.
  constexpr T* data() const { return data_; }
  constexpr std::size_t rows() const { return rows_; }  ///< of the matrix, not of the memory
  constexpr std::size_t cols() const { return cols_; }  ///< elements of a row
  constexpr std::size_t size() const { return rows_ * cols_; }  ///< rows() * cols()
  /// Elements from one row to the next.
  constexpr std::size_t row_stride() const { return row_stride_; }
  /// Elements from one column to the next; 1 in a row-major view.
  constexpr std::size_t col_stride() const { return col_stride_; }
  constexpr bool empty() const { return rows_ == 0 || cols_ == 0; }  ///< without elements

  /// The elements of a row (column) lie side by side.
  constexpr bool is_row_major() const { return col_stride_ == 1 || cols_ <= 1; }
  /// The elements of a column lie side by side.
  constexpr bool is_column_major() const { return row_stride_ == 1 || rows_ <= 1; }

  /// i < rows(), j < cols(); not checked.
  constexpr T& operator()(std::size_t i, std::size_t j) const {
    return data_[i * row_stride_ + j * col_stride_];
  }

  /// The first element of row i.
  constexpr T* row(std::size_t i) const { return data_ + i * row_stride_; }

  /// The same memory read as cols x rows.
  constexpr matrix_view transposed() const {
    matrix_view t;
    t.data_ = data_;
    t.rows_ = cols_;
    t.cols_ = rows_;
    t.row_stride_ = col_stride_;
    t.col_stride_ = row_stride_;
    return t;
  }

  /// The block of `rows` x `cols` elements whose first is (row, col). Error: it does not lie within
  /// the matrix.
  matrix_view block(std::size_t row, std::size_t col, std::size_t rows, std::size_t cols) const {
    if (row > rows_ || rows > rows_ - row || col > cols_ || cols > cols_ - col) {
      fail(detail::concat("halfway::matrix_view::block: ", rows, " x ", cols, " at (", row, ", ",
                          col, ") does not lie within ", rows_, " x ", cols_));
    }
    matrix_view b = *this;
    if (rows != 0 && cols != 0) b.data_ += row * row_stride_ + col * col_stride_;
    b.rows_ = rows;
    b.cols_ = cols;
    return b;
  }

  /// Elements from the first to one past the last, gaps of the strides included.
  constexpr std::size_t extent() const {
    return empty() ? 0 : (rows_ - 1) * row_stride_ + (cols_ - 1) * col_stride_ + 1;
  }

 private:
  void check() const {
    constexpr std::string_view where = "halfway::matrix_view";
    if (data_ == nullptr) {
      fail(detail::concat(where, ": data is null but the matrix has ", rows_, " x ", cols_,
                          " elements"));
    }
    constexpr std::size_t most =
        std::size_t(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T);
    const auto reaches_past = [](std::size_t n, std::size_t stride) {
      return n > 1 && stride != 0 && n - 1 > (most - 1) / stride;
    };
    if (rows_ > most / cols_ || reaches_past(rows_, row_stride_) ||
        reaches_past(cols_, col_stride_) ||
        (rows_ - 1) * row_stride_ > most - 1 - (cols_ - 1) * col_stride_) {
      fail(detail::concat(where, ": ", rows_, " x ", cols_, " with strides ", row_stride_, " and ",
                          col_stride_, " does not fit the address space"));
    }
    /// Rows must lie apart (or columns, in a column-major view): otherwise a write to one element
    /// changes another.
    const bool rows_apart = rows_ == 1 || row_stride_ > (cols_ - 1) * col_stride_;
    const bool cols_apart = cols_ == 1 || col_stride_ > (rows_ - 1) * row_stride_;
    const bool steps = (rows_ == 1 || row_stride_ != 0) && (cols_ == 1 || col_stride_ != 0);
    if (!steps || !(rows_apart || cols_apart)) {
      fail(detail::concat(where, ": strides ", row_stride_, " and ", col_stride_,
                          " put two elements of ", rows_, " x ", cols_, " in one place"));
    }
  }

  T* data_ = nullptr;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t row_stride_ = 0;
  std::size_t col_stride_ = 1;
};

namespace detail {

template <class T>
struct aligned_allocator {
  using value_type = T;
  static constexpr std::align_val_t alignment{64};  // a cache line, and the widest x86 vector

  aligned_allocator() = default;
  template <class U>
  constexpr aligned_allocator(const aligned_allocator<U>&) {
  }  // NOLINT(google-explicit-constructor)
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), alignment)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, alignment); }
  template <class U>
  bool operator==(const aligned_allocator<U>&) const {
    return true;
  }
};

}  // namespace detail

/// Owns rows x cols elements, dense and row-major, 64-byte aligned, zero at first.
template <class T>
class matrix {
 public:
  using value_type = T;  ///< also of the views

  matrix() = default;
  /// Error: more elements than memory can hold.
  matrix(std::size_t rows, std::size_t cols)
      : rows_(rows), cols_(cols), elements_(checked_size(rows, cols)) {}

  /// Element (0, 0), 64-byte aligned; the rows follow without gaps.
  /// @{
  T* data() { return elements_.data(); }
  const T* data() const { return elements_.data(); }
  /// @}
  std::size_t rows() const { return rows_; }  ///< of the matrix
  std::size_t cols() const { return cols_; }  ///< elements of a row, and from one row to the next
  std::size_t size() const { return elements_.size(); }     ///< rows() * cols()
  std::size_t bytes() const { return size() * sizeof(T); }  ///< of the elements

  /// i < rows(), j < cols(); not checked.
  /// @{
  T& operator()(std::size_t i, std::size_t j) { return elements_[i * cols_ + j]; }
  const T& operator()(std::size_t i, std::size_t j) const { return elements_[i * cols_ + j]; }
  /// @}

  /// The whole matrix; valid as long as it lives and is not assigned to.
  /// @{
  matrix_view<T> view() { return {data(), rows_, cols_}; }
  matrix_view<const T> view() const { return {data(), rows_, cols_}; }
  /// @}

  /// All elements, row after row.
  /// @{
  std::span<T> elements() { return elements_; }
  std::span<const T> elements() const { return elements_; }
  /// @}
  /// The elements of row i < rows().
  /// @{
  std::span<T> row(std::size_t i) { return elements().subspan(i * cols_, cols_); }
  std::span<const T> row(std::size_t i) const { return elements().subspan(i * cols_, cols_); }
  /// @}

 private:
  static std::size_t checked_size(std::size_t rows, std::size_t cols) {
    constexpr std::size_t most =
        std::size_t(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T);
    if (cols != 0 && rows > most / cols) {
      fail(detail::concat("halfway::matrix: ", rows, " x ", cols,
                          " does not fit the address space"));
    }
    return rows * cols;
  }

  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::vector<T, detail::aligned_allocator<T>> elements_;
};

/// What the operations take as a matrix: whatever `as_view` (found by argument-dependent lookup)
/// turns into a matrix_view.
template <class T>
constexpr matrix_view<T> as_view(matrix_view<T> m) {
  return m;
}
/// The whole matrix; found for matrices by name, as for views.
/// @{
template <class T>
matrix_view<T> as_view(matrix<T>& m) {
  return m.view();
}
template <class T>
matrix_view<const T> as_view(const matrix<T>& m) {
  return m.view();
}
/// @}

/// What `as_view` makes a matrix_view of: a view, a matrix, an Eigen matrix (interop/eigen.h), or a
/// type of yours that has an `as_view` in its own namespace.
template <class M>
concept matrix_like = requires(M& m) {
  as_view(m).row_stride();
};

/// The element type of a matrix_like, const where it can't be written.
template <matrix_like M>
using element_of = std::remove_pointer_t<decltype(as_view(std::declval<M&>()).data())>;

namespace detail {

// Do the byte ranges [p, p + bytes) share a byte?
inline bool ranges_overlap(const void* p, std::size_t p_bytes, const void* q, std::size_t q_bytes) {
  const auto a = reinterpret_cast<std::uintptr_t>(p);
  const auto b = reinterpret_cast<std::uintptr_t>(q);
  return p_bytes != 0 && q_bytes != 0 && a < b + q_bytes && b < a + p_bytes;
}

template <class T, class U>
bool overlap(matrix_view<T> a, matrix_view<U> b) {
  return ranges_overlap(a.data(), a.extent() * sizeof(T), b.data(), b.extent() * sizeof(U));
}

// Elements of one size at the same places: an operation that reads each element before it writes it
// may run in place.
template <class T, class U>
bool same_places(matrix_view<T> a, matrix_view<U> b) {
  return static_cast<const void*>(a.data()) == static_cast<const void*>(b.data()) &&
         sizeof(T) == sizeof(U) && a.row_stride() == b.row_stride() &&
         a.col_stride() == b.col_stride();
}

inline void check_no_overlap(std::string_view where, std::string_view a_name,
                             std::string_view b_name, bool overlaps) {
  if (overlaps) [[unlikely]] {
    fail(concat(where, ": ", a_name, " and ", b_name, " share memory"));
  }
}

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_CORE_MATRIX_H_
