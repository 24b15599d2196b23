// SPDX-License-Identifier: Apache-2.0
// The multiply-adds that a GEMM tile is made of: one step along k for each pair of element types.
//
// A step reads the vectors of one step of a packed panel of B (gemm_layout.h) and multiplies them
// with broadcast 4-byte units of A. A step has kUnits of them, one after the other: one where the
// instruction sums neighbours along k itself, else one for each k.

#if defined(HALFWAY_SIMD_GEMM_STEP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_STEP_INL_H_
#undef HALFWAY_SIMD_GEMM_STEP_INL_H_
#else
#define HALFWAY_SIMD_GEMM_STEP_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/gemm_layout.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/table_decode-inl.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/minifloat.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most as wide as half the layout's granule.
using GemmDF = hn::CappedTag<float, detail::panel_granule / 2>;
using GemmDI = hn::RebindToSigned<GemmDF>;
using GemmDU = hn::RebindToUnsigned<GemmDF>;
using GemmVF = hn::VFromD<GemmDF>;
using GemmVI = hn::VFromD<GemmDI>;
using GemmVU = hn::VFromD<GemmDU>;

// Float A. A multiply-add is fused where the target has the instruction, else where kFused says so,
// for the same bits, slowly.
template <class TPanel, bool kFused>
struct GemmStepOfFloats {
  using A = float;
  using Panel = TPanel;
  using Acc = float;
  using DAcc = GemmDF;
  static constexpr size_t kDepth = detail::panel_depth<TPanel>;
  static constexpr size_t kUnits = kDepth;
  using VB = GemmVF;

  static HWY_INLINE GemmVF AddProduct(GemmVF a, GemmVF b, GemmVF acc) {
    if constexpr (kFused) {
      return Fma(a, b, acc);
    } else {
      return hn::MulAdd(a, b, acc);
    }
  }
  static HWY_INLINE GemmVF MultiplyAdd(GemmVU a, VB b, GemmVF acc) {
    return AddProduct(hn::BitCast(GemmDF(), a), b, acc);
  }
};

// A panel of any float format, widened in registers.
template <class TPanel, bool kFused = false>
struct GemmStepF32 : GemmStepOfFloats<TPanel, kFused> {
  using VB = GemmVF;
  static constexpr size_t kDepth = detail::panel_depth<TPanel>;

  // Vector v of the unit: the lanes' elements at p[(v * lanes + lane) * kDepth + unit].
  static HWY_INLINE VB LoadB(const TPanel* HWY_RESTRICT p, size_t v, size_t unit) {
    const GemmDF df;
    const size_t at = v * hn::Lanes(df) * kDepth;
    if constexpr (kDepth == 1) {
      (void)unit;
      return LoadF32(df, p + at);
    } else {
      static_assert(std::is_same_v<TPanel, bfloat16>);
      const GemmDU du;
      const GemmVU pair = hn::LoadU(du, reinterpret_cast<const uint32_t*>(p + at));
      return hn::BitCast(
          df, unit == 0 ? hn::ShiftLeft<16>(pair) : hn::And(pair, hn::Set(du, 0xFFFF0000u)));
    }
  }
};

// Float A and codes of 8 bits, whose scale multiplies the sum of each group.
template <bool kFused>
struct GemmStepInt8Codes : GemmStepOfFloats<detail::int8_code, kFused> {
  using Panel = detail::int8_code;
  using VB = GemmVF;
  static HWY_INLINE VB LoadB(const Panel* HWY_RESTRICT p, size_t v, size_t /*unit*/) {
    const GemmDF df;
    return LoadF32(df, reinterpret_cast<const int8_t*>(p) + v * hn::Lanes(df));
  }
};

// The same of 4 bits, eight of one column in a lane.
template <bool kFused>
struct GemmStepInt4Codes : GemmStepOfFloats<detail::int4_pair, kFused> {
  using Panel = detail::int4_pair;
  using VB = GemmVF;
  static HWY_INLINE GemmVI LoadLane(const Panel* HWY_RESTRICT p, size_t v) {
    const GemmDI di;
    return hn::LoadU(di, reinterpret_cast<const int32_t*>(p) + v * hn::Lanes(di));
  }
  static HWY_INLINE VB FromLane(GemmVI lane, size_t unit) {
    const GemmDF df;
    const int below = static_cast<int>(unit) * 4;
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86  // the lookup sees the lowest four bits only
    HWY_ALIGN static constexpr float kValues[16] = {0,  1,  2,  3,  4,  5,  6,  7,
                                                    -8, -7, -6, -5, -4, -3, -2, -1};
    auto index = hn::ShiftRightSame(lane, below);
    if constexpr (HWY_IS_DEBUG_BUILD) index = hn::And(index, hn::Set(GemmDI(), 15));
    return hn::TableLookupLanes(hn::Load(df, kValues), hn::IndicesFromVec(df, index));
#else
    return hn::ConvertTo(df, hn::ShiftRight<28>(hn::ShiftLeftSame(lane, 28 - below)));
#endif
  }
  static HWY_INLINE VB LoadB(const Panel* HWY_RESTRICT p, size_t v, size_t unit) {
    return FromLane(LoadLane(p, v), unit);
  }
};
template <class Step>
inline constexpr bool kHasGroups = std::is_same_v<typename Step::Panel, detail::int8_code> ||
                                   std::is_same_v<typename Step::Panel, detail::int4_pair>;

// Pairs of bfloat16 summed into f32 by the native dot product instruction, which flushes subnormals
// and rounds in its own way. Targets without it widen to f32.
#if HWY_NATIVE_DOT_BF16
struct GemmStepBF16 {
  using A = bfloat16;
  using Panel = bfloat16;
  using Acc = float;
  using DAcc = GemmDF;
  static constexpr size_t kDepth = 2;
  static constexpr size_t kUnits = 1;
  using VB = GemmVU;

  static HWY_INLINE VB LoadB(const bfloat16* HWY_RESTRICT p, size_t v, size_t /*unit*/) {
    const GemmDU du;
    return hn::LoadU(du, reinterpret_cast<const uint32_t*>(p) + v * hn::Lanes(du));
  }
  static HWY_INLINE GemmVF MultiplyAdd(GemmVU a, VB b, GemmVF acc) {
    const GemmDF df;
    const hn::Repartition<hwy::bfloat16_t, GemmDF> dbf;
    auto unused = hn::Zero(df);
    return hn::ReorderWidenMulAccumulate(df, hn::BitCast(dbf, a), hn::BitCast(dbf, b), acc, unused);
  }
};
#endif

// Quads of u8 * s8 summed into int32, without the 16-bit saturation of older instructions: exact
// modulo 2^32.
struct GemmStepI8 {
  using A = uint8_t;
  using Panel = int8_t;
  using Acc = int32_t;
  using DAcc = GemmDI;
  static constexpr size_t kDepth = 4;
  static constexpr size_t kUnits = 1;
  using VB = GemmVU;

  static HWY_INLINE VB LoadB(const int8_t* HWY_RESTRICT p, size_t v, size_t /*unit*/) {
    const GemmDU du;
    return hn::LoadU(du, reinterpret_cast<const uint32_t*>(p) + v * hn::Lanes(du));
  }
  static HWY_INLINE GemmVI MultiplyAdd(GemmVU a, VB b, GemmVI acc) {
    const GemmDI di;
#if HWY_TARGET == HWY_SCALAR
    const uint32_t ua = hn::GetLane(a), ub = hn::GetLane(b);
    uint32_t sum = static_cast<uint32_t>(hn::GetLane(acc));
    for (int shift = 0; shift < 32; shift += 8) {
      const int32_t product = static_cast<uint8_t>(ua >> shift) * static_cast<int8_t>(ub >> shift);
      sum += static_cast<uint32_t>(product);
    }
    return hn::Set(di, static_cast<int32_t>(sum));
#else
    const hn::Repartition<uint8_t, GemmDI> du8;
    const hn::Repartition<int8_t, GemmDI> di8;
    return hn::SumOfMulQuadAccumulate(di, hn::BitCast(du8, a), hn::BitCast(di8, b), acc);
#endif
  }
};

// kVecs vectors of a step's unit.
template <class Step, size_t kVecs>
HWY_INLINE void LoadVectors(const typename Step::Panel* HWY_RESTRICT p, size_t unit,
                            typename Step::VB* HWY_RESTRICT to) {
#if HALFWAY_SIMD_TABLE_DECODE
  if constexpr (kVecs == 4 && HWY_MAX_LANES_D(GemmDF) == 16 &&
                is_minifloat_v<typename Step::Panel>) {
    if constexpr (kHasTableDecode<typename Step::Panel::format>) {
      return TableDecode<typename Step::Panel::format>(
          GemmDF(), reinterpret_cast<const uint8_t*>(p), to[0], to[1], to[2], to[3]);
    }
  }
#endif
#pragma GCC unroll 8
  for (size_t v = 0; v < kVecs; ++v) to[v] = Step::LoadB(p, v, unit);
}

// The step for operands of these types; with kReproducible, one that gives the same bits on every
// target. B that is packed for one call only is widened to float there, once.
template <class TA, class TB, bool kIsPacked, bool kReproducible = false>
constexpr auto ChooseGemmStep() {
  constexpr bool kFused = kReproducible && !HWY_NATIVE_FMA;
  if constexpr (sizeof(TA) == 1 && std::is_same_v<TB, int8_t>) {
    return GemmStepI8();
  } else if constexpr (std::is_same_v<TB, detail::int8_code>) {
    return GemmStepInt8Codes<kFused>();
  } else if constexpr (std::is_same_v<TB, detail::int4_pair>) {
    return GemmStepInt4Codes<kFused>();
#if HWY_NATIVE_DOT_BF16
  } else if constexpr (!kReproducible && std::is_same_v<TA, bfloat16> &&
                       std::is_same_v<TB, bfloat16>) {
    return GemmStepBF16();
#endif
  } else if constexpr (kIsPacked) {
    return GemmStepF32<TB, kFused>();
  } else {
    return GemmStepF32<float, kFused>();
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_STEP_INL_H_
