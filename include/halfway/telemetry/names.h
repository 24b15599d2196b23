// SPDX-License-Identifier: Apache-2.0
// The metrics that the library's own instruments export, in one place: docs/observability's alert
// rules and dashboards ask for these names and for no others, which a test compares.
//
// telemetry/checks.h, simd/metrics.h and training/metrics.h, precision/metrics.h,
// fidelity/metrics.h set them.
#ifndef HALFWAY_TELEMETRY_NAMES_H_
#define HALFWAY_TELEMETRY_NAMES_H_

#include <array>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>

#include "halfway/telemetry/metrics.h"
#include "halfway/telemetry/registry.h"

namespace halfway::telemetry {

/// A family that the library exports. Unused places of `labels` are empty.
struct metric_description {
  metric_type type;                          ///< counter, gauge or histogram
  std::string_view name;                     ///< of the family, "halfway_...", with unit
  std::string_view help;                     ///< a sentence, for dashboards
  std::array<std::string_view, 4> labels{};  ///< their names
};

/// One description for each family that the library exports. Names, labels and help texts are what
/// dashboards and alert rules are written against, and stay as they are.
namespace names {

/// Of loss_scaler.
/// @{
inline constexpr metric_description loss_scale{metric_type::gauge, "halfway_loss_scale",
                                               "What the loss is multiplied by."};
inline constexpr metric_description steps{metric_type::counter,
                                          "halfway_steps_total",
                                          "Training steps, by outcome: good or skipped.",
                                          {"outcome"}};
inline constexpr metric_description loss_scale_changes{
    metric_type::counter,
    "halfway_loss_scale_changes_total",
    "Times that the loss scale moved, by direction: up or down.",
    {"direction"}};
inline constexpr metric_description non_finite_gradients{
    metric_type::counter, "halfway_non_finite_gradients_total",
    "Elements of gradients found infinite or NaN."};
inline constexpr metric_description skips_at_floor{
    metric_type::gauge, "halfway_skips_at_floor",
    "Steps skipped in a row with the loss scale at its smallest."};
/// @}

/// Of adaptive_precision.
/// @{
inline constexpr metric_description precision_switches{metric_type::counter,
                                                       "halfway_precision_switches_total",
                                                       "Changes of a layer's type, by reason.",
                                                       {"layer", "from", "to", "reason"}};
inline constexpr metric_description layer_value_bytes{metric_type::gauge,
                                                      "halfway_layer_value_bytes",
                                                      "Bytes of a value of the layer's type.",
                                                      {"layer"}};
inline constexpr metric_description helpless_calls{
    metric_type::counter,
    "halfway_helpless_calls_total",
    "Calls with a numeric fault in the most precise type that a layer may have.",
    {"layer"}};
/// @}

/// Of numeric_health.
/// @{
inline constexpr metric_description checked_values{metric_type::counter,
                                                   "halfway_checked_values_total",
                                                   "Values whose numeric health was looked at.",
                                                   {"layer"}};
inline constexpr metric_description non_finite_values{metric_type::counter,
                                                      "halfway_non_finite_values_total",
                                                      "Values checked that are infinite or NaN.",
                                                      {"layer"}};
inline constexpr metric_description overflowed_values{
    metric_type::counter,
    "halfway_overflowed_values_total",
    "Finite values checked that are past the largest finite value of the layer's type, or at it.",
    {"layer"}};
inline constexpr metric_description flushed_values{
    metric_type::counter,
    "halfway_flushed_values_total",
    "Values checked that are not zero and that the layer's type flushes to it.",
    {"layer"}};
inline constexpr metric_description subnormal_values{
    metric_type::counter,
    "halfway_subnormal_values_total",
    "Values checked that are subnormal in the layer's type.",
    {"layer"}};
inline constexpr metric_description layer_amax{metric_type::gauge,
                                               "halfway_layer_amax",
                                               "The largest magnitude of the values last checked.",
                                               {"layer"}};
/// @}

/// Of comparison.
/// @{
inline constexpr metric_description layer_sqnr_db{
    metric_type::gauge,
    "halfway_layer_sqnr_db",
    "Signal to quantization noise of the layer against its baseline, in decibels.",
    {"layer"}};
inline constexpr metric_description layer_max_ulps{
    metric_type::gauge,
    "halfway_layer_max_ulps",
    "The largest error of the layer against its baseline, in units in the last place.",
    {"layer"}};
inline constexpr metric_description layer_broken_values{
    metric_type::gauge,
    "halfway_layer_broken_values",
    "Values of the layer that are infinite or NaN where the baseline's are not.",
    {"layer"}};
/// @}

/// Of logit_comparison.
/// @{
inline constexpr metric_description compared_rows{
    metric_type::gauge, "halfway_compared_rows",
    "Rows of logits in the last comparison with the baseline."};
inline constexpr metric_description broken_rows{
    metric_type::gauge, "halfway_broken_rows",
    "Rows of logits in the last comparison that are no distribution, though the baseline's are."};
inline constexpr metric_description top1_agreement{
    metric_type::gauge, "halfway_top1_agreement_ratio",
    "Share of rows whose first choice is the baseline's."};
inline constexpr metric_description top_k_agreement{
    metric_type::gauge, "halfway_top_k_agreement_ratio",
    "Mean share of the baseline's first k choices that are among the first k."};
inline constexpr metric_description mean_kl{
    metric_type::gauge, "halfway_mean_kl_nats",
    "Mean Kullback-Leibler divergence of the rows from the baseline's, in nats."};
inline constexpr metric_description max_kl{
    metric_type::gauge, "halfway_max_kl_nats",
    "The largest Kullback-Leibler divergence of a row from the baseline's, in nats."};

inline constexpr metric_description comparisons{
    metric_type::counter, "halfway_comparisons_total",
    "Comparisons of logits with the baseline, so that a stale one is seen."};
/// @}

/// Of exponent_histogram.
/// @{
inline constexpr metric_description value_exponent{
    metric_type::histogram,
    "halfway_value_exponent",
    "Binary exponents of an operation's results that are finite and not zero, by their format.",
    {"op", "format"}};
/// @}

/// Of anything that passes or fails: telemetry/checks.h.
/// @{
inline constexpr metric_description checks{metric_type::counter,
                                           "halfway_checks_total",
                                           "Checks (canary, checkpoint, drift, reproducibility) of "
                                           "a subject, by outcome: passed or failed.",
                                           {"check", "subject", "outcome"}};
inline constexpr metric_description memory{metric_type::gauge,
                                           "halfway_memory_bytes",
                                           "Memory of a subject: estimated, and at its peak.",
                                           {"subject", "figure"}};
/// @}

/// Of the CPU: simd/metrics.h.
/// @{
inline constexpr metric_description simd_info{metric_type::gauge,
                                              "halfway_simd_info",
                                              "1 for the SIMD target that operations run on.",
                                              {"target"}};
inline constexpr metric_description native_products{
    metric_type::gauge,
    "halfway_native_products",
    "Whether the CPU multiplies the format itself (1), or what it is widened to (0).",
    {"format"}};
/// @}

/// Of who serves a model.
/// @{
inline constexpr metric_description inference_seconds{metric_type::histogram,
                                                      "halfway_inference_seconds",
                                                      "Seconds that an inference took.",
                                                      {"precision"}};
/// @}

}  // namespace names

/// All of them.
inline constexpr std::array library_metrics = {
    names::loss_scale,
    names::steps,
    names::loss_scale_changes,
    names::non_finite_gradients,
    names::skips_at_floor,
    names::precision_switches,
    names::layer_value_bytes,
    names::helpless_calls,
    names::checked_values,
    names::non_finite_values,
    names::overflowed_values,
    names::flushed_values,
    names::subnormal_values,
    names::layer_amax,
    names::layer_sqnr_db,
    names::layer_max_ulps,
    names::layer_broken_values,
    names::compared_rows,
    names::broken_rows,
    names::top1_agreement,
    names::top_k_agreement,
    names::mean_kl,
    names::max_kl,
    names::comparisons,
    names::value_exponent,
    names::checks,
    names::memory,
    names::simd_info,
    names::native_products,
    names::inference_seconds,
};

/// Bounds for latencies, in seconds, 1, 2.5 and 5 times powers of ten from 0.1 ms to 10 s. The
/// latency objective of docs/observability, 0.1 s, is one of them.
inline constexpr std::array latency_bounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                              0.01,   0.025,   0.05,   0.1,   0.25,   0.5,
                                              1.0,    2.5,     5.0,    10.0};

/// Bounds for binary exponents. What a format loses is past one of them: -25 and -15 are where
/// float16 begins to flush and to be subnormal, -10 and -7 where float8_e4m3fn does, -17 and -15
/// float8_e5m2, -127 bfloat16; 8, 15 and 127 hold the largest values.
inline constexpr std::array exponent_bounds = {
    -127.0, -96.0, -64.0, -48.0, -32.0, -25.0, -20.0, -17.0, -15.0, -12.0, -10.0, -7.0,
    -4.0,   -2.0,  0.0,   2.0,   4.0,   8.0,   12.0,  15.0,  24.0,  32.0,  64.0,  127.0};

namespace detail {

inline label_set labels_of(const metric_description& d,
                           std::initializer_list<std::string_view> values) {
  label_set labels;
  for (const std::string_view value : values) {
    labels.push_back({std::string(d.labels[labels.size()]), std::string(value)});
  }
  return labels;
}

inline counter& get_counter(registry& metrics, const metric_description& d,
                            std::initializer_list<std::string_view> values = {}) {
  return metrics.get_counter(d.name, d.help, labels_of(d, values));
}

inline gauge& get_gauge(registry& metrics, const metric_description& d,
                        std::initializer_list<std::string_view> values = {}) {
  return metrics.get_gauge(d.name, d.help, labels_of(d, values));
}

// NaN until somebody sets it: no rule fires on what is not known.
inline gauge& get_unknown_gauge(registry& metrics, const metric_description& d,
                                std::initializer_list<std::string_view> values = {}) {
  gauge& g = get_gauge(metrics, d, values);
  g.set(std::numeric_limits<double>::quiet_NaN());
  return g;
}

}  // namespace detail

/// Where to observe how long inferences in one precision take:
///   auto& seconds = inference_seconds(metrics, "bfloat16");
///   { scoped_timer timer(seconds); run(); }
/// Errors: see registry.
inline histogram& inference_seconds(registry& metrics, std::string_view precision) {
  constexpr const metric_description& d = names::inference_seconds;
  return metrics.get_histogram(d.name, d.help, {latency_bounds.begin(), latency_bounds.end()},
                               detail::labels_of(d, {precision}));
}

}  // namespace halfway::telemetry

#endif  // HALFWAY_TELEMETRY_NAMES_H_
