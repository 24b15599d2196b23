// SPDX-License-Identifier: Apache-2.0
#include "evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>

#include "halfway/fidelity/comparison.h"
#include "inference.h"
#include "report/number.h"

namespace quantization {

namespace {

using halfway::matrix;
using halfway::matrix_view;

using ::report::format;

std::vector<std::size_t> classes_of(const matrix<float>& logits) {
  std::vector<std::size_t> classes;
  for (std::size_t i = 0; i < logits.rows(); ++i) {
    const std::span<const float> row(logits.view().row(i), logits.cols());
    classes.push_back(static_cast<std::size_t>(std::ranges::max_element(row) - row.begin()));
  }
  return classes;
}

matrix<float> run_in_batches(const stored_network& w, matrix_view<const float> x,
                             std::size_t batch) {
  matrix<float> logits(x.rows(), demo::class_count);
  for (std::size_t first = 0; first < x.rows(); first += batch) {
    const std::size_t rows = std::min(batch, x.rows() - first);
    const matrix<float> part = run(w.weights, w.stages, x.block(first, 0, rows, x.cols()));
    std::memcpy(logits.data() + first * logits.cols(), part.data(), part.bytes());
  }
  return logits;
}

// Each stage of `way` alone, on what its own weights read when nothing is rounded, against what they
// give then.
std::vector<double> stage_sqnr(const stored_network& way, matrix_view<const float> x) {
  products exact;
  for (const stage& s : way.weights.stages) exact.push_back(make_float32(s));
  std::vector<double> db;
  run(way.weights, exact, x,
      [&](std::size_t i, matrix_view<const float> in, matrix_view<const float> want) {
        matrix<float> y(want.rows(), want.cols());
        way.stages[i]->run(in, y.view());
        halfway::comparison c;
        c.add(std::span(want.data(), want.size()), y.elements());
        db.push_back(c.sqnr_db());
      });
  return db;
}

}  // namespace

network_evaluations evaluate(const std::vector<stored_network>& ways,
                             const demo::labelled_batch& test, std::size_t batch, int turns) {
  network_evaluations all;
  all.name = ways.front().weights.name;
  for (const stage& s : ways.front().weights.stages) all.stages.push_back(s.name);
  std::vector<std::size_t> fp32;
  const std::size_t some = std::min<std::size_t>(256, test.pixels.rows());
  for (const stored_network& w : ways) {
    evaluation e;
    e.name = w.name;
    for (const product_ptr& p : w.stages) e.bytes += p->bytes();
    matrix<float> logits;
    for (int turn = 0; turn < turns; ++turn) {
      const auto start = std::chrono::steady_clock::now();
      logits = run_in_batches(w, test.pixels.view(), batch);
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      e.images_per_second =
          std::max(e.images_per_second, static_cast<double>(test.pixels.rows()) / taken.count());
    }
    const std::vector<std::size_t> classes = classes_of(logits);
    if (fp32.empty()) fp32 = classes;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      e.accuracy += classes[i] == static_cast<std::size_t>(test.labels[i]);
      e.agreement += classes[i] == fp32[i];
    }
    e.accuracy /= static_cast<double>(classes.size());
    e.agreement /= static_cast<double>(classes.size());
    e.stage_sqnr_db = stage_sqnr(w, test.pixels.view().block(0, 0, some, test.pixels.cols()));
    all.ways.push_back(std::move(e));
  }
  return all;
}

report::table cells(const network_evaluations& n) {
  report::table rows = {{n.name, "accuracy", "points", "as FP32", "KiB", "images/s", "speed"}};
  for (const evaluation& e : n.ways) {
    rows.push_back({e.name, format("%.2f%%", 100 * e.accuracy),
                    format("%+.2f", 100 * (e.accuracy - n.ways.front().accuracy)),
                    format("%.2f%%", 100 * e.agreement),
                    format("%.0f", static_cast<double>(e.bytes) / 1024),
                    format("%.0f", e.images_per_second), format("%.2fx", n.speedup(e))});
  }
  return rows;
}

report::table stage_cells(const network_evaluations& n) {
  report::table rows = {{n.name + ", SQNR in dB"}};
  rows[0].insert(rows[0].end(), n.stages.begin(), n.stages.end());
  for (const evaluation& e : n.ways) {
    if (&e == &n.ways.front()) continue;
    rows.push_back({e.name});
    for (const double db : e.stage_sqnr_db) rows.back().push_back(format("%.1f", db));
  }
  return rows;
}

std::string to_json(const std::vector<network_evaluations>& all) {
  using json = nlohmann::ordered_json;
  json j;
  for (const network_evaluations& n : all) {
    json network;
    network["name"] = n.name;
    network["stages"] = n.stages;
    for (const evaluation& e : n.ways) {
      json way = {{"name", e.name},
                  {"accuracy", e.accuracy},
                  {"agreement_with_fp32", e.agreement},
                  {"bytes", e.bytes},
                  {"images_per_second", e.images_per_second}};
      for (const double db : e.stage_sqnr_db)
        way["stage_sqnr_db"].push_back(std::isfinite(db) ? json(db) : json(nullptr));
      network["ways"].push_back(way);
    }
    j["networks"].push_back(network);
  }
  return j.dump(2) + '\n';
}

}  // namespace quantization
