// SPDX-License-Identifier: Apache-2.0
// Sums the gradients of all ranks while the backward pass still computes others.
//
//   halfway::mpi::gradient_reducer<halfway::bfloat16> reducer(world, gradients,
//                                                             {.factor = 1.0f / world.size()});
//   for (std::size_t i = layers; i-- > 0;) {
//     backward(i, gradients[i]);
//     reducer.ready(i);          // its bucket leaves when the last gradient of it is ready
//   }
//   reducer.finish();            // every gradient is now the mean over the ranks, in the same bits
//   scaler.unscale(...);         // so every rank finds the same overflows
//
// Gradients that are accumulated over several backward passes are `ready` in the last of them.
#ifndef HALFWAY_INTEROP_MPI_GRADIENT_REDUCER_H_
#define HALFWAY_INTEROP_MPI_GRADIENT_REDUCER_H_

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/interop/mpi_all_reduce.h"
#include "halfway/interop/mpi_communicator.h"
#include "halfway/interop/mpi_exchange.h"
#include "halfway/interop/mpi_summation.h"
#include "halfway/interop/mpi_wire.h"
#include "halfway/types/dtype.h"

namespace halfway::mpi {

/// What gradient_reducer has to know besides the gradients.
struct gradient_reducer_options {
  float factor = 1.0f;  ///< what sums are multiplied by; 1 / ranks gives means
  /// Of a bucket on the wire, at most. Gradients fill buckets from the last to the first, in which
  /// order a backward pass makes them; one that does not fit is cut.
  std::size_t bucket_bytes = std::size_t{4} << 20;
};

/// All-reduces a fixed set of gradients once a step, as all_reduce does: the same sum, the same
/// error bound, for 32- and 16-bit wires the same bits.
///
/// Buckets leave in their order, also when the gradients become ready in another one. MPI works on
/// copies, so a gradient is only read in `ready` and only written in `finish`. Between them, what
/// has arrived is dealt with in `ready` and `progress`: a backward pass with long operations may
/// call progress() from between them.
///
/// T is what gradients are stored as: float, half, bfloat16...
template <wire_format Wire, float_storage T = float>
class gradient_reducer {
 public:
  /// The communicator and the gradients' memory must outlive it. Sizes are the same on all ranks.
  /// Errors: null with a size, gradients that share memory, a factor that is infinite or NaN,
  /// bucket_bytes 0.
  gradient_reducer(communicator& world, std::vector<std::span<T>> gradients,
                   const gradient_reducer_options& options = {})
      : world_(&world),
        gradients_(std::move(gradients)),
        plan_(detail::sum_by_rank(static_cast<std::size_t>(world.size()))),
        is_ready_(gradients_.size(), false) {
    constexpr std::string_view where = "halfway::mpi::gradient_reducer";
    detail::check_factor(where, options.factor);
    detail::check_piece_bytes(where, "bucket_bytes", options.bucket_bytes);
    check_gradients(where);
    const std::size_t most =
        std::clamp<std::size_t>(options.bucket_bytes / sizeof(Wire), 1,
                                detail::mpi_exchange<Wire, Wire>::most_elements(plan_));
    for (std::size_t i = gradients_.size(); i-- > 0;) {
      for (std::size_t begin = 0; begin < gradients_[i].size();) {
        if (buckets_.empty() || buckets_.back().size == most) {
          buckets_.emplace_back(world, plan_, options.factor);
        }
        bucket& last = buckets_.back();
        const std::size_t n = std::min(most - last.size, gradients_[i].size() - begin);
        last.parts.push_back({i, begin, n});
        last.size += n;
        begin += n;
      }
    }
    begin_step();
  }
  gradient_reducer(const gradient_reducer&) = delete;
  gradient_reducer& operator=(const gradient_reducer&) = delete;

  /// That a step sends, the same on all ranks.
  std::size_t buckets() const { return buckets_.size(); }
  /// Buckets of this step whose sum is here: how much of the traffic the backward pass has hidden.
  std::size_t arrived() const { return arrived_; }

  /// Gradient i has its value of this step. Errors: no such gradient, already ready;
  /// communication_error.
  void ready(std::size_t i) {
    constexpr std::string_view where = "halfway::mpi::gradient_reducer::ready";
    if (i >= gradients_.size()) {
      fail(detail::concat(where, ": gradient ", i, " must be below ", gradients_.size()));
    }
    if (is_ready_[i]) fail(detail::concat(where, ": gradient ", i, " is ready already"));
    world_->check_usable(where);
    is_ready_[i] = true;
    while (started_ != buckets_.size() && is_complete(buckets_[started_])) {
      start(buckets_[started_++]);
    }
    progress();
  }

  /// Deals with what has arrived. Does not wait. Error: communication_error.
  void progress() {
    world_->check_usable("halfway::mpi::gradient_reducer::progress");
    for (std::size_t b = arrived_; b < started_; ++b) {
      if (buckets_[b].exchange.advance() && b == arrived_) ++arrived_;
    }
  }

  /// Waits for all sums and writes them to the gradients. Then the next step may begin. Errors: a
  /// gradient is not ready, which is named (nothing is lost: make it ready and call again);
  /// communication_error (some gradients may be sums then, and others not).
  void finish() {
    constexpr std::string_view where = "halfway::mpi::gradient_reducer::finish";
    const auto missing = std::ranges::find(is_ready_, false);
    if (missing != is_ready_.end()) {
      fail(detail::concat(where, ": gradient ", missing - is_ready_.begin(), " is not ready"));
    }
    world_->check_usable(where);
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      world_->wait(
          where,
          [&] {
            progress();
            return arrived_ > b;
          },
          [&] {
            std::vector<int> ranks;
            for (std::size_t late = arrived_; late < started_; ++late) {
              buckets_[late].exchange.add_missing(ranks);
            }
            return ranks;
          });
      take(buckets_[b]);
    }
    begin_step();
  }

 private:
  // Elements of one gradient.
  struct part {
    std::size_t gradient, begin, size;
  };
  struct bucket {
    bucket(communicator& world, const detail::mpi_summation& plan, float factor)
        : exchange(world, "halfway::mpi::gradient_reducer", plan, factor) {}

    std::vector<part> parts;
    std::size_t size = 0;
    std::vector<T> values;  // of all parts, where there are several
    detail::mpi_exchange<Wire, Wire> exchange;
  };

  void check_gradients(std::string_view where) const {
    // Sorted by address, it is enough to look at neighbours.
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < gradients_.size(); ++i) {
      detail::check_not_null(where, detail::concat("gradient ", i), gradients_[i].data(),
                             gradients_[i].size());
      if (!gradients_[i].empty()) order.push_back(i);
    }
    std::ranges::sort(order, std::less<>(), [this](std::size_t i) { return gradients_[i].data(); });
    for (std::size_t k = 1; k < order.size(); ++k) {
      const std::span<T> a = gradients_[order[k - 1]], b = gradients_[order[k]];
      detail::check_no_overlap(
          where, detail::concat("gradient ", order[k - 1]), detail::concat("gradient ", order[k]),
          detail::ranges_overlap(a.data(), a.size_bytes(), b.data(), b.size_bytes()));
    }
  }

  bool is_complete(const bucket& b) const {
    return std::ranges::all_of(b.parts, [this](const part& p) { return is_ready_[p.gradient]; });
  }
  std::span<T> elements_of(const part& p) const {
    return gradients_[p.gradient].subspan(p.begin, p.size);
  }

  void start(bucket& b) {
    std::span<const T> values = elements_of(b.parts.front());
    if (b.parts.size() > 1) {
      b.values.resize(b.size);
      T* to = b.values.data();
      for (const part& p : b.parts) to = std::ranges::copy(elements_of(p), to).out;
      values = b.values;
    }
    b.exchange.template start<T>({&values, 1}, b.size);
  }

  void take(bucket& b) {
    if (b.parts.size() == 1) {
      b.exchange.take(elements_of(b.parts.front()));
      return;
    }
    b.exchange.take(std::span<T>(b.values));
    const T* from = b.values.data();
    for (const part& p : b.parts) {
      std::copy_n(from, p.size, elements_of(p).begin());
      from += p.size;
    }
  }

  void begin_step() {
    started_ = arrived_ = 0;
    is_ready_.assign(gradients_.size(), false);
  }

  communicator* world_;
  std::vector<std::span<T>> gradients_;
  detail::mpi_summation plan_;
  std::vector<bool> is_ready_;
  std::deque<bucket> buckets_;
  std::size_t started_ = 0;  // buckets before have left
  std::size_t arrived_ = 0;  // buckets before have their sum
};

}  // namespace halfway::mpi

#endif  // HALFWAY_INTEROP_MPI_GRADIENT_REDUCER_H_
