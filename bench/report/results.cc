// SPDX-License-Identifier: Apache-2.0
#include "results.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace halfway_bench {
namespace {

using nlohmann::json;

// The value at a share of the way through sorted values, between two of them by linear interpolation.
double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], at - static_cast<double>(below));
}

// The repetitions of a case, one after the other.
struct repetitions {
  std::string name, error;
  std::vector<json> runs;

  statistic values(const std::string& key) const {
    std::vector<double> all;
    for (const json& run : runs) {
      const double value = run.at(key).get<double>();
      if (!std::isfinite(value) || value <= 0)
        throw std::runtime_error(name + ": " + key + " is " + std::to_string(value));
      all.push_back(value);
    }
    return statistic(std::move(all));
  }
};

measured summarize(const repetitions& r) {
  measured m;
  m.name = r.name;
  m.error = r.error;
  if (!m.error.empty()) return m;
  const json& first = r.runs.front();
  m.rate_unit = first.contains("GB/s") ? "GB/s" : "GFLOP/s";
  m.rate = r.values(m.rate_unit);
  m.of_ceiling = r.values("of_ceiling");
  m.seconds = r.values("seconds");
  m.operations = r.values("operations").median;
  m.bytes = r.values("bytes").median;
  for (const auto& [key, value] : first.items()) {
    if (!key.starts_with(peer_prefix)) continue;
    const std::string peer = key.substr(std::string(peer_prefix).size());
    m.peers.emplace(peer, r.values(key));
    std::vector<double> ratios;
    for (const json& run : r.runs)
      ratios.push_back(run.at(m.rate_unit).get<double>() / run.at(key).get<double>());
    m.ratios.emplace(peer, statistic(std::move(ratios)));
  }
  return m;
}

results parse(const json& whole) {
  results r;
  for (const auto& [key, value] : whole.at("context").items())
    r.context[key] = value.is_string() ? value.get<std::string>() : value.dump();
  std::vector<repetitions> all;
  for (const json& run : whole.at("benchmarks")) {
    if (run.value("run_type", "iteration") != "iteration") continue;  // Google Benchmark's summary
    const std::string name = run.at("name").get<std::string>();
    auto at = std::find_if(all.begin(), all.end(),
                           [&](const repetitions& other) { return other.name == name; });
    if (at == all.end()) at = all.insert(at, {name, {}, {}});
    at->runs.push_back(run);
    if (run.value("error_occurred", false)) at->error = run.value("error_message", "failed");
  }
  for (const repetitions& each : all) r.cases.push_back(summarize(each));
  return r;
}

}  // namespace

statistic::statistic(std::vector<double> all) : values(std::move(all)) {
  if (values.empty()) return;
  std::sort(values.begin(), values.end());
  lower_quartile = quantile(values, 0.25);
  median = quantile(values, 0.5);
  upper_quartile = quantile(values, 0.75);
}

std::string measured::best_peer() const {
  const auto best = std::max_element(peers.begin(), peers.end(), [](const auto& a, const auto& b) {
    return a.second.median < b.second.median;
  });
  return best == peers.end() ? "" : best->first;
}

double results::number(const std::string& key) const {
  const auto at = context.find(key);
  if (at == context.end()) throw std::runtime_error(file + ": the context has no " + key);
  try {
    return std::stod(at->second);
  } catch (const std::exception&) {
    throw std::runtime_error(file + ": " + key + " is no number but " + at->second);
  }
}

results read_results(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error(file + ": cannot be read");
  try {
    results r = parse(json::parse(in));
    r.file = file;
    if (r.cases.empty()) throw std::runtime_error("no cases");
    return r;
  } catch (const std::exception& e) {
    throw std::runtime_error(file + ": not what halfway_bench writes: " + e.what());
  }
}

}  // namespace halfway_bench
