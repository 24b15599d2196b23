// SPDX-License-Identifier: Apache-2.0
// Which way of storing a network to take, from what was measured: a pure function, which says why.
//
//   const trade_off::recommendation r = trade_off::recommend(rows, {.min_agreement = 0.99});
//   if (r.row) use(rows[*r.row]);
#ifndef HALFWAY_EXAMPLES_TRADE_OFF_RECOMMENDATION_H_
#define HALFWAY_EXAMPLES_TRADE_OFF_RECOMMENDATION_H_

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "halfway/fidelity/confidence.h"

namespace trade_off {

// What was measured of one way. The first row is the baseline, FP32.
struct measured_row {
  std::string name;

  std::size_t images = 0;   // of the test
  std::size_t correct = 0;  // classified right
  std::size_t agrees = 0;   // with the baseline's class
  // Right in the baseline and wrong here, and the other way round.
  std::size_t newly_wrong = 0, newly_right = 0;
  std::size_t broken = 0;  // images with an infinite or NaN logit where the baseline has none

  std::size_t weight_bytes = 0;
  // Seconds of a core for an inference, means of consecutive stretches of time that all rows have in common: the
  // i-th stretch of one is the i-th of each.
  std::vector<double> seconds;
  // Seconds of a batch that 99% do not exceed; the interval as quantile_interval.
  double p99 = std::numeric_limits<double>::quiet_NaN();
  halfway::confidence_interval p99_interval;

  double accuracy() const { return share(correct); }
  double agreement() const { return share(agrees); }
  // How much less accurate than the baseline; negative: more accurate.
  double accuracy_drop() const { return share(newly_wrong) - share(newly_right); }
  double mean_seconds() const;

 private:
  double share(std::size_t count) const {
    return static_cast<double>(count) / static_cast<double>(images);
  }
};

struct objectives {
  std::optional<double> min_agreement = {};      // share of images
  std::optional<double> max_accuracy_drop = {};  // share of images
  std::optional<double> max_p99 = {};            // seconds of a batch
  double confidence = 0.95;                      // of each statement
  double same_cost = 0.02;                       // costs this near to each other count as equal
};

enum class verdict {
  recommended,
  costs_more,
  takes_more_bytes,  // at the same cost
  tied,              // which is cheaper is not proven
  misses,            // an objective, proven
  undecided,         // whether it meets an objective is not proven
  broken,            // NaN, or not measured
};

struct judgement {
  verdict is = verdict::broken;
  std::string reason;
};

struct recommendation {
  std::optional<std::size_t> row;     // empty: refused
  std::string reason;                 // why that one, or why none
  std::vector<judgement> judgements;  // of each row
};

// Of the rows that are proven to meet every objective the cheapest; among rows proven to cost the same
// within `same_cost`, the one with the fewest bytes of weights. None if no row is proven to meet them,
// or if it is not proven which one is the cheapest.
//
// Proven is what holds at the end of the interval with the given confidence that is worse for the row:
// of agreement Wilson's; of the accuracy drop accuracy_drop_interval; of p99 the row's own; of costs
// Student's for the mean over stretches of log(seconds / seconds of the cheapest). The baseline
// agrees with itself.
//
// Errors: no rows; rows whose numbers of images or stretches differ; counts above the images; a
// confidence outside (0, 1).
recommendation recommend(std::span<const measured_row> rows, const objectives& o);

// Of the difference of two shares of the same images, of which `newly_wrong` and `newly_right` are
// all that differ: Wald's interval with half an image added to each of the four counts. Agresti and
// Min, "Simple improved confidence intervals for comparing matched proportions", 2005.
halfway::confidence_interval accuracy_drop_interval(std::size_t images, std::size_t newly_wrong,
                                                    std::size_t newly_right, double confidence);

// Of the value that a share `q` of all values like these does not exceed, from their order alone:
// Conover, "Practical Nonparametric Statistics", 3.2, with the normal approximation. An end is
// infinite where so few values do not tell it. `sorted`: ascending.
halfway::confidence_interval quantile_interval(std::span<const double> sorted, double q,
                                               double confidence);

}  // namespace trade_off

#endif  // HALFWAY_EXAMPLES_TRADE_OFF_RECOMMENDATION_H_
