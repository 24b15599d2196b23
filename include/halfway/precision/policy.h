// SPDX-License-Identifier: Apache-2.0
// Which types a mixed-precision model stores its parameters in, computes in and returns: three
// dtypes as one value.
//
//   constexpr halfway::cast_policy p = halfway::amp_bf16;
//   assert(halfway::parse_policy("p=f32, c=bf16, o=f32") == p);
//   assert(halfway::to_string(p) == "params=float32,compute=bfloat16,output=float32");
//
//   using policy = halfway::static_policy<float, halfway::bfloat16, float>;  // for the compiler
//   policy::compute_type x(1.0f);
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
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"
#include "halfway/types/half.h"

namespace halfway {

struct cast_policy {
  dtype params = dtype::float32;   ///< stored parameters (the master weights, in training)
  dtype compute = dtype::float32;  ///< inputs of the operations that profit from a narrow type
  dtype output = dtype::float32;   ///< what the model returns

  constexpr bool operator==(const cast_policy&) const = default;
};

/// A policy at compile time. Converts to the run-time value.
template <class Params, class Compute, class Output>
struct static_policy {
  using params_type = Params;
  using compute_type = Compute;
  using output_type = Output;

  static constexpr cast_policy value{dtype_of<Params>, dtype_of<Compute>, dtype_of<Output>};
  constexpr operator cast_policy() const { return value; }  // NOLINT(google-explicit-constructor)
};

/// Everything in FP32.
inline constexpr cast_policy fp32{};
/// FP32 parameters, narrow computation: "automatic mixed precision". Training in FP16 needs a
/// loss_scaler.
inline constexpr cast_policy amp_fp16{dtype::float32, dtype::float16, dtype::float32};
inline constexpr cast_policy amp_bf16{dtype::float32, dtype::bfloat16, dtype::float32};
/// Parameters narrow as well. An optimizer then needs FP32 master weights elsewhere, or small steps
/// are lost.
inline constexpr cast_policy pure_fp16{dtype::float16, dtype::float16, dtype::float16};
inline constexpr cast_policy pure_bf16{dtype::bfloat16, dtype::bfloat16, dtype::bfloat16};

/// The presets by the names that parse_policy knows.
inline constexpr std::array<std::pair<std::string_view, cast_policy>, 5> policy_presets = {{
    {"fp32", fp32},
    {"amp-fp16", amp_fp16},
    {"amp-bf16", amp_bf16},
    {"pure-fp16", pure_fp16},
    {"pure-bf16", pure_bf16},
}};

/// "params=float32,compute=bfloat16,output=float32": reads back as the same policy.
inline std::string to_string(const cast_policy& policy) {
  return detail::concat("params=", name(policy.params), ",compute=", name(policy.compute),
                        ",output=", name(policy.output));
}

inline std::ostream& operator<<(std::ostream& out, const cast_policy& policy) {
  return out << to_string(policy);
}

/// Reads "params=float32,compute=bfloat16,output=float32", "p=f32,c=bf16,o=f32", or a preset's
/// name. Keys come in any order, each once; blanks around keys and values are allowed; types go by
/// every name that parse_dtype knows. Case matters. Errors name the text, the offending part and
/// the nearest names: unknown type or key, a key twice or missing, not key=value.
inline cast_policy parse_policy(std::string_view text) {
  constexpr std::string_view where = "halfway::parse_policy";
  for (const auto& [preset, policy] : policy_presets) {
    if (detail::trimmed(text) == preset) return policy;
  }
  if (text.find('=') == std::string_view::npos) {
    std::vector<std::string_view> presets;
    for (const auto& [preset, policy] : policy_presets) presets.push_back(preset);
    fail(detail::concat(
        where, ": ", detail::quoted(text),
        " is neither of the form params=<type>,compute=<type>,output=<type> nor a preset such as ",
        detail::nearest_names(detail::trimmed(text), presets)));
  }

  struct part {
    std::string_view long_key, short_key;
    std::optional<dtype> type;
  };
  std::array<part, 3> parts = {{{"params", "p", {}}, {"compute", "c", {}}, {"output", "o", {}}}};
  for (const detail::assignment& a : detail::parse_assignments(where, text)) {
    const auto found = std::ranges::find_if(
        parts, [&](const part& p) { return a.key == p.long_key || a.key == p.short_key; });
    if (found == parts.end()) {
      fail(detail::concat(where, ": unknown key ", detail::quoted(a.key), " in ",
                          detail::quoted(text),
                          "; the keys are params, compute and output, or p, c and o"));
    }
    if (found->type) {
      fail(detail::concat(where, ": ", detail::quoted(found->long_key), " stands twice in ",
                          detail::quoted(text)));
    }
    found->type = parse_dtype(a.value);
    if (!found->type) {
      std::vector<std::string_view> names;
      for (const dtype type : all_dtypes) names.push_back(name(type));
      for (const auto& [alias, type] : detail::dtype_aliases) names.push_back(alias);
      fail(detail::concat(where, ": unknown type ", detail::quoted(a.value), " for ", a.key, " in ",
                          detail::quoted(text), "; did you mean ",
                          detail::nearest_names(a.value, names), "?"));
    }
  }
  for (const part& p : parts) {
    if (!p.type)
      fail(detail::concat(where, ": ", detail::quoted(p.long_key), " is missing in ",
                          detail::quoted(text)));
  }
  return {*parts[0].type, *parts[1].type, *parts[2].type};
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_POLICY_H_
