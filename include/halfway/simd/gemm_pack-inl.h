// SPDX-License-Identifier: Apache-2.0
// Brings the operands of GEMM into the layout that the tile reads: A as dense rows of units, B as
// panels of columns.
//
// Both functions widen other formats to the kind's element type on the way and fill with zeros,
// which add nothing to a sum.

#if defined(HALFWAY_SIMD_GEMM_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_PACK_INL_H_
#undef HALFWAY_SIMD_GEMM_PACK_INL_H_
#else
#define HALFWAY_SIMD_GEMM_PACK_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/gemm_tile-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One element of any float format as float, by vector code: scalar conversions are templates
// outside this namespace and must not be instantiated from here.
template <class T>
HWY_INLINE float LoadOneF32(const T* p) {
  const hn::CappedTag<float, 1> d1;
  return hn::GetLane(LoadNF32(d1, p, 1));
}

// The 4-byte unit of `count` (up to Kind::kUnit) elements that lie `stride` apart; zero beyond.
template <class Kind, class T>
HWY_INLINE uint32_t LoadUnit(const T* HWY_RESTRICT p, size_t stride, size_t count) {
  typename Kind::Element unit[Kind::kUnit] = {};
  if constexpr (Kind::kUnit == 1) {
    if (count != 0) unit[0] = LoadOneF32(p);
  } else {
    for (size_t i = 0; i < count; ++i) hwy::CopyBytes<sizeof(T)>(p + i * stride, unit + i);
  }
  uint32_t bits;
  hwy::CopyBytes<4>(unit, &bits);
  return bits;
}

// Bytes from one row of packed A to the next, for k elements.
template <class Kind>
constexpr size_t PackedRowBytes(size_t k) {
  return hwy::RoundUpTo(k * (4 / Kind::kUnit), 64);
}

// Rows [0, rows) of `a` as dense rows of units, PackedRowBytes<Kind>(k) apart. `flip` (0 or 0x80)
// is applied to each byte of int8 data: it makes a signed value unsigned by adding 128.
template <class Kind, class T>
HWY_NOINLINE void PackA(const T* HWY_RESTRICT a, size_t row_stride, size_t col_stride, size_t rows,
                        size_t k, uint8_t flip, uint8_t* HWY_RESTRICT packed) {
  const size_t row_bytes = PackedRowBytes<Kind>(k);
  const size_t units = hwy::DivCeil(k, Kind::kUnit);
  if (units == 0) return;
  for (size_t i = 0; i < rows; ++i) {
    const T* HWY_RESTRICT from = a + i * row_stride;
    uint32_t* HWY_RESTRICT to = reinterpret_cast<uint32_t*>(packed + i * row_bytes);
    if constexpr (Kind::kUnit == 1) {
      if (col_stride == 1) {
        const hn::ScalableTag<float> df;
        const size_t lanes = hn::Lanes(df);
        float* HWY_RESTRICT wide = reinterpret_cast<float*>(to);
        size_t j = 0;
        for (; j + lanes <= k; j += lanes) hn::StoreU(LoadF32(df, from + j), df, wide + j);
        if (j < k) hn::StoreN(LoadNF32(df, from + j, k - j), df, wide + j, k - j);
        continue;
      }
    } else if (col_stride == 1) {
      const hn::ScalableTag<uint8_t> du8;
      const size_t lanes = hn::Lanes(du8);
      const size_t bytes = k * sizeof(T);
      const auto flip_all = hn::Set(du8, flip);
      const uint8_t* HWY_RESTRICT from_bytes = reinterpret_cast<const uint8_t*>(from);
      uint8_t* HWY_RESTRICT to_bytes = reinterpret_cast<uint8_t*>(to);
      to[units - 1] = 0;
      size_t j = 0;
      for (; j + lanes <= bytes; j += lanes) {
        hn::StoreU(hn::Xor(hn::LoadU(du8, from_bytes + j), flip_all), du8, to_bytes + j);
      }
      for (; j < bytes; ++j) to_bytes[j] = static_cast<uint8_t>(from_bytes[j] ^ flip);
      continue;
    }
    for (size_t u = 0; u < units; ++u) {
      const size_t first = u * Kind::kUnit;
      to[u] =
          LoadUnit<Kind>(from + first * col_stride, col_stride, HWY_MIN(Kind::kUnit, k - first)) ^
          (flip * 0x01010101u);
    }
  }
}

// Columns [0, cols) of `b` (k rows) as a panel: for each unit along k, `width` (a multiple of the
// lanes, >= cols) lanes.
template <class Kind, class T>
HWY_NOINLINE void PackB(const T* HWY_RESTRICT b, size_t row_stride, size_t col_stride, size_t k,
                        size_t cols, size_t width, uint32_t* HWY_RESTRICT panel) {
  const GemmD32 d32;
  const size_t lanes = hn::Lanes(d32);
  const size_t units = hwy::DivCeil(k, Kind::kUnit);
  const size_t whole = k / Kind::kUnit;

  if (col_stride == 1) {  // rows lie side by side: interleave the kUnit rows of a unit
    for (size_t u = 0; u < units; ++u) {
      const T* HWY_RESTRICT row = b + u * Kind::kUnit * row_stride;
      const size_t rows_here = HWY_MIN(Kind::kUnit, k - u * Kind::kUnit);
      for (size_t j = 0; j < width; j += lanes, panel += lanes) {
        const size_t here = j < cols ? HWY_MIN(lanes, cols - j) : 0;
        if constexpr (Kind::kUnit == 1) {
          const hn::ScalableTag<float> df;
          const auto v = here == lanes ? LoadF32(df, row + j) : LoadNF32(df, row + j, here);
          hn::Store(hn::BitCast(d32, v), d32, panel);
        } else {
          using Bits = hwy::UnsignedFromSize<sizeof(T)>;
          const hn::Rebind<Bits, GemmD32> dn;
          auto v = hn::Zero(d32);
          for (size_t i = 0; i < rows_here; ++i) {
            const Bits* HWY_RESTRICT p = reinterpret_cast<const Bits*>(row + i * row_stride + j);
            const auto x =
                hn::PromoteTo(d32, here == lanes ? hn::LoadU(dn, p) : hn::LoadN(dn, p, here));
            v = hn::Or(v, hn::ShiftLeftSame(x, static_cast<int>(8 * sizeof(T) * i)));
          }
          hn::Store(v, d32, panel);
        }
      }
    }
    return;
  }

  hwy::ZeroBytes(panel, units * width * sizeof(uint32_t));
  if (row_stride == 1) {  // columns lie side by side, as in the weights of y = x * W^T
    constexpr size_t kBlock =
        16;  // units: a block of the panel stays in L1 while its columns are written
    for (size_t u0 = 0; u0 < whole; u0 += kBlock) {
      const size_t count = HWY_MIN(kBlock, whole - u0);
      for (size_t j = 0; j < cols; ++j) {
        const T* HWY_RESTRICT column = b + j * col_stride + u0 * Kind::kUnit;
        HWY_ALIGN uint32_t unit[kBlock];
        if constexpr (Kind::kUnit == 1) {
          const hn::CappedTag<float, kBlock> df;
          const size_t step = hn::Lanes(df);
          for (size_t i = 0; i < count; i += step) {
            const size_t here = HWY_MIN(step, count - i);
            const auto v = here == step ? LoadF32(df, column + i) : LoadNF32(df, column + i, here);
            hn::Store(hn::BitCast(hn::RebindToUnsigned<decltype(df)>(), v),
                      hn::RebindToUnsigned<decltype(df)>(), unit + i);
          }
        } else {
          for (size_t i = 0; i < count; ++i) hwy::CopyBytes<4>(column + i * Kind::kUnit, unit + i);
        }
        for (size_t i = 0; i < count; ++i) panel[(u0 + i) * width + j] = unit[i];
      }
    }
    if (whole != units) {
      for (size_t j = 0; j < cols; ++j) {
        panel[whole * width + j] =
            LoadUnit<Kind>(b + j * col_stride + whole * Kind::kUnit, 1, k - whole * Kind::kUnit);
      }
    }
    return;
  }

  for (size_t u = 0; u < units; ++u) {  // any strides
    const size_t first = u * Kind::kUnit;
    for (size_t j = 0; j < cols; ++j) {
      panel[u * width + j] = LoadUnit<Kind>(b + first * row_stride + j * col_stride, row_stride,
                                            HWY_MIN(Kind::kUnit, k - first));
    }
  }
}

// sums[j] = sum over k of column j of an int8 panel: what a zero point of A is multiplied with.
inline void SumPanelColumns(const uint32_t* HWY_RESTRICT panel, size_t units, size_t width,
                            int32_t* HWY_RESTRICT sums) {
  const GemmD32 d32;
  const hn::ScalableTag<int32_t> di32;
  const size_t lanes = hn::Lanes(d32);
  const auto ones = hn::Set(d32, 0x01010101u);
  for (size_t j = 0; j < width; j += lanes) {
    auto sum = hn::Zero(di32);
    for (size_t u = 0; u < units; ++u)
      sum = GemmI8::MultiplyAdd(ones, hn::Load(d32, panel + u * width + j), sum);
    hn::Store(sum, di32, sums + j);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_PACK_INL_H_
