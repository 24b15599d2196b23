// SPDX-License-Identifier: Apache-2.0
// Attention, fused and tiled: softmax(q k^T) v block by block of keys, the scores of one block at a
// time (Dao et al., "FlashAttention", 2022).
//
//   AttentionKernel<Config>(operands, kv_head, first_row, last_row);
//
// Packs a block of keys and values, then lets every row of the task pass over it: scores, their
// softmax so far, and the product with the values, added to what former blocks gave. A row's result
// depends only on its operands and the target, not on the rows beside it.

#if defined(HALFWAY_SIMD_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ATTENTION_INL_H_
#undef HALFWAY_SIMD_ATTENTION_INL_H_
#else
#define HALFWAY_SIMD_ATTENTION_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/attention_args.h"
#include "halfway/simd/attention_pack-inl.h"
#include "halfway/simd/attention_softmax-inl.h"
#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/gemm_tile-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows whose scores are at hand at once: a whole number of tiles. From 48 to 96 rows and blocks of
// 512 to 1024 bytes make no difference on Zen 5.
static constexpr size_t kQueryBlock = 48;
// Bytes of a packed element of all keys of a block.
static constexpr size_t kKeyBlockBytes = 512;

template <class Config>
constexpr auto ChooseAttentionStep() {
#if HWY_NATIVE_DOT_BF16
  if constexpr (std::is_same_v<typename Config::Q, bfloat16> &&
                std::is_same_v<typename Config::KV, bfloat16>) {
    return GemmStepBF16();
  } else  // NOLINT(readability-misleading-indentation)
#endif
  {
    return GemmStepF32<float>();
  }
}

// out[r][c] (+)= the sum over `units` 4-byte units (a multiple of Step::kUnits) of row r of `a` with
// column c of `width` packed ones; kTileRows rows and `cols` columns, a multiple of the granule.
template <class Step>
HWY_INLINE void MultiplyRows(const uint8_t* HWY_RESTRICT a, size_t a_stride,
                             const typename Step::Panel* HWY_RESTRICT b, size_t width, size_t units,
                             float* HWY_RESTRICT out, size_t out_stride, size_t cols,
                             bool accumulate) {
  const size_t lanes = hn::Lanes(GemmDF());
  const size_t b_step = width * Step::kDepth;
  size_t c = 0;
  for (; c + kTileVecs * lanes <= cols; c += kTileVecs * lanes) {
    MultiplyTile<Step, kTileRows, kTileVecs>(a, a_stride, b + c * Step::kDepth, b_step, units,
                                             out + c, out_stride, accumulate);
  }
  if constexpr (kTileVecs * HWY_MAX_LANES_D(GemmDF) > detail::panel_granule) {
    if (c < cols) {
      MultiplyTile<Step, kTileRows, 2>(a, a_stride, b + c * Step::kDepth, b_step, units, out + c,
                                       out_stride, accumulate);
    }
  }
}

template <class Config>
class AttentionTask {
 public:
  using Step = decltype(ChooseAttentionStep<Config>());
  using Panel = typename Step::Panel;
  static constexpr bool kIsBF16 = std::is_same_v<Panel, bfloat16>;
  static constexpr size_t kKeyBlock = kKeyBlockBytes / sizeof(Panel);
  static constexpr size_t kGranule = detail::panel_granule;
  // Floats from one row of scores to the next: not a power of two, so that the rows of a tile do
  // not compete for the same places in L1.
  static constexpr size_t kScoreStride = kKeyBlock + kGranule;

  AttentionTask(const typename Config::Operands& operands, size_t kv_head, size_t first,
                size_t last)
      : p_(operands), kv_head_(kv_head), first_(first), rows_(last - first) {
    units_ = UnitsOfSize<Step>(p_.size);
    q_stride_ = 4 * units_;
    width_ = hwy::RoundUpTo(p_.v_size, kGranule);
    const size_t block = HWY_MIN(hwy::RoundUpTo(EndKey(), kKeyColumns), kKeyBlock);
    size_t bytes = 0;
    const auto take = [&](size_t n) {
      const size_t at = bytes;
      bytes += hwy::RoundUpTo(n, size_t{64});
      return at;
    };
    const size_t q_at = take(PaddedRows() * q_stride_);
    const size_t keys_at = take(block * 4 * units_);
    const size_t values_at = take(block * width_ * sizeof(Panel));
    const size_t scores_at = take(kQueryBlock * kScoreStride * sizeof(float));
    const size_t result_at = take(PaddedRows() * width_ * sizeof(float));
    const size_t sums_at = take(rows_ * kGranule * sizeof(float));
    const size_t max_at = take(rows_ * sizeof(float));
    const size_t staging_at = take(kKeyColumns * 4 * units_);
    uint8_t* base = static_cast<uint8_t*>(p_.scratch(bytes));
    q_ = base + q_at;
    keys_ = reinterpret_cast<Panel*>(base + keys_at);
    values_ = reinterpret_cast<Panel*>(base + values_at);
    scores_ = reinterpret_cast<float*>(base + scores_at);
    result_ = reinterpret_cast<float*>(base + result_at);
    sums_ = reinterpret_cast<float*>(base + sums_at);
    max_ = reinterpret_cast<float*>(base + max_at);
    staging_ = base + staging_at;
  }

  HWY_INLINE void Run() {
    for (size_t r = 0; r < rows_; ++r) {
      PackQuery<Step>(p_.q_row(kv_head_, first_ + r), p_.size, q_ + r * q_stride_);
    }
    hwy::ZeroBytes(q_ + rows_ * q_stride_, (PaddedRows() - rows_) * q_stride_);
    if (HasWindow()) hwy::ZeroBytes(result_, PaddedRows() * width_ * sizeof(float));
    for (size_t r = 0; r < rows_; ++r) ClearState(StateOf(r));
    const size_t end = EndKey();
    for (size_t key = FirstBlock(); key < end; key += kKeyBlock) {
      RunBlock(key, HWY_MIN(kKeyBlock, end - key));
    }
    for (size_t r = 0; r < rows_; ++r) {
      StoreQuotient(result_ + r * width_, SumOf(StateOf(r)), p_.v_size,
                    p_.out_row(kv_head_, first_ + r));
    }
  }

 private:
  HWY_INLINE size_t PaddedRows() const { return hwy::RoundUpTo(rows_, kTileRows); }
  HWY_INLINE RowState StateOf(size_t r) const { return {max_ + r, sums_ + r * kGranule}; }
  HWY_INLINE size_t EndKey() const { return p_.end_key(first_ + rows_ - 1); }
  // Whole blocks before it are seen by no row.
  HWY_INLINE size_t FirstBlock() const { return p_.first_key(first_) / kKeyBlock * kKeyBlock; }

  // Then a row may see nothing of the task's first block.
  HWY_INLINE bool HasWindow() const { return p_.window < p_.kv_rows; }

  // Keys of the block that starts at `key` up to the last that row r of the task sees.
  HWY_INLINE size_t Seen(size_t r, size_t key, size_t keys) const {
    const size_t end = p_.end_key(first_ + r);
    return end <= key ? 0 : HWY_MIN(end - key, keys);
  }
  // May any of `count` rows from row r see one of the keys?
  HWY_INLINE bool SeesAny(size_t r, size_t count, size_t key, size_t keys) const {
    return Seen(r + count - 1, key, keys) != 0 && p_.first_key(first_ + r) < key + keys;
  }

  HWY_INLINE void RunBlock(size_t key, size_t keys) {
    const auto* k = p_.k.row(kv_head_, key);
    const auto* v = p_.v.row(kv_head_, key);
    const auto k_scale = p_.k_scale.of_head(kv_head_).from_row(key);
    for (size_t j = 0; j < keys; j += kKeyColumns) {
      PackKeys<Step>(k + j * p_.k.row_stride, p_.k.row_stride, HWY_MIN(kKeyColumns, keys - j),
                     p_.size, k_scale.from_row(j), staging_, PanelOfKeys(j));
    }
    PackValues<Step>(v, p_.v.row_stride, keys, p_.v_size, width_,
                     p_.v_scale.of_head(kv_head_).from_row(key), values_);
    for (size_t r = 0; r < rows_; r += kQueryBlock) {
      const size_t count = HWY_MIN(kQueryBlock, rows_ - r);
      if (SeesAny(r, count, key, keys)) RunRows(r, count, key, keys);
    }
  }

  HWY_INLINE Panel* PanelOfKeys(size_t j) const { return keys_ + j * units_ * 4 / sizeof(Panel); }

  // Rows [r, r + count) of the task with the block.
  HWY_NOINLINE void RunRows(size_t r, size_t count, size_t key, size_t keys) {
    for (size_t j = 0; j < keys; j += kKeyColumns) {
      for (size_t i = 0; i < count; i += kTileRows) {
        const size_t tile_rows = HWY_MIN(kTileRows, count - i);
        if (!SeesAny(r + i, tile_rows, key + j, HWY_MIN(kKeyColumns, keys - j))) continue;
        const size_t seen = Seen(r + i + tile_rows - 1, key, keys);
        MultiplyRows<Step>(q_ + (r + i) * q_stride_, q_stride_, PanelOfKeys(j), kKeyColumns, units_,
                           scores_ + i * kScoreStride + j, kScoreStride,
                           hwy::RoundUpTo(HWY_MIN(seen - j, kKeyColumns), kGranule), false);
      }
    }

    for (size_t i = 0; i < count; i += kTileRows) {
      const size_t tile_rows = HWY_MIN(kTileRows, count - i);
      if (!SeesAny(r + i, tile_rows, key, keys)) continue;
      const size_t seen = Seen(r + i + tile_rows - 1, key, keys);
      const size_t padded = hwy::RoundUpTo(seen, 2 * hn::Lanes(GemmDF()));
      for (size_t t = 0; t < tile_rows; ++t) {
        const size_t row = r + i + t;
        const float factor = SoftmaxOfRow<kIsBF16>(p_, kv_head_, first_ + row, key, keys, padded,
                                                   StateOf(row), scores_ + (i + t) * kScoreStride);
        if (HWY_UNLIKELY(factor != 1.0f)) ScaleRun(factor, width_, result_ + row * width_);
      }
    }

    for (size_t c = 0; c < width_; c += kValueColumns) {
      for (size_t i = 0; i < count; i += kTileRows) {
        const size_t tile_rows = HWY_MIN(kTileRows, count - i);
        if (!SeesAny(r + i, tile_rows, key, keys)) continue;
        const size_t seen = Seen(r + i + tile_rows - 1, key, keys);
        MultiplyRows<Step>(reinterpret_cast<const uint8_t*>(scores_ + i * kScoreStride),
                           kScoreStride * sizeof(float), values_ + c * Step::kDepth, width_,
                           hwy::DivCeil(seen, Step::kDepth), result_ + (r + i) * width_ + c, width_,
                           HWY_MIN(kValueColumns, width_ - c), key != 0 || HasWindow());
      }
    }
  }

  static constexpr size_t kValueColumns = 64;

  const typename Config::Operands& p_;
  size_t kv_head_, first_, rows_;
  size_t units_;     // 4-byte units of a query or key
  size_t q_stride_;  // bytes
  size_t width_;     // of the packed values and the result
  uint8_t* q_;
  Panel* keys_;
  Panel* values_;
  float* scores_;  // then p
  float* result_;  // not yet divided by the sum
  float* sums_;
  float* max_;
  uint8_t* staging_;
};

// Rows [first, last) of the group of kv_head.
template <class Config>
void AttentionKernel(const typename Config::Operands& operands, size_t kv_head, size_t first,
                     size_t last) {
  AttentionTask<Config>(operands, kv_head, first, last).Run();
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ATTENTION_INL_H_
