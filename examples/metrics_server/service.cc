// SPDX-License-Identifier: Apache-2.0
#include "service.h"

#include <halfway/ops/convert.h>
#include <halfway/ops/gemm.h>
#include <halfway/telemetry/trace.h>

service::service(halfway::telemetry::registry& metrics)
    : seconds_(inference_seconds(metrics, "bfloat16")),
      health_metrics_(metrics, "classifier"),
      comparison_metrics_(metrics, "classifier"),
      logit_metrics_(metrics) {
  std::normal_distribution<float> normal(0, 1.0f / 16);
  for (float& w : weights_.elements()) w = normal(random_);
  halfway::convert(weights_.elements(), weights16_.elements());
}

void service::infer() {
  std::normal_distribution<float> normal;
  for (float& x : inputs_.elements()) x = normal(random_);
  {
    const halfway::telemetry::scoped_timer timer(seconds_);
    const halfway::telemetry::trace_span span("gemm", {rows, classes, features}, "bfloat16",
                                              inputs16_.bytes() + weights16_.bytes());
    halfway::convert(inputs_.elements(), inputs16_.elements());
    halfway::gemm(inputs16_, weights16_, logits_);
  }
  health_.add(logits_.elements());
  health_metrics_.add(health_);
  health_.clear();

  if (batches_++ % compare_every != 0) return;
  halfway::gemm(inputs_, weights_, baseline_);
  halfway::comparison of_values(halfway::dtype::bfloat16);
  of_values.add(baseline_.elements(), logits_.elements());
  comparison_metrics_.set(of_values);
  halfway::logit_comparison of_choices;
  of_choices.add(baseline_, logits_);
  logit_metrics_.set(of_choices);
}
