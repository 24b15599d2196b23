// SPDX-License-Identifier: Apache-2.0
// libFuzzer on the reader: whatever the bytes, they are refused, or every tensor can be read and
// written again to a file that says the same.
//
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -D HALFWAY_STATIC_DISPATCH ... safetensors_fuzz.cc
//   ./a.out -max_total_time=300 -max_len=600 new_corpus tests/io/corpus
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_writer.h"

namespace {

void require(bool good) {
  if (!good) std::abort();
}

// Allocations must not depend on what the file claims: libFuzzer's -malloc_limit_mb sees to that.
void read_all(const halfway::safetensors_file& file) {
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  for (const bool lenient : {false, true}) {
    try {
      read_all(halfway::safetensors_file(bytes, "fuzz", {.lenient = lenient}));
    } catch (const halfway::error&) {
    }
  }
  return 0;
}
