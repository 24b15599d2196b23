// SPDX-License-Identifier: Apache-2.0
// The ways to store a trained network, from what calibration images show.
#ifndef HALFWAY_EXAMPLES_QUANTIZATION_SCHEMES_H_
#define HALFWAY_EXAMPLES_QUANTIZATION_SCHEMES_H_

#include <string>
#include <vector>

#include "architecture.h"
#include "halfway/core/matrix.h"
#include "halfway/quantization/affine_params.h"
#include "product.h"

namespace quantization {

struct stored_network {
  std::string name;
  network weights;  // that it was made from: of the FP32 training, or of training for int8
  products stages;
};

// FP32 first. `calibration`: images, one a row. `int8_trained`: the network after training for int8,
// with the parameters of its stages' inputs.
std::vector<stored_network> store_in_every_way(const network& n,
                                               halfway::matrix_view<const float> calibration,
                                               const network& int8_trained,
                                               const std::vector<halfway::affine_params>& params);

}  // namespace quantization

#endif  // HALFWAY_EXAMPLES_QUANTIZATION_SCHEMES_H_
