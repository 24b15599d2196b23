// SPDX-License-Identifier: Apache-2.0
// bench_compare: has anything become slower from one run of halfway_bench to another on the same
// machine?
//
//   bench_compare old.json new.json [--threshold 0.1] [--any-host]
//
// Returns 1 if a case became slower, 2 if the two files cannot be compared, else 0.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "report/results.h"

namespace halfway_bench {
namespace {

struct options {
  std::vector<std::string> files;
  double threshold = 0.1;
  bool any_host = false;
};

options parse_options(const std::vector<std::string>& words) {
  options o;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--threshold") {
      const std::string value = i + 1 < words.size() ? words[++i] : "";
      char* end = nullptr;
      o.threshold = std::strtod(value.c_str(), &end);
      if (value.empty() || *end != '\0' || !(o.threshold > 0 && o.threshold < 1))
        throw std::runtime_error("--threshold wants a share between 0 and 1, not \"" + value +
                                 "\"");
    } else if (words[i] == "--any-host") {
      o.any_host = true;
    } else if (words[i].starts_with("-")) {
      throw std::runtime_error("unknown option " + words[i]);
    } else {
      o.files.push_back(words[i]);
    }
  }
  if (o.files.size() != 2)
    throw std::runtime_error(
        "usage: bench_compare old.json new.json [--threshold 0.1] [--any-host]");
  return o;
}

// Rates of different machines or builds say nothing about the code between them.
void check_comparable(const results& before, const results& after, bool any_host) {
  for (const std::string key :
       {"host_name", "cpu", "num_cpus", "simd_target", "compiler", "build_flags"}) {
    if (key == "host_name" && any_host) continue;
    const auto value = [&](const results& r) {
      const auto at = r.context.find(key);
      if (at == r.context.end()) throw std::runtime_error(r.file + ": the context has no " + key);
      return at->second;
    };
    if (value(before) != value(after)) {
      throw std::runtime_error("another " + key + ": \"" + value(before) + "\" in " + before.file +
                               ", \"" + value(after) + "\" in " + after.file);
    }
  }
}

struct change {
  std::string name, unit;
  statistic before, after;

  double ratio() const { return after.median / before.median; }
  // By more than the threshold, and farther than repetitions lie apart: even the upper quartile now
  // is below the lower quartile before.
  bool is_slower(double threshold) const {
    return ratio() < 1 - threshold && after.upper_quartile < before.lower_quartile;
  }
};

// Cases that both files have. One that failed in the new file is an error, whatever it was before.
std::vector<change> changes_between(const results& before, const results& after) {
  std::vector<change> changes;
  for (const measured& now : after.cases) {
    if (!now.error.empty())
      throw std::runtime_error(after.file + ": " + now.name + ": " + now.error);
    const auto then = std::find_if(before.cases.begin(), before.cases.end(),
                                   [&](const measured& m) { return m.name == now.name; });
    if (then == before.cases.end() || !then->error.empty()) continue;
    changes.push_back({now.name, now.rate_unit, then->rate, now.rate});
  }
  if (changes.empty())
    throw std::runtime_error("no case is in both " + before.file + " and " + after.file);
  std::sort(changes.begin(), changes.end(),
            [](const change& a, const change& b) { return a.ratio() < b.ratio(); });
  return changes;
}

double geometric_mean(const std::vector<change>& changes) {
  double logarithms = 0;
  for (const change& c : changes) logarithms += std::log(c.ratio());
  return std::exp(logarithms / static_cast<double>(changes.size()));
}

int run(const options& o) {
  const results before = read_results(o.files[0]), after = read_results(o.files[1]);
  check_comparable(before, after, o.any_host);
  const std::vector<change> changes = changes_between(before, after);
  std::printf("%zu cases in both, of %zu and %zu\n", changes.size(), before.cases.size(),
              after.cases.size());
  // How much of a change is the machine's own.
  for (const char* key : {"ceiling_f32_gflops", "ceiling_bf16_gflops", "ceiling_i8_gops",
                          "read_cache_gbs", "read_memory_gbs"}) {
    std::printf("%-20s %8.1f -> %8.1f  x%.2f\n", key, before.number(key), after.number(key),
                after.number(key) / before.number(key));
  }
  std::printf("geometric mean of new rate / old rate: x%.3f\nworst:\n", geometric_mean(changes));
  constexpr std::size_t most_shown = 10;
  std::size_t slower = 0;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const change& c = changes[i];
    const bool is_slower = c.is_slower(o.threshold);
    if (is_slower) ++slower;
    if (i < most_shown || is_slower) {
      std::printf("  x%.3f %s  %.4g -> %.4g %s%s\n", c.ratio(), c.name.c_str(), c.before.median,
                  c.after.median, c.unit.c_str(), is_slower ? "  SLOWER" : "");
    }
  }
  std::printf("%zu slower by more than %g%% and by more than repetitions differ\n", slower,
              100 * o.threshold);
  return slower == 0 ? 0 : 1;
}

}  // namespace
}  // namespace halfway_bench

int main(int argc, char** argv) {
  try {
    return halfway_bench::run(halfway_bench::parse_options({argv + 1, argv + argc}));
  } catch (const std::exception& e) {
    std::cerr << "bench_compare: " << e.what() << "\n";
    return 2;
  }
}
