// SPDX-License-Identifier: Apache-2.0
// Windows over images of channels side by side, in f32: sums and maxima of the taps of a window,
// and their gradients. Each element's terms are taken in the order of the taps or of the windows,
// row by row: the same bits on every target.
//
//   MaxPoolKernel<Config>(args, x, y, offsets);    // one image; offsets: args.taps() of scratch
//   Col2imKernel<Config>(rows, columns, channels, cols, image, first_row, last_row);

#if defined(HALFWAY_SIMD_WINDOW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_WINDOW_INL_H_
#undef HALFWAY_SIMD_WINDOW_INL_H_
#else
#define HALFWAY_SIMD_WINDOW_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/window_args.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Where the taps of the window at (oh, ow) that lie within the image begin; returns how many.
HWY_INLINE size_t FindTaps(const detail::window_args& a, size_t oh, size_t ow, size_t* offsets) {
  size_t n = 0;
  for (size_t i = 0; i < a.rows.kernel; ++i) {
    const size_t h = a.rows.place(oh, i);
    if (h >= a.rows.size) continue;
    for (size_t j = 0; j < a.cols.kernel; ++j) {
      const size_t w = a.cols.place(ow, j);
      if (w < a.cols.size) offsets[n++] = (h * a.cols.size + w) * a.channels;
    }
  }
  return n;
}

// Calls f(df, c, count) for vectors of `count` channels from c on; count is Lanes(df) but for the
// last.
template <class F>
HWY_INLINE void ForEachChannels(size_t channels, const F& f) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  for (size_t c = 0; c < channels; c += lanes) f(df, c, HWY_MIN(lanes, channels - c));
}

// v comes after `best`: it is larger, or the first NaN.
template <class V>
HWY_INLINE auto Succeeds(V v, V best) {
  return hn::Or(hn::Gt(v, best), hn::AndNot(hn::IsNaN(best), hn::IsNaN(v)));
}

// y = the largest of each window's taps within the image.
template <class Config>
void MaxPoolKernel(const detail::window_args& a, const typename Config::X* x, typename Config::Y* y,
                   size_t* offsets) {
  for (size_t oh = 0; oh < a.rows.out_size; ++oh) {
    for (size_t ow = 0; ow < a.cols.out_size; ++ow, y += a.channels) {
      const size_t taps = FindTaps(a, oh, ow, offsets);
      ForEachChannels(a.channels, [&](auto df, size_t c, size_t count) HWY_ATTR {
        auto best = LoadNF32(df, x + offsets[0] + c, count);
        for (size_t t = 1; t < taps; ++t) {
          const auto v = LoadNF32(df, x + offsets[t] + c, count);
          best = hn::IfThenElse(Succeeds(v, best), v, best);
        }
        StoreNF32(best, df, y + c, count);
      });
    }
  }
}

// sums += dy where x was the largest; sums: of the image's size.
template <class Config>
void MaxPoolBackwardKernel(const detail::window_args& a, const typename Config::X* x,
                           const typename Config::DY* dy, float* sums, size_t* offsets) {
  for (size_t oh = 0; oh < a.rows.out_size; ++oh) {
    for (size_t ow = 0; ow < a.cols.out_size; ++ow, dy += a.channels) {
      const size_t taps = FindTaps(a, oh, ow, offsets);
      ForEachChannels(a.channels, [&](auto df, size_t c, size_t count) HWY_ATTR {
        const hn::RebindToSigned<decltype(df)> di;
        auto best = LoadNF32(df, x + offsets[0] + c, count);
        auto chosen = hn::Zero(di);
        for (size_t t = 1; t < taps; ++t) {
          const auto v = LoadNF32(df, x + offsets[t] + c, count);
          const auto succeeds = Succeeds(v, best);
          best = hn::IfThenElse(succeeds, v, best);
          chosen = hn::IfThenElse(hn::RebindMask(di, succeeds),
                                  hn::Set(di, static_cast<int32_t>(t)), chosen);
        }
        const auto gradient = LoadNF32(df, dy + c, count);
        for (size_t t = 0; t < taps; ++t) {
          float* to = sums + offsets[t] + c;
          const auto here =
              hn::RebindMask(df, hn::Eq(chosen, hn::Set(di, static_cast<int32_t>(t))));
          const auto sum = hn::LoadN(df, to, count);
          hn::StoreN(hn::IfThenElse(here, hn::Add(sum, gradient), sum), df, to, count);
        }
      });
    }
  }
}

// What a window's sum is divided by.
HWY_INLINE float PoolDivisor(const detail::window_args& a, size_t taps_inside,
                             bool counts_padding) {
  return static_cast<float>(counts_padding ? a.taps() : taps_inside);
}

template <class Config>
void AveragePoolKernel(const detail::window_args& a, const typename Config::X* x,
                       typename Config::Y* y, size_t* offsets, bool counts_padding) {
  for (size_t oh = 0; oh < a.rows.out_size; ++oh) {
    for (size_t ow = 0; ow < a.cols.out_size; ++ow, y += a.channels) {
      const size_t taps = FindTaps(a, oh, ow, offsets);
      const float divisor = PoolDivisor(a, taps, counts_padding);
      ForEachChannels(a.channels, [&](auto df, size_t c, size_t count) HWY_ATTR {
        auto sum = LoadNF32(df, x + offsets[0] + c, count);
        for (size_t t = 1; t < taps; ++t) {
          sum = hn::Add(sum, LoadNF32(df, x + offsets[t] + c, count));
        }
        StoreNF32(hn::Div(sum, hn::Set(df, divisor)), df, y + c, count);
      });
    }
  }
}

// sums += dy / divisor at each tap.
template <class DY>
void AveragePoolBackwardKernel(const detail::window_args& a, const DY* dy, float* sums,
                               size_t* offsets, bool counts_padding) {
  for (size_t oh = 0; oh < a.rows.out_size; ++oh) {
    for (size_t ow = 0; ow < a.cols.out_size; ++ow, dy += a.channels) {
      const size_t taps = FindTaps(a, oh, ow, offsets);
      const float divisor = PoolDivisor(a, taps, counts_padding);
      ForEachChannels(a.channels, [&](auto df, size_t c, size_t count) HWY_ATTR {
        const auto share = hn::Div(LoadNF32(df, dy + c, count), hn::Set(df, divisor));
        for (size_t t = 0; t < taps; ++t) {
          float* to = sums + offsets[t] + c;
          hn::StoreN(hn::Add(hn::LoadN(df, to, count), share), df, to, count);
        }
      });
    }
  }
}

// Rows [first_row, last_row) of an image: each element the sum of what the windows' rows of `cols`,
// out_size x (taps * channels), have for it, tap by tap.
template <class Config>
void Col2imKernel(const detail::window_terms& rows, const detail::window_terms& columns,
                  size_t channels, const typename Config::X* cols, typename Config::Y* image,
                  size_t first_row, size_t last_row) {
  for (size_t h = first_row; h < last_row; ++h) {
    for (size_t w = 0; w < columns.size; ++w) {
      typename Config::Y* to = image + (h * columns.size + w) * channels;
      ForEachChannels(channels, [&](auto df, size_t c, size_t count) HWY_ATTR {
        auto sum = hn::Zero(df);
        for (size_t i = rows.first[h]; i < rows.first[h + 1]; ++i) {
          const typename Config::X* from = cols + rows.offsets[i] + c;
          for (size_t j = columns.first[w]; j < columns.first[w + 1]; ++j) {
            sum = hn::Add(sum, LoadNF32(df, from + columns.offsets[j], count));
          }
        }
        StoreNF32(sum, df, to + c, count);
      });
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_WINDOW_INL_H_
