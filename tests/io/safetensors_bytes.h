// SPDX-License-Identifier: Apache-2.0
// safetensors files made by hand from the specification, in memory of exactly their size.
#ifndef HALFWAY_TESTS_IO_SAFETENSORS_BYTES_H_
#define HALFWAY_TESTS_IO_SAFETENSORS_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace halfway::testing {

inline std::vector<std::byte> to_bytes(std::string_view text) {
  std::vector<std::byte> bytes;
  for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

// `length` as 8 bytes, the least significant first.
inline std::string length_bytes(std::uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xFF);
  return bytes;
}

inline std::vector<std::byte> safetensors_bytes(std::string_view json, std::string_view data) {
  return to_bytes(length_bytes(json.size()).append(json).append(data));
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_IO_SAFETENSORS_BYTES_H_
