// SPDX-License-Identifier: Apache-2.0
#include "loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace conversion {

void tensor_loss::add(double in, double out, bool clipped) {
  if (!std::isfinite(in)) {
    ++non_finite_;
    return;
  }
  not_zero_ += in != 0 ? 1 : 0;
  if (!std::isfinite(out)) {
    ++overflowed_;
    return;
  }
  ++count_;
  flushed_ += in != 0 && out == 0 ? 1 : 0;
  saturated_ += clipped ? 1 : 0;
  const double error = std::abs(out - in);
  max_error_ = std::max(max_error_, error);
  if (in != 0) max_relative_ = std::max(max_relative_, error / std::abs(in));
  signal_ += in * in;
  noise_ += error * error;
}

double tensor_loss::max_absolute_error() const {
  return count_ == 0 ? std::numeric_limits<double>::quiet_NaN() : max_error_;
}

double tensor_loss::max_relative_error() const {
  return count_ == 0 ? std::numeric_limits<double>::quiet_NaN() : max_relative_;
}

double tensor_loss::sqnr_db() const {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (overflowed_ != 0) return -infinity;
  if (count_ == 0) return std::numeric_limits<double>::quiet_NaN();
  if (max_error_ == 0) return infinity;
  return 10 * (std::log10(signal_) - std::log10(noise_));
}

double tensor_loss::flushed_share() const {
  return not_zero_ == 0 ? 0 : static_cast<double>(flushed_) / static_cast<double>(not_zero_);
}

}  // namespace conversion
