// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent.
//
//   halfway::sgd optimizer({.learning_rate = 0.1, .momentum = 0.9, .nesterov = true});
//   halfway::sgd_state state;                          // one for each tensor
//   optimizer.step(state, master, gradient, model);
#ifndef HALFWAY_TRAINING_SGD_H_
#define HALFWAY_TRAINING_SGD_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "halfway/simd/optimizer_args.h"
#include "halfway/training/optimizer_step.h"

namespace halfway {

/// The defaults are torch.optim.SGD's where it has some.
struct sgd_options {
  double learning_rate = 1e-2;  ///< what the direction is multiplied by
  double momentum = 0;          ///< 0: no momentum is stored
  double dampening = 0;         ///< share of the gradient that does not enter the momentum
  double weight_decay = 0;      ///< L2: enters the gradient
  bool nesterov = false;        ///< takes the gradient from where the momentum leads
};

/// What SGD remembers of one tensor. Empty momentum and step 0 before the first step; a plain value
/// to copy and to save.
struct sgd_state {
  std::vector<float> momentum;  ///< one for each element, or empty without momentum
  std::uint64_t step = 0;       ///< steps taken

  bool operator==(const sgd_state&) const = default;  ///< field by field
};

/// Stochastic gradient descent, with momentum if asked. For each element, with g the gradient and w
/// the weight:
///
///   g <- gradient_factor * g
///   g <- g + weight_decay * w
///   b <- g                                      at the first step, then
///   b <- momentum * b + (1 - dampening) * g     (momentum != 0)
///   d <- g,  b,  or g + momentum * b            (no momentum, momentum, nesterov)
///   w <- w - learning_rate * d
///
/// the form of torch.optim.SGD, where the learning rate does not enter the momentum (Sutskever et
/// al., "On the importance of initialization and momentum in deep learning", 2013, has it inside).
/// All in FP32, constants rounded to float once, each sum with a product a fused multiply-add: the
/// error of d is below 9 * 2^-24 of the sum of its terms' magnitudes, and w adds one rounding
/// before it is stored (training/weight_storage.h). Every target gives the same bits.
/// Option errors: a learning rate or weight decay that is negative, infinite or NaN; momentum or
/// dampening outside [0, 1); nesterov without momentum or with dampening.
class sgd : public detail::optimizer<sgd, sgd_options> {
 public:
  using optimizer::optimizer;

 private:
  friend optimizer;
  static constexpr std::string_view name = "halfway::sgd", step_name = "halfway::sgd::step";

  void check(const sgd_state& state, std::string_view size_name, std::size_t size) const {
    if (options().momentum == 0) return;
    detail::check_state(step_name, "state.momentum.size()", state.momentum, state.step, size_name,
                        size);
  }

  SgdRule advance(sgd_state& state, std::size_t size) const {
    const sgd_options& o = options();
    const bool first = state.step == 0, has_momentum = o.momentum != 0;
    if (first && has_momentum) state.momentum.assign(size, 0.0f);
    ++state.step;
    SgdRule rule{};
    rule.momentum = has_momentum ? state.momentum.data() : nullptr;
    rule.learning_rate = static_cast<float>(o.learning_rate);
    rule.weight_decay = static_cast<float>(o.weight_decay);
    rule.momentum_share = first ? 0.0f : static_cast<float>(o.momentum);
    rule.gradient_share = first ? 1.0f : static_cast<float>(1 - o.dampening);
    rule.nesterov_share = static_cast<float>(o.momentum);
    rule.nesterov = o.nesterov;
    return rule;
  }

  static sgd_options checked(const sgd_options& o) {
    detail::check_not_negative(name, "learning_rate", o.learning_rate);
    detail::check_share(name, "momentum", o.momentum);
    detail::check_share(name, "dampening", o.dampening);
    detail::check_not_negative(name, "weight_decay", o.weight_decay);
    if (o.nesterov) {
      detail::check_option(name, "momentum", o.momentum, o.momentum != 0, "above 0 for nesterov");
      detail::check_option(name, "dampening", o.dampening, o.dampening == 0, "0 for nesterov");
    }
    return o;
  }
};

}  // namespace halfway

#endif  // HALFWAY_TRAINING_SGD_H_
