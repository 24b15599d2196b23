// SPDX-License-Identifier: Apache-2.0
// Eigen with halfway's types: the small floats as scalars of Eigen's matrices, Eigen's matrices as
// operands of halfway's operations, and Eigen's own 16-bit types bit for bit.
//
//   Eigen::Matrix<halfway::half, 2, 2> a;
//   a << halfway::half(1), halfway::half(2), halfway::half(3), halfway::half(4);
//   Eigen::Matrix2f b = a.cast<float>() * a.cast<float>();
//
// Eigen computes in its scalar type: a product of matrices of half rounds to half after every
// addition. For sums in float cast to float first, as above, or hand the matrices to halfway, whose
// operations take Eigen's matrices, arrays, maps, references, blocks and transposes where this
// header is included, without a copy:
//
//   halfway::gemm(w.transpose(), x.leftCols(8), y.block(0, 0, 64, 8));
//   halfway::matrix<float> m = ...;
//   Eigen::VectorXf sums = halfway::to_eigen(m).rowwise().sum();
//
// An expression without memory of its own (a + b, 2 * a, a.cast<float>()) is an error when it
// compiles, which names the expression as no matrix_like: halfway hides no copy and no allocation.
// Evaluate it: `halfway::gemm((a + b).eval(), x, y)`.
//
// Matrices of Eigen::half and Eigen::bfloat16 are taken as half and bfloat16 (interop/same_bits.h).
// Tensors: interop/eigen_tensor.h.
//
// Works with Eigen 3.4 and 5. Included by whom it concerns; nothing else in halfway needs Eigen.

#ifndef HALFWAY_INTEROP_EIGEN_H_
#define HALFWAY_INTEROP_EIGEN_H_

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <ranges>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/interop/same_bits.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "halfway/types/minifloat.h"

namespace halfway {

/// IEEE's binary16.
template <>
struct same_bits<Eigen::half> {
  using type = half;  ///< of the same patterns
};

/// The upper half of a float.
template <>
struct same_bits<Eigen::bfloat16> {
  using type = bfloat16;  ///< of the same patterns
};

namespace detail {

template <class Element, class M>
auto view_of_eigen(Element* data, const M& m) {
  if (m.innerStride() < 0 || m.outerStride() < 0) {
    fail(concat("halfway: an Eigen matrix of ", m.rows(), " x ", m.cols(), " has inner stride ",
                m.innerStride(), " and outer stride ", m.outerStride(),
                "; a matrix_view has none below 0"));
  }
  const auto inner = static_cast<std::size_t>(m.innerStride());
  const auto outer = static_cast<std::size_t>(m.outerStride());
  return in_own_types(matrix_view<Element>(
      data, static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols()),
      M::IsRowMajor ? outer : inner, M::IsRowMajor ? inner : outer));
}

}  // namespace detail
}  // namespace halfway

namespace Eigen {

// Of use to Eigen alone.
/// @cond
template <class Format>
struct NumTraits<halfway::minifloat<Format>> : GenericNumTraits<halfway::minifloat<Format>> {
  using Real = halfway::minifloat<Format>;
  enum {
    IsInteger = 0,
    IsSigned = Format::is_signed ? 1 : 0,
    IsComplex = 0,
    RequireInitialization = 0,
    ReadCost = 1,
    AddCost = 6,  // two conversions, the operation, a conversion back
    MulCost = 6
  };

  /// Eigen 3.4 takes -highest(), which the unsigned e8m0 does not have.
  static constexpr Real lowest() { return std::numeric_limits<Real>::lowest(); }

  /// What isApprox allows by default: eight units in the last place of the 16-bit formats (Eigen
  /// takes 10 and 6 for its own), one of the smaller ones, where more would be no test.
  static constexpr Real dummy_precision() {
    return Real(static_cast<float>(std::numeric_limits<Real>::epsilon()) *
                (sizeof(Real) > 1 ? 8.0f : 1.0f));
  }
};

namespace internal {

template <class Format>
struct is_arithmetic<halfway::minifloat<Format>> {
  enum { value = true };
};

/// Matrix::Random(): Eigen's own would form RAND_MAX in the scalar type, where it is infinite.
template <class Format>
struct random_default_impl<halfway::minifloat<Format>, false, false> {
  using T = halfway::minifloat<Format>;
  static T run(const T& low, const T& high) {
    const float unit = static_cast<float>(std::rand()) / static_cast<float>(RAND_MAX);
    return T(static_cast<float>(low) + (static_cast<float>(high) - static_cast<float>(low)) * unit);
  }
  static T run() {
    const float low = Format::is_signed ? -1.0f : 0.0f;
    const float unit = static_cast<float>(std::rand()) / static_cast<float>(RAND_MAX);
    return T(low + (1.0f - low) * unit);
  }
};

}  // namespace internal
/// @endcond

/// An Eigen type whose coefficients lie in memory: a matrix, an array, a map, a reference, a block,
/// a transpose of one of them. Others are to be evaluated first.
template <class Derived>
concept HalfwayDirectAccess = (internal::traits<Derived>::Flags & DirectAccessBit) != 0;

/// The object as a halfway::matrix_view, which is how halfway's operations (they find this by
/// argument-dependent lookup) take Eigen's types; of Eigen::half as a view of half. Valid as long
/// as the object's memory. Error: a negative stride.
template <HalfwayDirectAccess Derived>
auto as_view(DenseBase<Derived>& m) {
  return halfway::detail::view_of_eigen(m.derived().data(), m.derived());
}
/// Of a constant object: of constant elements.
template <HalfwayDirectAccess Derived>
auto as_view(const DenseBase<Derived>& m) {
  return halfway::detail::view_of_eigen(m.derived().data(), m.derived());
}

/// Of an expression without memory there is no view: call its eval(), or assign it to a matrix.
template <class Derived>
requires(!HalfwayDirectAccess<Derived>) void as_view(const DenseBase<Derived>& expression) = delete;

}  // namespace Eigen

namespace halfway {

/// @{
/// The same bits in the other library's type.
/// @{
inline Eigen::half to_eigen(half x) { return from_halfway<Eigen::half>(x); }
inline Eigen::bfloat16 to_eigen(bfloat16 x) { return from_halfway<Eigen::bfloat16>(x); }
inline half from_eigen(Eigen::half x) { return to_halfway(x); }
inline bfloat16 from_eigen(Eigen::bfloat16 x) { return to_halfway(x); }
/// @}

/// What `to_eigen` makes of a matrix with elements T: row-major where columns lie side by side.
template <class T>
using eigen_map =
    Eigen::Map<detail::with_const_of<T, Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic,
                                                      Eigen::Dynamic, Eigen::RowMajor>>,
               Eigen::Unaligned, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;

/// The matrix where it is, with its strides, as an Eigen::Map, whose coefficients are const if the
/// elements are; valid as long as the memory. With Eigen's own scalar, which computes faster there:
/// `to_eigen(from_halfway<Eigen::half>(m))`.
template <class M>
requires matrix_like<std::remove_reference_t<M>>
auto to_eigen(M&& m) {
  using T = element_of<std::remove_reference_t<M>>;
  const matrix_view<T> view = as_view(m);
  return eigen_map<T>(
      view.data(), static_cast<Eigen::Index>(view.rows()), static_cast<Eigen::Index>(view.cols()),
      {static_cast<Eigen::Index>(view.row_stride()), static_cast<Eigen::Index>(view.col_stride())});
}

/// A span or a vector, as a column.
template <detail::memory_range R>
auto to_eigen(R&& range) {
  using T = detail::range_element<R>;
  using Column = Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, 1>;
  return Eigen::Map<detail::with_const_of<T, Column>>(
      std::ranges::data(range), static_cast<Eigen::Index>(std::ranges::size(range)));
}

}  // namespace halfway

#endif  // HALFWAY_INTEROP_EIGEN_H_
