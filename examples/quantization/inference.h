// SPDX-License-Identifier: Apache-2.0
// Runs a network whose products are given.
#ifndef HALFWAY_EXAMPLES_QUANTIZATION_INFERENCE_H_
#define HALFWAY_EXAMPLES_QUANTIZATION_INFERENCE_H_

#include <cstddef>
#include <functional>

#include "architecture.h"
#include "halfway/core/matrix.h"
#include "product.h"

namespace quantization {

// What the product of a stage read and gave, before ReLU.
using stage_observer = std::function<void(std::size_t stage, halfway::matrix_view<const float> x,
                                          halfway::matrix_view<const float> y)>;

// The logits of images, one a row.
halfway::matrix<float> run(const network& n, const products& p, halfway::matrix_view<const float> x,
                           const stage_observer& observer = {});

}  // namespace quantization

#endif  // HALFWAY_EXAMPLES_QUANTIZATION_INFERENCE_H_
