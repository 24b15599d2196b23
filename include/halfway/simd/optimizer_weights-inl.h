// SPDX-License-Identifier: Apache-2.0
// The weights of an optimizer's step as vectors of FP32, however they are kept. Each WeightBlock
//
//   Prefetch(i, n)            asks for elements i to i + n - 1 of memory,
//   Begin(i, n)               goes on to elements i to i + n - 1, n at most optimizer_block,
//   Load(df, part, i)         gives some of them, and
//   Store(v, df, part, i)     takes their new values.
//
// What is kept, and why, stands in training/weight_storage.h.

#if defined(HALFWAY_SIMD_OPTIMIZER_WEIGHTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_OPTIMIZER_WEIGHTS_INL_H_
#undef HALFWAY_SIMD_OPTIMIZER_WEIGHTS_INL_H_
#else
#define HALFWAY_SIMD_OPTIMIZER_WEIGHTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "halfway/simd/encode_rounded-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/optimizer_args.h"
#include "halfway/simd/philox-inl.h"
#include "halfway/types/rounding.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// No wider than optimizer_block.
using OptimizerTag = hn::CappedTag<float, 16>;

// One vector of memory, whole or cut off by the end of the arrays.
struct WholeVector {
  template <class DF, class T>
  HWY_INLINE hn::VFromD<DF> Load(DF df, const T* p) const {
    return LoadF32(df, p);
  }
  template <class DF, class T>
  HWY_INLINE void Store(hn::VFromD<DF> v, DF df, T* p) const {
    StoreF32(v, df, p);
  }
  template <class D>
  HWY_INLINE hn::VFromD<D> LoadRaw(D d, const hn::TFromD<D>* p) const {
    return hn::LoadU(d, p);
  }
  template <class D>
  HWY_INLINE void StoreRaw(hn::VFromD<D> v, D d, hn::TFromD<D>* p) const {
    hn::StoreU(v, d, p);
  }
};

struct FirstLanes {
  size_t count;

  template <class DF, class T>
  HWY_INLINE hn::VFromD<DF> Load(DF df, const T* p) const {
    return LoadNF32(df, p, count);
  }
  template <class DF, class T>
  HWY_INLINE void Store(hn::VFromD<DF> v, DF df, T* p) const {
    StoreNF32(v, df, p, count);
  }
  template <class D>
  HWY_INLINE hn::VFromD<D> LoadRaw(D d, const hn::TFromD<D>* p) const {
    return hn::LoadN(d, p, count);
  }
  template <class D>
  HWY_INLINE void StoreRaw(hn::VFromD<D> v, D d, hn::TFromD<D>* p) const {
    hn::StoreN(v, d, p, count);
  }
};

// Where much is computed between two blocks, the memory of a later one is asked for before: n
// elements from number i on, which may lie behind the array's end.
template <class T>
HWY_INLINE void PrefetchElements(const T* p, size_t i, size_t n) {
  constexpr size_t kLine = 64;
  const uintptr_t from = reinterpret_cast<uintptr_t>(p) + i * sizeof(T);
  for (size_t k = 0; k < n * sizeof(T); k += kLine) {
    hwy::Prefetch(reinterpret_cast<const uint8_t*>(from + k));
  }
}

template <class Storage>
class WeightBlock;

template <class Model>
class WeightBlock<MasterWeights<Model>> {
 public:
  static constexpr bool kComputesBetween = false;
  explicit HWY_INLINE WeightBlock(MasterWeights<Model> s) : s_(s) {}
  HWY_INLINE void Prefetch(size_t i, size_t n) const {
    PrefetchElements(s_.master, i, n);
    if (s_.model != nullptr) PrefetchElements(s_.model, i, n);
  }
  HWY_INLINE void Begin(size_t /*i*/, size_t /*n*/) {}

  template <class DF, class Part>
  HWY_INLINE hn::VFromD<DF> Load(DF df, Part part, size_t i) const {
    return part.Load(df, s_.master + i);
  }
  template <class DF, class Part>
  HWY_INLINE void Store(hn::VFromD<DF> v, DF df, Part part, size_t i) const {
    part.Store(v, df, s_.master + i);
    if (s_.model != nullptr) part.Store(v, df, s_.model + i);
  }

 private:
  MasterWeights<Model> s_;
};

// Random numbers of 16 bits, which is all that rounding to bfloat16 uses: number i is the lower
// half of word i / 2, or the upper one if i is odd.
class RandomHalves {
 public:
  // Makes n of them, at most optimizer_block, from number `first` on.
  HWY_INLINE void Fill(uint64_t seed, uint64_t first, size_t n) {
    HWY_ALIGN uint32_t buffer[RandomBufferSize(optimizer_block / 2 + 1)];
    skipped_ = static_cast<size_t>(first % 2);
    const size_t halves = skipped_ + n;
    const uint32_t* words = FillRandom(seed, first / 2, (halves + 1) / 2, buffer);
#if HWY_IS_LITTLE_ENDIAN
    std::memcpy(halves_, words, halves * sizeof(uint16_t));
#else
    for (size_t i = 0; i < halves; ++i) {
      halves_[i] = static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16));
    }
#endif
  }

  // Numbers first + i and on, each in the upper half of a lane.
  template <class DU>
  HWY_INLINE hn::VFromD<DU> Upper(DU du, size_t i) const {
    return hn::ShiftLeft<16>(hn::PromoteTo(du, Load(du, i)));
  }
  // The same with their bytes swapped: where a second number is needed, of the same distribution.
  template <class DU>
  HWY_INLINE hn::VFromD<DU> UpperSwapped(DU du, size_t i) const {
    const auto x = Load(du, i);
    return hn::ShiftLeft<16>(hn::PromoteTo(du, hn::Or(hn::ShiftLeft<8>(x), hn::ShiftRight<8>(x))));
  }

 private:
  template <class DU>
  HWY_INLINE hn::VFromD<hn::Rebind<uint16_t, DU>> Load(DU /*du*/, size_t i) const {
    return hn::LoadU(hn::Rebind<uint16_t, DU>(), halves_ + skipped_ + i);
  }

  size_t skipped_ = 0;
  // Vectors may read on behind the last one, but use nothing of it.
  HWY_ALIGN uint16_t halves_[optimizer_block + 1 + 16];
};

template <class T>
class WeightBlock<StochasticWeights<T>> {
 public:
  static constexpr bool kComputesBetween = true;
  explicit HWY_INLINE WeightBlock(StochasticWeights<T> s) : s_(s) {}
  HWY_INLINE void Prefetch(size_t i, size_t n) const { PrefetchElements(s_.weights, i, n); }
  HWY_INLINE void Begin(size_t i, size_t n) {
    random_.Fill(s_.seed, s_.first + i, n);
    begin_ = i;
  }

  template <class DF, class Part>
  HWY_INLINE hn::VFromD<DF> Load(DF df, Part part, size_t i) const {
    return part.Load(df, s_.weights + i);
  }
  template <class DF, class Part>
  HWY_INLINE void Store(hn::VFromD<DF> v, DF df, Part part, size_t i) const {
    const hn::RebindToUnsigned<DF> du;
    const RawTag<T, DF> dr;
    const auto to = reinterpret_cast<detail::raw_of<T>*>(s_.weights + i);
    const auto random = random_.Upper(du, i - begin_);
    if constexpr (IsFormat<T>(formats::bfloat16{})) {
      // As EncodeRounded, in fewer steps; NaN becomes the quiet one.
      v = hn::IfThenElse(hn::IsNaN(v), hn::BitCast(df, hn::Set(du, 0x7FC00000u)), v);
      const auto sum = hn::Add(hn::BitCast(du, v), hn::ShiftRight<16>(random));
      part.StoreRaw(hn::TruncateTo(dr, hn::ShiftRight<16>(sum)), dr, to);
    } else {
      part.StoreRaw(EncodeRounded<T, overflow::ieee, round_stochastically>(df, v, random), dr, to);
    }
  }

 private:
  StochasticWeights<T> s_;
  RandomHalves random_;
  size_t begin_ = 0;
};

template <class T>
class WeightBlock<KahanWeights<T>> {
 public:
  static constexpr bool kComputesBetween = false;
  explicit HWY_INLINE WeightBlock(KahanWeights<T> s) : s_(s) {}
  HWY_INLINE void Prefetch(size_t i, size_t n) const {
    PrefetchElements(s_.weights, i, n);
    PrefetchElements(s_.rest, i, n);
  }
  HWY_INLINE void Begin(size_t /*i*/, size_t /*n*/) {}

  template <class DF, class Part>
  HWY_INLINE hn::VFromD<DF> Load(DF df, Part part, size_t i) const {
    return hn::Add(part.Load(df, s_.weights + i), part.Load(df, s_.rest + i));
  }
  template <class DF, class Part>
  HWY_INLINE void Store(hn::VFromD<DF> v, DF df, Part part, size_t i) const {
    const RawTag<T, DF> dr;
    const auto codes = EncodeF32<T, overflow::ieee>(df, v);
    part.StoreRaw(codes, dr, reinterpret_cast<detail::raw_of<T>*>(s_.weights + i));
    const auto rest = hn::Sub(v, DecodeF32<T>(df, codes));
    // Nothing is left of an infinity, and the weight stays one.
    part.Store(hn::IfThenElseZero(hn::IsFinite(rest), rest), df, s_.rest + i);
  }

 private:
  KahanWeights<T> s_;
};

template <>
class WeightBlock<SplitWeights> {
 public:
  static constexpr bool kComputesBetween = false;
  explicit HWY_INLINE WeightBlock(SplitWeights s) : s_(s) {}
  HWY_INLINE void Prefetch(size_t i, size_t n) const {
    PrefetchElements(s_.high, i, n);
    PrefetchElements(s_.low, i, n);
  }
  HWY_INLINE void Begin(size_t /*i*/, size_t /*n*/) {}

  template <class DF, class Part>
  HWY_INLINE hn::VFromD<DF> Load(DF df, Part part, size_t i) const {
    const hn::RebindToSigned<DF> di;
    const hn::Rebind<int16_t, DF> d16;
    const auto high = hn::BitCast(di, part.Load(df, s_.high + i));
    return hn::BitCast(df, hn::Add(high, hn::PromoteTo(di, part.LoadRaw(d16, s_.low + i))));
  }
  template <class DF, class Part>
  HWY_INLINE void Store(hn::VFromD<DF> v, DF df, Part part, size_t i) const {
    const hn::RebindToUnsigned<DF> du;
    const hn::Rebind<uint16_t, DF> d16;
    // The upper half of a NaN must be one, and must not overflow into another number.
    v = hn::IfThenElse(hn::IsNaN(v), hn::BitCast(df, hn::Set(du, 0x7FC00000u)), v);
    const auto bits = hn::BitCast(du, v);
    const auto high = hn::ShiftRight<16>(hn::Add(bits, hn::Set(du, 0x8000u)));
    part.StoreRaw(hn::TruncateTo(d16, high), d16, reinterpret_cast<uint16_t*>(s_.high + i));
    part.StoreRaw(hn::TruncateTo(d16, bits), d16, reinterpret_cast<uint16_t*>(s_.low + i));
  }

 private:
  SplitWeights s_;
};

// Steps through elements [begin, end) in blocks, `begin` a multiple of optimizer_block: f(part, i)
// for each vector between block.Begin(i, n) and block.End(i, n).
template <class Block, class F>
HWY_INLINE void ForEachVector(size_t begin, size_t end, Block&& block, const F& f) {
  const size_t lanes = hn::Lanes(OptimizerTag());
  for (size_t i = begin; i < end; i += block.kElements) {
    const size_t n = HWY_MIN(block.kElements, end - i);
    block.Begin(i, n);
    size_t k = 0;
    for (; k + lanes <= n; k += lanes) f(WholeVector(), i + k);
    if (k != n) f(FirstLanes{n - k}, i + k);
    block.End(i, n);
  }
}

template <class Storage>
struct OnlyWeights {
  static constexpr size_t kElements = optimizer_block;
  WeightBlock<Storage>& weights;
  HWY_INLINE void Begin(size_t i, size_t n) { weights.Begin(i, n); }
  HWY_INLINE void End(size_t /*i*/, size_t /*n*/) {}
};

template <class Storage>
void WriteWeightsKernel(Storage s, const float* values, size_t n) {
  const OptimizerTag df;
  WeightBlock<Storage> weights(s);
  ForEachVector(0, n, OnlyWeights<Storage>{weights}, [&](auto part, size_t i) HWY_ATTR {
    weights.Store(part.Load(df, values + i), df, part, i);
  });
}

template <class Storage>
void ReadWeightsKernel(Storage s, float* values, size_t n) {
  const OptimizerTag df;
  const WeightBlock<Storage> weights(s);
  size_t i = 0;
  for (; i + hn::Lanes(df) <= n; i += hn::Lanes(df)) {
    const WholeVector part;
    part.Store(weights.Load(df, part, i), df, values + i);
  }
  if (i != n) {
    const FirstLanes part{n - i};
    part.Store(weights.Load(df, part, i), df, values + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_OPTIMIZER_WEIGHTS_INL_H_
