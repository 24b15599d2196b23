// SPDX-License-Identifier: Apache-2.0
// What a layer learns: FP32 values with a name, and their FP32 gradient.
//
//   for (halfway::nn::weight* w : halfway::nn::weights_of(body, head)) {
//     save(w->name, w->value.values());                              // float32
//     optimizer.step(states[w->name], w->value.write(), w->gradient.elements());
//     w->zero_gradient();
//   }
#ifndef HALFWAY_NN_WEIGHT_H_
#define HALFWAY_NN_WEIGHT_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/precision/parameter.h"
#include "halfway/types/philox.h"

namespace halfway::nn {

/// FP32 master values (policies with params=float32), of which layers make their copies in the type
/// that they compute in, and the FP32 gradient, which backward passes add to.
struct weight {
  std::string name;        ///< "fc1.weight": what checkpoints and messages call it
  parameter value;         ///< rows x cols
  matrix<float> gradient;  ///< of the same shape, zero at first

  /// The gradient gets the shape of the values.
  weight(std::string weight_name, matrix<float> values)
      : name(std::move(weight_name)),
        value(std::move(values)),
        gradient(value.rows(), value.cols()) {}

  /// Row after row.
  std::span<const float> values() const { return {value.values().data(), value.size()}; }
  /// Before the backward passes of a step.
  void zero_gradient() { std::ranges::fill(gradient.elements(), 0.0f); }
};

/// First values of weights: random words by number (types/philox.h), each used once, so that they
/// depend on the seed and the order of the layers alone, on every platform.
class weight_source {
 public:
  explicit weight_source(std::uint64_t seed) : seed_(seed) {}  ///< the same seed, the same weights

  /// rows x cols values, uniform in [-bound, bound): a multiple of 2^-23 times bound, rounded to
  /// FP32. Error: a bound that is negative, infinite or NaN.
  matrix<float> uniform(std::size_t rows, std::size_t cols, double bound) {
    if (!(bound >= 0.0 && std::isfinite(bound))) {
      fail(detail::concat("halfway::nn::weight_source::uniform: bound (", bound,
                          ") must be finite and not negative"));
    }
    matrix<float> values(rows, cols);
    for (float& v : values.elements()) {
      const double word = random_word(seed_, next_++) >> 8;  // 24 bits
      v = static_cast<float>((word * 0x1p-23 - 1.0) * bound);
    }
    return values;
  }

  /// Variance 1 / fan_in, which keeps the size of what flows through (LeCun et al., "Efficient
  /// BackProp", 1998).
  matrix<float> for_inputs(std::size_t fan_in, std::size_t rows, std::size_t cols) {
    return uniform(rows, cols,
                   std::sqrt(3.0 / static_cast<double>(std::max<std::size_t>(1, fan_in))));
  }

 private:
  std::uint64_t seed_;
  std::uint64_t next_ = 0;
};

/// The weights of layers, one layer after the other, in the order of the forward pass. Error: two
/// weights of one name.
template <class... Modules>
std::vector<weight*> weights_of(Modules&... modules) {
  std::vector<weight*> all;
  (modules.visit([&](weight& w) { all.push_back(&w); }), ...);
  std::vector<std::string_view> names;
  for (const weight* w : all) names.push_back(w->name);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end()) {
    fail(detail::concat("halfway::nn::weights_of: two weights are named ", *twice));
  }
  return all;
}

}  // namespace halfway::nn

#endif  // HALFWAY_NN_WEIGHT_H_
