// SPDX-License-Identifier: Apache-2.0
// From an operation's category, the types of its inputs and a policy to the type it computes in:
// the one rule that tables at run time and static policies at compile time share.
//
//   static_assert(halfway::resolve_category(halfway::op_category::lower_precision, true, inputs,
//                                           halfway::amp_bf16) == halfway::dtype::bfloat16);
#ifndef HALFWAY_PRECISION_RESOLVE_H_
#define HALFWAY_PRECISION_RESOLVE_H_

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "halfway/precision/default_ops.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/promote.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// Fewer than 32 bits: float16, bfloat16, float8, int8, ...
constexpr bool is_low_precision(dtype type) { return bits_of(type) < 32; }

/// Whether a default operation is a product that the library or a common runtime computes on
/// integers, with int32 sums.
constexpr bool has_integer_form(std::string_view op_name) {
  constexpr std::array<std::string_view, 8> names = {
      op::gemm,   op::gemm_requantized, op::matmul, op::batch_matmul,
      op::linear, op::conv1d,           op::conv2d, op::conv3d};
  return std::ranges::find(names, op_name) != names.end();
}

/// What casting leaves alone: the widest type of the inputs if one is float64 or all are integers.
constexpr std::optional<dtype> left_alone(std::span<const dtype> inputs) {
  if (inputs.empty()) return std::nullopt;
  const dtype widest = promote(inputs);
  if (widest == dtype::float64 || !is_floating(widest)) return widest;
  return std::nullopt;
}

/// Whether an operation would meet low precision: an input of fewer than 32 bits or, where the
/// inputs aren't known, such a compute type.
constexpr bool meets_low_precision(std::span<const dtype> inputs, const cast_policy& policy) {
  if (inputs.empty()) return is_low_precision(policy.compute);
  // Labels and indices may be small integers; integers alone are quantized values.
  const bool floating = is_floating(promote(inputs));
  return std::ranges::any_of(inputs, [floating](dtype type) {
    return is_low_precision(type) && is_floating(type) == floating;
  });
}

/// The type that inputs are cast to, and that the operation computes in:
///
///   lower_precision   policy.compute; float32 if that is an integer type and the operation has no
///                     form on integers
///   float32           float32
///   promote_widest    promote() of all inputs, of which there must be one
///   refused           float32, where it isn't refused (see meets_low_precision)
/// But if an input is float64, or if all are integers, it is promote() of all inputs.
constexpr dtype resolve_category(op_category category, bool integer_form,
                                 std::span<const dtype> inputs, const cast_policy& policy) {
  if (const std::optional<dtype> same = left_alone(inputs)) return *same;
  switch (category) {
    case op_category::lower_precision:
      return is_floating(policy.compute) || integer_form ? policy.compute : dtype::float32;
    case op_category::promote_widest:
      return promote(inputs);
    case op_category::float32:
    case op_category::refused:
      break;
  }
  return dtype::float32;
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_RESOLVE_H_
