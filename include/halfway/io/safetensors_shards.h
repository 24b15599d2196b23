// SPDX-License-Identifier: Apache-2.0
// A model that is spread over several safetensors files, by its index.
//
//   const halfway::safetensors_shards model("model.safetensors.index.json");
//   auto w = model.file_of("fc1.weight").load_matrix<halfway::bfloat16>("fc1.weight");
//
// The index, as the transformers library writes it: {"metadata": {...}, "weight_map":
// {"fc1.weight": "model-00001-of-00002.safetensors", ...}}, with files in the folder of the index.
#ifndef HALFWAY_IO_SAFETENSORS_SHARDS_H_
#define HALFWAY_IO_SAFETENSORS_SHARDS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/io/mapped_file.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_header.h"
#include "halfway/precision/text.h"

namespace halfway {
namespace detail {

// "a/b/" of "a/b/c"; nothing of "c".
inline std::string folder_of(const std::string& path) {
  return path.substr(0, path.rfind('/') + 1);
}

// Of a file in the same folder.
inline bool is_plain_name(std::string_view file) {
  return !file.empty() && file != "." && file != ".." &&
         file.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// Takes the weight map out of an index; false ends the parser, with the reason in `problem`.
class shard_index_events {
 public:
  explicit shard_index_events(std::map<std::string, std::string, std::less<>>& files)
      : files_(&files) {}

  const std::string& problem() const { return problem_; }
  bool has_weight_map() const { return weight_maps_ == 1; }

  bool key(std::string& name) {
    key_ = name;
    return true;
  }
  bool start_object(std::size_t) {
    if (depth_ == 1 && key_ == "weight_map") {
      in_weight_map_ = true;
      if (++weight_maps_ == 2) return stop("has two weight_maps");
    } else if (in_weight_map_) {
      return unexpected("an object");
    }
    return deeper();
  }
  bool end_object() {
    if (--depth_ == 1) in_weight_map_ = false;
    return true;
  }
  bool start_array(std::size_t) { return value("an array") && deeper(); }
  bool end_array() {
    --depth_;
    return true;
  }
  bool string(std::string& text) {
    if (!in_weight_map_) return value("a string");
    if (!files_->emplace(key_, text).second) {
      return stop(concat("names tensor ", printable(key_), " twice"));
    }
    return true;
  }
  bool null() { return value("null"); }
  bool boolean(bool) { return value("a boolean"); }
  bool number_integer(std::int64_t) { return value("a number"); }
  bool number_unsigned(std::uint64_t) { return value("a number"); }
  bool number_float(double, const std::string&) { return value("a number"); }
  bool binary(nlohmann::json::binary_t&) { return value("binary"); }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception&) {
    return stop(concat("is not JSON at byte ", position));
  }

 private:
  // What is neither an object nor a file's name: fine outside of the weight map, which is skipped.
  bool value(std::string_view what) {
    if (in_weight_map_ || depth_ == 0 || (depth_ == 1 && key_ == "weight_map")) {
      return unexpected(what);
    }
    return true;
  }
  bool deeper() {
    constexpr std::size_t most = 32;
    return ++depth_ <= most || stop(concat("is nested deeper than ", most));
  }
  bool unexpected(std::string_view what) {
    return stop(concat("has ", what, depth_ == 0 ? "" : concat(" at ", printable(key_))));
  }
  bool stop(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }

  std::map<std::string, std::string, std::less<>>* files_;
  std::string problem_, key_;
  std::size_t depth_ = 0;
  int weight_maps_ = 0;
  bool in_weight_map_ = false;
};

}  // namespace detail

/// Every shard is mapped and checked at once, as a safetensors_file is.
class safetensors_shards {
 public:
  /// Errors: mapped_file's and safetensors_file's; an index that is not of that form or names a
  /// tensor twice; a file that is not a plain name (an index must not lead out of its folder); a
  /// tensor that is not in the file it should be in. A tensor in a file that the index does not
  /// name there is an error, too, or in lenient mode among ignored().
  explicit safetensors_shards(const std::string& index_path,
                              const safetensors_options& options = {})
      : safetensors_shards(mapped_file(index_path).bytes(), index_path, options,
                           [&](const std::string& file) {
                             return safetensors_file(detail::folder_of(index_path) + file, options);
                           }) {}

  /// The same of an index in memory, which is no longer needed afterwards; open(file) opens the
  /// shard of that plain name. `index_path` is for messages.
  safetensors_shards(std::span<const std::byte> index, const std::string& index_path,
                     const safetensors_options& options,
                     const std::function<safetensors_file(const std::string& file)>& open) {
    const auto refuse = [&](const auto&... problem) {
      fail(detail::concat(where, ": ", detail::printable_path(index_path), " ", problem...));
    };
    if (index.size() > options.max_header_bytes) {
      refuse("has ", index.size(), " bytes, more than max_header_bytes (", options.max_header_bytes,
             ")");
    }
    const std::string_view text(reinterpret_cast<const char*>(index.data()), index.size());
    if (text.find('\0') != std::string_view::npos) refuse("has a NUL byte");
    std::map<std::string, std::string, std::less<>> files;
    detail::shard_index_events events(files);
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &events)) refuse(events.problem());
    if (!events.has_weight_map()) refuse("has no weight_map");

    for (const auto& [tensor, file] : files) {
      if (!detail::is_plain_name(file)) {
        refuse("has ", detail::printable_path(file), " for tensor ", detail::printable(tensor),
               ", which is not the plain name of a file");
      }
      if (!shards_.contains(file)) {
        shards_.emplace(file, open(file));
      }
      const safetensors_file& shard = shards_.find(file)->second;
      if (!shard.contains(tensor)) {
        refuse("has tensor ", detail::printable(tensor), " in ", detail::printable_path(file),
               ", where it is not");
      }
      by_tensor_.emplace(tensor, &shard);
    }
    for (const auto& [file, shard] : shards_) {
      for (const std::string& what : shard.ignored()) {
        ignored_.push_back(detail::concat(detail::printable_path(file), " ", what));
      }
      for (const tensor_info& t : shard.tensors()) {
        const auto found = by_tensor_.find(t.name);
        if (found != by_tensor_.end() && found->second == &shard) continue;
        const std::string problem =
            detail::concat("does not name tensor ", detail::printable(t.name), " of ",
                           detail::printable_path(file));
        if (!options.lenient) refuse(problem);
        ignored_.push_back(problem);
      }
    }
  }
  safetensors_shards(safetensors_shards&&) = default;  ///< views of tensors stay valid

  /// The shards by their names.
  const std::map<std::string, safetensors_file, std::less<>>& files() const { return shards_; }

  /// Whether the index has it.
  bool contains(std::string_view tensor) const { return by_tensor_.contains(tensor); }

  /// The shard that a tensor is in. Error: no such tensor; the names nearest to it are told.
  const safetensors_file& file_of(std::string_view tensor) const {
    const auto found = by_tensor_.find(tensor);
    if (found == by_tensor_.end()) {
      std::vector<std::string_view> names;
      for (const auto& [name, file] : by_tensor_) names.push_back(name);
      fail(detail::concat(where, ": no tensor ", detail::printable(tensor),
                          names.empty() ? "" : "; did you mean ",
                          detail::nearest_names(tensor, names), names.empty() ? "" : "?"));
    }
    return *found->second;
  }

  /// What the lenient mode let pass, a sentence each.
  const std::vector<std::string>& ignored() const { return ignored_; }

 private:
  static constexpr std::string_view where = "halfway::safetensors_shards";

  std::map<std::string, safetensors_file, std::less<>> shards_;
  std::map<std::string, const safetensors_file*, std::less<>> by_tensor_;
  std::vector<std::string> ignored_;
};

}  // namespace halfway

#endif  // HALFWAY_IO_SAFETENSORS_SHARDS_H_
