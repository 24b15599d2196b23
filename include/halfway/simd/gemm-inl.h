// SPDX-License-Identifier: Apache-2.0
// Matrix product, packed and blocked: one driver for every type and epilogue.
//
//   for each group of panels of B   all that were packed before, or as many as are packed here
//     for each block of rows of A
//       for each chunk of k           the block's chunk, read where it lies or packed here, fills L2
//         for each panel of the group
//           for each tile of rows     gemm_panel-inl.h, gemm_tile-inl.h
//
// A sum over k is never split: chunks of k add to the same accumulators in order, so the result
// depends only on the operands and the target, not on how a product is cut into several calls.

#if defined(HALFWAY_SIMD_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_INL_H_
#undef HALFWAY_SIMD_GEMM_INL_H_
#else
#define HALFWAY_SIMD_GEMM_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/cpu.h"
#include "halfway/simd/gemm_amx-inl.h"
#include "halfway/simd/gemm_args.h"
#include "halfway/simd/gemm_epilogue-inl.h"
#include "halfway/simd/gemm_layout.h"
#include "halfway/simd/gemm_pack-inl.h"
#include "halfway/simd/gemm_panel-inl.h"
#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/gemm_tile-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Units of k (4 bytes of a row of A) in a chunk, and bytes of A in a block's chunk. Measured on Zen 5
// (1 MiB of L2) at 1024^3 and 2048^3: chunks of 256 and 512 units lose 8 and 2% to moving sums, blocks
// of 512 KiB 5% to loading panels anew.
static constexpr size_t kChunkUnits = 1024;
static constexpr size_t kBlockBytes = size_t{2} << 20;
static constexpr size_t kAmxBlockBytes = size_t{1} << 20;
// Panels that are packed for one call at a time, and sums that wait outside c.
static constexpr size_t kGroupBytes = size_t{2} << 20;

// How the operands of one call are cut, and where in scratch memory their parts stand.
template <class Step, class Config>
struct GemmPlan {
  using A = typename Step::A;
  using Panel = typename Step::Panel;
  using Acc = typename Step::Acc;

  GemmPlan(const detail::gemm_operands<typename Config::A, typename Config::B>& g, bool signed_a,
           bool in_place) {
    using TA = typename Config::A;
    depth = detail::padded_depth<Panel>(g.k);
    streams =
        !kIsAmx<Step> && g.b_streams && g.m <= kFewRows && (!kPanelWide || RowsOfTile(g.m) != g.m);
    const size_t all_units = depth * sizeof(A) / 4;
    const size_t chunks = g.m <= kRowsAtOnce<Step> || streams
                              ? 1
                              : HWY_MAX(size_t{1}, hwy::DivCeil(all_units, kChunkUnits));
    chunk_k = hwy::RoundUpTo(hwy::DivCeil(all_units, chunks), Step::kUnits) * 4 / sizeof(A);

    if constexpr (kHasGroups<Step>) {  // whole groups: where one ended would change its bits
      if (chunk_k < g.k) {
        chunk_k = g.b_group <= chunk_k ? chunk_k / g.b_group * g.b_group
                                       : hwy::RoundUpTo(g.k, Step::kUnits);
      }
    }

    one_tile = chunk_k >= g.k && !streams;
    const size_t own_bytes = g.a_row_stride * sizeof(TA);
    pack_a = g.a_col_stride != 1 || signed_a || !std::is_same_v<TA, A> || g.k % Step::kDepth != 0;
    row_bytes = pack_a ? PackedRowBytes<Step>(chunk_k) : own_bytes;
    constexpr size_t kRows = kRowsAtOnce<Step>;
    constexpr size_t kBytes = kIsAmx<Step> ? kAmxBlockBytes : kBlockBytes;
    block_rows = kBytes / HWY_MAX(chunk_k * sizeof(A), size_t{1024}) / kRows * kRows;
    block_rows = HWY_MIN(HWY_MAX(block_rows, kRows), g.m);

    const size_t panel_bytes =
        HWY_MAX((Config::b_is_packed
                     ? 0
                     : detail::packed_items<Panel>(g.k, detail::panel_columns) * sizeof(Panel)),
                (in_place || one_tile ? 0 : block_rows * detail::panel_columns * sizeof(Acc)));
    size_t panels = hwy::DivCeil(g.n, detail::panel_columns);
    if (panel_bytes != 0) panels = HWY_MIN(panels, HWY_MAX(kGroupBytes / panel_bytes, size_t{1}));
    group_columns = panels * detail::panel_columns;

    const auto take = [this](size_t size) {
      const size_t at = bytes;
      bytes += hwy::RoundUpTo(size, 64);
      return at;
    };
    a_at = take(pack_a ? block_rows * row_bytes : 0);
    acc_stride = in_place || one_tile ? detail::most_columns_at_once : group_columns;
    acc_at = take((one_tile ? kRows : block_rows) * acc_stride * sizeof(Acc));
    b_at = take(Config::b_is_packed ? 0 : group_columns * depth * sizeof(Panel));
    sums_at = take(Config::b_is_packed ? 0 : group_columns * sizeof(int32_t));
  }

  // Of the panels, for so many elements.
  static size_t Items(size_t elements) { return elements / detail::panel_item<Panel>; }

  bool streams;  // few rows of A, and B comes from memory
  bool pack_a;
  size_t depth;          // of B's panels
  size_t chunk_k;        // elements along k in a chunk
  size_t row_bytes;      // from one row of A, as the tile reads it, to the next
  size_t block_rows;     // of A
  size_t group_columns;  // of B
  bool one_tile;         // sums outside c wait for no other chunk
  size_t acc_stride;     // from one row of them to the next
  size_t a_at, acc_at, b_at, sums_at;
  size_t bytes = 0;
};

// sums[q] -= zero_point * column_sums[q] for the columns of a panel.
HWY_INLINE void TakeZeroPoint(const int32_t* HWY_RESTRICT column_sums, int32_t zero_point,
                              size_t width, int32_t* HWY_RESTRICT sums) {
  const GemmDI di;
  const auto zero = hn::Set(di, zero_point);
  for (size_t q = 0; q < width; q += hn::Lanes(di)) {
    const auto excess = hn::Mul(zero, hn::LoadU(di, column_sums + q));
    hn::StoreU(hn::Sub(hn::LoadU(di, sums + q), excess), di, sums + q);
  }
}

#if HALFWAY_SIMD_AMX
// Setting up tiles takes as long as other kernels take for some ten thousand multiply-adds. Products of
// bfloat16 whose k fills little of a step don't get that back (8 x 64 x 8 a third of the speed, 512 x 64
// x 16 nine tenths, x 27 twice), nor do small ones of bytes, nor few rows of them.
static constexpr size_t kAmxLeastK = 24;
static constexpr size_t kAmxFewRows = 4;
static constexpr size_t kAmxLeastWork = size_t{1} << 17;  // multiply-adds
struct NoTiles {};
#endif

template <class Step, class Config>
HWY_NOINLINE void RunGemm(const detail::gemm_operands<typename Config::A, typename Config::B>& g,
                          const typename Config::Epilogue& epilogue) {
  using TA = typename Config::A;
  using Panel = typename Step::Panel;
  using Acc = typename Step::Acc;
  constexpr bool kIsI8 = std::is_same_v<Panel, int8_t>;

  // Signed A is read as unsigned plus 128, so one instruction serves both (AMX has two); that and the
  // zero point come off the sums again.
  uint8_t flip = 0;
  int32_t a_zero = 0;
  if constexpr (kIsI8) {
    if constexpr (std::is_same_v<TA, int8_t> && !kIsAmx<Step>) flip = 0x80;
    a_zero = flip;
    if constexpr (requires { epilogue.a_zero_point; }) a_zero += epilogue.a_zero_point;
  }
  const bool in_place = SumsInPlace<Acc>(epilogue);
  const GemmPlan<Step, Config> plan(g, flip != 0, in_place);
  uint8_t* HWY_RESTRICT scratch = static_cast<uint8_t*>(g.scratch(plan.bytes));
  Acc* HWY_RESTRICT own_acc = reinterpret_cast<Acc*>(scratch + plan.acc_at);
  Panel* HWY_RESTRICT own_panels = reinterpret_cast<Panel*>(scratch + plan.b_at);
  int32_t* HWY_RESTRICT own_sums = reinterpret_cast<int32_t*>(scratch + plan.sums_at);
#if HALFWAY_SIMD_AMX
  std::conditional_t<kIsAmx<Step>, AmxTiles, NoTiles> tiles;
#endif

  for (size_t j0 = 0; j0 < g.n; j0 += plan.group_columns) {
    const size_t group = HWY_MIN(plan.group_columns, g.n - j0);
    const Panel* panels;
    const int32_t* sums = nullptr;
    if constexpr (Config::b_is_packed) {
      panels = g.b + plan.Items(j0 * plan.depth);
      if constexpr (kIsI8) sums = g.b_column_sums + j0;
    } else {
      PackPanels(g.b + j0 * g.b_col_stride, g.b_row_stride, g.b_col_stride, g.k, group, own_panels);
      if constexpr (kIsI8) {
        if (a_zero != 0) SumColumns(own_panels, g.k, group, own_sums);
      }
      panels = own_panels;
      sums = own_sums;
    }

    for (size_t i0 = 0; i0 < g.m; i0 += plan.block_rows) {
      const size_t rows = HWY_MIN(plan.block_rows, g.m - i0);
      size_t k0 = 0;
      do {  // once if k is 0: the sums are zero
        const size_t k = HWY_MIN(plan.chunk_k, g.k - k0);
        const bool is_last = k0 + k == g.k;
        const TA* a_chunk = g.a + i0 * g.a_row_stride + k0 * g.a_col_stride;
        const uint8_t* a = reinterpret_cast<const uint8_t*>(a_chunk);
        if (plan.pack_a) {
          a = scratch + plan.a_at;
          PackA<Step>(a_chunk, g.a_row_stride, g.a_col_stride, rows, k, flip, plan.row_bytes,
                      scratch + plan.a_at);
        }

        for (size_t j = 0, width; j < group; j += width) {
          width = detail::panel_width(group - j);
          const bool is_pair = !kIsAmx<Step> && Config::b_is_packed && g.m <= kPairRows &&
                               group - j >= 2 * detail::panel_columns;
          const size_t panel_step = is_pair ? plan.Items(width * plan.depth) : 0;
          const size_t panel_columns = width;
          if (is_pair) width *= 2;
          const size_t cols = HWY_MIN(width, group - j);
          // Sums in c itself, but for a panel that is wider than what is left of c.
          PanelBlock<Step, Config::b_is_packed> block{
              a,
              plan.row_bytes,
              panels + plan.Items(j * plan.depth + k0 * panel_columns),
              panel_columns,
              panel_step,
              detail::padded_depth<Panel>(k) * sizeof(typename Step::A) / 4,
              rows,
              own_acc + (in_place || plan.one_tile ? 0 : j),
              plan.acc_stride,
              plan.one_tile,
              k0 != 0,
              kIsAmx<Step> ? g.b_streams && g.m <= kAmxRows : plan.streams,
              {}};
          if constexpr (kHasGroups<Step>) {
            const size_t groups = hwy::DivCeil(g.k, g.b_group);
            block.scales = {g.b_scales + (j0 + j) * groups + k0 / g.b_group * panel_columns,
                            g.b_group, panel_columns, groups * panel_columns};
          }
          const bool in_c = in_place && cols == width;
          if constexpr (std::is_same_v<Acc, std::remove_pointer_t<decltype(epilogue.out.c)>>) {
            if (in_c) {
              block.acc = epilogue.out.c + i0 * epilogue.out.row_stride + j0 + j;
              block.acc_stride = epilogue.out.row_stride;
              block.one_tile = false;
            }
          }
          const auto finish = [&](size_t i, size_t count) HWY_ATTR {
            if (!is_last) return;
            Acc* of_row = block.SumsOfRow(i);
            for (size_t r = i; r < i + count; ++r, of_row += block.acc_stride) {
              if constexpr (kIsI8) {
                if (a_zero != 0) TakeZeroPoint(sums + j, a_zero, width, of_row);
              }
              if (!in_c || !IsPlain(epilogue)) FinishRow(epilogue, i0 + r, j0 + j, cols, of_row);
            }
          };
          if constexpr (kIsAmx<Step>) {
#if HALFWAY_SIMD_AMX
            RunAmxBlock(block, tiles, finish);
#endif
          } else {
            RunPanelBlock(block, finish);
          }
        }
        k0 += k;
      } while (k0 < g.k);
    }
  }
}

template <class Config>
void GemmKernel(const detail::gemm_operands<typename Config::A, typename Config::B>& g,
                const typename Config::Epilogue& epilogue) {
  using TA = typename Config::A;
  using TB = typename Config::B;
  using Fast = decltype(ChooseGemmStep<TA, TB, Config::b_is_packed>());
  using Reproducible = decltype(ChooseGemmStep<TA, TB, Config::b_is_packed, true>());
#if HALFWAY_SIMD_AMX
  if (detail::uses_amx()) {
    if constexpr (std::is_same_v<Fast, GemmStepBF16>) {
      // By k alone, which no cut of a product changes: else the bits would depend on it.
      if (!g.reproducible && g.k >= kAmxLeastK) {
        return RunGemm<GemmStepAmxBF16, Config>(g, epilogue);
      }
    } else if constexpr (std::is_same_v<Fast, GemmStepI8>) {  // exact in any way
      if (g.m > kAmxFewRows && g.k >= GemmStepAmxI8<TA>::kDepth &&
          g.m * g.n >= kAmxLeastWork / g.k) {
        return RunGemm<GemmStepAmxI8<TA>, Config>(g, epilogue);
      }
    }
  }
#endif
  if constexpr (!std::is_same_v<Fast, Reproducible>) {
    bool widens = g.reproducible;
#if HWY_NATIVE_DOT_BF16
    if constexpr (std::is_same_v<Fast, GemmStepBF16>) {
      widens = widens || detail::bfloat16_dot_is_slow();
    }
#endif
    if (widens) return RunGemm<Reproducible, Config>(g, epilogue);
  }
  RunGemm<Fast, Config>(g, epilogue);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_INL_H_
