// SPDX-License-Identifier: Apache-2.0
// On which instructions operations run, as metrics: that a machine is on a slow path shows nowhere
// else but in the latency.
#ifndef HALFWAY_SIMD_METRICS_H_
#define HALFWAY_SIMD_METRICS_H_

#include "halfway/simd/dispatch.h"
#include "halfway/telemetry/names.h"
#include "halfway/telemetry/registry.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// Whether products multiply values of the type themselves on this CPU, or what they are widened
/// to: bfloat16 where there are instructions of its dot product, integers and float32 always,
/// other small floats never.
inline bool has_native_products(dtype type) {
  if (type == dtype::bfloat16) return HALFWAY_DISPATCH(HasNativeBFloat16)();
  return !is_floating(type) || type == dtype::float32;
}

/// Exports the SIMD target. Errors: see telemetry::registry.
inline void export_simd_target(telemetry::registry& r) {
  telemetry::detail::get_gauge(r, telemetry::names::simd_info, {simd_target_name()}).set(1);
}

/// Exports whether a type that the program counts on to be fast is. Errors: see
/// telemetry::registry.
inline void export_native_products(telemetry::registry& r, dtype type) {
  telemetry::detail::get_gauge(r, telemetry::names::native_products, {name(type)})
      .set(has_native_products(type) ? 1 : 0);
}

}  // namespace halfway

#endif  // HALFWAY_SIMD_METRICS_H_
