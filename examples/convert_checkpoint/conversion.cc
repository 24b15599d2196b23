// SPDX-License-Identifier: Apache-2.0
#include "conversion.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "halfway/core/matrix.h"
#include "halfway/io/element_cast.h"
#include "halfway/ops/convert.h"
#include "halfway/quantization/affine.h"
#include "halfway/quantization/groups.h"
#include "halfway/quantization/microscaling.h"
#include "halfway/types/int4.h"

namespace conversion {

namespace {

using halfway::matrix;
using halfway::matrix_view;
using halfway::tensor_info;

std::vector<std::byte> bytes_of(const auto& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

// Values in rows: the last extent is a row's.
struct rows_of_tensor {
  explicit rows_of_tensor(const tensor_info& t)
      : cols(t.shape.empty() ? 1 : static_cast<std::size_t>(t.shape.back())),
        rows(cols == 0 ? 0 : static_cast<std::size_t>(t.elements) / cols),
        leading(t.shape) {
    if (!leading.empty()) leading.pop_back();
  }
  // The shape of what has `n` for each row.
  std::vector<std::uint64_t> with(std::size_t n) const {
    std::vector<std::uint64_t> shape = leading;
    shape.push_back(n);
    return shape;
  }
  std::size_t cols, rows;
  std::vector<std::uint64_t> leading;
};

// The largest magnitude that a value can be stored as, and what rounding to it errs by at most.
struct limit {
  double largest, half_step;
};

template <class T>
limit limit_of_type() {
  const double largest = static_cast<double>(static_cast<float>(std::numeric_limits<T>::max()));
  return {largest, std::ldexp(1.0, std::ilogb(largest) - std::numeric_limits<T>::digits)};
}

// Of symmetric codes up to `largest`; choose_affine_params has the bound.
limit limit_of_codes(int largest, double scale) {
  return {largest * scale, (0.5 + 0x1p-15) * scale};
}

// out_of(i): what is stored of in[i]; limit_of(i): its limit.
template <class From>
tensor_loss loss_of(const std::vector<From>& in, const auto& out_of, const auto& limit_of) {
  tensor_loss loss;
  for (std::size_t i = 0; i != in.size(); ++i) {
    const double x = static_cast<double>(in[i]), y = out_of(i);
    const limit l = limit_of(i);
    const bool at_limit = l.largest > 0 && std::abs(y) >= l.largest;
    loss.add(x, y, at_limit && std::abs(x) - std::abs(y) > l.half_step);
  }
  return loss;
}

template <class To, class From>
converted to_plain(const tensor_info& t, const std::vector<From>& in, bool saturate) {
  std::vector<To> codes(in.size());
  if (saturate) {
    halfway::convert_saturating(in, codes);
  } else {
    halfway::convert(in, codes);
  }
  converted result;
  const limit l = limit_of_type<To>();
  result.loss = loss_of(
      in, [&](std::size_t i) { return static_cast<double>(static_cast<float>(codes[i])); },
      [&](std::size_t) { return l; });
  result.parts.push_back(
      {t.name, std::string(halfway::detail::safetensors_name_of<To>()), t.shape, bytes_of(codes)});
  return result;
}

template <class From>
converted to_any_plain(const tensor_info& t, const std::vector<From>& in, const target& to,
                       bool saturate) {
  using halfway::dtype;
  switch (to.type) {
    case dtype::float32:
      return to_plain<float>(t, in, saturate);
    case dtype::float16:
      return to_plain<halfway::half>(t, in, saturate);
    case dtype::bfloat16:
      return to_plain<halfway::bfloat16>(t, in, saturate);
    case dtype::float8_e4m3fn:
      return to_plain<halfway::float8_e4m3fn>(t, in, saturate);
    case dtype::float8_e5m2:
      return to_plain<halfway::float8_e5m2>(t, in, saturate);
    case dtype::float8_e4m3fnuz:
      return to_plain<halfway::float8_e4m3fnuz>(t, in, saturate);
    default:  // parse_target has no other
      return to_plain<halfway::float8_e5m2fnuz>(t, in, saturate);
  }
}

void need_finite(const tensor_info& t, const std::vector<float>& in, const target& to) {
  for (std::size_t i = 0; i != in.size(); ++i) {
    if (!std::isfinite(in[i])) {
      halfway::fail(halfway::detail::concat("tensor ", halfway::detail::printable(t.name), " has ",
                                            in[i], " as element ", i, ", which ", to.name,
                                            " can't hold"));
    }
  }
}

template <class From>
converted to_int8(const tensor_info& t, const std::vector<From>& original,
                  const std::vector<float>& in, const target& to) {
  need_finite(t, in, to);
  float low = 0, high = 0;
  for (const float x : in) {
    low = std::min(low, x);
    high = std::max(high, x);
  }
  const halfway::affine_params params = halfway::choose_affine_params(
      low, high, halfway::dtype::int8, halfway::affine_scheme::symmetric);
  std::vector<halfway::int8> codes(in.size());
  halfway::quantize(in, codes, params);
  const double scale = static_cast<double>(params.scale);
  converted result;
  result.loss = loss_of(
      original, [&](std::size_t i) { return scale * static_cast<int>(codes[i]); },
      [&](std::size_t) { return limit_of_codes(127, scale); });
  result.parts.push_back({t.name, "I8", t.shape, bytes_of(codes)});
  result.metadata["halfway.affine." + t.name] =
      halfway::detail::concat("scale=", params.scale, ",zero_point=", params.zero_point);
  return result;
}

constexpr std::size_t group = 32;  // of int4, as mx_block

std::string block_size() { return halfway::detail::concat("size=", group); }

template <class From>
converted to_int4(const tensor_info& t, const std::vector<From>& original,
                  const std::vector<float>& in, const target& to) {
  need_finite(t, in, to);
  const rows_of_tensor shape(t);
  // The library's groups go down columns, as those of a weight that is multiplied from the left.
  const matrix_view<const float> x(in.data(), shape.rows, shape.cols, shape.cols);
  const auto q = halfway::choose_group_codes<halfway::int4>(x.transposed(), group);
  const std::size_t row_bytes = halfway::packed_int4_bytes(shape.cols), groups = q.scales.rows();
  std::vector<std::uint8_t> packed(shape.rows * row_bytes);
  std::vector<float> scales;
  std::vector<halfway::int4> row(shape.cols);
  for (std::size_t i = 0; i != shape.rows; ++i) {
    for (std::size_t j = 0; j != shape.cols; ++j) row[j] = q.codes(j, i);
    for (std::size_t g = 0; g != groups; ++g) scales.push_back(q.scales(g, i));
    halfway::pack_int4(row.data(), row.size(), packed.data() + i * row_bytes);
  }
  converted result;
  const auto scale_of = [&](std::size_t k) {
    return static_cast<double>(q.scales(k % shape.cols / group, k / shape.cols));
  };
  result.loss = loss_of(
      original,
      [&](std::size_t k) {
        return scale_of(k) * static_cast<int>(q.codes(k % shape.cols, k / shape.cols));
      },
      [&](std::size_t k) { return limit_of_codes(7, scale_of(k)); });
  result.parts.push_back({t.name, "U8", shape.with(row_bytes), bytes_of(packed)});
  result.parts.push_back({t.name + ".scales", "F32", shape.with(groups), bytes_of(scales)});
  result.metadata["halfway.blocks." + t.name] = block_size();
  return result;
}

template <class Element, class From>
converted to_mx(const tensor_info& t, const std::vector<From>& original,
                const std::vector<float>& in, const target& to) {
  constexpr bool packed = halfway::bits_of(halfway::dtype_of<Element>) == 4;
  if (packed && in.size() % 2 != 0) {
    halfway::fail(halfway::detail::concat("tensor ", halfway::detail::printable(t.name),
                                          " has an odd number of elements (", in.size(), "), and ",
                                          to.name, " puts two in a byte"));
  }
  const rows_of_tensor shape(t);
  const auto q = halfway::quantize_mx<Element>(
      matrix_view<const float>(in.data(), shape.rows, shape.cols, shape.cols));
  const auto codes = q.codes.elements();
  const auto scale_of = [&](std::size_t k) {
    return static_cast<double>(
        static_cast<float>(q.scales(k / shape.cols, k % shape.cols / halfway::mx_block)));
  };
  const limit l = limit_of_type<Element>();
  converted result;
  result.loss = loss_of(
      original,
      [&](std::size_t k) {
        return static_cast<double>(static_cast<float>(codes[k])) * scale_of(k);
      },
      [&](std::size_t k) {
        return limit{l.largest * scale_of(k), l.half_step * scale_of(k)};
      });
  part p{t.name, packed ? "F4" : "F8_E4M3", t.shape, {}};
  if constexpr (packed) {
    for (std::size_t k = 0; k != codes.size(); k += 2) {
      p.bytes.push_back(static_cast<std::byte>(codes[k].bits() | codes[k + 1].bits() << 4));
    }
  } else {
    p.bytes = bytes_of(codes);
  }
  result.parts.push_back(std::move(p));
  result.parts.push_back(
      {t.name + ".scales", "F8_E8M0", shape.with(q.scales.cols()), bytes_of(q.scales.elements())});
  result.metadata["halfway.blocks." + t.name] = block_size();
  return result;
}

template <class From>
converted convert_values(const tensor_info& t, const std::vector<From>& in, const target& to,
                         bool saturate) {
  if (to.how == scheme::plain) return to_any_plain(t, in, to, saturate);
  std::vector<float> narrow(in.size());
  halfway::convert(in, narrow);
  if (to.how == scheme::int8) return to_int8(t, in, narrow, to);
  if (to.how == scheme::int4) return to_int4(t, in, narrow, to);
  return to.type == halfway::dtype::float4_e2m1fn
             ? to_mx<halfway::float4_e2m1fn>(t, in, narrow, to)
             : to_mx<halfway::float8_e4m3fn>(t, in, narrow, to);
}

}  // namespace

bool is_convertible(const tensor_info& t) {
  constexpr std::array<std::string_view, 8> floats = {
      "F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"};
  return std::ranges::find(floats, t.type) != floats.end();
}

converted convert_tensor(const source& from, const tensor_info& t, const target& to,
                         bool saturate) {
  converted result = t.type == "F64" ? convert_values(t, from.doubles(t), to, saturate)
                                     : convert_values(t, from.floats(t), to, saturate);
  result.metadata["halfway.weights." + t.name] = "role=model,format=" + to.name;
  return result;
}

}  // namespace conversion
