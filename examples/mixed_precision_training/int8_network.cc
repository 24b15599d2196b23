// SPDX-License-Identifier: Apache-2.0
#include "int8_network.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/gemm_requantized.h"
#include "halfway/ops/norm.h"
#include "halfway/quantization/affine.h"
#include "network.h"
#include "parameters.h"
#include "stopwatch.h"

namespace demo {

namespace {

using halfway::affine_params;
using activation_ranges = std::array<halfway::min_max_observer, last_hidden + 1>;

// What the hidden layers of the FP32 network give for the first training images.
activation_ranges calibrate(const run_result& fp32, std::size_t batch,
                            const labelled_images& images) {
  constexpr std::size_t most_images = 2048;
  activation_ranges ranges;
  network<float> net(batch, fp32.parameters);
  std::vector<std::uint32_t> indices(std::min(most_images, images.size()));
  std::iota(indices.begin(), indices.end(), 0u);
  for (std::size_t first = 0; first < indices.size(); first += batch) {
    net.load(images, std::span(indices).subspan(first, std::min(batch, indices.size() - first)));
    net.forward();
    for (std::size_t l = 0; l <= last_hidden; ++l) ranges[l].observe(net.hidden(l));
  }
  return ranges;
}

struct int8_layer {
  halfway::matrix<std::int8_t> weights;
  std::vector<std::int32_t> bias;
  std::vector<float> scale;  // of a sum, for each output channel
  affine_params out;         // of the layer's output; not used where that stays float
};

// `in` and `out`: how the layer's input and output are stored. `out_is_float`: the sums become
// floats instead of codes.
int8_layer quantize_layer(halfway::matrix_view<const float> weights, std::span<const float> bias,
                          const affine_params& in, const affine_params& out, bool out_is_float) {
  int8_layer layer{{weights.rows(), weights.cols()},
                   std::vector<std::int32_t>(bias.size()),
                   std::vector<float>(bias.size()),
                   out};
  const auto channels = weights.transposed();  // an output channel a row
  const std::vector<affine_params> params =
      halfway::choose_row_params(channels, halfway::dtype::int8, halfway::affine_scheme::symmetric);
  halfway::quantize_rows(channels, layer.weights.view().transposed(), params);
  for (std::size_t j = 0; j < params.size(); ++j) {
    const double unit = static_cast<double>(in.scale) * static_cast<double>(params[j].scale);
    layer.bias[j] = static_cast<std::int32_t>(std::clamp<double>(
        std::nearbyint(static_cast<double>(bias[j]) / unit),
        std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()));
    layer.scale[j] =
        static_cast<float>(out_is_float ? unit : unit / static_cast<double>(out.scale));
  }
  return layer;
}

class int8_network {
 public:
  int8_network(std::size_t batch, std::span<const float> parameters,
               const activation_ranges& ranges)
      : gamma_(layout_.gamma().elements_in(parameters)),
        beta_(layout_.beta().elements_in(parameters)),
        pixels_(batch, image_bytes),
        before_norm_(batch, layer_sizes[last_hidden + 1]),
        after_norm_(batch, layer_sizes[last_hidden + 1]),
        logits_(batch, class_count) {
    affine_params in = input_params;
    for (std::size_t l = 0; l < layer_count; ++l) {
      const affine_params out =
          l <= last_hidden ? ranges[l].params(halfway::dtype::uint8) : affine_params{};
      layers_[l] =
          quantize_layer(layout_.weights(l).in(parameters), layout_.bias(l).elements_in(parameters),
                         in, out, l >= last_hidden);
      if (l <= last_hidden) hidden_[l] = halfway::matrix<std::uint8_t>(batch, layer_sizes[l + 1]);
      in = out;
    }
  }

  std::span<const float> logits(const labelled_images& images, std::size_t first,
                                std::size_t rows) {
    std::memcpy(pixels_.data(), images.image(first), rows * image_bytes);
    const auto top = [rows](auto& m) { return m.view().block(0, 0, rows, m.cols()); };
    auto in = top(std::as_const(pixels_));
    affine_params in_params = input_params;
    for (std::size_t l = 0; l < layer_count; ++l) {
      const int8_layer& layer = layers_[l];
      halfway::requantize_options options{.a_zero_point = in_params.zero_point,
                                          .bias = layer.bias,
                                          .scale = layer.scale,
                                          .c_zero_point = layer.out.zero_point};
      if (l + 1 == layer_count) {
        halfway::gemm_requantized(in, layer.weights, top(logits_), options);
        break;
      }
      if (l == last_hidden) {
        halfway::gemm_requantized(in, layer.weights, top(before_norm_), options);
        halfway::layernorm(top(before_norm_), gamma_, beta_, top(after_norm_));
        halfway::relu(after_norm_.elements(), after_norm_.elements());
        halfway::quantize(top(after_norm_), top(hidden_[l]), layer.out);
      } else {
        // The smallest output of a ReLU is 0, so its code is 0: saturation is the ReLU.
        halfway::gemm_requantized(in, layer.weights, top(hidden_[l]), options);
      }
      in = top(std::as_const(hidden_[l]));
      in_params = layer.out;
    }
    return logits_.elements().first(rows * class_count);
  }

  std::size_t weight_bytes() const {
    std::size_t bytes = layout_.model_bytes(sizeof(std::int8_t));
    for (const int8_layer& layer : layers_) bytes += layer.scale.size() * sizeof(float);
    return bytes;
  }

  std::size_t activation_bytes() const {
    std::size_t bytes = pixels_.bytes() + before_norm_.bytes() + logits_.bytes();
    for (const halfway::matrix<std::uint8_t>& h : hidden_) bytes += h.bytes();
    return bytes;
  }

 private:
  static constexpr affine_params input_params{1.0f, 0};  // pixels are their own codes

  parameter_layout layout_;
  std::array<int8_layer, layer_count> layers_;
  std::span<const float> gamma_, beta_;
  halfway::matrix<std::uint8_t> pixels_;
  std::array<halfway::matrix<std::uint8_t>, last_hidden + 1> hidden_;
  halfway::matrix<float> before_norm_, after_norm_, logits_;
};

}  // namespace

run_result quantize_and_evaluate(const run_result& fp32, const training_settings& settings,
                                 const fashion_mnist& data) {
  run_result result;
  result.settings = {
      "INT8", {halfway::dtype::int8, halfway::dtype::int8, halfway::dtype::float32}, false};
  const activation_ranges ranges = calibrate(fp32, settings.batch, data.train);
  int8_network net(settings.batch, fp32.parameters, ranges);

  const stopwatch evaluation_time;
  for (std::size_t first = 0; first < data.test.size(); first += settings.batch) {
    const std::size_t rows = std::min(settings.batch, data.test.size() - first);
    const std::span<const float> logits = net.logits(data.test, first, rows);
    result.logits.insert(result.logits.end(), logits.begin(), logits.end());
  }
  result.evaluation_seconds = evaluation_time.seconds();
  result.weight_bytes = net.weight_bytes();
  result.activation_bytes = net.activation_bytes();
  return result;
}

}  // namespace demo
