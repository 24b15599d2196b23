// SPDX-License-Identifier: Apache-2.0
// Which operation made the first NaN or infinity, and where: without a baseline.
//
//   halfway::nan_trace trace;
//   trace.add("input", x);
//   trace.add("scores", scores);         // each result as soon as it is there
//   trace.add("softmax", shares);
//   if (const auto& origin = trace.origin()) std::cout << origin->operation << origin->index;
#ifndef HALFWAY_FIDELITY_NAN_TRACE_H_
#define HALFWAY_FIDELITY_NAN_TRACE_H_

#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "halfway/ops/row_arguments.h"

namespace halfway {

/// The first element that was infinite or NaN.
struct non_finite_origin {
  std::string operation;  ///< as add() was told
  std::size_t index;      ///< of the element
  std::size_t call;       ///< of add(), from 0 on
  float value;            ///< NaN or an infinity
};

/// Looks at the results of operations in the order of computation and keeps the first element that
/// is not finite. What came before it was finite, so the operation made it, or its inputs were
/// never added. From there on add() costs nothing but a count.
///
/// A value type; not for several threads at once (give each its own, then merge).
class nan_trace {
 public:
  /// Takes in a contiguous range of any float format. Error: null with a size.
  template <float_storage_vector X>
  void add(std::string_view operation, const X& x) {
    const auto v = detail::input_span("halfway::nan_trace::add", "x", x);
    const std::size_t call = calls_++;
    if (origin_) return;
    for (std::size_t i = 0; i != v.size(); ++i) {
      const float value = static_cast<float>(v[i]);
      if (std::isfinite(value)) continue;
      origin_ = non_finite_origin{std::string(operation), i, call, value};
      return;
    }
  }

  /// Of threads or ranks that run the same operations in step: the earlier call's origin, this
  /// one's where both are of one call.
  void merge(const nan_trace& other) {
    if (other.origin_ && (!origin_ || other.origin_->call < origin_->call)) origin_ = other.origin_;
  }

  /// Begins anew, for the next step.
  void clear() { *this = nan_trace(); }

  /// Empty while everything was finite.
  const std::optional<non_finite_origin>& origin() const { return origin_; }
  /// How often add() was called.
  std::size_t calls() const { return calls_; }

 private:
  std::optional<non_finite_origin> origin_;
  std::size_t calls_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_NAN_TRACE_H_
