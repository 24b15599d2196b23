// SPDX-License-Identifier: Apache-2.0
// Which types a mixed-precision model stores its parameters in, computes in and returns: three
// dtypes as one value.
//
//   constexpr halfway::cast_policy p = halfway::amp_bf16;
//   assert(halfway::parse_policy("p=f32, c=bf16, o=f32") == p);
//   assert(halfway::to_string(p) == "params=float32,compute=bfloat16,output=float32");
//
// precision/static_policy.h has the same for the compiler: types, at no cost at run time.
#ifndef HALFWAY_PRECISION_POLICY_H_
#define HALFWAY_PRECISION_POLICY_H_

#include <algorithm>
#include <array>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// The types of a model's parameters, computation and results.
struct cast_policy {
  dtype params = dtype::float32;   ///< stored parameters (the master weights, in training)
  dtype compute = dtype::float32;  ///< inputs of the operations that profit from a narrow type
  dtype output = dtype::float32;   ///< what the model returns

  constexpr bool operator==(const cast_policy&) const = default;  ///< of all three types
};

/// Everything in FP32.
inline constexpr cast_policy fp32{};
/// FP32 parameters, narrow computation: "automatic mixed precision". Training in FP16 needs a
/// loss_scaler.
inline constexpr cast_policy amp_fp16{dtype::float32, dtype::float16, dtype::float32};
/// As amp_fp16, in bfloat16, which has float's range and needs no loss_scaler.
inline constexpr cast_policy amp_bf16{dtype::float32, dtype::bfloat16, dtype::float32};
/// Parameters narrow as well. An optimizer then needs FP32 master weights elsewhere, or small steps
/// are lost.
inline constexpr cast_policy pure_fp16{dtype::float16, dtype::float16, dtype::float16};
/// As pure_fp16, in bfloat16.
inline constexpr cast_policy pure_bf16{dtype::bfloat16, dtype::bfloat16, dtype::bfloat16};

/// The optimization levels of NVIDIA Apex (apex.amp), whose documentation calls them: O0 "FP32
/// training"; O1 "mixed precision", a cast before each operation by lists, weights in FP32; O2
/// "almost FP16", weights and all layers in FP16 but batch norms, with FP32 master weights in the
/// optimizer; O3 "FP16 training", batch norms and master weights too. Apex returns FP32 from O2 and
/// O3, so these differ in their operations only: preset_rules (precision/precision_rules.h) has
/// both sides of it. O1 and O2 need a dynamic loss_scaler; O3 in Apex has none.
inline constexpr cast_policy apex_o0 = fp32;
inline constexpr cast_policy apex_o1 = amp_fp16;  ///< O1 of NVIDIA Apex; see apex_o0
/// O2; see apex_o0.
inline constexpr cast_policy apex_o2{dtype::float16, dtype::float16, dtype::float32};
/// O3; see apex_o0.
inline constexpr cast_policy apex_o3{dtype::float16, dtype::float16, dtype::float32};

/// Weights and the inputs of matrix products and convolutions as 8-bit integers, with int32 sums;
/// the operations that have no form on integers compute in FP32. For inference only.
inline constexpr cast_policy int8_inference{dtype::int8, dtype::int8, dtype::float32};

/// The presets by the names that parse_policy knows.
inline constexpr std::array<std::pair<std::string_view, cast_policy>, 10> policy_presets = {{
    {"fp32", fp32},
    {"amp-fp16", amp_fp16},
    {"amp-bf16", amp_bf16},
    {"pure-fp16", pure_fp16},
    {"pure-bf16", pure_bf16},
    {"O0", apex_o0},
    {"O1", apex_o1},
    {"O2", apex_o2},
    {"O3", apex_o3},
    {"int8-inference", int8_inference},
}};

/// "params=float32,compute=bfloat16,output=float32": reads back as the same policy.
inline std::string to_string(const cast_policy& policy) {
  return detail::concat("params=", name(policy.params), ",compute=", name(policy.compute),
                        ",output=", name(policy.output));
}

/// As to_string().
inline std::ostream& operator<<(std::ostream& out, const cast_policy& policy) {
  return out << to_string(policy);
}

namespace detail {

// Every name that parse_dtype knows.
inline std::vector<std::string_view> type_names() {
  std::vector<std::string_view> names;
  for (const dtype type : all_dtypes) names.push_back(name(type));
  for (const auto& [alias, type] : dtype_aliases) names.push_back(alias);
  return names;
}

// parse_policy with messages that begin with `where`, such as a file and a line of it.
inline cast_policy parse_policy_at(std::string_view where, std::string_view text) {
  for (const auto& [preset, policy] : policy_presets) {
    if (trimmed(text) == preset) return policy;
  }
  if (text.find('=') == std::string_view::npos) {
    std::vector<std::string_view> presets;
    for (const auto& [preset, policy] : policy_presets) presets.push_back(preset);
    fail(concat(
        where, ": ", quoted(text),
        " is neither of the form params=<type>,compute=<type>,output=<type> nor a preset such as ",
        nearest_names(trimmed(text), presets)));
  }

  struct part {
    std::string_view long_key, short_key;
    std::optional<dtype> type;
  };
  std::array<part, 3> parts = {{{"params", "p", {}}, {"compute", "c", {}}, {"output", "o", {}}}};
  for (const assignment& a : parse_assignments(where, text)) {
    const auto found = std::ranges::find_if(
        parts, [&](const part& p) { return a.key == p.long_key || a.key == p.short_key; });
    if (found == parts.end()) {
      fail(concat(where, ": unknown key ", quoted(a.key), " in ", quoted(text),
                  "; the keys are params, compute and output, or p, c and o"));
    }
    if (found->type) {
      fail(concat(where, ": ", quoted(found->long_key), " stands twice in ", quoted(text)));
    }
    found->type = parse_dtype(a.value);
    if (!found->type) {
      fail(concat(where, ": unknown type ", quoted(a.value), " for ", a.key, " in ", quoted(text),
                  "; did you mean ", nearest_names(a.value, type_names()), "?"));
    }
  }
  for (const part& p : parts) {
    if (!p.type) fail(concat(where, ": ", quoted(p.long_key), " is missing in ", quoted(text)));
  }
  return {*parts[0].type, *parts[1].type, *parts[2].type};
}

}  // namespace detail

/// Reads "params=float32,compute=bfloat16,output=float32", "p=f32,c=bf16,o=f32", or a preset's
/// name. Keys come in any order, each once; blanks around keys and values are allowed; types go by
/// every name that parse_dtype knows. Case matters. Errors name the text, the offending part and
/// the nearest names: unknown type or key, a key twice or missing, not key=value.
inline cast_policy parse_policy(std::string_view text) {
  return detail::parse_policy_at("halfway::parse_policy", text);
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_POLICY_H_
