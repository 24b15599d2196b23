// SPDX-License-Identifier: Apache-2.0
// Eigen's tensors (unsupported/Eigen/CXX11/Tensor) as operands of halfway's operations: of rank 2
// as matrices, of any rank as rows.
//
//   Eigen::Tensor<float, 2, Eigen::RowMajor> w(512, 64);
//   halfway::gemm(w, x, y);                                      // w where it is
//   Eigen::Tensor<float, 4, Eigen::RowMajor> scores(batch, heads, queries, keys);
//   halfway::softmax(halfway::as_rows(scores), halfway::as_rows(scores));     // over the keys
//
// For Tensor, TensorFixedSize and TensorMap, whose elements lie in memory without gaps. Expressions
// (a + b, chip, slice, shuffle) are errors when they compile; assign them to a tensor first. Of
// Eigen::half and Eigen::bfloat16 the views are of half and bfloat16.
//
// Apart from interop/eigen.h, because Eigen's tensors take long to compile.
#ifndef HALFWAY_INTEROP_EIGEN_TENSOR_H_
#define HALFWAY_INTEROP_EIGEN_TENSOR_H_

#include <cstddef>
#include <type_traits>
#include <unsupported/Eigen/CXX11/Tensor>
#include <utility>

#include "halfway/core/matrix.h"
#include "halfway/interop/eigen.h"  // IWYU pragma: export
#include "halfway/interop/same_bits.h"

namespace halfway::detail {

// The types of tensors that own or map their elements.
template <class T>
inline constexpr bool is_eigen_tensor = false;
template <class T, int Rank, int Options, class Index>
inline constexpr bool is_eigen_tensor<Eigen::Tensor<T, Rank, Options, Index>> = true;
template <class T, class Sizes, int Options, class Index>
inline constexpr bool is_eigen_tensor<Eigen::TensorFixedSize<T, Sizes, Options, Index>> = true;
template <class Plain, int Options, template <class> class Pointer>
inline constexpr bool is_eigen_tensor<Eigen::TensorMap<Plain, Options, Pointer>> = true;

}  // namespace halfway::detail

namespace Eigen {

/// A tensor whose elements lie in memory: a Tensor, a TensorFixedSize, a TensorMap.
template <class T>
concept HalfwayTensor = halfway::detail::is_eigen_tensor<std::remove_const_t<T>>;

/// The tensor of rank 2 as a halfway::matrix_view, whatever its layout; of a constant tensor (or a
/// map of one) with constant elements. Valid as long as the memory.
template <HalfwayTensor T>
requires(T::NumDimensions == 2) auto as_view(T& tensor) {
  const auto rows = static_cast<std::size_t>(tensor.dimension(0));
  const auto cols = static_cast<std::size_t>(tensor.dimension(1));
  constexpr bool by_rows = int{T::Layout} == int{RowMajor};
  return halfway::detail::in_own_types(
      halfway::matrix_view(tensor.data(), rows, cols, by_rows ? cols : 1, by_rows ? 1 : rows));
}

}  // namespace Eigen

namespace halfway {

/// A tensor of rank 1 or more as the matrix whose rows are what lies side by side in memory: the
/// last dimension of a row-major tensor, the first of Eigen's default, a column-major one. The
/// others run over the rows in the order of memory. For operations that work on rows: softmax,
/// norms, reductions. Valid as long as the memory.
template <class T>
requires(Eigen::HalfwayTensor<std::remove_reference_t<T>>) auto as_rows(T&& tensor) {
  using Tensor = std::remove_reference_t<T>;
  constexpr std::size_t rank = Tensor::NumDimensions;
  static_assert(rank >= 1, "a tensor of rank 0 has no rows");
  constexpr std::size_t inner = int{Tensor::Layout} == int{Eigen::RowMajor} ? rank - 1 : 0;
  const std::size_t rows = [&]<std::size_t... i>(std::index_sequence<i...>) {
    return ((i == inner ? 1 : static_cast<std::size_t>(tensor.dimension(i))) * ...);
  }
  (std::make_index_sequence<rank>());
  return detail::in_own_types(
      matrix_view(tensor.data(), rows, static_cast<std::size_t>(tensor.dimension(inner))));
}

}  // namespace halfway

#endif  // HALFWAY_INTEROP_EIGEN_TENSOR_H_
