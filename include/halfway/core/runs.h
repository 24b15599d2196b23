// SPDX-License-Identifier: Apache-2.0
// Matrices of any strides as runs of elements side by side, which element-wise kernels take.
//
//   for_each_run(x, [&](const float* run, std::size_t n) { total += sum(run, n); });
//   for_each_run(x, y, [&](const float* in, half* out, std::size_t n) { convert(in, out, n); });
//
// Elements that lie side by side are passed where they lie, others through a buffer. Their order is
// not defined.
#ifndef HALFWAY_CORE_RUNS_H_
#define HALFWAY_CORE_RUNS_H_

#include <algorithm>
#include <cstddef>

#include "halfway/core/matrix.h"

namespace halfway::detail {

inline constexpr std::size_t run_buffer_elements = 256;

// A run in place is worth many gathered elements: from 8 elements on it is as good as a full
// buffer.
inline std::size_t run_worth(std::size_t length, bool side_by_side) {
  return side_by_side ? 32 * length : std::min(length, run_buffer_elements);
}

// All elements in one run.
template <class T>
bool is_one_run(matrix_view<T> x) {
  return x.extent() == x.size() && x.col_stride() == 1;
}

template <class T, class Body>
void for_each_run(matrix_view<const T> x, Body&& body) {
  if (x.empty()) return;
  if (is_one_run(x) || is_one_run(x.transposed())) return body(x.data(), x.size());
  if (run_worth(x.rows(), x.row_stride() == 1) > run_worth(x.cols(), x.col_stride() == 1)) {
    x = x.transposed();
  }
  for (std::size_t i = 0; i < x.rows(); ++i) {
    if (x.col_stride() == 1) {
      body(x.row(i), x.cols());
      continue;
    }
    T buffer[run_buffer_elements];
    for (std::size_t j = 0; j < x.cols(); j += run_buffer_elements) {
      const std::size_t n = std::min(run_buffer_elements, x.cols() - j);
      for (std::size_t k = 0; k < n; ++k) buffer[k] = x(i, j + k);
      body(buffer, n);
    }
  }
}

// x and y have one shape. Each run of x is read before the same elements of y are written.
template <class From, class To, class Body>
void for_each_run(matrix_view<const From> x, matrix_view<To> y, Body&& body) {
  if (x.empty()) return;
  if ((is_one_run(x) && is_one_run(y)) ||
      (is_one_run(x.transposed()) && is_one_run(y.transposed()))) {
    return body(x.data(), y.data(), x.size());
  }
  const auto worth = [](const auto& a, const auto& b) {
    return run_worth(a.cols(), a.col_stride() == 1 && b.col_stride() == 1);
  };
  if (worth(x.transposed(), y.transposed()) > worth(x, y)) {
    x = x.transposed();
    y = y.transposed();
  }
  const bool side_by_side = x.col_stride() == 1 && y.col_stride() == 1;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    if (side_by_side) {
      body(x.row(i), y.row(i), x.cols());
      continue;
    }
    From in[run_buffer_elements];
    To out[run_buffer_elements];
    for (std::size_t j = 0; j < x.cols(); j += run_buffer_elements) {
      const std::size_t n = std::min(run_buffer_elements, x.cols() - j);
      for (std::size_t k = 0; k < n; ++k) in[k] = x(i, j + k);
      body(in, out, n);
      for (std::size_t k = 0; k < n; ++k) y(i, j + k) = out[k];
    }
  }
}

}  // namespace halfway::detail

#endif  // HALFWAY_CORE_RUNS_H_
