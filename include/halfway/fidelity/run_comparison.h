// SPDX-License-Identifier: Apache-2.0
// Two runs of one network, layer by layer: how far each layer's output is from the baseline's,
// which layer is the first past a limit, and where the first NaN came from.
//
//   halfway::run_comparison runs(halfway::dtype::bfloat16);
//   for (const auto& batch : batches) {
//     for (const auto& layer : network) runs.add(layer.name, of_baseline(layer), of_candidate(layer));
//   }
//   const auto parted = runs.first([](const halfway::comparison& c) { return c.sqnr_db() < 30; });
//   if (parted) std::cout << "the runs part at " << parted->name << '\n';
#ifndef HALFWAY_FIDELITY_RUN_COMPARISON_H_
#define HALFWAY_FIDELITY_RUN_COMPARISON_H_

#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/fidelity/comparison.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// A layer's tensor in both runs, over all batches.
struct layer_comparison {
  std::string name;   ///< as the first add() gave it
  comparison values;  ///< over all batches
  /// Elements seen, those that `values` leaves out included.
  std::size_t elements = 0;
  /// The index of the first element that is NaN or infinite in the candidate alone, counted over
  /// all batches in their order: in batches of n elements it is element `index % n` of batch `index
  /// / n`.
  std::optional<std::size_t> first_broken;
};

/// Layers in the order in which their names first came, which is to be the order of computation.
/// Weights, activations or gradients: whatever has the same names and sizes in both runs.
///
/// What merges is as if the other's batches came after this one's. A value type; not for several
/// threads at once (give each its own, then merge).
class run_comparison {
 public:
  /// `ulp_type` as comparison's. Error: no float format with a sign and at most 24 digits.
  explicit run_comparison(dtype ulp_type = dtype::float32) : empty_(ulp_type) {}

  /// Takes in a layer's tensor of one batch: contiguous ranges of any float formats. Errors: sizes
  /// that differ, null with a size; the message names the layer.
  template <float_storage_vector Baseline, float_storage_vector Candidate>
  void add(std::string_view name, const Baseline& baseline, const Candidate& candidate) {
    const std::string where = detail::concat("halfway::run_comparison::add: ", name);
    const auto b = detail::input_span(where, "baseline", baseline);
    const auto c = detail::input_span(where, "candidate", candidate);
    detail::check_same_size(where, "candidate", c, "baseline", b);
    layer_comparison& layer = at(name);
    const std::size_t broken = layer.values.broken();
    layer.values.add(b, c);
    if (!layer.first_broken && layer.values.broken() != broken) {
      std::size_t i = 0;
      while (std::isfinite(static_cast<float>(c[i])) || !std::isfinite(static_cast<float>(b[i]))) {
        ++i;
      }
      layer.first_broken = layer.elements + i;
    }
    layer.elements += b.size();
  }

  /// As if this had seen the other's batches after its own. Layers that only the other has come
  /// last. Error: other units in the last place.
  void merge(const run_comparison& other) {
    if (empty_.ulp_type() != other.empty_.ulp_type()) [[unlikely]] {
      fail(detail::concat("halfway::run_comparison::merge: other.ulp_type (",
                          halfway::name(other.empty_.ulp_type()), ") must equal ulp_type (",
                          halfway::name(empty_.ulp_type()), ")"));
    }
    for (std::size_t i = 0, n = other.layers_.size(); i != n; ++i) {  // itself merges, too
      const layer_comparison theirs = other.layers_[i];
      layer_comparison& mine = at(theirs.name);
      if (!mine.first_broken && theirs.first_broken) {
        mine.first_broken = mine.elements + *theirs.first_broken;
      }
      mine.values.merge(theirs.values);
      mine.elements += theirs.elements;
    }
  }

  /// In the order in which they first came.
  const std::vector<layer_comparison>& layers() const { return layers_; }

  /// The first layer whose comparison is past a limit: past(const comparison&) is true. Null if
  /// none is. Valid until the next add() or merge().
  template <std::predicate<const comparison&> Past>
  const layer_comparison* first(const Past& past) const {
    for (const layer_comparison& layer : layers_) {
      if (past(layer.values)) return &layer;
    }
    return nullptr;
  }

  /// The layer that made the first NaN or infinity that the baseline does not have, and in
  /// first_broken the index: no layer before it had one in any batch, so what it computed from was
  /// finite. Null if none did.
  const layer_comparison* origin_of_nan() const {
    return first([](const comparison& c) { return c.broken() != 0; });
  }

  /// All layers as one: end to end it is the last layer's that counts.
  comparison total() const {
    comparison all = empty_;
    for (const layer_comparison& layer : layers_) all.merge(layer.values);
    return all;
  }

 private:
  layer_comparison& at(std::string_view name) {
    const auto found = places_.find(name);
    if (found != places_.end()) return layers_[found->second];
    places_.emplace(name, layers_.size());
    return layers_.emplace_back(layer_comparison{std::string(name), empty_, 0, std::nullopt});
  }

  comparison empty_;
  std::vector<layer_comparison> layers_;
  std::map<std::string, std::size_t, std::less<>> places_;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_RUN_COMPARISON_H_
