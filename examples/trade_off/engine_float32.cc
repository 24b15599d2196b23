// SPDX-License-Identifier: Apache-2.0
#include "float_engine-inl.h"
#include "halfway/ops/quantized_matrix.h"
#include "halfway/quantization/groups.h"
#include "halfway/quantization/quantized_linear.h"
#include "halfway/types/int4.h"

namespace trade_off {

namespace {

class int4_products {
 public:
  explicit int4_products(const model& m) {
    for (const layer& l : m.layers) {
      const auto codes = halfway::choose_group_codes<halfway::int4>(l.weight, group);
      bytes_.push_back((codes.codes.size() + 1) / 2 + codes.scales.size() * sizeof(float));
      weights_.push_back(codes.packed());
    }
  }
  void run(std::size_t l, halfway::matrix_view<const float> x, halfway::matrix_view<float> y,
           std::span<const float> bias) const {
    halfway::gemm(x, weights_[l], y, {.bias = bias});
  }
  std::size_t bytes(std::size_t l) const { return bytes_[l]; }

 private:
  static constexpr std::size_t group = 32;
  std::vector<halfway::quantized_matrix<halfway::int4>> weights_;
  std::vector<std::size_t> bytes_;
};

class dynamic_products {
 public:
  explicit dynamic_products(const model& m) {
    for (const layer& l : m.layers) layers_.emplace_back(l.weight, l.bias);
  }
  void run(std::size_t l, halfway::matrix_view<const float> x, halfway::matrix_view<float> y,
           std::span<const float> /*bias*/) const {  // it has its own
    layers_[l].dynamic(x, y);
  }
  std::size_t bytes(std::size_t l) const {
    return layers_[l].rows() * layers_[l].cols() + layers_[l].cols() * sizeof(float);
  }

 private:
  std::vector<halfway::quantized_linear> layers_;
};

}  // namespace

engine_ptr make_float32(const model& m, std::size_t batch) {
  return make_packed_engine<float>(m, batch);
}

engine_ptr make_int8_dynamic(const model& m, std::size_t batch) {
  return std::make_unique<float_engine<float, dynamic_products>>(m, batch, dynamic_products(m));
}

engine_ptr make_int4_weights(const model& m, std::size_t batch) {
  return std::make_unique<float_engine<float, int4_products>>(m, batch, int4_products(m));
}

void observe_float32(const model& m, halfway::matrix_view<const std::uint8_t> pixels,
                     const layer_observer& observer) {
  float_engine<float, packed_products<float>> net(m, pixels.rows(), packed_products<float>(m));
  halfway::matrix<float> logits(pixels.rows(), demo::class_count);
  net.run(pixels, logits.view(), [&](std::size_t l, const auto& y) { observer(l, y); });
}

}  // namespace trade_off
