// SPDX-License-Identifier: Apache-2.0
// A scope in which layers find out the type to compute in, so that one model runs in FP32, FP16 or
// BF16 unchanged.
//
//   halfway::autocast scope(halfway::dtype::bfloat16);  // until the end of the block
//   halfway::compute_dtype(halfway::op::linear);        // bfloat16
//   halfway::compute_dtype(halfway::op::softmax);       // float32
//   {
//     halfway::autocast off(halfway::autocast_off);
//     halfway::compute_dtype(halfway::op::linear);      // float32, for a delicate part
//   }
//
// The state belongs to a thread. precision/autocast_executor.h carries it to the threads of a pool;
// by hand, copy it:
//
//   std::thread worker([state = halfway::autocast::current()] { halfway::autocast scope(state); });
#ifndef HALFWAY_PRECISION_AUTOCAST_H_
#define HALFWAY_PRECISION_AUTOCAST_H_

#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "halfway/core/error.h"
#include "halfway/core/warning.h"
#include "halfway/precision/cast_cache.h"
#include "halfway/precision/layer_rules.h"
#include "halfway/precision/op_table.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/precision_rules.h"
#include "halfway/precision/promote.h"
#include "halfway/precision/scaler_presence.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// What a scope sets: a value, cheap to copy (the table and the rules are shared and never change;
/// the cache is shared).
struct autocast_state {
  bool enabled = false;       ///< false: operations compute in the types of their inputs
  cast_policy policy = fp32;  ///< what allowed operations are cast to
  std::shared_ptr<const op_table> table = default_table();  ///< never null in a scope
  std::shared_ptr<const layer_rules> layers = nullptr;      ///< null: none
  std::shared_ptr<cast_cache> cache = nullptr;              ///< null: the scope makes one
  bool inference = false;  ///< nothing is trained, so FP16 needs no loss_scaler

  /// The type that `op_name` casts its inputs to, in `layer` if it has a name: as in
  /// precision_rules::resolve where enabled; otherwise the widest type of the inputs, or float32 if
  /// none is given. Errors: as for precision_rules::resolve; an unknown operation is one even where
  /// autocast is off.
  dtype compute_dtype(std::string_view op_name, std::span<const dtype> inputs = {},
                      std::string_view layer = {}) const {
    if (enabled) {
      const layer_rule* rule = layers == nullptr || layer.empty() ? nullptr : layers->find(layer);
      return detail::resolve_with_rule(*table, rule, policy, op_name, inputs, layer);
    }
    table->at(op_name);
    return inputs.empty() ? dtype::float32 : promote(inputs);
  }

  /// @copydoc compute_dtype(std::string_view, std::span<const dtype>, std::string_view) const
  dtype compute_dtype(std::string_view op_name, std::initializer_list<dtype> inputs,
                      std::string_view layer = {}) const {
    return compute_dtype(op_name, std::span(inputs.begin(), inputs.size()), layer);
  }

  /// One table with the default operations for the whole program.
  static std::shared_ptr<const op_table> default_table() {
    static const std::shared_ptr<const op_table> table = std::make_shared<const op_table>();
    return table;
  }
};

/// One operation treated otherwise within a scope.
struct op_override {
  std::string_view op_name;  ///< one that the surrounding scope's table has
  precision_choice choice;   ///< a category, or a type whatever the policy says
};

/// The type of `autocast_off`.
struct autocast_off_t {
  explicit autocast_off_t() = default;
};
/// Says of a scope that nothing is cast in it.
inline constexpr autocast_off_t autocast_off{};

/// The type of `inference`.
struct inference_t {
  explicit inference_t() = default;
};
/// Says of a scope that nothing is trained in it: FP16 there needs no loss_scaler.
inline constexpr inference_t inference{};

namespace detail {

inline warned_flag warned_of_unscaled_float16{false};

inline void warn_of_unscaled_float16() {
  warn_once(warned_of_unscaled_float16,
            "halfway::autocast: computing in float16 with no loss_scaler: gradients below 2^-25 "
            "become 0 without a word. Make a halfway::loss_scaler before the scope, compute in "
            "bfloat16 or, if nothing is trained here, open it as "
            "halfway::autocast(halfway::inference, ...). This is said once.");
}

}  // namespace detail

/// While it lives, current() on this thread is what it was made with; then again what it was
/// before, also when an exception passes. Scopes nest, and inherit what they don't set. They end in
/// reverse order on the thread that began them, as blocks do: an autocast is neither copied nor
/// moved.
///
/// The outermost scope has a cache of casted weights (cast_weights), which those inside share and
/// which is emptied when it ends.
///
/// The first scope of the process that computes in float16 while there is no loss_scaler, unless it
/// is for inference, warns: see set_warning_handler.
class [[nodiscard]] autocast {
 public:
  /// Enables a policy, on the surrounding scope's operations with `overrides`. Error: an unknown
  /// operation, with the nearest names.
  explicit autocast(const cast_policy& policy, std::initializer_list<op_override> overrides = {})
      : autocast(inherit(policy, overrides)) {}

  /// Enables a compute type, the other types as in the surrounding scope (float32 outside any).
  explicit autocast(dtype compute, std::initializer_list<op_override> overrides = {})
      : autocast(inherit(with_compute(compute), overrides)) {}

  /// Enables a policy on operations of the user's.
  autocast(const cast_policy& policy, op_table table)
      : autocast(inherit(policy, std::move(table), nullptr)) {}

  /// Enables a policy with all its rules, such as load_policy() reads. The surrounding scope's are
  /// not inherited.
  explicit autocast(const precision_rules& rules)
      : autocast(
            inherit(rules.policy, rules.ops, std::make_shared<const layer_rules>(rules.layers))) {}

  /// Where nothing is trained.
  /// @{
  explicit autocast(inference_t, const cast_policy& policy,
                    std::initializer_list<op_override> overrides = {})
      : autocast(for_inference(inherit(policy, overrides))) {}
  explicit autocast(inference_t, dtype compute, std::initializer_list<op_override> overrides = {})
      : autocast(for_inference(inherit(with_compute(compute), overrides))) {}
  explicit autocast(inference_t, const precision_rules& rules)
      : autocast(for_inference(
            inherit(rules.policy, rules.ops, std::make_shared<const layer_rules>(rules.layers)))) {}
  /// @}

  /// Switches casting off.
  explicit autocast(autocast_off_t) : autocast(disabled()) {}

  /// Sets a state captured elsewhere. Error: a null table.
  explicit autocast(autocast_state state)
      : state_(std::move(state)), owns_cache_(state_.cache == nullptr), outer_(innermost()) {
    if (state_.table == nullptr) fail("halfway::autocast: state.table is null");
    if (state_.enabled && state_.policy.compute == dtype::float16 && !state_.inference &&
        !a_loss_scaler_exists())
      detail::warn_of_unscaled_float16();
    if (owns_cache_) state_.cache = std::make_shared<cast_cache>();
    innermost() = this;
  }

  ~autocast() {
    innermost() = outer_;
    if (owns_cache_) state_.cache->clear();  // a copy of the state may outlive the scope
  }

  autocast(const autocast&) = delete;
  autocast& operator=(const autocast&) = delete;

  /// This thread's state. The reference is good until the scope that set it ends; copy it to keep
  /// it.
  static const autocast_state& current() {
    static const autocast_state outside_any_scope;
    return innermost() != nullptr ? innermost()->state_ : outside_any_scope;
  }

 private:
  friend class carried_autocast;  // precision/autocast_executor.h

  static autocast_state inherit(const cast_policy& policy,
                                std::initializer_list<op_override> overrides) {
    autocast_state state = current();
    state.enabled = true;
    state.policy = policy;
    if (overrides.size() != 0) {
      op_table changed = *state.table;
      for (const op_override& o : overrides)
        changed.set(o.op_name, o.choice, "overridden by an autocast scope");
      state.table = std::make_shared<const op_table>(std::move(changed));
    }
    return state;
  }

  static autocast_state inherit(const cast_policy& policy, op_table table,
                                std::shared_ptr<const layer_rules> layers) {
    autocast_state state = inherit(policy, {});
    state.table = std::make_shared<const op_table>(std::move(table));
    state.layers = std::move(layers);
    return state;
  }

  static cast_policy with_compute(dtype compute) {
    return {current().policy.params, compute, current().policy.output};
  }

  static autocast_state for_inference(autocast_state state) {
    state.inference = true;
    return state;
  }

  static autocast_state disabled() {
    autocast_state state = current();
    state.enabled = false;
    return state;
  }

  static const autocast*& innermost() {
    thread_local const autocast* scope = nullptr;
    return scope;
  }

  autocast_state state_;
  bool owns_cache_;
  const autocast* outer_;
};

/// The type that an operation computes in on this thread now; see autocast_state::compute_dtype.
inline dtype compute_dtype(std::string_view op_name, std::span<const dtype> inputs = {},
                           std::string_view layer = {}) {
  return autocast::current().compute_dtype(op_name, inputs, layer);
}
/// @copydoc compute_dtype(std::string_view, std::span<const dtype>, std::string_view)
inline dtype compute_dtype(std::string_view op_name, std::initializer_list<dtype> inputs,
                           std::string_view layer = {}) {
  return autocast::current().compute_dtype(op_name, inputs, layer);
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_AUTOCAST_H_
