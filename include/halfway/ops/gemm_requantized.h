// SPDX-License-Identifier: Apache-2.0
// Quantized matrix product: 8-bit integers in, int32 sums, 8-bit integers (or floats) out.
//
//   halfway::gemm_requantized(x, w, y, {.a_zero_point = 3, .bias = bias, .scale = scales,
//   .c_zero_point = 128});
#ifndef HALFWAY_OPS_GEMM_REQUANTIZED_H_
#define HALFWAY_OPS_GEMM_REQUANTIZED_H_

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/gemm_tasks.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/simd/gemm_args.h"

namespace halfway {

/// How the sums of a quantized product become its output.
struct requantize_options {
  /// The code of a that stands for zero.
  std::int32_t a_zero_point = 0;
  /// In units of scale(a) * scale(b), one for each column of c, or empty.
  std::span<const std::int32_t> bias = {};
  /// scale(a) * scale(b) / scale(c): one for each column of c (per-channel weights), or one for
  /// all; empty means 1.
  std::span<const float> scale = {};
  /// The code of c that stands for zero; not used where c is float.
  std::int32_t c_zero_point = 0;
};

namespace detail {

// The zero point and the bias of k products a * b, before any scale: |sum| is at most k times the
// largest |a - zero point| times 128, plus |bias|, and has to fit int32.
template <class TA>
void check_sums(std::string_view where, std::int32_t a_zero_point,
                std::span<const std::int32_t> bias, std::size_t k, std::size_t columns) {
  if (!bias.empty()) check_equal(where, "bias.size", bias.size(), "c.cols", columns);
  const std::int32_t lowest = signed_byte<TA> ? -128 : 0;
  if (a_zero_point < lowest || a_zero_point > lowest + 255) {
    fail(concat(where, ": a_zero_point (", a_zero_point, ") must lie in [", lowest, ", ",
                lowest + 255, "]"));
  }
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  const std::int64_t term =
      std::int64_t{128} * std::max(a_zero_point - lowest, lowest + 255 - a_zero_point);
  if (k > static_cast<std::size_t>(most / term)) {
    fail(concat(where, ": a.cols (", k, ") must not be above ", most / term,
                ", or sums may overflow int32"));
  }
  const std::int64_t room = most - term * static_cast<std::int64_t>(k);
  for (std::size_t j = 0; j < bias.size(); ++j) {
    if (std::abs(std::int64_t{bias[j]}) > room) [[unlikely]] {
      fail(concat(where, ": bias[", j, "] (", bias[j], ") must be within ", room,
                  " of zero, or sums may overflow int32"));
    }
  }
}

// What the output allows; TA and TC are the element types of a and c.
template <class TA, class TC>
void check_requantize(std::string_view where, const requantize_options& options, std::size_t k,
                      std::size_t columns) {
  check_sums<TA>(where, options.a_zero_point, options.bias, k, columns);
  if (options.scale.size() > 1)
    check_equal(where, "scale.size", options.scale.size(), "c.cols", columns);
  for (std::size_t j = 0; j < options.scale.size(); ++j) {
    if (!(std::isfinite(options.scale[j]) && options.scale[j] > 0.0f)) {
      fail(concat(where, ": scale[", j, "] (", options.scale[j], ") must be finite and positive"));
    }
  }
  if constexpr (byte_integer<TC>) {
    const std::int32_t lowest = signed_byte<TC> ? -128 : 0;
    if (options.c_zero_point < lowest || options.c_zero_point > lowest + 255) {
      fail(concat(where, ": c_zero_point (", options.c_zero_point, ") must lie in [", lowest, ", ",
                  lowest + 255, "]"));
    }
  }
}

// The product of checked operands, of bytes, into c.
template <bool kPackedB, class TA, class TC>
void run_requantized(const gemm_operands<TA, std::int8_t>& operands, matrix_view<TC> c,
                     const requantize_options& options, executor_ref on) {
  static constexpr float one = 1.0f;
  const auto run = [&](auto* c_data) {
    using Epilogue = requantize_epilogue<std::remove_pointer_t<decltype(c_data)>>;
    using Config = gemm_config<TA, std::int8_t, Epilogue, kPackedB>;
    const Epilogue epilogue{{c_data, c.row_stride(), c.col_stride()},
                            options.a_zero_point,
                            options.bias.empty() ? nullptr : options.bias.data(),
                            options.scale.empty() ? &one : options.scale.data(),
                            options.scale.size() > 1,
                            options.c_zero_point};
    run_gemm<Config>(operands, epilogue, on);
  };
  if constexpr (byte_integer<TC>) {
    run(raw(c.data()));
  } else {
    run(c.data());
  }
}

}  // namespace detail

/// c = saturate(round(scale * (sum over k of (a - a_zero_point) * b + bias)) + c_zero_point),
/// ONNX's QLinearMatMul with symmetric weights; where c is float, c = scale * (...).
///
/// Shapes: a is m x k, b is k x n, c is m x n, any strides. Types: a and c unsigned or signed bytes
/// (c also float), b signed bytes. Numbers: the sum is exact in int32, is converted to float and
/// scaled with one rounding each, and is rounded to nearest, ties to even, before the zero point is
/// added. It is exact because what might not fit is refused: |sum + bias| <= k * 128 * max(|largest
/// a - a_zero_point|, |lowest a - a_zero_point|) + |bias| has to be at most 2^31 - 1, which without
/// bias allows k up to 65,793 for u8 and 131,071 for s8 without zero point.
///
/// Errors, before anything is written: shapes that do not fit; a bias or scale of another size; a
/// scale that is not finite and positive; a zero point outside its type; a k, or a bias, with which
/// a sum might overflow; c sharing memory with a or b.
template <matrix_like A, matrix_like B, matrix_like C>
requires(byte_integer<std::remove_const_t<element_of<A>>>&&
             signed_byte<std::remove_const_t<element_of<B>>> &&
         (byte_integer<element_of<C>> ||
          std::same_as<element_of<C>, float>)) void gemm_requantized(const A& a, const B& b, C&& c,
                                                                     const requantize_options&
                                                                         options = {},
                                                                     executor_ref on = {}) {
  using TA = std::remove_const_t<element_of<A>>;
  using TB = std::remove_const_t<element_of<B>>;
  using TC = element_of<C>;
  constexpr std::string_view where = "halfway::gemm_requantized";
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<const TB> vb = as_view(b);
  const matrix_view<TC> vc = as_view(c);
  detail::check_gemm(where, va, vb, vc);
  detail::check_requantize<TA, TC>(where, options, va.cols(), vc.cols());
  if (vc.empty()) return;
  detail::run_requantized<false>(
      detail::make_operands(detail::raw(va.data()), va, detail::raw(vb.data()), vb), vc, options,
      on);
}

/// The same with weights packed once.
template <matrix_like A, packable T, matrix_like C>
requires(byte_integer<std::remove_const_t<element_of<A>>>&& signed_byte<T> &&
         (byte_integer<element_of<C>> ||
          std::same_as<element_of<C>,
                       float>)) void gemm_requantized(const A& a, const packed_matrix<T>& b, C&& c,
                                                      const requantize_options& options = {},
                                                      executor_ref on = {}) {
  using TA = std::remove_const_t<element_of<A>>;
  using TC = element_of<C>;
  constexpr std::string_view where = "halfway::gemm_requantized";
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<TC> vc = as_view(c);
  detail::check_gemm_shapes(where, va, b, vc);
  detail::check_requantize<TA, TC>(where, options, va.cols(), vc.cols());
  if (vc.empty()) return;
  detail::run_requantized<true>(detail::packed_access::operands(detail::raw(va.data()), va, b), vc,
                                options, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_GEMM_REQUANTIZED_H_
