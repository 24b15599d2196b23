// SPDX-License-Identifier: Apache-2.0
// The range of values of a batch, averaged over batches: for training, where it drifts, and for
// activations with rare extremes.
//
//   halfway::moving_average_observer observer(0.01);
//   for (const auto& batch : batches) observer.observe(batch);   // a call is a batch
//   const auto params = observer.params(halfway::dtype::uint8);
#ifndef HALFWAY_QUANTIZATION_MOVING_AVERAGE_OBSERVER_H_
#define HALFWAY_QUANTIZATION_MOVING_AVERAGE_OBSERVER_H_

#include <cstddef>

#include "halfway/core/error.h"
#include "halfway/quantization/affine_params.h"
#include "halfway/quantization/min_max_observer.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// The first batch sets min and max; each further one moves them by `weight` of the way to its own:
/// min += weight * (batch's min - min), in double, as PyTorch's MovingAverageMinMaxObserver. A
/// batch without finite values moves nothing. A value type, not for use by several threads at once.
class moving_average_observer {
 public:
  /// Error: weight not above 0 and at most 1.
  explicit moving_average_observer(double weight = 0.01) : weight_(weight) {
    if (!(weight > 0.0 && weight <= 1.0)) {
      fail(detail::concat("halfway::moving_average_observer: weight (", weight,
                          ") must be above 0 and at most 1"));
    }
  }

  /// Takes in a batch: a contiguous range of any float storage type, or a matrix of any strides.
  template <class X>
  requires detail::observable_range<X> || detail::observable_matrix<X>
  void observe(const X& x) {
    min_max_observer batch;
    batch.observe(x);
    finite_ += batch.finite_count();
    non_finite_ += batch.non_finite_count();
    if (batch.finite_count() == 0) return;
    const auto low = static_cast<double>(batch.min()), high = static_cast<double>(batch.max());
    min_ = batches_ == 0 ? low : min_ + weight_ * (low - min_);
    max_ = batches_ == 0 ? high : max_ + weight_ * (high - max_);
    ++batches_;
  }

  /// The mean of both, weighted by their batches: what observers on several ranks agree on that saw
  /// batches of one distribution (an average over time has no other answer). In double: independent
  /// of the order but for its rounding.
  void merge(const moving_average_observer& other) {
    finite_ += other.finite_;
    non_finite_ += other.non_finite_;
    if (other.batches_ == 0) return;
    const double share =
        static_cast<double>(other.batches_) / static_cast<double>(batches_ + other.batches_);
    min_ = batches_ == 0 ? other.min_ : min_ + share * (other.min_ - min_);
    max_ = batches_ == 0 ? other.max_ : max_ + share * (other.max_ - max_);
    batches_ += other.batches_;
  }

  /// 0 while nothing finite was observed.
  float min() const { return static_cast<float>(min_); }
  /// @copydoc min()
  float max() const { return static_cast<float>(max_); }
  std::size_t finite_count() const { return finite_; }  ///< finite values in all batches
  /// Infinities and NaNs in all batches.
  std::size_t non_finite_count() const { return non_finite_; }

  /// choose_affine_params for the averaged range. Error: nothing finite was observed.
  affine_params params(dtype type, affine_scheme scheme = affine_scheme::asymmetric) const {
    if (batches_ == 0) {
      fail(
          detail::concat("halfway::moving_average_observer::params: no finite value was observed (",
                         non_finite_, " were infinite or NaN)"));
    }
    return choose_affine_params(min(), max(), type, scheme);
  }

 private:
  double weight_;
  double min_ = 0.0;
  double max_ = 0.0;
  std::size_t batches_ = 0;  // with finite values
  std::size_t finite_ = 0;
  std::size_t non_finite_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_MOVING_AVERAGE_OBSERVER_H_
