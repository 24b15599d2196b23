// SPDX-License-Identifier: Apache-2.0
// Vectors of the random words of types/philox.h, the same on every target.
//
//   alignas(64) uint32_t buffer[RandomBufferSize(512)];
//   const uint32_t* words = FillRandom(seed, first, 512, buffer);   // words[i]: number first + i

#if defined(HALFWAY_SIMD_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_PHILOX_INL_H_
#undef HALFWAY_SIMD_PHILOX_INL_H_
#else
#define HALFWAY_SIMD_PHILOX_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/types/philox.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Blocks are made by vectors of up to 8, and the first of the words may be the last of its block.
constexpr size_t RandomBufferSize(size_t words) { return (words + 3 + 31) / 32 * 32; }

// Writes words number `first` to `first + n - 1`, and some around them, to `buffer` of
// RandomBufferSize(n). Returns where they begin.
inline const uint32_t* FillRandom(uint64_t seed, uint64_t first, size_t n,
                                  uint32_t* HWY_RESTRICT buffer) {
#if HWY_TARGET == HWY_SCALAR || !HWY_IS_LITTLE_ENDIAN
  for (size_t i = 0; i < n; ++i) buffer[i] = random_word(seed, first + i);
  return buffer;
#else
  using P = detail::philox;
  const hn::CappedTag<uint64_t, 8> d64;
  const hn::Repartition<uint32_t, decltype(d64)> d32;
  const size_t lanes = hn::Lanes(d64);
  const auto multiplier0 = hn::Set(d32, P::multiplier[0]);
  const auto multiplier1 = hn::Set(d32, P::multiplier[1]);
  const auto last_counter = hn::Set(d64, ~uint64_t{0} / 4);  // after which comes 0
  const size_t skipped = static_cast<size_t>(first % 4);
  auto next = hn::Iota(d64, first / 4);
  for (size_t i = 0; i < skipped + n; i += 4 * lanes) {
    // The first two words of a block lie in one u64 lane, the others in another.
    auto low = hn::And(next, last_counter);
    auto high = hn::Zero(d64);
    next = hn::Add(next, hn::Set(d64, uint64_t{lanes}));
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    HWY_UNROLL(10)
    for (int round = 0; round < P::rounds; ++round) {
      const auto product0 = hn::MulEven(hn::BitCast(d32, low), multiplier0);
      const auto product1 = hn::MulEven(hn::BitCast(d32, high), multiplier1);
      const auto swap = [&](auto product) HWY_ATTR {
        return hn::BitCast(d64, hn::Shuffle2301(hn::BitCast(d32, product)));
      };
      low = hn::Xor3(swap(product1), hn::ShiftRight<32>(low), hn::Set(d64, uint64_t{key0}));
      high = hn::Xor3(swap(product0), hn::ShiftRight<32>(high), hn::Set(d64, uint64_t{key1}));
      key0 += P::key_step[0];
      key1 += P::key_step[1];
    }
    hn::StoreInterleaved2(low, high, d64, reinterpret_cast<uint64_t*>(buffer + i));
  }
  return buffer + skipped;
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_PHILOX_INL_H_
