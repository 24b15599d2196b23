// SPDX-License-Identifier: Apache-2.0
// Sums of gradients that do not depend on how many ranks there are: the batch is cut into a fixed
// number of shards, and their gradients are added in one fixed binary tree.
//
//   halfway::mpi::shard_reducer reducer(world, parameters, {.shards = 8, .factor = 1.0f / 8});
//   for (std::size_t s : reducer.own_shards()) {
//     backward(batch.shard(s), gradient);     // the same rows whatever rank computes them
//     reducer.add(gradient);
//   }
//   reducer.finish(gradient);                 // the same bits with 1, 2, 3, 4... ranks
#ifndef HALFWAY_INTEROP_MPI_SHARD_REDUCER_H_
#define HALFWAY_INTEROP_MPI_SHARD_REDUCER_H_

#include <algorithm>
#include <cstddef>
#include <ranges>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/interop/mpi_all_reduce.h"
#include "halfway/interop/mpi_communicator.h"
#include "halfway/interop/mpi_exchange.h"
#include "halfway/interop/mpi_summation.h"
#include "halfway/interop/mpi_wire.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/row_arguments.h"

namespace halfway::mpi {

/// What shard_reducer has to know besides the size of a gradient.
struct shard_reducer_options {
  std::size_t shards = 1;  ///< of the batch, whatever the number of ranks
  float factor = 1.0f;     ///< what sums are multiplied by; 1 / shards gives means
  std::size_t piece_bytes = std::size_t{4} << 20;  ///< of one shard's gradient in FP32, at once
};

/// For each element, factor * (the sum over all shards), added in FP32 in the tree of
/// mpi_summation.h: neighbours first, then pairs of neighbours, and so on. With V shards an element
/// goes through ceil(log2 V) additions, so with u = 2^-24 and w the unit roundoff of Gather the
/// error is below ((1 + u)^(ceil(log2 V) + 1) (1 + w) - 1) |factor| sum |g|.
///
/// Partial sums stay in FP32 on the wire; only the total, at the root, is rounded to Gather on its
/// way back to the ranks (float: not at all; 8-bit formats have a scale for each piece's share of a
/// rank, which depends on the number of ranks, so they are not allowed here). Ranks have
/// neighbouring shards, V / ranks rounded up or down; with more ranks than shards some have none.
///
/// The result is the same for any number of ranks if the shards' gradients are: the same rows, and
/// kernels that give the same bits for the same shapes, which all of halfway's do on CPUs with the
/// same SIMD target, and with `reproducible` products on any.
///
/// Costs, against gradient_reducer: (4 + size of Gather) instead of twice the wire's bytes an
/// element where ranks have a power of two of shards (up to log2 V times the 4 otherwise), log2 V
/// buffers of FP32, and no overlap with the backward pass.
template <wire_format Gather = float>
requires(sizeof(Gather) != 1) class shard_reducer {
 public:
  /// `size`: of a gradient, the same on all ranks. Errors: shards 0, a factor that is infinite or
  /// NaN, piece_bytes 0.
  shard_reducer(communicator& world, std::size_t size, const shard_reducer_options& options)
      : world_(&world), size_(size), options_(checked(options)), tree_(options.shards) {
    const auto ranks = static_cast<std::size_t>(world.size());
    plan_ = detail::sum_by_shard(options.shards, ranks);
    own_ = detail::shards_of(options.shards, ranks, static_cast<std::size_t>(world.rank()));
    next_ = own_.first;
  }
  shard_reducer(const shard_reducer&) = delete;
  shard_reducer& operator=(const shard_reducer&) = delete;

  /// The numbers of the shards that this rank computes, in order.
  auto own_shards() const { return std::views::iota(own_.first, own_.last); }

  /// The gradient of this rank's next shard, in the order of own_shards(). Errors: another size,
  /// null with a size, more shards than the rank has.
  template <float_storage_vector X>
  void add(const X& gradient) {
    constexpr std::string_view where = "halfway::mpi::shard_reducer::add";
    const auto values = detail::input_span(where, "gradient", gradient);
    detail::check_equal(where, "gradient.size()", values.size(), "size", size_);
    if (next_ == own_.last) {
      fail(detail::concat(where, ": rank ", world_->rank(), " has added all of its ",
                          own_.last - own_.first, " shards"));
    }
    std::size_t slot = 0;  // the first that is free
    while (slot != is_used_.size() && is_used_[slot]) ++slot;
    if (slot == is_used_.size()) {
      is_used_.push_back(false);
      sums_.emplace_back(size_);
    }
    is_used_[slot] = true;
    convert(values, sums_[slot]);
    tree_.push({0, next_++, slot}, [this](std::size_t left, std::size_t right) {
      detail::add_to(sums_[left].data(), sums_[right].data(), size_);
      is_used_[right] = false;
    });
  }

  /// Writes the total over all ranks' shards, the same bits on all ranks. Then the next step may
  /// begin. Errors: another size, null with a size, shards that are still to be added;
  /// communication_error.
  template <float_storage_output_vector X>
  void finish(X&& total) {
    constexpr std::string_view where = "halfway::mpi::shard_reducer::finish";
    const auto to = detail::output_span(where, "total", total);
    detail::check_equal(where, "total.size()", to.size(), "size", size_);
    if (next_ != own_.last) {
      fail(detail::concat(where, ": shard ", next_, " of rank ", world_->rank(),
                          " has not been added"));
    }
    world_->check_usable(where);
    detail::mpi_exchange<float, Gather> exchange(*world_, where, plan_, options_.factor);
    const std::size_t piece = std::clamp<std::size_t>(options_.piece_bytes / sizeof(float), 1,
                                                      exchange.most_elements(plan_));
    std::vector<std::span<const float>> nodes;
    for (std::size_t i = 0; i < size_; i += piece) {
      const std::size_t n = std::min(piece, size_ - i);
      nodes.clear();
      for (const detail::shard_tree::node& node : tree_.nodes()) {
        nodes.push_back(std::span<const float>(sums_[node.slot]).subspan(i, n));
      }
      exchange.template start<float>(nodes, n);
      detail::finish_exchange(*world_, where, exchange, [] {});
      exchange.take(to.subspan(i, n));
    }
    tree_ = detail::shard_tree(options_.shards);
    is_used_.assign(is_used_.size(), false);
    next_ = own_.first;
  }

 private:
  static shard_reducer_options checked(const shard_reducer_options& o) {
    constexpr std::string_view where = "halfway::mpi::shard_reducer";
    if (o.shards == 0) fail(detail::concat(where, ": shards (0) must be at least 1"));
    detail::check_factor(where, o.factor);
    detail::check_piece_bytes(where, "piece_bytes", o.piece_bytes);
    return o;
  }

  communicator* world_;
  std::size_t size_;
  shard_reducer_options options_;
  detail::mpi_summation plan_;
  detail::shard_range own_{};
  std::size_t next_ = 0;  // shard to be added
  detail::shard_tree tree_;
  std::vector<std::vector<float>> sums_;  // of nodes
  std::vector<bool> is_used_;
};

}  // namespace halfway::mpi

#endif  // HALFWAY_INTEROP_MPI_SHARD_REDUCER_H_
