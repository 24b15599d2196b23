// SPDX-License-Identifier: Apache-2.0
// Softmax cross entropy of rows of logits and its gradient, in f32.
//
//   const double losses =
//       CrossEntropyKernel<Config>(logits, labels, dlogits, rows, cols, scale / rows, scratch);

#if defined(HALFWAY_SIMD_CROSS_ENTROPY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_CROSS_ENTROPY_INL_H_
#undef HALFWAY_SIMD_CROSS_ENTROPY_INL_H_
#else
#define HALFWAY_SIMD_CROSS_ENTROPY_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/softmax-inl.h"
#include "halfway/simd/sum-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Returns the sum over rows of log(sum of e^x) - x[label]. Where dlogits.data is not null, writes
// factor * (softmax(x) - onehot(label)) to it, which may be the logits; `scratch` then holds cols
// floats.
template <class Config>
double CrossEntropyKernel(detail::row_block<const typename Config::X> logits, const int32_t* labels,
                          detail::row_block<typename Config::Y> dlogits, size_t rows, size_t cols,
                          float factor, float* scratch) {
  using X = typename Config::X;
  const hn::CappedTag<float, 1> d1;
  double losses = 0.0;
  for (size_t r = 0; r < rows; ++r) {
    const X* x = logits.row(r);
    const size_t label = static_cast<size_t>(labels[r]);
    const PlainLogits<X> row{x};
    const float max = RowMax(row, cols);
    const float at_label = hn::GetLane(LoadNF32(d1, x + label, 1)) - max;
    if (dlogits.data == nullptr) {
      const float sum =
          Sum<kExpLanes>(SumExpOp<PlainLogits<X>, true, false, true>{row, nullptr, max}, cols);
      losses += static_cast<double>(LogScalar(sum) - at_label);
      continue;
    }
    const float sum =
        Sum<kExpLanes>(SumExpOp<PlainLogits<X>, false, false, false>{row, scratch, max}, cols);
    losses += static_cast<double>(LogScalar(sum) - at_label);
    // The difference p - 1 in the units of e: exact where p is at least 1/2.
    scratch[label] -= sum;
    MapElements(ScaleOp{factor / sum}, scratch, dlogits.row(r), cols);
  }
  return losses;
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_CROSS_ENTROPY_INL_H_
