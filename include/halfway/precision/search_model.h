// SPDX-License-Identifier: Apache-2.0
// What a precision search learns from what it measured: a model of cost and loss that foretells
// assignments not measured yet.
#ifndef HALFWAY_PRECISION_SEARCH_MODEL_H_
#define HALFWAY_PRECISION_SEARCH_MODEL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "halfway/precision/search_result.h"

namespace halfway::detail {

/// For each unit the index of its type; 0 is the reference.
using type_choice = std::vector<std::uint8_t>;

/// What an assignment costs and loses beyond the reference.
struct search_outcome {
  double cost = 0;
  double loss = 0;
};

/// A choice, and what is to be expected of it.
struct expected_choice {
  type_choice types;
  double cost = 0;
  double loss = 0;
};

/// Up to so many units pairs, and all stretches of units, are few enough to look at each.
inline constexpr std::size_t few_units = 16;

/// Cost: the sum of what each unit's type costs, and of a cast where two neighbours differ. Loss:
/// what units alone lose, and a correlation for each pair.
class search_model {
 public:
  using choice = type_choice;

  explicit search_model(std::span<const search_unit> units)
      : units_(units), cast_costs_(units.size()) {
    for (const search_unit& u : units_) {
      type_costs_.emplace_back(u.types.size());
      loss_.emplace_back(u.types.size());
    }
  }

  /// What unit u loses in its type t, all others in their reference; infinite: not to be used.
  void set_loss_alone(std::size_t u, std::size_t t, double loss) { loss_[u][t] = loss; }
  double loss_alone(std::size_t u, std::size_t t) const { return loss_[u][t]; }

  void add(const choice& c, search_outcome seen) { measured_.insert_or_assign(c, seen); }

  /// To all that was added. Each fit begins with the last one's result.
  void fit() {
    fit_costs();
    fit_losses();
  }

  /// Against the reference.
  double cost(const choice& c) const {
    double sum = 0;
    for (std::size_t u = 0; u != c.size(); ++u) {
      sum += type_costs_[u][c[u]];
      if (is_cast(c, u)) sum += cast_costs_[u];
    }
    return sum;
  }
  /// Of a unit's type, casts apart.
  double gain(std::size_t u, std::size_t from, std::size_t to) const {
    return type_costs_[u][from] - type_costs_[u][to];
  }

  /// Beyond the reference's.
  double loss(const choice& c) const {
    double sum = 0;
    for (std::size_t u = 0; u != c.size(); ++u) sum += loss_[u][c[u]];
    if (correlations_.empty() || std::isinf(sum)) return sum;
    for_each_pair(c, [&](std::size_t pair, double l) { sum += correlations_[pair] * l; });
    return std::max(sum, 0.0);
  }

  /// The cheapest assignments that the fitted costs and losses promise within the budget: unit by
  /// unit, of all beginnings with one last type and about the same loss the cheapest is kept.
  std::vector<expected_choice> solve(double limit, double slack) const {
    const auto bucket = [&](double loss) {
      constexpr double steps = 10;  // in a doubling of the loss
      return loss <= limit * 0x1p-8 ? -1e9 : std::floor(steps * std::log2(loss / limit));
    };
    std::vector<expected_choice> states = {{choice(units_.size()), 0, 0}};
    for (std::size_t u = 0; u != units_.size(); ++u) {
      std::map<std::pair<std::size_t, double>, expected_choice> kept;
      for (const expected_choice& s : states) {
        for (std::size_t t = 0; t != units_[u].types.size(); ++t) {
          expected_choice next = s;
          next.types[u] = static_cast<std::uint8_t>(t);
          next.cost += type_costs_[u][t];
          if (u != 0 && is_cast(next.types, u - 1)) next.cost += cast_costs_[u - 1];
          next.loss += loss_[u][t] + loss_with_earlier(next.types, u);
          if (!(next.loss <= limit * slack)) continue;
          const auto [at, is_new] = kept.try_emplace({t, bucket(next.loss)}, next);
          if (!is_new && next.cost < at->second.cost) at->second = std::move(next);
        }
      }
      states.clear();
      for (auto& [key, state] : kept) states.push_back(std::move(state));
    }
    std::ranges::sort(states, [](const expected_choice& a, const expected_choice& b) {
      return std::tie(a.cost, a.types) < std::tie(b.cost, b.types);
    });
    return states;
  }

 private:
  static constexpr int sweeps = 4;

  /// For each unit what a type of its own costs more than the reference, and what it costs that the
  /// next unit has another type (a cast): what explains the measured costs best, by Kaczmarz's
  /// method of projections. Single units alone would not tell the one from the other.
  void fit_costs() {
    for (int sweep = 0; sweep != sweeps; ++sweep) {
      for (const auto& [c, seen] : measured_) {
        double parts = 0;
        for (std::size_t u = 0; u != c.size(); ++u) parts += (c[u] != 0) + is_cast(c, u);
        if (parts == 0) continue;
        const double share = (seen.cost - cost(c)) / parts;
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
  /// Errors of units add up as vectors do: losses l and m to l + m + 2 r sqrt(l m). The
  /// correlations r of pairs that explain the measured losses best, in the same way.
  void fit_losses() {
    const std::size_t n = units_.size();
    if (n > few_units) return;  // there would be too many: taken for 0
    correlations_.resize(n * n);
    for (int sweep = 0; sweep != sweeps; ++sweep) {
      for (const auto& [c, seen] : measured_) {
        const double residual = seen.loss - loss(c);
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
  double loss_with_earlier(const choice& c, std::size_t u) const {
    if (correlations_.empty() || !std::isfinite(loss_[u][c[u]])) return 0;
    double loss = 0;
    for (std::size_t v = 0; v != u; ++v) {
      loss += correlations_[u * c.size() + v] * 2 * std::sqrt(loss_[u][c[u]] * loss_[v][c[v]]);
    }
    return loss;
  }

  std::span<const search_unit> units_;
  std::map<choice, search_outcome> measured_;
  std::vector<std::vector<double>> loss_;        // of a unit alone in a type
  std::vector<std::vector<double>> type_costs_;  // of a unit in a type, against the reference
  std::vector<double> cast_costs_;               // between a unit and the next
  std::vector<double> correlations_;             // of the losses of two units
};

}  // namespace halfway::detail

#endif  // HALFWAY_PRECISION_SEARCH_MODEL_H_
