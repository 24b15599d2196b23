// SPDX-License-Identifier: Apache-2.0
// A weight with an identity and a version, so that casts of it can be kept and never be stale.
//
//   halfway::parameter weight(halfway::matrix<float>(256, 128));
//   load(weight.write());                                         // a new version
//   optimizer.step(state, weight.write(), gradient);              // and another
//   halfway::gemm(x, weight.values(), y);                         // reading leaves it
//
// What keeps a cast from being stale:
//   - A parameter has a number that no other object ever has; addresses, which are used again once
//     their owner is gone, play no part. Copies are other parameters; a moved one keeps its number.
//   - A cast holds for one version. write() begins a new one, and while the writer lives nothing is
//     kept. changed() says so of writes by other ways.
//   - A cast holds for one epoch. Every step of the library's optimizers begins a new one, even if it
//     was given bare memory, and so does weights_changed().
#ifndef HALFWAY_PRECISION_PARAMETER_H_
#define HALFWAY_PRECISION_PARAMETER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"

namespace halfway {
namespace detail {

inline std::atomic<std::uint64_t>& weights_epoch() {
  static std::atomic<std::uint64_t> epoch{0};
  return epoch;
}

// What outlives the moves of a parameter, and what caches watch.
struct parameter_identity {
  parameter_identity() : id(next().fetch_add(1, std::memory_order_relaxed)) {}

  const std::uint64_t id;
  std::atomic<std::uint64_t> version{0};
  std::atomic<std::size_t> writers{0};

 private:
  static std::atomic<std::uint64_t>& next() {
    static std::atomic<std::uint64_t> number{1};
    return number;
  }
};

}  // namespace detail

/// Makes every cast of every parameter be made anew. The library's optimizers call it after each
/// step; an optimizer of the user's that writes to weights otherwise than through
/// parameter::write() calls it too.
inline void weights_changed() { detail::weights_epoch().fetch_add(1, std::memory_order_acq_rel); }

/// FP32 values, rows x cols, that it owns or that somebody else does. As for any object: reading by
/// several threads is safe, writing while others read is not.
class parameter {
 public:
  /// While it lives, the parameter's values may change.
  class [[nodiscard]] writer {
   public:
    writer(const writer&) = delete;
    writer& operator=(const writer&) = delete;
    ~writer() {
      identity_->version.fetch_add(1, std::memory_order_acq_rel);
      identity_->writers.fetch_sub(1, std::memory_order_acq_rel);
    }

    matrix_view<float> view() const { return values_; }  ///< to write through
    /// i < rows(), j < cols(); not checked.
    float& operator()(std::size_t i, std::size_t j) const { return values_(i, j); }

    /// All values, row after row. Error: the memory of somebody else's has gaps between rows.
    std::span<float> elements() const {
      if (values_.size() != values_.extent() || !values_.is_row_major()) {
        fail(detail::concat("halfway::parameter::writer::elements: ", values_.rows(), " x ",
                            values_.cols(), " with strides ", values_.row_stride(), " and ",
                            values_.col_stride(), " is not dense"));
      }
      return {values_.data(), values_.size()};
    }
    /// As elements().
    operator std::span<float>() const {  // NOLINT(google-explicit-constructor): for optimizers
      return elements();
    }

   private:
    friend class parameter;
    writer(matrix_view<float> values, std::shared_ptr<detail::parameter_identity> identity)
        : values_(values), identity_(std::move(identity)) {
      identity_->writers.fetch_add(1, std::memory_order_acq_rel);
    }

    matrix_view<float> values_;
    std::shared_ptr<detail::parameter_identity> identity_;
  };

  /// Owns `values`.
  explicit parameter(matrix<float> values) : owned_(std::move(values)), values_(owned_.view()) {}

  /// Refers to memory that must outlive it. Whoever writes there goes through write(), or calls
  /// changed() afterwards; the library's optimizers need neither.
  explicit parameter(matrix_view<float> values) : values_(values) {}

  /// Another parameter with the same values; it owns a copy if `other` does.
  parameter(const parameter& other)
      : owned_(other.owned_), values_(other.owns() ? owned_.view() : other.values_) {}
  /// Keeps the number and the version, so that casts stay good; `other` is without values.
  parameter(parameter&& other) noexcept
      : owned_(std::move(other.owned_)),
        values_(std::exchange(other.values_, {})),
        identity_(std::exchange(other.identity_, nullptr)) {}
  /// As a copy or a move into a new one would be; the old values are gone.
  parameter& operator=(parameter other) noexcept {
    std::swap(owned_, other.owned_);
    std::swap(values_, other.values_);
    std::swap(identity_, other.identity_);
    return *this;
  }
  ~parameter() = default;

  std::size_t rows() const { return values_.rows(); }  ///< 0 once moved from
  std::size_t cols() const { return values_.cols(); }  ///< 0 once moved from
  std::size_t size() const { return values_.size(); }  ///< rows() * cols()

  /// To read; valid as long as the memory is.
  matrix_view<const float> values() const { return values_; }

  /// Access for writing: `optimizer.step(state, weight.write(), gradient)`. Error: the parameter
  /// was moved from.
  writer write() { return {values_, identity()}; }

  /// After its values were written in a way that it can't know of. Error: moved from.
  void changed() { identity()->version.fetch_add(1, std::memory_order_acq_rel); }

  /// Unlike that of any other parameter, past or present, in this process. Error: moved from.
  std::uint64_t id() const { return identity()->id; }

  /// Errors: moved from.
  std::uint64_t version() const { return identity()->version.load(std::memory_order_acquire); }

  /// For caches: what tells versions apart and whether the parameter still lives.
  const std::shared_ptr<detail::parameter_identity>& identity() const {
    if (identity_ == nullptr) fail("halfway::parameter: it was moved from");
    return identity_;
  }

 private:
  bool owns() const { return owned_.size() != 0; }

  matrix<float> owned_;
  matrix_view<float> values_;
  std::shared_ptr<detail::parameter_identity> identity_ =
      std::make_shared<detail::parameter_identity>();
};

/// A parameter is read by operations as a matrix of float.
inline matrix_view<const float> as_view(const parameter& p) { return p.values(); }

}  // namespace halfway

#endif  // HALFWAY_PRECISION_PARAMETER_H_
