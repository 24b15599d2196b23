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

#include "halfway/simd/fma-inl.h"
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
  return e.alpha == 1.0f && e.row_scale == nullptr && e.column_scale == nullptr &&
         e.row_bias == nullptr && e.column_bias == nullptr && e.activate == nullptr &&
         e.health == nullptr;
}
HWY_INLINE bool IsPlain(const detail::exact_epilogue&) { return true; }
template <class TC>
HWY_INLINE bool IsPlain(const detail::requantize_epilogue<TC>&) {
  return false;
}

// Each FinishRow gets `n` sums of row `i`, columns [j, j + n); `sums` is readable up to a multiple
// of the lanes. Where the columns of c are apart, the row is made in a buffer and its elements are
// moved one by one.

// Adds n stored elements to what is known of them.
template <class TC>
HWY_INLINE void AddToHealth(const TC* HWY_RESTRICT c, size_t n, gemm_health& health) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  auto amax = hn::Set(df, health.amax);
  for (size_t q = 0; q < n; q += lanes) {
    const auto v = q + lanes <= n ? LoadF32(df, c + q) : LoadNF32(df, c + q, n - q);
    const auto finite = hn::IsFinite(v);
    amax = hn::Max(amax, hn::IfThenElseZero(finite, hn::Abs(v)));
    health.non_finite += hn::CountTrue(df, hn::Not(finite));
  }
  health.amax = hn::ReduceMax(df, amax);
}

// Row i of c from column j on, in f32, before the activation. `c` is c's own row or a copy of it.
template <class TC, class DF = hn::ScalableTag<float>>
HWY_INLINE hn::VFromD<DF> FinishVector(const detail::linear_epilogue<TC>& e, float alpha, size_t i,
                                       size_t j, size_t here, const float* sums, const TC* c) {
  const DF df;
  const auto load = [&](const float* p) HWY_ATTR {
    return here == hn::Lanes(df) ? hn::LoadU(df, p) : hn::LoadN(df, p, here);
  };
  auto v = RoundedProduct(hn::Set(df, alpha), hn::LoadU(df, sums));
  if (e.column_scale != nullptr) v = RoundedProduct(v, load(e.column_scale + j));
  // beta = 0 means that c is not read: what it holds, NaN included, does not matter.
  if (e.beta != 0.0f) {
    const auto old = here == hn::Lanes(df) ? LoadF32(df, c) : LoadNF32(df, c, here);
    v = Fma(hn::Set(df, e.beta), old, v);
  }
  if (e.row_bias != nullptr) v = hn::Add(v, hn::Set(df, e.row_bias[i]));
  if (e.column_bias != nullptr) v = hn::Add(v, load(e.column_bias + j));
  return v;
}

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
  const auto store = [&](hn::VFromD<decltype(df)> v, size_t q, size_t here) HWY_ATTR {
    if (here == lanes) {
      StoreF32(v, df, to + q);
    } else {
      StoreNF32(v, df, to + q, here);
    }
  };

  const float alpha = e.row_scale == nullptr ? e.alpha : e.alpha * e.row_scale[i];
  if (e.activate == nullptr) {
    for (size_t q = 0; q < n; q += lanes) {
      const size_t here = HWY_MIN(lanes, n - q);
      store(FinishVector(e, alpha, i, j + q, here, sums + q, to + q), q, here);
    }
  } else {
    HWY_ALIGN float row[detail::most_columns_at_once + HWY_MAX_BYTES / sizeof(float)];
    for (size_t q = 0; q < n; q += lanes) {
      const size_t here = HWY_MIN(lanes, n - q);
      hn::StoreU(FinishVector(e, alpha, i, j + q, here, sums + q, to + q), df, row + q);
    }
    e.activate(row, row, n);
    for (size_t q = 0; q < n; q += lanes) {
      store(hn::LoadU(df, row + q), q, HWY_MIN(lanes, n - q));
    }
  }

  if (e.health != nullptr) AddToHealth(to, n, *e.health);
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
