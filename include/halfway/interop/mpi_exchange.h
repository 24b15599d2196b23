// SPDX-License-Identifier: Apache-2.0
// One sum over all ranks, under way: everybody sends everybody their share, sums its own share in
// FP32, and sends everybody the result.
//
//   phase 1   rank r sends shard s of its contributions to rank s      (all to all)
//             rank s adds them in the order of mpi_summation, in FP32, and rounds once
//   phase 2   rank s sends its shard of the sum to everybody           (all gather)
//
// No rounding at a hop, and every rank decodes the same bytes.
#ifndef HALFWAY_INTEROP_MPI_EXCHANGE_H_
#define HALFWAY_INTEROP_MPI_EXCHANGE_H_

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/interop/mpi_communicator.h"
#include "halfway/interop/mpi_summation.h"
#include "halfway/interop/mpi_wire.h"

namespace halfway::detail {

// to[i] += from[i], rounded to float. In pieces of fixed length, which compilers vectorize at -O2.
inline void add_to(float* to, const float* from, std::size_t n) {
  constexpr std::size_t piece = 16;
  std::size_t i = 0;
  for (; i + piece <= n; i += piece) {
    for (std::size_t k = 0; k < piece; ++k) to[i + k] += from[i + k];
  }
  for (; i < n; ++i) to[i] += from[i];
}

// Send: the contributions' format on the wire. Gather: the sum's.
template <class Send, class Gather>
class mpi_exchange {
 public:
  // Elements a rank may have in one exchange so that each message has a count that int holds.
  static std::size_t most_elements(const mpi_summation& plan) {
    const std::size_t most = std::size_t{1} << 30;  // bytes
    const std::size_t at_once = std::max<std::size_t>(plan.contributions(), 1);
    return std::max<std::size_t>(most / (at_once * sizeof(float)), 1);
  }

  // All must outlive this. Sums are multiplied by `factor` in FP32 before they are rounded.
  mpi_exchange(mpi::communicator& world, std::string_view operation, const mpi_summation& plan,
               float factor)
      : world_(&world), operation_(operation), plan_(&plan), factor_(factor) {}

  bool under_way() const { return phase_ != phase::idle; }

  // This rank's contributions, all of one size, the same on every rank. They are read before this
  // returns.
  template <class T>
  void start(std::span<const std::span<const T>> contributions, std::size_t size) {
    size_ = size;
    tag_ = world_->next_tag();
    const std::size_t ranks = this->ranks(), me = this->me();
    const std::size_t own = shard_size(me);
    offsets_.assign(1, 0);
    for (std::size_t r = 0; r < ranks; ++r) {
      offsets_.push_back(offsets_.back() + aligned(bytes_between(me, r)));
    }
    scatter_.out().resize(offsets_.back());
    in_offsets_.assign(1, 0);
    for (std::size_t r = 0; r < ranks; ++r) {
      in_offsets_.push_back(in_offsets_.back() + aligned(bytes_between(r, me)));
    }
    scatter_.in().resize(in_offsets_.back());
    gather_.in().resize(gather_offset(ranks));
    phase_ = phase::scattering;
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r == me) continue;
      scatter_.receive(*world_, operation_, in_offsets_[r], bytes_between(r, me),
                       static_cast<int>(r), tag_);
      gather_.receive(*world_, operation_, gather_offset(r), wire_bytes<Gather>(shard_size(r)),
                      static_cast<int>(r), tag_ + 1);
    }
    // Each rank begins with its neighbour, so that not all send to rank 0 first.
    for (std::size_t step = 1; step <= ranks; ++step) {
      const std::size_t r = (me + step) % ranks;
      std::byte* const to =
          r == me ? scatter_.in().data() + in_offsets_[me] : scatter_.out().data() + offsets_[r];
      const std::size_t stride = contribution_bytes(r);
      for (std::size_t j = 0; j < contributions.size(); ++j) {
        encode_for_wire<Send>(contributions[j].subspan(shard_begin(r), shard_size(r)),
                              to + j * stride);
      }
      if (r != me) {
        scatter_.send(*world_, operation_, offsets_[r], bytes_between(me, r), static_cast<int>(r),
                      tag_);
      }
    }
    sum_.resize(own);
  }

  // As far as messages have arrived; true if the sum is there.
  bool advance() {
    if (phase_ == phase::scattering && scatter_.arrived(*world_, operation_)) {
      add_contributions();
      start_gather();
      phase_ = phase::gathering;
    }
    if (phase_ == phase::gathering && gather_.arrived(*world_, operation_)) {
      phase_ = phase::arrived;
    }
    return phase_ == phase::arrived;
  }

  // Whose messages of the present phase are missing.
  void add_missing(std::vector<int>& ranks) const {
    (phase_ == phase::scattering ? scatter_ : gather_).add_missing(ranks);
  }

  // The sum, once it is there.
  template <class T>
  void take(std::span<T> to) {
    for (std::size_t r = 0; r < ranks(); ++r) {
      decode_from_wire<Gather>(gather_.in().data() + gather_offset(r), 0,
                               to.subspan(shard_begin(r), shard_size(r)));
    }
    phase_ = phase::idle;
  }

 private:
  enum class phase { idle, scattering, gathering, arrived };

  std::size_t ranks() const { return static_cast<std::size_t>(world_->size()); }
  std::size_t me() const { return static_cast<std::size_t>(world_->rank()); }

  // Shards of whole cache lines of any format, the last ones what is left.
  std::size_t shard_begin(std::size_t rank) const {
    const std::size_t even = (size_ + ranks() - 1) / ranks();
    return std::min(size_, rank * aligned(even));
  }
  std::size_t shard_size(std::size_t rank) const {
    return shard_begin(rank + 1) - shard_begin(rank);
  }
  static std::size_t aligned(std::size_t n) { return (n + 63) / 64 * 64; }

  std::size_t contribution_bytes(std::size_t to) const {
    return aligned(wire_bytes<Send>(shard_size(to)));
  }
  std::size_t bytes_between(std::size_t from, std::size_t to) const {
    return plan_->contributions_of(from) * contribution_bytes(to);
  }
  std::size_t gather_offset(std::size_t rank) const {
    return rank * aligned(wire_bytes<Gather>(shard_size(0)));
  }

  void add_contributions() {
    // A block of every contribution, together about what a core's second cache holds.
    const std::size_t all = plan_->contributions();
    const std::size_t block = std::clamp<std::size_t>((std::size_t{1} << 16) / all, 64, wire_block);
    floats_.resize(all * block);
    const std::size_t own = shard_size(me());
    for (std::size_t i = 0; i < own; i += block) {
      const std::size_t n = std::min(block, own - i);
      for (std::size_t r = 0; r < ranks(); ++r) {
        for (std::size_t j = 0; j < plan_->contributions_of(r); ++j) {
          decode_from_wire<Send>(
              scatter_.in().data() + in_offsets_[r] + j * contribution_bytes(me()), i,
              std::span(floats_.data() + (plan_->first[r] + j) * block, n));
        }
      }
      for (const auto& [to, from] : plan_->additions) {
        add_to(floats_.data() + to * block, floats_.data() + from * block, n);
      }
      for (std::size_t k = 0; k < n; ++k) sum_[i + k] = floats_[k] * factor_;
    }
  }

  void start_gather() {
    const std::size_t own = wire_bytes<Gather>(shard_size(me()));
    gather_.out().resize(own);
    encode_for_wire<Gather>(std::span<const float>(sum_), gather_.out().data());
    std::copy_n(gather_.out().data(), own, gather_.in().data() + gather_offset(me()));
    for (std::size_t step = 1; step < ranks(); ++step) {
      gather_.send(*world_, operation_, 0, own, static_cast<int>((me() + step) % ranks()),
                   tag_ + 1);
    }
  }

  mpi::communicator* world_;
  std::string_view operation_;
  const mpi_summation* plan_;
  float factor_;
  std::size_t size_ = 0;
  int tag_ = 0;
  phase phase_ = phase::idle;
  std::vector<std::size_t> offsets_, in_offsets_;  // of each rank's messages
  mpi_messages scatter_, gather_;
  std::vector<float> floats_, sum_;
};

// Waits until the sum is there; meanwhile() may do something else.
template <class Exchange, class Meanwhile>
void finish_exchange(mpi::communicator& world, std::string_view operation, Exchange& exchange,
                     Meanwhile&& meanwhile) {
  world.wait(
      operation,
      [&] {
        meanwhile();
        return exchange.advance();
      },
      [&] {
        std::vector<int> ranks;
        exchange.add_missing(ranks);
        return ranks;
      });
}

}  // namespace halfway::detail

#endif  // HALFWAY_INTEROP_MPI_EXCHANGE_H_
