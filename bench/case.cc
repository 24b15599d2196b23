// SPDX-License-Identifier: Apache-2.0
#include "case.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <utility>

#include "report/results.h"

namespace halfway_bench {
namespace {

bool failed = false;

double seconds_of(const std::function<void()>& run, std::size_t calls) {
  using clock = std::chrono::steady_clock;
  const auto start = clock::now();
  for (std::size_t i = 0; i < calls; ++i) run();
  return std::chrono::duration<double>(clock::now() - start).count() / static_cast<double>(calls);
}

// Long against the clock's own cost, short against the time in which the machine's speed changes.
constexpr double slice_seconds = 300e-6;

// A contender and how it is timed: `calls` runs make a slice.
struct entrant : contender {
  explicit entrant(contender c) : contender(std::move(c)) {
    if (!problem.empty()) return;
    run();
    once = seconds_of(run, 1);
    calls = static_cast<std::size_t>(std::ceil(slice_seconds / std::max(once, 1e-8)));
  }
  double once = 0;
  std::size_t calls = 1;
};

// The seconds of a run, one value a slice.
struct times {
  std::vector<double> slices;

  // The first run of a slice finds the caches full of the other contenders' data, so it does not
  // count where that could matter.
  void add(const entrant& e) {
    if (e.once < 10 * slice_seconds) e.run();
    slices.push_back(seconds_of(e.run, e.calls));
  }

  // What it takes when little disturbs it, and not the luckiest slice.
  double tenth_percentile() {
    const auto at = slices.begin() + static_cast<std::ptrdiff_t>(slices.size() / 10);
    std::nth_element(slices.begin(), at, slices.end());
    return *at;
  }
};

// Then one run is enough to know, and rounds of it would leave no time to the others.
bool far_slower(const entrant& e, const entrant& than) {
  return e.once > 10 * std::max(than.once, slice_seconds);
}

// One iteration of Google Benchmark is a round: a slice of each contender. Its random interleaving
// would set repetitions minutes apart; within a round they are a millisecond apart. The price: the
// time that Google Benchmark prints is that of a round, so read the counters.
void run_case(benchmark::State& state, const bench_case& c, const std::vector<entrant>& entrants) {
  for (const entrant& e : entrants) {
    if (e.problem.empty()) continue;
    failed = true;
    state.SkipWithError((e.name + ": " + e.problem).c_str());
    return;
  }
  std::vector<times> all(entrants.size());
  for (auto _ : state) {
    for (std::size_t i = 0; i < entrants.size(); ++i) {
      if (!far_slower(entrants[i], entrants[0])) all[i].add(entrants[i]);
    }
  }
  const double work = (c.rate_is_bandwidth ? c.bytes : c.operations) / 1e9;
  const double seconds = all[0].tenth_percentile();
  state.counters[c.rate_is_bandwidth ? "GB/s" : "GFLOP/s"] = work / seconds;
  state.counters["of_ceiling"] = work / seconds / c.ceiling();
  state.counters["seconds"] = seconds;
  state.counters["operations"] = c.operations;
  state.counters["bytes"] = c.bytes;
  double best = 0;
  for (std::size_t i = 1; i < entrants.size(); ++i) {
    const entrant& e = entrants[i];
    const double rate = work / (far_slower(e, entrants[0]) ? e.once : all[i].tenth_percentile());
    state.counters[peer_prefix + e.name] = rate;
    best = std::max(best, rate);
  }
  if (best > 0) state.counters["ratio"] = work / seconds / best;
}

// Google Benchmark calls a case again and again, to find the number of iterations and for each
// repetition. What was prepared is kept until another case's turn comes.
const std::vector<entrant>& entrants_of(const bench_case& c) {
  static std::string prepared;
  static std::vector<entrant> entrants;
  if (prepared != c.name) {
    entrants.clear();
    for (contender& each : c.prepare()) entrants.emplace_back(std::move(each));
    prepared = c.name;
  }
  return entrants;
}

}  // namespace

bench_case products(std::string name, unit u, double operations, double bytes, double threads) {
  // The bandwidth of a read is measured only where it could be the limit: no core computes so much
  // in the time of reading a byte.
  constexpr double most_operations_of_a_byte = 64;
  bench_case c{.name = std::move(name), .operations = operations, .bytes = bytes};
  c.ceiling = [u, operations, bytes, threads] {
    const double arithmetic = threads * multiply_ceiling(u), intensity = operations / bytes;
    if (intensity > most_operations_of_a_byte) return arithmetic;
    return std::min(arithmetic, intensity * read_bandwidth(static_cast<std::size_t>(bytes)));
  };
  return c;
}

bench_case copying(std::string name, double operations, double bytes) {
  bench_case c{.name = std::move(name), .operations = operations, .bytes = bytes};
  c.rate_is_bandwidth = true;
  c.ceiling = [bytes] { return copy_bandwidth(static_cast<std::size_t>(bytes)); };
  return c;
}

bench_case reading(std::string name, double operations, double bytes) {
  bench_case c = copying(std::move(name), operations, bytes);
  c.ceiling = [bytes] { return read_bandwidth(static_cast<std::size_t>(bytes)); };
  return c;
}

void register_case(bench_case c) {
  const std::string name = c.name;
  benchmark::RegisterBenchmark(name.c_str(), [c = std::move(c)](benchmark::State& state) {
    run_case(state, c, entrants_of(c));
  });
}

bool any_case_failed() { return failed; }

}  // namespace halfway_bench
