// SPDX-License-Identifier: Apache-2.0
// What ran when, on which thread, for chrome://tracing and https://ui.perfetto.dev.
//
//   halfway::telemetry::trace_recorder recorder;
//   set_trace_recorder(&recorder);
//   {
//     halfway::telemetry::trace_span span("gemm", {m, n, k}, "bfloat16", bytes);
//     halfway::gemm(a, b, c);
//   }
//   halfway::telemetry::set_trace_recorder(nullptr);
//   std::ofstream("trace.json") << to_chrome_trace(recorder);
#ifndef HALFWAY_TELEMETRY_TRACE_H_
#define HALFWAY_TELEMETRY_TRACE_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/telemetry/text.h"

namespace halfway::telemetry {

namespace detail {

// A text of at most N bytes, in place: what is longer is cut between two characters.
template <std::size_t N>
class short_text {
 public:
  short_text() = default;
  explicit short_text(std::string_view text) {
    if (text.size() > N) {
      std::size_t end = N;
      while (end != 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
      text = text.substr(0, end);
    }
    std::ranges::copy(text, bytes_.begin());
    size_ = static_cast<std::uint8_t>(text.size());
  }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  static_assert(N < 256);
  std::array<char, N> bytes_{};
  std::uint8_t size_ = 0;
};

// Threads count from 1, in the order in which they first ask.
inline std::uint32_t thread_number() {
  static std::atomic<std::uint32_t> threads{0};
  thread_local const std::uint32_t number = threads.fetch_add(1, std::memory_order_relaxed) + 1;
  return number;
}

}  // namespace detail

/// Something that took time. A copy of all it was told: nothing need outlive it.
struct trace_event {
  static constexpr std::size_t max_rank = 6;  ///< sizes of a shape that are kept

  detail::short_text<63> op;     ///< at most 63 bytes, the rest is cut off
  detail::short_text<47> layer;  ///< whose operation it is; at most 47 bytes; may be empty
  detail::short_text<47>
      precision;  ///< in/weights/out, or one type; at most 47 bytes; may be empty
  std::array<std::size_t, max_rank> shape{};  ///< the first `rank` of them; the rest is 0
  std::size_t rank = 0;                       ///< at most max_rank
  std::uint64_t bytes = 0;                    ///< read and written; 0: not known
  std::uint64_t nanoseconds = 0;              ///< since the recorder was made
  std::uint64_t duration = 0;                 ///< nanoseconds
  std::uint32_t thread = 0;  ///< from 1 on, in the order in which threads first record
};

/// Keeps the first `capacity` events, without a lock: each takes the next slot with one atomic
/// addition. What comes later is counted and dropped, so a recorder never grows or waits.
class trace_recorder {
 public:
  using clock = std::chrono::steady_clock;  ///< never set back

  /// A slot takes about 250 bytes. Error: a capacity of 0.
  explicit trace_recorder(std::size_t capacity = 65536) : capacity_(capacity) {
    if (capacity == 0) fail("halfway::telemetry::trace_recorder: capacity (0) must not be 0");
    slots_ = std::make_unique<slot[]>(capacity);
  }
  trace_recorder(const trace_recorder&) = delete;
  trace_recorder& operator=(const trace_recorder&) = delete;

  /// Whether there was room. Any thread, any time.
  bool add(const trace_event& event) {
    // Full: no more additions, lest the count wrap around.
    if (claimed_.load(std::memory_order_relaxed) >= capacity_) return drop();
    const std::size_t i = claimed_.fetch_add(1, std::memory_order_relaxed);
    if (i >= capacity_) return drop();
    slots_[i].event = event;
    slots_[i].ready.store(true, std::memory_order_release);
    return true;
  }

  /// From this recorder's construction to `time`, which is not before it.
  std::uint64_t nanoseconds_since_start(clock::time_point time) const {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(time - start_).count());
  }

  std::size_t capacity() const { return capacity_; }  ///< events that there is room for
  /// Events that came later.
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  /// What has been written so far, in the order of slots: about that of the events' ends. May be
  /// called while others add.
  std::vector<trace_event> events() const {
    std::vector<trace_event> all;
    const std::size_t end = std::min(claimed_.load(std::memory_order_relaxed), capacity_);
    all.reserve(end);
    for (std::size_t i = 0; i != end; ++i) {
      if (slots_[i].ready.load(std::memory_order_acquire)) all.push_back(slots_[i].event);
    }
    return all;
  }

 private:
  struct slot {
    std::atomic<bool> ready{false};
    trace_event event;
  };

  bool drop() {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }

  std::size_t capacity_;
  clock::time_point start_ = clock::now();
  std::unique_ptr<slot[]> slots_;
  std::atomic<std::size_t> claimed_{0};
  std::atomic<std::uint64_t> dropped_{0};
};

namespace detail {

inline std::atomic<trace_recorder*>& current_trace_recorder() {
  static constinit std::atomic<trace_recorder*> recorder{nullptr};
  return recorder;
}

}  // namespace detail

/// Where the spans of all threads go from now on; null: nowhere. Returns the last one, which has to
/// live until the spans that began under it have ended.
inline trace_recorder* set_trace_recorder(trace_recorder* recorder) {
  return detail::current_trace_recorder().exchange(recorder, std::memory_order_acq_rel);
}

/// An event from its construction to its destruction. With no recorder set, the cost is a relaxed
/// load and a branch, and another branch at the end.
class [[nodiscard]] trace_span {
 public:
  /// `shape`: the first trace_event::max_rank of its sizes are kept.
  explicit trace_span(std::string_view op, std::initializer_list<std::size_t> shape = {},
                      std::string_view precision = {}, std::uint64_t bytes = 0) {
    if (detail::current_trace_recorder().load(std::memory_order_relaxed) == nullptr) return;
    begin([&](trace_event& e) {
      e.op = detail::short_text<63>(op);
      e.precision = detail::short_text<47>(precision);
      e.rank = std::min(shape.size(), trace_event::max_rank);
      std::copy_n(shape.begin(), e.rank, e.shape.begin());
      e.bytes = bytes;
    });
  }
  /// `describe(trace_event&)` fills in what it knows, and is only called where something records.
  template <std::invocable<trace_event&> Describe>
  explicit trace_span(const Describe& describe) {
    if (detail::current_trace_recorder().load(std::memory_order_relaxed) == nullptr) return;
    begin(describe);
  }
  ~trace_span() {
    if (running_) end();
  }
  trace_span(const trace_span&) = delete;
  trace_span& operator=(const trace_span&) = delete;

 private:
  struct running {
    trace_recorder* recorder;
    trace_recorder::clock::time_point start;
    trace_event event;
  };

  template <class Describe>
  void begin(const Describe& describe) {
    // Again, now to see what its maker wrote.
    trace_recorder* recorder = detail::current_trace_recorder().load(std::memory_order_acquire);
    if (recorder == nullptr) return;
    running& r = running_.emplace();
    r.recorder = recorder;
    describe(r.event);
    r.event.thread = detail::thread_number();
    r.start = trace_recorder::clock::now();
  }

  void end() {
    running& r = *running_;
    const std::uint64_t now = r.recorder->nanoseconds_since_start(trace_recorder::clock::now());
    r.event.nanoseconds = r.recorder->nanoseconds_since_start(r.start);
    r.event.duration = now - r.event.nanoseconds;
    r.recorder->add(r.event);
  }

  std::optional<running> running_;  // not even zeroed where nothing records
};

namespace detail {

// Chrome's unit; three places keep each nanosecond.
inline std::string microseconds(std::uint64_t nanoseconds) {
  std::string places = std::to_string(nanoseconds % 1000);
  places.insert(0, 3 - places.size(), '0');
  return halfway::detail::concat(nanoseconds / 1000, ".", places);
}

inline std::string chrome_event(const trace_event& e, std::uint32_t process) {
  using halfway::detail::concat;
  std::string shape;
  for (std::size_t i = 0; i != e.rank; ++i) shape += concat(i == 0 ? "" : "x", e.shape[i]);
  std::string args;
  const auto add = [&](std::string_view name, const auto& value) {
    args += concat(args.empty() ? "\"" : ",\"", name, "\":", value);
  };
  if (e.rank != 0) add("shape", json_string(shape));
  if (!e.layer.view().empty()) add("layer", json_string(e.layer.view()));
  if (!e.precision.view().empty()) add("precision", json_string(e.precision.view()));
  if (e.bytes != 0) {
    add("bytes", e.bytes);
    if (e.duration != 0) {  // bytes a nanosecond are GB/s
      add("gigabytes_per_second", static_cast<double>(e.bytes) / static_cast<double>(e.duration));
    }
  }
  return concat("{\"name\":", json_string(e.op.view()),
                ",\"cat\":\"halfway\",\"ph\":\"X\",\"ts\":", microseconds(e.nanoseconds),
                ",\"dur\":", microseconds(e.duration), ",\"pid\":", process, ",\"tid\":", e.thread,
                ",\"args\":{", args, "}}");
}

}  // namespace detail

/// Chrome's trace event format, a JSON object: each event a complete one (ph X). `process` tells
/// ranks apart whose traces are joined. Of dropped events the number stands in otherData.
/// Source: "Trace Event Format", Google, 2016.
inline std::string to_chrome_trace(const trace_recorder& recorder, std::uint32_t process = 1) {
  using halfway::detail::concat;
  std::string json =
      concat("{\"displayTimeUnit\":\"ns\",\"otherData\":{\"dropped\":\"", recorder.dropped(),
             "\"},\"traceEvents\":[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":", process,
             ",\"args\":{\"name\":\"halfway ", process, "\"}}");
  for (const trace_event& e : recorder.events()) json += ",\n" + detail::chrome_event(e, process);
  return json + "\n]}\n";
}

}  // namespace halfway::telemetry

#endif  // HALFWAY_TELEMETRY_TRACE_H_
