// SPDX-License-Identifier: Apache-2.0
// Matrix product, packed and blocked: one driver for every type and epilogue.
//
// Panel by panel of B: pack it (k rows of a tile's width, at home in L2), then let every tile of
// rows of A pass over it. A is read where it lies if its rows are dense and of the kind's type,
// else packed block by block. A sum over k is never split between threads or blocks: chunks of k
// add to the same accumulators in order, so the result depends only on the operands and the target.

#if defined(HALFWAY_SIMD_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_INL_H_
#undef HALFWAY_SIMD_GEMM_INL_H_
#else
#define HALFWAY_SIMD_GEMM_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/gemm_args.h"
#include "halfway/simd/gemm_epilogue-inl.h"
#include "halfway/simd/gemm_pack-inl.h"
#include "halfway/simd/gemm_tile-inl.h"
#include "halfway/types/bfloat16.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Units of k that a pass over a panel takes: 1024 units of a 192-byte wide panel are 192 KiB, well
// within L2.
static constexpr size_t kChunkUnits = 1024;
// Rows whose accumulators wait in memory between chunks: 256 x 192 bytes are 48 KiB.
static constexpr size_t kBlockRows = 256;
// Packed A that is at hand for all panels.
static constexpr size_t kPackedABytes = size_t{2} << 20;

template <class TA, class TB>
constexpr auto ChooseGemmKind() {
  if constexpr (sizeof(TA) == 1 && std::is_same_v<TB, int8_t>) {
    return GemmI8();
#if HWY_NATIVE_DOT_BF16
  } else if constexpr (std::is_same_v<TA, bfloat16> && std::is_same_v<TB, bfloat16>) {
    return GemmBF16();
#endif
  } else {
    return GemmF32();
  }
}

// Tiles over the rows [0, rows) of one block and one panel: the tallest first, then halves for what
// is left.
template <class Kind, size_t kVecs, class Finish>
HWY_INLINE void MultiplyBlock(const uint8_t* a, size_t a_stride, const uint32_t* panel, size_t k,
                              size_t rows, typename Kind::Acc* acc, const Finish& finish) {
  const GemmD32 d32;
  const size_t width = kVecs * hn::Lanes(d32);
  const size_t whole = k / Kind::kUnit;
  const size_t last_bytes = (k % Kind::kUnit) * (4 / Kind::kUnit);
  const size_t chunks = HWY_MAX(size_t{1}, hwy::DivCeil(whole, kChunkUnits));
  const size_t chunk = hwy::DivCeil(whole, chunks);
  for (size_t q = 0; q < chunks; ++q) {
    const size_t from = q * chunk;
    const size_t units = HWY_MIN(chunk, whole - from);
    const bool is_last = q + 1 == chunks;
    const size_t tail = is_last ? last_bytes : 0;
    for (size_t i = 0; i < rows;) {
      const uint8_t* at = a + i * a_stride + 4 * from;
      const uint32_t* b = panel + from * width;
      typename Kind::Acc* tile = acc + (chunks == 1 ? 0 : i * width);
      const size_t left = rows - i;
      size_t taken;
      if (left >= kTileRows) {
        taken = kTileRows;
        MultiplyTile<Kind, kTileRows, kVecs>(at, a_stride, b, units, tail, tile, q != 0);
      } else if (left >= 4) {
        taken = 4;
        MultiplyTile<Kind, 4, kVecs>(at, a_stride, b, units, tail, tile, q != 0);
      } else if (left >= 2) {
        taken = 2;
        MultiplyTile<Kind, 2, kVecs>(at, a_stride, b, units, tail, tile, q != 0);
      } else {
        taken = 1;
        MultiplyTile<Kind, 1, kVecs>(at, a_stride, b, units, tail, tile, q != 0);
      }
      if (is_last) finish(i, taken, tile);
      i += taken;
    }
  }
}

template <class Config>
void GemmKernel(const detail::gemm_operands<typename Config::A, typename Config::B>& g,
                const typename Config::Epilogue& epilogue) {
  using TA = typename Config::A;
  using Kind = decltype(ChooseGemmKind<TA, typename Config::B>());
  using Acc = typename Kind::Acc;
  constexpr bool kIsI8 = std::is_same_v<Kind, GemmI8>;
  const GemmD32 d32;
  const size_t lanes = hn::Lanes(d32);
  const size_t full_width = kTileVecs * lanes;
  const size_t units = hwy::DivCeil(g.k, Kind::kUnit);

  // Signed A is read as unsigned plus 128, so one instruction serves both; that and the zero point
  // come off the sums again.
  uint8_t flip = 0;
  int32_t a_zero = 0;
  if constexpr (kIsI8) {
    if constexpr (std::is_same_v<TA, int8_t>) flip = 0x80;
    a_zero = flip;
    if constexpr (requires { epilogue.a_zero_point; }) a_zero += epilogue.a_zero_point;
  }
  const bool pack_a =
      g.a_col_stride != 1 || flip != 0 || !(std::is_same_v<TA, typename Kind::Element> || kIsI8);

  const size_t row_bytes = pack_a ? PackedRowBytes<Kind>(g.k) : g.a_row_stride * sizeof(TA);
  const size_t block_rows =
      pack_a ? HWY_MAX(kBlockRows,
                       kPackedABytes / HWY_MAX(row_bytes, size_t{1}) / kBlockRows * kBlockRows)
             : g.m;
  const size_t packed_a_bytes = pack_a ? HWY_MIN(block_rows, g.m) * row_bytes : 0;
  const size_t panel_bytes = hwy::RoundUpTo(units * full_width * sizeof(uint32_t), 64);
  const size_t acc_bytes = kBlockRows * full_width * sizeof(Acc);
  const size_t sums_bytes = full_width * sizeof(int32_t);
  uint8_t* HWY_RESTRICT packed_a =
      static_cast<uint8_t*>(g.scratch(packed_a_bytes + panel_bytes + acc_bytes + sums_bytes));
  uint32_t* HWY_RESTRICT panel = reinterpret_cast<uint32_t*>(packed_a + packed_a_bytes);
  Acc* HWY_RESTRICT acc = reinterpret_cast<Acc*>(packed_a + packed_a_bytes + panel_bytes);
  int32_t* HWY_RESTRICT sums =
      reinterpret_cast<int32_t*>(packed_a + packed_a_bytes + panel_bytes + acc_bytes);

  for (size_t i0 = 0; i0 < g.m; i0 += block_rows) {
    const size_t rows = HWY_MIN(block_rows, g.m - i0);
    const TA* a_block = g.a + i0 * g.a_row_stride;
    if (pack_a) PackA<Kind>(a_block, g.a_row_stride, g.a_col_stride, rows, g.k, flip, packed_a);
    const uint8_t* a = pack_a ? packed_a : reinterpret_cast<const uint8_t*>(a_block);

    for (size_t j = 0; j < g.n; j += full_width) {
      const size_t cols = HWY_MIN(full_width, g.n - j);
      const size_t vecs = hwy::DivCeil(cols, lanes);
      const size_t width = vecs * lanes;
      PackB<Kind>(g.b + j * g.b_col_stride, g.b_row_stride, g.b_col_stride, g.k, cols, width,
                  panel);
      if (kIsI8 && a_zero != 0) SumPanelColumns(panel, units, width, sums);

      for (size_t i = 0; i < rows; i += kBlockRows) {
        const size_t block = HWY_MIN(kBlockRows, rows - i);
        const auto finish = [&](size_t row, size_t count, Acc* HWY_RESTRICT tile) HWY_ATTR {
          for (size_t r = 0; r < count; ++r) {
            Acc* HWY_RESTRICT of_row = tile + r * width;
            if constexpr (kIsI8) {
              if (a_zero != 0) {
                const hn::ScalableTag<int32_t> di32;
                const auto zero = hn::Set(di32, a_zero);
                for (size_t q = 0; q < width; q += lanes) {
                  hn::Store(
                      hn::Sub(hn::Load(di32, of_row + q), hn::Mul(zero, hn::Load(di32, sums + q))),
                      di32, of_row + q);
                }
              }
            }
            FinishRow(epilogue, i0 + i + row + r, j, cols, of_row);
          }
        };
        const uint8_t* a_rows = a + i * row_bytes;
        if (vecs == kTileVecs) {
          MultiplyBlock<Kind, kTileVecs>(a_rows, row_bytes, panel, g.k, block, acc, finish);
        } else if (vecs == 2) {
          MultiplyBlock<Kind, 2>(a_rows, row_bytes, panel, g.k, block, acc, finish);
        } else {
          MultiplyBlock<Kind, 1>(a_rows, row_bytes, panel, g.k, block, acc, finish);
        }
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_INL_H_
