// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding of queries and keys.
//
//   const std::vector<double> frequencies = halfway::rotary_frequencies(128);    // once
//   halfway::heads_view<halfway::bfloat16> q(data, 32, tokens, 128);
//   halfway::rotary_embedding(q, q, frequencies, {.first_position = cached_tokens});
#ifndef HALFWAY_OPS_ROTARY_EMBEDDING_H_
#define HALFWAY_OPS_ROTARY_EMBEDDING_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/heads_view.h"
#include "halfway/core/scratch.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/rotary_args.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// base^(-2p / size) for p in [0, size / 2): the angles, in radians, by which the pairs of a head
/// of `size` elements (of those that are rotated) turn from one position to the next (Su et al.,
/// "RoFormer", 2021). Change them as your model does (scaled for long contexts, for one). Errors:
/// size odd, base not positive and finite.
inline std::vector<double> rotary_frequencies(std::size_t size, double base = 10000.0) {
  if (size % 2 != 0) {
    fail(detail::concat("halfway::rotary_frequencies: size (", size, ") must be even"));
  }
  if (!(base > 0.0 && std::isfinite(base))) {
    fail(detail::concat("halfway::rotary_frequencies: base (", base,
                        ") must be positive and finite"));
  }
  std::vector<double> frequencies(size / 2);
  for (std::size_t p = 0; p < frequencies.size(); ++p) {
    frequencies[p] = std::pow(base, -2.0 * static_cast<double>(p) / static_cast<double>(size));
  }
  return frequencies;
}

/// Where the rows stand, and which elements make a pair.
struct rotary_options {
  /// Row i is at first_position + i, unless `positions` are given.
  std::size_t first_position = 0;
  /// One position for each row, or empty.
  std::span<const std::int32_t> positions = {};
  /// Pairs are neighbours, elements 2p and 2p + 1 (GPT-J); else elements p and p + the number of
  /// pairs (GPT-NeoX, Llama in most files).
  bool interleaved = false;
  /// Turns back: the gradient of the embedding.
  bool inverse = false;
};

namespace detail {

inline constexpr std::size_t rotary_most_positions = std::size_t{1} << 26;

inline void check_rotary(std::string_view where, std::size_t rows, std::size_t size,
                         std::span<const double> frequencies, const rotary_options& options) {
  if (frequencies.size() > size / 2) [[unlikely]] {
    fail(concat(where, ": frequencies.size() (", frequencies.size(),
                ") must be at most x.size() / 2 (", size / 2, ")"));
  }
  for (std::size_t p = 0; p < frequencies.size(); ++p) {
    if (!(std::abs(frequencies[p]) <= 1e6)) [[unlikely]] {
      fail(concat(where, ": frequencies[", p, "] (", frequencies[p], ") must be at most 1e6"));
    }
  }
  if (options.positions.empty()) {
    if (options.first_position > rotary_most_positions ||
        rows > rotary_most_positions - options.first_position) [[unlikely]] {
      fail(concat(where, ": first_position (", options.first_position, ") + x.rows() (", rows,
                  ") must be at most ", rotary_most_positions));
    }
  } else {
    check_equal(where, "positions.size()", options.positions.size(), "x.rows()", rows);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::int32_t position = options.positions[i];
      if (position < 0 || static_cast<std::size_t>(position) >= rotary_most_positions)
          [[unlikely]] {
        fail(concat(where, ": positions[", i, "] (", position, ") must be in [0, ",
                    rotary_most_positions, ")"));
      }
    }
  }
}

// Full turns in two parts, of 27 and 26 significant bits; the low parts stand after the high ones,
// both filled up with zeros to whole vectors.
inline std::vector<double> split_turns(std::span<const double> frequencies, std::size_t padded) {
  std::vector<double> turns(2 * padded);
  for (std::size_t p = 0; p < frequencies.size(); ++p) {
    const double all = frequencies[p] / 6.283185307179586477;
    const std::uint64_t upper = std::bit_cast<std::uint64_t>(all) & ~((std::uint64_t{1} << 26) - 1);
    turns[p] = std::bit_cast<double>(upper);
    turns[padded + p] = all - turns[p];
  }
  return turns;
}

}  // namespace detail

/// Each pair (a, b) of a row at position t becomes (a cos - b sin, a sin + b cos) of the angle t *
/// frequencies[p]; elements after the last pair stay as they are. y may be x.
///
/// x and y: heads x rows x size, any strides, any float formats; frequencies: up to size / 2,
/// finite and at most 1e6 in magnitude; positions from 0 to 2^26 - 1.
///
/// Numbers: angles are reduced exactly, in double; sines and cosines are FP32 with an error of at
/// most 2^-22.5, and 2^-51 t |frequencies[p]| more from the rounding of the frequency in turns;
/// both products and their sum are FP32, and the result is rounded once more, to y's type. The same
/// bits on every CPU and any executor (the work is cut by rows).
///
/// Errors, before anything is written: shapes that differ, too many frequencies or such as are out
/// of range, positions that are as many as no rows or out of range, y sharing memory with x other
/// than element for element.
template <class X, class Y>
requires(float_storage<std::remove_const_t<X>>&& float_storage<Y>) void rotary_embedding(
    heads_view<X> x, heads_view<Y> y, std::span<const double> frequencies,
    const rotary_options& options = {}, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::rotary_embedding";
  detail::check_equal(where, "y.heads()", y.heads(), "x.heads()", x.heads());
  detail::check_equal(where, "y.rows()", y.rows(), "x.rows()", x.rows());
  detail::check_equal(where, "y.size()", y.size(), "x.size()", x.size());
  detail::check_rotary(where, x.rows(), x.size(), frequencies, options);
  detail::check_no_overlap(where, "x", "y", !detail::same_places(x, y) && detail::overlap(x, y));
  if (x.empty()) return;

  const std::size_t padded = (frequencies.size() + 15) / 16 * 16;
  const std::vector<double> turns = detail::split_turns(frequencies, padded);
  using Config = detail::rotary_config<std::remove_const_t<X>, Y>;
  const typename Config::Args args{{x.data(), x.head_stride(), x.row_stride()},
                                   {y.data(), y.head_stride(), y.row_stride()},
                                   x.heads(),
                                   x.size(),
                                   frequencies.size(),
                                   turns.data(),
                                   turns.data() + padded,
                                   options.positions.empty() ? nullptr : options.positions.data(),
                                   options.first_position,
                                   options.interleaved,
                                   options.inverse,
                                   &detail::thread_scratch};
  // A task should take ten microseconds or more.
  const std::size_t task_rows = std::max<std::size_t>(1, 65536 / (x.heads() * x.size()));
  on.run((x.rows() + task_rows - 1) / task_rows, [&](std::size_t task) {
    HALFWAY_DISPATCH(RotaryKernel<Config>)
    (args, task * task_rows, std::min(x.rows(), (task + 1) * task_rows));
  });
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ROTARY_EMBEDDING_H_
