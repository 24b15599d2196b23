// SPDX-License-Identifier: Apache-2.0
// Requantization in integers alone: multipliers of 32 bits and shifts, bit for bit those of
// gemmlowp and TensorFlow Lite.
//
//   const auto m = halfway::make_fixed_point(0.0072474);    // 0.0072474 = m.multiplier * 2^(m.shift - 31)
//   std::int32_t y = halfway::multiply(sum, m);
//   halfway::gemm_fixed_point(a, b, c, {.multiplier = multipliers, .c_zero_point = 3});
//
// The arithmetic, on int32 with all products exact in int64:
//
//   doubling_high_multiply(x, m) = floor((x * m + 2^30) / 2^31): x * m / 2^31 rounded to nearest, ties
//     up; 2^31 - 1 for x = m = -2^31, the one result that does not fit
//   divide_by_power_of_two(x, s) = x / 2^s rounded to nearest, ties away from zero
//   multiply(x, {m, s}) = divide_by_power_of_two(doubling_high_multiply(x * 2^max(s, 0), m), max(-s, 0))
//
// which rounds twice: multiply(x, m) differs from x * real by at most 1/2 (the last rounding) +
// 2^(s - 1) (the first, for s <= 0) + |x real| 2^-31 (the multiplier's), and may thus be one off
// the nearest integer near ties. x * 2^s saturates at int32's ends (TensorFlow Lite leaves it
// undefined).
//
// Sources: gemmlowp, fixedpoint/fixedpoint.h (SaturatingRoundingDoublingHighMul,
// RoundingDivideByPOT); TensorFlow Lite, kernels/internal/common.h (MultiplyByQuantizedMultiplier,
// the variant with double rounding) and quantization_util.cc (QuantizeMultiplier); Jacob et al.
// 2018, section 2.2.
#ifndef HALFWAY_QUANTIZATION_FIXED_POINT_H_
#define HALFWAY_QUANTIZATION_FIXED_POINT_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/gemm_requantized.h"
#include "halfway/ops/packed_matrix.h"

namespace halfway {

/// multiplier * 2^(shift - 31), where multiplier is from 2^30 to 2^31 - 1, or 0.
struct fixed_point_multiplier {
  std::int32_t multiplier = 0;  ///< from 2^30 to 2^31 - 1, or 0
  int shift = 0;                ///< from -31 to 30; a positive one shifts to the left

  /// Of both numbers.
  friend bool operator==(const fixed_point_multiplier&, const fixed_point_multiplier&) = default;
};

/// The nearest multiplier to `real`, ties away from zero; 0 where its shift would be below -31,
/// that is for real < 2^-32. Errors: real negative, infinite, NaN, or 2^30 and above.
inline fixed_point_multiplier make_fixed_point(double real) {
  if (!(real >= 0.0 && real < 0x1p30)) {
    fail(detail::concat("halfway::make_fixed_point: real (", real,
                        ") must be from 0 to below 2^30"));
  }
  int shift = 0;
  auto multiplier = static_cast<std::int64_t>(std::round(std::frexp(real, &shift) * 0x1p31));
  if (multiplier == std::int64_t{1} << 31) {
    multiplier /= 2;
    ++shift;
  }
  if (shift < -31) return {0, 0};
  if (shift > 30) return {std::numeric_limits<std::int32_t>::max(), 30};
  return {static_cast<std::int32_t>(multiplier), shift};
}

/// x * m / 2^31 rounded to nearest, ties up, saturated.
constexpr std::int32_t doubling_high_multiply(std::int32_t x, std::int32_t m) {
  constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
  if (x == lowest && m == lowest) return std::numeric_limits<std::int32_t>::max();
  return static_cast<std::int32_t>((std::int64_t{x} * m + (std::int64_t{1} << 30)) >> 31);
}

/// x / 2^s rounded to nearest, ties away from zero; s from 0 to 31.
constexpr std::int32_t divide_by_power_of_two(std::int32_t x, int s) {
  const std::int64_t tie = s == 0 ? 0 : std::int64_t{1} << (s - 1);
  return static_cast<std::int32_t>((std::int64_t{x} + tie - (x < 0 && s != 0 ? 1 : 0)) >> s);
}

/// x times m, rounded: see the top of the file.
constexpr std::int32_t multiply(std::int32_t x, fixed_point_multiplier m) {
  std::int64_t shifted = x;
  if (m.shift > 0) {
    shifted = std::clamp<std::int64_t>(shifted * (std::int64_t{1} << m.shift),
                                       std::numeric_limits<std::int32_t>::min(),
                                       std::numeric_limits<std::int32_t>::max());
  }
  return divide_by_power_of_two(
      doubling_high_multiply(static_cast<std::int32_t>(shifted), m.multiplier),
      m.shift < 0 ? -m.shift : 0);
}

/// How the sums of a quantized product become its output, in integers.
struct fixed_point_options {
  /// The code of a that stands for zero.
  std::int32_t a_zero_point = 0;
  /// In units of scale(a) * scale(b), one for each column of c, or empty.
  std::span<const std::int32_t> bias = {};
  /// scale(a) * scale(b) / scale(c): one for each column of c, or one for all.
  std::span<const fixed_point_multiplier> multiplier = {};
  /// The code of c that stands for zero.
  std::int32_t c_zero_point = 0;
};

namespace detail {

template <class TA, class TC>
void check_fixed_point(std::string_view where, const fixed_point_options& options, std::size_t k,
                       std::size_t columns) {
  check_sums<TA>(where, options.a_zero_point, options.bias, k, columns);
  if (options.multiplier.size() != 1) {
    check_equal(where, "multiplier.size", options.multiplier.size(), "c.cols", columns);
  }
  for (std::size_t j = 0; j < options.multiplier.size(); ++j) {
    const fixed_point_multiplier& m = options.multiplier[j];
    if (m.multiplier < 0 || m.shift < -31 || m.shift > 30) [[unlikely]] {
      fail(concat(where, ": multiplier[", j, "] (", m.multiplier, " * 2^(", m.shift,
                  " - 31)) must not be negative and its shift be from -31 to 30"));
    }
  }
  const std::int32_t lowest = signed_byte<TC> ? -128 : 0;
  if (options.c_zero_point < lowest || options.c_zero_point > lowest + 255) {
    fail(concat(where, ": c_zero_point (", options.c_zero_point, ") must lie in [", lowest, ", ",
                lowest + 255, "]"));
  }
}

// `column_sums` of b, n values.
template <class TC>
void requantize_fixed_point(matrix_view<const std::int32_t> sums, const std::int32_t* column_sums,
                            const fixed_point_options& o, matrix_view<TC> c) {
  constexpr std::int64_t lowest = signed_byte<TC> ? -128 : 0;
  for (std::size_t i = 0; i < c.rows(); ++i) {
    for (std::size_t j = 0; j < c.cols(); ++j) {
      // Modulo 2^32 on the way; the sum itself fits.
      const std::uint32_t sum =
          static_cast<std::uint32_t>(sums(i, j)) -
          static_cast<std::uint32_t>(o.a_zero_point) * static_cast<std::uint32_t>(column_sums[j]) +
          static_cast<std::uint32_t>(o.bias.empty() ? 0 : o.bias[j]);
      const fixed_point_multiplier& m = o.multiplier[o.multiplier.size() == 1 ? 0 : j];
      const std::int64_t code =
          std::int64_t{multiply(static_cast<std::int32_t>(sum), m)} + o.c_zero_point;
      c(i, j) = static_cast<TC>(static_cast<std::int32_t>(std::clamp(code, lowest, lowest + 255)));
    }
  }
}

}  // namespace detail

/// c = saturate(multiply(sum over k of (a - a_zero_point) * b + bias, multiplier) + c_zero_point),
/// all in integers: the same bits on every CPU, and those of TensorFlow Lite's fully connected
/// reference kernel (whose int8 weights have no zero point either).
///
/// Shapes and types as the gemm_requantized of float multipliers, c being bytes; so is the bound
/// that rules out overflow. The sums come from the SIMD product and are kept (m x n int32); their
/// scaling is scalar code, about 4 ns an element. Errors besides: a multiplier that is not from 0
/// up with a shift from -31 to 30.
template <matrix_like A, matrix_like B, matrix_like C>
requires byte_integer<std::remove_const_t<element_of<A>>> &&
    signed_byte<std::remove_const_t<element_of<B>>> && byte_integer<element_of<C>>
void gemm_fixed_point(const A& a, const B& b, C&& c, const fixed_point_options& options,
                      executor_ref on = {}) {
  constexpr std::string_view where = "halfway::gemm_fixed_point";
  using TA = std::remove_const_t<element_of<A>>;
  using TB = std::remove_const_t<element_of<B>>;
  using TC = element_of<C>;
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<const TB> vb = as_view(b);
  const matrix_view<TC> vc = as_view(c);
  detail::check_gemm(where, va, vb, vc);
  detail::check_fixed_point<TA, TC>(where, options, va.cols(), vc.cols());
  if (vc.empty()) return;
  matrix<std::int32_t> sums(vc.rows(), vc.cols());
  gemm(va, vb, sums, on);
  std::vector<std::int32_t> column_sums(vb.cols());
  for (std::size_t p = 0; p < vb.rows(); ++p) {
    for (std::size_t j = 0; j < vb.cols(); ++j)
      column_sums[j] += static_cast<std::int32_t>(vb(p, j));
  }
  detail::requantize_fixed_point<TC>(sums.view(), column_sums.data(), options, vc);
}

/// The same with weights packed once.
template <matrix_like A, packable T, matrix_like C>
requires byte_integer<std::remove_const_t<element_of<A>>> && signed_byte<T> &&
    byte_integer<element_of<C>>
void gemm_fixed_point(const A& a, const packed_matrix<T>& b, C&& c,
                      const fixed_point_options& options, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::gemm_fixed_point";
  using TA = std::remove_const_t<element_of<A>>;
  using TC = element_of<C>;
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<TC> vc = as_view(c);
  detail::check_gemm_shapes(where, va, b, vc);
  detail::check_fixed_point<TA, TC>(where, options, va.cols(), vc.cols());
  if (vc.empty()) return;
  matrix<std::int32_t> sums(vc.rows(), vc.cols());
  gemm(va, b, sums, on);
  detail::requantize_fixed_point<TC>(
      sums.view(), detail::packed_access::operands(detail::raw(va.data()), va, b).b_column_sums,
      options, vc);
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_FIXED_POINT_H_
