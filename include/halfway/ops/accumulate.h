// SPDX-License-Identifier: Apache-2.0
// Adds one range to another in place: gradients that add up, residual connections.
//
//   halfway::accumulate(gradient, total);    // half or bfloat16 onto FP32, for one
#ifndef HALFWAY_OPS_ACCUMULATE_H_
#define HALFWAY_OPS_ACCUMULATE_H_

#include "halfway/core/executor.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

/// y[i] += x[i]: both widened exactly to FP32, added with one rounding, and rounded once more where
/// y's type is narrower, to nearest even. x and y are contiguous ranges of one size, of any float
/// formats; y may be x.
///
/// Many additions belong into a y of float: one of 16 bits does not take in what is below half a
/// unit in its last place. The same bits on every CPU and any executor. NaN and infinities add as
/// in IEEE 754. Errors, before anything is written: sizes that differ, null with a size, memory
/// that x and y share in part or with elements of different sizes.
template <float_storage_vector X, float_storage_output_vector Y>
void accumulate(const X& x, Y&& y, executor_ref on = {}) {
  const auto a = detail::check_map("halfway::accumulate", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  detail::run_map(HALFWAY_DISPATCH(AccumulateKernel<Config>), a, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ACCUMULATE_H_
