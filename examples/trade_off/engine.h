// SPDX-License-Identifier: Apache-2.0
// A network stored in one way, ready to run.
#ifndef HALFWAY_EXAMPLES_TRADE_OFF_ENGINE_H_
#define HALFWAY_EXAMPLES_TRADE_OFF_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/fidelity/health.h"
#include "halfway/types/dtype.h"
#include "model.h"

namespace trade_off {

class engine {
 public:
  virtual ~engine() = default;

  // The logits of up to `batch` images, one a row. `health`, of health_type(): takes in what each
  // hidden layer gave.
  virtual void run(halfway::matrix_view<const std::uint8_t> pixels,
                   halfway::matrix_view<float> logits, halfway::numeric_health* health) = 0;

  virtual halfway::dtype health_type() const = 0;  // of the layers' outputs
  virtual std::size_t weight_bytes() const = 0;    // with scales, biases and the layernorm
  // Of one image: every layer's input and output, those that are written once and read once.
  virtual std::size_t activation_bytes() const = 0;
};
using engine_ptr = std::unique_ptr<engine>;

// Weights and activations of the type, sums in FP32, one rounding an operation.
engine_ptr make_float32(const model& m, std::size_t batch);
engine_ptr make_float16(const model& m, std::size_t batch);
engine_ptr make_bfloat16(const model& m, std::size_t batch);
// int8 weights with a scale for each output, uint8 activations by the ranges that `calibration` images
// show; products sum in int32.
engine_ptr make_int8_static(const model& m, std::size_t batch,
                            halfway::matrix_view<const std::uint8_t> calibration);
// The same weights; each row of each layer's FP32 input gets its own scale as it comes.
engine_ptr make_int8_dynamic(const model& m, std::size_t batch);
// int4 weights with a scale for 32 inputs of each output; FP32 activations.
engine_ptr make_int4_weights(const model& m, std::size_t batch);

// Of the hidden layers of a network in FP32: its outputs after ReLU.
using layer_observer =
    std::function<void(std::size_t layer, halfway::matrix_view<const float> output)>;
void observe_float32(const model& m, halfway::matrix_view<const std::uint8_t> pixels,
                     const layer_observer& observer);

}  // namespace trade_off

#endif  // HALFWAY_EXAMPLES_TRADE_OFF_ENGINE_H_
