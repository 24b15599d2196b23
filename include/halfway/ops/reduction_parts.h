// SPDX-License-Identifier: Apache-2.0
// Long ranges cut into parts of a fixed length, which an executor runs: whatever it is, the parts
// and so the bits of what is made of them are the same.
#ifndef HALFWAY_OPS_REDUCTION_PARTS_H_
#define HALFWAY_OPS_REDUCTION_PARTS_H_

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/core/executor.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/sum_order.h"

namespace halfway::detail {

// The results of f(begin, count) for each part of [0, n).
template <class Result = float, class F>
std::vector<Result> reduce_parts(executor_ref on, std::size_t n, const F& f) {
  std::vector<Result> results(ceil_div(n, reduction_part));
  on.run(results.size(), [&](std::size_t i) {
    const std::size_t begin = i * reduction_part;
    results[i] = f(begin, std::min(reduction_part, n - begin));
  });
  return results;
}

// x and y of a reduction of x[i] and y[i], checked.
template <class X, class Y>
struct pair_of_spans {
  std::span<const X> x;
  std::span<const Y> y;
};
template <float_storage_vector X, float_storage_vector Y>
pair_of_spans<vector_element<X>, vector_element<Y>> check_pair(std::string_view where, const X& x,
                                                               const Y& y) {
  const auto vx = input_span(where, "x", x);
  const auto vy = input_span(where, "y", y);
  check_same_size(where, "y", vy, "x", vx);
  return {vx, vy};
}

}  // namespace halfway::detail

#endif  // HALFWAY_OPS_REDUCTION_PARTS_H_
