// SPDX-License-Identifier: Apache-2.0
#include "schemes.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>

#include "halfway/quantization/calibration.h"
#include "halfway/quantization/gptq.h"
#include "halfway/quantization/groups.h"
#include "halfway/quantization/histogram_observer.h"
#include "halfway/quantization/moving_average_observer.h"
#include "halfway/types/dtype.h"
#include "halfway/types/int4.h"
#include "inference.h"

namespace quantization {

namespace {

using halfway::calibration;
using halfway::dtype;
using halfway::int4;
using halfway::matrix_view;

constexpr std::size_t group = 32;

// What a stage reads.
struct stage_record {
  explicit stage_record(const stage& s) : hessian(s.weight.rows()) {}

  halfway::histogram_observer histogram;
  halfway::moving_average_observer average{0.1};
  halfway::gptq_hessian hessian;
};

template <class Make>
products for_each_stage(const network& n, const Make& make) {
  products all;
  for (std::size_t i = 0; i < n.stages.size(); ++i) all.push_back(make(n.stages[i], i));
  return all;
}

std::vector<stage_record> calibrate_on(const network& n, const products& exact,
                                       matrix_view<const float> images) {
  std::vector<stage_record> records;
  for (const stage& s : n.stages) records.emplace_back(s);
  constexpr std::size_t batch = 64;
  for (std::size_t first = 0; first < images.rows(); first += batch) {
    const auto part = images.block(first, 0, std::min(batch, images.rows() - first), images.cols());
    run(n, exact, part, [&](std::size_t i, matrix_view<const float> x, matrix_view<const float>) {
      records[i].histogram.observe(x);
      records[i].average.observe(x);
      // Windows of one image are much alike: some of them say enough.
      const std::size_t step = n.stages[i].conv ? 16 : 1;
      const matrix_view<const float> some(x.data(), x.rows() / step, x.cols(),
                                          x.row_stride() * step);
      records[i].hessian.observe(some);
    });
  }
  return records;
}

}  // namespace

std::vector<stored_network> store_in_every_way(const network& n, matrix_view<const float> images,
                                               const network& int8_trained,
                                               const std::vector<halfway::affine_params>& params) {
  const auto exact = [](const stage& s, std::size_t) { return make_float32(s); };
  const std::vector<stage_record> records = calibrate_on(n, for_each_stage(n, exact), images);
  std::vector<stored_network> all;
  const auto add = [&](const std::string& name, const network& from, const auto& make) {
    all.push_back({name, from, for_each_stage(from, make)});
  };
  add("FP32", n, exact);
  add("BF16", n, [](const stage& s, std::size_t) { return make_bfloat16(s); });
  add("INT8, dynamic", n, [](const stage& s, std::size_t) { return make_int8(s, {}); });
  const auto add_static = [&](const std::string& name, const auto& choose) {
    add("INT8, " + name, n,
        [&](const stage& s, std::size_t i) { return make_int8(s, choose(records[i])); });
  };
  const auto by = [](calibration method) {
    return [method](const stage_record& r) {
      return halfway::calibrate(r.histogram, dtype::uint8, halfway::affine_scheme::asymmetric,
                                {.method = method});
    };
  };
  add_static("min-max", by(calibration::min_max));
  add_static("moving average",
             [](const stage_record& r) { return r.average.params(dtype::uint8); });
  add_static("percentile", by(calibration::percentile));
  add_static("MSE", by(calibration::mse));
  add_static("entropy", by(calibration::entropy));
  add("INT8, trained for it", int8_trained,
      [&](const stage& s, std::size_t i) { return make_int8(s, params[i]); });
  add("INT4 groups, nearest", n, [](const stage& s, std::size_t) {
    return make_int4(s, halfway::choose_group_codes<int4>(s.weight, group));
  });
  add("INT4 groups, GPTQ", n, [&](const stage& s, std::size_t i) {
    return make_int4(s, halfway::gptq<int4>(s.weight, records[i].hessian, group));
  });
  add("MXFP4 weights", n, [](const stage& s, std::size_t) { return make_mxfp4(s); });
  return all;
}

}  // namespace quantization
