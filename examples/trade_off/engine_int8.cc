// SPDX-License-Identifier: Apache-2.0
// Codes from layer to layer: a product's sums become the next layer's uint8 at once.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine.h"
#include "halfway/ops/gemm_requantized.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/quantization/affine.h"
#include "halfway/quantization/min_max_observer.h"

namespace trade_off {

namespace {

using halfway::affine_params;
using halfway::matrix;
using halfway::matrix_view;

// Pixels are their own codes.
constexpr affine_params pixel_params{1.0f, 0};

struct int8_layer {
  halfway::packed_matrix<std::int8_t> weight;
  std::vector<std::int32_t> bias;
  std::vector<float> scale;  // of a sum, for each output
  affine_params in, out;
};

// `keeps_float`: sums become floats instead of codes of `out`.
int8_layer quantize_layer(const layer& from, const affine_params& in, const affine_params& out,
                          bool keeps_float) {
  const auto channels = from.weight.view().transposed();  // an output a row
  const auto params =
      halfway::choose_row_params(channels, halfway::dtype::int8, halfway::affine_scheme::symmetric);
  matrix<std::int8_t> codes(from.weight.rows(), from.weight.cols());
  halfway::quantize_rows(channels, codes.view().transposed(), params);
  int8_layer l{halfway::packed_matrix<std::int8_t>(codes), {}, {}, in, out};
  constexpr double most = 1 << 30;  // leaves room for the sum
  for (std::size_t j = 0; j < params.size(); ++j) {
    const double unit = static_cast<double>(in.scale) * static_cast<double>(params[j].scale);
    l.bias.push_back(static_cast<std::int32_t>(
        std::clamp(std::nearbyint(static_cast<double>(from.bias[j]) / unit), -most, most)));
    l.scale.push_back(
        static_cast<float>(keeps_float ? unit : unit / static_cast<double>(out.scale)));
  }
  return l;
}

class int8_engine : public engine {
 public:
  int8_engine(const model& m, std::size_t batch, std::vector<affine_params> outputs)
      : gamma_(m.gamma), beta_(m.beta) {
    affine_params in = pixel_params;
    outputs.push_back({});  // of the logits, which are floats
    for (std::size_t l = 0; l < m.layers.size(); ++l) {
      const bool is_last = l + 1 == m.layers.size();
      const std::size_t width = m.layers[l].weight.cols();
      layers_.push_back(
          quantize_layer(m.layers[l], in, outputs[l], is_last || m.has_norm_after(l)));
      in = outputs[l];
      if (!is_last) codes_.emplace_back(batch, width);
      if (m.has_norm_after(l)) normed_ = matrix<float>(batch, width);
    }
  }

  void run(matrix_view<const std::uint8_t> pixels, matrix_view<float> logits,
           halfway::numeric_health* health) override {
    const auto top = [&](auto& m) { return m.view().block(0, 0, pixels.rows(), m.cols()); };
    matrix_view<const std::uint8_t> x = pixels;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const int8_layer& from = layers_[l];
      const halfway::requantize_options options{.a_zero_point = from.in.zero_point,
                                                .bias = from.bias,
                                                .scale = from.scale,
                                                .c_zero_point = from.out.zero_point};
      if (l + 1 == layers_.size()) {
        halfway::gemm_requantized(x, from.weight, logits, options);
        if (health != nullptr) health->add(std::span<const float>(logits.data(), logits.size()));
        return;
      }
      const auto y = top(codes_[l]);
      if (!gamma_.empty() && l + 2 == layers_.size()) {
        const auto floats = top(normed_);
        halfway::gemm_requantized(x, from.weight, floats, options);
        halfway::layernorm(floats, gamma_, beta_, floats);
        if (health != nullptr) health->add(std::span<const float>(floats.data(), floats.size()));
        halfway::quantize(floats, y, from.out);  // saturation is the ReLU, as below
      } else {
        // The smallest output of a ReLU is 0, whose code is 0: saturation is the ReLU.
        halfway::gemm_requantized(x, from.weight, y, options);
      }
      x = y;
    }
  }

  halfway::dtype health_type() const override { return halfway::dtype::float32; }

  std::size_t weight_bytes() const override {
    std::size_t bytes = (gamma_.size() + beta_.size()) * sizeof(float);
    for (const int8_layer& l : layers_) {
      bytes += l.weight.rows() * l.weight.cols() + l.bias.size() * sizeof(std::int32_t) +
               l.scale.size() * sizeof(float);
    }
    return bytes;
  }

  std::size_t activation_bytes() const override {
    std::size_t bytes = layers_[0].weight.rows() + demo::class_count * sizeof(float);
    for (const auto& m : codes_) bytes += m.cols();
    return bytes + normed_.cols() * sizeof(float);
  }

 private:
  std::vector<int8_layer> layers_;
  std::vector<float> gamma_, beta_;
  std::vector<matrix<std::uint8_t>> codes_;
  matrix<float> normed_;
};

}  // namespace

engine_ptr make_int8_static(const model& m, std::size_t batch,
                            matrix_view<const std::uint8_t> calibration) {
  std::vector<halfway::min_max_observer> ranges(m.layers.size() - 1);
  const float zero = 0;
  for (auto& r : ranges) r.observe(std::span(&zero, 1));  // the smallest output of a ReLU
  matrix<float> positive;
  observe_float32(m, calibration, [&](std::size_t l, matrix_view<const float> y) {
    positive = matrix<float>(y.rows(), y.cols());
    std::transform(y.data(), y.data() + y.size(), positive.data(),
                   [](float v) { return std::max(v, 0.0f); });
    ranges[l].observe(positive.elements());
  });
  std::vector<affine_params> params;
  for (const auto& r : ranges) params.push_back(r.params(halfway::dtype::uint8));
  return std::make_unique<int8_engine>(m, batch, params);
}

}  // namespace trade_off
