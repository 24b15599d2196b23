// SPDX-License-Identifier: Apache-2.0
// Objectives over time: what share of events has to be good, how much of what may be bad is used
// up, and whether it is being used up too fast.
//
//   halfway::error_budget budget(0.999);              // 99.9 % of answers within 50 ms, say
//   budget.add(now, latency <= 0.05);                 // now: std::chrono::seconds of any clock
//   if (budget.burning(now, halfway::fast_burn)) page();          // 1 h at 4 times the rate
//   else if (budget.burning(now, halfway::slow_burn)) ticket();   // 3 days at the rate itself
#ifndef HALFWAY_FIDELITY_ERROR_BUDGET_H_
#define HALFWAY_FIDELITY_ERROR_BUDGET_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string_view>

#include "halfway/core/error.h"

namespace halfway {

/// Alert when within `length` the budget was burnt at `rate` times the speed that uses up all of it
/// at the end of the objective's period, and is so still: within the last twelfth of it, too.
struct burn_alert {
  std::chrono::seconds length;  ///< of the long window; the short one is a twelfth of it
  double rate;  ///< in budgets used up in the objective's period: 1 is as fast as it may be
};
/// What of a 30 days' budget is gone when they fire: 0.6 % and 10 %.
inline constexpr burn_alert fast_burn{std::chrono::hours(1), 4};
/// @copydoc fast_burn
inline constexpr burn_alert slow_burn{std::chrono::hours(72), 1};

/// Good and bad events in buckets of time, the last `history` of them. Whatever can be said of an
/// event: a latency within its limit, a row with the baseline's first choice, a finite loss.
///
/// The burn rate of a window is its share of bad events divided by the share that may be bad,
/// 1 - target. Alerts ask it of two windows, the long one to be sure and the short one to end the
/// alert soon after the cause: Beyer and others, "The Site Reliability Workbook", 2018, chapter 5,
/// "Multiwindow, Multi-Burn-Rate Alerts", from where the twelfth is.
///
/// Time is what the caller says; nothing here reads a clock. Events may come out of order. A value
/// type; not for several threads at once (give each its own, then merge).
class error_budget {
 public:
  /// `target`: the share of events that has to be good. `resolution`: the length of a bucket, to
  /// which windows are rounded up. `history`: the longest window that will be asked for. Memory: up
  /// to history / resolution buckets. Errors: a target outside (0, 1), a resolution or history of
  /// less than a second.
  explicit error_budget(double target, std::chrono::seconds resolution = std::chrono::minutes(1),
                        std::chrono::seconds history = slow_burn.length)
      : target_(target), resolution_(resolution), history_(history) {
    constexpr std::string_view where = "halfway::error_budget";
    if (!(target > 0 && target < 1)) [[unlikely]]
      fail(detail::concat(where, ": target (", target, ") must be within (0, 1)"));
    check_length(where, "resolution", resolution);
    check_length(where, "history", history);
  }

  /// One event. What is older than the history, as seen from the newest, is dropped.
  void add(std::chrono::seconds now, bool good) { add(now, good ? 1 : 0, good ? 0 : 1); }
  /// Several at once. What is older than the history, as seen from the newest, is dropped.
  void add(std::chrono::seconds now, std::uint64_t good, std::uint64_t bad) {
    tally& t = buckets_[bucket(now)];
    t.good += good;
    t.bad += bad;
    forget();
  }

  /// As if this had seen the other's events, too; both by one clock. Error: another target,
  /// resolution or history.
  void merge(const error_budget& other) {
    if (target_ != other.target_ || resolution_ != other.resolution_ || history_ != other.history_)
        [[unlikely]] {
      fail(detail::concat("halfway::error_budget::merge: other's target (", other.target_,
                          "), resolution (", other.resolution_.count(), " s) and history (",
                          other.history_.count(), " s) must equal ", target_, ", ",
                          resolution_.count(), " s and ", history_.count(), " s"));
    }
    for (const auto& [at, theirs] : other.buckets_) {
      tally& mine = buckets_[at];
      mine.good += theirs.good;
      mine.bad += theirs.bad;
    }
    forget();
  }

  /// Of the events of the last `length` up to now, the bucket of now included: 1 uses up exactly
  /// the budget, 0 is no bad event or no event. Errors: less than a second, more than the history.
  double burn_rate(std::chrono::seconds now, std::chrono::seconds length) const {
    constexpr std::string_view where = "halfway::error_budget::burn_rate";
    check_length(where, "length", length);
    if (length > history_) [[unlikely]] {
      fail(detail::concat(where, ": length (", length.count(), " s) must be at most history (",
                          history_.count(), " s)"));
    }
    const std::int64_t last = bucket(now), first = last - in_buckets(length) + 1;
    tally sum;
    for (auto i = buckets_.lower_bound(first); i != buckets_.end() && i->first <= last; ++i) {
      sum.good += i->second.good;
      sum.bad += i->second.bad;
    }
    if (sum.bad == 0) return 0;
    return static_cast<double>(sum.bad) /
           (static_cast<double>(sum.good) + static_cast<double>(sum.bad)) / (1 - target_);
  }

  /// What is left at the traffic of the last `length`, as a share of what may be bad of it;
  /// negative if the objective was missed. Errors as burn_rate.
  double remaining(std::chrono::seconds now, std::chrono::seconds length) const {
    return 1 - burn_rate(now, length);
  }

  /// Whether the alert is on: the budget burns at its rate or faster in both windows. Errors as
  /// burn_rate.
  bool burning(std::chrono::seconds now, const burn_alert& alert) const {
    const auto recent = std::max(alert.length / 12, std::chrono::seconds(1));
    return burn_rate(now, alert.length) >= alert.rate && burn_rate(now, recent) >= alert.rate;
  }

  double target() const { return target_; }  ///< the share of events that has to be good

 private:
  struct tally {
    std::uint64_t good = 0, bad = 0;
  };

  static void check_length(std::string_view where, std::string_view name,
                           std::chrono::seconds length) {
    if (length < std::chrono::seconds(1)) [[unlikely]]
      fail(detail::concat(where, ": ", name, " (", length.count(), " s) must be at least 1 s"));
  }

  std::int64_t bucket(std::chrono::seconds now) const {
    const std::int64_t n = now.count(), r = resolution_.count();
    return n / r - (n % r < 0);  // down, before 0 too
  }
  std::int64_t in_buckets(std::chrono::seconds length) const {
    return (length.count() - 1) / resolution_.count() + 1;
  }
  void forget() {
    if (buckets_.empty()) return;
    const std::int64_t oldest = buckets_.rbegin()->first - in_buckets(history_) + 1;
    buckets_.erase(buckets_.begin(), buckets_.lower_bound(oldest));
  }

  double target_;
  std::chrono::seconds resolution_, history_;
  std::map<std::int64_t, tally> buckets_;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_ERROR_BUDGET_H_
