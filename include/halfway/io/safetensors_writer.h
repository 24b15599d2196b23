// SPDX-License-Identifier: Apache-2.0
// Writes tensors to a safetensors file, which appears whole or not at all.
//
//   halfway::safetensors_writer out;
//   out.add("fc1.weight", weights, {256, 128});       // refers to them until the end of write()
//   out.set_metadata("trained_on", "fashion");
//   out.write("model.safetensors");
//
// The same tensors and metadata give the same bytes, in whichever order they are added: as the
// reference implementation, wide types come first, so that every tensor is aligned to its elements,
// and names are in order within a type.
#ifndef HALFWAY_IO_SAFETENSORS_WRITER_H_
#define HALFWAY_IO_SAFETENSORS_WRITER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <ranges>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/io/atomic_file.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_header.h"

namespace halfway {

/// Collects tensors and metadata, and writes them; it refers to the tensors' memory and copies the
/// rest.
class safetensors_writer {
 public:
  /// A tensor of any of safetensors_element's types, row after row; `values` must stay until the
  /// last write(). Errors: a name that is taken, "__metadata__" or not UTF-8; a size that does not
  /// fit the shape; null with a size.
  template <std::ranges::contiguous_range X>
  requires safetensors_element<std::ranges::range_value_t<X>>
  void add(const std::string& name, const X& values, const std::vector<std::uint64_t>& shape) {
    detail::check_not_null("halfway::safetensors_writer::add", name, std::ranges::data(values),
                           std::ranges::size(values));
    add_bytes(name, std::string(detail::safetensors_name_of<std::ranges::range_value_t<X>>()),
              shape,
              std::as_bytes(std::span(std::ranges::data(values), std::ranges::size(values))));
  }
  /// With one dimension.
  template <std::ranges::contiguous_range X>
  requires safetensors_element<std::ranges::range_value_t<X>>
  void add(const std::string& name, const X& values) {
    add(name, values, {std::ranges::size(values)});
  }

  /// Of any type of the format, by its name there ("F4", "BOOL", ...). Errors also: an unknown
  /// type.
  void add_bytes(const std::string& name, const std::string& type,
                 const std::vector<std::uint64_t>& shape, std::span<const std::byte> data) {
    add_entry(name, type, shape, {{}, data.size(), data, {}});
  }

  /// A promised tensor: `make` returns its `bytes` bytes whenever the file is written, of one
  /// tensor after another, so that a file may be larger than memory. Errors as add_bytes.
  void add_promise(const std::string& name, const std::string& type,
                   const std::vector<std::uint64_t>& shape, std::uint64_t bytes,
                   std::function<std::vector<std::byte>()> make) {
    add_entry(name, type, shape, {{}, bytes, {}, std::move(make)});
  }

  /// Replaces an earlier value. Error: not UTF-8.
  void set_metadata(const std::string& key, const std::string& value) {
    for (const std::string& text : {key, value}) {
      if (!is_utf8(text)) {
        fail(detail::concat("halfway::safetensors_writer::set_metadata: ", detail::printable(key),
                            ": ", detail::printable(text), " is not UTF-8"));
      }
    }
    metadata_[key] = value;
  }

  /// The length and the JSON in front of the data.
  std::string header() const {
    std::string json = "{";
    if (!metadata_.empty()) {
      json += "\"__metadata__\":{";
      for (const auto& [key, value] : metadata_) {
        json += detail::concat(json.back() == '{' ? "" : ",", quoted(key), ":", quoted(value));
      }
      json += "}";
    }
    std::uint64_t begin = 0;
    for (const auto& [place, t] : tensors_) {
      const std::uint64_t end = begin + t.bytes;
      json += detail::concat(json.back() == '{' ? "" : ",", quoted(t.info.name), ":{\"dtype\":\"",
                             t.info.type, "\",\"shape\":[");
      for (const std::uint64_t extent : t.info.shape) {
        json += detail::concat(json.back() == '[' ? "" : ",", extent);
      }
      json += detail::concat("],\"data_offsets\":[", begin, ",", end, "]}");
      begin = end;
    }
    json += "}";
    json.resize((json.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
    const std::uint64_t length = json.size();
    std::string bytes(sizeof(length), '\0');
    std::memcpy(bytes.data(), &length, sizeof(length));
    return bytes + json;
  }

  /// The content piece by piece, as sink(bytes). Error: a tensor that was promised is made with
  /// another number of bytes.
  template <class Sink>
  void for_each_piece(const Sink& sink) const {
    const std::string front = header();
    sink(std::as_bytes(std::span(front)));
    for (const auto& [place, t] : tensors_) {
      if (!t.make) {
        sink(t.data);
        continue;
      }
      const std::vector<std::byte> made = t.make();
      if (made.size() != t.bytes) {
        fail(detail::concat("halfway::safetensors_writer: tensor ", detail::printable(t.info.name),
                            ": ", made.size(), " bytes were made instead of ", t.bytes));
      }
      sink(std::span<const std::byte>(made));
    }
  }

  /// Errors: atomic_file's, for_each_piece's; the old file at `path` is then still there.
  void write(const std::string& path) const {
    atomic_file file(path);
    for_each_piece([&](std::span<const std::byte> piece) { file.write(piece); });
    file.commit();
  }

  /// The file's content. Error: for_each_piece's.
  std::vector<std::byte> to_bytes() const {
    std::vector<std::byte> bytes;
    for_each_piece([&](std::span<const std::byte> piece) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
    });
    return bytes;
  }

 private:
  struct entry {
    tensor_info info;
    std::uint64_t bytes;
    std::span<const std::byte> data;
    std::function<std::vector<std::byte>()> make;  // instead of data, if there is one
  };
  using order = std::tuple<int, std::string, std::string>;  // -bits, type, name

  void add_entry(const std::string& name, const std::string& type,
                 const std::vector<std::uint64_t>& shape, entry e) {
    constexpr std::string_view where = "halfway::safetensors_writer::add";
    const std::string tensor = detail::concat(where, ": tensor ", detail::printable(name));
    if (name == "__metadata__") fail(tensor + ": the format keeps this name for itself");
    if (!is_utf8(name)) fail(tensor + ": its name is not UTF-8");
    const detail::safetensors_type* known = detail::find_safetensors_type(type);
    if (known == nullptr) {
      fail(detail::concat(tensor, ": unknown type ", detail::printable(type)));
    }
    e.info = {name, type, shape, 0, 0, e.bytes};
    const std::string problem = detail::check_tensor(e.info, *known, e.bytes);
    if (!problem.empty()) fail(detail::concat(tensor, ": ", problem));
    if (!names_.insert(name).second) fail(tensor + " has been added already");
    tensors_.emplace(order{-known->bits, type, name}, std::move(e));
  }

  static std::string quoted(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  // What is not is replaced on the way there, so it does not come back.
  static bool is_utf8(const std::string& text) {
    return nlohmann::json::parse(quoted(text), nullptr, false) == nlohmann::json(text);
  }

  std::map<order, entry> tensors_;
  std::set<std::string> names_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

}  // namespace halfway

#endif  // HALFWAY_IO_SAFETENSORS_WRITER_H_
