// SPDX-License-Identifier: Apache-2.0
// Everything but interop/, whose headers need other libraries, and precision/runner.h and
// adaptive_runner.h, which compile a kernel of each operation of a graph.
//
//   #include <halfway/halfway.h>
//
// A file that needs one operation compiles no faster with its header alone (the kernels are what
// takes time, and those that are not called are not instantiated), but says more of what it uses.
#ifndef HALFWAY_HALFWAY_H_
#define HALFWAY_HALFWAY_H_

/// @namespace halfway
/// The number types, the operations on them, and what training, quantization and measurement need
/// beside them. What stands in the nested namespaces `detail` and in `simd/` is not part of the
/// interface and may change in any release.

#include "halfway/core/error.h"                            // IWYU pragma: export
#include "halfway/core/executor.h"                         // IWYU pragma: export
#include "halfway/core/heads_view.h"                       // IWYU pragma: export
#include "halfway/core/matrix.h"                           // IWYU pragma: export
#include "halfway/core/thread_pool.h"                      // IWYU pragma: export
#include "halfway/core/warning.h"                          // IWYU pragma: export
#include "halfway/fidelity/canary.h"                       // IWYU pragma: export
#include "halfway/fidelity/comparison.h"                   // IWYU pragma: export
#include "halfway/fidelity/confidence.h"                   // IWYU pragma: export
#include "halfway/fidelity/digest.h"                       // IWYU pragma: export
#include "halfway/fidelity/drift.h"                        // IWYU pragma: export
#include "halfway/fidelity/error_bound.h"                  // IWYU pragma: export
#include "halfway/fidelity/error_budget.h"                 // IWYU pragma: export
#include "halfway/fidelity/exponent_histogram.h"           // IWYU pragma: export
#include "halfway/fidelity/health.h"                       // IWYU pragma: export
#include "halfway/fidelity/logit_comparison.h"             // IWYU pragma: export
#include "halfway/fidelity/metrics.h"                      // IWYU pragma: export
#include "halfway/fidelity/nan_trace.h"                    // IWYU pragma: export
#include "halfway/fidelity/objective.h"                    // IWYU pragma: export
#include "halfway/fidelity/rank_correlation.h"             // IWYU pragma: export
#include "halfway/fidelity/run_comparison.h"               // IWYU pragma: export
#include "halfway/nn/activation.h"                         // IWYU pragma: export
#include "halfway/nn/attention.h"                          // IWYU pragma: export
#include "halfway/nn/conv2d.h"                             // IWYU pragma: export
#include "halfway/nn/dropout.h"                            // IWYU pragma: export
#include "halfway/nn/embedding.h"                          // IWYU pragma: export
#include "halfway/nn/gemm_inputs.h"                        // IWYU pragma: export
#include "halfway/nn/linear.h"                             // IWYU pragma: export
#include "halfway/nn/loss.h"                               // IWYU pragma: export
#include "halfway/nn/module.h"                             // IWYU pragma: export
#include "halfway/nn/norm.h"                               // IWYU pragma: export
#include "halfway/nn/pooling.h"                            // IWYU pragma: export
#include "halfway/nn/sequential.h"                         // IWYU pragma: export
#include "halfway/nn/weight.h"                             // IWYU pragma: export
#include "halfway/ops/accumulate.h"                        // IWYU pragma: export
#include "halfway/ops/accurate_sum.h"                      // IWYU pragma: export
#include "halfway/ops/activation.h"                        // IWYU pragma: export
#include "halfway/ops/activation_backward.h"               // IWYU pragma: export
#include "halfway/ops/attention.h"                         // IWYU pragma: export
#include "halfway/ops/attention_backward.h"                // IWYU pragma: export
#include "halfway/ops/convert.h"                           // IWYU pragma: export
#include "halfway/ops/dropout.h"                           // IWYU pragma: export
#include "halfway/ops/elementary.h"                        // IWYU pragma: export
#include "halfway/ops/embedding.h"                         // IWYU pragma: export
#include "halfway/ops/fused_activation.h"                  // IWYU pragma: export
#include "halfway/ops/gemm.h"                              // IWYU pragma: export
#include "halfway/ops/gemm_backward.h"                     // IWYU pragma: export
#include "halfway/ops/gemm_requantized.h"                  // IWYU pragma: export
#include "halfway/ops/im2col.h"                            // IWYU pragma: export
#include "halfway/ops/moments.h"                           // IWYU pragma: export
#include "halfway/ops/norm.h"                              // IWYU pragma: export
#include "halfway/ops/norm_backward.h"                     // IWYU pragma: export
#include "halfway/ops/packed_matrix.h"                     // IWYU pragma: export
#include "halfway/ops/pooling.h"                           // IWYU pragma: export
#include "halfway/ops/quantized_matrix.h"                  // IWYU pragma: export
#include "halfway/ops/reduce.h"                            // IWYU pragma: export
#include "halfway/ops/rotary_embedding.h"                  // IWYU pragma: export
#include "halfway/ops/scale.h"                             // IWYU pragma: export
#include "halfway/ops/softmax.h"                           // IWYU pragma: export
#include "halfway/ops/softmax_backward.h"                  // IWYU pragma: export
#include "halfway/ops/softmax_cross_entropy.h"             // IWYU pragma: export
#include "halfway/ops/window_arguments.h"                  // IWYU pragma: export
#include "halfway/precision/adaptive.h"                    // IWYU pragma: export
#include "halfway/precision/assignment.h"                  // IWYU pragma: export
#include "halfway/precision/autocast.h"                    // IWYU pragma: export
#include "halfway/precision/autocast_executor.h"           // IWYU pragma: export
#include "halfway/precision/cast_cache.h"                  // IWYU pragma: export
#include "halfway/precision/cast_weights.h"                // IWYU pragma: export
#include "halfway/precision/default_ops.h"                 // IWYU pragma: export
#include "halfway/precision/fidelity_budget.h"             // IWYU pragma: export
#include "halfway/precision/graph.h"                       // IWYU pragma: export
#include "halfway/precision/graph_search.h"                // IWYU pragma: export
#include "halfway/precision/layer_rules.h"                 // IWYU pragma: export
#include "halfway/precision/metrics.h"                     // IWYU pragma: export
#include "halfway/precision/op_registry.h"                 // IWYU pragma: export
#include "halfway/precision/op_table.h"                    // IWYU pragma: export
#include "halfway/precision/parameter.h"                   // IWYU pragma: export
#include "halfway/precision/plan.h"                        // IWYU pragma: export
#include "halfway/precision/plan_memory.h"                 // IWYU pragma: export
#include "halfway/precision/plan_text.h"                   // IWYU pragma: export
#include "halfway/precision/policy.h"                      // IWYU pragma: export
#include "halfway/precision/policy_file.h"                 // IWYU pragma: export
#include "halfway/precision/precision_rules.h"             // IWYU pragma: export
#include "halfway/precision/promote.h"                     // IWYU pragma: export
#include "halfway/precision/resolve.h"                     // IWYU pragma: export
#include "halfway/precision/scaler_presence.h"             // IWYU pragma: export
#include "halfway/precision/search.h"                      // IWYU pragma: export
#include "halfway/precision/search_report.h"               // IWYU pragma: export
#include "halfway/precision/search_result.h"               // IWYU pragma: export
#include "halfway/precision/static_policy.h"               // IWYU pragma: export
#include "halfway/quantization/affine.h"                   // IWYU pragma: export
#include "halfway/quantization/affine_params.h"            // IWYU pragma: export
#include "halfway/quantization/blocks.h"                   // IWYU pragma: export
#include "halfway/quantization/calibration.h"              // IWYU pragma: export
#include "halfway/quantization/fake_quantize.h"            // IWYU pragma: export
#include "halfway/quantization/fixed_point.h"              // IWYU pragma: export
#include "halfway/quantization/gptq.h"                     // IWYU pragma: export
#include "halfway/quantization/groups.h"                   // IWYU pragma: export
#include "halfway/quantization/histogram_observer.h"       // IWYU pragma: export
#include "halfway/quantization/microscaling.h"             // IWYU pragma: export
#include "halfway/quantization/min_max_observer.h"         // IWYU pragma: export
#include "halfway/quantization/moving_average_observer.h"  // IWYU pragma: export
#include "halfway/quantization/nvfp4.h"                    // IWYU pragma: export
#include "halfway/quantization/onnx.h"                     // IWYU pragma: export
#include "halfway/quantization/quantized_linear.h"         // IWYU pragma: export
#include "halfway/quantization/row_observers.h"            // IWYU pragma: export
#include "halfway/quantization/smooth.h"                   // IWYU pragma: export
#include "halfway/simd/metrics.h"                          // IWYU pragma: export
#include "halfway/telemetry/checks.h"                      // IWYU pragma: export
#include "halfway/telemetry/metrics.h"                     // IWYU pragma: export
#include "halfway/telemetry/metrics_json.h"                // IWYU pragma: export
#include "halfway/telemetry/names.h"                       // IWYU pragma: export
#include "halfway/telemetry/prometheus.h"                  // IWYU pragma: export
#include "halfway/telemetry/registry.h"                    // IWYU pragma: export
#include "halfway/telemetry/trace.h"                       // IWYU pragma: export
#include "halfway/training/adam.h"                         // IWYU pragma: export
#include "halfway/training/block_moments.h"                // IWYU pragma: export
#include "halfway/training/fp8_scaling.h"                  // IWYU pragma: export
#include "halfway/training/gradient_accumulation.h"        // IWYU pragma: export
#include "halfway/training/gradient_clipping.h"            // IWYU pragma: export
#include "halfway/training/lion.h"                         // IWYU pragma: export
#include "halfway/training/loss_scaler.h"                  // IWYU pragma: export
#include "halfway/training/metrics.h"                      // IWYU pragma: export
#include "halfway/training/optimizer.h"                    // IWYU pragma: export
#include "halfway/training/optimizer_step.h"               // IWYU pragma: export
#include "halfway/training/sgd.h"                          // IWYU pragma: export
#include "halfway/training/state_text.h"                   // IWYU pragma: export
#include "halfway/training/weight_storage.h"               // IWYU pragma: export
#include "halfway/types/bfloat16.h"                        // IWYU pragma: export
#include "halfway/types/cast.h"                            // IWYU pragma: export
#include "halfway/types/dtype.h"                           // IWYU pragma: export
#include "halfway/types/float4.h"                          // IWYU pragma: export
#include "halfway/types/float6.h"                          // IWYU pragma: export
#include "halfway/types/float8.h"                          // IWYU pragma: export
#include "halfway/types/format.h"                          // IWYU pragma: export
#include "halfway/types/formats.h"                         // IWYU pragma: export
#include "halfway/types/half.h"                            // IWYU pragma: export
#include "halfway/types/int4.h"                            // IWYU pragma: export
#include "halfway/types/int8.h"                            // IWYU pragma: export
#include "halfway/types/literals.h"                        // IWYU pragma: export
#include "halfway/types/math.h"                            // IWYU pragma: export
#include "halfway/types/minifloat.h"                       // IWYU pragma: export
#include "halfway/types/philox.h"                          // IWYU pragma: export
#include "halfway/types/rounding.h"                        // IWYU pragma: export
#include "halfway/types/small_int.h"                       // IWYU pragma: export
#include "halfway/types/text.h"                            // IWYU pragma: export

#endif  // HALFWAY_HALFWAY_H_
