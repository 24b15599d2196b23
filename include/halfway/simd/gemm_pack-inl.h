// SPDX-License-Identifier: Apache-2.0
// Brings the operands of GEMM into the layout that the tile reads: A as dense rows, B as panels
// (gemm_layout.h).
//
// Both functions widen other formats to the element type of the step on the way and fill with
// zeros, which add nothing to a sum.

#if defined(HALFWAY_SIMD_GEMM_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GEMM_PACK_INL_H_
#undef HALFWAY_SIMD_GEMM_PACK_INL_H_
#else
#define HALFWAY_SIMD_GEMM_PACK_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/gemm_layout.h"
#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// *to = *from, widened where To is float. By vector code: scalar conversions are templates outside
// this namespace and must not be instantiated from here.
template <class To, class From>
HWY_INLINE void PackOne(const From* HWY_RESTRICT from, To* HWY_RESTRICT to) {
  if constexpr (std::is_same_v<To, float> && !std::is_same_v<From, float>) {
    const hn::CappedTag<float, 1> d1;
    *to = hn::GetLane(LoadNF32(d1, from, 1));
  } else {
    static_assert(sizeof(To) == sizeof(From));
    hwy::CopyBytes<sizeof(To)>(from, to);
  }
}

// to[i] = from[i], as above.
template <class To, class From>
HWY_INLINE void PackRun(const From* HWY_RESTRICT from, size_t n, To* HWY_RESTRICT to) {
  if constexpr (std::is_same_v<To, float> && !std::is_same_v<From, float>) {
    const hn::ScalableTag<float> df;
    const size_t lanes = hn::Lanes(df);
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) hn::StoreU(LoadF32(df, from + i), df, to + i);
    if (i < n) hn::StoreN(LoadNF32(df, from + i, n - i), df, to + i, n - i);
  } else {
    static_assert(sizeof(To) == sizeof(From));
    if (n != 0) hwy::CopyBytes(from, to, n * sizeof(To));  // an empty matrix may be null
  }
}

// Bytes from one row of packed A to the next: an odd number of cache lines, so that the rows of a
// tile don't share the sets of L1.
template <class Step>
constexpr size_t PackedRowBytes(size_t k) {
  return hwy::RoundUpTo(hwy::RoundUpTo(k, Step::kDepth) * sizeof(typename Step::A), 64) | 64;
}

// to[i * to_stride + q] = from[q * from_stride + i] for i < rows, q < kTransposed: by 4 x 4 in registers
// where elements have 4 bytes.
inline constexpr size_t kTransposed = 16;
template <class T>
HWY_INLINE void Transpose(const T* HWY_RESTRICT from, size_t from_stride, size_t rows,
                          T* HWY_RESTRICT to, size_t to_stride) {
  size_t i = 0;
#if HWY_TARGET != HWY_SCALAR  // which has vectors of one element only
  if constexpr (sizeof(T) == 4) {
    const hn::FixedTag<T, 4> d;
    for (; i + 4 <= rows; i += 4) {
      for (size_t q = 0; q < kTransposed; q += 4) {
        const T* HWY_RESTRICT in = from + q * from_stride + i;
        T* HWY_RESTRICT out = to + i * to_stride + q;
        const auto r0 = hn::LoadU(d, in), r1 = hn::LoadU(d, in + from_stride);
        const auto r2 = hn::LoadU(d, in + 2 * from_stride), r3 = hn::LoadU(d, in + 3 * from_stride);
        const auto even = hn::InterleaveLower(d, r0, r2), odd = hn::InterleaveLower(d, r1, r3);
        hn::StoreU(hn::InterleaveLower(d, even, odd), d, out);
        hn::StoreU(hn::InterleaveUpper(d, even, odd), d, out + to_stride);
        const auto even2 = hn::InterleaveUpper(d, r0, r2), odd2 = hn::InterleaveUpper(d, r1, r3);
        hn::StoreU(hn::InterleaveLower(d, even2, odd2), d, out + 2 * to_stride);
        hn::StoreU(hn::InterleaveUpper(d, even2, odd2), d, out + 3 * to_stride);
      }
    }
  }
#endif
  for (; i < rows; ++i) {
    for (size_t q = 0; q < kTransposed; ++q) to[i * to_stride + q] = from[q * from_stride + i];
  }
}

// Rows of `a` whose elements are col_stride apart while its columns lie side by side (x transposed, as
// in the gradient of weights): blocks of columns are read as they lie, widened, and turned. Element by
// element they would be read a cache line each, and with a stride of 4096 bytes all from one set.
// Returns how many columns were packed: a multiple of kTransposed.
template <class To, class T>
HWY_INLINE size_t PackColumns(const T* HWY_RESTRICT a, size_t col_stride, size_t rows, size_t k,
                              size_t row_bytes, uint8_t* HWY_RESTRICT packed) {
  constexpr size_t kRows = 64;
  HWY_ALIGN To block[kTransposed * kRows];
  size_t q0 = 0;
  for (; q0 + kTransposed <= k; q0 += kTransposed) {
    for (size_t i0 = 0; i0 < rows; i0 += kRows) {
      const size_t here = HWY_MIN(kRows, rows - i0);
      for (size_t q = 0; q < kTransposed; ++q) {
        PackRun(a + (q0 + q) * col_stride + i0, here, block + q * kRows);
      }
      Transpose(block, kRows, here, reinterpret_cast<To*>(packed + i0 * row_bytes) + q0,
                row_bytes / sizeof(To));
    }
  }
  return q0;
}

// `rows` rows of `a`, `row_bytes` (of PackedRowBytes) apart, the last step filled with zeros. `flip` (0 or 0x80) is applied to each byte of
// int8 data: it makes a signed value unsigned by adding 128.
template <class Step, class T>
HWY_NOINLINE void PackA(const T* HWY_RESTRICT a, size_t row_stride, size_t col_stride, size_t rows,
                        size_t k, uint8_t flip, size_t row_bytes, uint8_t* HWY_RESTRICT packed) {
  using To = typename Step::A;
  const size_t turned = row_stride == 1 && col_stride != 1
                            ? PackColumns<To>(a, col_stride, rows, k, row_bytes, packed)
                            : 0;
  for (size_t i = 0; i < rows; ++i) {
    const T* HWY_RESTRICT from = a + i * row_stride;
    To* HWY_RESTRICT to = reinterpret_cast<To*>(packed + i * row_bytes);
    if (col_stride == 1) {
      PackRun(from, k, to);
    } else {
      for (size_t q = turned; q < k; ++q) PackOne(from + q * col_stride, to + q);
    }
    for (size_t q = k; q % Step::kDepth != 0; ++q) to[q] = To{};
    if constexpr (std::is_same_v<To, uint8_t>) {
      if (flip != 0) {
        const hn::ScalableTag<uint8_t> du8;
        const auto flips = hn::Set(du8, flip);
        for (size_t q = 0; q < k;
             q += hn::Lanes(du8)) {  // rows are padded to 64 bytes, a whole number of vectors
          hn::StoreU(hn::Xor(hn::LoadU(du8, to + q), flips), du8, to + q);
        }
      }
    }
  }
}

// Columns [0, cols) of `b` (k rows) as a panel of `width` columns.
template <class TPanel, class T>
HWY_NOINLINE void PackB(const T* HWY_RESTRICT b, size_t row_stride, size_t col_stride, size_t k,
                        size_t cols, size_t width, TPanel* HWY_RESTRICT panel) {
  constexpr size_t kDepth = detail::panel_depth<TPanel>;
  const size_t whole = k / kDepth;  // steps

  if (col_stride == 1) {  // rows lie side by side
    if constexpr (kDepth == 1) {
      for (size_t q = 0; q < k; ++q) {
        TPanel* HWY_RESTRICT to = panel + q * width;
        PackRun(b + q * row_stride, cols, to);
        if (cols != width) hwy::ZeroBytes(to + cols, (width - cols) * sizeof(TPanel));
      }
    } else {  // interleave the rows of a step, a 4-byte lane for each column
      const GemmDU du;
      const size_t lanes = hn::Lanes(du);
      using Bits = hwy::UnsignedFromSize<sizeof(T)>;
      const hn::Rebind<Bits, GemmDU> dn;
      uint32_t* HWY_RESTRICT to = reinterpret_cast<uint32_t*>(panel);
      for (size_t q = 0; q < k; q += kDepth) {
        const size_t rows_here = HWY_MIN(kDepth, k - q);
        for (size_t j = 0; j < width; j += lanes, to += lanes) {
          const size_t here = j < cols ? HWY_MIN(lanes, cols - j) : 0;
          auto step = hn::Zero(du);
          for (size_t i = 0; i < rows_here; ++i) {
            const Bits* HWY_RESTRICT p =
                reinterpret_cast<const Bits*>(b + (q + i) * row_stride + j);
            const auto x =
                hn::PromoteTo(du, here == lanes ? hn::LoadU(dn, p) : hn::LoadN(dn, p, here));
            step = hn::Or(step, hn::ShiftLeftSame(x, static_cast<int>(8 * sizeof(T) * i)));
          }
          hn::StoreU(step, du, to);
        }
      }
    }
    return;
  }

  hwy::ZeroBytes(panel, detail::padded_depth<TPanel>(k) * width * sizeof(TPanel));
  if (row_stride == 1) {  // columns lie side by side, as in the weights of y = x * W^T
    constexpr size_t kBlock =
        16;  // steps: a block of the panel stays in L1 while its columns are written
    using Group =
        hwy::UnsignedFromSize<kDepth * sizeof(TPanel)>;  // the elements of a step in one column
    Group* HWY_RESTRICT to = reinterpret_cast<Group*>(panel);
    for (size_t s0 = 0; s0 < whole; s0 += kBlock) {
      const size_t count = HWY_MIN(kBlock, whole - s0);
      for (size_t j = 0; j < cols; ++j) {
        HWY_ALIGN TPanel run[kBlock * kDepth];
        PackRun(b + j * col_stride + s0 * kDepth, count * kDepth, run);
        for (size_t i = 0; i < count; ++i)
          hwy::CopyBytes<sizeof(Group)>(run + i * kDepth, to + (s0 + i) * width + j);
      }
    }
  } else {
    for (size_t q = 0; q < whole * kDepth; ++q) {
      for (size_t j = 0; j < cols; ++j) {
        PackOne(b + q * row_stride + j * col_stride,
                panel + (q / kDepth * width + j) * kDepth + q % kDepth);
      }
    }
  }
  for (size_t q = whole * kDepth; q < k; ++q) {  // the last step, where it is not whole
    for (size_t j = 0; j < cols; ++j) {
      PackOne(b + q * row_stride + j * col_stride,
              panel + (q / kDepth * width + j) * kDepth + q % kDepth);
    }
  }
}

// sums[j] = the sum of column j of an int8 panel: what the zero point of A is multiplied with.
HWY_INLINE void SumPanelColumns(const int8_t* HWY_RESTRICT panel, size_t k, size_t width,
                                int32_t* HWY_RESTRICT sums) {
  const GemmDU du;
  const GemmDI di;
  const size_t lanes = hn::Lanes(di);
  const auto ones = hn::Set(du, 0x01010101u);
  const size_t steps = hwy::DivCeil(k, GemmStepI8::kDepth);
  for (size_t j = 0; j < width; j += lanes) {
    auto sum = hn::Zero(di);
    for (size_t s = 0; s < steps; ++s) {
      sum = GemmStepI8::MultiplyAdd(
          ones, GemmStepI8::LoadB(panel + (s * width + j) * GemmStepI8::kDepth, 0, 0), sum);
    }
    hn::StoreU(sum, di, sums + j);
  }
}

// All of `b` (k x n) as panels.
template <class TPanel, class T>
HWY_INLINE void PackPanels(const T* HWY_RESTRICT b, size_t row_stride, size_t col_stride, size_t k,
                           size_t n, TPanel* HWY_RESTRICT panels) {
  for (size_t j = 0, width; j < n; j += width) {
    width = detail::panel_width(n - j);
    PackB(b + j * col_stride, row_stride, col_stride, k, HWY_MIN(width, n - j), width,
          panels + j * detail::padded_depth<TPanel>(k));
  }
}

// The n sums of the columns of int8 panels, rounded up to whole granules.
HWY_INLINE void SumColumns(const int8_t* HWY_RESTRICT panels, size_t k, size_t n,
                           int32_t* HWY_RESTRICT sums) {
  for (size_t j = 0, width; j < n; j += width) {
    width = detail::panel_width(n - j);
    SumPanelColumns(panels + j * detail::padded_depth<int8_t>(k), k, width, sums + j);
  }
}

// What packed_matrix holds: the panels, and for int8 the sums of the columns.
template <class T>
void PackPanelsKernel(const T* HWY_RESTRICT b, size_t row_stride, size_t col_stride, size_t k,
                      size_t n, T* HWY_RESTRICT panels, int32_t* HWY_RESTRICT column_sums) {
  PackPanels(b, row_stride, col_stride, k, n, panels);
  if constexpr (std::is_same_v<T, int8_t>) SumColumns(panels, k, n, column_sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GEMM_PACK_INL_H_
