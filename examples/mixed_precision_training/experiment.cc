// SPDX-License-Identifier: Apache-2.0
#include "experiment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace demo {

namespace {

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
std::string
format(const char* pattern, ...) {
  std::array<char, 1024> text{};
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return text.data();
}

std::string kibibytes(std::size_t bytes) {
  return format("%.0f KiB", static_cast<double>(bytes) / 1024);
}

// 1234567 as "1,234,567".
std::string grouped(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

// Powers of two as such, as most scales are.
std::string scale_text(double scale) {
  const int exponent = std::ilogb(scale);
  if (scale != std::ldexp(1.0, exponent) || scale <= 1024) return format("%g", scale);
  return format("2^%d", exponent);
}

std::string if_trained(const compared_run& run, std::string text) {
  return run.is_trained() ? std::move(text) : "-";
}

}  // namespace

double flushed_share(const training_record& training) {
  flush_count all;
  for (const flush_count& f : training.flushes) {
    all.values += f.values;
    all.flushed += f.flushed;
  }
  return all.share();
}

std::string explain_unscaled_fp16(const experiment& e) {
  const auto is_unscaled = [](const compared_run& run) {
    return run.result.settings.policy.compute == halfway::dtype::float16 &&
           !run.result.settings.scales_loss;
  };
  const auto found = std::ranges::find_if(e.runs, is_unscaled);
  if (found == e.runs.end()) return {};
  const std::vector<flush_count>& flushes = found->result.training.flushes;
  const auto norm = std::ranges::find(flushes, "before layernorm", &flush_count::gradient);
  const double norm_share = norm == flushes.end() ? 0 : norm->share();
  const bool failed = !found->result.training.stopped.empty() ||
                      found->with_fp32.accuracy < e.runs.front().with_fp32.accuracy - 0.02;
  return format(
      "%sFP16 without scaling fails because pixels enter as 0 to 255, so that hidden values are in "
      "the hundreds and most gradients in front of the layernorm below 2^-25 (3e-8), which half "
      "rounds to zero: %.0f%% of them were lost (%.0f%% of all gradient values), the others no "
      "longer add up to zero as a layernorm's must, and the values that enter it drift until they "
      "pass 65504.",
      failed ? "" : "In a longer run ", 100 * norm_share,
      100 * flushed_share(found->result.training));
}

report::table cells(const experiment& e) {
  struct column {
    std::string title;
    std::string (*cell)(const compared_run&);
  };
  static const std::vector<column> columns = {
      {"run", [](const compared_run& r) { return r.result.settings.name; }},
      {"accuracy",
       [](const compared_run& r) { return format("%.2f%%", 100 * r.with_fp32.accuracy); }},
      {"as FP32",
       [](const compared_run& r) { return format("%.2f%%", 100 * r.with_fp32.agreement); }},
      {"SQNR",
       [](const compared_run& r) {
         return r.with_fp32.sqnr_db ? format("%.1f dB", *r.with_fp32.sqnr_db) : "-";
       }},
      {"steps/s",
       [](const compared_run& r) { return if_trained(r, format("%.0f", r.steps_per_second())); }},
      {"weights", [](const compared_run& r) { return kibibytes(r.result.weight_bytes); }},
      {"activations", [](const compared_run& r) { return kibibytes(r.result.activation_bytes); }},
      {"skipped",
       [](const compared_run& r) { return if_trained(r, std::to_string(r.result.skipped_steps)); }},
      {"non-finite",
       [](const compared_run& r) { return if_trained(r, grouped(r.result.non_finite)); }},
      {"final scale",
       [](const compared_run& r) { return if_trained(r, scale_text(r.result.final_scale)); }},
      {"flushed",
       [](const compared_run& r) {
         return if_trained(r, format("%.1f%%", 100 * flushed_share(r.result.training)));
       }},
  };
  report::table rows(1);
  for (const column& c : columns) rows[0].push_back(c.title);
  for (const compared_run& run : e.runs) {
    rows.emplace_back();
    for (const column& c : columns) rows.back().push_back(c.cell(run));
  }
  return rows;
}

}  // namespace demo
