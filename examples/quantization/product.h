// SPDX-License-Identifier: Apache-2.0
// y = x * w + bias with the weights stored in one way or another.
#ifndef HALFWAY_EXAMPLES_QUANTIZATION_PRODUCT_H_
#define HALFWAY_EXAMPLES_QUANTIZATION_PRODUCT_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "architecture.h"
#include "halfway/core/matrix.h"
#include "halfway/quantization/affine_params.h"
#include "halfway/quantization/groups.h"
#include "halfway/types/int4.h"

namespace quantization {

class product {
 public:
  virtual ~product() = default;
  virtual void run(halfway::matrix_view<const float> x, halfway::matrix_view<float> y) const = 0;
  virtual std::size_t bytes() const = 0;  // of weights, scales and bias
};
using product_ptr = std::unique_ptr<product>;

product_ptr make_float32(const stage& s);
product_ptr make_bfloat16(const stage& s);
// Inputs in uint8: by rows as they come, or by parameters from calibration.
product_ptr make_int8(const stage& s, std::optional<halfway::affine_params> params);
product_ptr make_int4(const stage& s, const halfway::group_codes<halfway::int4>& codes);
// Weights in blocks of 32 along the inputs, computed in bfloat16, which holds them exactly.
product_ptr make_mxfp4(const stage& s);

// One for each stage.
using products = std::vector<product_ptr>;

}  // namespace quantization

#endif  // HALFWAY_EXAMPLES_QUANTIZATION_PRODUCT_H_
