// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iomanip>
#include <sstream>
#include <string_view>

namespace demo {

bool progress::can_redraw() {
  const char* term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) != 0 && term != nullptr && std::string_view(term) != "dumb";
}

void progress::begin(const std::string& name, std::size_t epochs, std::size_t steps) {
  name_ = name;
  epochs_ = epochs;
  steps_ = steps;
  done_ = loss_count_ = 0;
  loss_sum_ = 0;
  start_ = last_drawn_ = clock::now();
}

double progress::rate() const {
  const double seconds = std::chrono::duration<double>(clock::now() - start_).count();
  return seconds > 0 ? static_cast<double>(done_) / seconds : 0;
}

std::string progress::time_left() const {
  const double per_second = rate();
  if (per_second <= 0) return "-:--";
  const auto seconds =
      static_cast<long>(std::lround(static_cast<double>(steps_ - done_) / per_second));
  std::ostringstream text;
  text << seconds / 60 << ':' << std::setw(2) << std::setfill('0') << seconds % 60;
  return text.str();
}

void progress::step(std::size_t done, std::size_t epoch, float loss) {
  done_ = done;
  loss_sum_ += static_cast<double>(loss);
  ++loss_count_;
  const clock::time_point now = clock::now();
  if (redraws_ && now - last_drawn_ > std::chrono::milliseconds(100)) {
    last_drawn_ = now;
    draw(epoch);
  }
}

void progress::draw(std::size_t epoch) {
  constexpr std::size_t width = 24;
  const std::size_t filled = steps_ == 0 ? width : width * done_ / steps_;
  std::string bar(width, ' ');
  std::fill_n(bar.begin(), filled, '=');
  if (filled < width) bar[filled] = '>';
  *out_ << '\r' << padded_name() << " [" << bar << "] " << state(epoch) << "\033[K" << std::flush;
}

void progress::epoch_done(std::size_t epoch) {
  if (redraws_) {
    draw(epoch);
  } else {
    *out_ << padded_name() << ' ' << state(epoch) << '\n' << std::flush;
  }
  loss_sum_ = 0;
  loss_count_ = 0;
}

std::string progress::padded_name() const {
  std::string name = name_;
  name.resize(std::max<std::size_t>(name.size(), 14), ' ');
  return name;
}

std::string progress::state(std::size_t epoch) const {
  std::ostringstream text;
  text << "epoch " << epoch + 1 << '/' << epochs_ << std::fixed << std::setprecision(4) << "  loss "
       << loss_sum_ / static_cast<double>(loss_count_) << std::setprecision(0) << "  " << rate()
       << " steps/s  " << time_left() << " left";
  return text.str();
}

void progress::end(const std::string& problem) {
  if (redraws_) *out_ << '\n';
  if (!problem.empty()) {
    *out_ << padded_name() << " stopped after step " << done_ << " of " << steps_ << ": " << problem
          << '\n';
  }
  *out_ << std::flush;
}

}  // namespace demo
