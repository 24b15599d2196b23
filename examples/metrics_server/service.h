// SPDX-License-Identifier: Apache-2.0
// A classifier in bfloat16 that says how it fares: latency, numeric health, and every so often a
// comparison with itself in FP32.
#ifndef HALFWAY_EXAMPLES_METRICS_SERVER_SERVICE_H_
#define HALFWAY_EXAMPLES_METRICS_SERVER_SERVICE_H_

#include <halfway/core/matrix.h>
#include <halfway/fidelity/metrics.h>
#include <halfway/telemetry/names.h>
#include <halfway/telemetry/registry.h>
#include <halfway/types/bfloat16.h>

#include <cstddef>
#include <random>

class service {
 public:
  explicit service(halfway::telemetry::registry& metrics);

  // One batch of random inputs.
  void infer();

 private:
  static constexpr std::size_t rows = 128, features = 256, classes = 10;
  static constexpr std::size_t compare_every = 8;  // batches

  std::mt19937 random_{1};
  halfway::matrix<float> inputs_{rows, features}, weights_{features, classes};
  halfway::matrix<halfway::bfloat16> inputs16_{rows, features}, weights16_{features, classes};
  halfway::matrix<float> logits_{rows, classes}, baseline_{rows, classes};
  std::size_t batches_ = 0;

  halfway::telemetry::histogram& seconds_;
  halfway::numeric_health health_{halfway::dtype::bfloat16};
  halfway::numeric_health_metrics health_metrics_;
  halfway::comparison_metrics comparison_metrics_;
  halfway::logit_comparison_metrics logit_metrics_;
};

#endif  // HALFWAY_EXAMPLES_METRICS_SERVER_SERVICE_H_
