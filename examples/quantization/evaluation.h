// SPDX-License-Identifier: Apache-2.0
// What a stored network is worth: accuracy, agreement with FP32, bytes, speed, and the layer that hurts.
#ifndef HALFWAY_EXAMPLES_QUANTIZATION_EVALUATION_H_
#define HALFWAY_EXAMPLES_QUANTIZATION_EVALUATION_H_

#include <cstddef>
#include <string>
#include <vector>

#include "data/images.h"
#include "report/page.h"
#include "schemes.h"

namespace quantization {

struct evaluation {
  std::string name;
  double accuracy = 0;
  double agreement = 0;  // share of images with the class that FP32 gives
  std::size_t bytes = 0;
  double images_per_second = 0;
  std::vector<double> stage_sqnr_db;  // of each product alone, on exact inputs
};

struct network_evaluations {
  std::string name;
  std::vector<std::string> stages;
  std::vector<evaluation> ways;  // FP32 first

  double speedup(const evaluation& e) const {
    return e.images_per_second / ways.front().images_per_second;
  }
};

// `turns`: times are the best of so many. Batches of `batch` images, one thread.
network_evaluations evaluate(const std::vector<stored_network>& ways,
                             const demo::labelled_batch& test, std::size_t batch, int turns);

report::table cells(const network_evaluations& e);
// The SQNR of each stage, in dB.
report::table stage_cells(const network_evaluations& e);
std::string to_json(const std::vector<network_evaluations>& all);

}  // namespace quantization

#endif  // HALFWAY_EXAMPLES_QUANTIZATION_EVALUATION_H_
