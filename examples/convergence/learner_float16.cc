// SPDX-License-Identifier: Apache-2.0
#include "learner-inl.h"

namespace convergence {

std::unique_ptr<learner> make_float16_learner(const task& t, const data& d, std::uint64_t seed) {
  return make_learner_of<halfway::half, nn::plain_inputs<halfway::half>>(t, d, seed);
}

}  // namespace convergence
