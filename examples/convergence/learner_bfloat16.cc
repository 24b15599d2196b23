// SPDX-License-Identifier: Apache-2.0
#include "learner-inl.h"

namespace convergence {

std::unique_ptr<learner> make_bfloat16_learner(const task& t, const data& d, std::uint64_t seed) {
  return make_learner_of<halfway::bfloat16, nn::plain_inputs<halfway::bfloat16>>(t, d, seed);
}

}  // namespace convergence
