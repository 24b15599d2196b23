// SPDX-License-Identifier: Apache-2.0
#include "comparison.h"

#include <algorithm>
#include <cmath>

#include "data/fashion_mnist.h"
#include "halfway/core/error.h"

namespace demo {

namespace {

constexpr std::int32_t no_class = -1;

std::int32_t predicted_class(std::span<const float> logits) {
  if (!std::ranges::all_of(logits, [](float x) { return std::isfinite(x); })) return no_class;
  return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace

comparison compare(std::span<const float> logits, std::span<const float> baseline,
                   std::span<const std::int32_t> labels) {
  halfway::detail::check_equal("demo::compare", "logits.size()", logits.size(),
                               "class_count * labels.size()", class_count * labels.size());
  halfway::detail::check_equal("demo::compare", "baseline.size()", baseline.size(), "logits.size()",
                               logits.size());
  comparison result;
  std::size_t right = 0, agreeing = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::int32_t predicted = predicted_class(logits.subspan(i * class_count, class_count));
    if (predicted == no_class) {
      ++result.not_finite_images;
      continue;
    }
    if (predicted == labels[i]) ++right;
    if (predicted == predicted_class(baseline.subspan(i * class_count, class_count))) ++agreeing;
  }
  result.accuracy = static_cast<double>(right) / static_cast<double>(labels.size());
  result.agreement = static_cast<double>(agreeing) / static_cast<double>(labels.size());

  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto b = static_cast<double>(baseline[i]);
    const double difference = b - static_cast<double>(logits[i]);
    signal += b * b;
    noise += difference * difference;
  }
  if (noise > 0 && std::isfinite(noise) && signal > 0)
    result.sqnr_db = 10 * std::log10(signal / noise);
  return result;
}

}  // namespace demo
