// SPDX-License-Identifier: Apache-2.0
// Attention of few queries, as in decoding: keys and values are read where they lie, once, so that
// the memory they come from is the limit.
//
//   AttentionDecodeKernel<Config>(operands, ranges, range, first_head, heads);
//   AttentionCombineKernel<Config>(operands, ranges, head);   // where there are several ranges
//
// A task is a range of keys and one or several heads: where the heads of a token lie side by side,
// taking them together reads memory from its first byte to its last.

#if defined(HALFWAY_SIMD_ATTENTION_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ATTENTION_DECODE_INL_H_
#undef HALFWAY_SIMD_ATTENTION_DECODE_INL_H_
#else
#define HALFWAY_SIMD_ATTENTION_DECODE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/attention_args.h"
#include "halfway/simd/attention_in_place-inl.h"
#include "halfway/simd/attention_pack-inl.h"
#include "halfway/simd/attention_softmax-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Keys of a block; meanwhile memory is asked for the next one. Measured on Zen 5, from memory: blocks
// of 64 and 128 keys are no better, and neither is asking for lines into L2 only, or for two blocks
// ahead. What pays is that all passes over a block ask for an equal share: four rows of bfloat16 read
// 33 GB/s with and 26 without.
static constexpr size_t kDecodeBlock = 32;

template <class Config>
class DecodeTask {
 public:
  using T = typename Config::KV;
  using Step = decltype(ChooseInPlaceStep<typename Config::Q, T>());
  using Query = typename Step::Query;

  DecodeTask(const typename Config::Operands& operands, const detail::attention_ranges& ranges,
             size_t range, size_t first_head, size_t heads)
      : p_(operands),
        ranges_(ranges),
        range_(range),
        first_head_(first_head),
        heads_(heads),
        rows_(operands.group * operands.q_rows) {
    padded_rows_ = rows_ == 1 ? 1 : hwy::RoundUpTo(rows_, kDecodeRows);
    q_stride_ = hwy::RoundUpTo(p_.size, kGranule);
    width_ = hwy::RoundUpTo(p_.v_size, kGranule);
    const size_t all_rows = heads_ * padded_rows_;
    const size_t floats =
        all_rows * (width_ + kStateFloats) + padded_rows_ * kScoreStride + 2 * kDecodeBlock;
    result_ = static_cast<float*>(
        p_.scratch(floats * sizeof(float) + all_rows * q_stride_ * sizeof(Query)));
    states_ = result_ + all_rows * width_;
    scores_ = states_ + all_rows * kStateFloats;
    scales_ = scores_ + padded_rows_ * kScoreStride;
    q_ = reinterpret_cast<Query*>(scales_ + 2 * kDecodeBlock);
  }

  HWY_INLINE void Run() {
    const size_t all_rows = heads_ * padded_rows_;
    hwy::ZeroBytes(q_, all_rows * q_stride_ * sizeof(Query));
    hwy::ZeroBytes(result_, all_rows * width_ * sizeof(float));
    for (size_t h = 0; h < heads_; ++h) {
      for (size_t r = 0; r < rows_; ++r) {
        PackRun(p_.q_row(first_head_ + h, r), p_.size, QueryOf(h) + r * q_stride_);
        ClearState(StateOf(h, r));
      }
    }

    const size_t range_start = range_ * detail::attention_range_keys;
    const size_t end = HWY_MIN(p_.end_key(rows_ - 1), range_start + detail::attention_range_keys);
    // Whole blocks before it are seen by no row.
    const size_t seen = p_.first_key(0) / kDecodeBlock * kDecodeBlock;
    for (size_t key = HWY_MAX(range_start, seen); key < end; key += kDecodeBlock) {
      for (size_t h = 0; h < heads_; ++h) {
        RunBlock(h, key, HWY_MIN(kDecodeBlock, end - key));
      }
    }

    for (size_t h = 0; h < heads_; ++h) {
      for (size_t r = 0; r < rows_; ++r) {
        const float* result = ResultOf(h) + r * width_;
        const RowState state = StateOf(h, r);
        if (ranges_.count == 1) {
          StoreQuotient(result, SumOf(state), p_.v_size, p_.out_row(first_head_ + h, r));
        } else {
          float* part = ranges_.part(first_head_ + h, range_ - ranges_.first, rows_, r);
          part[0] = *state.max;
          part[1] = SumOf(state);
          hwy::CopyBytes(result, part + 2, p_.v_size * sizeof(float));
        }
      }
    }
  }

 private:
  static constexpr size_t kGranule = detail::panel_granule;
  static constexpr size_t kScoreStride = kDecodeBlock + kGranule;
  static constexpr size_t kStateFloats = kGranule;  // sums, then the maximum

  HWY_INLINE Query* QueryOf(size_t h) const { return q_ + h * padded_rows_ * q_stride_; }
  HWY_INLINE float* ResultOf(size_t h) const { return result_ + h * padded_rows_ * width_; }
  HWY_INLINE RowState StateOf(size_t h, size_t r) const {
    float* at = states_ + (h * padded_rows_ + r) * kStateFloats;
    return {at + kGranule / 2, at};
  }

  HWY_INLINE void RunBlock(size_t h, size_t key, size_t keys) {
    const size_t head = first_head_ + h;
    const float* k_scale = ScalesOfBlock(p_.k_scale.of_head(head).from_row(key), keys, scales_);
    const float* v_scale =
        ScalesOfBlock(p_.v_scale.of_head(head).from_row(key), keys, scales_ + kDecodeBlock);
    Scores(h, key, keys);
    for (size_t r = 0; r < rows_; ++r) {
      float* HWY_RESTRICT s = scores_ + r * kScoreStride;
      MultiplyBlock(k_scale, keys, s);
      const float factor = SoftmaxOfRow<false>(p_, head, r, key, keys,
                                               hwy::RoundUpTo(keys, kGranule), StateOf(h, r), s);
      if (HWY_UNLIKELY(factor != 1.0f)) ScaleRun(factor, width_, ResultOf(h) + r * width_);
      MultiplyBlock(v_scale, keys, s);
    }
    AddValues(h, key, keys);
  }

  // The scales of the keys of a block side by side, or null.
  static HWY_INLINE const float* ScalesOfBlock(const detail::token_scales& scales, size_t keys,
                                               float* HWY_RESTRICT to) {
    if (scales.data == nullptr) return nullptr;
    if (scales.row_stride == 1 && keys == kDecodeBlock) return scales.data;
    for (size_t j = 0; j < keys; ++j) to[j] = scales[j];
    for (size_t j = keys; j < kDecodeBlock; ++j) to[j] = 0.0f;
    return to;
  }
  static HWY_INLINE void MultiplyBlock(const float* HWY_RESTRICT by, size_t keys,
                                       float* HWY_RESTRICT s) {
    if (by == nullptr) return;
    const GemmDF df;
    for (size_t j = 0; j < keys; j += hn::Lanes(df)) {
      hn::StoreU(hn::Mul(hn::LoadU(df, s + j), hn::LoadU(df, by + j)), df, s + j);
    }
  }

  // What pass i of `passes` of head h over a block asks memory for: its share of the next block. Where
  // the heads of a token lie side by side, that block is asked for from its first byte to its last.
  template <class Rows>
  HWY_INLINE LinesAhead Ahead(const Rows& rows, size_t size, size_t h, size_t key, size_t i,
                              size_t passes) const {
    const bool side_by_side = heads_ > 1 && rows.head_stride == size;
    const size_t of_head = hwy::DivCeil(size * sizeof(T), 64);
    const size_t bytes = (side_by_side ? heads_ : 1) * size * sizeof(T);
    LinesAhead ahead{
        reinterpret_cast<uintptr_t>(rows.row(first_head_ + (side_by_side ? 0 : h), key)),
        0,
        bytes,
        rows.row_stride * sizeof(T),
        hwy::DivCeil(of_head, passes),
        size_t{1} << hwy::FloorLog2(HWY_MAX(passes / of_head, size_t{1}))};
    const size_t pass = (side_by_side ? h * passes : 0) + i;
    const size_t line = pass * kDecodeBlock / ahead.every * ahead.lines;
    const size_t of_row = hwy::DivCeil(bytes, 64);
    ahead.row += (kDecodeBlock + line / of_row) * ahead.stride;
    ahead.at = line % of_row * 64;
    return ahead;
  }

  HWY_INLINE void Scores(size_t h, size_t key, size_t keys) const {
    const T* k = p_.k.row(first_head_ + h, key);
    const Query* q = QueryOf(h);
    const size_t stride = p_.k.row_stride;
    if (rows_ == 1) {
      ScoresInPlace<Step, 1>(q, q_stride_, k, stride, keys, p_.size, scores_, kScoreStride,
                             Ahead(p_.k, p_.size, h, key, 0, 1));
      return;
    }
    for (size_t r = 0; r < rows_; r += kDecodeRows) {
      ScoresInPlace<Step, kDecodeRows>(
          q + r * q_stride_, q_stride_, k, stride, keys, p_.size, scores_ + r * kScoreStride,
          kScoreStride, Ahead(p_.k, p_.size, h, key, r / kDecodeRows, padded_rows_ / kDecodeRows));
    }
  }

  HWY_INLINE void AddValues(size_t h, size_t key, size_t keys) const {
    const size_t columns = 4 * hn::Lanes(GemmDF());
    const T* v = p_.v.row(first_head_ + h, key);
    float* HWY_RESTRICT result = ResultOf(h);
    const size_t stride = p_.v.row_stride;
    const size_t groups = rows_ == 1 ? 1 : padded_rows_ / kDecodeRows;
    const size_t passes = HWY_MAX(p_.v_size / columns * groups, size_t{1});
    size_t c = 0;
    size_t pass = 0;
    for (; c + columns <= p_.v_size; c += columns) {
      if (rows_ == 1) {
        AddValuesInPlace<1>(scores_, kScoreStride, v + c, stride, keys, result + c, width_,
                            Ahead(p_.v, p_.v_size, h, key, pass++, passes));
        continue;
      }
      for (size_t r = 0; r < rows_; r += kDecodeRows) {
        AddValuesInPlace<kDecodeRows>(scores_ + r * kScoreStride, kScoreStride, v + c, stride, keys,
                                      result + r * width_ + c, width_,
                                      Ahead(p_.v, p_.v_size, h, key, pass++, passes));
      }
    }
    const size_t lanes = hn::Lanes(GemmDF());
    for (; c < p_.v_size; c += lanes) {
      for (size_t r = 0; r < rows_; ++r) {
        AddLastValuesInPlace(scores_ + r * kScoreStride, v + c, stride, keys,
                             HWY_MIN(lanes, p_.v_size - c), result + r * width_ + c);
      }
    }
  }

  const typename Config::Operands& p_;
  const detail::attention_ranges& ranges_;
  size_t range_, first_head_, heads_;
  size_t rows_, padded_rows_;  // of a head: those that are there; with those that are worked on
  size_t q_stride_, width_;
  float* result_;  // not yet divided by the sum
  float* states_;
  float* scores_;  // of one head; then p
  float* scales_;  // of keys, then of values
  Query* q_;
};

// All rows of the groups of `heads` heads of keys, with the keys of a range.
template <class Config>
void AttentionDecodeKernel(const typename Config::Operands& operands,
                           const detail::attention_ranges& ranges, size_t range, size_t first_head,
                           size_t heads) {
  DecodeTask<Config>(operands, ranges, range, first_head, heads).Run();
}

// Puts together what the ranges gave for the rows of a head of keys.
template <class Config>
void AttentionCombineKernel(const typename Config::Operands& operands,
                            const detail::attention_ranges& ranges, size_t kv_head) {
  const GemmDF df;
  const hn::CappedTag<float, 1> d1;
  const size_t width = hwy::RoundUpTo(operands.v_size, detail::panel_granule);
  float* HWY_RESTRICT result = static_cast<float*>(operands.scratch(width * sizeof(float)));
  const size_t rows = operands.group * operands.q_rows;
  for (size_t r = 0; r < rows; ++r) {
    float max = *ranges.part(kv_head, 0, rows, r);
    for (size_t i = 1; i < ranges.count; ++i) max = HWY_MAX(max, *ranges.part(kv_head, i, rows, r));
    float sum = 0.0f;
    hwy::ZeroBytes(result, width * sizeof(float));
    for (size_t i = 0; i < ranges.count; ++i) {
      const float* HWY_RESTRICT part = ranges.part(kv_head, i, rows, r);
      const float weight =
          hn::GetLane(Exp2<false>(d1, hn::Set(d1, (part[0] - max) * operands.log2_scale)));
      sum += weight * part[1];
      const auto by = hn::Set(df, weight);
      for (size_t c = 0; c < operands.v_size; c += hn::Lanes(df)) {
        const auto v = hn::LoadN(df, part + 2 + c, HWY_MIN(hn::Lanes(df), operands.v_size - c));
        hn::StoreU(hn::MulAdd(v, by, hn::LoadU(df, result + c)), df, result + c);
      }
    }
    StoreQuotient(result, sum, operands.v_size, operands.out_row(kv_head, r));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ATTENTION_DECODE_INL_H_
