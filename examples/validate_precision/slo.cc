// SPDX-License-Identifier: Apache-2.0
#include "slo.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

namespace validate {

namespace {

using nlohmann::json;

json read_json(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  try {
    return json::parse(file);
  } catch (const json::exception& e) {
    throw std::runtime_error(path + ": " + e.what());
  }
}

double number_of(const std::string& where, const json& value) {
  if (!value.is_number())
    throw std::runtime_error(where + " must be a number, not " + value.dump());
  return value.get<double>();
}

std::string text_of(const std::string& where, const json& value) {
  if (!value.is_string())
    throw std::runtime_error(where + " must be a string, not " + value.dump());
  return value.get<std::string>();
}

const json& checked(const std::string& where, const json& value, bool has_kind, const char* kind) {
  if (!has_kind) throw std::runtime_error(where + " must be " + kind + ", not " + value.dump());
  return value;
}
const json& object_of(const std::string& where, const json& value) {
  return checked(where, value, value.is_object(), "an object");
}
const json& array_of(const std::string& where, const json& value) {
  return checked(where, value, value.is_array(), "an array");
}

constexpr std::array<std::string_view, 5> no_metrics = {"match", "confidence", "top_k",
                                                        "accuracy_drop", "error_rate"};

tensor_rule tensor_rule_of(const std::string& where, const json& value) {
  tensor_rule rule;
  double confidence = 0;
  for (const auto& [key, v] : object_of(where, value).items()) {
    const std::string at = where + "." + key;
    if (key == "match") rule.match = text_of(at, v);
    if (key == "confidence") {
      confidence = number_of(at, v);
      if (!(confidence > 0 && confidence < 1))
        throw std::runtime_error(at + " must be within (0, 1)");
    }
    if (key == "accuracy_drop" || key == "error_rate") {
      const double number = number_of(at, v);
      const bool is_drop = key == "accuracy_drop";
      if (!(number > (is_drop ? -1 : 0) && number < 1))
        throw std::runtime_error(at +
                                 (is_drop ? " must be within (-1, 1)" : " must be within (0, 1)"));
      if (is_drop) {
        rule.accuracy_drop = number;
      } else {
        rule.error_rate = number;
      }
    }
    if (key == "top_k") {
      if (!v.is_number_unsigned() || v == 0u)
        throw std::runtime_error(at + " must be a whole number from 1 on, not " + v.dump());
      rule.top_k = v.get<std::size_t>();
    }
  }
  if (rule.match.empty()) throw std::runtime_error(where + " has no \"match\"");
  bool any_interval = false;
  for (const auto& [key, v] : value.items()) {
    if (std::ranges::find(no_metrics, key) != no_metrics.end()) continue;
    const halfway::fidelity_metric* metric = halfway::find_fidelity_metric(key);
    const bool has_interval = metric != nullptr && (metric->values_interval != nullptr ||
                                                    metric->logits_interval != nullptr);
    any_interval = any_interval || has_interval;
    rule.objectives.emplace_back(key, number_of(where + "." + key, v),
                                 has_interval ? confidence : 0.0);
  }
  if (confidence != 0 && !any_interval)
    throw std::runtime_error(where + ".confidence stands with no metric that has an interval");
  if (value.contains("error_rate") && !rule.accuracy_drop)
    throw std::runtime_error(where + ".error_rate stands without accuracy_drop");
  if (rule.objectives.empty() && !rule.accuracy_drop)
    throw std::runtime_error(where + " has no objective");
  return rule;
}

latency_rule latency_rule_of(const std::string& where, const std::string& key, const json& value) {
  latency_rule rule{key, 0, number_of(where + "." + key, value)};
  const char* const end = key.data() + key.size();
  const auto read = std::from_chars(key.data() + 1, end, rule.percent);
  if (key.size() < 2 || key[0] != 'p' || read.ec != std::errc() || read.ptr != end ||
      !(rule.percent > 0 && rule.percent <= 100)) {
    throw std::runtime_error(where + "." + key + " must be p and a percentage, as in p99");
  }
  return rule;
}

}  // namespace

slo read_slo(const std::string& path) {
  const json file = read_json(path);
  slo s;
  for (const auto& [key, value] : object_of(path, file).items()) {
    const std::string where = path + ": " + key;
    if (key == "ulp_type") {
      const std::string name = text_of(where, value);
      const std::optional<halfway::dtype> type = halfway::parse_dtype(name);
      if (!type) throw std::runtime_error(where + " (" + name + ") is no type");
      s.ulp_type = *type;
    } else if (key == "order") {
      for (const json& pattern : array_of(where, value)) s.order.push_back(text_of(where, pattern));
    } else if (key == "tensors") {
      for (const json& rule : array_of(where, value)) {
        s.tensors.push_back(
            tensor_rule_of(where + "[" + std::to_string(s.tensors.size()) + "]", rule));
      }
    } else if (key == "latency") {
      for (const auto& [percentile, limit] : object_of(where, value).items()) {
        s.latency.push_back(latency_rule_of(where, percentile, limit));
      }
    } else {
      throw std::runtime_error(where + " is not ulp_type, order, tensors or latency");
    }
  }
  if (s.tensors.empty() && s.latency.empty())
    throw std::runtime_error(path + ": no objective in tensors or latency");
  return s;
}

std::vector<double> read_timings(const std::string& path) {
  const json file = read_json(path);
  std::vector<double> timings;
  for (const json& value : array_of(path, file)) {
    const std::string where = path + "[" + std::to_string(timings.size()) + "]";
    timings.push_back(number_of(where, value));
    if (!(timings.back() >= 0 && std::isfinite(timings.back())))
      throw std::runtime_error(where + " must be 0 or more, not " + value.dump());
  }
  if (timings.empty()) throw std::runtime_error(path + ": no timings");
  return timings;
}

}  // namespace validate
