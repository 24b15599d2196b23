// SPDX-License-Identifier: Apache-2.0
// The header of a .npy file, NumPy's format of one array: type, order and shape.
//
//   const auto h = halfway::detail::read_npy_header(where, name, bytes, options);
//
// The format (numpy/lib/format.py, versions 1.0, 2.0 and 3.0): "\x93NUMPY", two bytes of version,
// the length of the text that follows as 2 bytes (1.0) or 4, little endian; a Python literal
// {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } with blanks and a newline at its end;
// then the elements. The literal is read by a parser of exactly this much of Python: three keys,
// each once, a string without escapes, True or False, a tuple of whole numbers. Nothing is
// evaluated.
#ifndef HALFWAY_IO_NPY_HEADER_H_
#define HALFWAY_IO_NPY_HEADER_H_

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/io/safetensors_header.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// How a .npy file is read.
struct npy_options {
  /// What elements without a name are, which NumPy calls void: ml_dtypes stores bfloat16 as '<V2',
  /// which is read as that, but float8_e4m3fn, float8_e4m3fnuz, float8_e5m2fnuz and float8_e8m0fnu
  /// all as '<V1', which are not told apart and refused without this. (float8_e5m2 is '<f1'.)
  std::optional<dtype> void_type{};
  /// NumPy's own limit.
  std::uint64_t max_header_bytes = 10'000;
};

namespace detail {

struct npy_header {
  tensor_info info;  // without a name; begin and end as places in the file
  bool fortran_order = false;
  bool big_endian = false;
};

// How NumPy spells a type, without the order of its bytes.
struct npy_type {
  std::string_view code;
  std::string_view name;  // safetensors'
};

inline constexpr std::array<npy_type, 18> npy_types = {{
    {"f8", "F64"},
    {"f4", "F32"},
    {"f2", "F16"},
    {"i8", "I64"},
    {"i4", "I32"},
    {"i2", "I16"},
    {"i1", "I8"},
    {"u8", "U64"},
    {"u4", "U32"},
    {"u2", "U16"},
    {"u1", "U8"},
    {"b1", "BOOL"},
    // As ml_dtypes registers them.
    {"V2", "BF16"},
    {"f1", "F8_E5M2"},
    {"V1", "F8_E4M3"},
    {"V1", "F8_E4M3FNUZ"},
    {"V1", "F8_E5M2FNUZ"},
    {"V1", "F8_E8M0"},
}};

// Of one element, in bytes: the last character of its code.
inline std::size_t size_of_npy(std::string_view code) {
  return static_cast<std::size_t>(code.back() - '0');
}

// As in numpy: more dimensions it does not make (32 before version 2).
inline constexpr std::size_t npy_max_dimensions = 64;

// Reads the Python literal from left to right. Every failure is of refuse(), which does not return.
template <class Refuse>
class npy_literal {
 public:
  npy_literal(std::string_view text, const Refuse& refuse) : text_(text), refuse_(&refuse) {}

  // Calls value(key) where a value stands; it has to take it.
  template <class Value>
  void dictionary(const Value& value) {
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      value(key);
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
  }

  std::string_view string() {
    skip_blanks();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') unexpected("a string");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) (*refuse_)("has a string without an end in its header");
    const std::string_view inner = text_.substr(at_ + 1, end - at_ - 1);
    for (const char c : inner) {
      const auto code = static_cast<unsigned char>(c);
      if (c == '\\' || code < 0x20 || code > 0x7E) {
        (*refuse_)("has ", printable(inner), " in its header: not plain text");
      }
    }
    at_ = end + 1;
    return inner;
  }

  bool boolean() {
    skip_blanks();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    unexpected("True or False");
  }

  // (), (2,), (2, 3) or (2, 3,); but not (2), which is no tuple.
  void tuple(std::vector<std::uint64_t>& numbers) {
    expect('(');
    bool comma = true;
    while (!accept(')')) {
      if (!comma) unexpected("a comma or )");
      if (numbers.size() == npy_max_dimensions) {
        (*refuse_)("has more than ", npy_max_dimensions, " dimensions");
      }
      numbers.push_back(number());
      comma = accept(',');
      if (!comma && numbers.size() == 1) unexpected("a comma after the only dimension");
    }
  }

  // Blanks, a newline, nothing else.
  void end() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (text_.substr(at_) != "\n") unexpected("blanks and a newline to the end");
  }

  bool is_at(char c) {
    skip_blanks();
    return at_ < text_.size() && text_[at_] == c;
  }

 private:
  [[noreturn]] void unexpected(std::string_view wanted) {
    (*refuse_)("has ", printable(text_.substr(at_, 12)), " at character ", at_,
               " of its header instead of ", wanted);
    std::abort();  // refuse_ does not return
  }
  void skip_blanks() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool accept(char c) {
    if (!is_at(c)) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) unexpected(std::string_view(&c, 1));
  }
  std::uint64_t number() {
    skip_blanks();
    std::uint64_t value = 0;
    const char* const first = text_.data() + at_;
    const auto [stop, problem] = std::from_chars(first, text_.data() + text_.size(), value);
    if (problem == std::errc::result_out_of_range) {
      (*refuse_)("has a dimension above 2^64 - 1");
    }
    if (problem != std::errc() || (*first == '0' && stop != first + 1)) {
      unexpected("a whole number");
    }
    at_ += static_cast<std::size_t>(stop - first);
    return value;
  }

  std::string_view text_;
  const Refuse* refuse_;
  std::size_t at_ = 0;
};

// The name of a 'descr' for safetensors, and whether its bytes are big-endian. Errors, by refuse:
// anything but one plain number.
template <class Refuse>
std::pair<std::string_view, bool> type_of_npy(std::string_view descr, const npy_options& options,
                                              const Refuse& refuse) {
  const std::string_view code = descr.substr(std::min<std::size_t>(descr.size(), 1));
  if (code.starts_with('O')) {
    refuse("has Python objects (", printable(descr), "): they could run code, and are not read");
  }
  const auto known = std::ranges::find(npy_types, code, &npy_type::code);
  const char order = descr.empty() ? '\0' : descr[0];
  if (known == npy_types.end() || (order != '<' && order != '>' && order != '|')) {
    refuse("has the type ", printable(descr), ", which is not read");
  }
  if (code[0] != 'V') {
    if (order == '|' && size_of_npy(code) != 1) {
      refuse("has the type ", printable(descr), ", without an order of its bytes");
    }
    return {known->name, order == '>' && size_of_npy(code) != 1};
  }
  if (!options.void_type) {
    if (descr == "<V2") return {known->name, false};
    refuse("has the type ", printable(descr),
           ", bytes that do not say which format they are: npy_options::void_type has to");
  }
  for (const npy_type& t : npy_types) {
    const safetensors_type* const type = find_safetensors_type(t.name);
    // float8_e5m2 too: other programs than ml_dtypes have no '<f1'.
    if (type->type == options.void_type && is_floating(*type->type) &&
        static_cast<std::size_t>(type->bits) == 8 * size_of_npy(code)) {
      if (order == '>' && size_of_npy(code) != 1) break;
      return {t.name, false};
    }
  }
  refuse("has the type ", printable(descr), ", which can't hold void_type (",
         name(*options.void_type), ")");
  std::abort();  // refuse does not return
}

// Reads and checks the header of a whole file. Errors, with the file's name: everything that the
// format does not allow; types other than numbers of 1 to 8 bytes; more or fewer bytes than type
// and shape take.
inline npy_header read_npy_header(std::string_view where, std::string_view file,
                                  std::span<const std::byte> bytes, const npy_options& options) {
  const auto refuse = [&](const auto&... problem) {
    fail(concat(where, ": ", printable_path(file), " ", problem...));
  };
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!all.starts_with("\x93NUMPY")) refuse("does not begin as a .npy file");
  if (all.size() < 8) refuse("ends within its version");
  const int major = static_cast<int>(bytes[6]), minor = static_cast<int>(bytes[7]);
  if (major < 1 || major > 3 || minor != 0) {
    refuse("has version ", major, ".", minor, "; 1.0, 2.0 and 3.0 are read");
  }
  const std::size_t length_bytes = major == 1 ? 2 : 4, text_begin = 8 + length_bytes;
  if (all.size() < text_begin) refuse("ends within its header's length");
  std::uint64_t length = 0;
  for (std::size_t i = length_bytes; i-- > 0;) {
    length = length << 8 | static_cast<std::uint64_t>(bytes[8 + i]);
  }
  if (length > options.max_header_bytes) {
    refuse("has a header of ", length, " bytes, more than max_header_bytes (",
           options.max_header_bytes, ")");
  }
  if (length > all.size() - text_begin) {
    refuse("has ", all.size() - text_begin, " bytes after the length of its header, ", length);
  }

  npy_header header;
  npy_literal literal(all.substr(text_begin, static_cast<std::size_t>(length)), refuse);
  bool has_descr = false, has_order = false, has_shape = false;
  const auto once = [&](bool& seen, std::string_view key) {
    if (seen) refuse("has ", printable(key), " twice in its header");
    seen = true;
  };
  literal.dictionary([&](std::string_view key) {
    if (key == "descr") {
      once(has_descr, key);
      if (literal.is_at('[')) refuse("has a structured type, which is not read");
      const auto [type, big_endian] = type_of_npy(literal.string(), options, refuse);
      header.info.type = type;
      header.big_endian = big_endian;
    } else if (key == "fortran_order") {
      once(has_order, key);
      header.fortran_order = literal.boolean();
    } else if (key == "shape") {
      once(has_shape, key);
      literal.tuple(header.info.shape);
    } else {
      refuse("has ", printable(key),
             " in its header, which is none of descr, fortran_order, shape");
    }
  });
  literal.end();
  for (const auto& [seen, key] :
       {std::pair{has_descr, "descr"}, {has_order, "fortran_order"}, {has_shape, "shape"}}) {
    if (!seen) refuse("lacks ", key, " in its header");
  }
  const std::uint64_t data_bytes = all.size() - text_begin - length;
  header.info.end = data_bytes;  // check_tensor's are counted from the header's end
  const std::string problem =
      check_tensor(header.info, *find_safetensors_type(header.info.type), data_bytes);
  if (!problem.empty()) refuse("is not whole: ", problem);
  header.info.begin = text_begin + length;
  header.info.end = all.size();
  return header;
}

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_IO_NPY_HEADER_H_
