// SPDX-License-Identifier: Apache-2.0
// Matrix product of any mix of float formats with FP32 accumulators, and of 8-bit integers with
// int32 accumulators.
//
//   halfway::matrix<halfway::bfloat16> a(128, 768), w(768, 256);
//   halfway::matrix<float> c(128, 256);
//   halfway::gemm(a, w, c);                                     // c = a * w
//   halfway::gemm(a, w, c, {.alpha = 2.0f, .beta = 1.0f});      // c = 2 * a * w + c
#ifndef HALFWAY_OPS_GEMM_H_
#define HALFWAY_OPS_GEMM_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/core/scratch.h"
#include "halfway/ops/fused_activation.h"
#include "halfway/ops/gemm_tasks.h"
#include "halfway/simd/gemm_args.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"
#include "halfway/types/half.h"
#include "halfway/types/int8.h"

namespace halfway {

/// A byte of integer: std::int8_t, int8 (signed), std::uint8_t or uint8.
template <class T>
concept byte_integer = std::same_as<T, std::int8_t> || std::same_as<T, std::uint8_t> ||
    std::same_as<T, int8> || std::same_as<T, uint8>;

/// As above, signed ones only.
template <class T>
concept signed_byte = std::same_as<T, std::int8_t> || std::same_as<T, int8>;

/// What a product of floats can be written as.
template <class T>
concept gemm_float_output =
    std::same_as<T, float> || std::same_as<T, half> || std::same_as<T, bfloat16>;

namespace detail {

// The built-in type with the bits of T, so that int8 and std::int8_t share one kernel.
template <byte_integer T>
using raw_byte = std::conditional_t<signed_byte<T>, std::int8_t, std::uint8_t>;

template <byte_integer T>
const raw_byte<T>* raw(const T* p) {
  return reinterpret_cast<const raw_byte<T>*>(p);
}
template <byte_integer T>
raw_byte<T>* raw(T* p) {
  return reinterpret_cast<raw_byte<T>*>(p);
}

// a: m x k, b: k x n, c: m x n.
template <class MA, class MB, class MC>
void check_gemm_shapes(std::string_view where, const MA& a, const MB& b, const MC& c) {
  check_equal(where, "b.rows", b.rows(), "a.cols", a.cols());
  check_equal(where, "c.rows", c.rows(), "a.rows", a.rows());
  check_equal(where, "c.cols", c.cols(), "b.cols", b.cols());
  check_no_overlap(where, "c", "a", overlap(c, a));
}

// The same, and c apart from b.
template <class TA, class TB, class TC>
void check_gemm(std::string_view where, matrix_view<const TA> a, matrix_view<const TB> b,
                matrix_view<TC> c) {
  check_gemm_shapes(where, a, b, c);
  check_no_overlap(where, "c", "b", overlap(c, b));
}

// The kernel's view of checked operands; TA and TB are what the kernel reads. Packed weights make
// their own.
template <class TA, class TB, class MA, class MB>
gemm_operands<TA, TB> make_operands(const TA* a_data, const MA& a, const TB* b_data, const MB& b) {
  return {.a = a_data,
          .a_row_stride = a.row_stride(),
          .a_col_stride = a.col_stride(),
          .b = b_data,
          .b_row_stride = b.row_stride(),
          .b_col_stride = b.col_stride(),
          .m = a.rows(),
          .n = b.cols(),
          .k = a.cols(),
          .scratch = &thread_scratch};
}

// What makes the kernel's view of packed weights b, which keep it from others.
struct packed_access {
  template <class TA>
  static auto operands(const TA* a, const auto& view_of_a, const auto& b) {
    auto of_both = b.template operands<TA>();
    of_both.a = a;
    of_both.a_row_stride = view_of_a.row_stride();
    of_both.a_col_stride = view_of_a.col_stride();
    of_both.m = view_of_a.rows();
    of_both.n = b.cols();
    of_both.k = b.rows();
    of_both.b_streams = b.bytes() >= streamed_bytes;
    of_both.scratch = &thread_scratch;
    return of_both;
  }

  // More than the caches of one core keep from one product to the next. Measured with 16 rows on
  // Zen 5: at 4 MiB asking for it ahead of need costs 12%, from 16 MiB on it gains 10 to 30%.
  static constexpr std::size_t streamed_bytes = std::size_t{8} << 20;
};

}  // namespace detail

/// What becomes of a float product: c = activation(alpha * row_scale * column_scale * a * b +
/// beta * c + bias), in FP32, from left to right. What is not given costs nothing.
struct gemm_options {
  float alpha = 1.0f;  ///< what a * b is multiplied by; 0 leaves NaN in a and b in c
  /// With 0, c is not read, so NaN in it does not spread. With 1, c is a residual that is added to.
  float beta = 0.0f;
  /// One value for each column of c, or empty.
  std::span<const float> bias = {};
  /// One factor for each row of c (as of activations quantized by rows), or empty.
  std::span<const float> row_scale = {};
  /// One factor for each column of c (as of weights quantized by channels), or empty.
  std::span<const float> column_scale = {};
  /// fused<activation::gelu>() (ops/fused_activation.h), or none.
  fused_activation activation = {};
  /// Takes in the elements that are written; start with a fresh one.
  gemm_health* health = nullptr;
  /// The same bits on every CPU: bfloat16 is widened to float instead of multiplied by dot product
  /// instructions, and multiply-adds are fused where the CPU has none, too. Where neither is the
  /// case the code is the same. bfloat16 times bfloat16 then has float's rate, and a CPU without
  /// AVX2 emulates the instruction, which is slow.
  bool reproducible = false;
};

namespace detail {

inline void check_options(std::string_view where, const gemm_options& o, std::size_t rows,
                          std::size_t columns) {
  const auto check = [where](std::string_view name, std::size_t size, std::string_view extent_name,
                             std::size_t extent) {
    if (size != 0 && size != extent) [[unlikely]]
      check_equal(where, name, size, extent_name, extent);
  };
  check("bias.size", o.bias.size(), "c.cols", columns);
  check("row_scale.size", o.row_scale.size(), "c.rows", rows);
  check("column_scale.size", o.column_scale.size(), "c.cols", columns);
}

// What the products with packed weights b check.
template <class TA, class B, class TC>
void check_linear(matrix_view<const TA> a, const B& b, matrix_view<TC> c, const gemm_options& o) {
  static_assert(float_storage<TA> && gemm_float_output<TC>,
                "a: float formats; c: float, half or bfloat16");
  check_gemm_shapes("halfway::gemm", a, b, c);
  check_options("halfway::gemm", o, c.rows(), c.cols());
}

template <class TC>
linear_epilogue<TC> make_epilogue(matrix_view<TC> c, const gemm_options& o) {
  const auto pointer = [](std::span<const float> s) { return s.empty() ? nullptr : s.data(); };
  return {{c.data(), c.row_stride(), c.col_stride()},
          o.alpha,
          o.beta,
          pointer(o.row_scale),
          pointer(o.column_scale),
          nullptr,
          pointer(o.bias),
          o.activation.apply,
          o.health};
}

template <bool kPackedB, class TA, class TB, class TC>
void run_linear(gemm_operands<TA, TB> operands, const linear_epilogue<TC>& epilogue,
                const gemm_options& options, executor_ref on) {
  operands.reproducible = options.reproducible;
  run_gemm<gemm_config<TA, TB, linear_epilogue<TC>, kPackedB>>(operands, epilogue, on);
}

}  // namespace detail

/// c = activation(alpha * row_scale * column_scale * a * b + beta * c + bias).
///
/// Shapes: a is m x k, b is k x n, c is m x n; any strides, transposes by `view().transposed()`. m,
/// n or k may be 0: with k = 0 the product is zero. Types: a and b float, half, bfloat16 or any
/// 8-bit and smaller float, in any mix; c float, half or bfloat16.
///
/// Numbers: products are summed in FP32 in the order of k, alpha, beta and bias are applied in
/// FP32 (as are scales), and the result is rounded once, to nearest even, to c's type. Error of
/// each element, with u = 2^-24 (k + 3 roundings, Higham 2002, section 3.1): |error| <= (k + 3) u /
/// (1 - (k + 3) u) * (|alpha| sum |a||b| + |beta c| + |bias|), plus c's own rounding. Where both
/// operands are bfloat16 and the CPU has fast dot product instructions for it (Zen 4 and later,
/// Arm; not Intel's, simd/cpu.h), those are used: they take subnormal inputs and results as zero
/// (gemm_error_bound in fidelity/error_bound.h says by how much that errs). The same call gives the
/// same bits on the same CPU, on any executor, and for a row whatever rows are beside it; on every
/// target with `reproducible`. Each row scale and column scale adds a rounding to the k + 3, an
/// activation its own error.
///
/// Errors, before anything is written: shapes that do not fit, a bias or scale that has neither one
/// value for each column (row) nor none, c sharing memory with a or b.
template <matrix_like A, matrix_like B, matrix_like C>
requires(float_storage<std::remove_const_t<element_of<A>>>&&
             float_storage<std::remove_const_t<element_of<B>>>&&
                 gemm_float_output<element_of<C>>) void gemm(const A& a, const B& b, C&& c,
                                                             const gemm_options& options = {},
                                                             executor_ref on = {}) {
  using TA = std::remove_const_t<element_of<A>>;
  using TB = std::remove_const_t<element_of<B>>;
  using TC = element_of<C>;
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<const TB> vb = as_view(b);
  const matrix_view<TC> vc = as_view(c);
  detail::check_gemm("halfway::gemm", va, vb, vc);
  detail::check_options("halfway::gemm", options, vc.rows(), vc.cols());
  if (vc.empty()) return;

  auto epilogue = detail::make_epilogue(vc, options);
  if (vc.is_row_major()) {
    detail::run_linear<false>(detail::make_operands(va.data(), va, vb.data(), vb), epilogue,
                              options, on);
  } else {  // column-major c: c^T = b^T * a^T has rows that lie side by side
    std::swap(epilogue.out.row_stride, epilogue.out.col_stride);
    std::swap(epilogue.row_bias, epilogue.column_bias);
    std::swap(epilogue.row_scale, epilogue.column_scale);
    detail::run_linear<false>(
        detail::make_operands(vb.data(), vb.transposed(), va.data(), va.transposed()), epilogue,
        options, on);
  }
}

/// c = a * b in integers: a unsigned or signed bytes, b signed bytes, c int32.
///
/// Shapes and errors as above. Exact wherever the true result fits int32, which for u8 * s8 is
/// certain up to k = 65,793 and for s8 * s8 up to k = 131,071; beyond that it is the true result
/// modulo 2^32.
template <matrix_like A, matrix_like B, matrix_like C>
requires(byte_integer<std::remove_const_t<element_of<A>>>&&
             signed_byte<std::remove_const_t<element_of<B>>>&&
                 std::same_as<element_of<C>, std::int32_t>) void gemm(const A& a, const B& b, C&& c,
                                                                      executor_ref on = {}) {
  using TA = std::remove_const_t<element_of<A>>;
  using TB = std::remove_const_t<element_of<B>>;
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<const TB> vb = as_view(b);
  const matrix_view<std::int32_t> vc = as_view(c);
  detail::check_gemm("halfway::gemm", va, vb, vc);
  if (vc.empty()) return;
  using Config = detail::gemm_config<detail::raw_byte<TA>, std::int8_t, detail::exact_epilogue>;
  detail::run_gemm<Config>(
      detail::make_operands(detail::raw(va.data()), va, detail::raw(vb.data()), vb),
      detail::exact_epilogue{{vc.data(), vc.row_stride(), vc.col_stride()}}, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_GEMM_H_
