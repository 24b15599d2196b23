// SPDX-License-Identifier: Apache-2.0
// A policy with its rules: types, operations and layers in one value, which an autocast scope takes
// and a text file holds (precision/policy_file.h).
//
//   halfway::precision_rules rules{halfway::amp_bf16};
//   rules.ops.set(halfway::op::gelu, halfway::dtype::float32);
//   rules.layers.add("head.*", halfway::dtype::float32, "its logits decide");
//   rules.resolve(halfway::op::linear, inputs, "head.out");            // float32
//   rules.explain(halfway::op::linear, inputs, "head.out").why;        // ... and why
//
// Which rule holds, the first that there is:
//   1. the layer's own name                 head.out=float32
//   2. the last pattern that matches it     head.*=float32
//   3. the operation, set by the user       linear=float32
//   4. the operation's default category     default_ops
//
// Whichever it is, inputs of float64 and inputs that are all integers keep their widest type.
#ifndef HALFWAY_PRECISION_PRECISION_RULES_H_
#define HALFWAY_PRECISION_PRECISION_RULES_H_

#include <algorithm>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/layer_rules.h"
#include "halfway/precision/op_table.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/resolve.h"
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// The type that an operation computes in, and the rule behind it.
struct precision_decision {
  dtype type;       ///< that the inputs are cast to
  std::string why;  ///< the rule and its reason, in words

  bool operator==(const precision_decision&) const = default;  ///< of type and words
};

namespace detail {

// `rule`: the layer's, or null.
inline dtype resolve_with_rule(const op_table& ops, const layer_rule* rule,
                               const cast_policy& policy, std::string_view op_name,
                               std::span<const dtype> inputs, std::string_view layer) {
  if (rule == nullptr) return ops.resolve(op_name, inputs, policy);
  const op_table::entry& entry = ops.at(op_name);
  const precision_choice& choice = rule->choice;
  if (choice.category == op_category::promote_widest && inputs.empty()) {
    fail(concat("halfway::precision_rules::resolve: layer ", quoted(layer),
                " computes in the widest type of its inputs, but none is given"));
  }
  const dtype type =
      choice.type() ? left_alone(inputs).value_or(*choice.type())
                    : resolve_category(choice.category, has_integer_form(op_name), inputs, policy);
  // A rule may say float32 for a refused operation, which allows it, but not a narrow type.
  const bool refused = choice.category == op_category::refused
                           ? meets_low_precision(inputs, policy)
                           : entry.category == op_category::refused && is_low_precision(type);
  if (refused) {
    ops.fail_refused(concat("halfway::precision_rules::resolve: layer ", quoted(layer)), op_name,
                     inputs, choice.type().value_or(policy.compute));
  }
  return type;
}

}  // namespace detail

/// A policy, a table of operations and rules for layers, which together decide each type: see the
/// order of rules at the top of this file.
struct precision_rules {
  cast_policy policy = fp32;  ///< types for what the categories leave open
  op_table ops = {};          ///< categories, types and refusals by operation
  layer_rules layers = {};    ///< choices by layer

  /// The same policy, operations and rules.
  bool operator==(const precision_rules&) const = default;

  /// The type that `op_name` computes in, in `layer` if it has a name. Errors: those of
  /// op_table::resolve; a refused operation that a layer's rule asks to compute in low precision.
  dtype resolve(std::string_view op_name, std::span<const dtype> inputs,
                std::string_view layer = {}) const {
    return detail::resolve_with_rule(ops, layer.empty() ? nullptr : layers.find(layer), policy,
                                     op_name, inputs, layer);
  }
  /// @copydoc resolve(std::string_view, std::span<const dtype>, std::string_view) const
  dtype resolve(std::string_view op_name, std::initializer_list<dtype> inputs,
                std::string_view layer = {}) const {
    return resolve(op_name, std::span(inputs.begin(), inputs.size()), layer);
  }

  /// The same with a sentence why, for plans and logs.
  precision_decision explain(std::string_view op_name, std::span<const dtype> inputs,
                             std::string_view layer = {}) const {
    const layer_rule* rule = layer.empty() ? nullptr : layers.find(layer);
    const dtype type = detail::resolve_with_rule(ops, rule, policy, op_name, inputs, layer);
    if (rule != nullptr) {
      return {type, detail::concat(rule->pattern, "=", to_string(rule->choice), ": ", rule->why)};
    }
    const op_table::entry& e = ops.at(op_name);
    return {type,
            detail::concat(op_name, "=", e.type ? name(*e.type) : name(e.category), ": ", e.why)};
  }
  /// @copydoc explain(std::string_view, std::span<const dtype>, std::string_view) const
  precision_decision explain(std::string_view op_name, std::initializer_list<dtype> inputs,
                             std::string_view layer = {}) const {
    return explain(op_name, std::span(inputs.begin(), inputs.size()), layer);
  }
};

/// A preset by name with the operations that belong to it. All but two have the default table; O2
/// and O3 of NVIDIA Apex have no lists of operations but run the whole model in FP16, O2 without
/// its batch norms. Losses, which stand behind the model's FP32 output, and what has no FP16 form
/// anywhere (quantization, factorizations, the optimizer) stay in float32. Error: an unknown
/// preset, with the nearest names.
inline precision_rules preset_rules(std::string_view preset) {
  const auto* found =
      std::ranges::find(policy_presets, preset, &std::pair<std::string_view, cast_policy>::first);
  if (found == policy_presets.end()) {
    std::vector<std::string_view> names;
    for (const auto& [name, policy] : policy_presets) names.push_back(name);
    fail(detail::concat("halfway::preset_rules: unknown preset ", detail::quoted(preset),
                        "; did you mean ", detail::nearest_names(preset, names), "?"));
  }
  precision_rules rules{found->second};
  if (preset != "O2" && preset != "O3") return rules;
  for (const default_op& o : default_ops) {
    const bool outside_the_model = o.why == detail::why_loss || o.why == detail::why_quantize ||
                                   o.why == detail::why_linear_algebra ||
                                   o.name == op::fake_quantize || o.name == op::optimizer_step ||
                                   o.name == op::unscale || o.name == op::amax;
    if (o.category != op_category::float32 || outside_the_model) continue;
    if (preset == "O2" && o.name == op::batchnorm) continue;
    rules.ops.set(o.name, op_category::lower_precision,
                  detail::concat(preset, " runs the whole model in the compute type"));
  }
  return rules;
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_PRECISION_RULES_H_
