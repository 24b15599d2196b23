// SPDX-License-Identifier: Apache-2.0
// Whether the program scales its losses: how FP16 autocast, which stands below training/, knows
// that a loss_scaler is there.
//
//   halfway::scaler_presence present(true);   // a member of the scaler
//   halfway::a_loss_scaler_exists();                  // true while it lives
#ifndef HALFWAY_PRECISION_SCALER_PRESENCE_H_
#define HALFWAY_PRECISION_SCALER_PRESENCE_H_

#include <atomic>
#include <cstddef>

namespace halfway {
namespace detail {

inline std::atomic<std::size_t>& scalers_alive() {
  static std::atomic<std::size_t> count{0};
  return count;
}

}  // namespace detail

/// A member of whatever scales losses: counted while it lives, if it is told so. Equal to any
/// other, so that a scaler stays comparable by its state alone.
class scaler_presence {
 public:
  /// False: a scaler that scales by 1.
  explicit scaler_presence(bool counts) : counts_(counts) { add(); }
  /// Counts as one more.
  scaler_presence(const scaler_presence& other) noexcept : counts_(other.counts_) { add(); }
  /// Counts as `other` from now on.
  scaler_presence& operator=(const scaler_presence& other) noexcept {
    if (counts_ != other.counts_) {
      remove();
      counts_ = other.counts_;
      add();
    }
    return *this;
  }
  ~scaler_presence() { remove(); }

  /// Always.
  friend bool operator==(const scaler_presence&, const scaler_presence&) { return true; }

 private:
  void add() const {
    if (counts_) detail::scalers_alive().fetch_add(1, std::memory_order_relaxed);
  }
  void remove() const {
    if (counts_) detail::scalers_alive().fetch_sub(1, std::memory_order_relaxed);
  }

  bool counts_;
};

/// Whether a loss_scaler other than loss_scaler::fixed(1) lives anywhere in the process. A scaler
/// of the user's own has a scaler_presence as a member.
inline bool a_loss_scaler_exists() {
  return detail::scalers_alive().load(std::memory_order_relaxed) != 0;
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_SCALER_PRESENCE_H_
