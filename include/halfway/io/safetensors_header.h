// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: which tensors there are, of which type and shape, and where.
//
//   const auto h = halfway::detail::read_safetensors_header(where, bytes, options, ignored);
//
// The format (huggingface/safetensors, README.md, "Format"): 8 bytes, the length N of the header,
// little endian; N bytes of JSON that begin with '{' and may end in blanks; then data without gaps.
// The JSON is {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...},
// offsets counted from the end of the header, and may have "__metadata__" with strings.
//
// Needs nlohmann/json; its parser is called with a handler that builds no tree and stops at the
// first event that the format has no place for, so depth is bounded, and memory by a small multiple
// of the header that is there, whatever it claims.
#ifndef HALFWAY_IO_SAFETENSORS_HEADER_H_
#define HALFWAY_IO_SAFETENSORS_HEADER_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// What a safetensors file says of a tensor.
struct tensor_info {
  std::string name;                  ///< in the file, the only one
  std::string type;                  ///< as the format spells it: "F32", "BF16", "F8_E4M3"...
  std::vector<std::uint64_t> shape;  ///< empty: a single element
  std::uint64_t elements = 0;        ///< the product of the shape; 1 for the empty one
  /// Where its bytes are, `end` excluded, from the first byte of the data on.
  std::uint64_t begin = 0, end = 0;  ///< bytes of the data
};

/// How strictly a file is read.
struct safetensors_options {
  /// Accept what the format forbids but cannot be misunderstood: bytes after the last tensor, gaps
  /// between tensors, tensors of unknown types (which are left out). safetensors_file::ignored()
  /// says what there was.
  bool lenient = false;
  /// The reference implementation's limit.
  std::uint64_t max_header_bytes = 100'000'000;
};

namespace detail {

// A type of the format. Without a dtype where halfway has none.
struct safetensors_type {
  std::string_view name;
  int bits;
  std::optional<dtype> type;
};

inline constexpr std::array<safetensors_type, 22> safetensors_types = {{
    {"F64", 64, dtype::float64},
    {"I64", 64, {}},
    {"U64", 64, {}},
    {"C64", 64, {}},
    {"F32", 32, dtype::float32},
    {"I32", 32, dtype::int32},
    {"U32", 32, {}},
    {"F16", 16, dtype::float16},
    {"BF16", 16, dtype::bfloat16},
    {"I16", 16, {}},
    {"U16", 16, {}},
    {"F8_E4M3", 8, dtype::float8_e4m3fn},
    {"F8_E5M2", 8, dtype::float8_e5m2},
    {"F8_E4M3FNUZ", 8, dtype::float8_e4m3fnuz},
    {"F8_E5M2FNUZ", 8, dtype::float8_e5m2fnuz},
    {"F8_E8M0", 8, dtype::float8_e8m0fnu},
    {"I8", 8, dtype::int8},
    {"U8", 8, dtype::uint8},
    {"BOOL", 8, {}},
    // Packed; halfway has one element a byte, so they are read as bytes.
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
}};

inline const safetensors_type* find_safetensors_type(std::string_view name) {
  const auto found = std::ranges::find(safetensors_types, name, &safetensors_type::name);
  return found == safetensors_types.end() ? nullptr : &*found;
}

// Text of a file within a message: short, and without control characters.
inline std::string printable(std::string_view text, std::size_t most = 60) {
  std::string shown = "\"";
  for (const char c : text.substr(0, most)) {
    shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  }
  return shown + (text.size() > most ? "...\"" : "\"");
}

// The same of a file's path, of which the end says most.
inline std::string printable_path(std::string_view path) { return printable(path, 4096); }

struct safetensors_header {
  std::vector<tensor_info> tensors;  // by their place in the data
  std::map<std::string, std::string, std::less<>> metadata;
  std::uint64_t data_begin = 0;  // in the file
};

// What nlohmann's parser calls, event by event; false ends it, with the reason in `problem`.
class safetensors_events {
 public:
  explicit safetensors_events(safetensors_header& to) : to_(&to) {}

  const std::string& problem() const { return problem_; }

  bool key(std::string& name) {
    key_ = name;
    if (!keys_[depth_ - 1].insert(name).second) {
      return stop(concat("key ", printable(name), " stands twice"));
    }
    return true;
  }
  bool start_object(std::size_t) {
    if (depth_ == 2 || in_array_) return unexpected("an object");
    if (depth_ == 1) {
      in_metadata_ = key_ == "__metadata__";
      if (!in_metadata_) {
        tensor_ = {};
        tensor_.name = key_;
      }
    }
    keys_[depth_].clear();
    ++depth_;
    return true;
  }
  bool end_object() {
    if (--depth_ != 1) return true;
    if (in_metadata_) {
      in_metadata_ = false;
      return true;
    }
    for (const char* needed : {"dtype", "shape", "data_offsets"}) {
      if (!keys_[1].contains(needed)) {
        return stop(concat("tensor ", printable(tensor_.name), " lacks ", needed));
      }
    }
    if (offsets_ != 2) {
      return stop(concat("tensor ", printable(tensor_.name), ": data_offsets has ", offsets_,
                         " numbers instead of 2"));
    }
    to_->tensors.push_back(std::move(tensor_));
    return true;
  }
  bool start_array(std::size_t) {
    if (!in_tensor() || in_array_ || (key_ != "shape" && key_ != "data_offsets")) {
      return unexpected("an array");
    }
    in_array_ = true;
    if (key_ == "data_offsets") offsets_ = 0;
    return true;
  }
  bool end_array() {
    in_array_ = false;
    return true;
  }
  bool number_unsigned(std::uint64_t n) {
    if (!in_array_) return unexpected("a number");
    if (key_ == "shape") {
      tensor_.shape.push_back(n);
    } else if (++offsets_ <= 2) {
      (offsets_ == 1 ? tensor_.begin : tensor_.end) = n;
    } else {
      return unexpected("a third number");
    }
    return true;
  }
  bool string(std::string& text) {
    if (depth_ == 2 && in_metadata_) {
      to_->metadata.emplace(key_, text);
    } else if (in_tensor() && !in_array_ && key_ == "dtype") {
      tensor_.type = text;
    } else {
      return unexpected("a string");
    }
    return true;
  }
  bool null() { return unexpected("null"); }
  bool boolean(bool) { return unexpected("a boolean"); }
  bool number_integer(std::int64_t) { return unexpected("a negative number"); }
  bool number_float(double, const std::string&) {
    return unexpected("a number that is not whole or above 2^64 - 1");
  }
  bool binary(nlohmann::json::binary_t&) { return unexpected("binary"); }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception&) {
    return stop(concat("is not JSON at byte ", position));
  }

 private:
  bool in_tensor() const { return depth_ == 2 && !in_metadata_; }

  bool stop(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }
  bool unexpected(std::string_view what) {
    std::string place = "at its top";
    if (depth_ > 0 && !keys_[0].empty()) place = concat("at ", printable(key_));
    if (in_tensor()) place += concat(" of tensor ", printable(tensor_.name));
    return stop(concat("has ", what, " ", place));
  }

  safetensors_header* to_;
  std::string problem_;
  std::size_t depth_ = 0;                      // objects that are open
  std::array<std::set<std::string>, 2> keys_;  // of the header, and of the object within
  std::string key_;
  tensor_info tensor_;
  std::size_t offsets_ = 0;
  bool in_metadata_ = false, in_array_ = false;
};

// Elements and bytes of a tensor fit each other. Returns the problem, or nothing.
inline std::string check_tensor(tensor_info& t, const safetensors_type& type,
                                std::uint64_t data_bytes) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  if (t.begin > t.end) return concat("data_offsets go back, from ", t.begin, " to ", t.end);
  if (t.end > data_bytes) {
    return concat("data_offsets end at ", t.end, ", after the file's ", data_bytes,
                  " bytes of data");
  }
  t.elements = 1;
  for (const std::uint64_t extent : t.shape) {
    if (extent != 0 && t.elements > most / extent) return "its shape has more than 2^64 elements";
    t.elements *= extent;
  }
  const auto bits = static_cast<std::uint64_t>(type.bits);
  if (t.elements > most / bits) return "its shape has more than 2^64 bits";
  if (t.elements * bits % 8 != 0) {
    return concat(t.elements, " elements of ", bits, " bits do not fill whole bytes");
  }
  if (t.elements * bits / 8 != t.end - t.begin) {
    return concat("its shape and ", type.name, " take ", t.elements * bits / 8,
                  " bytes, but the data has ", t.end - t.begin);
  }
  return {};
}

// Reads and checks the header of a whole file. What the lenient mode lets pass goes to `ignored`.
// Errors, with the file's name: everything else that the format does not allow.
inline safetensors_header read_safetensors_header(std::string_view where, std::string_view file,
                                                  std::span<const std::byte> bytes,
                                                  const safetensors_options& options,
                                                  std::vector<std::string>& ignored) {
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  const auto refuse = [&](const auto&... problem) {
    fail(concat(where, ": ", printable_path(file), " ", problem...));
  };
  const auto forgive = [&](const std::string& problem) {
    if (!options.lenient) refuse(problem);
    ignored.push_back(problem);
  };

  std::uint64_t length = 0;
  if (bytes.size() < sizeof(length)) {
    refuse("has ", bytes.size(), " bytes, fewer than the 8 of the header's length");
  }
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > options.max_header_bytes) {
    refuse("has a header of ", length, " bytes, more than max_header_bytes (",
           options.max_header_bytes, ")");
  }
  if (length > bytes.size() - sizeof(length)) {
    refuse("has ", bytes.size(), " bytes, too few for its header of ", length);
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof(length),
                              static_cast<std::size_t>(length));
  if (text.empty() || text.front() != '{') refuse("has a header that does not begin with '{'");
  // The parser takes a NUL for the end and would not see what follows.
  if (text.find('\0') != std::string_view::npos) refuse("has a header with a NUL byte");

  safetensors_header header;
  header.data_begin = sizeof(length) + length;
  safetensors_events events(header);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &events)) {
    refuse("has a header that ", events.problem());
  }

  const std::uint64_t data_bytes = bytes.size() - header.data_begin;
  std::vector<tensor_info> known;
  std::ranges::sort(header.tensors, [](const tensor_info& a, const tensor_info& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t end = 0;
  for (tensor_info& t : header.tensors) {
    const std::string name = concat("tensor ", printable(t.name));
    const safetensors_type* type = find_safetensors_type(t.type);
    if (type == nullptr) {
      forgive(concat(name, " has the unknown type ", printable(t.type)));
      // Its place still counts, or its bytes would be a gap.
      if (t.begin > t.end || t.end > data_bytes) {
        refuse(name, ": data_offsets ", t.begin, " to ", t.end, " are not within the file's ",
               data_bytes, " bytes of data");
      }
    } else if (const std::string problem = check_tensor(t, *type, data_bytes); !problem.empty()) {
      refuse(name, ": ", problem);
    }
    if (t.begin < end) {
      refuse(name, ": data_offsets begin at ", t.begin, ", before another tensor's end at ", end);
    }
    if (t.begin > end) forgive(concat("has ", t.begin - end, " bytes of no tensor before ", name));
    end = t.end;
    if (type != nullptr) known.push_back(std::move(t));
  }
  header.tensors = std::move(known);
  if (end != data_bytes) forgive(concat("has ", data_bytes - end, " bytes after the last tensor"));
  return header;
}

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_IO_SAFETENSORS_HEADER_H_
