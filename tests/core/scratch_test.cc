// SPDX-License-Identifier: Apache-2.0
#include "halfway/core/scratch.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <thread>

namespace {

TEST(Scratch, GrowsStaysAndIsAligned) {
  halfway::detail::scratch_buffer buffer;
  void* small = buffer.at_least(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(small) % 64, 0u);
  std::memset(small, 1, 100);
  EXPECT_EQ(buffer.at_least(50), small);
  void* large = buffer.at_least(1 << 20);
  std::memset(large, 1, 1 << 20);
  EXPECT_EQ(buffer.at_least(100), large);
}

TEST(Scratch, EachThreadHasItsOwn) {
  void* mine = halfway::detail::thread_scratch(64);
  void* other = nullptr;
  std::thread([&] { other = halfway::detail::thread_scratch(64); }).join();
  EXPECT_NE(mine, other);
}

}  // namespace
