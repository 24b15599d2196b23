// SPDX-License-Identifier: Apache-2.0
// Reads tensors from safetensors files, cast to the type that is asked for.
//
//   const halfway::safetensors_file file("model.safetensors");
//   halfway::matrix<halfway::bfloat16> w = file.load_matrix<halfway::bfloat16>("fc1.weight");
//   std::vector<float> bias(file.at("fc1.bias").elements);
//   file.read("fc1.bias", bias);                              // stored as F16, say: widened exactly
//   std::span<const float> raw = file.view<float>("norm");    // the mapped memory itself
//
// Files are checked in full before anything is returned, as hostile: see safetensors_header.h. Not
// in halfway.h, since it needs nlohmann/json (find_package(nlohmann_json),
// nlohmann_json::nlohmann_json).
#ifndef HALFWAY_IO_SAFETENSORS_H_
#define HALFWAY_IO_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/io/element_cast.h"
#include "halfway/io/mapped_file.h"
#include "halfway/io/safetensors_header.h"
#include "halfway/ops/convert.h"
#include "halfway/precision/text.h"

namespace halfway {

/// The tensors of a file that is mapped, or of memory of somebody else's. Reading from several
/// threads is safe.
class safetensors_file {
 public:
  /// Maps the file into memory: tensors are read from the disk when they are touched. Errors:
  /// mapped_file's, and a file that is not in the format, with what is wrong.
  explicit safetensors_file(const std::string& path, const safetensors_options& options = {})
      : safetensors_file(mapped_file(path), path, options) {}

  /// The same of a file that has been mapped. `name` is for messages.
  safetensors_file(mapped_file file, const std::string& name,
                   const safetensors_options& options = {})
      : safetensors_file(file.bytes(), name, options) {
    file_ = std::move(file);  // its address does not change
  }

  /// Reads memory that must outlive it. `name` is for messages.
  safetensors_file(std::span<const std::byte> bytes, const std::string& name,
                   const safetensors_options& options = {})
      : name_(name),
        bytes_(bytes),
        header_(detail::read_safetensors_header("halfway::safetensors_file", name_, bytes_, options,
                                                ignored_)) {
    for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
      by_name_.emplace(header_.tensors[i].name, i);
    }
  }

  /// In the order of their data.
  const std::vector<tensor_info>& tensors() const { return header_.tensors; }
  /// The file's `__metadata__`; empty if it has none.
  const std::map<std::string, std::string, std::less<>>& metadata() const {
    return header_.metadata;
  }
  /// What the lenient mode let pass, a sentence each.
  const std::vector<std::string>& ignored() const { return ignored_; }

  /// By its whole name.
  bool contains(std::string_view tensor) const { return by_name_.contains(tensor); }

  /// Error: no such tensor; the names nearest to it are told.
  const tensor_info& at(std::string_view tensor) const {
    const auto found = by_name_.find(tensor);
    if (found == by_name_.end()) {
      std::vector<std::string_view> names;
      for (const tensor_info& t : header_.tensors) names.push_back(t.name);
      fail(detail::concat(where, ": ", detail::printable_path(name_), " has no tensor ",
                          detail::printable(tensor), names.empty() ? "" : "; did you mean ",
                          detail::nearest_names(tensor, names), names.empty() ? "" : "?"));
    }
    return header_.tensors[found->second];
  }

  /// The tensor's data as it is in the file. Error: no such tensor.
  std::span<const std::byte> bytes(std::string_view tensor) const {
    const tensor_info& t = at(tensor);
    return bytes_.subspan(static_cast<std::size_t>(header_.data_begin + t.begin),
                          static_cast<std::size_t>(t.end - t.begin));
  }

  /// The tensor's elements where they lie in memory, row after row. Errors: no such tensor; stored
  /// as another type; not aligned for T (the format allows that, the usual writers avoid it).
  template <safetensors_element T>
  std::span<const T> view(std::string_view tensor) const {
    const tensor_info& t = at(tensor);
    check_type<T>("view", t);
    const std::span<const std::byte> data = bytes(tensor);
    if (data.empty()) return {};
    if (reinterpret_cast<std::uintptr_t>(data.data()) % alignof(T) != 0) {
      fail(detail::concat(where, "::view: tensor ", detail::printable(tensor), " of ",
                          detail::printable_path(name_), " is not aligned to ", alignof(T),
                          " bytes; read() takes it"));
    }
    return {reinterpret_cast<const T*>(data.data()), static_cast<std::size_t>(t.elements)};
  }

  /// Copies the tensor's elements into a range of as many elements of the same type, bit for bit.
  /// Errors: no such tensor, another type, another size; before anything is written.
  template <class Y>
  requires safetensors_element<std::ranges::range_value_t<Y>>
  void read_exact(std::string_view tensor, Y&& y) const {
    const tensor_info& t = at(tensor);
    check_type<std::ranges::range_value_t<Y>>("read_exact", t);
    check_size("read_exact", t, std::ranges::size(y));
    const std::span<const std::byte> data = bytes(tensor);
    if (!data.empty()) std::memcpy(std::ranges::data(y), data.data(), data.size());
  }

  /// The same as a vector. Errors: no such tensor, another type.
  template <safetensors_element T>
  std::vector<T> load_exact(std::string_view tensor) const {
    const tensor_info& t = at(tensor);
    check_type<T>("load_exact", t);  // before there is memory for it
    std::vector<T> values(static_cast<std::size_t>(t.elements));
    read_exact(tensor, values);
    return values;
  }

  /// Into elements of another type, as halfway::convert: widening is exact, narrowing rounds once
  /// to nearest even (past the range: infinity, or what the format has in its place). From F64,
  /// F32, F16, BF16, F8_* and I32, I8, U8. Errors also: stored as a type without a cast.
  template <detail::convertible_output Y>
  void read(std::string_view tensor, Y&& y) const {
    const tensor_info& t = at(tensor);
    check_size("read", t, std::ranges::size(y));
    const std::span to(std::ranges::data(y), std::ranges::size(y));
    const bool has_cast = detail::visit_castable_type(
        t.type, [&]<class From>() { cast_from<From>(bytes(tensor), to); });
    if (!has_cast) {
      fail(detail::concat(where, "::read: tensor ", detail::printable(tensor), " of ",
                          detail::printable_path(name_), " is stored as ", t.type,
                          ", which has no cast; bytes() has it as it is"));
    }
  }

  /// A tensor with two dimensions as rows x cols, one with a single dimension as one row. Errors as
  /// read, and other shapes.
  template <convertible_element T>
  matrix<T> load_matrix(std::string_view tensor) const {
    const tensor_info& t = at(tensor);
    if (t.shape.size() != 1 && t.shape.size() != 2) {
      fail(detail::concat(where, "::load_matrix: tensor ", detail::printable(tensor), " of ",
                          detail::printable_path(name_), " has ", t.shape.size(),
                          " dimensions instead of 1 or 2"));
    }
    const std::uint64_t rows = t.shape.size() == 2 ? t.shape[0] : 1;
    matrix<T> m(static_cast<std::size_t>(rows), static_cast<std::size_t>(t.shape.back()));
    read(tensor, m.elements());
    return m;
  }

 private:
  static constexpr std::string_view where = "halfway::safetensors_file";

  template <class T>
  void check_type(std::string_view function, const tensor_info& t) const {
    constexpr std::string_view wanted = detail::safetensors_name_of<T>();
    if (t.type != wanted) {
      fail(detail::concat(where, "::", function, ": tensor ", detail::printable(t.name), " of ",
                          detail::printable_path(name_), " is stored as ", t.type, ", not ",
                          wanted));
    }
  }

  void check_size(std::string_view function, const tensor_info& t, std::size_t size) const {
    if (t.elements != size) {
      fail(detail::concat(where, "::", function, ": y.size() (", size, ") must equal the ",
                          t.elements, " elements of tensor ", detail::printable(t.name), " of ",
                          detail::printable_path(name_)));
    }
  }

  // Where the file's data is not aligned, by a buffer that is.
  template <class From, class To>
  static void cast_from(std::span<const std::byte> data, std::span<To> to) {
    if (reinterpret_cast<std::uintptr_t>(data.data()) % alignof(From) == 0) {
      return convert(std::span(reinterpret_cast<const From*>(data.data()), to.size()), to);
    }
    detail::cast_by_blocks<From>(to, [&](std::size_t first, std::span<From> buffer) {
      std::memcpy(buffer.data(), data.data() + first * sizeof(From), buffer.size_bytes());
    });
  }

  std::string name_;
  mapped_file file_{};
  std::span<const std::byte> bytes_;
  std::vector<std::string> ignored_;
  detail::safetensors_header header_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
};

}  // namespace halfway

#endif  // HALFWAY_IO_SAFETENSORS_H_
