// SPDX-License-Identifier: Apache-2.0
// One training run, from the seed to the logits of the test images.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_TRAINING_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_TRAINING_H_

#include "data/fashion_mnist.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "progress.h"
#include "run.h"

namespace demo {

// Steps of the whole training.
std::size_t step_count(const training_settings& settings, std::size_t images);

// The SIMD target that the kernels run on.
std::string simd_target();

// Trains with the storage type that the policy resolves to and evaluates. Error: a policy with
// other parameters or outputs than float32, or another compute type than float32, float16 and
// bfloat16.
run_result train(const run_settings& run, const training_settings& settings,
                 const fashion_mnist& data, progress& display);

// The error that train() would raise, before anything is trained.
void check_policy(const halfway::cast_policy& policy);

// train() with its storage type chosen. Each instance is a file of its own (train_float32.cc...),
// so that they compile side by side.
template <class T>
run_result train_in(const run_settings& run, const training_settings& settings,
                    const fashion_mnist& data, progress& display);
extern template run_result train_in<float>(const run_settings&, const training_settings&,
                                           const fashion_mnist&, progress&);
extern template run_result train_in<halfway::half>(const run_settings&, const training_settings&,
                                                   const fashion_mnist&, progress&);
extern template run_result train_in<halfway::bfloat16>(const run_settings&,
                                                       const training_settings&,
                                                       const fashion_mnist&, progress&);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_TRAINING_H_
