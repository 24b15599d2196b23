// SPDX-License-Identifier: Apache-2.0
// An observer for each row of matrices: parameters per channel.
//
//   halfway::row_observers<halfway::histogram_observer> channels(x.cols(), halfway::histogram_observer(7));
//   for (const auto& x : batches) channels.observe(x.view().transposed());   // channels as rows
//   const auto params = channels.params([](const auto& observer) {
//     return halfway::calibrate(observer, halfway::dtype::int8, halfway::affine_scheme::symmetric);
//   });
#ifndef HALFWAY_QUANTIZATION_ROW_OBSERVERS_H_
#define HALFWAY_QUANTIZATION_ROW_OBSERVERS_H_

#include <cstddef>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/quantization/affine.h"

namespace halfway {

/// Observer: any of the observers.
template <class Observer>
class row_observers {
 public:
  /// A copy of `each` for each of `rows` rows.
  explicit row_observers(std::size_t rows, const Observer& each = Observer())
      : observers_(rows, each) {}

  std::size_t size() const { return observers_.size(); }  ///< rows, and observers
  /// `row` < size(); not checked.
  const Observer& operator[](std::size_t row) const { return observers_[row]; }

  /// Row i of x goes to observer i. Error: another number of rows.
  template <detail::observable_matrix X>
  void observe(const X& x) {
    const auto v = detail::const_view(x);
    detail::check_equal("halfway::row_observers::observe", "x.rows", v.rows(), "size", size());
    for (std::size_t i = 0; i < v.rows(); ++i) observers_[i].observe(v.block(i, 0, 1, v.cols()));
  }

  /// As if this had observed all that the other did. Error: another number of rows.
  void merge(const row_observers& other) {
    detail::check_equal("halfway::row_observers::merge", "other.size", other.size(), "size",
                        size());
    for (std::size_t i = 0; i < size(); ++i) observers_[i].merge(other.observers_[i]);
  }

  /// choose(observer) of each row.
  template <class Choose>
  std::vector<affine_params> params(Choose&& choose) const {
    std::vector<affine_params> all;
    all.reserve(size());
    for (const Observer& o : observers_) all.push_back(choose(o));
    return all;
  }

 private:
  std::vector<Observer> observers_;
};

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_ROW_OBSERVERS_H_
