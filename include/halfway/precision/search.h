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
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// What is decided as one: a layer, or several. `types`, from the reference (the most precise) to
/// whatever else it may have, in any order.
struct search_unit {
  std::string name;
  std::vector<dtype> types;
};

/// One assignment's worth. Lower bytes and seconds are better; what fidelity means is the budget's.
struct search_measurement {
  double fidelity = 0;
  double bytes = 0;
  double seconds = 0;
};

/// Runs the model with a type for each unit. Fidelity may be NaN: then no budget is met.
using search_evaluator = std::function<search_measurement(std::span<const dtype>)>;

/// How a metric is read, so that the search can add up what single layers lose.
enum class fidelity_scale {
  decibels,          ///< more is better, noise powers add up: SQNR
  higher_is_better,  ///< losses against the reference add up: agreement, accuracy
  lower_is_better,   ///< excesses over the reference add up: KL, an error
};

/// The metric that an assignment has to keep, and by how much.
struct fidelity_budget {
  std::string metric = "sqnr_db";
  double limit = 40;
  fidelity_scale scale = fidelity_scale::decibels;

  bool met_by(double fidelity) const {
    return scale == fidelity_scale::lower_is_better ? fidelity <= limit : fidelity >= limit;
  }
  /// A distance from the reference that adds up; infinite for NaN.
  double loss(double fidelity, double reference) const {
    double l = std::numeric_limits<double>::infinity();
    if (scale == fidelity_scale::decibels) l = std::pow(10.0, -fidelity / 10);
    if (scale == fidelity_scale::higher_is_better) l = reference - fidelity;
    if (scale == fidelity_scale::lower_is_better) l = fidelity - reference;
    return std::isnan(l) ? std::numeric_limits<double>::infinity() : std::max(l, 0.0);
  }
};

inline fidelity_budget sqnr_budget(double at_least_db) {
  return {"sqnr_db", at_least_db, fidelity_scale::decibels};
}
inline fidelity_budget top1_budget(double at_least) {
  return {"top1_agreement", at_least, fidelity_scale::higher_is_better};
}
inline fidelity_budget kl_budget(double at_most) {
  return {"mean_kl", at_most, fidelity_scale::lower_is_better};
}

struct search_options {
  fidelity_budget budget = {};
  /// Cost is time_weight * seconds + (1 - time_weight) * bytes, each as a share of the reference's.
  double time_weight = 0.5;
  /// A change counts as cheaper if it saves this share of the cost: above the noise of timing.
  double least_gain = 0.001;
  /// At most so many assignments are measured; 0: 100 + 16 for each type of each unit.
  std::size_t max_evaluations = 0;
};

/// An assignment that was measured.
struct search_point {
  std::vector<dtype> types;
  search_measurement measured;
  double cost = 0;
  bool within = false;  ///< the budget
};

/// What one unit alone does in one type, all others in their reference.
struct search_sensitivity {
  std::size_t unit = 0;
  dtype type = dtype::float32;
  search_measurement measured;
  double loss = 0;  ///< by the budget's scale, beyond the reference's
  double gain = 0;  ///< of cost
};

class search_result {
 public:
  search_result(std::vector<search_unit> units, search_options options,
                std::vector<search_point> points, std::vector<search_sensitivity> sensitivities,
                std::size_t best)
      : units_(std::move(units)),
        options_(std::move(options)),
        points_(std::move(points)),
        sensitivities_(std::move(sensitivities)),
        best_(best) {}

  const std::vector<search_unit>& units() const { return units_; }
  const search_options& options() const { return options_; }
  /// In the order in which they were measured; the first is the reference.
  const std::vector<search_point>& points() const { return points_; }
  std::size_t evaluations() const { return points_.size(); }
  const std::vector<search_sensitivity>& sensitivities() const { return sensitivities_; }
  const search_point& reference() const { return points_.front(); }
  /// The cheapest point within the budget; the reference if there is none, which `within` tells.
  const search_point& best() const { return points_[best_]; }

  /// The points that no other beats in fidelity, bytes and seconds at once, from the smallest; of
  /// equal ones the first. Those without a fidelity (NaN) are left out.
  std::vector<const search_point*> front() const {
    const bool less_is_better = options_.budget.scale == fidelity_scale::lower_is_better;
    const auto beats = [&](const search_measurement& a, const search_measurement& b) {
      const double fa = less_is_better ? -a.fidelity : a.fidelity;
      const double fb = less_is_better ? -b.fidelity : b.fidelity;
      if (!(fa >= fb) || a.bytes > b.bytes || a.seconds > b.seconds) return false;
      return fa > fb || a.bytes < b.bytes || a.seconds < b.seconds;
    };
    std::vector<const search_point*> front;
    for (const search_point& p : points_) {
      if (std::isnan(p.measured.fidelity)) continue;
      const bool beaten = std::ranges::any_of(points_, [&](const search_point& q) {
        const search_measurement &m = p.measured, &n = q.measured;
        const bool same = m.fidelity == n.fidelity && m.bytes == n.bytes && m.seconds == n.seconds;
        return same ? &q < &p : beats(n, m);
      });
      if (!beaten) front.push_back(&p);
    }
    // By address, so in order, where they are equal. (Not stable_sort: with clang and libstdc++ it
    // warns of what it calls.)
    std::ranges::sort(front, [](const search_point* a, const search_point* b) {
      return std::tuple(a->measured.bytes, a->measured.seconds, a) <
             std::tuple(b->measured.bytes, b->measured.seconds, b);
    });
    return front;
  }

 private:
  std::vector<search_unit> units_;
  search_options options_;
  std::vector<search_point> points_;
  std::vector<search_sensitivity> sensitivities_;
  std::size_t best_;
};

namespace detail {

/// One search. A choice has for each unit the index of its type.
class precision_search {
 public:
  using choice = std::vector<std::uint8_t>;

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
    best_ = 0;
    measure_sensitivities();
    std::vector<choice> starts = uniform_choices();
    for (const choice& c : starts) measure(c);
    fit();
    const std::vector<choice> path = greedy_path();
    starts.push_back(last_within(path));
    starts.push_back(path.back());
    for (std::size_t last = points_.size(); last != best_; follow_model()) {
      last = best_;
      follow_model();
      refine(choice_of(best_));
    }
    for (const choice& start : starts) refine(start);
    return {std::move(units_), options_, std::move(points_), std::move(sensitivities_), best_};
  }

 private:
  static constexpr std::size_t few = 16;  // units: all stretches of them are tried
  static constexpr double infinity = std::numeric_limits<double>::infinity();

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
    if (points_[number].within &&
        (!points_[best_].within || points_[number].cost < points_[best_].cost)) {
      best_ = number;
    }
    return number;
  }

  // ---- Each layer alone

  void measure_sensitivities() {
    loss_.resize(units_.size());
    for (std::size_t u = 0; u != units_.size(); ++u) {
      loss_[u].assign(units_[u].types.size(), 0);
      for (std::size_t t = 1; t < units_[u].types.size(); ++t) {
        choice c(units_.size());
        c[u] = static_cast<std::uint8_t>(t);
        const auto p = measure(c);
        if (!p) {  // of what was not measured nothing good is assumed
          loss_[u][t] = infinity;
          continue;
        }
        loss_[u][t] = std::max(0.0, loss_of(*p) - loss_of(0));
        sensitivities_.push_back({u, units_[u].types[t], points_[*p].measured, loss_[u][t],
                                  points_[0].cost - points_[*p].cost});
      }
    }
  }

  void fit() {
    fit_costs();
    fit_losses();
  }

  // ---- What costs

  /// For each unit what a type of its own costs more than the reference, and what it costs that the
  /// next unit has another type (a cast): what explains the measured costs best, by Kaczmarz's method
  /// of projections. Single units alone would not tell the one from the other.
  void fit_costs() {
    if (type_costs_.empty()) {
      for (const search_unit& u : units_) type_costs_.emplace_back(u.types.size());
      cast_costs_.resize(units_.size());
    }
    constexpr int sweeps = 4;  // each fit begins with the last one's result
    for (int sweep = 0; sweep != sweeps; ++sweep) {
      for (const auto& [c, number] : numbers_) {
        double parts = 0;
        for (std::size_t u = 0; u != c.size(); ++u) parts += (c[u] != 0) + is_cast(c, u);
        if (parts == 0) continue;
        const double share = (points_[number].cost - points_[0].cost - modelled_cost(c)) / parts;
        for (std::size_t u = 0; u != c.size(); ++u) {
          if (c[u] != 0) type_costs_[u][c[u]] += share;
          if (is_cast(c, u)) cast_costs_[u] += share;
        }
      }
    }
  }
  bool is_cast(const choice& c, std::size_t u) const {
    return u + 1 != c.size() && units_[u].types[c[u]] != units_[u + 1].types[c[u + 1]];
  }
  /// Against the reference.
  double modelled_cost(const choice& c) const {
    double cost = 0;
    for (std::size_t u = 0; u != c.size(); ++u) {
      cost += type_costs_[u][c[u]];
      if (is_cast(c, u)) cost += cast_costs_[u];
    }
    return cost;
  }
  /// Of a unit's type, casts apart.
  double gain(std::size_t u, std::size_t from, std::size_t to) const {
    return type_costs_[u][from] - type_costs_[u][to];
  }

  // ---- What loses

  /// Errors of units add up as vectors do: losses l and m to l + m + 2 r sqrt(l m). The correlations r
  /// of pairs that explain the measured losses best, in the same way.
  void fit_losses() {
    const std::size_t n = units_.size();
    if (n > few) return;  // there would be too many: taken for 0
    correlations_.resize(n * n);
    constexpr int sweeps = 4;  // each fit begins with the last one's result
    for (int sweep = 0; sweep != sweeps; ++sweep) {
      for (const auto& [c, number] : numbers_) {
        const double residual = loss_of(number) - loss_of(0) - modelled_loss(c);
        if (!std::isfinite(residual)) continue;
        double squares = 0;
        for_each_pair(c, [&](std::size_t, double l) { squares += l * l; });
        if (squares == 0) continue;
        for_each_pair(c, [&](std::size_t pair, double l) {
          correlations_[pair] = std::clamp(correlations_[pair] + residual * l / squares, -1.0, 1.0);
        });
      }
    }
  }
  /// Calls f(pair, 2 sqrt(l m)).
  template <class F>
  void for_each_pair(const choice& c, const F& f) const {
    for (std::size_t u = 0; u != c.size(); ++u) {
      const double l = loss_[u][c[u]];
      if (l == 0) continue;
      for (std::size_t v = 0; v != u; ++v) {
        const double m = loss_[v][c[v]];
        if (m != 0) f(u * c.size() + v, 2 * std::sqrt(l * m));
      }
    }
  }
  /// Beyond the reference's.
  double modelled_loss(const choice& c) const {
    double loss = 0;
    for (std::size_t u = 0; u != c.size(); ++u) loss += loss_[u][c[u]];
    if (correlations_.empty() || loss == infinity) return loss;
    for_each_pair(c, [&](std::size_t pair, double l) { loss += correlations_[pair] * l; });
    return std::max(loss, 0.0);
  }

  // ---- Greedy

  /// Assignments from the reference to the cheapest, each with one more unit cheaper: always that
  /// step which saves the most for what it loses. Where losses and gains add up, each is the best for
  /// its loss but for the last unit's share (the greedy of the multiple-choice knapsack).
  std::vector<choice> greedy_path() const {
    std::vector<choice> path = {choice(units_.size())};
    for (;;) {
      const choice& c = path.back();
      double best_rate = 0;
      std::size_t unit = 0, type = 0;
      for (std::size_t u = 0; u != units_.size(); ++u) {
        for (std::size_t t = 0; t != units_[u].types.size(); ++t) {
          const double saved = gain(u, c[u], t);
          const double loss = loss_[u][t] - loss_[u][c[u]];
          if (!(saved > 0) || loss_[u][t] == infinity) continue;
          const double rate = loss > 0 ? saved / loss : infinity;
          if (rate > best_rate ||
              (rate == infinity && best_rate == infinity && saved > gain(unit, c[unit], type))) {
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

  /// All units in one type, where they have it; else in the reference.
  std::vector<choice> uniform_choices() const {
    std::vector<choice> choices;
    for (const dtype type : all_dtypes) {
      choice c(units_.size());
      bool any = false;
      for (std::size_t u = 0; u != units_.size(); ++u) {
        const auto found = std::ranges::find(units_[u].types, type);
        if (found == units_[u].types.end()) continue;
        c[u] = static_cast<std::uint8_t>(found - units_[u].types.begin());
        any = any || c[u] != 0;
      }
      if (any) choices.push_back(std::move(c));
    }
    return choices;
  }

  // ---- Refinement

  struct candidate {
    choice types;
    double cost;  // as fitted
    double loss;  // as single units' losses add up
  };

  /// What is to be expected of a change of a measured choice.
  candidate expect(const choice& from, std::size_t number, choice to) const {
    const double cost = points_[number].cost + modelled_cost(to) - modelled_cost(from);
    const double loss = loss_of(number) + modelled_loss(to) - modelled_loss(from);
    return {std::move(to), cost, std::isnan(loss) ? modelled_loss(to) : std::max(loss, 0.0)};
  }

  /// Chunks of neighbours, as in delta debugging: all, halves, quarters, ..., single units; every
  /// stretch where there are few. Each in one type, or each unit one step cheaper. Whole stretches,
  /// as where single units only add casts.
  void add_chunks(const choice& from, std::vector<choice>& to) const {
    const std::size_t n = units_.size();
    const auto add = [&](std::size_t begin, std::size_t end) {
      for (const dtype type : all_dtypes) {
        choice c = from;
        for (std::size_t u = begin; u != end; ++u) {
          const auto found = std::ranges::find(units_[u].types, type);
          if (found != units_[u].types.end()) {
            c[u] = static_cast<std::uint8_t>(found - units_[u].types.begin());
          }
        }
        if (c != from) to.push_back(std::move(c));
      }
      choice c = from;
      for (std::size_t u = begin; u != end; ++u) c[u] = next_cheaper(u, from[u]);
      if (c != from) to.push_back(std::move(c));
    };
    if (n <= few) {
      for (std::size_t begin = 0; begin != n; ++begin) {
        for (std::size_t end = begin + 1; end <= n; ++end) add(begin, end);
      }
      return;
    }
    for (std::size_t length = n; length != 0; length /= 2) {
      for (std::size_t begin = 0; begin < n; begin += length) {
        add(begin, std::min(n, begin + length));
      }
    }
  }

  std::uint8_t next_cheaper(std::size_t u, std::uint8_t t) const {
    std::uint8_t best = t;
    double least = infinity;
    for (std::size_t other = 0; other != units_[u].types.size(); ++other) {
      const double saved = gain(u, t, other);
      if (saved > 0 && saved < least) {
        least = saved;
        best = static_cast<std::uint8_t>(other);
      }
    }
    return best;
  }

  /// One unit cheaper, another one more precise to pay for it.
  void add_exchanges(const choice& from, std::vector<choice>& to) const {
    for (std::size_t u = 0; u != units_.size(); ++u) {
      for (std::size_t v = 0; v != u; ++v) {
        for (std::size_t s = 0; s != units_[u].types.size(); ++s) {
          for (std::size_t t = 0; t != units_[v].types.size(); ++t) {
            if (s == from[u] || t == from[v]) continue;
            choice c = from;
            c[u] = static_cast<std::uint8_t>(s);
            c[v] = static_cast<std::uint8_t>(t);
            to.push_back(std::move(c));
          }
        }
      }
    }
  }

  /// A stretch and a unit outside of it, where units are few.
  void add_chunks_and_units(const choice& from, std::vector<choice>& to) const {
    if (units_.size() > few) return;
    std::vector<choice> chunks;
    add_chunks(from, chunks);
    for (const choice& chunk : chunks) {
      for (std::size_t u = 0; u != units_.size(); ++u) {
        if (chunk[u] != from[u]) continue;
        for (std::size_t t = 0; t != units_[u].types.size(); ++t) {
          if (t == from[u]) continue;
          to.push_back(chunk);
          to.back()[u] = static_cast<std::uint8_t>(t);
        }
      }
    }
  }

  /// The most promising of those not measured yet: within the budget and cheaper as far as can be
  /// foreseen, with some slack for what does not add up.
  std::vector<candidate> promising(const choice& from, std::size_t number,
                                   std::vector<choice> to) const {
    const double cost = points_[number].cost, limit = loss_limit();
    const bool repair = !points_[number].within;
    std::vector<candidate> list;
    for (choice& c : to) {
      if (numbers_.contains(c)) continue;
      candidate expected = expect(from, number, std::move(c));
      if (expected.loss < infinity &&
          (repair || expected.cost < cost * (1 - options_.least_gain) + cost_slack_)) {
        list.push_back(std::move(expected));
      }
    }
    // By octaves of the loss past the limit, then by cost: what should fit before what may.
    const auto octave = [&](const candidate& c) {
      return c.loss <= limit * loss_slack ? 0 : std::ilogb(c.loss / limit) + 1;
    };
    std::ranges::sort(list, [&](const candidate& x, const candidate& y) {
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

  // ---- By the model

  /// The cheapest assignments that the fitted costs and losses promise within the budget: unit by
  /// unit, of all beginnings with one last type and about the same loss the cheapest is kept.
  std::vector<candidate> solve_model() const {
    const double limit = loss_limit();
    const auto bucket = [&](double loss) {
      constexpr double steps = 10;  // in a doubling of the loss
      return loss <= limit * 0x1p-8 ? -1e9 : std::floor(steps * std::log2(loss / limit));
    };
    std::vector<candidate> states = {{choice(units_.size()), 0, 0}};
    for (std::size_t u = 0; u != units_.size(); ++u) {
      std::map<std::pair<std::size_t, double>, candidate> kept;
      for (const candidate& s : states) {
        for (std::size_t t = 0; t != units_[u].types.size(); ++t) {
          candidate next = s;
          next.types[u] = static_cast<std::uint8_t>(t);
          next.cost += type_costs_[u][t];
          if (u != 0 && is_cast(next.types, u - 1)) next.cost += cast_costs_[u - 1];
          next.loss += loss_[u][t] + loss_with_earlier(next.types, u);
          if (!(next.loss <= limit * loss_slack)) continue;
          const auto [at, is_new] = kept.try_emplace({t, bucket(next.loss)}, next);
          if (!is_new && next.cost < at->second.cost) at->second = std::move(next);
        }
      }
      states.clear();
      for (auto& [key, state] : kept) states.push_back(std::move(state));
    }
    std::ranges::sort(states, [](const candidate& a, const candidate& b) {
      return std::tie(a.cost, a.types) < std::tie(b.cost, b.types);
    });
    return states;
  }
  double loss_with_earlier(const choice& c, std::size_t u) const {
    if (correlations_.empty() || !(loss_[u][c[u]] < infinity)) return 0;
    double loss = 0;
    for (std::size_t v = 0; v != u; ++v) {
      loss += correlations_[u * c.size() + v] * 2 * std::sqrt(loss_[u][c[u]] * loss_[v][c[v]]);
    }
    return loss;
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
        for (const candidate& c : solve_model()) {
          if (tried == at_once / 2 || c.cost + points_[0].cost >= points_[best_].cost) break;
          if (c.loss > most || numbers_.contains(c.types)) continue;
          if (!measure(c.types)) return;
          ++tried;
        }
        measured += tried;
      }
      if (measured == 0) return;
      fit();
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
      fit();
      for (const auto add : {&precision_search::add_chunks, &precision_search::add_exchanges,
                             &precision_search::add_chunks_and_units}) {
        std::vector<choice> near;
        (this->*add)(at, near);
        for (const candidate& c : promising(at, *number, std::move(near))) {
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
  void learn(const candidate& expected, std::size_t number) {
    cost_slack_ = std::max(cost_slack_, expected.cost - points_[number].cost);
  }

  double cost_slack_ = 0;
  static constexpr double loss_slack = 1.5;

  std::vector<search_unit> units_;
  const search_evaluator& evaluate_;
  const search_options& options_;
  std::size_t most_ = 0;
  std::vector<search_point> points_;
  std::map<choice, std::size_t> numbers_;
  std::vector<search_sensitivity> sensitivities_;
  std::vector<std::vector<double>> loss_;        // of a unit alone in a type
  std::vector<std::vector<double>> type_costs_;  // of a unit in a type, against the reference
  std::vector<double> correlations_;             // of the losses of two units
  std::vector<double> cast_costs_;               // between a unit and the next
  std::size_t best_ = 0;
};

}  // namespace detail

/// Looks for the cheapest types within options.budget. First the reference, each unit alone in each
/// of its types, and all in one type, from which the costs of types and of casts between neighbours
/// are told apart; then a greedy path by what single units save and lose, of which bisection finds the
/// last assignment within the budget; then, from there and from the ends, changes of whole stretches
/// of units (chunks of all sizes, as delta debugging takes them) and exchanges between two units, as
/// long as one is measured to be cheaper and within the budget. Only changes that promise to be are
/// measured; none twice.
///
/// The result is an assignment that was measured within the budget, not a promise for other data. At
/// most options.max_evaluations are measured. The same measurements give the same result.
///
/// Errors: a unit without types; options out of range; no evaluator.
inline search_result search_precision(std::span<const search_unit> units,
                                      const search_evaluator& evaluate,
                                      const search_options& options = {}) {
  return detail::precision_search(units, evaluate, options).result();
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_SEARCH_H_
