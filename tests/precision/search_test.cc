// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "halfway/precision/search_report.h"
#include "support/expect_error.h"

namespace {

using halfway::dtype;
using halfway::fidelity_scale;
using halfway::search_measurement;
using halfway::search_options;
using halfway::search_point;
using halfway::search_result;
using halfway::search_unit;
using halfway::testing::expect_error;

constexpr double infinity = std::numeric_limits<double>::infinity();

const std::vector<dtype> five_types = {dtype::float32, dtype::bfloat16, dtype::float16,
                                       dtype::float8_e4m3fn, dtype::int8};

// A chain of layers as an evaluator: sizes, speeds and noise of each layer and type; casts between
// neighbours of different types; errors that add up as vectors, in 16 dimensions
// (correlations of a quarter) to 128 (their squares nearly add up); layers that one type breaks.
class synthetic_model {
 public:
  synthetic_model(std::size_t layers, std::vector<dtype> types, double dearest_cast, unsigned seed)
      : types_(std::move(types)), random_(seed) {
    std::uniform_real_distribution<double> uniform;
    std::normal_distribution<double> normal;
    const std::size_t dimensions = 16 + random_() % 113;
    for (std::size_t u = 0; u < layers; ++u) {
      layer l;
      l.bytes = std::exp(3 * uniform(random_));
      l.seconds = std::exp(2 * uniform(random_));
      l.sensitivity = std::exp(8 * uniform(random_) - 4);
      l.cast = dearest_cast * uniform(random_);
      l.broken =
          uniform(random_) < 0.2 ? types_[1 + random_() % (types_.size() - 1)] : dtype::float64;
      for (std::size_t t = 0; t < types_.size(); ++t) {
        l.speed.push_back((0.8 + 0.4 * uniform(random_)) * speed(types_[t]));
        l.noise.push_back((0.5 + uniform(random_)) * noise(types_[t]));
      }
      double square = 0;
      for (std::size_t d = 0; d < dimensions; ++d) {
        l.direction.push_back(normal(random_));
        square += l.direction.back() * l.direction.back();
      }
      for (double& x : l.direction) x /= std::sqrt(square);
      for (std::size_t v = 0; v < u; ++v) {
        l.correlation.push_back(std::inner_product(l.direction.begin(), l.direction.end(),
                                                   layers_[v].direction.begin(), 0.0));
      }
      layers_.push_back(std::move(l));
    }
  }

  std::vector<search_unit> units() const {
    std::vector<search_unit> u;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      u.push_back({"layer" + std::to_string(i), types_});
    }
    return u;
  }

  search_measurement measure(std::span<const dtype> types) const {
    search_measurement m;
    bool broken = false;
    double noise = 0;
    std::vector<double> size(types.size());
    for (std::size_t u = 0; u < types.size(); ++u) {
      const layer& l = layers_[u];
      const auto t = static_cast<std::size_t>(std::ranges::find(types_, types[u]) - types_.begin());
      m.bytes += l.bytes * halfway::bits_of(types[u]) / 32;
      m.seconds += l.seconds * l.speed[t];
      if (u != 0 && types[u] != types[u - 1]) m.seconds += l.cast;
      size[u] = std::sqrt(l.sensitivity * l.noise[t]);
      noise += size[u] * size[u];
      for (std::size_t v = 0; v < u; ++v) noise += 2 * l.correlation[v] * size[u] * size[v];
      broken = broken || types[u] == l.broken;
    }
    m.fidelity = broken ? std::nan("") : -10 * std::log10(noise);
    return m;
  }

 private:
  struct layer {
    double bytes, seconds, sensitivity, cast;
    dtype broken;
    std::vector<double> speed, noise, direction, correlation;
  };

  static double speed(dtype t) {
    return t == dtype::float32 ? 1 : halfway::bits_of(t) == 16 ? 0.55 : 0.35;
  }
  static double noise(dtype t) {
    switch (t) {
      case dtype::float32:
        return 1e-15;
      case dtype::bfloat16:
        return 5e-6;
      case dtype::float16:
        return 8e-8;
      case dtype::float8_e4m3fn:
        return 1.3e-3;
      default:
        return 1e-4;
    }
  }

  std::vector<dtype> types_;
  std::vector<layer> layers_;
  std::mt19937 random_;
};

double cost_of(const search_measurement& m, const search_measurement& r, double time_weight) {
  return time_weight * m.seconds / r.seconds + (1 - time_weight) * m.bytes / r.bytes;
}

// The least cost within the budget of all assignments.
double exhaustive(const synthetic_model& model, const search_options& o) {
  const std::vector<search_unit> units = model.units();
  std::vector<std::size_t> digits(units.size());
  std::vector<dtype> types(units.size());
  for (std::size_t u = 0; u < units.size(); ++u) types[u] = units[u].types[0];
  const search_measurement reference = model.measure(types);
  double least = infinity;
  for (;;) {
    for (std::size_t u = 0; u < units.size(); ++u) types[u] = units[u].types[digits[u]];
    const search_measurement m = model.measure(types);
    if (o.budget.met_by(m.fidelity)) {
      least = std::min(least, cost_of(m, reference, o.time_weight));
    }
    std::size_t u = 0;
    while (u < units.size() && ++digits[u] == units[u].types.size()) digits[u++] = 0;
    if (u == units.size()) return least;
  }
}

TEST(Search, FindsTheOptimumOrComesWithinFivePercent) {
  std::size_t problems = 0, exact = 0, most = 0;
  double worst = 1;
  for (unsigned seed = 0; seed < 100; ++seed) {
    const std::size_t layers = 2 + seed % 7;
    // Eight layers of five types have 390625 assignments: for some seeds only.
    std::vector<dtype> types = five_types;
    if (layers > 6 && seed % 5 != 0)
      types = {five_types[0], five_types[1], five_types[2], five_types[4]};
    // Layers take from 1 to 7.4 in float32: casts matter, or they decide.
    const synthetic_model model(layers, types, seed % 2 == 0 ? 0.3 : 1.5, seed);
    for (const double budget : {25.0, 45.0}) {
      search_options o{.budget = halfway::sqnr_budget(budget)};
      o.time_weight = 0.25 * (seed % 5);
      std::size_t calls = 0;
      const auto found = halfway::search_precision(
          model.units(),
          [&](std::span<const dtype> t) {
            ++calls;
            return model.measure(t);
          },
          o);
      ASSERT_EQ(calls, found.evaluations());
      ASSERT_LE(calls, 100 + 16 * layers * types.size());
      ASSERT_TRUE(found.best().within);
      ASSERT_TRUE(o.budget.met_by(model.measure(found.best().types).fidelity));
      const double optimum = exhaustive(model, o);
      const double ratio = found.best().cost / optimum;
      EXPECT_GE(ratio, 1 - 1e-12);
      EXPECT_LE(ratio, 1.05) << "seed " << seed << ", " << layers << " layers, budget " << budget;
      ++problems;
      exact += ratio <= 1 + 1e-9;
      worst = std::max(worst, ratio);
      most = std::max(most, calls);
    }
  }
  EXPECT_GE(exact, problems * 9 / 10);
  std::printf("%zu of %zu exact, the worst %.4f of the optimum, at most %zu evaluations\n", exact,
              problems, worst, most);
}

search_result search(const synthetic_model& model, const search_options& o) {
  return halfway::search_precision(
      model.units(), [&](std::span<const dtype> t) { return model.measure(t); }, o);
}

TEST(Search, KeepsToItsNumberOfEvaluations) {
  const synthetic_model model(8, five_types, 0.3, 9);
  for (const std::size_t most : {1u, 2u, 20u, 40u, 100u}) {
    search_options o{.budget = halfway::sqnr_budget(30)};
    o.max_evaluations = most;
    const auto found = search(model, o);
    EXPECT_LE(found.evaluations(), most);
    EXPECT_TRUE(found.best().within);
    EXPECT_LE(found.best().cost, 1);
  }
}

TEST(Search, IsTheSameEachTime) {
  const synthetic_model model(7, five_types, 0.3, 10);
  const auto one = search(model, {}), two = search(model, {});
  ASSERT_EQ(one.evaluations(), two.evaluations());
  for (std::size_t i = 0; i < one.evaluations(); ++i) {
    EXPECT_EQ(one.points()[i].types, two.points()[i].types);
  }
  EXPECT_EQ(one.best().types, two.best().types);
}

TEST(Search, MeasuresLayersAloneFirst) {
  const synthetic_model model(3, five_types, 0.3, 11);
  const auto found = search(model, {});
  ASSERT_EQ(found.sensitivities().size(), 12u);
  EXPECT_EQ(found.reference().types, std::vector<dtype>(3, dtype::float32));
  EXPECT_EQ(found.reference().cost, 1);
  for (const auto& s : found.sensitivities()) {
    std::vector<dtype> types(3, dtype::float32);
    types[s.unit] = s.type;
    const search_measurement m = model.measure(types);
    EXPECT_DOUBLE_EQ(s.gain, 1 - cost_of(m, found.reference().measured, 0.5));
    EXPECT_EQ(s.measured.bytes, m.bytes);
    EXPECT_EQ(s.loss,
              halfway::sqnr_budget(40).loss(m.fidelity, 0) == infinity
                  ? infinity
                  : std::max(0.0, std::pow(10, -m.fidelity / 10) -
                                      std::pow(10, -found.reference().measured.fidelity / 10)));
  }
}

TEST(Search, FindsWhereOnlyAWholeStretchPays) {
  // Casts so dear that no layer alone may change: all at once.
  const std::vector<search_unit> units(6, {"layer", {dtype::float32, dtype::bfloat16}});
  const auto found = halfway::search_precision(
      units,
      [](std::span<const dtype> t) {
        double seconds = 0;
        for (std::size_t u = 0; u < t.size(); ++u) {
          seconds += t[u] == dtype::bfloat16 ? 1 : 2;
          // The first and the last layer are float32 to their neighbours outside.
          const dtype before = u == 0 ? dtype::float32 : t[u - 1];
          if (t[u] != before) seconds += 1.5;
        }
        if (t.back() != dtype::float32) seconds += 1.5;
        return search_measurement{50.0 - (t[0] == dtype::bfloat16 ? 30 : 0), 1, seconds};
      },
      {.budget = halfway::sqnr_budget(40), .time_weight = 1, .max_evaluations = 60});  // of 64
  // The first layer must not, the other five may.
  EXPECT_EQ(found.best().types[0], dtype::float32);
  EXPECT_EQ(std::ranges::count(found.best().types, dtype::bfloat16), 5);
}

TEST(Search, TakesEveryKindOfMetric) {
  const auto measure = [](std::span<const dtype> t) {
    double error = 0, bytes = 0;
    for (std::size_t u = 0; u < t.size(); ++u) {
      bytes += halfway::bits_of(t[u]);
      error += t[u] == dtype::float32 ? 0 : 0.01 * static_cast<double>(u + 1);
    }
    return search_measurement{error, bytes, 1};
  };
  const std::vector<search_unit> units(4, {"layer", {dtype::float32, dtype::float16}});
  const auto count = [](const search_result& r) {
    return std::ranges::count(r.best().types, dtype::float16);
  };
  // Of errors 1, 2, 3 and 4 hundredths two fit into 5 hundredths.
  EXPECT_EQ(count(halfway::search_precision(
                units, measure, {.budget = halfway::kl_budget(0.055), .max_evaluations = 15})),
            2);
  EXPECT_EQ(count(halfway::search_precision(
                units,
                [&](std::span<const dtype> t) {
                  search_measurement m = measure(t);
                  m.fidelity = 1 - m.fidelity;
                  return m;
                },
                {.budget = halfway::top1_budget(0.945), .max_evaluations = 15})),
            2);
}

// Whatever the losses do: here two layers lose nothing only together.
TEST(Search, MeasuresAllWhereThatIsNoMoreThanItMay) {
  const std::vector<search_unit> units(8, {"layer", {dtype::float32, dtype::float16}});
  const auto measure = [](std::span<const dtype> t) {
    const auto narrow = [&](std::size_t u) { return t[u] == dtype::float16; };
    const bool pair = narrow(2) && narrow(5) && std::ranges::count(t, dtype::float16) == 2;
    const bool none = std::ranges::count(t, dtype::float16) == 0;
    return search_measurement{none || pair ? 50.0 : 10.0, pair ? 0.5 : 1.0, 1};
  };
  const auto found = halfway::search_precision(units, measure);
  EXPECT_EQ(found.evaluations(), 256u);
  EXPECT_EQ(found.best().cost, 0.75);
  EXPECT_EQ(found.best().types[2], dtype::float16);
  EXPECT_EQ(found.best().types[5], dtype::float16);
  EXPECT_EQ(found.sensitivities().size(), 8u);
  EXPECT_LE(halfway::search_precision(units, measure, {.max_evaluations = 255}).evaluations(),
            255u);
}

TEST(Search, SaysWhereNothingIsWithinTheBudget) {
  const std::vector<search_unit> units(2, {"layer", {dtype::float32, dtype::float16}});
  const auto found = halfway::search_precision(units, [](std::span<const dtype>) {
    return search_measurement{10, 1, 1};
  });
  EXPECT_FALSE(found.best().within);
  EXPECT_EQ(found.best().types, std::vector<dtype>(2, dtype::float32));
}

TEST(Search, HasAFrontThatNothingBeats) {
  const synthetic_model model(6, five_types, 0.3, 12);
  const auto found = search(model, {.budget = halfway::sqnr_budget(35)});
  const auto front = found.front();
  ASSERT_GT(front.size(), 3u);
  for (const search_point* p : front) {
    for (const search_point& q : found.points()) {
      const bool better = q.measured.fidelity > p->measured.fidelity &&
                          q.measured.bytes <= p->measured.bytes &&
                          q.measured.seconds <= p->measured.seconds;
      EXPECT_FALSE(better);
    }
  }
  for (std::size_t i = 1; i < front.size(); ++i) {
    EXPECT_LE(front[i - 1]->measured.bytes, front[i]->measured.bytes);
  }
  // Whatever is not on it is beaten, or equal to one that is.
  for (const search_point& q : found.points()) {
    if (std::isnan(q.measured.fidelity)) continue;
    EXPECT_TRUE(std::ranges::any_of(front, [&](const search_point* p) {
      return p->measured.fidelity >= q.measured.fidelity && p->measured.bytes <= q.measured.bytes &&
             p->measured.seconds <= q.measured.seconds;
    }));
  }
}

TEST(SearchReport, PrintsTableJsonAndDrawing) {
  const std::vector<search_unit> units = {{"fc \"1\"", {dtype::float32, dtype::bfloat16}},
                                          {"fc2", {dtype::float32, dtype::bfloat16}}};
  const auto found = halfway::search_precision(units, [](std::span<const dtype> t) {
    if (t[0] == dtype::bfloat16) return search_measurement{std::nan(""), 2, 1};
    return t[1] == dtype::bfloat16 ? search_measurement{45, 3, 1.5}
                                   : search_measurement{infinity, 4, 2};
  });
  const std::string table = halfway::to_table(found);
  EXPECT_NE(table.find("4 assignments measured; the cheapest within sqnr_db >= 40"),
            std::string::npos)
      << table;
  EXPECT_NE(table.find("\nfc2     bfloat16\n"), std::string::npos) << table;
  EXPECT_NE(table.find("*           45    0.7500    0.7500  1 float32, 1 bfloat16\n"),
            std::string::npos)
      << table;
  EXPECT_NE(table.find("           inf    1.0000    1.0000  2 float32\n"), std::string::npos)
      << table;
  const std::string json = halfway::to_json(found);
  EXPECT_NE(json.find("\"units\": [\"fc \\\"1\\\"\", \"fc2\"]"), std::string::npos) << json;
  EXPECT_NE(
      json.find("\"best\": {\"fidelity\": 45, \"bytes\": 3, \"seconds\": 1.5, \"cost\": 0.75, "
                "\"within\": true, \"types\": [\"float32\", \"bfloat16\"]}"),
      std::string::npos)
      << json;
  EXPECT_EQ(json.find("nan"), std::string::npos);
  EXPECT_EQ(json.find("inf"), std::string::npos);
  const std::string svg = halfway::to_svg(found);
  EXPECT_NE(svg.find("class=\"best\""), std::string::npos);
  EXPECT_NE(svg.find("class=\"budget\""), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
}

TEST(Search, TakesNoUnitsAndRefusesBadInput) {
  const auto constant = [](std::span<const dtype>) { return search_measurement{50, 1, 1}; };
  EXPECT_EQ(halfway::search_precision({}, constant).evaluations(), 1u);
  const std::vector<search_unit> empty = {{"fc1", {}}};
  expect_error([&] { halfway::search_precision(empty, constant); },
               {"halfway::search_precision", "\"fc1\"", "0 types"});
  expect_error([&] { halfway::search_precision({}, {}); }, {"evaluate is empty"});
  expect_error([&] { halfway::search_precision({}, constant, {.time_weight = 2}); },
               {"time_weight (2)"});
  expect_error([&] { halfway::search_precision({}, constant, {.least_gain = -1}); },
               {"least_gain (-1)"});
  expect_error(
      [&] {
        halfway::search_precision({}, constant, {.budget = halfway::kl_budget(std::nan(""))});
      },
      {"limit is NaN"});
}

}  // namespace
