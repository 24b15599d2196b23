// SPDX-License-Identifier: Apache-2.0
#include "measurement.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <numeric>
#include <span>
#include <utility>

#include "halfway/fidelity/comparison.h"

namespace trade_off {

namespace {

using halfway::matrix;
using halfway::matrix_view;

matrix_view<const std::uint8_t> pixels_of(const demo::labelled_images& images, std::size_t first,
                                          std::size_t count) {
  return {images.image(first), count, demo::image_bytes};
}

struct classified {
  matrix<float> logits;
  std::vector<std::size_t> classes;
  std::vector<bool> is_broken;
};

classified classify(engine& net, const demo::labelled_images& test, std::size_t batch,
                    halfway::numeric_health& health) {
  classified all{{test.size(), demo::class_count}, {}, {}};
  for (std::size_t first = 0; first < test.size(); first += batch) {
    const std::size_t rows = std::min(batch, test.size() - first);
    net.run(pixels_of(test, first, rows),
            all.logits.view().block(first, 0, rows, demo::class_count), &health);
  }
  for (std::size_t i = 0; i < test.size(); ++i) {
    const std::span<const float> row(all.logits.view().row(i), demo::class_count);
    all.classes.push_back(static_cast<std::size_t>(std::ranges::max_element(row) - row.begin()));
    all.is_broken.push_back(!std::ranges::all_of(row, [](float v) { return std::isfinite(v); }));
  }
  return all;
}

// Turns of a few batches; the first of a turn finds the caches full of the other ways' data, and does
// not count.
constexpr std::size_t batches_of_turn = 4;

// That this thread ran: what an inference costs, whoever else wants the core.
double processor_seconds() {
  std::timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// One value a batch.
struct batch_times {
  std::vector<double> elapsed, processor;
};

std::vector<batch_times> time_batches(const std::vector<way>& ways,
                                      const demo::labelled_images& test, const timing& t) {
  using clock = std::chrono::steady_clock;
  std::vector<batch_times> times(ways.size());
  matrix<float> logits(t.batch, demo::class_count);
  const std::size_t places = test.size() / t.batch;
  const auto start = clock::now();
  for (std::size_t turn = 0;
       turn < t.stretches ||
       std::chrono::duration<double>(clock::now() - start).count() < t.seconds;
       ++turn) {
    for (std::size_t k = 0; k < ways.size(); ++k) {
      const std::size_t i = (turn + k) % ways.size();
      for (std::size_t b = 0; b <= batches_of_turn; ++b) {
        const auto pixels =
            pixels_of(test, (turn * batches_of_turn + b) % places * t.batch, t.batch);
        const auto from = clock::now();
        const double processor_from = processor_seconds();
        ways[i].net->run(pixels, logits.view(), nullptr);
        const double processor = processor_seconds() - processor_from;
        const std::chrono::duration<double> elapsed = clock::now() - from;
        if (b == 0) continue;
        times[i].elapsed.push_back(elapsed.count());
        times[i].processor.push_back(processor);
      }
    }
  }
  return times;
}

// Means of `count` parts of equal length, of which the first ones may be one turn longer.
std::vector<double> means_of_parts(std::span<const double> values, std::size_t count,
                                   double divisor) {
  std::vector<double> means;
  const std::size_t turns = values.size() / batches_of_turn;
  for (std::size_t p = 0; p < count; ++p) {
    const std::size_t first = turns * p / count * batches_of_turn;
    const std::size_t last = turns * (p + 1) / count * batches_of_turn;
    const double sum = std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(first),
                                       values.begin() + static_cast<std::ptrdiff_t>(last), 0.0);
    means.push_back(sum / static_cast<double>(last - first) / divisor);
  }
  return means;
}

// The value that a share q of them does not exceed.
double quantile(std::span<const double> sorted, double q) {
  const double rank = std::ceil(q * static_cast<double>(sorted.size()));
  return sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

void add_time(measured_way& m, batch_times times, const timing& t, double confidence) {
  m.seconds = means_of_parts(times.processor, t.stretches, static_cast<double>(t.batch));
  std::ranges::sort(times.elapsed);
  m.p50 = quantile(times.elapsed, 0.5);
  m.p99 = quantile(times.elapsed, 0.99);
  m.p99_interval = quantile_interval(times.elapsed, 0.99, confidence);
}

}  // namespace

std::vector<way> store_in_every_way(const model& m, std::size_t batch,
                                    const demo::labelled_images& calibration) {
  std::vector<way> ways;
  ways.push_back({"FP32", make_float32(m, batch)});
  ways.push_back({"FP16", make_float16(m, batch)});
  ways.push_back({"BF16", make_bfloat16(m, batch)});
  const std::size_t some = std::min<std::size_t>(2048, calibration.size());
  ways.push_back({"INT8 static", make_int8_static(m, batch, pixels_of(calibration, 0, some))});
  ways.push_back({"INT8 dynamic", make_int8_dynamic(m, batch)});
  ways.push_back({"INT4 weights", make_int4_weights(m, batch)});
  return ways;
}

std::vector<measured_way> measure(const std::vector<way>& ways, const demo::labelled_images& test,
                                  const timing& t, double confidence) {
  std::vector<measured_way> all;
  classified baseline;
  for (const way& w : ways) {
    halfway::numeric_health health(w.net->health_type());
    classified now = classify(*w.net, test, t.batch, health);
    if (all.empty()) baseline = now;
    measured_way m;
    m.name = w.name;
    m.images = test.size();
    for (std::size_t i = 0; i < test.size(); ++i) {
      const auto label = static_cast<std::size_t>(test.labels[i]);
      const bool was_right = baseline.classes[i] == label, is_right = now.classes[i] == label;
      m.correct += is_right;
      m.agrees += now.classes[i] == baseline.classes[i];
      m.newly_wrong += was_right && !is_right;
      m.newly_right += !was_right && is_right;
      m.broken += now.is_broken[i] && !baseline.is_broken[i];
    }
    halfway::comparison logits;
    logits.add(baseline.logits.elements(), now.logits.elements());
    m.sqnr_db = logits.sqnr_db();
    m.non_finite = health.non_finite();
    m.saturated = health.saturated();
    m.values = health.count();
    m.underflow_share = health.underflow_share();
    m.weight_bytes = w.net->weight_bytes();
    m.activation_bytes = w.net->activation_bytes();
    m.bytes_read = static_cast<double>(m.weight_bytes) / static_cast<double>(t.batch) +
                   static_cast<double>(m.activation_bytes);
    all.push_back(std::move(m));
  }
  const auto times = time_batches(ways, test, t);
  for (std::size_t i = 0; i < all.size(); ++i) add_time(all[i], times[i], t, confidence);
  return all;
}

}  // namespace trade_off
