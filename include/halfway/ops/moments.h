// SPDX-License-Identifier: Apache-2.0
// Mean and variance of elements that come in chunks, or that several threads have seen.
//
//   halfway::moments_accumulator moments;
//   for (const auto& batch : batches) moments.add(batch);
//   moments.merge(of_another_thread);
//   const auto [mean, variance] = moments.result();
#ifndef HALFWAY_OPS_MOMENTS_H_
#define HALFWAY_OPS_MOMENTS_H_

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/ops/reduction_parts.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum_order.h"

namespace halfway {

/// The number of elements, their mean, and the sum of their squared deviations from it, in double.
///
/// Each chunk's moments are computed in two passes in FP32, as by mean_variance, in parts of at
/// most 2^18 elements, and merged by the formulas of Chan, Golub and LeVeque ("Updating formulae
/// and a pairwise algorithm for computing sample variances", 1979), which are Welford's for a chunk
/// of one element. No difference of large squares is ever taken, so a mean that is large against
/// the deviation does no harm: at 10^6 times the deviation the variance keeps the relative error of
/// one part, about 5 d u (d of ops/reduce.h, u = 2^-24). Chunks of a few elements cost more each
/// than long ones.
///
/// The same chunks in the same order give the same bits on every CPU and executor; other chunks
/// give the same values up to rounding. Equal elements have a variance of exactly 0. An infinite
/// element makes the mean what the sum would be, and the variance NaN; NaN makes both NaN.
///
/// A value type; not for use by several threads at once (give each its own, then merge).
class moments_accumulator {
 public:
  /// Takes in a contiguous range of any float format; one without elements changes nothing. Error:
  /// null with a size.
  template <float_storage_vector X>
  void add(const X& x, executor_ref on = {}) {
    using T = detail::vector_element<X>;
    const auto v = detail::input_span("halfway::moments_accumulator::add", "x", x);
    if (v.empty()) return;
    const auto kernel = HALFWAY_DISPATCH(MomentsKernel<T>);
    const auto part = [&](std::size_t begin, std::size_t count) {
      return moments_accumulator(kernel(v.data() + begin, count), count);
    };
    if (v.size() <= detail::reduction_part) return merge(part(0, v.size()));
    for (const auto& m : detail::reduce_parts<moments_accumulator>(on, v.size(), part)) merge(m);
  }

  /// As if this had seen all that the other has.
  void merge(const moments_accumulator& other) {
    if (other.count_ == 0) return;
    if (count_ == 0) {
      *this = other;
      return;
    }
    const double here = static_cast<double>(count_), there = static_cast<double>(other.count_);
    const double share = there / (here + there);
    const double distance = other.mean_ - mean_;
    count_ += other.count_;
    if (!std::isfinite(distance)) {
      mean_ += other.mean_;  // an infinity stays unless it meets its opposite
      squares_ = std::numeric_limits<double>::quiet_NaN();
      return;
    }
    // As FMAs: left to themselves, compilers make them of some products and not of others.
    mean_ = std::fma(distance, share, mean_);
    squares_ = std::fma(distance * distance, here * share, squares_ + other.squares_);
  }

  std::size_t count() const { return count_; }  ///< elements taken in

  /// Rounded to float. Error: nothing was taken in.
  mean_and_variance result() const {
    if (count_ == 0) [[unlikely]] {
      fail("halfway::moments_accumulator::result: no elements");
    }
    return {static_cast<float>(mean_), static_cast<float>(squares_ / static_cast<double>(count_))};
  }

  /// In double: with a mean of 10^6 deviations a float has only some digits of a deviation left.
  /// NaN where nothing was taken in.
  double mean() const { return count_ == 0 ? std::numeric_limits<double>::quiet_NaN() : mean_; }
  /// The mean of the squared deviations.
  double variance() const { return squares_ / static_cast<double>(count_); }
  /// The unbiased estimate from a sample: divided by count() - 1.
  double sample_variance() const { return squares_ / (static_cast<double>(count_) - 1); }

  moments_accumulator() = default;

 private:
  moments_accumulator(const detail::moments& m, std::size_t count)
      : count_(count),
        mean_(m.correction - m.correction == 0.0f
                  ? static_cast<double>(m.pivot) + static_cast<double>(m.correction)
                  : static_cast<double>(m.pivot)),
        squares_(static_cast<double>(m.variance) * static_cast<double>(count)) {}

  std::size_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_OPS_MOMENTS_H_
