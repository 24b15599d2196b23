// SPDX-License-Identifier: Apache-2.0
#include "halfway/nn/gemm_inputs.h"
#include "learner-inl.h"

namespace convergence {

std::unique_ptr<learner> make_float8_learner(const task& t, const data& d, std::uint64_t seed) {
  using T = halfway::bfloat16;
  return make_learner_of<T, nn::delayed_fp8_inputs<T>>(t, d, seed);
}

}  // namespace convergence
