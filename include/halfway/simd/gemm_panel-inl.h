// SPDX-License-Identifier: Apache-2.0
// A panel of B with a block of rows of A, tile by tile: which tiles, and what memory is asked for in
// time.

#if defined(HALFWAY_SIMD_GEMM_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_PANEL_INL_H_
#undef HALFWAY_SIMD_GEMM_PANEL_INL_H_
#else
#define HALFWAY_SIMD_GEMM_PANEL_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/gemm_layout.h"
#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/gemm_tile-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Fewer rows of A than fill the time of reading B from memory: then tiles ask for what comes next.
static constexpr size_t kFewRows = 24;

// A chunk of k of a panel of B (that was packed before, or just now, and is in cache) with a block of
// rows of A. The sums of row i stand at acc + i * acc_stride, for a panel's width; where each tile is
// finished at once, all tiles use the place of the first.
template <class TStep, bool kWasPacked>
struct PanelBlock {
  using Step = TStep;
  static constexpr bool was_packed = kWasPacked;
  const uint8_t* a;
  size_t a_stride;
  const typename Step::Panel* panel;
  size_t width;       // of the panel
  size_t panel_step;  // to the next panel, if there are two, side by side; else 0
  size_t units;
  size_t rows;
  typename Step::Acc* acc;
  size_t acc_stride;
  bool one_tile;
  bool accumulate;     // else the sums start at zero
  bool streams;        // few rows, and the panel comes from memory
  GroupScales scales;  // at the panel's first column; of codes only

  // From a step's first column to its column c.
  static size_t Items(size_t c) {
    return c * Step::kDepth / detail::panel_item<typename Step::Panel>;
  }
  GroupScales ScalesAt(size_t c) const {
    GroupScales at = scales;
    if constexpr (kHasGroups<Step>) at.of_first += c;
    return at;
  }
  typename Step::Acc* SumsOfRow(size_t i) const { return acc + (one_tile ? 0 : i * acc_stride); }

  // Units [first, first + count).
  PanelBlock Part(size_t first, size_t count) const {
    PanelBlock part = *this;
    part.a += 4 * first;
    part.panel = StepAt(first);
    part.units = count;
    part.accumulate = accumulate || first != 0;
    return part;
  }
  const typename Step::Panel* StepAt(size_t unit) const {
    return panel + unit / Step::kUnits * Items(width);
  }
};

// Tiles side by side over the panel's width, for kRows rows from row i.
template <size_t kRows, Ahead kAhead, class Block>
HWY_INLINE void RunTiles(const Block& p, size_t i, const uint8_t* next = nullptr) {
  using Step = typename Block::Step;
  const size_t lanes = hn::Lanes(GemmDF());
  typename Step::Acc* acc = p.SumsOfRow(i);
  size_t c = 0;
  const auto run = [&]<size_t kVecs>(std::integral_constant<size_t, kVecs>) HWY_ATTR {
    constexpr Ahead kOfFull = kVecs >= kTileVecs ? kAhead : Ahead::kNothing;
    MultiplyTile<Step, kRows, kVecs, 1, kOfFull>(
        p.a + i * p.a_stride, p.a_stride, p.panel + p.Items(c), p.Items(p.width), p.units, acc + c,
        p.acc_stride, p.accumulate, 0, p.ScalesAt(c), next);
    c += kVecs * lanes;
    if constexpr (kOfFull == Ahead::kNext) {
      next += p.units / Step::kUnits * BytesAhead<Step, kVecs>();
    }
  };
  // A single row needs more vectors than a tile may have, so as not to wait for its own results.
  constexpr size_t kVecs = kRows == 1 ? 4 : kTileVecs;
  while (c + kVecs * lanes <= p.width) run(std::integral_constant<size_t, kVecs>());
  if constexpr (kVecs * HWY_MAX_LANES_D(GemmDF) > detail::panel_granule) {  // the last panel
    if (c < p.width) run(std::integral_constant<size_t, 2>());
  }
}

// How many of `left` rows the next tile takes: as many as it can, but no last one of 1 or 2 rows of
// several, which would wait for its own results. 5 only where they are all.
HWY_INLINE size_t RowsOfTile(size_t left) {
  if (left == kTileRows + 1 || left == kTileRows + 2 || left == kTileRows + 5) return 4;
  return left >= kTileRows ? kTileRows : left;
}

// Rows, up to which two panels are taken at once: B from memory in two streams, a third faster than
// in one.
static constexpr size_t kPairRows = kPanelWide ? 2 : 0;

// What a tile of so many rows asks for of what its kind might: one or two rows of floats read fast
// enough, and the last wide tile of several, of three or fewer, is too short.
template <class Block, Ahead kAhead, size_t kRows>
constexpr Ahead kAheadOf = (kAhead == Ahead::kOwn && kRows < 3 &&
                            sizeof(typename Block::Step::Panel) != 1) ||
                                   (kAhead == Ahead::kNext && kPanelWide && kRows < 4)
                               ? Ahead::kNothing
                               : kAhead;

template <size_t kRows, class Block>
HWY_INLINE void RunPair(const Block& p) {
  using Step = typename Block::Step;
  MultiplyTile<Step, kRows, kTileVecs, 2, kAheadOf<Block, Ahead::kOwn, kRows>>(
      p.a, p.a_stride, p.panel, p.Items(p.width), p.units, p.acc, p.acc_stride, p.accumulate,
      p.panel_step, p.ScalesAt(0));
}

template <Ahead kAhead, class Block>
HWY_INLINE void RunTile(const Block& p, size_t i, size_t rows, const uint8_t* next = nullptr) {
  switch (rows) {
    case kTileRows:
      return RunTiles<kTileRows, kAheadOf<Block, kAhead, kTileRows>>(p, i, next);
    case 5:
      return RunTiles<5, kAheadOf<Block, Ahead::kOwn, 5>>(p, i);
    case 4:
      return RunTiles<4, kAheadOf<Block, kAhead, 4>>(p, i, next);
    case 3:
      return RunTiles<3, kAheadOf<Block, kAhead, 3>>(p, i, next);
    case 2:
      return RunTiles<2, kAheadOf<Block, kAhead, 2>>(p, i, next);
    default:
      return RunTiles<1, kAheadOf<Block, kAhead, 1>>(p, i, next);
  }
}

// Few rows with a panel that comes from memory: while all tiles work on one part of it, the first two
// bring in the next (at the end of the panel, the next panel's first). Without, the first tile waits
// for memory and the others leave it idle: 16 rows of f32, bf16 and int8 gain 30, 20 and 10%. Narrow
// tiles take a panel in passes, so they take it in parts even if there is but one tile of rows;
// together the first one's passes bring in the next part.
template <class Block>
HWY_INLINE void RunStreamed(const Block& p) {
  constexpr size_t kAskingTiles = kPanelWide ? 2 : 1;
  const size_t part_units = p.rows <= 8 ? 64 : 512;  // stays in L1, which two tiles need; in L2
  for (size_t u = 0; u < p.units; u += part_units) {
    const Block part = p.Part(u, HWY_MIN(part_units, p.units - u));
    const uint8_t* next = reinterpret_cast<const uint8_t*>(part.StepAt(part.units));
    const size_t share =
        static_cast<size_t>(next - reinterpret_cast<const uint8_t*>(part.panel)) / kAskingTiles;
    for (size_t i = 0, rows, tile = 0; i < p.rows; i += rows, ++tile) {
      rows = RowsOfTile(p.rows - i);
      if (tile < kAskingTiles) {
        RunTile<Ahead::kNext>(part, i, rows, next + tile * share);
      } else {
        RunTile<Ahead::kNothing>(part, i, rows);
      }
    }
  }
}

// Calls finish(i, rows) for all rows, a tile or more at a time.
template <class Block, class Finish>
HWY_INLINE void RunPanelBlock(const Block& p, const Finish& finish) {
  if constexpr (Block::was_packed) {
    if constexpr (!kHasGroups<typename Block::Step>) {
      if (p.streams && p.width == detail::panel_columns) {
        RunStreamed(p);
        return finish(0, p.rows);
      }
    }
    if (RowsOfTile(p.rows) == p.rows) {  // reads each byte of B once
      if (p.panel_step == 0) {
        RunTile<Ahead::kOwn>(p, 0, p.rows);
      } else if constexpr (kPairRows != 0) {
        p.rows == 1 ? RunPair<1>(p) : RunPair<2>(p);
      }
      return finish(0, p.rows);
    }
  }
  for (size_t i = 0, rows; i < p.rows; i += rows) {
    rows = RowsOfTile(p.rows - i);
    RunTile<Ahead::kNothing>(p, i, rows);
    finish(i, rows);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_PANEL_INL_H_
