// SPDX-License-Identifier: Apache-2.0
// Weights packed once for many products: the right-hand side of gemm in the order in which its
// kernel reads it.
//
//   const halfway::packed_matrix packed(w);        // w: matrix<bfloat16>, k x n
//   halfway::gemm(x, packed, y);                   // as often as you like, from any thread
#ifndef HALFWAY_OPS_PACKED_MATRIX_H_
#define HALFWAY_OPS_PACKED_MATRIX_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/gemm_tasks.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/gemm_args.h"
#include "halfway/simd/gemm_layout.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// What can be packed: floats (but for float8_e8m0fnu, which has no zero) and signed bytes.
template <class T>
concept packable = signed_byte<T> ||(float_storage<T>&& requires(T x) { x + x; });

/// A k x n matrix of T, packed. It holds the elements themselves, not a view: n is rounded up to a
/// multiple of 32 columns and k to 1, 2 (bfloat16) or 4 (int8) rows, filled with zeros. The layout
/// does not depend on the CPU. Immutable: reading it from several threads is safe.
template <packable T>
class packed_matrix {
 public:
  using value_type = T;  ///< as packed

  packed_matrix() = default;

  /// Copies b (k x n, any strides) into panels. Error: more elements than memory can hold.
  template <matrix_like B>
  requires std::same_as<std::remove_const_t<element_of<const B>>, T>
  explicit packed_matrix(const B& b) {
    const matrix_view<const T> v = as_view(b);
    rows_ = v.rows();
    cols_ = v.cols();
    if constexpr (signed_byte<T>) {  // even with no rows, where they are zero
      column_sums_.resize(detail::round_up(cols_, detail::panel_granule));
    }
    if (v.empty()) return;
    panels_.resize(detail::packed_items<raw>(rows_, cols_));
    HALFWAY_DISPATCH(PackPanelsKernel<raw>)
    (reinterpret_cast<const raw*>(v.data()), v.row_stride(), v.col_stride(), rows_, cols_,
     panels_.data(), column_sums_.data());
  }

  std::size_t rows() const { return rows_; }  ///< k, before it is rounded up
  std::size_t cols() const { return cols_; }  ///< n, before it is rounded up
  /// Memory that the panels take.
  std::size_t bytes() const {
    return panels_.size() * sizeof(T) + column_sums_.size() * sizeof(std::int32_t);
  }

 private:
  using raw = std::conditional_t<signed_byte<T>, std::int8_t, T>;

  friend detail::packed_access;
  template <class TA>
  detail::gemm_operands<TA, raw> operands() const {
    return {.b = panels_.data(), .b_column_sums = column_sums_.data()};
  }

  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::vector<raw, detail::aligned_allocator<raw>> panels_;
  std::vector<std::int32_t> column_sums_;
};

/// Of any matrix, with its element type.
template <class B>
packed_matrix(const B&) -> packed_matrix<std::remove_const_t<element_of<const B>>>;

/// As the gemm of matrices: the same shapes, options, numbers and errors.
template <matrix_like A, packable T, matrix_like C>
requires float_storage<T>
void gemm(const A& a, const packed_matrix<T>& b, C&& c, const gemm_options& options = {},
          executor_ref on = {}) {
  using TA = std::remove_const_t<element_of<A>>;
  using TC = element_of<C>;
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<TC> vc = as_view(c);
  detail::check_linear(va, b, vc, options);
  if (vc.empty()) return;
  detail::run_linear<true>(detail::packed_access::operands(va.data(), va, b),
                           detail::make_epilogue(vc, options), options, on);
}

/// c = a * b in integers, exact: a unsigned or signed bytes, c int32.
template <matrix_like A, packable T, matrix_like C>
requires signed_byte<T>
void gemm(const A& a, const packed_matrix<T>& b, C&& c, executor_ref on = {}) {
  using TA = std::remove_const_t<element_of<A>>;
  static_assert(byte_integer<TA> && std::same_as<element_of<C>, std::int32_t>,
                "a: bytes; c: int32");
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<std::int32_t> vc = as_view(c);
  detail::check_gemm_shapes("halfway::gemm", va, b, vc);
  if (vc.empty()) return;
  using Config =
      detail::gemm_config<detail::raw_byte<TA>, std::int8_t, detail::exact_epilogue, true>;
  detail::run_gemm<Config>(detail::packed_access::operands(detail::raw(va.data()), va, b),
                           detail::exact_epilogue{{vc.data(), vc.row_stride(), vc.col_stride()}},
                           on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_PACKED_MATRIX_H_
