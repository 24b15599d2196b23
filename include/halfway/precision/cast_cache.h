// SPDX-License-Identifier: Apache-2.0
// Keeps what was made of parameters (a cast to bfloat16, a packed form) for as long as they stay as
// they are. An autocast scope has one; precision/cast_weights.h fills it.
//
//   halfway::cast_cache cache;
//   auto packed = cache.get<my_packed_weights>(weight, [&] { return pack(weight.values()); });
#ifndef HALFWAY_PRECISION_CAST_CACHE_H_
#define HALFWAY_PRECISION_CAST_CACHE_H_

#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "halfway/precision/parameter.h"

namespace halfway {

/// What a cache has done and holds.
struct cast_cache_statistics {
  std::uint64_t hits = 0;    ///< found, and still true
  std::uint64_t misses = 0;  ///< made, for the first time or anew
  std::size_t entries = 0;   ///< kept now

  bool operator==(const cast_cache_statistics&) const = default;  ///< number by number
};

/// From a parameter and a type of result to the result. Safe to use from several threads: one makes
/// what the others want too and wait for. Results are shared: they live as long as someone holds
/// them, and never change.
class cast_cache {
 public:
  cast_cache() = default;
  cast_cache(const cast_cache&) = delete;
  cast_cache& operator=(const cast_cache&) = delete;

  /// What `make` returned for the values that the parameter has now: kept from an earlier call, or
  /// made by this one. `Value` is part of the key: matrix<bfloat16> and matrix<half> are kept side
  /// by side. `make` may throw, and must not ask this cache for the same thing.
  template <class Value, class Make>
  std::shared_ptr<const Value> get(const parameter& p, Make&& make) {
    const std::shared_ptr<detail::parameter_identity>& identity = p.identity();
    // Read before the values are: what changes meanwhile makes the result an old one.
    const stamp now{detail::weights_epoch().load(std::memory_order_acquire),
                    identity->version.load(std::memory_order_acquire)};
    if (identity->writers.load(std::memory_order_acquire) != 0) {
      misses_.fetch_add(1, std::memory_order_relaxed);
      return std::make_shared<const Value>(std::forward<Make>(make)());
    }
    const std::shared_ptr<slot> s = slot_of({identity->id, &type_key<Value>}, identity);
    const std::lock_guard lock(s->making);
    if (s->value != nullptr && s->made == now) {
      hits_.fetch_add(1, std::memory_order_relaxed);
    } else {
      misses_.fetch_add(1, std::memory_order_relaxed);
      s->value = nullptr;  // before the new one is made: both at once are not needed
      s->value = std::make_shared<const Value>(std::forward<Make>(make)());
      s->made = now;
    }
    return std::static_pointer_cast<const Value>(s->value);
  }

  /// Forgets everything. What was handed out lives on.
  void clear() {
    const std::lock_guard lock(mutex_);
    slots_.clear();
  }

  /// Of all calls so far; a moment's picture where other threads go on.
  cast_cache_statistics statistics() const {
    const std::lock_guard lock(mutex_);
    return {hits_.load(std::memory_order_relaxed), misses_.load(std::memory_order_relaxed),
            slots_.size()};
  }

 private:
  template <class Value>
  static constexpr char type_key = 0;  // its address: the type, without RTTI

  struct key {
    std::uint64_t id;
    const void* type;
    auto operator<=>(const key&) const = default;
  };

  struct stamp {
    std::uint64_t epoch;
    std::uint64_t version;
    bool operator==(const stamp&) const = default;
  };

  struct slot {
    std::weak_ptr<const detail::parameter_identity> owner;
    std::mutex making;
    std::shared_ptr<const void> value;
    stamp made{};
  };

  std::shared_ptr<slot> slot_of(const key& k,
                                const std::shared_ptr<detail::parameter_identity>& owner) {
    const std::lock_guard lock(mutex_);
    const auto found = slots_.find(k);
    if (found != slots_.end()) return found->second;
    if (slots_.size() >= sweep_at_) {  // parameters that are gone, once in a while
      std::erase_if(slots_, [](const auto& entry) { return entry.second->owner.expired(); });
      sweep_at_ = 2 * slots_.size() + 16;
    }
    auto s = std::make_shared<slot>();
    s->owner = owner;
    slots_.emplace(k, s);
    return s;
  }

  mutable std::mutex mutex_;  // of slots_ and sweep_at_
  std::map<key, std::shared_ptr<slot>> slots_;
  std::size_t sweep_at_ = 16;
  std::atomic<std::uint64_t> hits_{0};
  std::atomic<std::uint64_t> misses_{0};
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_CAST_CACHE_H_
