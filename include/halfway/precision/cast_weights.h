// SPDX-License-Identifier: Apache-2.0
// A parameter in the type that a layer computes in, cast at most once in an autocast scope as long
// as no optimizer steps.
//
//   const halfway::autocast scope(halfway::dtype::bfloat16);
//   const auto w = halfway::cast_weights<halfway::bfloat16>(weight);   // a matrix of bfloat16
//   halfway::gemm(x, w, y);
#ifndef HALFWAY_PRECISION_CAST_WEIGHTS_H_
#define HALFWAY_PRECISION_CAST_WEIGHTS_H_

#include <concepts>
#include <cstddef>
#include <memory>
#include <utility>

#include "halfway/core/matrix.h"
#include "halfway/ops/convert.h"
#include "halfway/precision/autocast.h"
#include "halfway/precision/cast_cache.h"
#include "halfway/precision/parameter.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// A parameter's values in type T: a matrix to read, which lives as long as this does. Copies share
/// it.
template <class T>
class weights_in {
 public:
  /// Shares the ownership. Not null.
  explicit weights_in(std::shared_ptr<const matrix<T>> values)
      : values_(values->view()), owner_(std::move(values)) {}
  /// Values of somebody else's.
  explicit weights_in(matrix_view<const T> values) : values_(values) {}

  std::size_t rows() const { return values_.rows(); }  ///< of the parameter
  std::size_t cols() const { return values_.cols(); }  ///< of the parameter
  /// i < rows(), j < cols(); not checked.
  const T& operator()(std::size_t i, std::size_t j) const { return values_(i, j); }
  matrix_view<const T> view() const { return values_; }  ///< valid as long as this or a copy lives

 private:
  matrix_view<const T> values_;
  std::shared_ptr<const matrix<T>> owner_;
};

/// As of any matrix: operations take weights_in as they take a matrix.
template <class T>
matrix_view<const T> as_view(const weights_in<T>& w) {
  return w.view();
}

/// `p` in type T, each value rounded once to nearest even as by convert(). Within an autocast scope
/// the cast is kept in the scope's cache; outside any it is made each time. float needs no cast: it
/// is the parameter itself, which must outlive the result. Error: a parameter that was moved from.
template <float_storage T>
weights_in<T> cast_weights(const parameter& p) {
  if constexpr (std::same_as<T, float>) {
    return weights_in<float>(p.values());
  } else {
    const auto cast = [&] {
      matrix<T> values(p.rows(), p.cols());
      convert(p.values(), values);
      return values;
    };
    cast_cache* const cache = autocast::current().cache.get();
    if (cache != nullptr) return weights_in<T>(cache->get<matrix<T>>(p, cast));
    return weights_in<T>(std::make_shared<const matrix<T>>(cast()));
  }
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_CAST_WEIGHTS_H_
