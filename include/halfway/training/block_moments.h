// SPDX-License-Identifier: Apache-2.0
// Adam's state in 8 bits an element, with a scale for each block of 256.
//
//   halfway::adam_8bit_state state{.seed = 7};           // instead of an adam_state
//   halfway::adam().step(state, master, gradient, model);
//
// Blocks with a scale of their own, the largest magnitude in them, are those of Dettmers, Lewis,
// Shleifer and Zettlemoyer, "8-bit optimizers via block-wise quantization", 2022: an outlier spoils
// one block only. The codes are not their tree but small floats, which decode by a shift:
//
//   first moment    float8_e4m3fn of m / scale,  scale = max |m| / 448
//   second moment   5 bits of exponent and 3 of significand, no sign, of v / scale,  scale = max v
//
// and they are rounded stochastically. To nearest, a running mean would stand still: with beta2 =
// 0.999 a step moves v by 0.1%, the codes of any 8-bit map lie further apart almost everywhere, and
// v would round back to where it was for ever. Rounded at random, its expected value is what exact
// arithmetic gives. Bounds of one step, with s = max |m| and t = max v of the block:
//
//   |m' - m| <= 2^-3 |m|, or 2^-17.8 s where |m| < 2^-14.8 s; zero stays zero
//   |v' - v| <= 2^-3 v, but what is below 2^-31.83 t becomes that
//
// (times 1 + 2^-21 for the scaling). v is never rounded to zero while its block has another element
// that is not: the step would be divided by epsilon alone. A non-finite element makes its block
// NaN.
#ifndef HALFWAY_TRAINING_BLOCK_MOMENTS_H_
#define HALFWAY_TRAINING_BLOCK_MOMENTS_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "halfway/simd/optimizer_args.h"
#include "halfway/types/float8.h"

namespace halfway {

/// What Adam remembers of one tensor, in 2 bytes and 2^-5 an element. Vectors are empty before the
/// first step; a plain value to copy and to save. Tensors need different seeds.
struct adam_8bit_state {
  std::vector<float8_e4m3fn> first = {};  ///< codes of m
  std::vector<float> first_scales = {};   ///< one for each 256 elements
  std::vector<std::uint8_t> second = {};  ///< codes of v: 5 bits of exponent, 3 of significand
  std::vector<float> second_scales = {};  ///< one for each 256 elements
  std::uint64_t step = 0;                 ///< steps taken
  std::uint64_t seed = 0;                 ///< of the roundings

  bool operator==(const adam_8bit_state&) const = default;  ///< field by field
};

namespace detail {

inline constexpr std::size_t blocks_of(std::size_t n) {
  return n / optimizer_block + (n % optimizer_block != 0 ? 1 : 0);
}

}  // namespace detail

/// The moments that the next step starts from, of element i of the tensor; none before the first
/// step.
/// @{
inline float first_moment(const adam_8bit_state& state, std::size_t i) {
  return static_cast<float>(state.first[i]) * state.first_scales[i / optimizer_block];
}
inline float second_moment(const adam_8bit_state& state, std::size_t i) {
  const std::uint32_t code = state.second[i];
  return std::bit_cast<float>((code + second_moment_first) << second_moment_shift) *
         state.second_scales[i / optimizer_block];
}
/// @}

}  // namespace halfway

#endif  // HALFWAY_TRAINING_BLOCK_MOMENTS_H_
