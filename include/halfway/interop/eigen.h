// SPDX-License-Identifier: Apache-2.0
// Eigen with halfway's types: the small floats as scalars of Eigen's matrices, Eigen's matrices as
// operands of halfway's operations, and Eigen's own 16-bit types bit for bit.
//
//   Eigen::Matrix<halfway::half, 2, 2> a;
//   a << halfway::half(1), halfway::half(2), halfway::half(3), halfway::half(4);
//   Eigen::Matrix2f b = a.cast<float>() * a.cast<float>();
//
// Eigen computes in its scalar type: a product of matrices of half rounds to half after every
// addition. For sums in float cast to float first, as above, or hand the matrices to halfway:
// `halfway::gemm(a, b, c)` takes Eigen matrices, maps, references and blocks where this header is
// included.
//
// Works with Eigen 3.4 and 5. Included by whom it concerns; nothing else in halfway needs Eigen.

#ifndef HALFWAY_INTEROP_EIGEN_H_
#define HALFWAY_INTEROP_EIGEN_H_

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "halfway/core/matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "halfway/types/minifloat.h"

namespace halfway::detail {

template <class Element, class M>
matrix_view<Element> view_of_eigen(Element* data, const M& m) {
  const auto inner = static_cast<std::size_t>(m.innerStride());
  const auto outer = static_cast<std::size_t>(m.outerStride());
  return {data, static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols()),
          M::IsRowMajor ? outer : inner, M::IsRowMajor ? inner : outer};
}

}  // namespace halfway::detail

/// What halfway adds here: what Eigen asks of a scalar type, for the small floats, and the views by
/// which halfway takes Eigen's matrices.
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

/// An Eigen type whose coefficients lie in memory: a matrix, an array, a map, a reference, a block.
template <class Derived>
concept HalfwayDirectAccess = (internal::traits<Derived>::Flags & DirectAccessBit) != 0;

/// The object as a halfway::matrix_view, which is how halfway's operations (they find this by
/// argument-dependent lookup) take Eigen's types. Expressions do not qualify: evaluate them first.
/// The view is valid as long as the object's memory.
template <HalfwayDirectAccess Derived>
auto as_view(DenseBase<Derived>& m) {
  return halfway::detail::view_of_eigen(m.derived().data(), m.derived());
}
/// @copydoc as_view(DenseBase<Derived>&)
template <HalfwayDirectAccess Derived>
auto as_view(const DenseBase<Derived>& m) {
  return halfway::detail::view_of_eigen(m.derived().data(), m.derived());
}

}  // namespace Eigen

namespace halfway {

/// @{
/// The same bits in the other library's type.
inline Eigen::half to_eigen(half x) {
  return Eigen::numext::bit_cast<Eigen::half>(Eigen::numext::uint16_t{x.bits()});
}
inline Eigen::bfloat16 to_eigen(bfloat16 x) {
  return Eigen::numext::bit_cast<Eigen::bfloat16>(Eigen::numext::uint16_t{x.bits()});
}
inline half from_eigen(Eigen::half x) {
  return half::from_bits(Eigen::numext::bit_cast<Eigen::numext::uint16_t>(x));
}
inline bfloat16 from_eigen(Eigen::bfloat16 x) {
  return bfloat16::from_bits(Eigen::numext::bit_cast<Eigen::numext::uint16_t>(x));
}
/// @}

}  // namespace halfway

#endif  // HALFWAY_INTEROP_EIGEN_H_
