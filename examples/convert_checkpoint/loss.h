// SPDX-License-Identifier: Apache-2.0
// What a tensor lost on its way to another type, value by value, in double: halfway::comparison takes
// floats, and F64 rounded to them would hide what F32 loses.
#ifndef HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_LOSS_H_
#define HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_LOSS_H_

#include <cstddef>

namespace conversion {

class tensor_loss {
 public:
  // `clipped`: `out` is the largest value that the type, with its scale, has, and `in` is further from
  // it than rounding goes.
  void add(double in, double out, bool clipped);

  // Figures as halfway::comparison's: of the values that are finite in both; NaN where there are none.
  double max_absolute_error() const;
  double max_relative_error() const;  // where the value was not 0
  // In decibels; infinite where nothing differs, -infinite where a value became infinite or NaN.
  double sqnr_db() const;

  std::size_t flushed() const { return flushed_; }        // not 0 before, 0 after
  double flushed_share() const;                           // of those that were finite and not 0
  std::size_t overflowed() const { return overflowed_; }  // finite before, infinite or NaN after
  std::size_t saturated() const { return saturated_; }    // clipped
  std::size_t non_finite() const { return non_finite_; }  // before

 private:
  std::size_t count_ = 0, not_zero_ = 0, flushed_ = 0, overflowed_ = 0, saturated_ = 0,
              non_finite_ = 0;
  double max_error_ = 0, max_relative_ = 0, signal_ = 0, noise_ = 0;
};

}  // namespace conversion

#endif  // HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_LOSS_H_
