// SPDX-License-Identifier: Apache-2.0
// Random words by number: Philox4x32-10, a generator without state.
//
//   static_assert(halfway::random_word(/*seed=*/0, /*index=*/0) == 0x6627E8D5);
//
// Word i of seed s is word i % 4 of the block whose counter is i / 4 (64 bits, then 64 zeros) under
// the key s. So every word can be computed by itself, in any order and anywhere. Source: Salmon,
// Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"; it passes TestU01's
// BigCrush. C++26 calls it std::philox4x32.

#ifndef HALFWAY_TYPES_PHILOX_H_
#define HALFWAY_TYPES_PHILOX_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace halfway {
namespace detail {

struct philox {
  static constexpr int rounds = 10;
  static constexpr std::uint32_t multiplier[2] = {0xD2511F53, 0xCD9E8D57};
  static constexpr std::uint32_t key_step[2] = {0x9E3779B9, 0xBB67AE85};

  /// The four words of block `counter` under `key`, both least significant word first.
  static constexpr std::array<std::uint32_t, 4> block(std::array<std::uint32_t, 4> counter,
                                                      std::array<std::uint32_t, 2> key) {
    for (int i = 0; i < rounds; ++i) {
      const std::uint64_t p0 = std::uint64_t{multiplier[0]} * counter[0];
      const std::uint64_t p1 = std::uint64_t{multiplier[1]} * counter[2];
      counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0],
                 static_cast<std::uint32_t>(p1),
                 static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1],
                 static_cast<std::uint32_t>(p0)};
      key[0] += key_step[0];
      key[1] += key_step[1];
    }
    return counter;
  }
};

}  // namespace detail

/// Uniform over all 32-bit words.
constexpr std::uint32_t random_word(std::uint64_t seed, std::uint64_t index) {
  const std::uint64_t counter = index / 4;
  const auto block = detail::philox::block(
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0},
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return block[static_cast<std::size_t>(index % 4)];
}

}  // namespace halfway

#endif  // HALFWAY_TYPES_PHILOX_H_
