// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ceilings.cc"
#include "halfway/simd/targets.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include <cstddef>
#include <cstdint>

#include "halfway/simd/gemm_amx-inl.h"
#include "halfway/types/bfloat16.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway_bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Enough independent chains to hide the latency of 4 cycles on two units, few enough to stay in 16
// registers.
constexpr size_t kChains = 12;

// Each of these runs `steps` x kChains instructions and returns operations done. `seed` keeps the
// compiler from knowing the operands; `sink` takes the sums.
template <class D, class Step>
HWY_INLINE void RunChains(D d, size_t steps, hn::TFromD<D>* sink, const Step& step) {
  hn::Vec<D> acc[kChains];
#pragma GCC unroll 16
  for (size_t i = 0; i < kChains; ++i) acc[i] = hn::Set(d, static_cast<hn::TFromD<D>>(i));
  for (size_t s = 0; s < steps; ++s) {
#pragma GCC unroll 16
    for (size_t i = 0; i < kChains; ++i) acc[i] = step(acc[i]);
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < kChains; ++i) hn::StoreU(acc[i], d, sink + i * hn::Lanes(d));
}

double MultiplyF32(size_t steps, float seed, float* sink) {
  const hn::ScalableTag<float> df;
  const auto a = hn::Set(df, seed), b = hn::Set(df, seed * 0.5f);
  RunChains(df, steps, sink, [&](auto acc) HWY_ATTR { return hn::MulAdd(a, b, acc); });
  return 2.0 * static_cast<double>(steps * kChains * hn::Lanes(df));
}

double MultiplyPairsBF16(size_t steps, float seed, float* sink) {
#if HWY_NATIVE_DOT_BF16
  const hn::ScalableTag<float> df;
  const hn::Repartition<hwy::bfloat16_t, decltype(df)> dbf;
  const hn::RebindToUnsigned<decltype(df)> du;
  const auto a = hn::BitCast(dbf, hn::Set(du, 0x3F803F80u)),
             b = hn::BitCast(dbf, hn::Set(df, seed));
  auto unused = hn::Zero(df);
  RunChains(df, steps, sink, [&](auto acc) HWY_ATTR {
    return hn::ReorderWidenMulAccumulate(df, a, b, acc, unused);
  });
  return 4.0 * static_cast<double>(steps * kChains * hn::Lanes(df));
#else
  (void)steps, (void)seed, (void)sink;
  return 0.0;
#endif
}

double MultiplyI8(size_t steps, int32_t seed, int32_t* sink) {
  const hn::ScalableTag<int32_t> di32;
#if HWY_TARGET == HWY_SCALAR
  const auto a = hn::Set(di32, seed);
  RunChains(di32, steps, sink, [&](auto acc) HWY_ATTR { return hn::Add(hn::Mul(a, a), acc); });
  return 2.0 * static_cast<double>(steps * kChains);
#else
  const hn::Repartition<uint8_t, decltype(di32)> du8;
  const hn::Repartition<int8_t, decltype(di32)> di8;
  const auto a = hn::BitCast(du8, hn::Set(di32, seed));
  const auto b = hn::BitCast(di8, hn::Set(di32, seed));
  RunChains(di32, steps, sink,
            [&](auto acc) HWY_ATTR { return hn::SumOfMulQuadAccumulate(di32, a, b, acc); });
  return 8.0 * static_cast<double>(steps * kChains * hn::Lanes(di32));
#endif
}

// `steps` x 4 products of tiles; 0 where AMX is not used.
template <class Step>
double MultiplyTiles(size_t steps) {
#if HALFWAY_SIMD_AMX
  namespace simd = halfway::HWY_NAMESPACE;
  if (!halfway::detail::uses_amx()) return 0.0;
  simd::AmxTiles tiles;
  tiles.SetRows(simd::kRowsAtOnce<Step>);  // which sets them to zero, too
  for (size_t s = 0; s < steps; ++s) {
    simd::MultiplyAmx<Step, 0, 4, 6>();
    simd::MultiplyAmx<Step, 1, 4, 7>();
    simd::MultiplyAmx<Step, 2, 5, 6>();
    simd::MultiplyAmx<Step, 3, 5, 7>();
  }
  constexpr size_t kSums = simd::kAmxRows * simd::kAmxColumns;
  return 2.0 * static_cast<double>(steps * 4 * kSums * Step::kDepth);
#else
  (void)steps;
  return 0.0;
#endif
}
double MultiplyTilesBF16(size_t steps) {
  return MultiplyTiles<halfway::HWY_NAMESPACE::GemmStepAmxBF16>(steps);
}
double MultiplyTilesI8(size_t steps) {
  return MultiplyTiles<halfway::HWY_NAMESPACE::GemmStepAmxI8<uint8_t>>(steps);
}
bool UsesAmx() { return HALFWAY_SIMD_AMX != 0 && halfway::detail::uses_amx(); }

// Sums `bytes` bytes as `streams` runs that are read side by side.
uint32_t ReadStreams(const uint32_t* HWY_RESTRICT p, size_t words, size_t streams) {
  const hn::ScalableTag<uint32_t> d;
  const size_t lanes = hn::Lanes(d);
  const size_t each = words / streams / (4 * lanes) * (4 * lanes);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  for (size_t i = 0; i < each; i += 4 * lanes) {
    for (size_t r = 0; r < streams; ++r) {
      const uint32_t* HWY_RESTRICT q = p + r * each + i;
      s0 = hn::Add(s0, hn::LoadU(d, q));
      s1 = hn::Add(s1, hn::LoadU(d, q + lanes));
      s2 = hn::Add(s2, hn::LoadU(d, q + 2 * lanes));
      s3 = hn::Add(s3, hn::LoadU(d, q + 3 * lanes));
    }
  }
  return hn::GetLane(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

bool HasDotBF16() { return HWY_NATIVE_DOT_BF16 != 0; }

const char* ThisTarget() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace halfway_bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <vector>

#include "ceilings.h"
#include "halfway/simd/cpu.h"

namespace halfway_bench {
namespace {

HWY_EXPORT(MultiplyF32);
HWY_EXPORT(MultiplyPairsBF16);
HWY_EXPORT(MultiplyI8);
HWY_EXPORT(MultiplyTilesBF16);
HWY_EXPORT(MultiplyTilesI8);
HWY_EXPORT(ReadStreams);
HWY_EXPORT(UsesAmx);
HWY_EXPORT(HasDotBF16);
HWY_EXPORT(ThisTarget);

// The shortest of many runs: a ceiling is what the machine does when nothing disturbs it.
double best_seconds(double budget, const std::function<void()>& run) {
  using clock = std::chrono::steady_clock;
  double best = 1e30;
  const auto start = clock::now();
  for (int i = 0; i < 5 || std::chrono::duration<double>(clock::now() - start).count() < budget;
       ++i) {
    const auto from = clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(clock::now() - from).count());
  }
  return best;
}

double measure_multiply(unit u, double seconds_to_try) {
  if (u == unit::bf16_dot && !HWY_DYNAMIC_DISPATCH(HasDotBF16)()) return 0.0;
  constexpr size_t steps = 100000;
  constexpr size_t most_lanes = 64;  // of f32 on the widest target
  std::vector<float> floats(most_lanes * 16);
  std::vector<std::int32_t> ints(floats.size());
  volatile float seed = 1.0f;
  volatile std::int32_t int_seed = 0x01020304;
  const bool uses_amx = HWY_DYNAMIC_DISPATCH(UsesAmx)();
  double operations = 0.0;
  const double seconds = best_seconds(seconds_to_try, [&] {
    switch (u) {
      case unit::f32:
        operations = HWY_DYNAMIC_DISPATCH(MultiplyF32)(steps, seed, floats.data());
        break;
      case unit::bf16:  // without AMX multiply_ceiling() has made it one of the others
        operations = HWY_DYNAMIC_DISPATCH(MultiplyTilesBF16)(steps);
        break;
      case unit::bf16_dot:
        operations = HWY_DYNAMIC_DISPATCH(MultiplyPairsBF16)(steps, seed, floats.data());
        break;
      case unit::i8:
        operations = uses_amx ? HWY_DYNAMIC_DISPATCH(MultiplyTilesI8)(steps)
                              : HWY_DYNAMIC_DISPATCH(MultiplyI8)(steps, int_seed, ints.data());
        break;
    }
  });
  return operations / seconds / 1e9;
}

// Repeats a pass over little memory, so that the clock's own cost does not count.
size_t repeats_for(size_t bytes) {
  return std::max<size_t>(1, (size_t{1} << 20) / std::max<size_t>(bytes, 1));
}

// Passes over a long buffer are timed part by part, so that one fits between two interruptions. Gives
// the beginnings of the parts in turn: each was last touched a whole pass ago.
class parts {
 public:
  explicit parts(size_t bytes) : bytes_(bytes), size_(bytes) {
    constexpr size_t most = size_t{8} << 20, line = 64;
    if (bytes > most) size_ = bytes / ((bytes + most - 1) / most) / line * line;
  }
  size_t size() const { return size_; }
  size_t next() {
    const size_t here = at_;
    at_ = at_ + 2 * size_ > bytes_ ? 0 : at_ + size_;
    return here;
  }

 private:
  size_t bytes_, size_, at_ = 0;
};

}  // namespace

const char* simd_target() { return HWY_DYNAMIC_DISPATCH(ThisTarget)(); }

double multiply_ceiling(unit u, double seconds) {
  static std::map<unit, double> known;
  if (u == unit::bf16 && !HWY_DYNAMIC_DISPATCH(UsesAmx)()) {  // as gemm chooses
    const bool is_dot =
        HWY_DYNAMIC_DISPATCH(HasDotBF16)() && !halfway::detail::bfloat16_dot_is_slow();
    u = is_dot ? unit::bf16_dot : unit::f32;
  }
  const auto [at, is_new] = known.try_emplace(u, 0.0);
  if (is_new) at->second = measure_multiply(u, seconds);
  return at->second;
}

double copy_bandwidth(std::size_t bytes, double seconds_to_try) {
  static std::map<std::size_t, double> known;
  const auto [at, is_new] = known.try_emplace(bytes, 0.0);
  if (is_new) {
    std::vector<char> from(bytes / 2, 1), to(bytes / 2);
    parts part(bytes / 2);
    const size_t repeats = repeats_for(bytes);
    const double seconds = best_seconds(seconds_to_try, [&] {
      for (size_t i = 0; i < repeats; ++i) {
        const size_t begin = part.next();
        std::memcpy(to.data() + begin, from.data() + begin, part.size());
        asm volatile("" : : "r"(to.data()) : "memory");
      }
    });
    at->second = 2.0 * static_cast<double>(part.size() * repeats) / seconds / 1e9;
  }
  return at->second;
}

double read_bandwidth(std::size_t bytes, double seconds_to_try) {
  static std::map<std::size_t, double> known;
  const auto [at, is_new] = known.try_emplace(bytes, 0.0);
  if (is_new) {
    const std::vector<std::uint32_t> words(bytes / 4 + 1, 1);
    parts part(bytes);
    const size_t repeats = repeats_for(bytes);
    volatile std::uint32_t sink = 0;
    for (size_t streams : {1, 2, 4, 8}) {
      const double seconds = best_seconds(seconds_to_try, [&] {
        for (size_t i = 0; i < repeats; ++i) {
          sink = HWY_DYNAMIC_DISPATCH(ReadStreams)(words.data() + part.next() / 4, part.size() / 4,
                                                   streams);
        }
      });
      at->second = std::max(at->second, static_cast<double>(part.size() * repeats) / seconds / 1e9);
    }
  }
  return at->second;
}

}  // namespace halfway_bench

#endif  // HWY_ONCE
