// SPDX-License-Identifier: Apache-2.0
// Adam and AdamW.
//
//   halfway::adam optimizer({.learning_rate = 1e-3});
//   halfway::adam_state state;                         // one for each tensor; or adam_8bit_state
//   optimizer.step(state, master, gradient, model);    // model: half, bfloat16, float8_*...
#ifndef HALFWAY_TRAINING_ADAM_H_
#define HALFWAY_TRAINING_ADAM_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "halfway/simd/optimizer_args.h"
#include "halfway/training/block_moments.h"
#include "halfway/training/optimizer_step.h"

namespace halfway {

/// The defaults are torch.optim.Adam's; AdamW there has a weight decay of 0.01.
struct adam_options {
  double learning_rate = 1e-3;          ///< about the size of a step
  double beta1 = 0.9;                   ///< what the mean of the gradient keeps at a step
  double beta2 = 0.999;                 ///< what the mean of its square keeps at a step
  double epsilon = 1e-8;                ///< added to the root of the mean square
  double weight_decay = 0;              ///< L2, in the gradient, unless decoupled
  bool decoupled_weight_decay = false;  ///< true: AdamW
};

/// Running means of the gradient and of its square. Empty and step 0 before the first step; a plain
/// value to copy and to save.
struct adam_state {
  std::vector<float> first;   ///< m, one for each element
  std::vector<float> second;  ///< v, one for each element
  std::uint64_t step = 0;     ///< steps taken

  bool operator==(const adam_state&) const = default;  ///< field by field
};

/// Adam (Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1) and, with
/// decoupled weight decay, AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization",
/// 2019, algorithm 2, without its schedule multiplier; the decay is multiplied by the learning
/// rate, as torch.optim.AdamW does). At step t = 1, 2, ... of a tensor, for each element:
///
///   g <- gradient_factor * g
///   g <- g + weight_decay * w                   (not decoupled)
///   m <- beta1 * m + (1 - beta1) * g
///   v <- beta2 * v + (1 - beta2) * g^2
///   w <- w - learning_rate * weight_decay * w   (decoupled)
///   w <- w - learning_rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)
///
/// All in FP32, sums with products fused; what does not depend on the element is computed in double
/// and rounded to float once. Square root and division are correctly rounded (not on 32-bit Arm),
/// so every target gives the same bits. Where (1 - beta2) * g^2 is below 2^-126, v loses digits;
/// beyond the range of float v is infinite and the step zero. How w is stored:
/// training/weight_storage.h; how m and v are: float, or training/block_moments.h.
/// Option errors: a learning rate, epsilon or weight decay that is negative, infinite or NaN; a
/// beta outside [0, 1).
class adam : public detail::optimizer<adam, adam_options> {
 public:
  using optimizer::optimizer;

 private:
  friend optimizer;
  static constexpr std::string_view name = "halfway::adam", step_name = "halfway::adam::step";

  void check(const adam_state& s, std::string_view size_name, std::size_t size) const {
    detail::check_state(step_name, "state.first.size()", s.first, s.step, size_name, size);
    detail::check_state(step_name, "state.second.size()", s.second, s.step, size_name, size);
  }
  void check(const adam_8bit_state& s, std::string_view size_name, std::size_t size) const {
    detail::check_state(step_name, "state.first.size()", s.first, s.step, size_name, size);
    detail::check_state(step_name, "state.second.size()", s.second, s.step, size_name, size);
    const std::size_t blocks = detail::blocks_of(size);
    constexpr std::string_view count = "the number of blocks";
    detail::check_state(step_name, "state.first_scales.size()", s.first_scales, s.step, count,
                        blocks);
    detail::check_state(step_name, "state.second_scales.size()", s.second_scales, s.step, count,
                        blocks);
  }

  AdamRule<FloatMoments> advance(adam_state& state, std::size_t size) const {
    if (state.step == 0) {
      state.first.assign(size, 0.0f);
      state.second.assign(size, 0.0f);
    }
    ++state.step;
    return rule(FloatMoments{state.first.data(), state.second.data()}, state.step);
  }
  AdamRule<BlockMoments> advance(adam_8bit_state& state, std::size_t size) const {
    if (state.step == 0) {
      state.first.assign(size, float8_e4m3fn(0.0f));
      state.second.assign(size, std::uint8_t{0});
      state.first_scales.assign(detail::blocks_of(size), 0.0f);
      state.second_scales.assign(detail::blocks_of(size), 0.0f);
    }
    ++state.step;
    // Complemented, so that weights that round with the same seed use other words: by the bound
    // that stochastic_seed names, seed + step * K and -1 - seed - step * K stay apart, too.
    const std::uint64_t seed = ~stochastic_seed(state.seed, state.step);
    return rule(BlockMoments{state.first.data(), state.first_scales.data(), state.second.data(),
                             state.second_scales.data(), seed},
                state.step);
  }

  template <class Moments>
  AdamRule<Moments> rule(const Moments& moments, std::uint64_t step) const {
    const adam_options& o = options();
    const auto t = static_cast<double>(step);
    AdamRule<Moments> r{};
    r.moments = moments;
    r.l2 = o.decoupled_weight_decay ? 0.0f : static_cast<float>(o.weight_decay);
    r.decoupled_decay =
        o.decoupled_weight_decay ? static_cast<float>(o.learning_rate * o.weight_decay) : 0.0f;
    r.beta1 = static_cast<float>(o.beta1);
    r.one_minus_beta1 = static_cast<float>(1 - o.beta1);
    r.beta2 = static_cast<float>(o.beta2);
    r.one_minus_beta2 = static_cast<float>(1 - o.beta2);
    r.inverse_root_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(o.beta2, t)));
    r.step_size = static_cast<float>(o.learning_rate / (1 - std::pow(o.beta1, t)));
    r.epsilon = static_cast<float>(o.epsilon);
    return r;
  }

  static adam_options checked(const adam_options& o) {
    detail::check_not_negative(name, "learning_rate", o.learning_rate);
    detail::check_share(name, "beta1", o.beta1);
    detail::check_share(name, "beta2", o.beta2);
    detail::check_not_negative(name, "epsilon", o.epsilon);
    detail::check_not_negative(name, "weight_decay", o.weight_decay);
    return o;
  }
};

}  // namespace halfway

#endif  // HALFWAY_TRAINING_ADAM_H_
