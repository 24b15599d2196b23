// SPDX-License-Identifier: Apache-2.0
// The floating-point control register: whether subnormal numbers are flushed to zero, how results
// are rounded, what traps.
//
//   scoped_flush_to_zero flush;
//   const auto before = floating_point_mode();
//   ...
//   EXPECT_EQ(floating_point_mode(), before);
#ifndef HALFWAY_TESTS_SUPPORT_FLOATING_POINT_MODE_H_
#define HALFWAY_TESTS_SUPPORT_FLOATING_POINT_MODE_H_

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#endif

namespace halfway::testing {

#if defined(__x86_64__) || defined(__i386__)
inline constexpr bool has_floating_point_mode = true;
inline constexpr std::uint64_t flush_to_zero = 0x8040;  // FTZ and DAZ
// Without the flags of exceptions that have occurred.
inline std::uint64_t floating_point_mode() { return _mm_getcsr() & 0xFFC0u; }
inline void set_floating_point_mode(std::uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
inline constexpr bool has_floating_point_mode = true;
inline constexpr std::uint64_t flush_to_zero = std::uint64_t{1} << 24;  // FZ
inline std::uint64_t floating_point_mode() {
  std::uint64_t mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
inline void set_floating_point_mode(std::uint64_t mode) {
  asm volatile("msr fpcr, %0" : : "r"(mode));
}
#else
inline constexpr bool has_floating_point_mode = false;
inline constexpr std::uint64_t flush_to_zero = 0;
inline std::uint64_t floating_point_mode() { return 0; }
inline void set_floating_point_mode(std::uint64_t) {}
#endif

class scoped_flush_to_zero {
 public:
  scoped_flush_to_zero() { set_floating_point_mode(before_ | flush_to_zero); }
  ~scoped_flush_to_zero() { set_floating_point_mode(before_); }
  scoped_flush_to_zero(const scoped_flush_to_zero&) = delete;
  scoped_flush_to_zero& operator=(const scoped_flush_to_zero&) = delete;

 private:
  std::uint64_t before_ = floating_point_mode();
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_FLOATING_POINT_MODE_H_
