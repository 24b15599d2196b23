// SPDX-License-Identifier: Apache-2.0
// Reads and writes .npy files, NumPy's format of one array.
//
//   const halfway::npy_file file("weights.npy");
//   halfway::matrix<halfway::bfloat16> w = file.load_matrix<halfway::bfloat16>();
//   halfway::write_npy("logits.npy", logits.elements(), {logits.rows(), logits.cols()});
//
// Versions 1.0 to 3.0, either order of bytes, C's and Fortran's order of elements; f2, f4, f8, the
// integers, bool, and bfloat16 and the 8-bit floats as ml_dtypes stores them (npy_options). Files
// are checked in full before anything is returned, as hostile: see npy_header.h. What numpy.save
// writes of an array is what write_npy writes, byte for byte.
#ifndef HALFWAY_IO_NPY_H_
#define HALFWAY_IO_NPY_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/io/atomic_file.h"
#include "halfway/io/element_cast.h"
#include "halfway/io/mapped_file.h"
#include "halfway/io/npy_header.h"
#include "halfway/io/safetensors_header.h"

namespace halfway {

/// safetensors_element's types and bool.
template <class T>
concept npy_element = safetensors_element<T> || std::same_as < std::remove_cv_t<T>,
bool > ;

/// How write_npy lays out an array. What numpy.save does, unless something is asked for.
struct npy_layout {
  bool fortran_order = false;  ///< the first index runs fastest
  bool big_endian = false;     ///< the first byte of an element is its highest
  int version = 1;             ///< 1, 2 or 3
};

namespace detail {

// Copies elements in C's order of `shape` from memory where they lie in C's order too or,
// `reversed`, with the first index running fastest; swapped, with the bytes of each back to front.
class element_walk {
 public:
  element_walk(std::span<const std::byte> from, std::size_t element_bytes, bool swap,
               std::vector<std::uint64_t> shape, bool reversed)
      : from_(from), size_(element_bytes), swap_(swap && element_bytes > 1) {
    // Where the first index runs fastest, its stride is one element; both orders of 0 and 1
    // dimensions are the same.
    contiguous_ = shape.size() < 2 || !reversed;
    if (contiguous_) return;
    std::size_t stride = size_;
    for (const std::uint64_t extent : shape) {
      strides_.push_back(stride);
      stride *= static_cast<std::size_t>(extent);
    }
    shape_ = std::move(shape);
  }

  // Elements from number `first` on, to whole elements of memory.
  void copy(std::size_t first, std::span<std::byte> to) const {
    if (to.empty()) return;  // and a shape with a 0 in it is not walked
    if (contiguous_) {
      std::memcpy(to.data(), from_.data() + first * size_, to.size());
    } else {
      std::vector<std::size_t> index(shape_.size());
      std::size_t place = 0;
      for (std::size_t d = shape_.size(), rest = first; d-- > 0;) {
        const auto extent = static_cast<std::size_t>(shape_[d]);
        index[d] = rest % extent;
        rest /= extent;
        place += index[d] * strides_[d];
      }
      for (std::size_t at = 0; at < to.size(); at += size_) {
        std::memcpy(to.data() + at, from_.data() + place, size_);
        for (std::size_t d = shape_.size(); d-- > 0;) {
          place += strides_[d];
          if (++index[d] != shape_[d]) break;
          place -= strides_[d] * index[d];
          index[d] = 0;
        }
      }
    }
    if (!swap_) return;
    for (std::size_t at = 0; at < to.size(); at += size_) {
      std::ranges::reverse(to.subspan(at, size_));
    }
  }

 private:
  std::span<const std::byte> from_;
  std::size_t size_;
  bool swap_, contiguous_ = true;
  std::vector<std::uint64_t> shape_;
  std::vector<std::size_t> strides_;
};

// "\x93NUMPY" to the newline, as numpy.lib.format writes it from version 1.23 on.
inline std::string npy_front(std::string_view type, const std::vector<std::uint64_t>& shape,
                             const npy_layout& layout) {
  const auto known = std::ranges::find(npy_types, type, &npy_type::name);
  const bool one_byte = size_of_npy(known->code) == 1;
  // ml_dtypes' types of a byte have an order of bytes in their names; NumPy's own have none.
  const bool plain = type == "I8" || type == "U8" || type == "BOOL";
  std::string text = concat(
      "{'descr': '",
      plain                            ? "|"
      : layout.big_endian && !one_byte ? ">"
                                       : "<",
      known->code, "', 'fortran_order': ", layout.fortran_order ? "True" : "False", ", 'shape': (");
  for (std::size_t d = 0; d < shape.size(); ++d) text += concat(d == 0 ? "" : ", ", shape[d]);
  text += shape.size() == 1 ? ",), }" : "), }";
  if (!shape.empty()) {  // room for the extent that can grow in the file
    constexpr std::size_t digits = 21;
    text.append(digits - concat(layout.fortran_order ? shape.back() : shape.front()).size(), ' ');
  }
  const std::size_t length_bytes = layout.version == 1 ? 2 : 4;
  text.append(64 - (8 + length_bytes + text.size() + 1) % 64, ' ');
  text += '\n';
  std::string front = "\x93NUMPY";
  front += static_cast<char>(layout.version);
  front += '\0';
  for (std::size_t i = 0; i < length_bytes; ++i) {
    front += static_cast<char>(text.size() >> (8 * i) & 0xFF);
  }
  return front + text;
}

// Checks, then calls sink(bytes) piece by piece.
template <class Sink>
void write_npy_pieces(std::string_view where, std::string_view type,
                      const std::vector<std::uint64_t>& shape, std::span<const std::byte> values,
                      const npy_layout& layout, const Sink& begin) {
  const auto known = std::ranges::find(npy_types, type, &npy_type::name);
  if (known == npy_types.end()) {
    fail(concat(where, ": the format has no type for ", printable(type)));
  }
  if (layout.version < 1 || layout.version > 3) {
    fail(concat(where, ": layout.version (", layout.version, ") must be 1, 2 or 3"));
  }
  if (layout.big_endian && type == "BF16") {
    fail(concat(where, ": big-endian BF16 can't be told from other types of 2 bytes"));
  }
  if (shape.size() > npy_max_dimensions) {
    fail(
        concat(where, ": shape has ", shape.size(), " dimensions, more than ", npy_max_dimensions));
  }
  tensor_info info{"", std::string(type), shape, 0, 0, values.size()};
  const std::string problem = check_tensor(info, *find_safetensors_type(type), values.size());
  if (!problem.empty()) fail(concat(where, ": ", problem));

  const auto sink = begin();  // not before all is checked
  const std::string front = npy_front(type, shape, layout);
  sink(std::as_bytes(std::span(front)));
  const std::size_t size = size_of_npy(known->code);
  // In Fortran's order, element after element of the file: C's order of the shape from back to
  // front.
  std::vector<std::uint64_t> reversed(shape.rbegin(), shape.rend());
  const element_walk walk(values, size, layout.big_endian, std::move(reversed),
                          layout.fortran_order);
  std::vector<std::byte> block(std::min<std::size_t>(values.size(), std::size_t{1} << 16));
  for (std::size_t at = 0; at < values.size(); at += block.size()) {
    const std::span<std::byte> here =
        std::span(block).first(std::min(block.size(), values.size() - at));
    walk.copy(at / size, here);
    sink(std::span<const std::byte>(here));
  }
}

}  // namespace detail

/// One array, in a file that is mapped or in memory of somebody else's.
class npy_file {
 public:
  /// Maps the file into memory: elements are read from the disk when they are touched. Errors:
  /// mapped_file's, and a file that is not in the format or not of a type that is read.
  explicit npy_file(const std::string& path, const npy_options& options = {})
      : npy_file(mapped_file(path), path, options) {}

  /// Reads memory that must outlive it. `name` is for messages.
  npy_file(std::span<const std::byte> bytes, const std::string& name,
           const npy_options& options = {})
      : name_(name),
        header_(detail::read_npy_header("halfway::npy_file", name, bytes, options)),
        data_(bytes.subspan(static_cast<std::size_t>(header_.info.begin))) {}

  /// Type (as safetensors spells it: "F32", "BOOL", ...), shape, number of elements; begin and end
  /// are places in the file.
  const tensor_info& info() const { return header_.info; }
  /// How the elements lie in the file. Reading gives C's order, little endian, all the same.
  bool fortran_order() const { return header_.fortran_order; }
  bool big_endian() const { return header_.big_endian; }  ///< of the elements in the file

  /// The elements' bytes in C's order, little endian, from element `first` on: as many as `to` has
  /// room for. Error: not whole elements, or past the last.
  void copy_bytes(std::span<std::byte> to, std::size_t first = 0) const {
    const std::size_t size = element_bytes();
    if (to.size() % size != 0 || first > info().elements ||
        to.size() / size > info().elements - first) {
      fail(detail::concat(where, "::copy_bytes: to (", to.size(), " bytes from element ", first,
                          " on) must be whole elements of the ", info().elements, " of ",
                          detail::printable_path(name_), ", ", size, " bytes each"));
    }
    walk().copy(first, to);
  }

  /// Copies the elements, bit for bit, into a range of as many of the same type, in C's order.
  /// Errors: another type, another size; for bool, a byte that is neither 0 nor 1; before anything
  /// is written.
  template <class Y>
  requires npy_element<std::ranges::range_value_t<Y>> && std::ranges::contiguous_range<Y>
  void read_exact(Y&& y) const {
    using T = std::ranges::range_value_t<Y>;
    check_type<T>("read_exact");
    check_size("read_exact", std::ranges::size(y));
    if constexpr (std::same_as<T, bool>) {
      for (const std::byte b : data_) {
        if (b > std::byte{1}) {
          fail(detail::concat(where, "::read_exact: ", detail::printable_path(name_),
                              " has a bool of ", static_cast<int>(b)));
        }
      }
    }
    walk().copy(0, std::as_writable_bytes(std::span(std::ranges::data(y), std::ranges::size(y))));
  }

  /// The same as a vector. Error: another type.
  template <safetensors_element T>
  std::vector<T> load_exact() const {
    check_type<T>("load_exact");  // before there is memory for it
    std::vector<T> values(static_cast<std::size_t>(info().elements));
    read_exact(values);
    return values;
  }

  /// Into elements of another type, in C's order, as safetensors_file::read: widening is exact,
  /// narrowing rounds once to nearest even. Errors: another size; stored as a type without a cast
  /// (bool, integers but int32, int8 and uint8).
  template <detail::convertible_output Y>
  void read(Y&& y) const {
    check_size("read", std::ranges::size(y));
    const detail::element_walk elements = walk();
    const bool has_cast = detail::visit_castable_type(info().type, [&]<class From>() {
      detail::cast_by_blocks<From>(std::span(std::ranges::data(y), std::ranges::size(y)),
                                   [&](std::size_t first, std::span<From> buffer) {
                                     elements.copy(first, std::as_writable_bytes(buffer));
                                   });
    });
    if (!has_cast) {
      fail(detail::concat(where, "::read: ", detail::printable_path(name_), " is stored as ",
                          info().type, ", which has no cast; read_exact() has it as it is"));
    }
  }

  /// An array with two dimensions as rows x cols, one with a single dimension as one row. Errors as
  /// read, and other shapes.
  template <convertible_element T>
  matrix<T> load_matrix() const {
    const std::vector<std::uint64_t>& shape = info().shape;
    if (shape.size() != 1 && shape.size() != 2) {
      fail(detail::concat(where, "::load_matrix: ", detail::printable_path(name_), " has ",
                          shape.size(), " dimensions instead of 1 or 2"));
    }
    const std::uint64_t rows = shape.size() == 2 ? shape[0] : 1;
    matrix<T> m(static_cast<std::size_t>(rows), static_cast<std::size_t>(shape.back()));
    read(m.elements());
    return m;
  }

 private:
  static constexpr std::string_view where = "halfway::npy_file";

  npy_file(mapped_file file, const std::string& path, const npy_options& options)
      : npy_file(file.bytes(), path, options) {
    file_ = std::move(file);  // its address does not change
  }

  std::size_t element_bytes() const {
    return static_cast<std::size_t>(detail::find_safetensors_type(info().type)->bits) / 8;
  }

  detail::element_walk walk() const {
    return {data_, element_bytes(), big_endian(), info().shape, fortran_order()};
  }

  template <class T>
  void check_type(std::string_view function) const {
    constexpr std::string_view wanted = detail::safetensors_name_of<T>();
    if (info().type != wanted) {
      fail(detail::concat(where, "::", function, ": ", detail::printable_path(name_),
                          " is stored as ", info().type, ", not ", wanted));
    }
  }

  void check_size(std::string_view function, std::size_t size) const {
    if (info().elements != size) {
      fail(detail::concat(where, "::", function, ": y.size() (", size, ") must equal the ",
                          info().elements, " elements of ", detail::printable_path(name_)));
    }
  }

  std::string name_;
  mapped_file file_{};
  detail::npy_header header_;
  std::span<const std::byte> data_;
};

/// Writes an array of C's order to a file, which appears whole or not at all, from bytes as they
/// are in memory; `type` as safetensors spells it. Errors: a type that the format has not
/// (npy_options says which it has); a size that does not fit type and shape; more than 64
/// dimensions; another version than 1, 2, 3; big-endian bfloat16; atomic_file's.
inline void write_npy_bytes(const std::string& path, std::string_view type,
                            std::span<const std::byte> values,
                            const std::vector<std::uint64_t>& shape,
                            const npy_layout& layout = {}) {
  std::optional<atomic_file> file;
  detail::write_npy_pieces("halfway::write_npy", type, shape, values, layout, [&] {
    file.emplace(path);
    return [&](std::span<const std::byte> piece) { file->write(piece); };
  });
  file->commit();
}

/// The same of typed elements. Errors also: null with a size.
template <std::ranges::contiguous_range X>
requires npy_element<std::ranges::range_value_t<X>>
void write_npy(const std::string& path, const X& values, const std::vector<std::uint64_t>& shape,
               const npy_layout& layout = {}) {
  detail::check_not_null("halfway::write_npy", "values", std::ranges::data(values),
                         std::ranges::size(values));
  write_npy_bytes(path, detail::safetensors_name_of<std::ranges::range_value_t<X>>(),
                  std::as_bytes(std::span(std::ranges::data(values), std::ranges::size(values))),
                  shape, layout);
}

/// The file's content. Errors as write_npy, without files'.
template <std::ranges::contiguous_range X>
requires npy_element<std::ranges::range_value_t<X>> std::vector<std::byte> npy_bytes(
    const X& values, const std::vector<std::uint64_t>& shape, const npy_layout& layout = {}) {
  std::vector<std::byte> bytes;
  detail::check_not_null("halfway::npy_bytes", "values", std::ranges::data(values),
                         std::ranges::size(values));
  detail::write_npy_pieces(
      "halfway::npy_bytes", detail::safetensors_name_of<std::ranges::range_value_t<X>>(), shape,
      std::as_bytes(std::span(std::ranges::data(values), std::ranges::size(values))), layout, [&] {
        return [&](std::span<const std::byte> piece) {
          bytes.insert(bytes.end(), piece.begin(), piece.end());
        };
      });
  return bytes;
}

}  // namespace halfway

#endif  // HALFWAY_IO_NPY_H_
