// SPDX-License-Identifier: Apache-2.0
// The code of docs/observability/README.md.
#include "support/guide.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "halfway/core/matrix.h"
#include "halfway/fidelity/metrics.h"
#include "halfway/ops/gemm.h"
#include "halfway/precision/metrics.h"
#include "halfway/telemetry/metrics_json.h"
#include "halfway/telemetry/names.h"
#include "halfway/telemetry/prometheus.h"
#include "halfway/telemetry/registry.h"
#include "halfway/telemetry/trace.h"
#include "halfway/training/metrics.h"
#include "support/temporary_folder.h"

namespace {

TEST(ObservabilityGuide, Export) {
  halfway::loss_scaler scaler;
  // clang-format off
halfway::telemetry::registry metrics;
halfway::loss_scaler_metrics of_scaler(metrics);             // training/metrics.h
halfway::precision_metrics of_types(metrics);                // precision/metrics.h
halfway::numeric_health_metrics of_fc1(metrics, "fc1");      // fidelity/metrics.h
auto& seconds = inference_seconds(metrics, "bfloat16");      // telemetry/names.h

of_scaler.update(scaler);                                    // each step
std::string page = to_prometheus_text(metrics);              // each scrape, from any thread
std::string body = to_otlp_json(metrics); // the same for OpenTelemetry: POST it to a collector's /v1/metrics
  // clang-format on
  EXPECT_EQ(seconds.values().count(), 0u);
  EXPECT_NE(page.find("\nhalfway_loss_scale 65536\n"), std::string::npos);
  EXPECT_NE(body.find("\"halfway_loss_scale\""), std::string::npos);
}

TEST(ObservabilityGuide, Traces) {
  const halfway::testing::temporary_folder folder;
  const std::string file = folder.file("trace.json");
  const std::size_t m = 2, n = 3, k = 4;
  halfway::matrix<float> a(m, k), b(k, n), c(m, n);
  const std::size_t bytes = a.bytes() + b.bytes() + c.bytes();
  // clang-format off
halfway::telemetry::trace_recorder recorder;
set_trace_recorder(&recorder);
{
  halfway::telemetry::trace_span span("gemm", {m, n, k}, "float32", bytes);
  halfway::gemm(a, b, c);
}
halfway::telemetry::set_trace_recorder(nullptr);
std::ofstream(file) << to_chrome_trace(recorder);            // opens in ui.perfetto.dev and chrome://tracing
  // clang-format on
  const auto trace = nlohmann::json::parse(halfway::testing::text_of_file(file));
  EXPECT_EQ(trace.at("traceEvents").at(1).at("args").at("shape"), "2x3x4");
}

TEST(ObservabilityGuide, EachBlockStandsInATest) {
  EXPECT_EQ(halfway::testing::expect_blocks_in(HALFWAY_GUIDE, {__FILE__, HALFWAY_OPERATIONS_TEST}),
            3u);
}

}  // namespace
