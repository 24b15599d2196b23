// SPDX-License-Identifier: Apache-2.0
// Runs a network stored in every way: what each gives, and how long it takes.
#ifndef HALFWAY_EXAMPLES_TRADE_OFF_MEASUREMENT_H_
#define HALFWAY_EXAMPLES_TRADE_OFF_MEASUREMENT_H_

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "data/fashion_mnist.h"
#include "engine.h"
#include "recommendation.h"

namespace trade_off {

struct way {
  std::string name;
  engine_ptr net;
};

// FP32 first. `calibration`: images of the training.
std::vector<way> store_in_every_way(const model& m, std::size_t batch,
                                    const demo::labelled_images& calibration);

// A row with what the recommendation does not need.
struct measured_way : measured_row {
  double p50 = std::numeric_limits<double>::quiet_NaN();      // seconds of a batch
  double sqnr_db = std::numeric_limits<double>::quiet_NaN();  // of the logits, against FP32's
  // Of the hidden layers' outputs, in their type.
  std::size_t non_finite = 0, saturated = 0, values = 0;
  double underflow_share = 0;
  std::size_t activation_bytes = 0;  // of an inference
  // Of an inference: its share of the weights, which a batch reads once, and its activations.
  double bytes_read = 0;
};

struct timing {
  std::size_t batch = 32;
  double seconds = 10;         // for all ways together
  std::size_t stretches = 20;  // that the time is divided in
};

// Fidelity on all test images, then time: the ways take turns of a few batches, in an order that
// rotates, so that a clock that wanders or a neighbour that wakes up meets all alike. One thread.
std::vector<measured_way> measure(const std::vector<way>& ways, const demo::labelled_images& test,
                                  const timing& t, double confidence);

}  // namespace trade_off

#endif  // HALFWAY_EXAMPLES_TRADE_OFF_MEASUREMENT_H_
