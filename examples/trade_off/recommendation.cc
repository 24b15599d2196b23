// SPDX-License-Identifier: Apache-2.0
#include "recommendation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include "halfway/core/error.h"
#include "report/number.h"

namespace trade_off {

namespace {

using halfway::confidence_interval;

constexpr double infinity = std::numeric_limits<double>::infinity();

using ::report::format;

std::string percent(double share) { return format("%.2f%%", 100 * share); }
std::string points(double share) { return format("%.2f", 100 * share) + " points"; }
std::string milliseconds(double seconds) {
  return std::isinf(seconds) ? "any time" : format("%.3g ms", 1e3 * seconds);
}

enum class answer { no, yes, open };

// Whether a value of which an interval is known stays at or below a limit; of NaN nothing is known.
answer stays_below(const confidence_interval& value, double limit) {
  if (value.high <= limit) return answer::yes;
  return value.low > limit ? answer::no : answer::open;
}

// One objective of one row: the answer, and the words for it, "agreement 99.1% (98.9% to 99.3%)".
struct finding {
  answer is = answer::yes;
  std::string value, limit;
};

template <class Text>
std::string with_interval(std::string_view what, double value, const confidence_interval& i,
                          const Text& text) {
  return halfway::detail::concat(what, " ", text(value), " (", text(i.low), " to ", text(i.high),
                                 ")");
}

std::vector<finding> findings_of(const measured_row& r, bool is_baseline, const objectives& o) {
  std::vector<finding> all;
  if (o.min_agreement && !is_baseline) {
    const auto i = halfway::wilson_interval(r.agrees, r.images, o.confidence);
    all.push_back({stays_below({-i.high, -i.low}, -*o.min_agreement),
                   with_interval("agreement", r.agreement(), i, percent),
                   "at least " + percent(*o.min_agreement)});
  }
  if (o.max_accuracy_drop && !is_baseline) {
    const auto i = accuracy_drop_interval(r.images, r.newly_wrong, r.newly_right, o.confidence);
    all.push_back({stays_below(i, *o.max_accuracy_drop),
                   with_interval("accuracy drop", r.accuracy_drop(), i, points),
                   "at most " + points(*o.max_accuracy_drop)});
  }
  if (o.max_p99) {
    all.push_back({stays_below(r.p99_interval, *o.max_p99),
                   with_interval("p99", r.p99, r.p99_interval, milliseconds),
                   "at most " + milliseconds(*o.max_p99)});
  }
  return all;
}

judgement judge_alone(const measured_row& r, bool is_baseline, const objectives& o) {
  if (r.broken != 0) {
    return {verdict::broken,
            halfway::detail::concat("infinite or NaN for ", r.broken, " of ", r.images, " images")};
  }
  const bool is_timed =
      std::ranges::all_of(r.seconds, [](double s) { return std::isfinite(s) && s > 0; });
  if (!is_timed || r.seconds.size() < 2 || r.images == 0) return {verdict::broken, "not measured"};
  judgement j{verdict::recommended, ""};
  const auto add = [&](verdict v, const finding& f, std::string_view words) {
    if (j.is != v) j = {v, ""};
    j.reason += halfway::detail::concat(j.reason.empty() ? "" : "; ", f.value, words, f.limit);
  };
  const std::vector<finding> found = findings_of(r, is_baseline, o);
  for (const finding& f : found) {
    if (f.is == answer::no) add(verdict::misses, f, ", not ");
  }
  if (j.is == verdict::misses) return j;
  for (const finding& f : found) {
    if (f.is == answer::open) add(verdict::undecided, f, ", not proven to be ");
  }
  return j;
}

// Of log(cost of `other` / cost of `cheapest`).
halfway::sample_mean log_ratios(const measured_row& other, const measured_row& cheapest) {
  halfway::sample_mean ratios;
  for (std::size_t i = 0; i < other.seconds.size(); ++i)
    ratios.add(std::log(other.seconds[i] / cheapest.seconds[i]));
  return ratios;
}

std::string more(double log_ratio) { return format("%+.1f%%", 100 * std::expm1(log_ratio)); }

void check(std::span<const measured_row> rows, const objectives& o) {
  constexpr std::string_view where = "trade_off::recommend";
  using halfway::detail::concat;
  if (rows.empty()) halfway::fail(concat(where, ": rows (0) must not be empty"));
  if (!(o.confidence > 0 && o.confidence < 1)) {
    halfway::fail(concat(where, ": confidence (", o.confidence, ") must be within (0, 1)"));
  }
  for (const measured_row& r : rows) {
    halfway::detail::check_equal(where, r.name + ".images", r.images, "baseline.images",
                                 rows[0].images);
    halfway::detail::check_equal(where, r.name + ".seconds.size()", r.seconds.size(),
                                 "baseline.seconds.size()", rows[0].seconds.size());
    for (const std::size_t count : {r.correct, r.agrees, r.newly_wrong + r.newly_right, r.broken}) {
      if (count > r.images) {
        halfway::fail(concat(where, ": ", r.name, " counts ", count, " of ", r.images, " images"));
      }
    }
  }
}

std::string list(std::span<const measured_row> rows, const std::vector<std::size_t>& which) {
  std::string text;
  for (std::size_t i = 0; i < which.size(); ++i) {
    text += i == 0 ? "" : i + 1 == which.size() ? " and " : ", ";
    text += rows[which[i]].name;
  }
  return text;
}

std::string why_none(std::span<const measured_row> rows, const std::vector<judgement>& judgements) {
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (judgements[i].is == verdict::undecided) open.push_back(i);
  }
  if (open.empty()) return "nothing meets the objectives";
  return "nothing is proven to meet the objectives; more images or time may decide about " +
         list(rows, open);
}

}  // namespace

double measured_row::mean_seconds() const {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(seconds.size());
}

recommendation recommend(std::span<const measured_row> rows, const objectives& o) {
  check(rows, o);
  recommendation r;
  std::vector<std::size_t> left;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    r.judgements.push_back(judge_alone(rows[i], i == 0, o));
    if (r.judgements[i].is == verdict::recommended) left.push_back(i);
  }
  if (left.empty()) {
    r.reason = why_none(rows, r.judgements);
    return r;
  }

  const std::size_t cheapest =
      *std::ranges::min_element(left, {}, [&](std::size_t i) { return rows[i].mean_seconds(); });
  std::vector<std::size_t> equals = {cheapest}, tied = {cheapest};
  for (const std::size_t i : left) {
    if (i == cheapest) continue;
    const halfway::sample_mean ratios = log_ratios(rows[i], rows[cheapest]);
    const confidence_interval interval = ratios.interval(o.confidence);
    const double same = std::log1p(o.same_cost);
    const std::string difference =
        with_interval("costs", ratios.mean(), interval, more) + " against " + rows[cheapest].name;
    if (interval.low >= -same && interval.high <= same) {
      equals.push_back(i);
      r.judgements[i].reason = difference;
    } else if (interval.low > 0) {
      r.judgements[i] = {verdict::costs_more, difference};
    } else {
      tied.push_back(i);
      r.judgements[i] = {verdict::tied, difference + ", not proven"};
    }
  }
  if (tied.size() > 1) {
    r.judgements[cheapest] = {verdict::tied, "which is cheaper is not proven"};
    for (const std::size_t i : equals) r.judgements[i].is = verdict::tied;
    std::ranges::sort(tied);
    r.reason = "not proven which is cheaper: " + list(rows, tied) + "; measure longer";
    return r;
  }

  r.row =
      *std::ranges::min_element(equals, {}, [&](std::size_t i) { return rows[i].weight_bytes; });
  for (const std::size_t i : equals) {
    if (i == *r.row) continue;
    r.judgements[i] = {
        verdict::takes_more_bytes,
        halfway::detail::concat("costs the same, but its weights take ", rows[i].weight_bytes,
                                " bytes instead of ", rows[*r.row].weight_bytes)};
  }
  r.reason = equals.size() > 1
                 ? "of the cheapest that keep the objectives, the one with the fewest bytes"
             : left.size() > 1 ? "the cheapest that keeps the objectives"
                               : "the only one that is proven to keep the objectives";
  r.judgements[*r.row] = {verdict::recommended, r.reason};
  return r;
}

confidence_interval accuracy_drop_interval(std::size_t images, std::size_t newly_wrong,
                                           std::size_t newly_right, double confidence) {
  if (images == 0) return {};
  const double n = static_cast<double>(images) + 2;
  const double wrong = static_cast<double>(newly_wrong) + 0.5;
  const double right = static_cast<double>(newly_right) + 0.5;
  const double drop = (wrong - right) / n;
  const double z = halfway::detail::normal_quantile((1 - confidence) / 2);
  const double margin = z * std::sqrt((wrong + right) / n - drop * drop) / std::sqrt(n);
  return {drop - margin, drop + margin};
}

confidence_interval quantile_interval(std::span<const double> sorted, double q, double confidence) {
  if (sorted.empty()) return {};
  const double n = static_cast<double>(sorted.size());
  const double z = halfway::detail::normal_quantile((1 - confidence) / 2);
  const double margin = z * std::sqrt(n * q * (1 - q));
  const double low = std::ceil(n * q - margin), high = std::ceil(n * q + margin);  // from 1 on
  return {low < 1 ? -infinity : sorted[static_cast<std::size_t>(low) - 1],
          high > n ? infinity : sorted[static_cast<std::size_t>(high) - 1]};
}

}  // namespace trade_off
