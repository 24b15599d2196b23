// SPDX-License-Identifier: Apache-2.0
// Policies and the table of operations for the compiler: a layer that is a template of its policy
// finds its types at no cost at run time.
//
//   template <class Policy>
//   struct feed_forward {
//     halfway::matrix<halfway::params_type<Policy>> weights;
//     using activations = halfway::compute_type<Policy, "linear", float>;  // cast to this
//   };
//   static_assert(std::same_as<feed_forward<halfway::static_amp_bf16>::activations, bfloat16>);
#ifndef HALFWAY_PRECISION_STATIC_POLICY_H_
#define HALFWAY_PRECISION_STATIC_POLICY_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "halfway/precision/default_ops.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/resolve.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"
#include "halfway/types/float4.h"
#include "halfway/types/float6.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "halfway/types/int4.h"
#include "halfway/types/int8.h"

namespace halfway {

/// A policy at compile time. Empty; converts to the run-time value, so that an autocast scope takes
/// it too.
template <class Params, class Compute, class Output>
struct static_policy {
  using params_type = Params;    ///< of stored parameters
  using compute_type = Compute;  ///< of the inputs of operations that profit from a narrow type
  using output_type = Output;    ///< of what the model returns

  /// The same at run time.
  static constexpr cast_policy value{dtype_of<Params>, dtype_of<Compute>, dtype_of<Output>};
  /// As `value`.
  constexpr operator cast_policy() const { return value; }  // NOLINT(google-explicit-constructor)
};

namespace detail {

template <dtype Type>
struct type_of_dtype;
template <>
struct type_of_dtype<dtype::float64> {
  using type = double;
};
template <>
struct type_of_dtype<dtype::float32> {
  using type = float;
};
template <>
struct type_of_dtype<dtype::float16> {
  using type = half;
};
template <>
struct type_of_dtype<dtype::bfloat16> {
  using type = bfloat16;
};
template <>
struct type_of_dtype<dtype::float8_e4m3fn> {
  using type = float8_e4m3fn;
};
template <>
struct type_of_dtype<dtype::float8_e5m2> {
  using type = float8_e5m2;
};
template <>
struct type_of_dtype<dtype::float8_e4m3fnuz> {
  using type = float8_e4m3fnuz;
};
template <>
struct type_of_dtype<dtype::float8_e5m2fnuz> {
  using type = float8_e5m2fnuz;
};
template <>
struct type_of_dtype<dtype::float8_e8m0fnu> {
  using type = float8_e8m0fnu;
};
template <>
struct type_of_dtype<dtype::float6_e2m3fn> {
  using type = float6_e2m3fn;
};
template <>
struct type_of_dtype<dtype::float6_e3m2fn> {
  using type = float6_e3m2fn;
};
template <>
struct type_of_dtype<dtype::float4_e2m1fn> {
  using type = float4_e2m1fn;
};
template <>
struct type_of_dtype<dtype::int32> {
  using type = std::int32_t;
};
template <>
struct type_of_dtype<dtype::int8> {
  using type = int8;
};
template <>
struct type_of_dtype<dtype::uint8> {
  using type = uint8;
};
template <>
struct type_of_dtype<dtype::int4> {
  using type = int4;
};
template <>
struct type_of_dtype<dtype::uint4> {
  using type = uint4;
};

// An operation's name as a template argument.
template <std::size_t N>
struct static_name {
  char text[N];
  consteval static_name(const char (&literal)[N]) {  // NOLINT(google-explicit-constructor)
    std::copy_n(literal, N, text);
  }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

constexpr const default_op* find_default_op(std::string_view op_name) {
  for (const default_op& o : default_ops) {
    if (o.name == op_name) return &o;
  }
  return nullptr;
}

template <class Policy, static_name Op, class... Inputs>
consteval dtype static_resolve() {
  constexpr const default_op* found = find_default_op(Op.view());
  static_assert(found != nullptr, "no default operation has this name");
  constexpr std::array<dtype, sizeof...(Inputs)> inputs = {dtype_of<Inputs>...};
  static_assert(found == nullptr || found->category != op_category::refused ||
                    !meets_low_precision(inputs, Policy::value),
                "this operation is refused in low precision: see its alternative in default_ops");
  static_assert(
      found == nullptr || found->category != op_category::promote_widest || sizeof...(Inputs) != 0,
      "this operation computes in the widest type of its inputs: give their types");
  return found == nullptr ? dtype::float32
                          : resolve_category(found->category, has_integer_form(found->name), inputs,
                                             Policy::value);
}

}  // namespace detail

/// The C++ type with this dtype: type_of<dtype::bfloat16> is bfloat16.
template <dtype Type>
using type_of = typename detail::type_of_dtype<Type>::type;

/// The compile-time form of a policy: static_policy_of<halfway::amp_bf16>.
template <cast_policy Policy>
using static_policy_of =
    static_policy<type_of<Policy.params>, type_of<Policy.compute>, type_of<Policy.output>>;

/// The preset of this name in precision/policy.h, for the compiler.
/// @{
using static_fp32 = static_policy_of<fp32>;
using static_amp_fp16 = static_policy_of<amp_fp16>;
using static_amp_bf16 = static_policy_of<amp_bf16>;
using static_pure_fp16 = static_policy_of<pure_fp16>;
using static_pure_bf16 = static_policy_of<pure_bf16>;
using static_int8_inference = static_policy_of<int8_inference>;
/// @}

/// What a policy has under this name.
/// @{
template <class Policy>
using params_type = typename Policy::params_type;
template <class Policy>
using output_type = typename Policy::output_type;
/// @}

/// The type that an operation of default_ops computes in under a static policy, given the element
/// types of its inputs: what op_table().resolve(Op, {inputs...}, Policy::value) says at run time.
/// Does not compile for an unknown operation, a refused one, and one that needs its inputs' types.
template <class Policy, detail::static_name Op, class... Inputs>
using compute_type = type_of<detail::static_resolve<Policy, Op, Inputs...>()>;

}  // namespace halfway

#endif  // HALFWAY_PRECISION_STATIC_POLICY_H_
