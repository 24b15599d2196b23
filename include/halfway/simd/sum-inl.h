// SPDX-License-Identifier: Apache-2.0
// Sums in an order that does not depend on the vector width, so that every target gives the same
// bits.
//
//   struct SumOp {                                         // within HWY_NAMESPACE
//     const float* x;
//     template <class DF, class V>
//     HWY_INLINE void operator()(DF df, size_t i, V& sum) const {
//       sum = hn::Add(sum, LoadF32(df, x + i));
//     }
//     template <class DF, class V>
//     HWY_INLINE void operator()(DF df, size_t i, V& sum, size_t count) const {
//       sum = hn::Add(sum, LoadNF32(df, x + i, count));    // only the first `count` lanes
//     }
//   };
//   const float s = Sum<64>(SumOp{x}, n);
//
// The order: kLanes partial sums, the j-th of the elements i = j mod kLanes in turn. After every
// 64 kLanes elements each partial sum is added to a total of its own. In the end total j takes in
// total j + kLanes / 2, then j + kLanes / 4, and so on. How many additions an element goes through
// is in simd/sum_order.h.

#if defined(HALFWAY_SIMD_SUM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_SUM_INL_H_
#undef HALFWAY_SIMD_SUM_INL_H_
#else
#define HALFWAY_SIMD_SUM_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/sum_order.h"
#include "hwy/highway.h"

// Loops over the vectors of partial sums: in registers where the loop is unrolled. Where FMA is
// emulated the bodies are large, and the sums stay in memory.
#undef HALFWAY_PARTIALS_CONSTEXPR
#if HWY_HAVE_SCALABLE
#define HALFWAY_PARTIALS_CONSTEXPR const
#else
#define HALFWAY_PARTIALS_CONSTEXPR constexpr
#endif
#undef HALFWAY_UNROLL_PARTIALS
#if HWY_NATIVE_FMA && !HWY_HAVE_SCALABLE
#define HALFWAY_UNROLL_PARTIALS HWY_UNROLL(16)
#else
#define HALFWAY_UNROLL_PARTIALS HWY_UNROLL(1)
#endif

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// No wider than the widest x86 vector, so that the partial sums are a whole number of vectors.
using PartialTag = hn::CappedTag<float, 16>;
using PartialVec = hn::VFromD<PartialTag>;

#if HWY_HAVE_SCALABLE  // whose vectors can't be members

template <size_t kLanes>
class Partials {
 public:
  HWY_INLINE Partials() {
    for (size_t k = 0; k < Count(); ++k) Set(k, hn::Zero(PartialTag()));
  }
  static HWY_INLINE size_t Count() { return kLanes / hn::Lanes(PartialTag()); }
  HWY_INLINE PartialVec Get(size_t k) const {
    return hn::Load(PartialTag(), lanes_ + k * hn::Lanes(PartialTag()));
  }
  HWY_INLINE void Set(size_t k, PartialVec v) {
    hn::Store(v, PartialTag(), lanes_ + k * hn::Lanes(PartialTag()));
  }

  HWY_INLINE float Fold() {
    for (size_t half = kLanes / 2; half != 0; half /= 2) {
      for (size_t j = 0; j < half; ++j) lanes_[j] += lanes_[j + half];
    }
    return lanes_[0];
  }

 private:
  HWY_ALIGN float lanes_[kLanes];
};

#else

// Adds the upper half of the lanes to the lower until one is left.
template <class DF>
HWY_INLINE float FoldLanes(DF df, hn::VFromD<DF> v) {
#if HWY_TARGET == HWY_SCALAR
  (void)df;
#else
  if constexpr (hn::MaxLanes(df) > 4) {
    const hn::Half<DF> dh;
    return FoldLanes(dh, hn::Add(hn::LowerHalf(dh, v), hn::UpperHalf(dh, v)));
  } else {
    static_assert(hn::MaxLanes(df) == 4);
    v = hn::Add(v, hn::Shuffle1032(v));
    v = hn::Add(v, hn::Shuffle2301(v));
  }
#endif
  return hn::GetLane(v);
}

template <size_t kLanes>
class Partials {
  static constexpr size_t kVectors = kLanes / hn::MaxLanes(PartialTag());

 public:
  HWY_INLINE Partials() {
    HALFWAY_UNROLL_PARTIALS
    for (size_t k = 0; k < kVectors; ++k) vectors_[k] = hn::Zero(PartialTag());
  }
  static constexpr size_t Count() { return kVectors; }
  HWY_INLINE PartialVec Get(size_t k) const { return vectors_[k]; }
  HWY_INLINE void Set(size_t k, PartialVec v) { vectors_[k] = v; }

  HWY_INLINE float Fold() {
    FoldVectors<kVectors / 2>();
    return FoldLanes(PartialTag(), vectors_[0]);
  }

 private:
  template <size_t kHalf>
  HWY_INLINE void FoldVectors() {
    if constexpr (kHalf != 0) {
      HWY_UNROLL(8)
      for (size_t k = 0; k < kHalf; ++k) vectors_[k] = hn::Add(vectors_[k], vectors_[k + kHalf]);
      FoldVectors<kHalf / 2>();
    }
  }

  PartialVec vectors_[kVectors];
};

#endif  // HWY_HAVE_SCALABLE

// total[j] += partial sum j.
template <size_t kLanes>
HWY_INLINE void AddPartials(Partials<kLanes>& total, const Partials<kLanes>& partials) {
  HALFWAY_PARTIALS_CONSTEXPR size_t count = Partials<kLanes>::Count();
  HALFWAY_UNROLL_PARTIALS
  for (size_t k = 0; k < count; ++k) total.Set(k, hn::Add(total.Get(k), partials.Get(k)));
}

#if HWY_NATIVE_FMA && !HWY_HAVE_SCALABLE
// An op may have a function Several(df, i, sums) that adds the elements from i on to an array of
// vectors of partial sums: their instructions can then take turns.
constexpr size_t kSeveral = HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86 ? 4 : 2;
template <class Op>
inline constexpr bool kAddsSeveral = requires(const Op& op, PartialVec (&sums)[kSeveral]) {
  op.Several(PartialTag(), size_t{0}, sums);
};
template <size_t kLanes, class Op>
HWY_INLINE void AddSeveral(PartialTag df, const Op& op, size_t i, Partials<kLanes>& partials) {
  HALFWAY_PARTIALS_CONSTEXPR size_t count = Partials<kLanes>::Count();
  HALFWAY_UNROLL_PARTIALS
  for (size_t k = 0; k < count; k += kSeveral) {
    PartialVec sums[kSeveral];
    HWY_UNROLL(4)
    for (size_t j = 0; j < kSeveral; ++j) sums[j] = partials.Get(k + j);
    op.Several(df, i + k * hn::Lanes(df), sums);
    HWY_UNROLL(4)
    for (size_t j = 0; j < kSeveral; ++j) partials.Set(k + j, sums[j]);
  }
}
#else
template <class Op>
inline constexpr bool kAddsSeveral = false;
#endif

// An op's member kEvenOdd says that Several, or a function EvenOdd(df, i, even, odd) that adds the
// elements of two vectors, takes them apart into even and odd ones: this puts the partial sums back
// in order. (Emulated FMA leaves nothing to gain.)
template <class Op>
constexpr bool AddsEvenOdd() {
  if constexpr (requires { Op::kEvenOdd; }) return Op::kEvenOdd && HWY_NATIVE_FMA != 0;
  return false;
}
template <class Op, size_t kLanes>
HWY_INLINE void PutInOrder(Partials<kLanes>& sums) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (AddsEvenOdd<Op>()) {
    const PartialTag df;
    HALFWAY_PARTIALS_CONSTEXPR size_t count = Partials<kLanes>::Count();
    HALFWAY_UNROLL_PARTIALS
    for (size_t k = 0; k < count; k += 2) {
      const auto even = sums.Get(k);
      const auto odd = sums.Get(k + 1);
      sums.Set(k, hn::InterleaveWholeLower(df, even, odd));
      sums.Set(k + 1, hn::InterleaveWholeUpper(df, even, odd));
    }
  }
#else
  (void)sums;
#endif
}

// Adds elements [begin, end) to partial sums, the j-th of those i = begin + j mod kLanes.
template <size_t kLanes, class Op>
HWY_INLINE void AddElements(const Op& op, size_t begin, size_t end, Partials<kLanes>& sums) {
  const PartialTag df;
  const size_t lanes = hn::Lanes(df);
  HALFWAY_PARTIALS_CONSTEXPR size_t count = Partials<kLanes>::Count();
  size_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
    if constexpr (kAddsSeveral<Op>) {
      AddSeveral(df, op, i, sums);
    } else if constexpr (AddsEvenOdd<Op>()) {
      HALFWAY_UNROLL_PARTIALS
      for (size_t k = 0; k < count; k += 2) {
        auto even = sums.Get(k), odd = sums.Get(k + 1);
        op.EvenOdd(df, i + k * lanes, even, odd);
        sums.Set(k, even);
        sums.Set(k + 1, odd);
      }
    } else {
      HALFWAY_UNROLL_PARTIALS
      for (size_t k = 0; k < count; ++k) {
        auto sum = sums.Get(k);
        op(df, i + k * lanes, sum);
        sums.Set(k, sum);
      }
    }
  }
  PutInOrder<Op>(sums);
  if (i != end) {
    HALFWAY_UNROLL_PARTIALS
    for (size_t k = 0; k < count; ++k) {
      if (i + k * lanes < end) {
        auto sum = sums.Get(k);
        op(df, i + k * lanes, sum, HWY_MIN(lanes, end - (i + k * lanes)));
        sums.Set(k, sum);
      }
    }
  }
}

// The sum of n elements; op adds those from i on to partial sums (top of this file).
template <size_t kLanes, class Op>
HWY_INLINE float Sum(const Op& op, size_t n) {
  constexpr size_t kBlock = detail::sum_run * kLanes;
  Partials<kLanes> total;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    Partials<kLanes> sums;
    AddElements(op, begin, HWY_MIN(n, begin + kBlock), sums);
    AddPartials(total, sums);
  }
  return total.Fold();
}

struct TwoSums {
  float first;
  float second;
};

// Two sums over the same elements: op takes two vectors.
template <size_t kLanes, class Op>
HWY_INLINE TwoSums SumPairs(const Op& op, size_t n) {
  constexpr size_t kBlock = detail::sum_run * kLanes;
  const PartialTag df;
  const size_t lanes = hn::Lanes(df);
  HALFWAY_PARTIALS_CONSTEXPR size_t count = Partials<kLanes>::Count();
  Partials<kLanes> total1, total2;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = HWY_MIN(n, begin + kBlock);
    Partials<kLanes> sums1, sums2;
    size_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      if constexpr (AddsEvenOdd<Op>()) {
        HALFWAY_UNROLL_PARTIALS
        for (size_t k = 0; k < count; k += 2) {
          auto even1 = sums1.Get(k), odd1 = sums1.Get(k + 1);
          auto even2 = sums2.Get(k), odd2 = sums2.Get(k + 1);
          op.EvenOdd(df, i + k * lanes, even1, odd1, even2, odd2);
          sums1.Set(k, even1);
          sums1.Set(k + 1, odd1);
          sums2.Set(k, even2);
          sums2.Set(k + 1, odd2);
        }
      } else {
        HALFWAY_UNROLL_PARTIALS
        for (size_t k = 0; k < count; ++k) {
          auto sum1 = sums1.Get(k);
          auto sum2 = sums2.Get(k);
          op(df, i + k * lanes, sum1, sum2);
          sums1.Set(k, sum1);
          sums2.Set(k, sum2);
        }
      }
    }
    PutInOrder<Op>(sums1);
    PutInOrder<Op>(sums2);
    if (i != end) {
      HALFWAY_UNROLL_PARTIALS
      for (size_t k = 0; k < count; ++k) {
        if (i + k * lanes < end) {
          auto sum1 = sums1.Get(k);
          auto sum2 = sums2.Get(k);
          op(df, i + k * lanes, sum1, sum2, HWY_MIN(lanes, end - (i + k * lanes)));
          sums1.Set(k, sum1);
          sums2.Set(k, sum2);
        }
      }
    }
    AddPartials(total1, sums1);
    AddPartials(total2, sums2);
  }
  return {total1.Fold(), total2.Fold()};
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_SUM_INL_H_
