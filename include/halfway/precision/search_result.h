// SPDX-License-Identifier: Apache-2.0
// What a precision search is given, and what it found (precision/search.h).
#ifndef HALFWAY_PRECISION_SEARCH_RESULT_H_
#define HALFWAY_PRECISION_SEARCH_RESULT_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "halfway/precision/fidelity_budget.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// What is decided as one: a layer, or several. `types`, from the reference (the most precise) to
/// whatever else it may have, in any order.
struct search_unit {
  std::string name;          ///< for reports
  std::vector<dtype> types;  ///< the reference first
};

/// One assignment's worth. Lower bytes and seconds are better; what fidelity means is the budget's.
struct search_measurement {
  double fidelity = 0;  ///< in the budget's metric
  double bytes = 0;     ///< of the parameters, say
  double seconds = 0;   ///< of a run, say
};

/// Runs the model with a type for each unit. Fidelity may be NaN: then no budget is met.
using search_evaluator = std::function<search_measurement(std::span<const dtype>)>;

/// What a search aims at, and when it stops.
struct search_options {
  fidelity_budget budget = {};  ///< what an assignment has to keep
  /// Cost is time_weight * seconds + (1 - time_weight) * bytes, each as a share of the reference's.
  double time_weight = 0.5;
  /// A change counts as cheaper if it saves this share of the cost: above the noise of timing.
  double least_gain = 0.001;
  /// At most so many assignments are measured; 0: 100 + 16 for each type of each unit.
  std::size_t max_evaluations = 0;
};

/// An assignment that was measured.
struct search_point {
  std::vector<dtype> types;     ///< one for each unit
  search_measurement measured;  ///< what the evaluator said
  double cost = 0;              ///< as search_options weighs it; 1 at the reference
  bool within = false;          ///< the budget
};

/// What one unit alone does in one type, all others in their reference.
struct search_sensitivity {
  std::size_t unit = 0;         ///< index in the units
  dtype type = dtype::float32;  ///< not its reference
  search_measurement measured;  ///< of the assignment that differs in this unit only
  double loss = 0;              ///< by the budget's scale, beyond the reference's
  double gain = 0;              ///< of cost
};

/// What a search measured and chose.
class search_result {
 public:
  /// For searches: `points` begins with the reference, `best` is an index in them.
  search_result(std::vector<search_unit> units, search_options options,
                std::vector<search_point> points, std::vector<search_sensitivity> sensitivities,
                std::size_t best)
      : units_(std::move(units)),
        options_(std::move(options)),
        points_(std::move(points)),
        sensitivities_(std::move(sensitivities)),
        best_(best) {}

  const std::vector<search_unit>& units() const { return units_; }  ///< as given
  const search_options& options() const { return options_; }        ///< as given
  /// In the order in which they were measured; the first is the reference.
  const std::vector<search_point>& points() const { return points_; }
  std::size_t evaluations() const { return points_.size(); }  ///< assignments measured
  /// Of each unit in each type but its reference, as far as measured.
  const std::vector<search_sensitivity>& sensitivities() const { return sensitivities_; }
  /// All units in their first type.
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

}  // namespace halfway

#endif  // HALFWAY_PRECISION_SEARCH_RESULT_H_
