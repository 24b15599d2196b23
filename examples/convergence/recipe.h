// SPDX-License-Identifier: Apache-2.0
// The ways to train that are compared.
#ifndef HALFWAY_EXAMPLES_CONVERGENCE_RECIPE_H_
#define HALFWAY_EXAMPLES_CONVERGENCE_RECIPE_H_

#include <cstddef>
#include <string>
#include <vector>

namespace convergence {

// What activations, their gradients and the operands of products are stored in. Sums, losses, norms
// and the weights' gradients are FP32 in all of them.
enum class compute_kind {
  float32,
  float16,
  bfloat16,
  // Activations and gradients bfloat16; operands of products float8_e4m3fn, gradients float8_e5m2, each
  // tensor with a scale from the largest values of the last steps.
  float8,
};

enum class weight_kind {
  master,      // FP32, and a copy in the type of the products
  stochastic,  // bfloat16 alone, rounded at random
};

struct recipe {
  std::string name;
  compute_kind compute = compute_kind::float32;
  weight_kind weights = weight_kind::master;
  bool scales_loss = false;

  // Weights in all their copies, and Adam's two means in FP32.
  std::size_t bytes_per_parameter() const {
    constexpr std::size_t adam = 8, master = 4;
    if (weights == weight_kind::stochastic) return adam + 2;
    switch (compute) {
      case compute_kind::float32:
        return adam + master;
      case compute_kind::float8:
        return adam + master + 1;
      default:
        return adam + master + 2;
    }
  }
};

inline std::vector<recipe> all_recipes() {
  return {{"FP32", compute_kind::float32},
          {"FP16, scaled", compute_kind::float16, weight_kind::master, true},
          {"BF16, master", compute_kind::bfloat16},
          {"BF16, stochastic", compute_kind::bfloat16, weight_kind::stochastic},
          {"FP8, delayed scales", compute_kind::float8}};
}

}  // namespace convergence

#endif  // HALFWAY_EXAMPLES_CONVERGENCE_RECIPE_H_
