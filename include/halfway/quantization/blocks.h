// SPDX-License-Identifier: Apache-2.0
// Quantization with parameters for each block of a matrix: one scheme for tensors, channels, groups
// and tiles, of integers and of 8-bit floats.
//
//   constexpr halfway::block_shape tiles{128, 128};
//   const auto params = halfway::choose_block_params(w, halfway::dtype::float8_e4m3fn, tiles);
//   halfway::matrix<halfway::float8_e4m3fn> codes(w.rows(), w.cols());
//   halfway::quantize_blocks(w, codes, params, tiles);
//   halfway::dequantize_blocks(codes, y, params, tiles);
#ifndef HALFWAY_QUANTIZATION_BLOCKS_H_
#define HALFWAY_QUANTIZATION_BLOCKS_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/quantization/affine.h"
#include "halfway/quantization/affine_params.h"
#include "halfway/types/cast.h"
#include "halfway/types/dtype.h"
#include "halfway/types/float8.h"

namespace halfway {

/// The block that shares parameters; 0 stands for the whole extent. Where it does not divide the
/// matrix, the last blocks are smaller (as if padded with elements that no parameter depends on).
///
///   {}          per tensor         {1, 0}      per row (channels as rows)
///   {1, 32}     groups of a row    {0, 1}      per column
///   {32, 1}     groups of a column {128, 128}  tiles
struct block_shape {
  std::size_t rows = 0;  ///< 0: all rows
  std::size_t cols = 0;  ///< 0: all columns

  friend bool operator==(const block_shape&, const block_shape&) = default;  ///< by value
};

/// An 8-bit float that values are scaled to.
template <class T>
concept float8_code = std::same_as<T, float8_e4m3fn> || std::same_as<T, float8_e5m2> ||
    std::same_as<T, float8_e4m3fnuz> || std::same_as<T, float8_e5m2fnuz>;

namespace detail {

inline bool is_float8_code(dtype type) {
  return type == dtype::float8_e4m3fn || type == dtype::float8_e5m2 ||
         type == dtype::float8_e4m3fnuz || type == dtype::float8_e5m2fnuz;
}

template <class M>
concept block_code_matrix = code_matrix<M> ||
    (matrix_like<M>&& float8_code<std::remove_const_t<element_of<M>>>);

// A matrix cut into blocks.
struct block_grid {
  std::size_t rows, cols;     // of the matrix
  std::size_t height, width;  // of a block

  block_grid(std::size_t m, std::size_t n, block_shape shape)
      : rows(m),
        cols(n),
        height(shape.rows != 0 ? shape.rows : std::max<std::size_t>(m, 1)),
        width(shape.cols != 0 ? shape.cols : std::max<std::size_t>(n, 1)) {}

  std::size_t block_rows() const { return rows / height + (rows % height != 0 ? 1 : 0); }
  std::size_t block_cols() const { return cols / width + (cols % width != 0 ? 1 : 0); }

  template <class T>
  matrix_view<T> block(matrix_view<T> m, std::size_t i, std::size_t j) const {
    const std::size_t row = i * height, col = j * width;
    return m.block(row, col, std::min(height, rows - row), std::min(width, cols - col));
  }

  template <class Body>
  void for_each(Body&& body) const {
    for (std::size_t i = 0; i < block_rows(); ++i) {
      for (std::size_t j = 0; j < block_cols(); ++j) body(i, j);
    }
  }
};

// Scales are as those of integers; a float has its zero at zero.
template <class Code>
void check_block_params(std::string_view where, matrix_view<const affine_params> params,
                        const block_grid& grid) {
  check_equal(where, "params.rows", params.rows(), "the number of blocks below each other",
              grid.block_rows());
  check_equal(where, "params.cols", params.cols(), "the number of blocks side by side",
              grid.block_cols());
  grid.for_each([&](std::size_t i, std::size_t j) {
    code_limits codes{0, 0};
    if constexpr (!float8_code<Code>) codes = limits_of_codes(where, dtype_of<Code>);
    check_params(
        where, [&] { return concat("params(", i, ", ", j, ")"); }, params(i, j), codes);
  });
}

template <class From, class To>
void affine_block(matrix_view<const From> from, matrix_view<To> to, const affine_params& params) {
  if constexpr (float8_code<To>) {
    for_each_run(from, to, [&](const From* in, To* out, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) {
        out[i] = saturate_cast<To>(static_cast<float>(in[i]) / params.scale);
      }
    });
  } else if constexpr (float8_code<From>) {
    for_each_run(from, to, [&](const From* in, To* out, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) {
        out[i] = static_cast<To>(static_cast<float>(in[i]) * params.scale);
      }
    });
  } else {
    affine_unchecked(from, to, params);
  }
}

template <class Code, class From, class To>
void affine_blocks(const affine_names& names, matrix_view<const From> from, matrix_view<To> to,
                   matrix_view<const affine_params> params, block_shape shape) {
  check_affine_matrices(names, from, to);
  const block_grid grid(from.rows(), from.cols(), shape);
  check_block_params<Code>(names.where, params, grid);
  grid.for_each([&](std::size_t i, std::size_t j) {
    affine_block(grid.block(from, i, j), grid.block(to, i, j), params(i, j));
  });
}

}  // namespace detail

/// Parameters for each block of x, from its smallest and largest element: those of
/// choose_affine_params for int8, uint8, int4 and uint4; for 8-bit floats scale = max |x| / largest
/// finite value (448 for float8_e4m3fn), rounded to float once, whatever the scheme, and 1 for a
/// block of zeros. Returns as many rows and columns as there are blocks below each other and side
/// by side. Errors: an element that is infinite or NaN; another type.
template <detail::observable_matrix X>
matrix<affine_params> choose_block_params(const X& x, dtype type, block_shape shape,
                                          affine_scheme scheme = affine_scheme::symmetric) {
  constexpr std::string_view where = "halfway::choose_block_params";
  const bool floating = detail::is_float8_code(type);
  if (!floating) detail::limits_of_codes(where, type);
  const auto v = detail::const_view(x);
  const detail::block_grid grid(v.rows(), v.cols(), shape);
  matrix<affine_params> params(grid.block_rows(), grid.block_cols());
  grid.for_each([&](std::size_t i, std::size_t j) {
    min_max_observer range;
    range.observe(grid.block(v, i, j));
    if (range.non_finite_count() != 0) [[unlikely]] {
      fail(detail::concat(where, ": block (", i, ", ", j, ") of x has ", range.non_finite_count(),
                          " infinite or NaN elements"));
    }
    if (!floating) {
      params(i, j) = choose_affine_params(range.min(), range.max(), type, scheme);
      return;
    }
    const double amax =
        std::max(-static_cast<double>(range.min()), static_cast<double>(range.max()));
    const auto scale = static_cast<float>(amax / max_finite(type));
    params(i, j).scale = amax == 0.0 ? 1.0f : std::max(scale, std::numeric_limits<float>::min());
  });
  return params;
}

/// codes = saturate(round(x / scale) + zero_point) with the parameters of the block, as `quantize`;
/// to 8-bit floats codes = saturate_cast(x / scale): the quotient is rounded to float, and to
/// nearest even in the format, NaN stays NaN, infinities saturate. Integers are as fast as
/// `quantize` where blocks are wide; 8-bit floats go element by element.
///
/// x: any float format; params: as choose_block_params returns them for this shape. Errors: shapes
/// that do not fit, matrices that share memory in part, a scale that is not positive, finite and
/// normal, a zero point that is no code (that is not 0 for floats).
template <detail::observable_matrix X, detail::block_code_matrix Q, matrix_like P>
requires detail::writable_matrix<Q>
void quantize_blocks(const X& x, Q&& codes, const P& params, block_shape shape) {
  detail::affine_blocks<element_of<Q>>({"halfway::quantize_blocks", "x", "codes"},
                                       detail::const_view(x), as_view(codes),
                                       detail::const_view(params), shape);
}

/// y = (codes - zero_point) * scale with the parameters of the block, as `dequantize`.
template <detail::block_code_matrix Q, detail::observable_matrix Y, matrix_like P>
requires detail::writable_matrix<Y>
void dequantize_blocks(const Q& codes, Y&& y, const P& params, block_shape shape) {
  detail::affine_blocks<std::remove_const_t<element_of<const Q>>>(
      {"halfway::dequantize_blocks", "codes", "y"}, detail::const_view(codes), as_view(y),
      detail::const_view(params), shape);
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_BLOCKS_H_
