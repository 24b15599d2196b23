// SPDX-License-Identifier: Apache-2.0
// libFuzzer on the readers of files: whatever the bytes, they are refused, or every tensor can be
// read, and written again to a file that says the same. What begins as a .npy file goes to that
// reader, everything else to safetensors'. One program, since compiling is what it costs most.
//
//   clang++ -std=c++20 -O1 -fsanitize=fuzzer,address,undefined -D HALFWAY_STATIC_DISPATCH ... io_fuzz.cc
//   ./a.out -max_total_time=600 -max_len=600 -malloc_limit_mb=64 new_corpus tests/io/corpus
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/io/npy.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_writer.h"

namespace {

void require(bool good) {
  if (!good) std::abort();
}

// Allocations must not depend on what the file claims: libFuzzer's -malloc_limit_mb sees to that.
void read_safetensors(const halfway::safetensors_file& file) {
  halfway::safetensors_writer out;
  for (const halfway::tensor_info& t : file.tensors()) {
    out.add_bytes(t.name, t.type, t.shape, file.bytes(t.name));
    std::vector<float> x(static_cast<std::size_t>(t.elements));
    try {
      file.read(t.name, x);
    } catch (const halfway::error&) {  // a type without a cast
    }
  }
  for (const auto& [key, value] : file.metadata()) out.set_metadata(key, value);
  const std::vector<std::byte> again = out.to_bytes();
  const halfway::safetensors_file copy(again, "copy");
  require(copy.metadata() == file.metadata());
  require(copy.tensors().size() == file.tensors().size());
  for (const halfway::tensor_info& t : file.tensors()) {
    const halfway::tensor_info& c = copy.at(t.name);
    require(c.type == t.type && c.shape == t.shape && c.elements == t.elements);
    const auto a = file.bytes(t.name), b = copy.bytes(t.name);
    require(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  }
}

std::vector<std::byte> elements_of(const halfway::npy_file& file) {
  const halfway::tensor_info& info = file.info();
  std::vector<std::byte> bytes(static_cast<std::size_t>(info.end - info.begin));
  file.copy_bytes(bytes);
  return bytes;
}

void read_npy(const halfway::npy_file& file) {
  const halfway::tensor_info& info = file.info();
  const std::vector<std::byte> elements = elements_of(file);
  if (info.elements != 0) {  // the last element alone is the last of all
    const std::size_t size = elements.size() / static_cast<std::size_t>(info.elements);
    std::vector<std::byte> last(size);
    file.copy_bytes(last, static_cast<std::size_t>(info.elements) - 1);
    require(last == std::vector<std::byte>(elements.end() - static_cast<std::ptrdiff_t>(size),
                                           elements.end()));
  }
  std::vector<float> x(static_cast<std::size_t>(info.elements));
  try {
    file.read(x);
  } catch (const halfway::error&) {  // a type without a cast
  }
  for (const bool fortran_order : {false, true}) {
    const halfway::npy_layout layout{fortran_order, info.type != "BF16", 2};
    std::vector<std::byte> again;
    halfway::detail::write_npy_pieces("fuzz", info.type, info.shape, elements, layout, [&] {
      return [&](std::span<const std::byte> piece) {
        again.insert(again.end(), piece.begin(), piece.end());
      };
    });
    halfway::npy_options options{.max_header_bytes = 1 << 20};
    if (again[21] == std::byte{'V'} && again[22] == std::byte{'1'}) {
      options.void_type = halfway::detail::find_safetensors_type(info.type)->type;
    }
    const halfway::npy_file copy(again, "copy", options);
    require(copy.info().type == info.type && copy.info().shape == info.shape);
    require(elements_of(copy) == elements);
  }
}

void expect_read_or_refused(const auto& read) {
  try {
    read();
  } catch (const halfway::error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (!text.starts_with("\x93NUMPY")) {
    for (const bool lenient : {false, true}) {
      expect_read_or_refused([&] {
        read_safetensors(halfway::safetensors_file(bytes, "fuzz", {.lenient = lenient}));
      });
    }
    return 0;
  }
  using void_type = std::optional<halfway::dtype>;
  for (const void_type type : {void_type(), void_type(halfway::dtype::float8_e4m3fn),
                               void_type(halfway::dtype::bfloat16)}) {
    expect_read_or_refused(
        [&] { read_npy(halfway::npy_file(bytes, "fuzz", {.void_type = type})); });
  }
  return 0;
}
