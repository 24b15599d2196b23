// SPDX-License-Identifier: Apache-2.0
#include "model.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "halfway/core/error.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_writer.h"
#include "halfway/precision/policy.h"
#include "mixed_precision_training/parameters.h"
#include "mixed_precision_training/progress.h"
#include "mixed_precision_training/training.h"

namespace trade_off {

namespace {

std::string layer_name(std::size_t l, const std::string& what) {
  return "layers." + std::to_string(l) + "." + what;
}

void check_finite(const std::string& path, const std::string& name, std::span<const float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      halfway::fail(
          halfway::detail::concat(path, ": ", name, "[", i, "] (", values[i], ") must be finite"));
    }
  }
}

void check_extent(const std::string& path, const std::string& name, std::size_t is,
                  std::size_t must_be) {
  halfway::detail::check_equal(path, name, is, "what the layers around it ask for", must_be);
}

}  // namespace

model train(const demo::fashion_mnist& data, std::size_t epochs, std::uint64_t seed,
            std::ostream& out) {
  demo::training_settings settings;
  settings.epochs = epochs;
  settings.seed = seed;
  settings.batch = std::min(settings.batch, data.train.size());
  demo::progress display(out, false);
  const demo::run_result run = demo::train({"FP32", halfway::fp32, false}, settings, data, display);
  const demo::parameter_layout layout;
  const std::span<const float> parameters = run.parameters;
  model m;
  for (std::size_t l = 0; l < demo::layer_count; ++l) {
    const auto weights = layout.weights(l).in(parameters);
    const auto bias = layout.bias(l).elements_in(parameters);
    layer next{{weights.rows(), weights.cols()}, {bias.begin(), bias.end()}};
    std::ranges::copy(layout.weights(l).elements_in(parameters), next.weight.elements().begin());
    m.layers.push_back(std::move(next));
  }
  const auto gamma = layout.gamma().elements_in(parameters);
  const auto beta = layout.beta().elements_in(parameters);
  m.gamma.assign(gamma.begin(), gamma.end());
  m.beta.assign(beta.begin(), beta.end());
  return m;
}

model read_model(const std::string& path) {
  const halfway::safetensors_file file(path);
  model m;
  std::size_t inputs = demo::image_bytes;
  while (m.layers.size() < 2 || file.contains(layer_name(m.layers.size(), "weight"))) {
    const std::string weight = layer_name(m.layers.size(), "weight");
    const std::string bias = layer_name(m.layers.size(), "bias");
    layer next{file.load_matrix<float>(weight), std::vector<float>(file.at(bias).elements)};
    file.read(bias, next.bias);
    check_extent(path, weight + ".rows", next.weight.rows(), inputs);
    check_extent(path, bias + ".size", next.bias.size(), next.weight.cols());
    check_finite(path, weight, next.weight.elements());
    check_finite(path, bias, next.bias);
    inputs = next.weight.cols();
    m.layers.push_back(std::move(next));
  }
  check_extent(path, layer_name(m.layers.size() - 1, "weight.cols"), inputs, demo::class_count);
  if (!file.contains("norm.gamma")) return m;
  m.gamma.resize(file.at("norm.gamma").elements);
  m.beta.resize(file.at("norm.beta").elements);
  const std::size_t width = m.layers[m.layers.size() - 2].bias.size();
  check_extent(path, "norm.gamma.size", m.gamma.size(), width);
  check_extent(path, "norm.beta.size", m.beta.size(), width);
  file.read("norm.gamma", m.gamma);
  file.read("norm.beta", m.beta);
  check_finite(path, "norm.gamma", m.gamma);
  check_finite(path, "norm.beta", m.beta);
  return m;
}

void write_model(const model& m, const std::string& path) {
  halfway::safetensors_writer out;
  for (std::size_t l = 0; l < m.layers.size(); ++l) {
    const layer& from = m.layers[l];
    out.add(layer_name(l, "weight"), from.weight.elements(),
            {from.weight.rows(), from.weight.cols()});
    out.add(layer_name(l, "bias"), from.bias);
  }
  if (!m.gamma.empty()) {
    out.add("norm.gamma", m.gamma);
    out.add("norm.beta", m.beta);
  }
  out.write(path);
}

}  // namespace trade_off
