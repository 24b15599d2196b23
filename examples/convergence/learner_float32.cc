// SPDX-License-Identifier: Apache-2.0
#include "learner-inl.h"

namespace convergence {

std::unique_ptr<learner> make_float32_learner(const task& t, const data& d, std::uint64_t seed) {
  return make_learner_of<float, nn::plain_inputs<float>>(t, d, seed);
}

}  // namespace convergence
