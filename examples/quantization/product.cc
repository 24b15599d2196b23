// SPDX-License-Identifier: Apache-2.0
#include "product.h"

#include <utility>

#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/ops/quantized_matrix.h"
#include "halfway/quantization/microscaling.h"
#include "halfway/quantization/quantized_linear.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float4.h"

namespace quantization {

namespace {

using halfway::bfloat16;
using halfway::matrix;
using halfway::matrix_view;

class float_product : public product {
 public:
  explicit float_product(const stage& s) : weights_(s.weight), bias_(s.bias) {}
  void run(matrix_view<const float> x, matrix_view<float> y) const override {
    halfway::gemm(x, weights_, y, {.bias = bias_});
  }
  std::size_t bytes() const override {
    return (weights_.rows() * weights_.cols() + bias_.size()) * sizeof(float);
  }

 private:
  halfway::packed_matrix<float> weights_;
  std::vector<float> bias_;
};

class bfloat16_product : public product {
 public:
  bfloat16_product(const matrix<bfloat16>& weights, const std::vector<float>& bias,
                   std::size_t weight_bytes)
      : weights_(weights), bias_(bias), bytes_(weight_bytes + bias.size() * sizeof(float)) {}
  void run(matrix_view<const float> x, matrix_view<float> y) const override {
    matrix<bfloat16> narrow(x.rows(), x.cols());
    halfway::convert(x, narrow);
    halfway::gemm(narrow, weights_, y, {.bias = bias_});
  }
  std::size_t bytes() const override { return bytes_; }

 private:
  halfway::packed_matrix<bfloat16> weights_;
  std::vector<float> bias_;
  std::size_t bytes_;
};

class int8_product : public product {
 public:
  int8_product(const stage& s, std::optional<halfway::affine_params> params)
      : layer_(s.weight, s.bias), params_(params) {}
  void run(matrix_view<const float> x, matrix_view<float> y) const override {
    if (params_) {
      layer_.with_params(x, *params_, y);
    } else {
      layer_.dynamic(x, y);
    }
  }
  std::size_t bytes() const override {
    return layer_.rows() * layer_.cols() + 2 * layer_.cols() * sizeof(float);
  }

 private:
  halfway::quantized_linear layer_;
  std::optional<halfway::affine_params> params_;
};

class int4_product : public product {
 public:
  int4_product(const halfway::group_codes<halfway::int4>& codes, const std::vector<float>& bias)
      : weights_(codes.packed()),
        bias_(bias),
        bytes_((codes.codes.size() + 1) / 2 + (codes.scales.size() + bias.size()) * sizeof(float)) {
  }
  void run(matrix_view<const float> x, matrix_view<float> y) const override {
    halfway::gemm(x, weights_, y, {.bias = bias_});
  }
  std::size_t bytes() const override { return bytes_; }

 private:
  halfway::quantized_matrix<halfway::int4> weights_;
  std::vector<float> bias_;
  std::size_t bytes_;
};

}  // namespace

product_ptr make_float32(const stage& s) { return std::make_unique<float_product>(s); }

product_ptr make_bfloat16(const stage& s) {
  matrix<bfloat16> w(s.weight.rows(), s.weight.cols());
  halfway::convert(s.weight, w);
  return std::make_unique<bfloat16_product>(w, s.bias, w.bytes());
}

product_ptr make_int8(const stage& s, std::optional<halfway::affine_params> params) {
  return std::make_unique<int8_product>(s, params);
}

product_ptr make_int4(const stage& s, const halfway::group_codes<halfway::int4>& codes) {
  return std::make_unique<int4_product>(codes, s.bias);
}

product_ptr make_mxfp4(const stage& s) {
  const auto blocks = halfway::quantize_mx<halfway::float4_e2m1fn>(s.weight.view().transposed());
  matrix<bfloat16> w(s.weight.rows(), s.weight.cols());
  halfway::dequantize(blocks, w.view().transposed());
  return std::make_unique<bfloat16_product>(w, s.bias,
                                            blocks.codes.size() / 2 + blocks.scales.size());
}

}  // namespace quantization
