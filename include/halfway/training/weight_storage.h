// SPDX-License-Identifier: Apache-2.0
// Where an optimizer keeps the weights: with an FP32 master, or in 16 bits without losing the small
// steps.
//
//   optimizer.step(state, master_weights{master, model}, gradient);     // float, and a 16-bit copy
//   optimizer.step(state, split_weights{model, low}, gradient);           // the same in 4 bytes
//   optimizer.step(state, kahan_weights{model, rest}, gradient);
//   optimizer.step(state, stochastic_weights{model, seed}, gradient);     // 2 bytes
//
//                        bytes   the model's weights are                  a step can be lost below
//   master_weights       4 + 2   the master, to nearest even              2^-24 of the weight
//   split_weights        4       the master, to nearest, ties away        2^-24
//   kahan_weights        4       the compensated weight, to nearest even  2^-17
//   stochastic_weights   2       rounded at random, right on average      never, on average
//
// (of bfloat16). Rounded to nearest without any of these, a bfloat16 weight loses every step below
// 2^-9 of it, and training stalls. A step computes in FP32 from the value that is kept, whatever
// keeps it; only what is stored differs.
#ifndef HALFWAY_TRAINING_WEIGHT_STORAGE_H_
#define HALFWAY_TRAINING_WEIGHT_STORAGE_H_

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <span>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/optimizer_args.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// bfloat16, half, float8_*...
template <class T>
concept narrow_float = float_storage<T> && !std::same_as<T, float>;

/// FP32 weights, and a copy for the model that leaves in the same pass: each rounded once, to
/// nearest even (past the model's range: infinity, or NaN where it has none). An empty model is
/// none.
template <float_storage Model = float>
struct master_weights {
  std::span<float> master;      ///< what steps are added to
  std::span<Model> model = {};  ///< a copy of the master, of its size
};
/// From two contiguous ranges: the model's type is that of the second.
template <class Master, class Model>
master_weights(Master&&, Model&&) -> master_weights<std::ranges::range_value_t<Model>>;

/// Weights of a narrow type alone. Each new value is rounded to one of its two neighbours at
/// random, so that the expected value is right. Number j = first + i at step t takes 16 random bits
/// r, the lower half of random_word(stochastic_seed(seed, t), j / 2), or the upper one if j is odd,
/// and rounds by r * 2^16 as round_with_random_word does (types/rounding.h). So a value that lies a
/// fraction f of the way to its upper neighbour in magnitude goes there with a probability of f:
/// exactly in bfloat16 and in normal halves, otherwise of f cut to a multiple of 2^-16. NaN becomes
/// the quiet one.
///
/// The same bits on every target, for any number of threads, and for a tensor that is cut into
/// shards, each with the number of its first element. Tensors need different seeds, or `first`
/// apart.
///
/// After t steps of given gradients the standard deviation is at most sqrt(t) / 2 ulp about what
/// exact steps would give. Source: Gupta, Agrawal, Gopalakrishnan and Narayanan, "Deep learning
/// with limited numerical precision", 2015; for bfloat16 weights Zamirai et al., "Revisiting
/// BFloat16 training", 2020.
template <narrow_float T>
struct stochastic_weights {
  std::span<T> weights;     ///< rounded at random
  std::uint64_t seed = 0;   ///< of the roundings of this tensor
  std::uint64_t first = 0;  ///< the number of its element 0 in the roundings
};
/// From a contiguous range of weights, and the numbers.
template <class Weights, class... Numbers>
stochastic_weights(Weights&&, Numbers...)
    -> stochastic_weights<std::ranges::range_value_t<Weights>>;

/// Weights of a narrow type and, in a second array of it, what rounding has taken off: a step
/// starts from weights + rest and leaves v as w = v rounded to nearest even and rest = v - w,
/// rounded too. So 17 significant bits are kept in bfloat16: |w + rest - v| <= 2^-17 |v|, if
/// nothing underflows. The rest of a weight that is not finite is 0. Fill rest with zeros at first.
///
/// Kahan's summation as in algorithm 1 of Zamirai et al., "Revisiting BFloat16 training", 2020
/// (whose c has the other sign); their step too is rounded to bfloat16, this one is FP32.
template <narrow_float T>
struct kahan_weights {
  std::span<T> weights;  ///< what the model has
  std::span<T> rest;     ///< what they lack, of their size
};
/// From two contiguous ranges of one type.
template <class Weights, class Rest>
kahan_weights(Weights&&, Rest&&) -> kahan_weights<std::ranges::range_value_t<Weights>>;

/// The exact FP32 master in two halves, of which the upper one is the model: bfloat16 `high`, the
/// master rounded to nearest, and `low`, by which the pattern of the master differs from it:
///
///   bits(master) = bits(high) * 2^16 + low,  -2^15 <= low < 2^15
///
/// Ties go away from zero: to even, an even `high` would have 65537 masters. Steps give the same
/// master, bit for bit, as with master_weights; a NaN becomes the quiet one. No third copy is
/// needed.
struct split_weights {
  std::span<bfloat16> high;     ///< what the model has: the master, rounded
  std::span<std::int16_t> low;  ///< what it lacks, of its size
};

/// The seed of step t of stochastic_weights: no two of the first 10^9 steps share one, nor do those
/// of seeds less than 2^32 apart, since the multiplier is 2^64 divided by the golden ratio, whose
/// multiples stay away from one another (Hurwitz: by more than 2^64 / (sqrt(5) + 1) / t).
constexpr std::uint64_t stochastic_seed(std::uint64_t seed, std::uint64_t step) {
  return seed + step * 0x9E3779B97F4A7C15u;
}

namespace detail {

struct array_argument {
  std::string_view name;
  const void* data = nullptr;
  std::size_t size = 0;
  std::size_t bytes = 0;
  bool optional = false;  // may be empty
};
template <class T>
array_argument describe(std::string_view name, std::span<T> x, bool optional = false) {
  return {name, x.data(), x.size(), x.size_bytes(), optional};
}

// For each storage its arrays, the one that has the tensor's size first, and what the kernel takes.
template <class T>
std::array<array_argument, 2> arrays_of(const master_weights<T>& w) {
  return {describe("master", w.master), describe("model", w.model, true)};
}
template <class T>
MasterWeights<T> kernel_weights(const master_weights<T>& w, std::uint64_t /*step*/) {
  return {w.master.data(), w.model.data()};
}

template <class T>
std::array<array_argument, 1> arrays_of(const stochastic_weights<T>& w) {
  return {describe("weights", w.weights)};
}
template <class T>
StochasticWeights<T> kernel_weights(const stochastic_weights<T>& w, std::uint64_t step) {
  return {w.weights.data(), stochastic_seed(w.seed, step), w.first};
}

template <class T>
std::array<array_argument, 2> arrays_of(const kahan_weights<T>& w) {
  return {describe("weights", w.weights), describe("rest", w.rest)};
}
template <class T>
KahanWeights<T> kernel_weights(const kahan_weights<T>& w, std::uint64_t /*step*/) {
  return {w.weights.data(), w.rest.data()};
}

inline std::array<array_argument, 2> arrays_of(const split_weights& w) {
  return {describe("high", w.high), describe("low", w.low)};
}
inline SplitWeights kernel_weights(const split_weights& w, std::uint64_t /*step*/) {
  return {w.high.data(), w.low.data()};
}

// All of the size of the first, no nulls, none shares memory with another.
template <std::size_t N>
void check_arrays(std::string_view where, const std::array<array_argument, N>& arrays) {
  const auto absent = [](const array_argument& a) { return a.optional && a.size == 0; };
  for (const array_argument& a : arrays) {
    if (!absent(a) && a.size != arrays[0].size) {
      check_equal(where, concat(a.name, ".size()"), a.size, concat(arrays[0].name, ".size()"),
                  arrays[0].size);
    }
    check_not_null(where, a.name, a.data, a.size);
  }
  for (std::size_t i = 0; i < N; ++i) {
    for (std::size_t j = i + 1; j < N; ++j) {
      const array_argument &a = arrays[i], &b = arrays[j];
      check_no_overlap(where, a.name, b.name, ranges_overlap(a.data, a.bytes, b.data, b.bytes));
    }
  }
}

// The weights' arrays, and `other` behind the first.
template <std::size_t N>
std::array<array_argument, N + 1> with(const std::array<array_argument, N>& weights,
                                       const array_argument& other) {
  std::array<array_argument, N + 1> all = {weights[0], other};
  for (std::size_t i = 1; i < N; ++i) all[i + 1] = weights[i];
  return all;
}

}  // namespace detail

/// One of the structures above.
template <class W>
concept weight_storage = requires(const W& w) {
  detail::arrays_of(w);
  detail::kernel_weights(w, std::uint64_t{});
};

/// The storage takes `values`, as at the end of a step (stochastic: of step 0, which no optimizer
/// takes). Errors, before anything is written: sizes that differ, null with a size, arrays that
/// share memory.
template <weight_storage Weights, float_storage_vector Values>
requires std::same_as < std::ranges::range_value_t<Values>,
float > void write_weights(const Weights& weights, const Values& values) {
  constexpr std::string_view where = "halfway::write_weights";
  const auto from = detail::input_span(where, "values", values);
  const auto arrays = detail::arrays_of(weights);
  detail::check_arrays(where, detail::with(arrays, detail::describe("values", from)));
  const auto to = detail::kernel_weights(weights, 0);
  using Storage = std::remove_const_t<decltype(to)>;
  HALFWAY_DISPATCH(WriteWeightsKernel<Storage>)(to, from.data(), from.size());
}

/// The FP32 values that the next step would start from. Errors: as for write_weights.
template <weight_storage Weights, float_storage_output_vector Values>
requires std::same_as < std::ranges::range_value_t<Values>,
float > void read_weights(const Weights& weights, Values&& values) {
  constexpr std::string_view where = "halfway::read_weights";
  const auto to = detail::output_span(where, "values", values);
  const auto arrays = detail::arrays_of(weights);
  detail::check_arrays(where, detail::with(arrays, detail::describe("values", to)));
  const auto from = detail::kernel_weights(weights, 0);
  using Storage = std::remove_const_t<decltype(from)>;
  HALFWAY_DISPATCH(ReadWeightsKernel<Storage>)(from, to.data(), to.size());
}

}  // namespace halfway

#endif  // HALFWAY_TRAINING_WEIGHT_STORAGE_H_
