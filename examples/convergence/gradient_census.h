// SPDX-License-Identifier: Apache-2.0
// How small gradients are: their exponents, counted, and what of them a format would flush to zero.
#ifndef HALFWAY_EXAMPLES_CONVERGENCE_GRADIENT_CENSUS_H_
#define HALFWAY_EXAMPLES_CONVERGENCE_GRADIENT_CENSUS_H_

#include <array>
#include <cstdint>
#include <span>

namespace convergence {

// Of FP32 gradients that flow from layer to layer, zeros and what is not finite left out.
class gradient_census {
 public:
  // |x| in [2^k, 2^(k + 1)) counts at k - lowest. Beyond the ends, at the ends.
  static constexpr int lowest = -80, highest = 15;
  using counts = std::array<std::uint64_t, highest - lowest + 1>;

  // One tensor.
  void add(std::span<const float> gradient);

  // By |x|, and by |x| over the largest of its tensor.
  const counts& absolute() const { return absolute_; }
  const counts& relative() const { return relative_; }
  std::uint64_t values() const { return values_; }

  // The share that rounding to nearest even makes zero, where 2^exponent is the least magnitude that
  // it does not (half of the least subnormal number, whose tie is flushed and counts as kept here).
  double flushed_share(int exponent) const { return share_below(absolute_, exponent); }
  // The same where each tensor is first scaled so that its largest magnitude becomes 2^top.
  double flushed_share_when_scaled(int exponent, int top) const {
    return share_below(relative_, exponent - top);
  }

  void merge(const gradient_census& other);

 private:
  double share_below(const counts& c, int exponent) const;

  counts absolute_{}, relative_{};
  std::uint64_t values_ = 0;
};

}  // namespace convergence

#endif  // HALFWAY_EXAMPLES_CONVERGENCE_GRADIENT_CENSUS_H_
