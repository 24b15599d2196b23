// SPDX-License-Identifier: Apache-2.0
// Lion: steps of one size, in the direction of a sign; half the state of Adam.
//
//   halfway::lion optimizer({.learning_rate = 1e-4, .weight_decay = 0.1});
//   halfway::lion_state state;                         // one for each tensor
//   optimizer.step(state, master, gradient, model);
#ifndef HALFWAY_TRAINING_LION_H_
#define HALFWAY_TRAINING_LION_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "halfway/simd/optimizer_args.h"
#include "halfway/training/optimizer_step.h"

namespace halfway {

/// The defaults are those of the paper's program.
struct lion_options {
  double learning_rate = 1e-4;  ///< the size of every step
  double beta1 = 0.9;           ///< the momentum's share in the direction
  double beta2 = 0.99;          ///< what the momentum keeps at a step
  double weight_decay = 0;      ///< decoupled
};

/// A running mean of the gradient. Empty and step 0 before the first step; a plain value to copy
/// and to save.
struct lion_state {
  std::vector<float> momentum;  ///< m, one for each element
  std::uint64_t step = 0;       ///< steps taken

  bool operator==(const lion_state&) const = default;  ///< field by field
};

/// Lion (Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2). For each
/// element:
///
///   g <- gradient_factor * g
///   c <- beta1 * m + (1 - beta1) * g
///   m <- beta2 * m + (1 - beta2) * g
///   w <- w - learning_rate * weight_decay * w
///   w <- w - learning_rate * sign(c)            sign(0) = 0; of NaN it is NaN
///
/// All in FP32, constants rounded to float once, sums with products fused: c and m err by at most
/// 6 * 2^-24 of their terms' magnitudes, so the sign can be wrong only where they cancel. Every
/// target gives the same bits. How w is stored: training/weight_storage.h.
/// Option errors: a learning rate or weight decay that is negative, infinite or NaN; a beta outside
/// [0, 1).
class lion : public detail::optimizer<lion, lion_options> {
 public:
  using optimizer::optimizer;

 private:
  friend optimizer;
  static constexpr std::string_view name = "halfway::lion", step_name = "halfway::lion::step";

  void check(const lion_state& state, std::string_view size_name, std::size_t size) const {
    detail::check_state(step_name, "state.momentum.size()", state.momentum, state.step, size_name,
                        size);
  }

  LionRule advance(lion_state& state, std::size_t size) const {
    const lion_options& o = options();
    if (state.step == 0) state.momentum.assign(size, 0.0f);
    ++state.step;
    LionRule rule{};
    rule.momentum = state.momentum.data();
    rule.learning_rate = static_cast<float>(o.learning_rate);
    rule.decoupled_decay = static_cast<float>(o.learning_rate * o.weight_decay);
    rule.beta1 = static_cast<float>(o.beta1);
    rule.one_minus_beta1 = static_cast<float>(1 - o.beta1);
    rule.beta2 = static_cast<float>(o.beta2);
    rule.one_minus_beta2 = static_cast<float>(1 - o.beta2);
    return rule;
  }

  static lion_options checked(const lion_options& o) {
    detail::check_not_negative(name, "learning_rate", o.learning_rate);
    detail::check_share(name, "beta1", o.beta1);
    detail::check_share(name, "beta2", o.beta2);
    detail::check_not_negative(name, "weight_decay", o.weight_decay);
    return o;
  }
};

}  // namespace halfway

#endif  // HALFWAY_TRAINING_LION_H_
