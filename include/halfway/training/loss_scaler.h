// SPDX-License-Identifier: Apache-2.0
// Loss scaling, dynamic or fixed: keeps 16-bit gradients inside the range of their format and skips
// the steps that overflow.
//
//   halfway::loss_scaler scaler;             // dynamic, starts at 65536
//   // each step: backpropagate scaler.scale() * loss into 16-bit gradients, then
//   scaler.unscale(gradients16, gradients);  // to float, of true size, and checked in one pass
//   if (scaler.should_step()) optimizer.step(state, master, gradients, weights16);
//   scaler.update();
//
// A loss_scaler is a plain value: copy it, compare it, save it (state(), to_string). bfloat16 and
// float32 training run through the same code with loss_scaler::fixed(1).
//
// The rule is that of Micikevicius et al., "Mixed precision training", 2018, section 3.2, with the
// hysteresis of Megatron-LM:
//   - A step with a non-finite gradient is skipped. The first hysteresis - 1 skipped steps leave
//     the scale as it is; each later one multiplies it by backoff_factor, but not below min_scale.
//   - growth_interval good steps in a row multiply it by growth_factor, but not above max_scale,
//     and the count of skipped steps for the hysteresis starts anew.
//
// The scale never leaves [min_scale, max_scale], so it cannot become zero, infinite or NaN. Powers
// of two as scale and factors make scaling and unscaling exact.
#ifndef HALFWAY_TRAINING_LOSS_SCALER_H_
#define HALFWAY_TRAINING_LOSS_SCALER_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/ops/scale.h"
#include "halfway/precision/scaler_presence.h"
#include "halfway/training/gradient_accumulation.h"
#include "halfway/training/state_text.h"

namespace halfway {

/// The first four are torch.amp.GradScaler's defaults; the floor is DeepSpeed's and Megatron-LM's,
/// the ceiling apex's.
struct loss_scaler_options {
  float initial_scale = 65536.0f;        ///< within [min_scale, max_scale]
  float growth_factor = 2.0f;            ///< above 1; a power of two keeps scaling exact
  float backoff_factor = 0.5f;           ///< below 1; a power of two keeps scaling exact
  std::uint64_t growth_interval = 2000;  ///< good steps in a row before the scale grows
  std::uint64_t hysteresis = 1;   ///< skipped steps before the scale shrinks, the last included
  float min_scale = 1.0f;         ///< at least 2^-126
  float max_scale = 16777216.0f;  ///< 2^24
  std::uint64_t max_skips_at_floor = 100;  ///< in a row at min_scale, then update() fails; 0: never

  bool operator==(const loss_scaler_options&) const = default;  ///< field by field
};

/// What a scaler has seen and done since it was made.
struct loss_scaler_statistics {
  std::uint64_t steps = 0;           ///< updates in which every gradient was finite
  std::uint64_t skipped = 0;         ///< updates in which one was not
  std::uint64_t growths = 0;         ///< times the scale became larger
  std::uint64_t backoffs = 0;        ///< times it became smaller
  std::uint64_t skips_at_floor = 0;  ///< skipped steps in a row, up to now, with scale at min_scale
  std::uint64_t non_finite = 0;      ///< gradient elements found infinite or NaN

  bool operator==(const loss_scaler_statistics&) const = default;  ///< field by field
};

/// All that a loss_scaler is. Trivially copyable; to_string and parse_loss_scaler_state carry it as
/// text without loss.
struct loss_scaler_state {
  loss_scaler_options options;        ///< as given
  loss_scaler_statistics statistics;  ///< up to now
  float scale = 65536.0f;             ///< of the next step
  std::uint64_t good_steps = 0;       ///< in a row, since the scale last grew or a step was skipped
  std::uint64_t hysteresis_left = 1;  ///< skipped steps until the scale shrinks; 0: each shrinks it
  std::uint64_t unscaled_groups = 0;  ///< bit g: group g was unscaled since the last update
  std::uint64_t non_finite_groups = 0;  ///< bit g: and has a non-finite gradient

  bool operator==(const loss_scaler_state&) const = default;  ///< field by field
};

static_assert(std::is_trivially_copyable_v<loss_scaler_state>);

namespace detail {

// Every field with its name, in one place for printing and parsing.
inline constexpr auto visit_loss_scaler_fields = [](auto& s, auto&& visit) {
  visit("scale", s.scale);
  visit("good_steps", s.good_steps);
  visit("hysteresis_left", s.hysteresis_left);
  visit("unscaled_groups", s.unscaled_groups);
  visit("non_finite_groups", s.non_finite_groups);
  visit("initial_scale", s.options.initial_scale);
  visit("growth_factor", s.options.growth_factor);
  visit("backoff_factor", s.options.backoff_factor);
  visit("growth_interval", s.options.growth_interval);
  visit("hysteresis", s.options.hysteresis);
  visit("min_scale", s.options.min_scale);
  visit("max_scale", s.options.max_scale);
  visit("max_skips_at_floor", s.options.max_skips_at_floor);
  visit("steps", s.statistics.steps);
  visit("skipped", s.statistics.skipped);
  visit("growths", s.statistics.growths);
  visit("backoffs", s.statistics.backoffs);
  visit("skips_at_floor", s.statistics.skips_at_floor);
  visit("non_finite", s.statistics.non_finite);
};

inline void check_loss_scaler_options(const loss_scaler_options& o) {
  const auto require = [](bool good, std::string_view name, auto value, std::string_view rule) {
    if (!good) fail(concat("halfway::loss_scaler: ", name, " (", value, ") must be ", rule));
  };
  // Both the scale and 1 / scale are then normal floats. Comparisons with NaN are false.
  require(o.min_scale >= 0x1p-126f, "min_scale", o.min_scale, "at least 2^-126");
  require(o.max_scale <= 0x1p126f, "max_scale", o.max_scale, "at most 2^126");
  require(o.min_scale <= o.max_scale, "min_scale", o.min_scale,
          concat("at most max_scale (", o.max_scale, ")"));
  require(o.initial_scale >= o.min_scale && o.initial_scale <= o.max_scale, "initial_scale",
          o.initial_scale,
          concat("within [min_scale, max_scale] = [", o.min_scale, ", ", o.max_scale, "]"));
  require(o.growth_factor > 1 && std::isfinite(o.growth_factor), "growth_factor", o.growth_factor,
          "above 1 and finite");
  require(o.backoff_factor > 0 && o.backoff_factor < 1, "backoff_factor", o.backoff_factor,
          "above 0 and below 1");
  require(o.growth_interval != 0, "growth_interval", o.growth_interval, "at least 1");
  require(o.hysteresis != 0, "hysteresis", o.hysteresis, "at least 1");
}

inline void check_loss_scaler_state(const loss_scaler_state& s) {
  check_loss_scaler_options(s.options);
  const auto require = [](bool good, std::string_view name, auto value, std::string_view rule) {
    if (!good)
      fail(concat("halfway::loss_scaler: ", name, " (", value, ") in the state must be ", rule));
  };
  require(s.scale >= s.options.min_scale && s.scale <= s.options.max_scale, "scale", s.scale,
          concat("within [min_scale, max_scale] = [", s.options.min_scale, ", ",
                 s.options.max_scale, "]"));
  require(s.good_steps < s.options.growth_interval, "good_steps", s.good_steps,
          concat("below growth_interval (", s.options.growth_interval, ")"));
  require(s.hysteresis_left <= s.options.hysteresis, "hysteresis_left", s.hysteresis_left,
          concat("at most hysteresis (", s.options.hysteresis, ")"));
  require((s.non_finite_groups & ~s.unscaled_groups) == 0, "non_finite_groups", s.non_finite_groups,
          concat("among unscaled_groups (", s.unscaled_groups, ")"));
}

}  // namespace detail

/// "scale=65536,good_steps=0,...": every field; reads back as the same state, bit for bit.
inline std::string to_string(const loss_scaler_state& state) {
  return detail::fields_to_text(detail::visit_loss_scaler_fields, state);
}

/// As to_string().
inline std::ostream& operator<<(std::ostream& out, const loss_scaler_state& state) {
  return out << to_string(state);
}

/// The state that to_string wrote; keys in any order, blanks around them allowed.
/// Errors: a key that is unknown, missing or given twice; a value that is not a number of its type;
/// a state that no scaler can be in (scale outside its limits, ...).
inline loss_scaler_state parse_loss_scaler_state(std::string_view text) {
  loss_scaler_state state;
  detail::fields_from_text("halfway::parse_loss_scaler_state", detail::visit_loss_scaler_fields,
                           text, state);
  detail::check_loss_scaler_state(state);
  return state;
}

/// A scale for the loss that follows the gradients, by the rule at the top of this file. A plain
/// value; not for several threads at once.
class loss_scaler {
 public:
  /// Optimizers (or parameter groups) that share a scaler are numbered 0 to max_groups - 1.
  static constexpr std::size_t max_groups = 64;

  /// Error: an option out of its range, named with its value.
  explicit loss_scaler(const loss_scaler_options& options = {}) {
    detail::check_loss_scaler_options(options);
    state_.options = options;
    state_.scale = options.initial_scale;
    state_.hysteresis_left = options.hysteresis;
    presence_ = scaler_presence(scales());
  }

  /// Continues where `state` was taken. Error: a state that no scaler can be in.
  explicit loss_scaler(const loss_scaler_state& state) : state_(state) {
    detail::check_loss_scaler_state(state);
    presence_ = scaler_presence(scales());
  }

  /// A scale that never moves: a dynamic one with nowhere to go. Steps with non-finite gradients
  /// are still skipped and counted. fixed(1) is training without scaling. Error: a scale outside
  /// [2^-126, 2^126].
  static loss_scaler fixed(float scale) {
    if (!(scale >= 0x1p-126f && scale <= 0x1p126f)) {
      fail(detail::concat("halfway::loss_scaler::fixed: scale (", scale,
                          ") must be within [2^-126, 2^126]"));
    }
    loss_scaler_options options;
    options.initial_scale = options.min_scale = options.max_scale = scale;
    return loss_scaler(options);
  }

  /// What the loss, or its gradient, is multiplied by.
  float scale() const { return state_.scale; }
  float inverse_scale() const { return 1.0f / state_.scale; }  ///< rounded to FP32

  const loss_scaler_options& options() const { return state_.options; }  ///< as given
  /// Since it was made, saved and restored included.
  const loss_scaler_statistics& statistics() const { return state_.statistics; }
  const loss_scaler_state& state() const { return state_; }  ///< for a checkpoint
  /// With `min_scale` and `max_scale` equal.
  bool is_fixed() const { return state_.options.min_scale == state_.options.max_scale; }

  bool operator==(const loss_scaler&) const = default;  ///< of the states

  /// Unscales the tensors of one group, one call for each tensor; see begin_unscale.
  class unscaler {
   public:
    /// y = x / scale. Types, bounds, aliasing and errors as for halfway::unscale(x, y, factor),
    /// with factor 1 / scale rounded to float: exact for a power of two, otherwise within 2^-23 of
    /// x / scale, relatively. Returns the non-finite elements of y. Error: the scaler has been
    /// updated since begin_unscale.
    template <float_storage_vector X, float_output_vector Y>
    std::size_t operator()(const X& x, Y&& y) const {
      check_current();
      const std::size_t count = halfway::unscale(x, y, scaler_->inverse_scale());
      scaler_->note(group_, count);
      return count;
    }

    /// In place.
    template <float_output_vector X>
    std::size_t operator()(X&& x) const {
      return (*this)(x, x);
    }

    /// sum += x / scale, for one of several micro-batches: halfway::accumulate_gradient with the
    /// same factor. Returns, and counts, the non-finite elements of sum. Error: as above.
    template <float_storage_vector X, float_output_vector Sum>
    std::size_t accumulate(const X& x, Sum&& sum) const {
      check_current();
      const std::size_t count = accumulate_gradient(x, sum, scaler_->inverse_scale());
      scaler_->note(group_, count);
      return count;
    }

   private:
    friend class loss_scaler;
    unscaler(loss_scaler& scaler, std::size_t group)
        : scaler_(&scaler), group_(group), updates_(scaler.updates()) {}

    void check_current() const {
      if (scaler_->updates() != updates_) {
        fail(detail::concat("halfway::loss_scaler: group ", group_,
                            ": begin_unscale() came before the last update()"));
      }
    }

    loss_scaler* scaler_;
    std::size_t group_;
    std::uint64_t updates_;
  };

  /// For a group of several tensors: `auto unscale = scaler.begin_unscale(group); unscale(w16, w);
  /// unscale(b16, b);`. The result refers to this scaler. Errors: the group has been unscaled since
  /// the last update(); a group past the limit.
  [[nodiscard]] unscaler begin_unscale(std::size_t group = 0) {
    check_not_unscaled(group);
    note(group, 0);
    return unscaler(*this, group);
  }

  /// For a group that is one tensor, or one buffer with all of them.
  template <float_storage_vector X, float_output_vector Y>
  std::size_t unscale(const X& x, Y&& y, std::size_t group = 0) {
    check_not_unscaled(group);
    return unscaler(*this, group)(x, y);
  }

  /// In place.
  template <float_output_vector X>
  std::size_t unscale(X&& x, std::size_t group = 0) {
    check_not_unscaled(group);
    return unscaler(*this, group)(x);
  }

  /// Adds what somebody else found: another rank, or a kernel of the user's that unscales by
  /// itself. May be called any number of times. Error: a group past the limit.
  void report(std::size_t group, std::size_t non_finite) {
    check_group(group);
    note(group, non_finite);
  }

  /// Whether the group's optimizer may step: none of its gradients was infinite or NaN.
  /// Errors: the group has not been unscaled (nor reported) since the last update(); a group past
  /// the limit.
  bool should_step(std::size_t group = 0) const {
    check_group(group);
    if ((state_.unscaled_groups & bit(group)) == 0) {
      fail(detail::concat("halfway::loss_scaler::should_step: group ", group,
                          " has not been unscaled since the last update()"));
    }
    return (state_.non_finite_groups & bit(group)) == 0;
  }

  /// Ends the step of all groups: counts it, moves the scale by the rule above (one non-finite
  /// group is enough to make the step a skipped one), and lets every group be unscaled again.
  /// Errors: no group was unscaled, since then nobody looked at the gradients (nothing changes);
  /// max_skips_at_floor skipped steps in a row at min_scale, since no smaller scale can help (the
  /// step has been counted; each further skip fails again).
  void update() {
    if (state_.unscaled_groups == 0) {
      fail("halfway::loss_scaler::update: no group has been unscaled since the last update()");
    }
    const bool found = state_.non_finite_groups != 0;
    state_.unscaled_groups = 0;
    state_.non_finite_groups = 0;
    if (found) {
      skip();
    } else {
      advance();
    }
  }

 private:
  // fixed(1) is training without scaling.
  bool scales() const { return !is_fixed() || state_.scale != 1.0f; }

  static constexpr std::uint64_t bit(std::size_t group) { return std::uint64_t{1} << group; }

  static void check_group(std::size_t group) {
    if (group >= max_groups) {
      fail(detail::concat("halfway::loss_scaler: group ", group, " must be below max_groups (",
                          max_groups, ")"));
    }
  }

  void check_not_unscaled(std::size_t group) const {
    check_group(group);
    if ((state_.unscaled_groups & bit(group)) != 0) {
      fail(detail::concat("halfway::loss_scaler: group ", group,
                          " has already been unscaled since the last update()"));
    }
  }

  void note(std::size_t group, std::size_t non_finite) {
    state_.unscaled_groups |= bit(group);
    if (non_finite != 0) state_.non_finite_groups |= bit(group);
    state_.statistics.non_finite += non_finite;
  }

  std::uint64_t updates() const { return state_.statistics.steps + state_.statistics.skipped; }

  void skip() {
    const loss_scaler_options& o = state_.options;
    loss_scaler_statistics& counts = state_.statistics;
    ++counts.skipped;
    counts.skips_at_floor = state_.scale == o.min_scale ? counts.skips_at_floor + 1 : 0;
    state_.good_steps = 0;
    if (state_.hysteresis_left != 0) --state_.hysteresis_left;
    if (state_.hysteresis_left == 0) {
      // The product may underflow; the floor is positive.
      const float smaller = std::max(state_.scale * o.backoff_factor, o.min_scale);
      if (smaller != state_.scale) ++counts.backoffs;
      state_.scale = smaller;
    }
    if (o.max_skips_at_floor != 0 && counts.skips_at_floor >= o.max_skips_at_floor) {
      fail(detail::concat(
          "halfway::loss_scaler::update: ", counts.skips_at_floor,
          " steps in a row were skipped with the scale at min_scale (", o.min_scale,
          "): a smaller scale can't help, the loss or a weight is likely infinite or NaN"));
    }
  }

  void advance() {
    const loss_scaler_options& o = state_.options;
    loss_scaler_statistics& counts = state_.statistics;
    ++counts.steps;
    counts.skips_at_floor = 0;
    if (++state_.good_steps < o.growth_interval) return;
    state_.good_steps = 0;
    state_.hysteresis_left = o.hysteresis;
    // The product may be infinite; the ceiling is finite.
    const float larger = std::min(state_.scale * o.growth_factor, o.max_scale);
    if (larger != state_.scale) ++counts.growths;
    state_.scale = larger;
  }

  loss_scaler_state state_;
  scaler_presence presence_{false};  // while it lives, FP16 autocast does not warn
};

}  // namespace halfway

#endif  // HALFWAY_TRAINING_LOSS_SCALER_H_
