// SPDX-License-Identifier: Apache-2.0
// The trained FP32 network with 8-bit weights and activations: static post-training quantization.
//
//   demo::run_result int8 = demo::quantize_and_evaluate(fp32, settings, data);
//
// Weights: symmetric int8, a scale for each output channel. Activations: uint8, one scale a layer,
// from the smallest and largest value that training images produce. The products are integers with
// int32 sums; the layernorm stays in FP32.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_INT8_NETWORK_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_INT8_NETWORK_H_

#include "data/fashion_mnist.h"
#include "run.h"

namespace demo {

run_result quantize_and_evaluate(const run_result& fp32, const training_settings& settings,
                                 const fashion_mnist& data);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_INT8_NETWORK_H_
