// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/static_policy.h"

#include <gtest/gtest.h>

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "halfway/precision/autocast.h"
#include "halfway/precision/op_table.h"

namespace {

using halfway::bfloat16;
using halfway::cast_policy;
using halfway::compute_type;
using halfway::dtype;
using halfway::half;

using policy = halfway::static_policy<float, bfloat16, float>;
static_assert(std::same_as<policy::params_type, float>);
static_assert(std::same_as<policy::compute_type, bfloat16>);
static_assert(std::same_as<policy::output_type, float>);
static_assert(policy::value == halfway::amp_bf16);
static_assert(std::is_empty_v<policy>);
static_assert(cast_policy(policy()) == halfway::amp_bf16);

static_assert(std::same_as<halfway::static_amp_bf16, policy>);
static_assert(std::same_as<halfway::static_fp32, halfway::static_policy<float, float, float>>);
static_assert(std::same_as<halfway::static_pure_fp16, halfway::static_policy<half, half, half>>);
static_assert(
    std::same_as<halfway::static_policy_of<halfway::int8_inference>::params_type, halfway::int8>);
static_assert(halfway::static_amp_fp16::value == halfway::amp_fp16);
static_assert(halfway::static_pure_bf16::value == halfway::pure_bf16);

template <std::size_t... I>
constexpr bool types_and_dtypes_are_inverse(std::index_sequence<I...>) {
  return ((halfway::dtype_of<halfway::type_of<halfway::all_dtypes[I]>> == halfway::all_dtypes[I]) &&
          ...);
}
static_assert(types_and_dtypes_are_inverse(std::make_index_sequence<halfway::all_dtypes.size()>()));

// What the run-time table says, the compiler knows.
static_assert(std::same_as<compute_type<policy, "linear">, bfloat16>);
static_assert(std::same_as<compute_type<policy, "linear", float, float>, bfloat16>);
static_assert(std::same_as<compute_type<policy, "linear", double>, double>);
static_assert(std::same_as<compute_type<policy, "softmax", bfloat16>, float>);
static_assert(std::same_as<compute_type<policy, "add", bfloat16, half>, float>);
static_assert(std::same_as<compute_type<policy, "relu", half>, half>);
static_assert(std::same_as<compute_type<policy, "binary_cross_entropy", float>, float>);
static_assert(
    std::same_as<compute_type<halfway::static_int8_inference, "linear", float>, halfway::int8>);
static_assert(
    std::same_as<compute_type<halfway::static_int8_inference, "attention", float>, float>);

// A layer whose types the policy decides, with nothing left of it at run time.
template <class Policy>
struct layer {
  using weight = halfway::params_type<Policy>;
  using activation = compute_type<Policy, "linear", float>;
  using result = halfway::output_type<Policy>;
  weight w{};
};
static_assert(sizeof(layer<halfway::static_pure_bf16>) == sizeof(bfloat16));
static_assert(sizeof(layer<policy>) == sizeof(float));
static_assert(std::same_as<layer<policy>::activation, bfloat16>);

TEST(StaticPolicy, AgreesWithTheTableForEveryDefaultOperation) {
  for (const halfway::default_op& o : halfway::default_ops) {
    const dtype inputs[] = {dtype::float32};
    EXPECT_EQ(halfway::resolve_category(o.category, halfway::has_integer_form(o.name), inputs,
                                        policy::value),
              halfway::op_table().resolve(o.name, inputs, policy()))
        << o.name;
  }
}

TEST(StaticPolicy, OpensAnAutocastScope) {
  const halfway::autocast scope{policy()};
  EXPECT_EQ(halfway::compute_dtype(halfway::op::linear), halfway::dtype_of<policy::compute_type>);
}

}  // namespace
