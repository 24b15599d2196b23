// SPDX-License-Identifier: Apache-2.0
// Dropout whose random numbers are numbered, so that the backward pass draws the same ones again
// and no mask is stored.
//
//   const halfway::dropout_options drop{.probability = 0.1f, .seed = seed, .first = step * n};
//   halfway::dropout(x, y, drop);              // or in place: dropout(x, x, drop)
//   halfway::dropout_backward(dy, dx, drop);   // the same options
#ifndef HALFWAY_OPS_DROPOUT_H_
#define HALFWAY_OPS_DROPOUT_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

/// Which elements are left out.
struct dropout_options {
  /// With which an element is left out: a multiple of 2^-32, to which it is rounded; in [0, 1).
  float probability = 0.5f;
  std::uint64_t seed = 0;  ///< of the random words; the same in the backward pass
  /// The number of the random word (types/philox.h) of element 0; element i takes word first + i.
  /// Two calls are independent where their words differ: a step that draws n elements in all passes
  /// first = step * n plus what came before in the step.
  std::uint64_t first = 0;
};

namespace detail {

template <class X, class Y>
void run_dropout(std::string_view where, const map_arguments<X, Y>& a, const dropout_options& o,
                 executor_ref on) {
  if (!(o.probability >= 0.0f && o.probability < 1.0f)) [[unlikely]] {
    fail(concat(where, ": probability (", o.probability, ") must be at least 0 and below 1"));
  }
  // Below 2^32, as 1 - 2^-24 is the largest float below 1.
  const auto threshold =
      static_cast<std::uint32_t>(std::llrint(static_cast<double>(o.probability) * 0x1p32));
  const auto scale = static_cast<float>(1.0 / (1.0 - static_cast<double>(threshold) * 0x1p-32));
  using Config = pair_config<X, Y>;
  const auto kernel = HALFWAY_DISPATCH(DropoutKernel<Config>);
  for_each_part(
      on, a.x.size(), sizeof(X) + sizeof(Y),
      [&](std::size_t begin, std::size_t count) {
        kernel(a.x.data() + begin, a.y.data() + begin, count, o.seed, o.first + begin, threshold,
               scale);
      },
      elements_per_line);
}

}  // namespace detail

/// y[i] = x[i] / (1 - p) with probability 1 - p, else 0, so that the mean stays (Srivastava et al.
/// 2014, "Dropout", in its inverted form). Whether x[i] stays is decided by random word first + i
/// of the seed alone: random_word(seed, first + i) >= p * 2^32.
///
/// x and y: contiguous ranges of one size, of any float formats; y may be x. x[i] is multiplied by
/// 1 / (1 - p), rounded to FP32, in FP32, and rounded once more to y's type, to nearest even:
/// within 2 u / (1 - 2 u) of the value before that last rounding, u = 2^-24 (one more 2^-150 if it
/// is subnormal). The same bits on every CPU and any executor, and however the range is cut into
/// calls that continue each other's numbers.
///
/// What is left out becomes +0 even if it was NaN or infinite; what stays keeps NaN and infinity.
///
/// Errors, before anything is written: a probability outside [0, 1), sizes that differ, null with a
/// size, memory that x and y share in part or with elements of different sizes.
template <float_storage_vector X, float_storage_output_vector Y>
void dropout(const X& x, Y&& y, const dropout_options& options, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::dropout";
  detail::run_dropout(where, detail::check_map(where, x, y), options, on);
}

/// The gradient dx of dropout(x, y, options), given the gradient dy of y and the same options: the
/// same elements stay, and are multiplied by the same factor. Otherwise as above.
template <float_storage_vector DY, float_storage_output_vector DX>
void dropout_backward(const DY& dy, DX&& dx, const dropout_options& options, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::dropout_backward";
  detail::run_dropout(where, detail::check_map(where, dy, dx), options, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_DROPOUT_H_
