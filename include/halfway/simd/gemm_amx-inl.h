// SPDX-License-Identifier: Apache-2.0
// Panels of B with rows of A by Intel's AMX: tiles of 16 x 16 sums from tiles of 16 rows and 64 bytes.
//
// Highway has no target for it. It stands within AVX3_SPR, whose first CPUs brought it, and is chosen
// at run time (simd/cpu.h). A step of 64 bytes along k is 16 units: of A as it lies in memory, of B 16
// rows of a packed panel, which is the order that the instructions ask for. Written in assembly, which
// needs no compiler flag; no compiler keeps anything in tiles on its own.
//
// TDPBF16PS (Intel's Software Developer's Manual, volume 2) has for each of its sums two others that
// start at zero, to which it adds the products of the even and of the odd elements by FMA, in the order
// of k; then it adds the odd to the even one, and that to the sum. It rounds to nearest even, takes
// subnormal operands as zero and flushes subnormal results, whatever the CPU's modes. So an element of a
// step of d <= 32 goes through at most ceil(d / 2) FMAs, of which the first is exact (a product of two
// bfloat16 has 16 bits), and two additions; and through one more for each later step:
//
//   k <= 32:  (ceil(k / 2) - 1) + 1, and the last addition, to zero, is exact
//   k > 32:   15 + 2 + (ceil(k / 32) - 1) = 16 + ceil(k / 32)
//
// neither above k. Each FMA and each addition may flush less than 2^-126: k + 2 ceil(k / 32) of them,
// not above 2 k for k >= 2; for k = 1 what is added is zero or normal. That is what gemm_error_bound
// allows for: gamma(k + 3), and k 2^-125. k is cut at multiples of 32 only, and the last step is always
// filled with zeros: an element's bits depend on nothing but its row and column.

#if defined(HALFWAY_SIMD_GEMM_AMX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_AMX_INL_H_
#undef HALFWAY_SIMD_GEMM_AMX_INL_H_
#else
#define HALFWAY_SIMD_GEMM_AMX_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/cpu.h"
#include "halfway/simd/gemm_layout.h"
#include "halfway/simd/gemm_panel-inl.h"
#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/gemm_tile-inl.h"
#include "halfway/types/bfloat16.h"
#include "hwy/highway.h"

// Whether this target has kernels for AMX.
#undef HALFWAY_SIMD_AMX
#if HALFWAY_CPU_MAY_HAVE_AMX && HWY_TARGET == HWY_AVX3_SPR
#define HALFWAY_SIMD_AMX 1
#else
#define HALFWAY_SIMD_AMX 0
#endif

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {

// Rows of a tile, its bytes in each, and units of k in a step.
static constexpr size_t kAmxRows = 16;
static constexpr size_t kAmxRowBytes = 64;
static constexpr size_t kAmxUnits = kAmxRowBytes / 4;
static constexpr size_t kAmxColumns = kAmxRowBytes / 4;  // of sums

// A step for RunGemm: what it is made of. Its arithmetic is MultiplyAmx.
template <class TA, class TPanel, class TAcc>
struct GemmStepAmx {
  using A = TA;
  using Panel = TPanel;
  using Acc = TAcc;
  static constexpr size_t kDepth = kAmxRowBytes / sizeof(TA);
  static constexpr size_t kUnits = kAmxUnits;
};
using GemmStepAmxBF16 = GemmStepAmx<bfloat16, bfloat16, float>;
// Of unsigned or signed bytes, exact modulo 2^32.
template <class TA>
using GemmStepAmxI8 = GemmStepAmx<TA, int8_t, int32_t>;

template <class Step>
inline constexpr bool kIsAmx = false;
template <class TA, class TPanel, class TAcc>
inline constexpr bool kIsAmx<GemmStepAmx<TA, TPanel, TAcc>> = true;

// Rows of A that are finished at once.
template <class Step>
inline constexpr size_t kRowsAtOnce = kIsAmx<Step> ? 2 * kAmxRows : kTileRows;

#if HALFWAY_SIMD_AMX

template <int kTile>
HWY_INLINE void LoadAmx(const void* from, size_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                   :
                   : "r"(from), "r"(stride), "i"(kTile)
                   : "memory");
}
template <int kTile>
HWY_INLINE void StoreAmx(void* to, size_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)"
                   :
                   : "r"(to), "r"(stride), "i"(kTile)
                   : "memory");
}
template <int kTile>
HWY_INLINE void ZeroAmx() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// Tile kSum += tile kA * tile kB.
template <class Step, int kSum, int kA, int kB>
HWY_INLINE void MultiplyAmx() {
  if constexpr (std::is_same_v<typename Step::A, bfloat16>) {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
  } else if constexpr (std::is_same_v<typename Step::A, uint8_t>) {
    __asm__ volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
  } else {
    static_assert(std::is_same_v<typename Step::A, int8_t>);
    __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
  }
}

// The shapes of the eight tiles of this thread, from their first use to the end of the object. Up to 16
// rows: tiles 0 to 3 are sums of these rows side by side, 4 is of A, 5 to 7 of B. Up to 32: 0 and 1 are
// sums of the first 16 rows, 2 and 3 of the others, 4 and 5 of A, 6 and 7 of B.
class AmxTiles {
 public:
  AmxTiles() = default;
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;
  ~AmxTiles() {
    if (rows_ != 0) __asm__ volatile("tilerelease" : : : "memory");
  }

  void SetRows(size_t rows) {
    if (rows == rows_) return;
    rows_ = rows;
    const bool is_pair = rows > kAmxRows;
    const auto first = static_cast<uint8_t>(is_pair ? kAmxRows : rows);
    const auto second = static_cast<uint8_t>(is_pair ? rows - kAmxRows : rows);
    const auto all = static_cast<uint8_t>(kAmxRows);
    const Config config = {1,
                           0,
                           {},
                           {kAmxRowBytes, kAmxRowBytes, kAmxRowBytes, kAmxRowBytes, kAmxRowBytes,
                            kAmxRowBytes, kAmxRowBytes, kAmxRowBytes},
                           {first, first, second, second, first, is_pair ? second : all, all, all}};
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
  }

 private:
  struct alignas(64) Config {  // as the CPU reads it
    uint8_t palette;
    uint8_t first_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  };
  static_assert(sizeof(Config) == 64);

  size_t rows_ = 0;
};

// What a panel is to the loops below: `steps` of 64 bytes of k, and the units that are left of it
// filled with zeros, elsewhere, or null.
struct AmxPanel {
  const uint8_t* b;
  size_t row_bytes;  // of a unit
  size_t steps;
  const uint8_t* rest;
};

// step(a, b) for each step along k.
template <class F>
HWY_INLINE void ForAmxSteps(const AmxPanel& p, const uint8_t* a, size_t column_bytes,
                            const F& step) {
  const uint8_t* b = p.b + column_bytes;
  for (size_t s = 0; s < p.steps; ++s, a += kAmxRowBytes, b += kAmxUnits * p.row_bytes) step(a, b);
  if (p.rest != nullptr) step(a, p.rest + column_bytes);
}

// 17 to 32 rows, 32 columns from `column` on. Each tile is loaded just before its first use: two loads
// of 8 cycles pass behind two products of 16. Measured on Emerald Rapids, A and B in L2: 1800 GFLOP/s
// of the 2600 without loads.
template <class Step>
HWY_NOINLINE void RunAmxSquare(const AmxPanel& p, const uint8_t* a, size_t a_stride, size_t column,
                               typename Step::Acc* sums, size_t sums_stride, bool accumulate) {
  sums_stride *= sizeof(typename Step::Acc);
  uint8_t* const upper = reinterpret_cast<uint8_t*>(sums + column);
  uint8_t* const lower = upper + kAmxRows * sums_stride;
  if (accumulate) {
    LoadAmx<0>(upper, sums_stride);
    LoadAmx<1>(upper + kAmxRowBytes, sums_stride);
    LoadAmx<2>(lower, sums_stride);
    LoadAmx<3>(lower + kAmxRowBytes, sums_stride);
  } else {
    ZeroAmx<0>();
    ZeroAmx<1>();
    ZeroAmx<2>();
    ZeroAmx<3>();
  }
  const size_t b_stride = p.row_bytes;
  ForAmxSteps(p, a, column * 4, [=](const uint8_t* at, const uint8_t* b) HWY_ATTR {
    LoadAmx<4>(at, a_stride);
    LoadAmx<6>(b, b_stride);
    MultiplyAmx<Step, 0, 4, 6>();
    LoadAmx<7>(b + kAmxRowBytes, b_stride);
    MultiplyAmx<Step, 1, 4, 7>();
    LoadAmx<5>(at + kAmxRows * a_stride, a_stride);
    MultiplyAmx<Step, 2, 5, 6>();
    MultiplyAmx<Step, 3, 5, 7>();
  });
  StoreAmx<0>(upper, sums_stride);
  StoreAmx<1>(upper + kAmxRowBytes, sums_stride);
  StoreAmx<2>(lower, sums_stride);
  StoreAmx<3>(lower + kAmxRowBytes, sums_stride);
}

// 1 to 16 rows, the whole width of the panel: each byte of it is read once, in order. With kStreams, it
// comes from memory and is asked for in time.
template <class Step, bool kWide, bool kStreams>
HWY_NOINLINE void RunAmxRow(const AmxPanel& p, const uint8_t* a, size_t a_stride,
                            typename Step::Acc* sums, size_t sums_stride, bool accumulate) {
  sums_stride *= sizeof(typename Step::Acc);
  uint8_t* const to = reinterpret_cast<uint8_t*>(sums);
  if (accumulate) {
    LoadAmx<0>(to, sums_stride);
    LoadAmx<1>(to + kAmxRowBytes, sums_stride);
    if constexpr (kWide) {
      LoadAmx<2>(to + 2 * kAmxRowBytes, sums_stride);
      LoadAmx<3>(to + 3 * kAmxRowBytes, sums_stride);
    }
  } else {
    ZeroAmx<0>();
    ZeroAmx<1>();
    ZeroAmx<2>();
    ZeroAmx<3>();
  }
  constexpr size_t b_stride = (kWide ? detail::panel_columns : detail::panel_granule) * 4;
  ForAmxSteps(p, a, 0, [=](const uint8_t* at, const uint8_t* b) HWY_ATTR {
    if constexpr (kStreams) PrefetchLines<kAmxUnits * b_stride>(b + kAheadBytes);
    LoadAmx<4>(at, a_stride);
    LoadAmx<5>(b, b_stride);
    MultiplyAmx<Step, 0, 4, 5>();
    LoadAmx<6>(b + kAmxRowBytes, b_stride);
    MultiplyAmx<Step, 1, 4, 6>();
    if constexpr (kWide) {
      LoadAmx<7>(b + 2 * kAmxRowBytes, b_stride);
      MultiplyAmx<Step, 2, 4, 7>();
      LoadAmx<5>(b + 3 * kAmxRowBytes, b_stride);
      MultiplyAmx<Step, 3, 4, 5>();
    }
  });
  StoreAmx<0>(to, sums_stride);
  StoreAmx<1>(to + kAmxRowBytes, sums_stride);
  if constexpr (kWide) {
    StoreAmx<2>(to + 2 * kAmxRowBytes, sums_stride);
    StoreAmx<3>(to + 3 * kAmxRowBytes, sums_stride);
  }
}

// As RunPanelBlock. The rows of A are filled with zeros to whole steps, or are whole.
template <class Block, class Finish>
HWY_INLINE void RunAmxBlock(const Block& p, AmxTiles& tiles, const Finish& finish) {
  using Step = typename Block::Step;
  const size_t row_bytes = p.width * 4;
  const uint8_t* b = reinterpret_cast<const uint8_t*>(p.panel);
  const size_t steps = p.units / kAmxUnits, left = p.units % kAmxUnits;
  HWY_ALIGN uint8_t rest[kAmxUnits * detail::panel_columns * 4];
  if (left != 0) {  // beyond a panel's end is another's beginning, or nothing
    hwy::CopyBytes(b + steps * kAmxUnits * row_bytes, rest, left * row_bytes);
    hwy::ZeroBytes(rest + left * row_bytes, (kAmxUnits - left) * row_bytes);
  }
  const AmxPanel panel = {b, row_bytes, steps, left != 0 ? rest : nullptr};

  for (size_t i = 0, rows; i < p.rows; i += rows) {
    rows = HWY_MIN(kRowsAtOnce<Step>, p.rows - i);
    tiles.SetRows(rows);
    const uint8_t* a = p.a + i * p.a_stride;
    auto* sums = p.SumsOfRow(i);
    if (rows > kAmxRows) {
      for (size_t c = 0; c < p.width; c += 2 * kAmxColumns) {
        RunAmxSquare<Step>(panel, a, p.a_stride, c, sums, p.acc_stride, p.accumulate);
      }
    } else if (p.width != detail::panel_columns) {
      RunAmxRow<Step, false, false>(panel, a, p.a_stride, sums, p.acc_stride, p.accumulate);
    } else if (p.streams) {
      RunAmxRow<Step, true, true>(panel, a, p.a_stride, sums, p.acc_stride, p.accumulate);
    } else {
      RunAmxRow<Step, true, false>(panel, a, p.a_stride, sums, p.acc_stride, p.accumulate);
    }
    finish(i, rows);
  }
}

#endif  // HALFWAY_SIMD_AMX

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_AMX_INL_H_
