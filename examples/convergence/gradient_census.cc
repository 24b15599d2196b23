// SPDX-License-Identifier: Apache-2.0
#include "gradient_census.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace convergence {

namespace {

std::size_t bin_of(int exponent) {
  return static_cast<std::size_t>(
      std::clamp(exponent, gradient_census::lowest, gradient_census::highest) -
      gradient_census::lowest);
}

}  // namespace

void gradient_census::add(std::span<const float> gradient) {
  float largest = 0;
  for (const float g : gradient) {
    if (std::isfinite(g)) largest = std::max(largest, std::abs(g));
  }
  for (const float g : gradient) {
    if (g == 0 || !std::isfinite(g)) continue;
    ++absolute_[bin_of(std::ilogb(g))];
    ++relative_[bin_of(std::ilogb(static_cast<double>(g) / static_cast<double>(largest)))];
    ++values_;
  }
}

void gradient_census::merge(const gradient_census& other) {
  for (std::size_t i = 0; i < absolute_.size(); ++i) {
    absolute_[i] += other.absolute_[i];
    relative_[i] += other.relative_[i];
  }
  values_ += other.values_;
}

double gradient_census::share_below(const counts& c, int exponent) const {
  if (values_ == 0) return 0;
  std::uint64_t below = 0;
  for (int k = lowest; k < std::min(exponent, highest + 1); ++k) below += c[bin_of(k)];
  return static_cast<double>(below) / static_cast<double>(values_);
}

}  // namespace convergence
