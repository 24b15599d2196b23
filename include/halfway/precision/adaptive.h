// SPDX-License-Identifier: Apache-2.0
// The type of each layer by its numeric health: more precise at once where values ask for it,
// cheaper again only after a quiet time.
//
//   halfway::adaptive_precision adaptive;                 // float16, else bfloat16, else float32
//   const auto fc1 = adaptive.add_layer("fc1");
//   for (;;) {
//     run_layer(adaptive.type(fc1));
//     adaptive.observe(fc1, {.amax = halfway::amax(results)});
//   }
//
// No kernels, no graph: for engines of their own. precision/adaptive_runner.h runs graphs so.
#ifndef HALFWAY_PRECISION_ADAPTIVE_H_
#define HALFWAY_PRECISION_ADAPTIVE_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/promote.h"
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// What one call of a layer shows of its values; what is not known is left out.
struct layer_evidence {
  /// The largest magnitude of what the layer reads and writes, all of it. NaN or infinite: it
  /// overflowed. halfway::amax gives it, at the cost of a read.
  float amax = 0;
  /// The share of values, but zeros, that are lost as zeros in the type in use, and in the next
  /// cheaper one; of a sample (numeric_health::underflow_share).
  std::optional<double> underflow_share = {};
  /// @copydoc underflow_share
  std::optional<double> underflow_share_below = {};
  /// Of the layer's results against an FP32 run on the same inputs (comparison::sqnr_db).
  std::optional<double> sqnr_db = {};
};

/// float16 where it has the range, else bfloat16, else float32.
inline constexpr std::array<dtype, 3> default_ladder = {dtype::float16, dtype::bfloat16,
                                                        dtype::float32};

/// When a layer changes its type. `ladder` is from the cheapest type to the most precise one.
struct adaptive_options {
  /// From the cheapest type to the most precise one, each once.
  std::vector<dtype> ladder{default_ladder.begin(), default_ladder.end()};
  double max_amax_share = 0.5;        ///< of the largest finite value: up before it overflows
  double max_underflow_share = 0.05;  ///< above it: up
  double min_sqnr_db = 20;            ///< below it, or NaN: up
  /// Down only while the limits of the cheaper type hold with this factor to spare.
  double spare = 0.5;
  /// Down after so many calls in a row that say nothing against it ...
  std::size_t quiet_calls = 256;
  /// ... and times this for each time that the type failed after such a return.
  double quiet_growth = 2;

  /// Errors, each with the value: no ladder, a type twice, limits that are out of range.
  void check(std::string_view where) const {
    const auto refuse = [&](std::string_view name, double value, std::string_view must) {
      fail(detail::concat(where, ": options.", name, " (", value, ") must be ", must));
    };
    if (ladder.empty()) fail(detail::concat(where, ": options.ladder is empty"));
    for (auto at = ladder.begin(); at != ladder.end(); ++at) {
      if (std::find(ladder.begin(), at, *at) != at) {
        fail(detail::concat(where, ": options.ladder has ", name(*at), " twice"));
      }
    }
    if (!(max_amax_share > 0 && max_amax_share <= 1)) {
      refuse("max_amax_share", max_amax_share, "above 0 and at most 1");
    }
    if (!(max_underflow_share >= 0))
      refuse("max_underflow_share", max_underflow_share, "0 or more");
    if (std::isnan(min_sqnr_db)) refuse("min_sqnr_db", min_sqnr_db, "a number");
    if (!(spare > 0 && spare <= 1)) refuse("spare", spare, "above 0 and at most 1");
    if (quiet_calls == 0) refuse("quiet_calls", 0, "1 or more");
    if (!(quiet_growth >= 1)) refuse("quiet_growth", quiet_growth, "1 or more");
  }
};

/// What made a layer change its type.
enum class switch_reason {
  non_finite,  ///< NaN or infinity
  range,       ///< amax too near to the largest finite value
  underflow,   ///< too many values flushed to zero
  fidelity,    ///< too far from FP32
  quiet,       ///< nothing to object for long enough: down
};

/// The enumerator's name, as logs and metrics have it.
constexpr std::string_view name(switch_reason reason) {
  switch (reason) {
    case switch_reason::non_finite:
      return "non_finite";
    case switch_reason::range:
      return "range";
    case switch_reason::underflow:
      return "underflow";
    case switch_reason::fidelity:
      return "fidelity";
    case switch_reason::quiet:
      return "quiet";
  }
  return {};
}

/// One change of a layer's type.
struct precision_switch {
  std::string layer;                            ///< its name
  std::uint64_t call = 0;                       ///< of the layer, counted from 1
  dtype from = dtype::float32;                  ///< the type before
  dtype to = dtype::float32;                    ///< the type of the next call
  switch_reason reason = switch_reason::quiet;  ///< what decided
  double value = 0;  ///< what was seen: an amax, a share, decibels, quiet calls
  double limit = 0;  ///< what it had to keep to

  bool operator==(const precision_switch&) const = default;  ///< field by field
};

/// "call 17: fc1: float16 -> bfloat16: range: 40000 against a limit of 32752"
inline std::string to_string(const precision_switch& s) {
  return detail::concat("call ", s.call, ": ", s.layer, ": ", name(s.from), " -> ", name(s.to),
                        ": ", name(s.reason), ": ", s.value, " against a limit of ", s.limit);
}

/// The state of one layer. A value type.
///
/// Upward the first call that shows a fault decides: to the next type that may help (with more
/// range, room for amax, smaller numbers or more digits), or the last. Downward a call counts as
/// quiet if nothing speaks against the type in use, nor, with `spare`, against the next cheaper
/// one; the first that is not begins the count anew.
///
/// The k-th return to a type comes at least quiet_calls * quiet_growth^(k - 1) calls after its last
/// failure. So with a growth of 2, whatever the values do, n calls have at most
/// 1 + log2(1 + n / quiet_calls) returns to each type, and no more failures than that and one for
/// each type: layers don't oscillate.
class adaptive_layer {
 public:
  /// Begins with the cheapest type. Errors: see adaptive_options::check.
  explicit adaptive_layer(adaptive_options options = {}) : options_(std::move(options)) {
    options_.check("halfway::adaptive_layer");
    rungs_.assign(options_.ladder.size(), {static_cast<double>(options_.quiet_calls), false});
  }

  dtype type() const { return options_.ladder[at_]; }  ///< the type of the next call
  /// The next cheaper type: what underflow_share_below is about.
  std::optional<dtype> type_below() const {
    if (at_ == 0) return std::nullopt;
    return options_.ladder[at_ - 1];
  }
  const adaptive_options& options() const { return options_; }  ///< as given
  std::uint64_t calls() const { return calls_; }                ///< taken in so far
  /// Calls in a row that speak for the next cheaper type, and how many it takes.
  std::uint64_t quiet() const { return quiet_; }
  /// Calls in a row for the next cheaper type; infinite in the cheapest one.
  double quiet_needed() const {
    return at_ == 0 ? std::numeric_limits<double>::infinity() : rungs_[at_ - 1].quiet_needed;
  }
  /// Calls with a fault in the most precise type, which nothing can be done about here.
  std::uint64_t helpless() const { return helpless_; }

  /// Takes in a call in type(), and says whether the next one is in another type. The layer's name
  /// is left to the caller.
  std::optional<precision_switch> observe(const layer_evidence& e) {
    ++calls_;
    if (const auto found = fault(type(), e.amax, e.underflow_share, e.sqnr_db, 1)) {
      quiet_ = 0;
      if (at_ + 1 == rungs_.size()) {
        ++helpless_;
        return std::nullopt;
      }
      if (rungs_[at_].returned) rungs_[at_].quiet_needed *= options_.quiet_growth;
      std::size_t to = at_ + 1;
      while (to + 1 != rungs_.size() && !remedies(options_.ladder[to], *found)) ++to;
      return move(to, *found);
    }
    if (at_ == 0) return std::nullopt;
    if (fault(options_.ladder[at_ - 1], e.amax, e.underflow_share_below, {}, options_.spare)) {
      quiet_ = 0;
      return std::nullopt;
    }
    ++quiet_;
    const double seen = static_cast<double>(quiet_), needed = quiet_needed();
    if (seen < needed) return std::nullopt;
    rungs_[at_ - 1].returned = true;
    return move(at_ - 1, {switch_reason::quiet, seen, needed});
  }

 private:
  struct finding {
    switch_reason reason;
    double value;
    double limit;
  };
  struct rung {
    double quiet_needed;
    bool returned;  // from a more precise type
  };

  // What speaks against a type. Integers take their range from a scale, so amax says nothing.
  std::optional<finding> fault(dtype type, float amax, std::optional<double> underflow,
                               std::optional<double> sqnr_db, double spare) const {
    const double largest = static_cast<double>(amax);
    if (!std::isfinite(largest)) return finding{switch_reason::non_finite, largest, 0};
    const double range = options_.max_amax_share * spare * max_finite(type);
    if (is_floating(type) && largest > range) return finding{switch_reason::range, largest, range};
    const double lost = options_.max_underflow_share * spare;
    if (underflow && !(*underflow <= lost)) {
      return finding{switch_reason::underflow, *underflow, lost};
    }
    if (sqnr_db && !(*sqnr_db >= options_.min_sqnr_db)) {
      return finding{switch_reason::fidelity, *sqnr_db, options_.min_sqnr_db};
    }
    return std::nullopt;
  }

  // Whether going over to a type may help; float16 before bfloat16 has the digits, but not the
  // range.
  bool remedies(dtype to, const finding& f) const {
    const detail::value_set now = detail::values_of(type()), then = detail::values_of(to);
    switch (f.reason) {
      case switch_reason::non_finite:
        return !is_floating(to) || then.max > now.max;
      case switch_reason::range:
        return !is_floating(to) || f.value <= options_.max_amax_share * max_finite(to);
      case switch_reason::underflow:
        return !is_floating(to) || then.min_exponent < now.min_exponent;
      case switch_reason::fidelity:
        return then.digits > now.digits;
      case switch_reason::quiet:
        break;
    }
    return true;
  }

  precision_switch move(std::size_t to, const finding& why) {
    const precision_switch s{{},         calls_,    type(),   options_.ladder[to],
                             why.reason, why.value, why.limit};
    at_ = to;
    quiet_ = 0;
    return s;
  }

  adaptive_options options_;
  std::vector<rung> rungs_;
  std::size_t at_ = 0;
  std::uint64_t calls_ = 0, quiet_ = 0, helpless_ = 0;
};

/// Layers by name, with a log of their switches. Not for several threads at once.
class adaptive_precision {
 public:
  using callback = std::function<void(const precision_switch&)>;  ///< of on_switch()

  /// The log keeps the last `log_capacity` switches. Errors: see adaptive_options::check.
  explicit adaptive_precision(adaptive_options options = {}, std::size_t log_capacity = 1024)
      : options_(std::move(options)), log_capacity_(log_capacity) {
    options_.check("halfway::adaptive_precision");
  }

  /// Called at each switch, after it took effect. Empty: no longer.
  void on_switch(callback f) { on_switch_ = std::move(f); }

  /// Layers count from 0. Errors: a name that exists; see adaptive_options::check.
  std::size_t add_layer(std::string_view name) { return add_layer(name, options_); }
  /// With options of the layer's own.
  std::size_t add_layer(std::string_view name, adaptive_options options) {
    for (const entry& e : layers_) {
      if (e.name == name) {
        fail(detail::concat("halfway::adaptive_precision::add_layer: layer ", detail::quoted(name),
                            " exists"));
      }
    }
    layers_.push_back({std::string(name), adaptive_layer(std::move(options))});
    return layers_.size() - 1;
  }

  std::size_t size() const { return layers_.size(); }  ///< layers
  /// Errors: no such layer.
  const adaptive_layer& layer(std::size_t i) const { return at(i).layer; }
  const std::string& name(std::size_t i) const { return at(i).name; }  ///< Error: no such layer
  /// The type of the layer's next call. Error: no such layer.
  dtype type(std::size_t i) const { return at(i).layer.type(); }

  /// Takes in a call of a layer; whether its type changed. Error: no such layer.
  bool observe(std::size_t i, const layer_evidence& evidence) {
    at(i);
    std::optional<precision_switch> s = layers_[i].layer.observe(evidence);
    if (!s) return false;
    s->layer = layers_[i].name;
    ++switches_;
    if (log_capacity_ != 0) {
      if (log_.size() == log_capacity_) log_.pop_front();
      log_.push_back(*s);
    }
    if (on_switch_) on_switch_(*s);
    return true;
  }

  /// The last switches, oldest first, and how many there were in all.
  const std::deque<precision_switch>& log() const { return log_; }
  /// All switches so far, those that the log has dropped included.
  std::uint64_t switches() const { return switches_; }

 private:
  struct entry {
    std::string name;
    adaptive_layer layer;
  };
  const entry& at(std::size_t i) const {
    if (i >= layers_.size()) [[unlikely]] {
      fail(detail::concat("halfway::adaptive_precision: layer ", i, " does not exist; there are ",
                          layers_.size()));
    }
    return layers_[i];
  }

  adaptive_options options_;
  std::size_t log_capacity_;
  callback on_switch_;
  std::vector<entry> layers_;
  std::deque<precision_switch> log_;
  std::uint64_t switches_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_ADAPTIVE_H_
