// SPDX-License-Identifier: Apache-2.0
// Collective operations that wait: sums with few bits on the wire, copies of one rank's values, and
// what all ranks have to agree on.
//
//   halfway::mpi::all_reduce<halfway::bfloat16>(world, gradients, 1.0f / world.size());
//   scaler.report(0, halfway::mpi::total(world, halfway::unscale(g, g, scaler.inverse_scale())));
//   halfway::mpi::broadcast(world, weights);             // rank 0's
//   halfway::mpi::check_identical(world, weights, "weights");
#ifndef HALFWAY_INTEROP_MPI_ALL_REDUCE_H_
#define HALFWAY_INTEROP_MPI_ALL_REDUCE_H_

#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/interop/mpi_communicator.h"
#include "halfway/interop/mpi_exchange.h"
#include "halfway/interop/mpi_summation.h"
#include "halfway/interop/mpi_wire.h"
#include "halfway/ops/row_arguments.h"

namespace halfway {
namespace detail {

inline void check_factor(std::string_view where, float factor) {
  if (!std::isfinite(factor)) fail(concat(where, ": factor (", factor, ") must be finite"));
}

inline void check_piece_bytes(std::string_view where, std::string_view name, std::size_t bytes) {
  if (bytes == 0) fail(concat(where, ": ", name, " (0) must not be 0"));
}

// Waits for one request of a collective operation between buffers that live on if it does not end.
template <class Buffers>
void wait_for_collective(mpi::communicator& world, std::string_view operation, MPI_Request request,
                         std::unique_ptr<Buffers>& buffers) {
  struct guard {
    std::unique_ptr<Buffers>& kept;
    bool done = false;
    ~guard() {
      if (!done) leave_to_mpi(std::move(kept));
    }
  } pending{buffers};
  world.wait(
      operation,
      [&] {
        int done = 0;
        world.check(operation, MPI_Test(&request, &done, MPI_STATUS_IGNORE));
        return done != 0;
      },
      [] { return std::vector<int>(); });
  pending.done = true;
}

template <class Range>
concept copyable_range = std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range> &&
    std::is_trivially_copyable_v<std::ranges::range_value_t<Range>>;

template <copyable_range Range>
std::span<const std::byte> bytes_of(const Range& x) {
  return std::as_bytes(std::span(std::ranges::data(x), std::ranges::size(x)));
}

// Mixes eight bytes at a time, as FNV-1a does one.
inline std::uint64_t hash_of(std::span<const std::byte> bytes) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(hash)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min(sizeof(word), bytes.size() - i));
    hash = (hash ^ word) * 0x00000100000001B3;
    hash ^= hash >> 32;  // or the high bits would never reach the low ones
  }
  return hash ^ bytes.size();
}

}  // namespace detail

namespace mpi {

/// Large arrays are cut into pieces, of which two are under way at a time.
struct all_reduce_options {
  std::size_t piece_bytes = std::size_t{4} << 20;  ///< of a rank's contribution, on the wire
};

/// x[i] = factor * (the sum of x[i] over all ranks), the same bits on every rank.
///
/// Each element is rounded to Wire on its rank (8-bit formats: with a scale for each piece's shard,
/// see mpi_wire.h), the P of them are added in FP32 in the order of ranks, multiplied by the factor
/// in FP32, rounded to Wire and then to x's type. With w and u the unit roundoffs of Wire and float
/// (2^-8 for bfloat16, 2^-11 for half, 2^-24) the error is at most
///
///   ((1 + w)^2 (1 + u)^P - 1) |factor| sum |x|
///
/// (about 2 w + P u of it; a float wire has w = 0), and half of Wire's smallest subnormal for each
/// element and rounding, while nothing overflows. No MPI_Op takes part, so nothing is rounded at a
/// hop. For 32- and 16-bit wires the bits do not depend on piece_bytes.
///
/// Sizes must be the same on all ranks and may be zero, or pass INT_MAX. On the wire each rank
/// sends and receives 2 (P - 1) / P of x in Wire, as a ring does, in 2 (P - 1) messages a piece.
///
/// Errors, before anything is sent: null with a size, a factor that is infinite or NaN,
/// piece_bytes 0. communication_error, also when sizes turn out to differ; x may then be reduced in
/// part.
template <wire_format Wire, float_storage_output_vector X>
void all_reduce(communicator& world, X&& x, float factor = 1.0f,
                const all_reduce_options& options = {}) {
  constexpr std::string_view where = "halfway::mpi::all_reduce";
  using T = detail::vector_element<X>;
  const std::span<T> values = detail::output_span(where, "x", x);
  detail::check_factor(where, factor);
  detail::check_piece_bytes(where, "piece_bytes", options.piece_bytes);
  world.check_usable(where);
  const detail::mpi_summation plan = detail::sum_by_rank(static_cast<std::size_t>(world.size()));
  // Two pieces are under way: one is converted while the other travels.
  using exchange = detail::mpi_exchange<Wire, Wire>;
  exchange in_turn[2] = {{world, where, plan, factor}, {world, where, plan, factor}};
  const std::size_t piece =
      std::clamp<std::size_t>(options.piece_bytes / sizeof(Wire), 1, exchange::most_elements(plan));
  const std::size_t pieces = values.size() / piece + (values.size() % piece != 0 ? 1 : 0);
  const auto part = [&](std::size_t i) {
    return values.subspan(i * piece, std::min(piece, values.size() - i * piece));
  };
  for (std::size_t i = 0; i <= pieces; ++i) {
    exchange &next = in_turn[i % 2], &last = in_turn[(i + 1) % 2];
    if (i != pieces) {
      const std::span<const T> contribution = part(i);
      next.template start<T>({&contribution, 1}, contribution.size());
    }
    if (i != 0) {
      detail::finish_exchange(world, where, last, [&] { next.advance(); });
      last.take(part(i - 1));
    }
  }
}

/// The sum of every rank's count, modulo 2^64: what loss_scaler::report takes, so that all ranks
/// skip the same step. (Gradients that have been all-reduced are the same on all ranks, and so is
/// what loss_scaler::unscale finds in them; this is for gradients that each rank unscales for
/// itself.) Error: communication_error.
inline std::uint64_t total(communicator& world, std::uint64_t count) {
  constexpr std::string_view where = "halfway::mpi::total";
  world.check_usable(where);
  struct buffers {
    std::uint64_t in, out;
  };
  auto both = std::make_unique<buffers>(buffers{count, 0});
  MPI_Request request = MPI_REQUEST_NULL;
  world.check(where, MPI_Iallreduce(&both->in, &both->out, 1, MPI_UINT64_T, MPI_SUM, world.handle(),
                                    &request));
  detail::wait_for_collective(world, where, request, both);
  return both->out;
}

/// Returns once all ranks have called it. Error: communication_error.
inline void barrier(communicator& world) { total(world, 0); }

/// x becomes rank `root`'s x, byte for byte; elements are of any trivially copyable type. The size
/// is the same on all ranks. Errors: null with a size, a root that is no rank; communication_error.
template <detail::copyable_range X>
requires(!std::is_const_v<std::remove_reference_t<
             std::ranges::range_reference_t<X>>>) void broadcast(communicator& world, X&& x,
                                                                 int root = 0) {
  constexpr std::string_view where = "halfway::mpi::broadcast";
  detail::check_not_null(where, "x", std::ranges::data(x), std::ranges::size(x));
  if (root < 0 || root >= world.size()) {
    fail(detail::concat(where, ": root (", root, ") must be a rank below ", world.size()));
  }
  world.check_usable(where);
  const std::span<std::byte> bytes =
      std::as_writable_bytes(std::span(std::ranges::data(x), std::ranges::size(x)));
  constexpr std::size_t piece = std::size_t{64} << 20;
  for (std::size_t i = 0; i < bytes.size(); i += piece) {
    const std::span<std::byte> part = bytes.subspan(i, std::min(piece, bytes.size() - i));
    // A copy, since MPI may write to it even after an error.
    auto copy = std::make_unique<std::vector<std::byte>>(part.begin(), part.end());
    MPI_Request request = MPI_REQUEST_NULL;
    world.check(where, MPI_Ibcast(copy->data(), static_cast<int>(copy->size()), MPI_BYTE, root,
                                  world.handle(), &request));
    detail::wait_for_collective(world, where, request, copy);
    std::ranges::copy(*copy, part.begin());
  }
}

/// Are x's bytes the same on all ranks? By a 64-bit hash, for tests and for now and then during
/// training: each rank reads x once and sends 8 bytes. Error, the same on all ranks: they differ
/// (named: `name`, and the first rank that differs from rank 0); communication_error.
template <detail::copyable_range X>
void check_identical(communicator& world, const X& x, std::string_view name = "x") {
  constexpr std::string_view where = "halfway::mpi::check_identical";
  detail::check_not_null(where, name, std::ranges::data(x), std::ranges::size(x));
  world.check_usable(where);
  struct buffers {
    std::uint64_t own;
    std::vector<std::uint64_t> all;
  };
  auto hashes = std::make_unique<buffers>();
  hashes->own = detail::hash_of(detail::bytes_of(x));
  hashes->all.resize(static_cast<std::size_t>(world.size()));
  MPI_Request request = MPI_REQUEST_NULL;
  world.check(where, MPI_Iallgather(&hashes->own, 1, MPI_UINT64_T, hashes->all.data(), 1,
                                    MPI_UINT64_T, world.handle(), &request));
  detail::wait_for_collective(world, where, request, hashes);
  for (std::size_t r = 1; r < hashes->all.size(); ++r) {
    if (hashes->all[r] != hashes->all[0]) {
      fail(detail::concat(where, ": ", name, " of rank ", r, " differs from rank 0's"));
    }
  }
}

}  // namespace mpi
}  // namespace halfway

#endif  // HALFWAY_INTEROP_MPI_ALL_REDUCE_H_
