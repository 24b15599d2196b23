// SPDX-License-Identifier: Apache-2.0
#include "experiment.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "report/number.h"

namespace convergence {

namespace {

using ::report::format;

std::string metric_text(const task& t, double value) {
  return t.higher_is_better ? format("%.2f%%", 100 * value) : format("%.4f", value);
}

// The exponent of half of a format's least subnormal number, and that of its largest value.
constexpr int half_flushes_below = -25, e5m2_flushes_below = -17, e5m2_top = 15;

// By the loss scale that the FP16 trainings ended with, the smallest.
int found_scale_exponent(const task_runs& t) {
  double scale = INFINITY;
  for (const recipe_runs& r : t.recipes) {
    if (!r.how.scales_loss) continue;
    for (const run_record& run : r.runs) scale = std::min(scale, run.final_scale);
  }
  return std::isfinite(scale) ? std::ilogb(scale) : 0;
}

template <class F>
double sum_over(const recipe_runs& r, const F& f) {
  double sum = 0;
  for (const run_record& run : r.runs) sum += static_cast<double>(f(run));
  return sum;
}

}  // namespace

double recipe_runs::mean_metric() const {
  return sum_over(*this, [](const run_record& r) { return r.metric; }) /
         static_cast<double>(runs.size());
}
double recipe_runs::least_metric() const {
  return std::ranges::min_element(runs, {}, &run_record::metric)->metric;
}
double recipe_runs::largest_metric() const {
  return std::ranges::max_element(runs, {}, &run_record::metric)->metric;
}
bool recipe_runs::finished() const {
  return std::ranges::all_of(runs, [](const run_record& r) {
    return r.stopped.empty() && std::isfinite(r.losses.back()) && std::isfinite(r.metric);
  });
}

double task_runs::fp32_spread() const {
  return recipes.front().largest_metric() - recipes.front().least_metric();
}
bool task_runs::matches_fp32(const recipe_runs& r) const {
  const double loss = what.higher_is_better ? recipes.front().mean_metric() - r.mean_metric()
                                            : r.mean_metric() - recipes.front().mean_metric();
  return r.finished() && loss <= fp32_spread();
}

report::table cells(const task_runs& t) {
  report::table rows = {{t.what.name, t.what.metric, "of seeds", "against FP32", "NaN, infinity",
                         "skipped", "loss scale", "bytes/weight", "steps/s"}};
  for (const recipe_runs& r : t.recipes) {
    const double n = static_cast<double>(r.runs.size());
    const auto is_fp32 = &r == &t.recipes.front();
    rows.push_back(
        {r.how.name, metric_text(t.what, r.mean_metric()),
         metric_text(t.what, r.least_metric()) + " to " + metric_text(t.what, r.largest_metric()),
         is_fp32             ? "spread " + metric_text(t.what, t.fp32_spread())
         : t.matches_fp32(r) ? "within"
         : r.finished()      ? "WORSE"
                             : "FAILED",
         format("%.0f", sum_over(r, [](const run_record& x) { return x.non_finite; })),
         format("%.0f", sum_over(r, [](const run_record& x) { return x.skipped_steps; })),
         r.how.scales_loss ? format("2^%.0f", std::log2(r.runs.back().final_scale)) : "1",
         std::to_string(r.how.bytes_per_parameter()),
         format("%.0f", sum_over(r, [](const run_record& x) { return x.steps_per_second; }) / n)});
  }
  return rows;
}

report::table underflow_cells(const task_runs& t) {
  const auto share = [](double s) { return format("%.2f%%", 100 * s); };
  const int scale = found_scale_exponent(t);
  const gradient_census& c = t.census;
  return {
      {"gradients flushed to zero", "unscaled", "scaled"},
      {"float16, loss times 2^" + std::to_string(scale), share(c.flushed_share(half_flushes_below)),
       share(c.flushed_share(half_flushes_below - scale))},
      {"float8_e5m2, each tensor to the top", share(c.flushed_share(e5m2_flushes_below)),
       share(c.flushed_share_when_scaled(e5m2_flushes_below, e5m2_top))}};
}

std::string to_json(const experiment& e) {
  using json = nlohmann::ordered_json;
  const auto number = [](double x) { return std::isfinite(x) ? json(x) : json(nullptr); };
  json j;
  j["simd_target"] = e.simd_target;
  j["seeds"] = e.seeds;
  for (const task_runs& t : e.tasks) {
    json task;
    task["name"] = t.what.name;
    task["metric"] = t.what.metric;
    task["higher_is_better"] = t.what.higher_is_better;
    task["steps"] = t.what.steps;
    task["batch"] = t.what.batch;
    task["fp32_spread"] = t.fp32_spread();
    for (const recipe_runs& r : t.recipes) {
      json recipe;
      recipe["name"] = r.how.name;
      recipe["matches_fp32"] = t.matches_fp32(r);
      recipe["bytes_per_parameter"] = r.how.bytes_per_parameter();
      for (const run_record& run : r.runs) {
        json one;
        one["metric"] = number(run.metric);
        one["final_loss"] = number(static_cast<double>(run.losses.back()));
        one["steps"] = run.losses.size();
        one["skipped_steps"] = run.skipped_steps;
        one["non_finite_gradients"] = run.non_finite;
        one["final_scale"] = run.final_scale;
        one["steps_per_second"] = run.steps_per_second;
        one["stopped"] = run.stopped.empty() ? json(nullptr) : json(run.stopped);
        recipe["runs"].push_back(one);
      }
      task["recipes"].push_back(recipe);
    }
    const int scale = found_scale_exponent(t);
    task["gradients"] = {
        {"counted", t.census.values()},
        {"lowest_exponent", gradient_census::lowest},
        {"by_exponent", t.census.absolute()},
        {"float16_flushed", t.census.flushed_share(half_flushes_below)},
        {"float16_flushed_scaled", t.census.flushed_share(half_flushes_below - scale)},
        {"float8_e5m2_flushed", t.census.flushed_share(e5m2_flushes_below)},
        {"float8_e5m2_flushed_scaled",
         t.census.flushed_share_when_scaled(e5m2_flushes_below, e5m2_top)}};
    j["tasks"].push_back(task);
  }
  return j.dump(2) + '\n';
}

}  // namespace convergence
