// SPDX-License-Identifier: Apache-2.0
// Ranks that work together, and waits among them that end: in a result, or in an error that names
// the ranks that did not answer.
//
//   halfway::mpi::communicator world(MPI_COMM_WORLD, {.timeout = std::chrono::minutes(2)});
//   try {
//     train(world);
//   } catch (const halfway::mpi::communication_error& e) {
//     std::cerr << e.what() << '\n';  // "halfway::mpi::all_reduce: rank 0 waited 120000 ms for rank 3"
//     MPI_Abort(MPI_COMM_WORLD, 1);   // MPI_Finalize would wait for the lost rank
//   }
//
// Every call of this folder's MPI headers on one communicator has to come from one thread at a
// time (MPI_THREAD_FUNNELED is enough for one thread, MPI_THREAD_SERIALIZED for several).
#ifndef HALFWAY_INTEROP_MPI_COMMUNICATOR_H_
#define HALFWAY_INTEROP_MPI_COMMUNICATOR_H_

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "halfway/core/error.h"

/// Data-parallel training over MPI: sums in FP32 with few bits on the wire, the same bits on every
/// rank, and an error instead of a hang when a rank is lost. docs/distributed.md tells which part
/// gives what.
namespace halfway::mpi {

/// What MPI reports, and what does not arrive in time. Not a halfway::error: the arguments were
/// good. Afterwards the communicator is of no use, and MPI_Abort the way out.
class communication_error : public std::runtime_error {
 public:
  /// `missing`: the ranks it concerns, in order.
  communication_error(const std::string& message, int rank, std::string operation,
                      std::vector<int> missing)
      : std::runtime_error(message),
        rank_(rank),
        operation_(std::move(operation)),
        missing_(std::move(missing)) {}

  int rank() const { return rank_; }  ///< who reports it
  /// "halfway::mpi::all_reduce": the call that failed.
  const std::string& operation() const { return operation_; }
  /// The ranks it concerns, in order; empty where MPI does not tell.
  const std::vector<int>& missing() const { return missing_; }

 private:
  int rank_;
  std::string operation_;
  std::vector<int> missing_;
};

/// How long ranks wait for each other.
struct communicator_options {
  /// The longest that one wait may take, more than the slowest rank's pause (a checkpoint, an
  /// evaluation) between two steps. Zero: for ever.
  std::chrono::milliseconds timeout{std::chrono::minutes(10)};
};

/// A duplicate of an MPI communicator, so that its messages meet no others, whose errors come back
/// as exceptions. Like MPI_Comm_dup, making and destroying one concerns all ranks. It must not
/// outlive MPI_Finalize, nor what uses it outlive it.
class communicator {
 public:
  /// Errors: MPI is not initialized or already finalized, a negative timeout; communication_error.
  explicit communicator(MPI_Comm parent = MPI_COMM_WORLD, const communicator_options& options = {})
      : options_(options) {
    constexpr std::string_view where = "halfway::mpi::communicator";
    int initialized = 0, finalized = 0;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    if (initialized == 0 || finalized != 0) {
      fail(detail::concat(where, ": MPI is ", finalized != 0 ? "finalized" : "not initialized"));
    }
    if (options.timeout.count() < 0) {
      fail(detail::concat(where, ": timeout (", options.timeout.count(),
                          " ms) must not be negative"));
    }
    MPI_Errhandler of_parent = MPI_ERRHANDLER_NULL;
    MPI_Comm_get_errhandler(parent, &of_parent);
    MPI_Comm_set_errhandler(parent, MPI_ERRORS_RETURN);
    MPI_Comm_rank(parent, &rank_);
    MPI_Comm_size(parent, &size_);
    // The handle is written when the request completes, so it must stay where it is.
    auto duplicate = std::make_unique<MPI_Comm>(MPI_COMM_NULL);
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Comm_idup(parent, duplicate.get(), &request);
    int done = 0;
    const auto start = std::chrono::steady_clock::now();
    while (code == MPI_SUCCESS) {
      code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done != 0 || late(start)) break;
      std::this_thread::yield();
    }
    MPI_Comm_set_errhandler(parent, of_parent);
    MPI_Errhandler_free(&of_parent);
    if (code != MPI_SUCCESS || done == 0) {
      static_cast<void>(duplicate.release());  // MPI may write to it yet
      code != MPI_SUCCESS ? broke(where, code, {}) : timed_out(where, {});
    }
    handle_ = *duplicate;
    MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN);
  }
  communicator(const communicator&) = delete;
  communicator& operator=(const communicator&) = delete;
  ~communicator() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    // Freeing it may wait for the others: not when they are lost, nor when this rank alone fails.
    const bool unwinds = std::uncaught_exceptions() != exceptions_;
    if (finalized == 0 && !broken_ && !unwinds && handle_ != MPI_COMM_NULL) MPI_Comm_free(&handle_);
  }

  int rank() const { return rank_; }  ///< of this process, from 0 on
  int size() const { return size_; }  ///< ranks, this one included
  /// The longest that one wait takes; zero: for ever.
  std::chrono::milliseconds timeout() const { return options_.timeout; }
  /// The duplicate.
  MPI_Comm handle() const { return handle_; }
  /// Has there been a communication_error? Then every further operation is one at once.
  bool broken() const { return broken_; }

  // What follows is for the operations.

  /// Throws if there has been an error.
  void check_usable(std::string_view operation) {
    if (broken_) {
      report(operation,
             detail::concat(operation, ": rank ", rank_,
                            " has lost this communicator in an earlier error"),
             {});
    }
  }

  /// Throws what MPI says of `code`, unless it is MPI_SUCCESS.
  void check(std::string_view operation, int code, std::vector<int> concerned = {}) {
    if (code != MPI_SUCCESS) [[unlikely]] {
      broke(operation, code, std::move(concerned));
    }
  }

  /// Calls `done` until it returns true. `missing` gives the ranks to name if that takes longer
  /// than the timeout.
  template <class Done, class Missing>
  void wait(std::string_view operation, Done&& done, Missing&& missing) {
    const auto start = std::chrono::steady_clock::now();
    for (int tries = 0; !done(); ++tries) {
      if (late(start)) timed_out(operation, missing());
      // First at full speed, then so that ranks which share a core get it.
      if (tries > 5000) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      } else if (tries > 50) {
        std::this_thread::yield();
      }
    }
  }

  /// Something that MPI has checked is wrong with what a rank sent.
  [[noreturn]] void mismatch(std::string_view operation, std::string_view what, int from) {
    report(operation, detail::concat(operation, ": rank ", rank_, ": ", what), {from});
  }

  /// Tags of the next operation's messages; every rank starts its operations in the same order. MPI
  /// promises tags up to 32767, and no two operations that are so far apart are under way at once.
  int next_tag() {
    constexpr int tags = 16000;
    return 2 * (operations_++ % tags);
  }

 private:
  bool late(std::chrono::steady_clock::time_point start) const {
    return options_.timeout.count() != 0 &&
           std::chrono::steady_clock::now() - start > options_.timeout;
  }

  [[noreturn]] void report(std::string_view operation, const std::string& message,
                           [[maybe_unused]] std::vector<int> missing) {
    broken_ = true;
#if defined(__cpp_exceptions)
    throw communication_error(message, rank_, std::string(operation), std::move(missing));
#else
    static_cast<void>(operation);
    fail(message);
#endif
  }

  [[noreturn]] void broke(std::string_view operation, int code, std::vector<int> concerned) {
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
    const std::string message = detail::concat(
        operation, ": rank ", rank_, ": ", std::string_view(text, static_cast<std::size_t>(length)),
        concerned.empty() ? std::string() : names(" with ", concerned));
    report(operation, message, std::move(concerned));
  }

  [[noreturn]] void timed_out(std::string_view operation, std::vector<int> missing) {
    const std::string message =
        detail::concat(operation, ": rank ", rank_, " waited ", options_.timeout.count(),
                       " ms for ", missing.empty() ? "the other ranks" : names("", missing));
    report(operation, message, std::move(missing));
  }

  // "rank 3", "ranks 1, 3"
  static std::string names(std::string_view before, const std::vector<int>& ranks) {
    std::string text = detail::concat(before, ranks.size() == 1 ? "rank " : "ranks ");
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      text += detail::concat(i == 0 ? "" : ", ", ranks[i]);
    }
    return text;
  }

  communicator_options options_;
  MPI_Comm handle_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  int operations_ = 0;
  int exceptions_ = std::uncaught_exceptions();  // under way when this was made
  bool broken_ = false;
};

}  // namespace halfway::mpi

namespace halfway::detail {

// Keeps memory that MPI may still write to when nobody waits any longer.
template <class Buffer>
void leave_to_mpi(Buffer buffer) {
  static std::mutex mutex;
  static auto& left = *new std::vector<Buffer>;  // never destroyed
  const std::scoped_lock lock(mutex);
  left.push_back(std::move(buffer));
}

using mpi_bytes = std::vector<std::byte>;

// Messages of one phase, in memory of their own.
class mpi_messages {
 public:
  mpi_messages() = default;
  mpi_messages(const mpi_messages&) = delete;
  mpi_messages& operator=(const mpi_messages&) = delete;
  mpi_messages(mpi_messages&& other) noexcept
      : out_(std::move(other.out_)),
        in_(std::move(other.in_)),
        requests_(std::exchange(other.requests_, {})),
        expected_(std::exchange(other.expected_, {})) {}
  mpi_messages& operator=(mpi_messages&&) = delete;
  ~mpi_messages() {
    if (!requests_.empty()) {
      leave_to_mpi(std::move(out_));
      leave_to_mpi(std::move(in_));
    }
  }

  // What the messages are made of; not to be touched while they are under way.
  mpi_bytes& out() { return out_; }
  mpi_bytes& in() { return in_; }

  // Of bytes in in() and out(). No message where there are none.
  void receive(mpi::communicator& world, std::string_view operation, std::size_t offset,
               std::size_t bytes, int from, int tag) {
    if (bytes == 0) return;
    expected_.push_back({from, bytes});
    requests_.push_back(MPI_REQUEST_NULL);
    world.check(operation,
                MPI_Irecv(in_.data() + offset, static_cast<int>(bytes), MPI_BYTE, from, tag,
                          world.handle(), &requests_.back()),
                {from});
  }
  void send(mpi::communicator& world, std::string_view operation, std::size_t offset,
            std::size_t bytes, int to, int tag) {
    if (bytes == 0) return;
    expected_.push_back({to, 0});
    requests_.push_back(MPI_REQUEST_NULL);
    world.check(operation,
                MPI_Isend(out_.data() + offset, static_cast<int>(bytes), MPI_BYTE, to, tag,
                          world.handle(), &requests_.back()),
                {to});
  }

  // Have all arrived? Throws on a message that failed or has another size.
  bool arrived(mpi::communicator& world, std::string_view operation) {
    if (requests_.empty()) return true;
    const int count = static_cast<int>(requests_.size());
    indices_.resize(requests_.size());
    statuses_.resize(requests_.size());
    int completed = 0;
    const int code =
        MPI_Testsome(count, requests_.data(), &completed, indices_.data(), statuses_.data());
    if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) world.check(operation, code);
    if (completed == MPI_UNDEFINED) completed = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(completed); ++i) {
      const auto& [peer, bytes] = expected_[static_cast<std::size_t>(indices_[i])];
      if (code == MPI_ERR_IN_STATUS) world.check(operation, statuses_[i].MPI_ERROR, {peer});
      if (bytes == 0) continue;
      int got = 0;
      MPI_Get_count(&statuses_[i], MPI_BYTE, &got);
      if (static_cast<std::size_t>(got) != bytes) {
        world.mismatch(operation,
                       concat("rank ", peer, " sent ", got, " bytes instead of ", bytes,
                              ": its arguments or the order of its calls differ"),
                       peer);
      }
    }
    const bool all = std::ranges::all_of(
        requests_, [](MPI_Request request) { return request == MPI_REQUEST_NULL; });
    if (all) {
      requests_.clear();
      expected_.clear();
    }
    return all;
  }

  // The peers of what has not arrived, each once, in order.
  void add_missing(std::vector<int>& ranks) const {
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      const int peer = expected_[i].peer;
      if (requests_[i] != MPI_REQUEST_NULL && std::ranges::find(ranks, peer) == ranks.end()) {
        ranks.push_back(peer);
      }
    }
    std::ranges::sort(ranks);
  }

 private:
  struct expectation {
    int peer;
    std::size_t bytes;  // 0: sent, not received
  };

  mpi_bytes out_, in_;
  std::vector<MPI_Request> requests_;  // empty: nothing is under way
  std::vector<expectation> expected_;
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
};

}  // namespace halfway::detail

#endif  // HALFWAY_INTEROP_MPI_COMMUNICATOR_H_
