// SPDX-License-Identifier: Apache-2.0
// A scale for each tensor that is cast to 8 bits, chosen so that its largest magnitude becomes the
// format's: from the tensor itself (current scaling) or from the past ones (delayed scaling).
//
//   halfway::delayed_scaling scaling;    // one for each tensor; float8_e4m3fn
//   // each step:
//   const float amax = halfway::scale_and_cast(x, y, scaling.scale());  // one pass over memory
//   ...                                  // y * scaling.inverse_scale() is x, about
//   scaling.update(amax);
//
//   const float s = halfway::current_scale(halfway::amax(x));      // two passes, never too late
//   halfway::scale_and_cast(x, y, s);
//
// Micikevicius et al., "FP8 formats for deep learning", 2022, section 3.1, keep a scale in higher
// precision for each tensor, which maps it to the format's range and saturates what is past it. The
// formulas are those of NVIDIA's Transformer Engine (its DelayedScaling and Float8CurrentScaling
// recipes); F is the largest finite value of the format:
//
//   scale = F / amax / 2^margin,                       or with power_of_two
//   scale = 2^(floor(log2(F / amax)) - margin)
//
// limited to [2^-126, 2^126], so that scale and inverse are normal floats. Delayed: amax is the
// largest of the last history_length ones, or with most_recent the last one. An amax that is 0,
// infinite or NaN keeps the scale as it is. Other than there, one that is not finite does not enter
// the history: it would hold the scale for as long as it stayed there.
#ifndef HALFWAY_TRAINING_FP8_SCALING_H_
#define HALFWAY_TRAINING_FP8_SCALING_H_

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ostream>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/ops/scale.h"
#include "halfway/simd/dispatch.h"
#include "halfway/training/state_text.h"
#include "halfway/types/float8.h"

namespace halfway {

/// The defaults are Transformer Engine's.
struct fp8_scaling_options {
  /// F: 448 for float8_e4m3fn, 57344 for float8_e5m2 (std::numeric_limits<T>::max()).
  float largest = static_cast<float>(std::numeric_limits<float8_e4m3fn>::max());
  std::int32_t margin = 0;              ///< powers of two left free above amax
  bool power_of_two = false;            ///< scales that multiply without rounding
  std::uint32_t history_length = 1024;  ///< of delayed scaling: so many past amax
  bool most_recent = false;             ///< of delayed scaling: only the last one counts

  bool operator==(const fp8_scaling_options&) const = default;  ///< field by field
};

namespace detail {

inline void check_fp8_scaling_options(const fp8_scaling_options& o) {
  constexpr std::string_view where = "halfway::fp8_scaling_options";
  const auto require = [&](bool good, std::string_view name, auto value, std::string_view rule) {
    if (!good) fail(concat(where, ": ", name, " (", value, ") must be ", rule));
  };
  require(o.largest >= 1 && std::isfinite(o.largest), "largest", o.largest,
          "at least 1 and finite");
  require(o.margin >= -64 && o.margin <= 64, "margin", o.margin, "within [-64, 64]");
  require(o.history_length != 0, "history_length", o.history_length, "at least 1");
}

inline void check_amax(std::string_view where, float amax) {
  if (amax < 0) fail(concat(where, ": amax (", amax, ") must not be negative"));
}

}  // namespace detail

/// The scale for a tensor whose largest magnitude is `amax` (ops/scale.h), computed in double and
/// rounded to float once; `previous` if amax is 0, infinite or NaN. Without power_of_two amax *
/// scale may be one rounding above F / 2^margin, which is why casts saturate.
/// Errors: an option out of its range; amax negative; previous not in [2^-126, 2^126].
inline float current_scale(float amax, const fp8_scaling_options& options = {},
                           float previous = 1) {
  constexpr std::string_view where = "halfway::current_scale";
  constexpr double least = 0x1p-126, most = 0x1p126;
  detail::check_fp8_scaling_options(options);
  detail::check_amax(where, amax);
  if (!(previous >= 0x1p-126f && previous <= 0x1p126f)) {
    fail(detail::concat(where, ": previous (", previous, ") must be within [2^-126, 2^126]"));
  }
  if (!(amax > 0) || !std::isfinite(amax)) return previous;
  // Of two floats: never rounded up to a power of two that it lies below.
  double ratio = static_cast<double>(options.largest) / static_cast<double>(amax);
  if (options.power_of_two) ratio = std::ldexp(1.0, std::ilogb(ratio));
  return static_cast<float>(std::clamp(std::ldexp(ratio, -options.margin), least, most));
}

/// All that delayed_scaling is; to_string and parse_delayed_scaling_state carry it as text without
/// loss.
struct delayed_scaling_state {
  fp8_scaling_options options;   ///< as given
  float scale = 1;               ///< by which the next tensor is multiplied
  std::vector<float> history;    ///< finite amax, the last one first, at most history_length
  std::uint64_t non_finite = 0;  ///< updates whose amax was infinite or NaN

  bool operator==(const delayed_scaling_state&) const = default;  ///< field by field
};

namespace detail {

inline constexpr auto visit_delayed_scaling_fields = [](auto& s, auto&& visit) {
  visit("scale", s.scale);
  visit("largest", s.options.largest);
  visit("margin", s.options.margin);
  visit("power_of_two", s.options.power_of_two);
  visit("history_length", s.options.history_length);
  visit("most_recent", s.options.most_recent);
  visit("non_finite", s.non_finite);
  visit("history", s.history);
};

inline void check_delayed_scaling_state(const delayed_scaling_state& s) {
  constexpr std::string_view where = "halfway::delayed_scaling";
  check_fp8_scaling_options(s.options);
  if (!(s.scale >= 0x1p-126f && s.scale <= 0x1p126f)) {
    fail(concat(where, ": scale (", s.scale, ") in the state must be within [2^-126, 2^126]"));
  }
  if (s.history.size() > s.options.history_length) {
    fail(concat(where, ": history.size() (", s.history.size(),
                ") in the state must be at most history_length (", s.options.history_length, ")"));
  }
  for (const float amax : s.history) {
    if (!(amax >= 0) || !std::isfinite(amax)) {
      fail(concat(where, ": history in the state has ", amax,
                  ", which must be finite and not negative"));
    }
  }
}

}  // namespace detail

/// "scale=1,largest=448,...,history=none": every field; reads back as the same state, bit for bit.
inline std::string to_string(const delayed_scaling_state& state) {
  return detail::fields_to_text(detail::visit_delayed_scaling_fields, state);
}

/// As to_string().
inline std::ostream& operator<<(std::ostream& out, const delayed_scaling_state& state) {
  return out << to_string(state);
}

/// The state that to_string wrote; keys in any order, blanks around them allowed. Errors: a key
/// that is unknown, missing or given twice; a value that is not one of its type; a state that no
/// delayed_scaling can be in.
inline delayed_scaling_state parse_delayed_scaling_state(std::string_view text) {
  delayed_scaling_state state;
  detail::fields_from_text("halfway::parse_delayed_scaling_state",
                           detail::visit_delayed_scaling_fields, text, state);
  detail::check_delayed_scaling_state(state);
  return state;
}

/// The scale of one tensor from the amax of its past: known before the tensor is, so that the cast
/// is one pass. A plain value.
class delayed_scaling {
 public:
  /// Scale 1 until the first amax. Error: an option out of its range, named with its value.
  explicit delayed_scaling(const fp8_scaling_options& options = {}) {
    detail::check_fp8_scaling_options(options);
    state_.options = options;
  }

  /// Continues where `state` was taken. Error: a state that no delayed_scaling can be in.
  explicit delayed_scaling(const delayed_scaling_state& state) : state_(state) {
    detail::check_delayed_scaling_state(state);
  }

  float scale() const { return state_.scale; }  ///< by which the next tensor is to be multiplied
  /// By which a product of the scaled tensor is to be multiplied.
  float inverse_scale() const { return 1.0f / state_.scale; }
  const delayed_scaling_state& state() const { return state_; }  ///< for a checkpoint

  bool operator==(const delayed_scaling&) const = default;  ///< of the states

  /// After a step in which the tensor's largest magnitude was `amax` (unscaled; the largest of all
  /// ranks). Error: amax negative.
  void update(float amax) {
    detail::check_amax("halfway::delayed_scaling::update", amax);
    if (!std::isfinite(amax)) {
      ++state_.non_finite;
      return;
    }
    std::vector<float>& history = state_.history;
    if (history.size() == state_.options.history_length) history.pop_back();
    history.insert(history.begin(), amax);
    const float decisive = state_.options.most_recent ? amax : *std::ranges::max_element(history);
    state_.scale = current_scale(decisive, state_.options, state_.scale);
  }

 private:
  delayed_scaling_state state_;
};

namespace detail {

template <class FromType, class ToType>
struct scaled_cast_config {
  using From = FromType;
  using To = ToType;
};

}  // namespace detail

/// y[i] = x[i] * scale, one float product, then rounded to y's type to nearest even, saturating:
/// what is past the largest finite value becomes that, infinities too; NaN stays NaN. Returns
/// amax(x), NaN if an element is NaN, from the same pass. x holds float, half, bfloat16...
/// Errors: sizes that differ, null with a size, memory shared, a scale that is not positive and
/// finite.
template <float_storage_vector X, float_storage_output_vector Y>
float scale_and_cast(const X& x, Y&& y, float scale) {
  constexpr std::string_view where = "halfway::scale_and_cast";
  const auto from = detail::input_span(where, "x", x);
  const auto to = detail::output_span(where, "y", y);
  detail::check_same_size(where, "y", to, "x", from);
  detail::check_no_overlap(
      where, "x", "y",
      detail::ranges_overlap(from.data(), from.size_bytes(), to.data(), to.size_bytes()));
  if (!(scale > 0) || !std::isfinite(scale)) {
    fail(detail::concat(where, ": scale (", scale, ") must be positive and finite"));
  }
  using Config = detail::scaled_cast_config<detail::vector_element<X>, detail::vector_element<Y>>;
  return HALFWAY_DISPATCH(ScaledCastKernel<Config>)(from.data(), to.data(), from.size(), scale);
}

}  // namespace halfway

#endif  // HALFWAY_TRAINING_FP8_SCALING_H_
