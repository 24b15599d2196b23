// SPDX-License-Identifier: Apache-2.0
// What becomes of a finished row of sums: scaled, added, rounded once to the output's type, and
// written.

#if defined(HALFWAY_SIMD_GEMM_EPILOGUE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_EPILOGUE_INL_H_
#undef HALFWAY_SIMD_GEMM_EPILOGUE_INL_H_
#else
#define HALFWAY_SIMD_GEMM_EPILOGUE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/gemm_args.h"
#include "halfway/simd/gemm_layout.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Whether the sums may be made in c, which then holds them in part for a while.
template <class Acc, class TC>
HWY_INLINE bool SumsInPlace(const detail::linear_epilogue<TC>& e) {
  return std::is_same_v<Acc, TC> && e.out.col_stride == 1 && e.beta == 0.0f;
}
template <class Acc>
HWY_INLINE bool SumsInPlace(const detail::exact_epilogue& e) {
  return e.out.col_stride == 1;
}
template <class Acc, class TC>
HWY_INLINE bool SumsInPlace(const detail::requantize_epilogue<TC>&) {
  return false;
}

// Whether sums made in c need no FinishRow.
template <class TC>
HWY_INLINE bool IsPlain(const detail::linear_epilogue<TC>& e) {
  return e.alpha == 1.0f && e.bias == nullptr;
}
HWY_INLINE bool IsPlain(const detail::exact_epilogue&) { return true; }
template <class TC>
HWY_INLINE bool IsPlain(const detail::requantize_epilogue<TC>&) {
  return false;
}

// Each FinishRow gets `n` sums of row `i`, columns [j, j + n); `sums` is readable up to a multiple
// of the lanes. Where the columns of c are apart, the row is made in a buffer and its elements are
// moved one by one.

template <class TC>
HWY_INLINE void FinishRow(const detail::linear_epilogue<TC>& e, size_t i, size_t j, size_t n,
                          const float* sums) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  TC* c = e.out.c + i * e.out.row_stride + j * e.out.col_stride;
  const bool apart = e.out.col_stride != 1;
  TC buffer[detail::most_columns_at_once];
  TC* to = apart ? buffer : c;  // may be `sums`
  if (apart && e.beta != 0.0f) {
    for (size_t q = 0; q < n; ++q) hwy::CopyBytes<sizeof(TC)>(c + q * e.out.col_stride, buffer + q);
  }

  const auto alpha = hn::Set(df, e.alpha);
  const auto beta = hn::Set(df, e.beta);
  const auto row_bias = hn::Set(df, e.bias != nullptr && e.bias_per_row ? e.bias[i] : 0.0f);
  for (size_t q = 0; q < n; q += lanes) {
    const size_t here = HWY_MIN(lanes, n - q);
    auto v = hn::Mul(alpha, hn::LoadU(df, sums + q));
    // beta = 0 means that c is not read: what it holds, NaN included, does not matter.
    if (e.beta != 0.0f) {
      const auto old = here == lanes ? LoadF32(df, to + q) : LoadNF32(df, to + q, here);
      v = hn::MulAdd(beta, old, v);
    }
    if (e.bias != nullptr) {
      const auto bias = e.bias_per_row  ? row_bias
                        : here == lanes ? hn::LoadU(df, e.bias + j + q)
                                        : hn::LoadN(df, e.bias + j + q, here);
      v = hn::Add(v, bias);
    }
    if (here == lanes) {
      StoreF32(v, df, to + q);
    } else {
      StoreNF32(v, df, to + q, here);
    }
  }
  if (apart) {
    for (size_t q = 0; q < n; ++q) hwy::CopyBytes<sizeof(TC)>(buffer + q, c + q * e.out.col_stride);
  }
}

HWY_INLINE void FinishRow(const detail::exact_epilogue& e, size_t i, size_t j, size_t n,
                          const int32_t* HWY_RESTRICT sums) {
  int32_t* HWY_RESTRICT c = e.out.c + i * e.out.row_stride + j * e.out.col_stride;
  if (e.out.col_stride == 1) {
    hwy::CopyBytes(sums, c, n * sizeof(int32_t));
  } else {
    for (size_t q = 0; q < n; ++q) c[q * e.out.col_stride] = sums[q];
  }
}

// Saturates before the conversion to an integer, so that no value is out of range.
template <class TC>
HWY_INLINE void FinishRow(const detail::requantize_epilogue<TC>& e, size_t i, size_t j, size_t n,
                          const int32_t* HWY_RESTRICT sums) {
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> di32;
  const hn::Rebind<TC, decltype(df)> dc;
  const size_t lanes = hn::Lanes(df);
  TC* HWY_RESTRICT c = e.out.c + i * e.out.row_stride + j * e.out.col_stride;
  const bool apart = e.out.col_stride != 1;
  TC buffer[detail::most_columns_at_once];
  TC* HWY_RESTRICT to = apart ? buffer : c;
  for (size_t q = 0; q < n; q += lanes) {
    const size_t here = HWY_MIN(lanes, n - q);
    auto sum = hn::LoadU(di32, sums + q);
    if (e.bias != nullptr) sum = hn::Add(sum, hn::LoadN(di32, e.bias + j + q, here));
    const auto scale =
        e.scale_per_column ? hn::LoadN(df, e.scale + j + q, here) : hn::Set(df, e.scale[0]);
    const auto v = hn::Mul(scale, hn::ConvertTo(df, sum));
    if constexpr (std::is_same_v<TC, float>) {
      hn::StoreN(v, df, to + q, here);
    } else {
      // Rounded before the zero point is added, as ONNX defines it. The bounds of TC less the zero
      // point are small integers.
      const auto lowest = hn::Set(df, static_cast<float>(hwy::LowestValue<TC>() - e.c_zero_point));
      const auto highest =
          hn::Set(df, static_cast<float>(hwy::HighestValue<TC>() - e.c_zero_point));
      const auto code = hn::ConvertTo(di32, hn::Min(hn::Max(hn::Round(v), lowest), highest));
      hn::StoreN(hn::DemoteTo(dc, hn::Add(code, hn::Set(di32, e.c_zero_point))), dc, to + q, here);
    }
  }
  if (apart) {
    for (size_t q = 0; q < n; ++q) c[q * e.out.col_stride] = buffer[q];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_EPILOGUE_INL_H_
