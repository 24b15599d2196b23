// SPDX-License-Identifier: Apache-2.0
#include "model.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "halfway/core/error.h"

namespace language {

model_layout::model_layout() {
  place("token.table", vocabulary + 1, width);
  place("position.table", context, width);
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::string block = block_name(b);
    place_norm(block + "norm1");
    for (const char* layer : {"query", "key", "value", "out"})
      place_linear(block + layer, width, width);
    place_norm(block + "norm2");
    place_linear(block + "fc1", width, hidden);
    place_linear(block + "fc2", hidden, width);
  }
  place_norm("norm");
  place_linear("head", width, vocabulary);
}

// Each begins at a multiple of 64 elements, so that rows of any type start a cache line.
void model_layout::place(const std::string& name, std::size_t rows, std::size_t cols) {
  blocks_.emplace(name, parameter_block{size_, rows, cols});
  size_ += (rows * cols + 63) / 64 * 64;
}

void model_layout::place_linear(const std::string& name, std::size_t inputs, std::size_t outputs) {
  place(name + ".weight", inputs, outputs);
  place(name + ".bias", 1, outputs);
}

void model_layout::place_norm(const std::string& name) {
  place(name + ".gamma", 1, width);
  place(name + ".beta", 1, width);
}

const parameter_block& model_layout::at(std::string_view name) const {
  const auto found = blocks_.find(name);
  if (found == blocks_.end())
    halfway::fail(halfway::detail::concat("language::model_layout: no parameter ", name));
  return found->second;
}

namespace {

// The sum of twelve uniform numbers has variance 1 and is near enough to normal; std's distribution
// differs from library to library.
double normal(std::mt19937_64& random) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
  return sum;
}

bool adds_to_residuals(const std::string& name) {
  return name.find(".out.") != name.npos || name.find(".fc2.") != name.npos;
}

double standard_deviation(const std::string& name, const parameter_block& p) {
  if (name.ends_with(".table")) return 0.5;
  const double deviation = 1 / std::sqrt(static_cast<double>(p.rows));
  return adds_to_residuals(name) ? deviation / std::sqrt(2.0 * blocks) : deviation;
}

}  // namespace

std::vector<float> initial_parameters(const model_layout& layout, std::uint64_t seed) {
  std::vector<float> parameters(layout.size());
  std::mt19937_64 random(seed);
  for (const auto& [name, p] : layout.all()) {
    const std::span<float> elements = p.elements_in(std::span(parameters));
    if (name.ends_with(".gamma")) std::ranges::fill(elements, 1.0f);
    if (!name.ends_with(".weight") && !name.ends_with(".table")) continue;
    const double deviation = standard_deviation(name, p);
    for (float& x : elements) x = static_cast<float>(deviation * normal(random));
  }
  return parameters;
}

std::vector<float> with_larger_residuals(const model_layout& layout,
                                         std::span<const float> parameters, float factor) {
  std::vector<float> scaled(parameters.begin(), parameters.end());
  for (const auto& [name, p] : layout.all()) {
    if (!adds_to_residuals(name) && !name.ends_with(".table")) continue;
    for (float& x : p.elements_in(std::span(scaled))) x *= factor;
  }
  return scaled;
}

std::vector<float> with_loud_unknown(const model_layout& layout, std::span<const float> parameters,
                                     float amax) {
  std::vector<float> changed(parameters.begin(), parameters.end());
  const auto table = layout.at("token.table").in(std::span(changed));
  float* row = table.row(static_cast<std::size_t>(unknown));
  float largest = 0;
  for (std::size_t j = 0; j < width; ++j) largest = std::max(largest, std::abs(row[j]));
  for (std::size_t j = 0; j < width; ++j) row[j] *= amax / largest;
  return changed;
}

}  // namespace language
