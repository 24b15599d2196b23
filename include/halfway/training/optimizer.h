// SPDX-License-Identifier: Apache-2.0
// Optimizers that keep FP32 master weights and write the model's narrower copy in the same pass
// over memory.
//
//   halfway::adam optimizer({.learning_rate = 1e-3});
//   halfway::adam_state state;                         // one for each tensor
//   optimizer.step(state, master, gradient, model);    // model: half, bfloat16, float8_*...
//   optimizer.step(state, master, gradient);           // no copy: the model is float
//
// Why master weights: a step is often below half an ulp of a 16-bit weight and would round away.
// Why gradients are float: they come out of loss_scaler::unscale, and their true size may lie below
// what 16 bits hold.
#ifndef HALFWAY_TRAINING_OPTIMIZER_H_
#define HALFWAY_TRAINING_OPTIMIZER_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ranges>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/precision/parameter.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/optimizer_args.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// The defaults are torch.optim.SGD's where it has some.
struct sgd_options {
  double learning_rate = 1e-2;
  double momentum = 0;  ///< 0: no momentum is stored
  double dampening = 0;
  double weight_decay = 0;  ///< L2: enters the gradient
  bool nesterov = false;
};

/// The defaults are torch.optim.Adam's; AdamW there has a weight decay of 0.01.
struct adam_options {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled_weight_decay = false;  ///< true: AdamW
};

/// What SGD remembers of one tensor. Empty momentum and step 0 before the first step; a plain value
/// to copy and to save.
struct sgd_state {
  std::vector<float> momentum;
  std::uint64_t step = 0;

  bool operator==(const sgd_state&) const = default;
};

/// Running means of the gradient and of its square.
struct adam_state {
  std::vector<float> first;
  std::vector<float> second;
  std::uint64_t step = 0;

  bool operator==(const adam_state&) const = default;
};

namespace detail {

inline void check_option(std::string_view where, std::string_view name, double value, bool good,
                         std::string_view rule) {
  if (!good) fail(concat(where, ": ", name, " (", value, ") must be ", rule));
}

inline bool finite_and_not_negative(double x) {
  return x >= 0 && x <= static_cast<double>(std::numeric_limits<float>::max());
}
inline bool share(double x) { return x >= 0 && x < 1; }

// Arrays of a step: sizes fit, no nulls, none shares memory with another. An empty model is none.
template <class Model>
void check_step(std::string_view where, std::span<float> master, std::span<const float> gradient,
                std::span<Model> model) {
  check_equal(where, "gradient.size()", gradient.size(), "master.size()", master.size());
  check_not_null(where, "master", master.data(), master.size());
  check_not_null(where, "gradient", gradient.data(), gradient.size());
  check_not_null(where, "model", model.data(), model.size());
  const auto shared = [](auto a, auto b) {
    return ranges_overlap(a.data(), a.size_bytes(), b.data(), b.size_bytes());
  };
  check_no_overlap(where, "master", "gradient", shared(master, gradient));
  check_no_overlap(where, "master", "model", shared(master, model));
  check_no_overlap(where, "gradient", "model", shared(gradient, model));
}

inline void check_state(std::string_view where, std::string_view name,
                        const std::vector<float>& state, std::uint64_t step, std::size_t size) {
  if (step != 0 || !state.empty()) check_equal(where, name, state.size(), "master.size()", size);
}

}  // namespace detail

/// Stochastic gradient descent, with momentum if asked. For each element, with g the gradient and w
/// the master weight:
///
///   g <- g + weight_decay * w
///   b <- g                                      at the first step, then
///   b <- momentum * b + (1 - dampening) * g     (momentum != 0)
///   d <- g,  b,  or g + momentum * b            (no momentum, momentum, nesterov)
///   w <- w - learning_rate * d
///   model <- w, rounded once, to nearest even (past the model's range: infinity, or NaN where it
///   has none)
///
/// the form of torch.optim.SGD, where the learning rate does not enter the momentum (Sutskever et
/// al., "On the importance of initialization and momentum in deep learning", 2013, has it inside).
/// All in FP32, constants rounded to float once, each sum with a product a fused multiply-add: the
/// error of d is below 8 * 2^-24 of the sum of its terms' magnitudes, and w adds one rounding.
/// Every target gives the same bits. Nothing looks for non-finite gradients: that is the scaler's
/// part.
class sgd {
 public:
  /// Errors: a learning rate or weight decay that is negative, infinite or NaN; momentum or
  /// dampening outside [0, 1); nesterov without momentum or with dampening.
  explicit sgd(const sgd_options& options = {}) : options_(checked(options)) {}

  const sgd_options& options() const { return options_; }

  /// For schedules. Error: as above.
  void set_learning_rate(double value) {
    sgd_options changed = options_;
    changed.learning_rate = value;
    options_ = checked(changed);
  }

  /// One step of one tensor.
  /// Errors, before anything is written: sizes that differ, null with a size, arguments that share
  /// memory, a state that belongs to a tensor of another size.
  void step(sgd_state& state, std::span<float> master, std::span<const float> gradient) const {
    step_and_copy<float>(state, master, gradient, {});
  }

  /// ... and writes the weights for the model, any contiguous range of float, half, bfloat16,
  /// float8_*. Errors also: model of another size than master, or sharing memory with an argument.
  template <float_storage_output_vector Model>
  void step(sgd_state& state, std::span<float> master, std::span<const float> gradient,
            Model&& model) const {
    detail::check_equal("halfway::sgd::step", "model.size()", std::ranges::size(model),
                        "master.size()", master.size());
    step_and_copy<detail::vector_element<Model>>(state, master, gradient, model);
  }

 private:
  template <class Model>
  void step_and_copy(sgd_state& state, std::span<float> master, std::span<const float> gradient,
                     std::span<Model> model) const {
    constexpr std::string_view where = "halfway::sgd::step";
    detail::check_step(where, master, gradient, model);
    const bool has_momentum = options_.momentum != 0;
    if (has_momentum) {
      detail::check_state(where, "state.momentum.size()", state.momentum, state.step,
                          master.size());
      if (state.step == 0) state.momentum.assign(master.size(), 0.0f);
    }
    const bool first = state.step == 0;
    ++state.step;
    SgdArgs<Model> args{};
    args.size = master.size();
    args.weights = master.data();
    args.gradient = gradient.data();
    args.momentum = has_momentum ? state.momentum.data() : nullptr;
    args.model = model.data();
    args.learning_rate = static_cast<float>(options_.learning_rate);
    args.weight_decay = static_cast<float>(options_.weight_decay);
    args.momentum_share = first ? 0.0f : static_cast<float>(options_.momentum);
    args.gradient_share = first ? 1.0f : static_cast<float>(1 - options_.dampening);
    args.nesterov_share = static_cast<float>(options_.momentum);
    args.nesterov = options_.nesterov;
    HALFWAY_DISPATCH(SgdKernel<Model>)(args);
    weights_changed();  // no cast of them that somebody keeps holds any longer
  }

  static sgd_options checked(const sgd_options& o) {
    constexpr std::string_view where = "halfway::sgd";
    detail::check_option(where, "learning_rate", o.learning_rate,
                         detail::finite_and_not_negative(o.learning_rate),
                         "finite and not negative");
    detail::check_option(where, "momentum", o.momentum, detail::share(o.momentum),
                         "at least 0 and below 1");
    detail::check_option(where, "dampening", o.dampening, detail::share(o.dampening),
                         "at least 0 and below 1");
    detail::check_option(where, "weight_decay", o.weight_decay,
                         detail::finite_and_not_negative(o.weight_decay),
                         "finite and not negative");
    if (o.nesterov) {
      detail::check_option(where, "momentum", o.momentum, o.momentum != 0, "above 0 for nesterov");
      detail::check_option(where, "dampening", o.dampening, o.dampening == 0, "0 for nesterov");
    }
    return o;
  }

  sgd_options options_;
};

/// Adam (Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1) and, with
/// decoupled weight decay, AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization",
/// 2019, algorithm 2, without its schedule multiplier; the decay is multiplied by the learning
/// rate, as torch.optim.AdamW does). At step t = 1, 2, ... of a tensor, for each element:
///
///   g <- g + weight_decay * w                   (not decoupled)
///   m <- beta1 * m + (1 - beta1) * g
///   v <- beta2 * v + (1 - beta2) * g^2
///   w <- w - learning_rate * weight_decay * w   (decoupled)
///   w <- w - learning_rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)
///   model <- w, rounded once, to nearest even (past the model's range: infinity, or NaN where it
///   has none)
///
/// All in FP32, sums with products fused; what does not depend on the element is computed in double
/// and rounded to float once. Square root and division are correctly rounded (not on 32-bit Arm),
/// so every target gives the same bits. Where (1 - beta2) * g^2 is below 2^-126, v loses digits;
/// beyond the range of float v is infinite and the step zero. Nothing looks for non-finite
/// gradients: that is the scaler's part.
class adam {
 public:
  /// Errors: a learning rate, epsilon or weight decay that is negative, infinite or NaN; a beta
  /// outside [0, 1).
  explicit adam(const adam_options& options = {}) : options_(checked(options)) {}

  const adam_options& options() const { return options_; }

  /// For schedules. Error: as above.
  void set_learning_rate(double value) {
    adam_options changed = options_;
    changed.learning_rate = value;
    options_ = checked(changed);
  }

  /// One step of one tensor.
  /// Errors, before anything is written: sizes that differ, null with a size, arguments that share
  /// memory, a state that belongs to a tensor of another size.
  void step(adam_state& state, std::span<float> master, std::span<const float> gradient) const {
    step_and_copy<float>(state, master, gradient, {});
  }

  /// ... and writes the weights for the model, any contiguous range of float, half, bfloat16,
  /// float8_*. Errors also: model of another size than master, or sharing memory with an argument.
  template <float_storage_output_vector Model>
  void step(adam_state& state, std::span<float> master, std::span<const float> gradient,
            Model&& model) const {
    detail::check_equal("halfway::adam::step", "model.size()", std::ranges::size(model),
                        "master.size()", master.size());
    step_and_copy<detail::vector_element<Model>>(state, master, gradient, model);
  }

 private:
  template <class Model>
  void step_and_copy(adam_state& state, std::span<float> master, std::span<const float> gradient,
                     std::span<Model> model) const {
    constexpr std::string_view where = "halfway::adam::step";
    detail::check_step(where, master, gradient, model);
    detail::check_state(where, "state.first.size()", state.first, state.step, master.size());
    detail::check_state(where, "state.second.size()", state.second, state.step, master.size());
    if (state.step == 0) {
      state.first.assign(master.size(), 0.0f);
      state.second.assign(master.size(), 0.0f);
    }
    ++state.step;
    const auto t = static_cast<double>(state.step);
    const adam_options& o = options_;
    AdamArgs<Model> args{};
    args.size = master.size();
    args.weights = master.data();
    args.gradient = gradient.data();
    args.first = state.first.data();
    args.second = state.second.data();
    args.model = model.data();
    args.l2 = o.decoupled_weight_decay ? 0.0f : static_cast<float>(o.weight_decay);
    args.decoupled_decay =
        o.decoupled_weight_decay ? static_cast<float>(o.learning_rate * o.weight_decay) : 0.0f;
    args.beta1 = static_cast<float>(o.beta1);
    args.one_minus_beta1 = static_cast<float>(1 - o.beta1);
    args.beta2 = static_cast<float>(o.beta2);
    args.one_minus_beta2 = static_cast<float>(1 - o.beta2);
    args.inverse_root_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(o.beta2, t)));
    args.step_size = static_cast<float>(o.learning_rate / (1 - std::pow(o.beta1, t)));
    args.epsilon = static_cast<float>(o.epsilon);
    HALFWAY_DISPATCH(AdamKernel<Model>)(args);
    weights_changed();
  }

  static adam_options checked(const adam_options& o) {
    constexpr std::string_view where = "halfway::adam";
    detail::check_option(where, "learning_rate", o.learning_rate,
                         detail::finite_and_not_negative(o.learning_rate),
                         "finite and not negative");
    detail::check_option(where, "beta1", o.beta1, detail::share(o.beta1), "at least 0 and below 1");
    detail::check_option(where, "beta2", o.beta2, detail::share(o.beta2), "at least 0 and below 1");
    detail::check_option(where, "epsilon", o.epsilon, detail::finite_and_not_negative(o.epsilon),
                         "finite and not negative");
    detail::check_option(where, "weight_decay", o.weight_decay,
                         detail::finite_and_not_negative(o.weight_decay),
                         "finite and not negative");
    return o;
  }

  adam_options options_;
};

}  // namespace halfway

#endif  // HALFWAY_TRAINING_OPTIMIZER_H_
