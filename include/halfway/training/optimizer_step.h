// SPDX-License-Identifier: Apache-2.0
// What the optimizers have in common: options that are checked, and steps on any storage of the
// weights (training/weight_storage.h) and any type of gradient.
#ifndef HALFWAY_TRAINING_OPTIMIZER_STEP_H_
#define HALFWAY_TRAINING_OPTIMIZER_STEP_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ranges>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/precision/parameter.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/optimizer_args.h"
#include "halfway/training/weight_storage.h"

namespace halfway {

/// Of one step.
struct step_options {
  /// What each element of the gradient is multiplied by first, one float product: the inverse of
  /// the loss scale, what clips the norm (training/gradient_clipping.h), one over the number of
  /// micro-batches, or their product.
  float gradient_factor = 1;
  executor_ref on = {};  ///< any number of threads gives the same bits
};

namespace detail {

inline void check_option(std::string_view where, std::string_view name, double value, bool good,
                         std::string_view rule) {
  if (!good) fail(concat(where, ": ", name, " (", value, ") must be ", rule));
}
inline void check_not_negative(std::string_view where, std::string_view name, double x) {
  check_option(where, name, x,
               x >= 0 && x <= static_cast<double>(std::numeric_limits<float>::max()),
               "finite and not negative");
}
inline void check_share(std::string_view where, std::string_view name, double x) {
  check_option(where, name, x, x >= 0 && x < 1, "at least 0 and below 1");
}

// Nothing yet, or that of a tensor of `size` elements.
template <class T>
void check_state(std::string_view where, std::string_view name, const std::vector<T>& state,
                 std::uint64_t step, std::string_view size_name, std::size_t size) {
  if (step != 0 || !state.empty()) check_equal(where, name, state.size(), size_name, size);
}

// The base of an optimizer, Derived. It has
//   static constexpr std::string_view name, step_name;
//   static Options checked(const Options&);              // or an error
//   void check(const State&, size_name, size) const;     // an error if it is another tensor's
//   Rule advance(State&, size) const;                    // makes and counts it
// In the reference (docs/reference_filter.awk), as its members are those of sgd, adam and lion:
/// What optimizers have in common.
template <class Derived, class Options>
class optimizer {
 public:
  /// Error: an option out of its range, named with its value.
  explicit optimizer(const Options& options = {}) : options_(Derived::checked(options)) {}

  const Options& options() const { return options_; }  ///< as given, or changed since

  /// For schedules. Error: as above.
  void set_learning_rate(double value) {
    Options changed = options_;
    changed.learning_rate = value;
    options_ = Derived::checked(changed);
  }

  /// One step of one tensor, in one pass over memory. Gradients are of any type that converts
  /// exactly to float: those of a scaled loss as they are, in 16 bits, with step.gradient_factor. A
  /// step does not look for non-finite ones: see loss_scaler and gradient_norm.
  /// Errors, before anything is written: sizes that differ, null with a size, arguments that share
  /// memory, a state that belongs to a tensor of another size, a gradient_factor that is infinite
  /// or NaN.
  template <class State, weight_storage Weights, float_storage_vector Gradient>
  void step(State& state, const Weights& weights, const Gradient& gradient,
            const step_options& step = {}) const {
    constexpr std::string_view where = Derived::step_name;
    using G = vector_element<Gradient>;
    const std::span<const G> g(std::ranges::data(gradient), std::ranges::size(gradient));
    const auto arrays = arrays_of(weights);
    check_arrays(where, with(arrays, describe("gradient", g)));
    self().check(std::as_const(state), concat(arrays[0].name, ".size()"), g.size());
    if (!std::isfinite(step.gradient_factor)) {
      fail(concat(where, ": gradient_factor (", step.gradient_factor, ") must be finite"));
    }
    const auto rule = self().advance(state, g.size());
    const auto kept = kernel_weights(weights, state.step);
    using Args =
        OptimizerArgs<std::remove_const_t<decltype(rule)>, std::remove_const_t<decltype(kept)>, G>;
    const Args args = {rule, kept, g.data(), step.gradient_factor};
    const auto kernel = HALFWAY_DISPATCH(OptimizerStepKernel<Args>);
    constexpr std::size_t bytes = 16;  // of an element, about
    for_each_part(
        step.on, g.size(), bytes,
        [&](std::size_t begin, std::size_t n) { kernel(args, begin, begin + n); }, optimizer_block);
    weights_changed();  // no cast of them that somebody keeps holds any longer
  }

  /// On FP32 weights that the model uses itself.
  template <class State, float_storage_vector Gradient>
  void step(State& state, std::span<float> master, const Gradient& gradient,
            const step_options& step = {}) const {
    this->step(state, master_weights<float>{master}, gradient, step);
  }

  /// On FP32 master weights, with a copy for the model: any contiguous range of float, half,
  /// bfloat16, float8_*.
  template <class State, float_storage_vector Gradient, float_storage_output_vector Model>
  void step(State& state, std::span<float> master, const Gradient& gradient, Model&& model,
            const step_options& step = {}) const {
    check_equal(Derived::step_name, "model.size()", std::ranges::size(model), "master.size()",
                master.size());
    this->step(state, master_weights<vector_element<Model>>{master, model}, gradient, step);
  }

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }

  Options options_;
};

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_TRAINING_OPTIMIZER_STEP_H_
