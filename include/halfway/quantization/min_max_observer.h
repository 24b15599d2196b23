// SPDX-License-Identifier: Apache-2.0
// The range of values, batch after batch, for quantization parameters that cover all of them.
//
//   halfway::min_max_observer observer;
//   for (const auto& batch : batches) observer.observe(batch);
//   const auto params = observer.params(halfway::dtype::uint8);
#ifndef HALFWAY_QUANTIZATION_MIN_MAX_OBSERVER_H_
#define HALFWAY_QUANTIZATION_MIN_MAX_OBSERVER_H_

#include <algorithm>
#include <cstddef>
#include <ranges>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/core/runs.h"
#include "halfway/quantization/affine_params.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/quantize_args.h"
#include "halfway/types/dtype.h"

namespace halfway {

namespace detail {

template <class Range>
concept observable_range = std::ranges::contiguous_range<Range> &&
    std::ranges::sized_range<Range> && float_storage<std::ranges::range_value_t<Range>>;

template <class M>
concept observable_matrix = matrix_like<M> && float_storage<std::remove_const_t<element_of<M>>>;

// An Eigen vector, for one, is a range and a matrix.
template <class M>
concept observable_matrix_only = observable_matrix<M> && !observable_range<M>;

}  // namespace detail

/// Smallest and largest finite value, and how many were not finite. A value type: copies and
/// merges; not for use by several threads at once (give each its own, then merge).
class min_max_observer {
 public:
  /// Takes in a contiguous range of any float storage type. Infinities and NaNs are counted, and
  /// otherwise ignored. Error: null with a size.
  template <detail::observable_range X>
  void observe(const X& x) {
    using T = std::ranges::range_value_t<X>;
    detail::check_not_null("halfway::min_max_observer::observe", "x", std::ranges::data(x),
                           std::ranges::size(x));
    observe_unchecked<T>(std::ranges::data(x), std::ranges::size(x));
  }

  /// Takes in a matrix of any strides.
  template <detail::observable_matrix_only X>
  void observe(const X& x) {
    using T = std::remove_const_t<element_of<const X>>;
    detail::for_each_run(matrix_view<const T>(as_view(x)),
                         [&](const T* run, std::size_t n) { observe_unchecked(run, n); });
  }

  /// As if this had observed all that the other did.
  void merge(const min_max_observer& other) {
    range_.min = std::min(range_.min, other.range_.min);
    range_.max = std::max(range_.max, other.range_.max);
    range_.finite += other.range_.finite;
    range_.non_finite += other.range_.non_finite;
  }

  /// Infinity and minus infinity while nothing finite was observed.
  float min() const { return range_.min; }
  /// @copydoc min()
  float max() const { return range_.max; }
  /// Values that min() and max() are of.
  std::size_t finite_count() const { return range_.finite; }
  /// Infinities and NaNs, of which min() and max() are not.
  std::size_t non_finite_count() const { return range_.non_finite; }

  /// choose_affine_params for the observed range. Error: nothing finite was observed.
  affine_params params(dtype type, affine_scheme scheme = affine_scheme::asymmetric) const {
    if (range_.finite == 0) {
      fail(detail::concat("halfway::min_max_observer::params: no finite value was observed (",
                          range_.non_finite, " were infinite or NaN)"));
    }
    return choose_affine_params(range_.min, range_.max, type, scheme);
  }

 private:
  template <class T>
  void observe_unchecked(const T* x, std::size_t n) {
    HALFWAY_DISPATCH(RangeKernel<T>)(x, n, range_);
  }

  detail::value_range range_;
};

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_MIN_MAX_OBSERVER_H_
