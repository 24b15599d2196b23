// SPDX-License-Identifier: Apache-2.0
// The cheapest types for the layers of a model within a budget of fidelity, found by measuring.
//
//   std::vector<halfway::search_unit> layers = {{"fc1", {dtype::float32, dtype::bfloat16}}, ...};
//   const auto found = halfway::search_precision(layers, measure, {.budget = halfway::sqnr_budget(40)});
//   found.best().types;          // one for each layer
//   found.evaluations();         // how many assignments were measured
//
// `measure` runs the model with given types. precision/graph_search.h is one for graphs;
// precision/search_report.h prints what was found.
#ifndef HALFWAY_PRECISION_SEARCH_H_
#define HALFWAY_PRECISION_SEARCH_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/fidelity_budget.h"  // IWYU pragma: export
#include "halfway/precision/search_model.h"
#include "halfway/precision/search_neighbours.h"
#include "halfway/precision/search_result.h"  // IWYU pragma: export
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {
namespace detail {

class precision_search {
 public:
  using choice = type_choice;

  precision_search(std::span<const search_unit> units, const search_evaluator& evaluate,
                   const search_options& options)
      : units_(units.begin(), units.end()), evaluate_(evaluate), options_(options) {
    check();
    std::size_t types = 0;
    for (const search_unit& u : units_) types += u.types.size();
    most_ = options_.max_evaluations != 0 ? options_.max_evaluations : 100 + 16 * types;
  }

  search_result result() && {
    measure(choice(units_.size()));  // the reference is the first point
    measure_each_alone();
    if (assignments() <= most_) {
      measure_all();
    } else {
      search();
    }
    return {std::move(units_), options_, std::move(points_), std::move(sensitivities_), best_};
  }

 private:
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  static constexpr double loss_slack = 1.5;  // for what does not add up as foreseen

  void check() const {
    constexpr std::string_view where = "halfway::search_precision: ";
    if (!evaluate_) fail(concat(where, "evaluate is empty"));
    for (const search_unit& u : units_) {
      if (u.types.empty() || u.types.size() > 255) {
        fail(concat(where, "unit ", quoted(u.name), " has ", u.types.size(),
                    " types; it needs at least one, and at most 255"));
      }
    }
    if (!(options_.time_weight >= 0 && options_.time_weight <= 1)) {
      fail(concat(where, "options.time_weight (", options_.time_weight, ") must be from 0 to 1"));
    }
    if (!(options_.least_gain >= 0 && options_.least_gain < 1)) {
      fail(concat(where, "options.least_gain (", options_.least_gain,
                  ") must be at least 0 and below 1"));
    }
    if (std::isnan(options_.budget.limit)) fail(concat(where, "options.budget.limit is NaN"));
  }

  void search() {
    std::vector<choice> starts = near_.uniform();
    for (const choice& c : starts) measure(c);
    model_.fit();
    const std::vector<choice> path = greedy_path();
    starts.push_back(last_within(path));
    starts.push_back(path.back());
    for (std::size_t last = points_.size(); last != best_; follow_model()) {
      last = best_;
      follow_model();
      refine(choice_of(best_));
    }
    for (const choice& start : starts) refine(start);
  }

  // ---- Measuring

  double cost_of(const search_measurement& m) const {
    const search_measurement& r = points_.empty() ? m : points_[0].measured;
    const auto share = [](double value, double of) { return of > 0 ? value / of : 0.0; };
    return options_.time_weight * share(m.seconds, r.seconds) +
           (1 - options_.time_weight) * share(m.bytes, r.bytes);
  }
  double loss_of(std::size_t point) const {
    return options_.budget.loss(points_[point].measured.fidelity, points_[0].measured.fidelity);
  }
  double loss_limit() const {
    return options_.budget.loss(options_.budget.limit, points_[0].measured.fidelity);
  }

  /// The number of the choice's point; none if it would be one too many.
  std::optional<std::size_t> measure(const choice& c) {
    if (const auto found = numbers_.find(c); found != numbers_.end()) return found->second;
    if (points_.size() >= most_ && !points_.empty()) return std::nullopt;
    search_point p;
    for (std::size_t u = 0; u != c.size(); ++u) p.types.push_back(units_[u].types[c[u]]);
    p.measured = evaluate_(p.types);
    p.cost = cost_of(p.measured);
    p.within = options_.budget.met_by(p.measured.fidelity);
    points_.push_back(std::move(p));
    const std::size_t number = points_.size() - 1;
    numbers_.emplace(c, number);
    model_.add(c, {points_[number].cost - points_[0].cost, loss_of(number) - loss_of(0)});
    if (points_[number].within &&
        (!points_[best_].within || points_[number].cost < points_[best_].cost)) {
      best_ = number;
    }
    return number;
  }

  void measure_each_alone() {
    for (std::size_t u = 0; u != units_.size(); ++u) {
      for (std::size_t t = 1; t < units_[u].types.size(); ++t) {
        choice c(units_.size());
        c[u] = static_cast<std::uint8_t>(t);
        const auto p = measure(c);
        if (!p) {  // of what was not measured nothing good is assumed
          model_.set_loss_alone(u, t, infinity);
          continue;
        }
        const double loss = std::max(0.0, loss_of(*p) - loss_of(0));
        model_.set_loss_alone(u, t, loss);
        sensitivities_.push_back({u, units_[u].types[t], points_[*p].measured, loss,
                                  points_[0].cost - points_[*p].cost});
      }
    }
  }

  /// How many there are; one more than may be measured, if there are more.
  std::size_t assignments() const {
    std::size_t n = 1;
    for (const search_unit& u : units_) n = std::min(n * u.types.size(), most_ + 1);
    return n;
  }

  void measure_all() {
    choice c(units_.size());
    for (std::size_t u = 0; u != c.size();) {
      measure(c);
      for (u = 0; u != c.size() && ++c[u] == units_[u].types.size(); ++u) c[u] = 0;
    }
  }

  // ---- Greedy

  /// Assignments from the reference to the cheapest, each with one more unit cheaper: always that
  /// step which saves the most for what it loses. Where losses and gains add up, each is the best
  /// for its loss but for the last unit's share (the greedy of the multiple-choice knapsack).
  std::vector<choice> greedy_path() const {
    std::vector<choice> path = {choice(units_.size())};
    for (;;) {
      const choice& c = path.back();
      double best_rate = 0;
      std::size_t unit = 0, type = 0;
      for (std::size_t u = 0; u != units_.size(); ++u) {
        for (std::size_t t = 0; t != units_[u].types.size(); ++t) {
          const double saved = model_.gain(u, c[u], t);
          const double loss = model_.loss_alone(u, t) - model_.loss_alone(u, c[u]);
          if (!(saved > 0) || model_.loss_alone(u, t) == infinity) continue;
          const double rate = loss > 0 ? saved / loss : infinity;
          if (rate > best_rate || (rate == infinity && best_rate == infinity &&
                                   saved > model_.gain(unit, c[unit], type))) {
            best_rate = rate;
            unit = u;
            type = t;
          }
        }
      }
      if (best_rate == 0) return path;
      choice next = c;
      next[unit] = static_cast<std::uint8_t>(type);
      path.push_back(std::move(next));
    }
  }

  /// The last of a path within the budget, by bisection.
  choice last_within(const std::vector<choice>& path) {
    std::size_t within = 0, end = path.size();
    while (end - within > 1) {
      const std::size_t middle = (within + end) / 2;
      const auto p = measure(path[middle]);
      (p && points_[*p].within ? within : end) = middle;
    }
    return path[within];
  }

  // ---- Refinement

  /// What is to be expected of a change of a measured choice.
  expected_choice expect(const choice& from, std::size_t number, choice to) const {
    const double cost = points_[number].cost + model_.cost(to) - model_.cost(from);
    const double loss = loss_of(number) + model_.loss(to) - model_.loss(from);
    return {std::move(to), cost, std::isnan(loss) ? model_.loss(to) : std::max(loss, 0.0)};
  }

  /// The most promising of those not measured yet: within the budget and cheaper as far as can be
  /// foreseen, with some slack for what does not add up.
  std::vector<expected_choice> promising(const choice& from, std::size_t number,
                                         std::vector<choice> to) const {
    const double cost = points_[number].cost, limit = loss_limit();
    const bool repair = !points_[number].within;
    std::vector<expected_choice> list;
    for (choice& c : to) {
      if (numbers_.contains(c)) continue;
      expected_choice expected = expect(from, number, std::move(c));
      if (expected.loss < infinity &&
          (repair || expected.cost < cost * (1 - options_.least_gain) + cost_slack_)) {
        list.push_back(std::move(expected));
      }
    }
    // By octaves of the loss past the limit, then by cost: what should fit before what may.
    const auto octave = [&](const expected_choice& c) {
      return c.loss <= limit * loss_slack ? 0 : std::ilogb(c.loss / limit) + 1;
    };
    std::ranges::sort(list, [&](const expected_choice& x, const expected_choice& y) {
      const int a = octave(x), b = octave(y);
      return a != b ? a < b : std::tie(x.cost, x.types) < std::tie(y.cost, y.types);
    });
    return list;
  }

  bool improves(std::size_t point, std::size_t on) const {
    const search_point &p = points_[point], &q = points_[on];
    if (p.within != q.within) return p.within;
    if (!p.within) return loss_of(point) < loss_of(on);
    return p.cost < q.cost * (1 - options_.least_gain);
  }

  /// Measures what the model promises to be best, and teaches it the outcome, until it promises
  /// nothing new.
  void follow_model() {
    constexpr std::size_t at_once = 4;
    const double limit = loss_limit();
    for (;;) {
      std::size_t measured = 0;
      for (const double most : {limit, limit * loss_slack}) {
        std::size_t tried = 0;
        for (const expected_choice& c : model_.solve(limit, loss_slack)) {
          if (tried == at_once / 2 || c.cost + points_[0].cost >= points_[best_].cost) break;
          if (c.loss > most || numbers_.contains(c.types)) continue;
          if (!measure(c.types)) return;
          ++tried;
        }
        measured += tried;
      }
      if (measured == 0) return;
      model_.fit();
    }
  }

  choice choice_of(std::size_t number) const {
    for (const auto& [c, n] : numbers_) {
      if (n == number) return c;
    }
    return {};
  }

  /// Moves on while something near is better, chunks before exchanges.
  void refine(choice at) {
    auto number = measure(at);
    bool moved = number.has_value();
    while (moved) {
      moved = false;
      model_.fit();
      for (const auto add : {&search_neighbours::add_chunks, &search_neighbours::add_exchanges,
                             &search_neighbours::add_chunks_and_units}) {
        std::vector<choice> near;
        (near_.*add)(at, near);
        for (const expected_choice& c : promising(at, *number, std::move(near))) {
          const auto p = measure(c.types);
          if (!p) return;
          learn(c, *p);
          if (!improves(*p, *number)) continue;
          at = c.types;
          number = p;
          moved = true;
          break;
        }
        if (moved) break;
      }
    }
  }

  /// By how much an assignment may turn out better than the sum of its layers, seen so far.
  void learn(const expected_choice& expected, std::size_t number) {
    cost_slack_ = std::max(cost_slack_, expected.cost - points_[number].cost);
  }

  std::vector<search_unit> units_;
  const search_evaluator& evaluate_;
  const search_options& options_;
  std::size_t most_ = 0;
  std::vector<search_point> points_;
  std::map<choice, std::size_t> numbers_;
  std::vector<search_sensitivity> sensitivities_;
  search_model model_{units_};
  search_neighbours near_{units_, model_};
  double cost_slack_ = 0;
  std::size_t best_ = 0;
};

}  // namespace detail

/// Looks for the cheapest types within options.budget. Where there are no more assignments than may
/// be measured, all are: the result is the optimum. Else first the reference, each unit alone in
/// each of its types, and all in one type, from which the costs of types and of casts between
/// neighbours are told apart; then a greedy path by what single units save and lose, of which
/// bisection finds the last assignment within the budget; then, from there and from the ends,
/// changes of whole stretches of units (chunks of all sizes, as delta debugging takes them) and
/// exchanges between two units, as long as one is measured to be cheaper and within the budget.
/// Only changes that promise to be are measured; none twice.
///
/// The result is an assignment that was measured within the budget, not a promise for other data.
/// At most options.max_evaluations are measured. The same measurements give the same result.
///
/// Errors: a unit without types; options out of range; no evaluator.
inline search_result search_precision(std::span<const search_unit> units,
                                      const search_evaluator& evaluate,
                                      const search_options& options = {}) {
  return detail::precision_search(units, evaluate, options).result();
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_SEARCH_H_
