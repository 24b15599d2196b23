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
// The state belongs to a thread. To carry it into another, copy it:
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
#include "halfway/precision/op_table.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/promote.h"

namespace halfway {

/// What a scope sets: a value, cheap to copy (the table is shared and never changes).
struct autocast_state {
  bool enabled = false;
  cast_policy policy = fp32;
  std::shared_ptr<const op_table> table = default_table();

  /// The type that `op_name` casts its inputs to: op_table::resolve where enabled; otherwise the
  /// widest type of the inputs, or float32 if none is given. Errors: as for op_table::resolve; an
  /// unknown operation is one even where autocast is off.
  dtype compute_dtype(std::string_view op_name, std::span<const dtype> inputs = {}) const {
    if (enabled) return table->resolve(op_name, inputs, policy);
    table->at(op_name);
    return inputs.empty() ? dtype::float32 : promote(inputs);
  }

  dtype compute_dtype(std::string_view op_name, std::initializer_list<dtype> inputs) const {
    return compute_dtype(op_name, std::span(inputs.begin(), inputs.size()));
  }

  /// One table with the default operations for the whole program.
  static std::shared_ptr<const op_table> default_table() {
    static const std::shared_ptr<const op_table> table = std::make_shared<const op_table>();
    return table;
  }
};

/// One operation treated otherwise within a scope.
struct op_override {
  std::string_view op_name;
  op_category category;
};

struct autocast_off_t {
  explicit autocast_off_t() = default;
};
inline constexpr autocast_off_t autocast_off{};

/// While it lives, current() on this thread is what it was made with; then again what it was
/// before, also when an exception passes. Scopes nest, and inherit what they don't set. They end in
/// reverse order on the thread that began them, as blocks do: an autocast is neither copied nor
/// moved.
class [[nodiscard]] autocast {
 public:
  /// Enables a policy, on the surrounding scope's operations with `overrides`. Error: an unknown
  /// operation, with the nearest names.
  explicit autocast(const cast_policy& policy, std::initializer_list<op_override> overrides = {})
      : autocast(inherit(policy, overrides)) {}

  /// Enables a compute type, the other types as in the surrounding scope (float32 outside any).
  explicit autocast(dtype compute, std::initializer_list<op_override> overrides = {})
      : autocast(inherit({current().policy.params, compute, current().policy.output}, overrides)) {}

  /// Enables a policy on operations of the user's.
  autocast(const cast_policy& policy, op_table table)
      : autocast(autocast_state{true, policy, std::make_shared<const op_table>(std::move(table))}) {
  }

  /// Switches casting off.
  explicit autocast(autocast_off_t)
      : autocast(autocast_state{false, current().policy, current().table}) {}

  /// Sets a state captured elsewhere. Error: a null table.
  explicit autocast(autocast_state state) : state_(std::move(state)), outer_(innermost()) {
    if (state_.table == nullptr) fail("halfway::autocast: state.table is null");
    innermost() = this;
  }

  ~autocast() { innermost() = outer_; }

  autocast(const autocast&) = delete;
  autocast& operator=(const autocast&) = delete;

  /// This thread's state. The reference is good until the scope that set it ends; copy it to keep
  /// it.
  static const autocast_state& current() {
    static const autocast_state outside_any_scope;
    return innermost() != nullptr ? innermost()->state_ : outside_any_scope;
  }

 private:
  static autocast_state inherit(const cast_policy& policy,
                                std::initializer_list<op_override> overrides) {
    autocast_state state{true, policy, current().table};
    if (overrides.size() != 0) {
      op_table changed = *state.table;
      for (const op_override& o : overrides)
        changed.set_category(o.op_name, o.category, "overridden by an autocast scope");
      state.table = std::make_shared<const op_table>(std::move(changed));
    }
    return state;
  }

  static const autocast*& innermost() {
    thread_local const autocast* scope = nullptr;
    return scope;
  }

  autocast_state state_;
  const autocast* outer_;
};

/// The type that an operation computes in on this thread now; see autocast_state::compute_dtype.
inline dtype compute_dtype(std::string_view op_name, std::span<const dtype> inputs = {}) {
  return autocast::current().compute_dtype(op_name, inputs);
}
inline dtype compute_dtype(std::string_view op_name, std::initializer_list<dtype> inputs) {
  return autocast::current().compute_dtype(op_name, inputs);
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_AUTOCAST_H_
