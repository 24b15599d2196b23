// SPDX-License-Identifier: Apache-2.0
// Matrix product, packed and blocked: one driver for every type and epilogue.
//
// Panel by panel of B (packed here, or taken as it was packed before): let every tile of rows of A
// pass over it while it is at home in L2. A is read where it lies if its rows are dense and of the
// step's type, else packed block by block. A sum over k is never split between threads or blocks:
// chunks of k add to the same accumulators in order, so the result depends only on the operands and
// the target.

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
#include "halfway/simd/gemm_layout.h"
#include "halfway/simd/gemm_pack-inl.h"
#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/gemm_tile-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Units of k that a pass over a panel takes: 1024 units of 48 columns are at most 192 KiB, well
// within L2.
static constexpr size_t kChunkUnits = 1024;
// Rows whose accumulators wait in memory between chunks: 256 x 192 bytes are 48 KiB.
static constexpr size_t kBlockRows = 256;
// Packed A that is at hand for all panels.
static constexpr size_t kPackedABytes = size_t{2} << 20;

// Where the sums of a panel's block go: at row i, column c of the block, rows `width` apart;
// `finish(i, count, c, cols)` is called once they are complete.
template <class Step, class Finish>
struct PanelBlock {
  const uint8_t* a;
  size_t a_stride;
  const typename Step::Panel* panel;
  size_t width;  // of the panel
  size_t k;
  size_t rows;
  typename Step::Acc* acc;  // [rows or kTileRows][width]
  const Finish& finish;
};

// One tile: kRows rows from row i, kVecs vectors from column c.
template <size_t kRows, size_t kVecs, class Step, class Finish>
HWY_INLINE void RunTile(const PanelBlock<Step, Finish>& p, size_t i, size_t c, size_t from,
                        size_t units, size_t tail, typename Step::Acc* HWY_RESTRICT tile,
                        bool accumulate) {
  const size_t b_step = p.width * Step::kDepth;
  MultiplyTile<Step, kRows, kVecs>(p.a + i * p.a_stride + 4 * from, p.a_stride,
                                   p.panel + from / Step::kUnits * b_step + c * Step::kDepth,
                                   b_step, units, tail, tile + c, p.width, accumulate);
}

// Tiles side by side over the panel's width, for kRows rows.
template <size_t kRows, class Step, class Finish>
HWY_INLINE void RunTiles(const PanelBlock<Step, Finish>& p, size_t i, size_t from, size_t units,
                         size_t tail, typename Step::Acc* HWY_RESTRICT tile, bool accumulate) {
  const size_t lanes = hn::Lanes(GemmDF());
  size_t c = 0;
  for (; c + kTileVecs * lanes <= p.width; c += kTileVecs * lanes) {
    RunTile<kRows, kTileVecs>(p, i, c, from, units, tail, tile, accumulate);
  }
  if constexpr (kTileVecs == 3) {  // 16 or 32 columns
    if (c + 2 * lanes <= p.width) {
      RunTile<kRows, 2>(p, i, c, from, units, tail, tile, accumulate);
      c += 2 * lanes;
    }
    if (c < p.width) RunTile<kRows, 1>(p, i, c, from, units, tail, tile, accumulate);
  }
}

template <class Step, class Finish>
HWY_INLINE void RunPanelBlock(const PanelBlock<Step, Finish>& p) {
  constexpr size_t kElementsOfUnit = 4 / sizeof(typename Step::A);
  const size_t whole = p.k / kElementsOfUnit;
  const size_t last_bytes = p.k % kElementsOfUnit * sizeof(typename Step::A);
  const size_t chunks = HWY_MAX(size_t{1}, hwy::DivCeil(whole, kChunkUnits));
  const size_t chunk = hwy::RoundUpTo(hwy::DivCeil(whole, chunks), Step::kUnits);
  for (size_t q = 0; q < chunks; ++q) {
    const size_t from = HWY_MIN(q * chunk, whole);
    const size_t units = HWY_MIN(chunk, whole - from);
    const bool is_last = q + 1 == chunks;
    const size_t tail = is_last ? last_bytes : 0;
    for (size_t i = 0; i < p.rows;) {
      auto* tile = p.acc + (chunks == 1 ? 0 : i * p.width);
      const size_t left = p.rows - i;
      size_t taken;
      if (left >= kTileRows) {
        taken = kTileRows;
        RunTiles<kTileRows>(p, i, from, units, tail, tile, q != 0);
      } else if (left >= 4) {
        taken = 4;
        RunTiles<4>(p, i, from, units, tail, tile, q != 0);
      } else if (left >= 2) {
        taken = 2;
        RunTiles<2>(p, i, from, units, tail, tile, q != 0);
      } else {
        taken = 1;
        RunTiles<1>(p, i, from, units, tail, tile, q != 0);
      }
      if (is_last) p.finish(i, taken, tile);
      i += taken;
    }
  }
}

template <class Config>
void GemmKernel(const detail::gemm_operands<typename Config::A, typename Config::B>& g,
                const typename Config::Epilogue& epilogue) {
  using TA = typename Config::A;
  using TB = typename Config::B;
  using Step = decltype(ChooseGemmStep<TA, TB, Config::b_is_packed>());
  using Panel = typename Step::Panel;
  using Acc = typename Step::Acc;
  constexpr bool kIsI8 = std::is_same_v<Step, GemmStepI8>;
  const size_t lanes = hn::Lanes(GemmDF());

  // Signed A is read as unsigned plus 128, so one instruction serves both; that and the zero point
  // come off the sums again.
  uint8_t flip = 0;
  int32_t a_zero = 0;
  if constexpr (kIsI8) {
    if constexpr (std::is_same_v<TA, int8_t>) flip = 0x80;
    a_zero = flip;
    if constexpr (requires { epilogue.a_zero_point; }) a_zero += epilogue.a_zero_point;
  }
  const bool pack_a = g.a_col_stride != 1 || flip != 0 || !(std::is_same_v<TA, typename Step::A>);

  const size_t row_bytes = pack_a ? PackedRowBytes<Step>(g.k) : g.a_row_stride * sizeof(TA);
  const size_t block_rows =
      pack_a ? HWY_MAX(kBlockRows,
                       kPackedABytes / HWY_MAX(row_bytes, size_t{1}) / kBlockRows * kBlockRows)
             : g.m;
  const size_t packed_a_bytes = pack_a ? HWY_MIN(block_rows, g.m) * row_bytes : 0;
  const size_t depth = detail::padded_depth<Panel>(g.k);
  const size_t panel_bytes =
      Config::b_is_packed ? 0 : hwy::RoundUpTo(depth * detail::panel_columns * sizeof(Panel), 64);
  const size_t acc_bytes = kBlockRows * detail::panel_columns * sizeof(Acc);
  const size_t sums_bytes =
      kIsI8 && !Config::b_is_packed ? detail::panel_columns * sizeof(int32_t) : 0;
  uint8_t* HWY_RESTRICT packed_a =
      static_cast<uint8_t*>(g.scratch(packed_a_bytes + panel_bytes + acc_bytes + sums_bytes));
  Panel* HWY_RESTRICT own_panel = reinterpret_cast<Panel*>(packed_a + packed_a_bytes);
  Acc* HWY_RESTRICT acc = reinterpret_cast<Acc*>(packed_a + packed_a_bytes + panel_bytes);
  int32_t* HWY_RESTRICT own_sums =
      reinterpret_cast<int32_t*>(packed_a + packed_a_bytes + panel_bytes + acc_bytes);

  for (size_t i0 = 0; i0 < g.m; i0 += block_rows) {
    const size_t rows = HWY_MIN(block_rows, g.m - i0);
    const TA* a_block = g.a + i0 * g.a_row_stride;
    if (pack_a) PackA<Step>(a_block, g.a_row_stride, g.a_col_stride, rows, g.k, flip, packed_a);
    const uint8_t* a = pack_a ? packed_a : reinterpret_cast<const uint8_t*>(a_block);

    for (size_t j = 0; j < g.n; j += detail::panel_columns) {
      const size_t cols = HWY_MIN(detail::panel_columns, g.n - j);
      const size_t width = detail::panel_width(cols);
      const Panel* panel;
      const int32_t* sums;
      if constexpr (Config::b_is_packed) {
        panel = g.b + j * depth;
        sums = g.b_column_sums + j;
      } else {
        PackB(g.b + j * g.b_col_stride, g.b_row_stride, g.b_col_stride, g.k, cols, width,
              own_panel);
        if constexpr (kIsI8) {
          if (a_zero != 0) SumPanelColumns(own_panel, g.k, width, own_sums);
        }
        panel = own_panel;
        sums = own_sums;
      }

      for (size_t i = 0; i < rows; i += kBlockRows) {
        const auto finish = [&](size_t row, size_t count, Acc* HWY_RESTRICT tile) HWY_ATTR {
          for (size_t r = 0; r < count; ++r) {
            Acc* HWY_RESTRICT of_row = tile + r * width;
            if constexpr (kIsI8) {
              if (a_zero != 0) {
                const GemmDI di;
                const auto zero = hn::Set(di, a_zero);
                for (size_t q = 0; q < width; q += lanes) {
                  const auto excess = hn::Mul(zero, hn::LoadU(di, sums + q));
                  hn::StoreU(hn::Sub(hn::LoadU(di, of_row + q), excess), di, of_row + q);
                }
              }
            }
            FinishRow(epilogue, i0 + i + row + r, j, cols, of_row);
          }
        };
        RunPanelBlock(PanelBlock<Step, decltype(finish)>{a + i * row_bytes, row_bytes, panel, width,
                                                         g.k, HWY_MIN(kBlockRows, rows - i), acc,
                                                         finish});
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_INL_H_
