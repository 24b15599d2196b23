// SPDX-License-Identifier: Apache-2.0
#include "validation.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>

#include "accuracy.h"
#include "halfway/core/matrix.h"
#include "halfway/fidelity/logit_comparison.h"
#include "halfway/io/safetensors.h"
#include "halfway/precision/layer_rules.h"
#include "number_text.h"

namespace validate {

namespace {

using halfway::safetensors_file;
using halfway::tensor_info;

bool is_float(const tensor_info& t) {
  constexpr std::array<std::string_view, 9> floats = {
      "F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"};
  return std::ranges::find(floats, t.type) != floats.end();
}

// "block.2" before "block.10".
bool naturally_before(std::string_view a, std::string_view b) {
  const auto digits = [](std::string_view text) {
    std::size_t n = 0;
    while (n < text.size() && std::isdigit(static_cast<unsigned char>(text[n])) != 0) ++n;
    return n;
  };
  const std::string_view whole_a = a, whole_b = b;
  while (!a.empty() && !b.empty()) {
    std::size_t m = digits(a), n = digits(b);
    if (m == 0 || n == 0) {
      if (a[0] != b[0]) return a[0] < b[0];
      m = n = 1;
    } else {
      const auto value = [](std::string_view number) {
        return number.substr(std::min(number.find_first_not_of('0'), number.size()));
      };
      const std::string_view x = value(a.substr(0, m)), y = value(b.substr(0, n));
      if (x != y) return x.size() != y.size() ? x.size() < y.size() : x < y;
    }
    a.remove_prefix(m);
    b.remove_prefix(n);
  }
  return a.size() != b.size() ? a.size() < b.size() : whole_a < whole_b;  // "01" and "1" differ
}

std::string shape_of(const tensor_info& t) {
  std::string text = "[";
  for (const std::uint64_t extent : t.shape) {
    text += (text.size() == 1 ? "" : ", ") + std::to_string(extent);
  }
  return text + "]";
}

std::vector<std::string> names_in_order(const safetensors_file& baseline,
                                        const safetensors_file& candidate, const slo& objectives) {
  std::vector<std::string> names;
  for (const tensor_info& b : baseline.tensors()) {
    if (!candidate.contains(b.name))
      throw std::runtime_error("tensor " + b.name + " of the baseline is not in the candidate");
    const tensor_info& c = candidate.at(b.name);
    if (b.shape != c.shape) {
      throw std::runtime_error("tensor " + b.name + " has the shape " + shape_of(b) +
                               " in the baseline, " + shape_of(c) + " in the candidate");
    }
    if (is_float(b) != is_float(c)) {
      throw std::runtime_error("tensor " + b.name + " is " + b.type + " in the baseline, " +
                               c.type + " in the candidate");
    }
    names.push_back(b.name);
  }
  for (const tensor_info& c : candidate.tensors()) {
    if (!baseline.contains(c.name))
      throw std::runtime_error("tensor " + c.name + " of the candidate is not in the baseline");
  }
  if (names.empty()) throw std::runtime_error("the files hold no tensors");
  const auto place = [&](const std::string& name) {
    return std::ranges::find_if(objectives.order,
                                [&](const std::string& pattern) {
                                  return halfway::matches_pattern(pattern, name);
                                }) -
           objectives.order.begin();
  };
  std::ranges::sort(names, [&](const std::string& a, const std::string& b) {
    const auto i = place(a), j = place(b);
    return i != j ? i < j : naturally_before(a, b);
  });
  return names;
}

// The last dimension's choices, all others' rows.
halfway::matrix<float> rows_of(const safetensors_file& file, const std::string& name) {
  const tensor_info& t = file.at(name);
  if (t.shape.empty())
    throw std::runtime_error("tensor " + name + " has no dimensions: it cannot hold logits");
  const std::uint64_t cols = t.shape.back();
  halfway::matrix<float> rows(static_cast<std::size_t>(cols == 0 ? 0 : t.elements / cols),
                              static_cast<std::size_t>(cols));
  file.read(name, rows.elements());
  return rows;
}

std::string how_many(std::size_t n, const std::string& of_what) {
  return std::to_string(n) + " " + of_what;
}

template <class Comparison>
verdict judge(const std::string& name, const halfway::objective& o, const Comparison& c,
              const std::string& of_what) {
  const std::string measured =
      c.broken() != 0 ? how_many(c.broken(), of_what + " broken") : number_text(o.measured(c));
  return {name, to_string(o), measured, o.met_by(c)};
}

}  // namespace

validation compare(const safetensors_file& baseline, const safetensors_file& candidate,
                   const slo& objectives, const safetensors_file* data) {
  const bool wanted = std::ranges::any_of(
      objectives.tensors, [](const tensor_rule& rule) { return rule.accuracy_drop.has_value(); });
  if (wanted != (data != nullptr)) {
    throw std::runtime_error(wanted ? "accuracy_drop needs --data"
                                    : "--data needs a rule with accuracy_drop");
  }
  validation v{halfway::run_comparison(objectives.ulp_type), {}, {}, {}};
  std::vector<bool> used(objectives.tensors.size());
  for (const std::string& name : names_in_order(baseline, candidate, objectives)) {
    const std::size_t before = v.verdicts.size();
    if (!is_float(baseline.at(name))) {
      const bool same = baseline.at(name).type == candidate.at(name).type &&
                        std::ranges::equal(baseline.bytes(name), candidate.bytes(name));
      v.verdicts.push_back({name, "equal", same ? "equal" : "different", same});
    } else {
      const auto elements = static_cast<std::size_t>(baseline.at(name).elements);
      std::vector<float> b(elements), c(elements);
      baseline.read(name, b);
      candidate.read(name, c);
      v.runs.add(name, b, c);
      const halfway::comparison& values = v.runs.layers().back().values;
      for (std::size_t r = 0; r != objectives.tensors.size(); ++r) {
        const tensor_rule& rule = objectives.tensors[r];
        if (!halfway::matches_pattern(rule.match, name)) continue;
        used[r] = true;
        halfway::logit_comparison logits(rule.top_k);
        if (rule.accuracy_drop ||
            std::ranges::any_of(rule.objectives, &halfway::objective::of_logits)) {
          const auto base_rows = rows_of(baseline, name), rows = rows_of(candidate, name);
          logits.add(base_rows, rows);
          if (rule.accuracy_drop)
            v.verdicts.push_back(judge_accuracy(name, base_rows, rows, *data, rule));
        }
        for (const halfway::objective& o : rule.objectives) {
          v.verdicts.push_back(o.of_logits() ? judge(name, o, logits, "rows")
                                             : judge(name, o, values, "values"));
        }
      }
    }
    const bool missed = std::any_of(v.verdicts.begin() + static_cast<std::ptrdiff_t>(before),
                                    v.verdicts.end(), [](const verdict& d) { return !d.met; });
    if (missed && !v.parted) v.parted = name;
  }
  for (std::size_t r = 0; r != used.size(); ++r) {
    if (!used[r]) {
      throw std::runtime_error("the rule for \"" + objectives.tensors[r].match +
                               "\" matches no tensor of floats");
    }
  }
  if (const halfway::layer_comparison* origin = v.runs.origin_of_nan()) {
    v.nan_origin = origin->name + "[" + std::to_string(*origin->first_broken) + "]";
  }
  return v;
}

verdict judge_latency(std::vector<double> timings, const latency_rule& rule) {
  std::ranges::sort(timings);
  // The smallest rank r with r >= n percent / 100; the product is exact enough to be an integer where
  // it is one, but for its last bits.
  const double n = static_cast<double>(timings.size());
  const double rank = std::ceil(n * rule.percent / 100 * (1 - 0x1p-50));
  const double value = timings[static_cast<std::size_t>(std::clamp(rank, 1.0, n)) - 1];
  return {"latency", rule.name + " <= " + number_text(rule.limit), number_text(value),
          value <= rule.limit};
}

}  // namespace validate
