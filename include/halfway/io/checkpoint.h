// SPDX-License-Identifier: Apache-2.0
// Everything that a training run is, in one safetensors file, so that it continues to the same
// bits.
//
//   halfway::checkpoint_writer out;
//   out.weights("fc1", master, {256, 128}, halfway::weight_role::master);
//   out.optimizer("fc1", adam_state);
//   out.scaler(scaler);
//   out.random("dropout", {.seed = 7, .next = 1024});
//   out.progress({.step = 100, .epoch = 2, .position = 640});
//   out.write("run.safetensors");           // whole, or the old one stays: atomic_file
//
//   const halfway::checkpoint_reader in("run.safetensors");
//   in.weights("fc1", master);              // bit for bit; file().read() casts
//   in.optimizer("fc1", adam_state);
//   halfway::loss_scaler scaler = in.scaler();
//
// Weights are tensors of the name they are given, so other programs find them. What is not a tensor
// is text in the file's metadata: docs/checkpoints.md lists the keys.
#ifndef HALFWAY_IO_CHECKPOINT_H_
#define HALFWAY_IO_CHECKPOINT_H_

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_writer.h"
#include "halfway/precision/text.h"
#include "halfway/quantization/affine_params.h"
#include "halfway/training/block_moments.h"
#include "halfway/training/loss_scaler.h"
#include "halfway/training/optimizer.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// Of the library that writes; in a file's metadata as "halfway.version".
inline constexpr std::string_view library_version = "0.1.0";

/// What a tensor of weights is to the training.
enum class weight_role {
  master,  ///< what the optimizer steps
  model,   ///< what the forward pass reads
};
/// "master" or "model", as checkpoints have it.
constexpr std::string_view name(weight_role role) {
  return role == weight_role::master ? "master" : "model";
}

/// Random words of a seed (types/philox.h) are used up to, and without, `next`.
struct random_stream {
  std::uint64_t seed = 0;  ///< of the stream
  std::uint64_t next = 0;  ///< the first word that is not used yet

  bool operator==(const random_stream&) const = default;  ///< of both numbers
};

/// How far a run has come: steps done, and the sample that comes next in the order of its epoch.
struct training_progress {
  std::uint64_t step = 0;      ///< optimizer steps that are done
  std::uint64_t epoch = 0;     ///< passes over the data that are done
  std::uint64_t position = 0;  ///< in the order of the epoch's samples

  bool operator==(const training_progress&) const = default;  ///< of all three numbers
};

/// What an optimizer remembers of a tensor.
template <class State>
concept library_optimizer_state =
    std::same_as<State, sgd_state> || std::same_as<State, lion_state> ||
    std::same_as<State, adam_state> || std::same_as<State, adam_8bit_state>;

/// What an optimizer's state consists of, for checkpoints: calls tensor(name, vector) and
/// number(name, std::uint64_t) for its parts and returns what it is called. For a state of your
/// own, define one beside it, for the type and for const of it.
template <class State, class Tensor, class Number>
requires library_optimizer_state<std::remove_const_t<State>> std::string_view visit_optimizer_state(
    State& state, const Tensor& tensor, const Number& number) {
  using S = std::remove_const_t<State>;
  number("step", state.step);
  if constexpr (std::same_as<S, sgd_state> || std::same_as<S, lion_state>) {
    tensor("momentum", state.momentum);
    return std::same_as<S, sgd_state> ? "sgd" : "lion";
  } else {
    tensor("first", state.first);
    tensor("second", state.second);
    if constexpr (std::same_as<S, adam_8bit_state>) {
      tensor("first_scales", state.first_scales);
      tensor("second_scales", state.second_scales);
      number("seed", state.seed);
      return "adam_8bit";
    }
    return "adam";
  }
}

namespace detail {

inline constexpr std::string_view checkpoint_format = "1";

struct named_number {
  std::string_view name;
  std::uint64_t* value;
};

// "seed=7,next=1024" into numbers. Errors: others than these, or a value that is not a number.
inline void parse_numbers(std::string_view where, std::string_view text,
                          std::span<const named_number> numbers) {
  if (numbers.empty() && text.empty()) return;
  const std::vector<assignment> assignments = parse_assignments(where, text);
  if (assignments.size() != numbers.size()) {
    fail(concat(where, ": ", quoted(text), " has ", assignments.size(), " values instead of ",
                numbers.size()));
  }
  for (const named_number& n : numbers) {
    const auto found = std::ranges::find(assignments, n.name, &assignment::key);
    if (found == assignments.end()) {
      fail(concat(where, ": ", quoted(n.name), " is missing in ", quoted(text)));
    }
    const char* const end = found->value.data() + found->value.size();
    const auto [stop, problem] = std::from_chars(found->value.data(), end, *n.value);
    if (problem != std::errc() || stop != end) {
      fail(concat(where, ": ", n.name, "=", found->value, " is not a whole number below 2^64"));
    }
  }
}

}  // namespace detail

/// Collects the parts and writes them. Tensors must stay where they are until write(). A tensor
/// given twice is an error, and so is what safetensors_writer refuses; other parts replace an
/// earlier one.
class checkpoint_writer {
 public:
  checkpoint_writer() {
    out_.set_metadata("halfway.checkpoint", std::string(detail::checkpoint_format));
    out_.set_metadata("halfway.version", std::string(library_version));
  }

  /// A tensor of weights with its shape.
  template <std::ranges::contiguous_range X>
  requires safetensors_element<std::ranges::range_value_t<X>>
  void weights(const std::string& tensor, const X& values, const std::vector<std::uint64_t>& shape,
               weight_role role = weight_role::master) {
    out_.add(tensor, values, shape);
    out_.set_metadata("halfway.weights." + tensor,
                      detail::concat("role=", name(role),
                                     ",format=", name(dtype_of<std::ranges::range_value_t<X>>)));
  }

  /// Codes with what they mean.
  template <std::ranges::contiguous_range X>
  requires safetensors_element<std::ranges::range_value_t<X>>
  void quantized(const std::string& tensor, const X& codes, const std::vector<std::uint64_t>& shape,
                 const affine_params& params) {
    weights(tensor, codes, shape, weight_role::model);
    out_.set_metadata("halfway.affine." + tensor,
                      detail::concat("scale=", params.scale, ",zero_point=", params.zero_point));
  }

  /// What the optimizer remembers of a tensor: sgd_state, adam_state, adam_8bit_state, lion_state,
  /// or see visit_optimizer_state.
  template <class State>
  void optimizer(const std::string& tensor, const State& state) {
    std::string numbers;
    const std::string_view kind = visit_optimizer_state(
        state,
        [&](std::string_view part, const auto& values) {
          out_.add(detail::concat(tensor, ".optimizer.", part), values);
        },
        [&](std::string_view part, std::uint64_t value) {
          numbers += detail::concat(numbers.empty() ? "" : ",", part, "=", value);
        });
    out_.set_metadata(detail::concat("halfway.optimizer.", tensor), std::string(kind));
    out_.set_metadata(detail::concat("halfway.optimizer_numbers.", tensor), numbers);
  }

  /// The scale, its counts and the options.
  void scaler(const loss_scaler& s) {
    out_.set_metadata("halfway.loss_scaler", to_string(s.state()));
  }

  /// How far a stream of random words is used, by a name of yours.
  void random(const std::string& stream, const random_stream& at) {
    out_.set_metadata("halfway.random." + stream,
                      detail::concat("seed=", at.seed, ",next=", at.next));
  }

  /// How far the run has come.
  void progress(const training_progress& p) {
    out_.set_metadata("halfway.progress", detail::concat("step=", p.step, ",epoch=", p.epoch,
                                                         ",position=", p.position));
  }

  /// Anything else, as text. Error: a key that begins with "halfway.".
  void note(const std::string& key, const std::string& text) {
    if (key.starts_with("halfway.")) {
      fail(detail::concat("halfway::checkpoint_writer::note: key ", detail::printable(key),
                          " must not begin with \"halfway.\""));
    }
    out_.set_metadata(key, text);
  }

  /// Errors: atomic_file's; the old file at `path` is then still there.
  void write(const std::string& path) const { out_.write(path); }

  /// The file to be, for other ways to write it (io/integrity.h).
  const safetensors_writer& file() const { return out_; }

 private:
  safetensors_writer out_;
};

/// Errors of every part: it is not in the file, or of another type, size or kind; nothing is
/// written then.
class checkpoint_reader {
 public:
  /// Errors: safetensors_file's; not a checkpoint, or one of a later format.
  explicit checkpoint_reader(const std::string& path)
      : checkpoint_reader(safetensors_file(path), path) {}
  /// The same of a file that is open: one whose signature has been verified, say (io/integrity.h).
  /// `path` is for messages.
  checkpoint_reader(safetensors_file file, const std::string& path)
      : path_(path), file_(std::move(file)) {
    const std::string& format = text("halfway.checkpoint");
    if (format != detail::checkpoint_format) {
      fail(detail::concat(where, ": \"", path_, "\" has format ", detail::printable(format),
                          ", this library reads ", detail::checkpoint_format));
    }
  }

  /// The tensors as in any safetensors file, to look at or to cast.
  const safetensors_file& file() const { return file_; }
  /// The library's that wrote it.
  const std::string& version() const { return text("halfway.version"); }

  /// Bit for bit, into as many elements of the stored type.
  template <class Y>
  requires safetensors_element<std::ranges::range_value_t<Y>>
  void weights(std::string_view tensor, Y&& values) const { file_.read_exact(tensor, values); }

  /// As weights() was told when it was written.
  weight_role role(std::string_view tensor) const {
    const std::string& value = text(detail::concat("halfway.weights.", tensor));
    for (const auto& [key, word] : detail::parse_assignments(where, value)) {
      for (const weight_role role : {weight_role::master, weight_role::model}) {
        if (key == "role" && word == name(role)) return role;
      }
    }
    fail(detail::concat(where, ": ", detail::printable(value), " has no role"));
  }

  /// What a tensor of codes means.
  affine_params affine(std::string_view tensor) const {
    const std::string& value = text(detail::concat("halfway.affine.", tensor));
    affine_params params;
    std::size_t read = 0;
    for (const auto& [key, word] : detail::parse_assignments(where, value)) {
      const char* const end = word.data() + word.size();
      std::from_chars_result result{word.data(), std::errc::invalid_argument};
      if (key == "scale") result = std::from_chars(word.data(), end, params.scale);
      if (key == "zero_point") result = std::from_chars(word.data(), end, params.zero_point);
      if (result.ec != std::errc() || result.ptr != end) break;
      ++read;
    }
    if (read != 2 || !(params.scale >= std::numeric_limits<float>::min()) ||
        !std::isfinite(params.scale)) {
      fail(detail::concat(where, ": ", detail::printable(value),
                          " is not scale=...,zero_point=..."));
    }
    return params;
  }

  /// A state of the type that was written; its vectors get their sizes.
  template <class State>
  void optimizer(const std::string& tensor, State& state) const {
    State loaded{};
    const std::string& numbers = text("halfway.optimizer_numbers." + tensor);
    std::vector<detail::named_number> named;
    const std::string_view kind = visit_optimizer_state(
        loaded,
        [&]<class T>(std::string_view part, std::vector<T>& values) {
          values = file_.load_exact<T>(detail::concat(tensor, ".optimizer.", part));
        },
        [&](std::string_view part, std::uint64_t& value) {
          named.push_back({part, &value});
        });
    const std::string& stored = text("halfway.optimizer." + tensor);
    if (stored != kind) {
      fail(detail::concat(where, ": the optimizer of ", detail::printable(tensor), " is ",
                          detail::printable(stored), ", not ", kind));
    }
    detail::parse_numbers(where, numbers, named);
    state = std::move(loaded);
  }

  /// One that goes on where the saved one stood.
  loss_scaler scaler() const {
    return loss_scaler(parse_loss_scaler_state(text("halfway.loss_scaler")));
  }

  /// As random() was told of this name when it was written.
  random_stream random(std::string_view stream) const {
    random_stream at;
    const detail::named_number numbers[] = {{"seed", &at.seed}, {"next", &at.next}};
    detail::parse_numbers(where, text(detail::concat("halfway.random.", stream)), numbers);
    return at;
  }

  /// As progress() was told when it was written.
  training_progress progress() const {
    training_progress p;
    const detail::named_number numbers[] = {
        {"step", &p.step}, {"epoch", &p.epoch}, {"position", &p.position}};
    detail::parse_numbers(where, text("halfway.progress"), numbers);
    return p;
  }

  /// What note() was given for this key.
  const std::string& note(std::string_view key) const { return text(key); }

 private:
  static constexpr std::string_view where = "halfway::checkpoint_reader";

  const std::string& text(std::string_view key) const {
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end()) {
      fail(detail::concat(where, ": \"", path_, "\" has no ", detail::printable(key),
                          " in its metadata"));
    }
    return found->second;
  }

  std::string path_;
  safetensors_file file_;
};

}  // namespace halfway

#endif  // HALFWAY_IO_CHECKPOINT_H_
