// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats.cc"
#include "halfway/simd/targets.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "formats.h"
#include "halfway/simd/gemm_amx-inl.h"
#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace info {
namespace HWY_NAMESPACE {

template <class T>
void AddFormat(target_facts& t) {
  namespace simd = halfway::HWY_NAMESPACE;
  const std::uint32_t bit = std::uint32_t{1} << static_cast<int>(halfway::dtype_of<T>);
  if (simd::kHasTableDecode<typename T::format>) {
    t.by_table |= bit;
  } else if (HALFWAY_SIMD_NATIVE_F16_CONVERSION != 0 && simd::FitsFloat16<typename T::format>()) {
    t.through_half |= bit;
  }
}

target_facts Facts() {
  target_facts t;
  t.target = HWY_TARGET;
  t.fma = HWY_NATIVE_FMA != 0;
  t.half_conversion = HALFWAY_SIMD_NATIVE_F16_CONVERSION != 0;
  t.bfloat16_rounding = HALFWAY_SIMD_NATIVE_BF16_CONVERSION != 0;
  t.bfloat16_dot = HWY_NATIVE_DOT_BF16 != 0;
  // Where Highway's SumOfMulQuadAccumulate is made of dot products of bytes.
  t.int8_dot = (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL) || HWY_TARGET == HWY_NEON_BF16;
  t.amx = HALFWAY_SIMD_AMX != 0 && halfway::detail::uses_amx();
  AddFormat<halfway::float8_e4m3fn>(t);
  AddFormat<halfway::float8_e5m2>(t);
  AddFormat<halfway::float8_e4m3fnuz>(t);
  AddFormat<halfway::float8_e5m2fnuz>(t);
  AddFormat<halfway::float6_e2m3fn>(t);
  AddFormat<halfway::float6_e3m2fn>(t);
  AddFormat<halfway::float4_e2m1fn>(t);
  t.int4_lookup = HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3;
  t.vector_bits =
      static_cast<int>(hwy::HWY_NAMESPACE::Lanes(halfway::HWY_NAMESPACE::GemmDF())) * 32;
  return t;
}

}  // namespace HWY_NAMESPACE
}  // namespace info
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <utility>

#include "halfway/simd/cpu.h"
#include "halfway/types/formats.h"

namespace info {

HWY_EXPORT(Facts);

target_facts target_facts_now() { return HWY_DYNAMIC_DISPATCH(Facts)(); }

std::string_view name(support s) {
  switch (s) {
    case support::native:
      return "native";
    case support::widened:
      return "widened";
    case support::emulated:
      return "emulated";
    case support::scalar:
      return "scalar";
    case support::none:
      break;
  }
  return "none";
}

namespace {

using halfway::dtype;

// How a panel of the format becomes vectors of float32 in front of a multiply-add.
struct widening {
  support kind;
  std::string how;
};

widening widening_of(dtype type, const target_facts& t) {
  const std::uint32_t bit = std::uint32_t{1} << static_cast<int>(type);
  if ((t.by_table & bit) != 0) return {support::emulated, "table look-ups"};
  if ((t.through_half & bit) != 0) return {support::widened, "shifts and float16 conversion"};
  switch (type) {
    case dtype::float16:
      if (t.half_conversion) return {support::native, "float16 conversion"};
      break;
    case dtype::bfloat16:
      return {support::widened, "a shift"};
    case dtype::int8:
    case dtype::uint8:
    case dtype::int4:
    case dtype::uint4:
      return {support::widened, "integer conversion"};
    default:
      break;
  }
  return {support::emulated, "integer arithmetic"};
}

format_support support_of(dtype type, const target_facts& t) {
  const std::string multiply_add =
      t.fma ? "fused multiply-adds of float32" : "multiplications and additions of float32";
  const widening wide = widening_of(type, t);
  switch (type) {
    case dtype::float32:
      return {type, support::native, support::native, support::native, multiply_add};
    case dtype::float64:
    case dtype::int32:
      return {type, support::scalar, support::scalar, support::none, ""};
    case dtype::bfloat16: {
      const support rounding = t.bfloat16_rounding ? support::native : support::emulated;
      if (t.amx) return {type, wide.kind, rounding, support::native, "AMX's products of tiles"};
      if (t.bfloat16_dot && !halfway::detail::bfloat16_dot_is_slow())
        return {type, wide.kind, rounding, support::native, "dot products of pairs"};
      return {type, wide.kind, rounding, support::widened, wide.how + ", then " + multiply_add};
    }
    case dtype::float16:
      return {type, wide.kind, wide.kind, t.half_conversion ? support::widened : support::emulated,
              wide.how + ", then " + multiply_add};
    case dtype::float8_e8m0fnu:  // a format of scales, which has no zero
      return {type, wide.kind, support::emulated, support::none, ""};
    case dtype::int8:
      return {type, wide.kind, support::emulated, t.int8_dot ? support::native : support::widened,
              t.amx        ? "AMX's products of tiles, summed in int32"
              : t.int8_dot ? "dot products of quads, summed in int32"
                           : "products of 16-bit integers, summed in int32"};
    case dtype::uint8:  // the activations of a product with int8
      return {type, wide.kind, support::emulated, support::none, "with int8 weights: as those"};
    case dtype::int4:
      return {type, wide.kind, support::emulated, support::widened,
              (t.int4_lookup ? "look-up in a register" : "shifts and integer conversion") +
                  std::string(", then ") + multiply_add};
    case dtype::uint4:
      return {type, wide.kind, support::emulated, support::none, ""};
    default:
      return {type, wide.kind, support::emulated, wide.kind, wide.how + ", then " + multiply_add};
  }
}

}  // namespace

std::vector<format_support> format_supports(const target_facts& t) {
  std::vector<format_support> all;
  for (const dtype type : halfway::all_dtypes) all.push_back(support_of(type, t));
  return all;
}

std::vector<std::string> compiled_targets() {
  std::vector<std::string> names;
  for (std::int64_t left = HWY_TARGETS; left != 0; left &= left - 1)
    names.emplace_back(hwy::TargetName(left & -left));
  return names;
}

std::string chosen_target() { return hwy::TargetName(target_facts_now().target); }

}  // namespace info

#endif  // HWY_ONCE
