// SPDX-License-Identifier: Apache-2.0
#include "accuracy.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "halfway/fidelity/canary.h"
#include "halfway/io/safetensors.h"
#include "number_text.h"

namespace validate {

namespace {

template <class T>
std::vector<std::int64_t> widened(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

std::vector<std::int64_t> choices_of(const halfway::safetensors_file& data, const std::string& name,
                                     std::size_t rows, std::size_t choices) {
  const halfway::tensor_info& t = data.at(name);
  if (t.elements != rows) {
    throw std::runtime_error("the data's tensor " + name + " has " + std::to_string(t.elements) +
                             " elements for " + std::to_string(rows) + " rows of logits");
  }
  std::vector<std::int64_t> right;
  if (t.type == "I64") {
    right = data.load_exact<std::int64_t>(name);
  } else if (t.type == "I32") {
    right = widened(data.load_exact<std::int32_t>(name));
  } else if (t.type == "U8") {
    right = widened(data.load_exact<std::uint8_t>(name));
  } else {
    throw std::runtime_error("the data's tensor " + name + " is " + t.type +
                             " instead of I64, I32 or U8");
  }
  for (std::size_t i = 0; i != right.size(); ++i) {
    if (right[i] < 0 || static_cast<std::uint64_t>(right[i]) >= choices) {
      throw std::runtime_error("the data's " + name + "[" + std::to_string(i) + "] (" +
                               std::to_string(right[i]) + ") must be below " +
                               std::to_string(choices));
    }
  }
  return right;
}

// Of equal logits the first counts.
bool is_mistake(std::span<const float> logits, std::int64_t right) {
  if (std::ranges::any_of(logits, [](float x) { return std::isnan(x); })) return true;
  return std::ranges::max_element(logits) - logits.begin() != right;
}

}  // namespace

verdict judge_accuracy(const std::string& name, const halfway::matrix<float>& baseline,
                       const halfway::matrix<float>& candidate,
                       const halfway::safetensors_file& data, const tensor_rule& rule) {
  const std::vector<std::int64_t> right = choices_of(data, name, baseline.rows(), baseline.cols());
  halfway::canary canary(*rule.accuracy_drop, rule.error_rate);
  using halfway::canary_verdict;
  for (std::size_t i = 0; i != right.size() && canary.decide() == canary_verdict::undecided; ++i) {
    canary.add(is_mistake(baseline.row(i), right[i]), is_mistake(candidate.row(i), right[i]));
  }
  const canary_verdict v = canary.decide();
  const std::string found = v == canary_verdict::undecided ? "undecided"
                            : v == canary_verdict::worse   ? "worse"
                                                           : "acceptable";
  return {name,
          "accuracy_drop <= " + number_text(*rule.accuracy_drop) + " (error rate " +
              number_text(rule.error_rate) + ")",
          number_text(canary.mean_difference()) + ", " + found + " after " +
              std::to_string(canary.count()) + " rows",
          v == canary_verdict::acceptable};
}

}  // namespace validate
