// SPDX-License-Identifier: Apache-2.0
// How far a training is: a bar with loss, rate and time left on a terminal, otherwise a line an
// epoch.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PROGRESS_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PROGRESS_H_

#include <chrono>
#include <cstddef>
#include <ostream>
#include <string>

namespace demo {

class progress {
 public:
  // Whether standard output is a terminal that can redraw a line.
  static bool can_redraw();

  progress(std::ostream& out, bool redraws) : out_(&out), redraws_(redraws) {}

  void begin(const std::string& name, std::size_t epochs, std::size_t steps);
  void step(std::size_t done, std::size_t epoch, float loss);
  void epoch_done(std::size_t epoch);
  // `problem`: why the training stopped before its end, or empty.
  void end(const std::string& problem);

 private:
  using clock = std::chrono::steady_clock;

  double rate() const;
  std::string time_left() const;
  std::string padded_name() const;
  std::string state(std::size_t epoch) const;
  void draw(std::size_t epoch);

  std::ostream* out_;
  bool redraws_;
  std::string name_;
  std::size_t epochs_ = 0, steps_ = 0, done_ = 0;
  double loss_sum_ = 0;  // of this epoch
  std::size_t loss_count_ = 0;
  clock::time_point start_, last_drawn_;
};

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_PROGRESS_H_
