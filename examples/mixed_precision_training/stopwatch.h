// SPDX-License-Identifier: Apache-2.0
// Seconds since it was made.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_STOPWATCH_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_STOPWATCH_H_

#include <chrono>

namespace demo {

class stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_STOPWATCH_H_
