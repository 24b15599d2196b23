// SPDX-License-Identifier: Apache-2.0
// Products on Intel's AMX: the bits that its manual's description of the instructions gives, wherever
// the operands lie; nothing is read or written outside of them, which sanitizers don't see.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/core/thread_pool.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/gemm_requantized.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/simd/cpu.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/gemm_args.h"
#include "halfway/simd/gemm_layout.h"
#include "halfway/types/bfloat16.h"
#include "support/without_amx.h"

namespace halfway::testing {
namespace {

template <class T>
void pack_row_major(const T* b, std::size_t k, std::size_t n, T* panels, std::int32_t* sums) {
  HALFWAY_DISPATCH(PackPanelsKernel<T>)(b, n, 1, k, n, panels, sums);
}

}  // namespace
}  // namespace halfway::testing

namespace {

using halfway::bfloat16;
using halfway::matrix;
using halfway::packed_matrix;
using halfway::testing::without_amx;

// Whether what this program calls goes to AMX.
bool on_amx() {
  return halfway::detail::uses_amx() && std::string_view(halfway::simd_target_name()) == "AVX3_SPR";
}
#define SKIP_WITHOUT_AMX() \
  if (!on_amx()) GTEST_SKIP() << "no AMX for bfloat16 and int8 (amx_tile, amx_bf16, amx_int8)"

float flushed(float x) {
  return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}
float flushed(bfloat16 x) { return flushed(static_cast<float>(x)); }

// An element of a * b by the description of TDPBF16PS: for each 32 of k, filled with zeros, FMAs of
// the even and of the odd elements, each from zero on; their sum is added to the element.
float element_of_model(const matrix<bfloat16>& a, const matrix<bfloat16>& b, std::size_t i,
                       std::size_t j) {
  float sum = 0.0f;
  for (std::size_t k0 = 0; k0 < a.cols(); k0 += 32) {
    float part[2] = {0.0f, 0.0f};
    for (std::size_t q = k0; q < k0 + 32; ++q) {
      const bool is_there = q < a.cols();
      const float x = is_there ? flushed(a(i, q)) : 0.0f, y = is_there ? flushed(b(q, j)) : 0.0f;
      part[q % 2] = flushed(std::fma(x, y, part[q % 2]));
    }
    const volatile float both = flushed(part[0] + part[1]);  // volatile: not contracted
    sum = flushed(sum + both);
  }
  return sum;
}

// Values of many magnitudes, and now and then a subnormal.
void fill(matrix<bfloat16>& m, unsigned seed, int spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (auto& x : m.elements()) {
    const int exponent = static_cast<int>(random() % 64) * spread / 64 - spread / 2;
    x = random() % 16 == 0 ? std::numeric_limits<bfloat16>::denorm_min()
                           : bfloat16(std::ldexp(normal(random), exponent));
  }
}

void expect_bits(const matrix<float>& got, const matrix<float>& want, const char* what) {
  for (std::size_t i = 0; i < want.rows(); ++i) {
    for (std::size_t j = 0; j < want.cols(); ++j) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got(i, j)), std::bit_cast<std::uint32_t>(want(i, j)))
          << what << ' ' << want.rows() << " x " << want.cols() << " at " << i << ", " << j << ": "
          << got(i, j) << ", not " << want(i, j);
    }
  }
}

void expect_bits_of_model(std::size_t m, std::size_t n, std::size_t k, int spread) {
  SCOPED_TRACE(k);
  matrix<bfloat16> a(m, k), b(k, n), turned_a(k, m), turned_b(n, k);
  fill(a, 1, spread);
  fill(b, 2, spread);
  for (std::size_t q = 0; q < k; ++q) {
    for (std::size_t i = 0; i < m; ++i) turned_a(q, i) = a(i, q);
    for (std::size_t j = 0; j < n; ++j) turned_b(j, q) = b(q, j);
  }
  matrix<float> want(m, n), got(m, n), turned(n, m);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) want(i, j) = element_of_model(a, b, i, j);
  }
  halfway::gemm(a, b, got);
  expect_bits(got, want, "matrices");
  const packed_matrix packed(b);
  halfway::gemm(a, packed, got);
  expect_bits(got, want, "packed");
  halfway::gemm(turned_a.view().transposed(), turned_b.view().transposed(), got);
  expect_bits(got, want, "transposed");
  halfway::gemm(a, packed, turned.view().transposed());
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) got(i, j) = turned(j, i);
  }
  expect_bits(got, want, "into columns");
  halfway::thread_pool pool(2);
  halfway::gemm(a, packed, got, {}, pool);
  expect_bits(got, want, "on two threads");
  for (std::size_t i = 0; i < m; i += 7) {
    matrix<float> row(1, n), of_want(1, n);
    for (std::size_t j = 0; j < n; ++j) of_want(0, j) = want(i, j);
    halfway::gemm(a.view().block(i, 0, 1, k), packed, row);
    expect_bits(row, of_want, "one row");
  }
}

TEST(GemmAmx, Bfloat16HasTheBitsOfTheManual) {
  SKIP_WITHOUT_AMX();
  for (const std::size_t k : {24u, 25u, 31u, 32u, 33u, 63u, 64u, 65u, 301u}) {
    expect_bits_of_model(33, 97, k, 8);
  }
  for (const std::size_t m : {1u, 2u, 15u, 16u, 17u, 31u, 32u, 49u, 70u})
    expect_bits_of_model(m, 65, 70, 8);
  for (const std::size_t n : {1u, 31u, 32u, 33u, 64u, 96u, 129u})
    expect_bits_of_model(19, n, 70, 8);
  expect_bits_of_model(40, 40, 5003, 8);    // several chunks of k
  expect_bits_of_model(20, 40, 200, 140);   // sums that are flushed
  expect_bits_of_model(600, 40, 2100, 8);   // several blocks of rows
  expect_bits_of_model(130, 300, 1100, 8);  // several tasks
}

// An element that takes as many roundings as there can be, all in one direction: 1, and then halves of
// its last place, which are ties and lost.
TEST(GemmAmx, LosesWhatTheBoundAllowsFor) {
  SKIP_WITHOUT_AMX();
  constexpr std::size_t k = 32;
  matrix<bfloat16> a(1, k), b(k, 1);
  for (std::size_t q = 0; q < k; ++q) {
    a(0, q) = bfloat16(q == 0 ? 1.0f : 0x1p-24f);
    b(q, 0) = bfloat16(q % 2 == 0 ? 1.0f : 0.0f);
  }
  matrix<float> c(1, 1);
  halfway::gemm(a, b, c);
  EXPECT_EQ(c(0, 0), 1.0f);  // 15 lost
  for (std::size_t q = 2; q < k; ++q) a(0, q) = bfloat16(q % 2 == 0 ? 0.0f : 0x1p-24f);
  for (std::size_t q = 0; q < k; ++q) b(q, 0) = bfloat16(1.0f);
  a(0, 1) = bfloat16(0x1p-24f);
  halfway::gemm(a, b, c);
  EXPECT_EQ(c(0, 0), 1.0f + 0x1p-20f);  // the odd ones are added up before
}

// A short k is left to other kernels, for any number of rows and however the product is cut.
TEST(GemmAmx, ShortKGivesTheBitsOfOtherKernels) {
  SKIP_WITHOUT_AMX();
  for (const std::size_t k : {1u, 2u, 3u, 23u}) {
    matrix<bfloat16> a(70, k), b(k, 97);
    fill(a, 1, 8);
    fill(b, 2, 8);
    const packed_matrix packed(b);
    matrix<float> want(70, 97), got(70, 97);
    {
      const without_amx off;
      halfway::gemm(a, b, want);
    }
    halfway::gemm(a, b, got);
    expect_bits(got, want, "matrices");
    halfway::gemm(a, packed, got);
    expect_bits(got, want, "packed");
    matrix<float> row(1, 97), of_want(1, 97);
    for (std::size_t j = 0; j < 97; ++j) of_want(0, j) = want(69, j);
    halfway::gemm(a.view().block(69, 0, 1, k), packed, row);
    expect_bits(row, of_want, "one row");
  }
}

TEST(GemmAmx, ReproducibleAndWhatIsTurnedOffDoNotUseIt) {
  SKIP_WITHOUT_AMX();
  matrix<bfloat16> a(20, 301), b(301, 70);
  fill(a, 1, 8);
  fill(b, 2, 8);
  matrix<float> want(20, 70), got(20, 70);
  for (std::size_t i = 0; i < 20; ++i) {
    for (std::size_t j = 0; j < 70; ++j) {
      float sum = 0.0f;
      for (std::size_t q = 0; q < 301; ++q) {
        sum = std::fma(static_cast<float>(a(i, q)), static_cast<float>(b(q, j)), sum);
      }
      want(i, j) = sum;
    }
  }
  halfway::gemm(a, b, got, {.reproducible = true});
  expect_bits(got, want, "reproducible");
  const without_amx off;
  EXPECT_FALSE(on_amx());
  if (halfway::detail::bfloat16_dot_is_slow()) {
    halfway::gemm(a, b, got);
    expect_bits(got, want, "turned off");
  }
}

template <class TA>
void expect_integers_as_without(std::size_t m, std::size_t n, std::size_t k) {
  SCOPED_TRACE(k);
  std::mt19937 random(3);
  matrix<TA> a(m, k);
  matrix<std::int8_t> b(k, n);
  for (auto& x : a.elements()) x = static_cast<TA>(random());
  for (auto& x : b.elements()) x = static_cast<std::int8_t>(random() % 3 == 0 ? 128 : random());
  const packed_matrix packed(b);
  matrix<std::int32_t> want(m, n), got(m, n), of_packed(m, n);
  matrix<std::uint8_t> want_codes(m, n), codes(m, n);
  const std::vector<float> scale = {0.003f};
  const halfway::requantize_options to_codes{
      .a_zero_point = 5, .scale = scale, .c_zero_point = 100};
  {
    const without_amx off;
    halfway::gemm(a, b, want);
    halfway::gemm_requantized(a, packed, want_codes, to_codes);
  }
  halfway::gemm(a, b, got);
  halfway::gemm(a, packed, of_packed);
  halfway::gemm_requantized(a, packed, codes, to_codes);
  for (std::size_t i = 0; i < m * n; ++i) {
    std::int32_t sum = 0;
    for (std::size_t q = 0; q < k; ++q) sum += std::int32_t{a(i / n, q)} * b(q, i % n);
    ASSERT_EQ(want.elements()[i], sum);
    ASSERT_EQ(got.elements()[i], sum) << m << " x " << n << ", element " << i;
    ASSERT_EQ(of_packed.elements()[i], sum) << m << " x " << n << ", element " << i;
    ASSERT_EQ(codes.elements()[i], want_codes.elements()[i]) << m << " x " << n << ", " << i;
  }
}

TEST(GemmAmx, IntegersAreExact) {
  SKIP_WITHOUT_AMX();
  for (const std::size_t k : {1u, 3u, 4u, 5u, 63u, 64u, 65u, 130u, 4403u}) {
    expect_integers_as_without<std::uint8_t>(33, 97, k);
    expect_integers_as_without<std::int8_t>(33, 97, k);
  }
  for (const std::size_t m : {1u, 15u, 16u, 17u, 31u, 70u}) {
    expect_integers_as_without<std::uint8_t>(m, 65, 70);
    expect_integers_as_without<std::int8_t>(m, 65, 128);
  }
}

// Elements of which the last (or the first) stands beside memory that may not be touched.
template <class T>
class guarded {
 public:
  guarded(std::size_t count, bool at_the_end) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t bytes = (count * sizeof(T) + page - 1) / page * page;
    size_ = bytes + 2 * page;
    map_ = ::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    auto* inside = static_cast<std::byte*>(map_) + page;
    if (::mprotect(inside, bytes, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(inside + (at_the_end ? bytes - count * sizeof(T) : 0));
  }
  guarded(const guarded&) = delete;
  guarded& operator=(const guarded&) = delete;
  ~guarded() { ::munmap(map_, size_); }
  T* data() { return data_; }

 private:
  void* map_;
  std::size_t size_;
  T* data_;
};

template <class TA, class TB, class TC>
void expect_inside(std::size_t m, std::size_t n, std::size_t k, bool at_the_end) {
  using halfway::detail::packed_items;
  using halfway::detail::round_up;
  SCOPED_TRACE(::testing::Message() << m << " x " << n << " x " << k);
  guarded<TA> a(m * k, at_the_end);
  guarded<TB> b(k * n, at_the_end), panels(packed_items<TB>(k, n), at_the_end);
  guarded<TC> c(m * n, at_the_end);
  for (std::size_t i = 0; i < m * k; ++i) a.data()[i] = TA(static_cast<int>(i % 3));
  for (std::size_t i = 0; i < k * n; ++i) b.data()[i] = TB(static_cast<int>(i % 5));
  const halfway::matrix_view<const TA> va(a.data(), m, k);
  const halfway::matrix_view<const TB> vb(b.data(), k, n);
  const halfway::matrix_view<TC> vc(c.data(), m, n);
  const auto check = [&] {
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        double sum = 0.0;
        for (std::size_t q = 0; q < k; ++q) {
          sum += static_cast<double>(va(i, q)) * static_cast<double>(vb(q, j));
        }
        ASSERT_EQ(static_cast<double>(vc(i, j)), sum) << i << ", " << j;
        vc(i, j) = TC(-1);
      }
    }
  };
  halfway::gemm(va, vb, vc);
  check();

  std::vector<std::int32_t> sums(round_up(n, halfway::detail::panel_granule));
  halfway::testing::pack_row_major(b.data(), k, n, panels.data(), sums.data());
  halfway::detail::gemm_operands<TA, TB> operands{.a = a.data(),
                                                  .a_row_stride = k,
                                                  .a_col_stride = 1,
                                                  .b = panels.data(),
                                                  .m = m,
                                                  .n = n,
                                                  .k = k,
                                                  .b_column_sums = sums.data(),
                                                  .scratch = halfway::detail::thread_scratch};
  for (const bool streams : {false, true}) {
    operands.b_streams = streams;
    if constexpr (std::is_same_v<TC, float>) {
      using Epilogue = halfway::detail::linear_epilogue<float>;
      using Config = halfway::detail::gemm_config<TA, TB, Epilogue, true>;
      Epilogue epilogue{};
      epilogue.out = {c.data(), n, 1};
      epilogue.alpha = 1.0f;
      halfway::detail::run_gemm<Config>(operands, epilogue, {});
    } else {
      using Config = halfway::detail::gemm_config<TA, TB, halfway::detail::exact_epilogue, true>;
      halfway::detail::run_gemm<Config>(operands, halfway::detail::exact_epilogue{{c.data(), n, 1}},
                                        {});
    }
    check();
  }
}

TEST(GemmAmx, TouchesNothingOutsideOfTheOperands) {
  SKIP_WITHOUT_AMX();
  for (const bool at_the_end : {false, true}) {
    for (const std::size_t m : {1u, 16u, 17u, 32u, 35u}) {
      for (const std::size_t n : {1u, 32u, 33u, 64u, 65u, 96u}) {
        for (const std::size_t k : {1u, 2u, 31u, 32u, 33u, 64u, 68u, 96u, 100u}) {
          expect_inside<bfloat16, bfloat16, float>(m, n, k, at_the_end);
          expect_inside<std::uint8_t, std::int8_t, std::int32_t>(m, n, k, at_the_end);
          expect_inside<std::int8_t, std::int8_t, std::int32_t>(m, n, k, at_the_end);
        }
      }
    }
  }
}

// Each thread has tiles of its own, in whatever shape another's are.
TEST(GemmAmx, ServesThreadsThatStartedBeforeAndAfter) {
  SKIP_WITHOUT_AMX();
  matrix<bfloat16> a(40, 100), b(100, 130);
  fill(a, 1, 8);
  fill(b, 2, 8);
  const packed_matrix packed(b);
  matrix<float> want(40, 130);
  halfway::gemm(a, packed, want);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, rows = 10 * (t + 1)] {
      for (int repeat = 0; repeat < 50; ++repeat) {
        matrix<float> got(rows, 130), of_want(rows, 130);
        for (std::size_t i = 0; i < rows * 130; ++i) of_want.elements()[i] = want.elements()[i];
        halfway::gemm(a.view().block(0, 0, rows, 100), packed, got);
        expect_bits(got, of_want, "in a thread");
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
