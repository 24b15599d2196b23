// SPDX-License-Identifier: Apache-2.0
// Run by mpirun with 1 to 4 ranks. Every rank can make every rank's data, so each checks the whole
// result by itself.
#include "halfway/interop/mpi.h"

#include <gtest/gtest.h>
#include <mpi.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "halfway/types/philox.h"
#include "support/expect_error.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::testing::expect_error;
namespace mpi = halfway::mpi;

constexpr mpi::communicator_options patient{.timeout = std::chrono::seconds(60)};

// Floats of many sizes, another for each seed and index.
float value(std::uint64_t seed, std::size_t i) {
  const std::uint32_t word = halfway::random_word(seed, i);
  const float mantissa = static_cast<float>(word & 0xFFFF) / 65536.0f + 1.0f;
  const float magnitude = std::ldexp(mantissa, static_cast<int>(word >> 16 & 15) - 8);
  return (word >> 31) != 0 ? -magnitude : magnitude;
}

template <class T>
std::vector<T> values_of_rank(int rank, std::size_t n, std::uint64_t seed = 0) {
  std::vector<T> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = T(value(seed * 1000 + static_cast<std::uint64_t>(rank), i));
  }
  return x;
}

template <class T>
std::vector<std::uint64_t> bits_of(std::span<const T> x) {
  std::vector<std::uint64_t> bits;
  for (const T& element : x) {
    if constexpr (std::is_same_v<T, float>) {
      bits.push_back(std::bit_cast<std::uint32_t>(element));
    } else {
      bits.push_back(element.bits());
    }
  }
  return bits;
}

const std::size_t sizes[] = {0, 1, 2, 3, 63, 64, 65, 128, 129, 1000, 4099, 100003};

// The definition, for wires without a scale: round each rank's, add by rank in float, multiply,
// round.
template <class Wire, class T>
std::vector<T> defined_sum(int ranks, std::size_t n, float factor) {
  std::vector<float> sum;
  for (int r = 0; r < ranks; ++r) {
    const std::vector<T> x = values_of_rank<T>(r, n);
    for (std::size_t i = 0; i < n; ++i) {
      const float rounded = static_cast<float>(Wire(static_cast<float>(x[i])));
      if (r == 0) {
        sum.push_back(rounded);
      } else {
        sum[i] += rounded;
      }
    }
  }
  std::vector<T> result;
  for (const float s : sum) result.push_back(T(static_cast<float>(Wire(s * factor))));
  return result;
}

template <class Wire, class T>
void all_reduce_is_as_defined() {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  for (const std::size_t n : sizes) {
    const std::vector<T> expected = defined_sum<Wire, T>(world.size(), n, 0.375f);
    for (const std::size_t piece_bytes : {std::size_t{1} << 20, std::size_t{260}}) {
      if (piece_bytes < 1000 && n > 5000) continue;  // thousands of pieces show nothing more
      std::vector<T> x = values_of_rank<T>(world.rank(), n);
      mpi::all_reduce<Wire>(world, x, 0.375f, {.piece_bytes = piece_bytes});
      EXPECT_EQ(bits_of<T>(x), bits_of<T>(expected)) << n << " in pieces of " << piece_bytes;
      mpi::check_identical(world, x);
    }
  }
}

TEST(MpiAllReduce, SumsFloatWires) { all_reduce_is_as_defined<float, float>(); }
TEST(MpiAllReduce, SumsBfloat16Wires) { all_reduce_is_as_defined<bfloat16, float>(); }
TEST(MpiAllReduce, SumsHalfWires) { all_reduce_is_as_defined<half, float>(); }
TEST(MpiAllReduce, SumsBfloat16Gradients) { all_reduce_is_as_defined<bfloat16, bfloat16>(); }
TEST(MpiAllReduce, SumsHalfGradientsOnBfloat16Wires) { all_reduce_is_as_defined<bfloat16, half>(); }

// The documented bound, (1 + w)^2 (1 + u)^P - 1, against sums in double, which add less than
// P 2^-53 to it (values are within 2^16 of each other and nothing is near a subnormal number).
TEST(MpiAllReduce, StaysWithinItsBound) {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  constexpr std::size_t n = 5000;
  std::vector<double> sum(n), magnitudes(n);
  for (int r = 0; r < world.size(); ++r) {
    const std::vector<float> x = values_of_rank<float>(r, n);
    for (std::size_t i = 0; i < n; ++i) {
      sum[i] += static_cast<double>(x[i]);
      magnitudes[i] += std::abs(static_cast<double>(x[i]));
    }
  }
  std::vector<float> x = values_of_rank<float>(world.rank(), n);
  mpi::all_reduce<bfloat16>(world, x, 3.0f);
  const double w = 0x1p-8, ranks = world.size();
  const double share = (1 + w) * (1 + w) * std::pow(1 + 0x1p-24, ranks) * (1 + ranks * 0x1p-53) - 1;
  for (std::size_t i = 0; i < n; ++i) {
    ASSERT_LE(std::abs(static_cast<double>(x[i]) - 3 * sum[i]), share * 3 * magnitudes[i]) << i;
  }
}

// Each rank's element errs by half an ulp, w of it, or half of the smallest subnormal times the
// scale, which is below 2 amax / largest finite value; so does the sum, and the FP32 sum by P u.
template <class Wire>
void scaled_wire_stays_within_its_bound(double w, double smallest) {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  for (const std::size_t n : sizes) {
    for (const float size : {1.0f, 0x1p-100f, 0x1p90f}) {  // far outside of the format's range
      const auto values = [&](int rank) {
        std::vector<float> x = values_of_rank<float>(rank, n);
        for (float& v : x) v *= size;
        return x;
      };
      const double most = static_cast<double>(static_cast<float>(std::numeric_limits<Wire>::max()));
      std::vector<double> sum(n), error(n), magnitudes(n);
      double largest_sum = 0;
      for (int r = 0; r < world.size(); ++r) {
        const std::vector<float> x = values(r);
        double largest = 0;
        for (const float v : x) largest = std::max(largest, std::abs(static_cast<double>(v)));
        largest_sum += largest;
        for (std::size_t i = 0; i < n; ++i) {
          const double v = static_cast<double>(x[i]);
          sum[i] += v;
          magnitudes[i] += std::abs(v);
          error[i] += std::max(w * std::abs(v), 2 * largest / most * smallest / 2);
        }
      }
      std::vector<float> x = values(world.rank());
      mpi::all_reduce<Wire>(world, x);
      for (std::size_t i = 0; i < n; ++i) {
        const double in = error[i] + world.size() * 0x1p-23 * (magnitudes[i] + error[i]);
        const double out = std::max(w * (std::abs(sum[i]) + in),
                                    2 * (largest_sum * (1 + w)) / most * smallest / 2);
        ASSERT_LE(std::abs(static_cast<double>(x[i]) - sum[i]), in + out) << i << " of " << n;
      }
      mpi::check_identical(world, x);
    }
  }
}

TEST(MpiAllReduce, ScalesE4m3Wires) {
  scaled_wire_stays_within_its_bound<halfway::float8_e4m3fn>(0x1p-4, 0x1p-9);
}
TEST(MpiAllReduce, ScalesE5m2Wires) {
  scaled_wire_stays_within_its_bound<halfway::float8_e5m2>(0x1p-3, 0x1p-16);
}
TEST(MpiAllReduce, ScalesFnuzWires) {
  scaled_wire_stays_within_its_bound<halfway::float8_e4m3fnuz>(0x1p-4, 0x1p-10);
}

template <class Wire>
void non_finite_stays_so() {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(1000, 1.0f);
    if (world.rank() == world.size() - 1) x[777] = bad;
    mpi::all_reduce<Wire>(world, x);
    EXPECT_FALSE(std::isfinite(x[777]));
    EXPECT_EQ(halfway::count_non_finite(x), 1u);
    EXPECT_EQ(x[0], static_cast<float>(world.size()));
  }
}

TEST(MpiAllReduce, NonFiniteStaysSo) {
  non_finite_stays_so<float>();
  non_finite_stays_so<half>();
  non_finite_stays_so<bfloat16>();
  non_finite_stays_so<halfway::float8_e4m3fn>();
  non_finite_stays_so<halfway::float8_e5m2>();
  non_finite_stays_so<halfway::float8_e4m3fnuz>();
}

// What rounding at every hop loses: 300 contributions of 1 and one of 256 in bfloat16.
TEST(MpiAllReduce, DoesNotRoundInBetween) {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  if (world.size() < 3) GTEST_SKIP() << "needs 3 ranks";
  std::vector<float> x(10, world.rank() == 0 ? 256.0f : 1.0f);
  mpi::all_reduce<bfloat16>(world, x);
  // 256 + 1 would stay 256 at every hop (ulp 2); the sum 258 or 259 rounds to 258 or 260.
  EXPECT_EQ(x[9], world.size() == 3 ? 258.0f : 260.0f);
}

TEST(MpiAllReduce, RefusesBadArguments) {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  std::vector<float> x(3, 1.0f);
  expect_error([&] { mpi::all_reduce<half>(world, x, std::numeric_limits<float>::infinity()); },
               {"halfway::mpi::all_reduce", "factor (inf)"});
  expect_error([&] { mpi::all_reduce<half>(world, x, 1.0f, {.piece_bytes = 0}); },
               {"piece_bytes (0)"});
  expect_error(
      [&] { mpi::all_reduce<half>(world, std::span<float>(static_cast<float*>(nullptr), 2)); },
      {"x is null but has 2 elements"});
  expect_error(
      [&] { mpi::communicator bad(MPI_COMM_WORLD, {.timeout = std::chrono::milliseconds(-1)}); },
      {"timeout (-1 ms)"});
  EXPECT_EQ(x, std::vector<float>(3, 1.0f));
}

TEST(MpiAllReduce, SizesThatDifferAreAnError) {
  mpi::communicator world(MPI_COMM_WORLD, {.timeout = std::chrono::seconds(1)});
  if (world.size() == 1) GTEST_SKIP() << "needs 2 ranks";
  std::vector<float> x(world.rank() == 0 ? 1000 : 3000);
  try {
    mpi::all_reduce<half>(world, x);
    FAIL() << "no error";
  } catch (const mpi::communication_error& e) {
    EXPECT_EQ(e.rank(), world.rank());
    EXPECT_EQ(e.operation(), "halfway::mpi::all_reduce");
    EXPECT_FALSE(e.missing().empty()) << e.what();
  }
  EXPECT_TRUE(world.broken());
  EXPECT_THROW(mpi::total(world, 1), mpi::communication_error);
}

// All ranks but the last wait in vain, and say for whom.
TEST(MpiCommunicator, AWaitEndsInAnErrorThatNamesTheRank) {
  mpi::communicator all(MPI_COMM_WORLD, patient);
  if (all.size() == 1) GTEST_SKIP() << "needs 2 ranks";
  mpi::communicator world(MPI_COMM_WORLD, {.timeout = std::chrono::milliseconds(1000)});
  if (world.rank() != world.size() - 1) {
    std::vector<float> x(1000);
    const auto start = std::chrono::steady_clock::now();
    try {
      mpi::all_reduce<half>(world, x);
      ADD_FAILURE() << "no error";
    } catch (const mpi::communication_error& e) {
      EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1000));
      const std::string message = e.what();
      EXPECT_NE(message.find("halfway::mpi::all_reduce: rank " + std::to_string(world.rank()) +
                             " waited 1000 ms for rank"),
                std::string::npos)
          << message;
      EXPECT_EQ(e.missing(), std::vector<int>{world.size() - 1}) << message;
    }
  }
  mpi::barrier(all);
}

template <class T>
void operations_are_as_defined() {
  const mpi::element_type<T> type;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  int rank = 0, ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  std::vector<T> x(3000);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = T(static_cast<float>((static_cast<int>(i) % 5 - 2) * (rank + 1)) * 0.125f);
  }
  if (rank == ranks - 1) x[2999] = T(nan);
  x[2998] = T(rank % 2 == 0 ? -0.0f : 0.0f);
  std::vector<T> sum(x.size()), max(x.size()), min(x.size());
  const int n = static_cast<int>(x.size());
  MPI_Allreduce(x.data(), sum.data(), n, type.datatype(), type.sum(), MPI_COMM_WORLD);
  MPI_Allreduce(x.data(), max.data(), n, type.datatype(), type.max(), MPI_COMM_WORLD);
  MPI_Allreduce(x.data(), min.data(), n, type.datatype(), type.min(), MPI_COMM_WORLD);
  // Sums of so few eighths are exact in every format, whatever the order.
  const int of_ranks = ranks * (ranks + 1) / 2;
  for (int i = 0; i < n - 2; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const int k = i % 5 - 2;
    ASSERT_EQ(static_cast<float>(sum[at]), static_cast<float>(k * of_ranks) * 0.125f) << i;
    ASSERT_EQ(static_cast<float>(max[at]), static_cast<float>(k > 0 ? k * ranks : k) * 0.125f);
    ASSERT_EQ(static_cast<float>(min[at]), static_cast<float>(k > 0 ? k : k * ranks) * 0.125f);
  }
  EXPECT_TRUE(std::isnan(static_cast<float>(sum[2999])));
  EXPECT_TRUE(std::isnan(static_cast<float>(max[2999])));
  EXPECT_TRUE(std::isnan(static_cast<float>(min[2999])));
  EXPECT_EQ(std::signbit(static_cast<float>(max[2998])),
            ranks == 1 && std::signbit(static_cast<float>(x[2998])));
  EXPECT_EQ(std::signbit(static_cast<float>(min[2998])),
            std::signbit(static_cast<float>(T(-0.0f))));
}

TEST(MpiElementType, OperationsAreAsDefined) {
  operations_are_as_defined<float>();
  operations_are_as_defined<half>();
  operations_are_as_defined<bfloat16>();
  operations_are_as_defined<halfway::float8_e5m2fnuz>();
}

// One rounding an addition: of two ranks, T(a + b).
TEST(MpiElementType, SumsRoundOnceAHop) {
  const mpi::element_type<half> type;
  int rank = 0, ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (ranks != 2) GTEST_SKIP() << "needs 2 ranks";
  std::vector<half> x = values_of_rank<half>(rank, 5000);
  MPI_Allreduce(MPI_IN_PLACE, x.data(), static_cast<int>(x.size()), type.datatype(), type.sum(),
                MPI_COMM_WORLD);
  const std::vector<half> a = values_of_rank<half>(0, 5000), b = values_of_rank<half>(1, 5000);
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(x[i].bits(), half(static_cast<float>(a[i]) + static_cast<float>(b[i])).bits()) << i;
  }
}

TEST(MpiCollectives, TotalBroadcastAndComparison) {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  const auto ranks = static_cast<std::uint64_t>(world.size());
  EXPECT_EQ(mpi::total(world, static_cast<std::uint64_t>(world.rank()) + (1ull << 40)),
            (ranks << 40) + ranks * (ranks - 1) / 2);
  for (int root = 0; root < world.size(); ++root) {
    std::vector<half> x = values_of_rank<half>(world.rank(), 3000);
    mpi::broadcast(world, x, root);
    EXPECT_EQ(bits_of<half>(x), bits_of<half>(values_of_rank<half>(root, 3000)));
    mpi::check_identical(world, x, "weights");
  }
  mpi::broadcast(world, std::vector<float>());
  expect_error([&] { mpi::broadcast(world, std::vector<float>(2), world.size()); },
               {"root (" + std::to_string(world.size()) + ")"});
  // A zero's sign, in any of eight bytes' places.
  for (std::size_t i = 0; i < 5; ++i) {
    std::vector<half> y(5);
    if (world.rank() == world.size() - 1) y[i] = -y[i];
    if (world.size() == 1) continue;
    expect_error(
        [&] { mpi::check_identical(world, y, "weights"); },
        {"weights of rank " + std::to_string(world.size() - 1) + " differs from rank 0's"});
  }
}

// ------------------------------ buckets

template <class Wire, class T>
void buckets_give_the_same_bits() {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  const std::vector<std::size_t> shapes = {5, 0, 700, 64, 1, 33, 4000, 0};
  for (const std::size_t bucket_bytes :
       {std::size_t{1}, std::size_t{100}, std::size_t{3000}, std::size_t{1} << 20}) {
    if (bucket_bytes == 1 && sizeof(T) == 4) continue;  // 4803 buckets: once is enough
    std::vector<std::vector<T>> gradients(shapes.size());
    std::vector<std::span<T>> spans;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      gradients[i].resize(shapes[i]);
      spans.push_back(gradients[i]);
    }
    mpi::gradient_reducer<Wire, T> reducer(world, spans,
                                           {.factor = 0.5f, .bucket_bytes = bucket_bytes});
    const std::size_t a_bucket = std::max<std::size_t>(bucket_bytes / sizeof(Wire), 1);
    EXPECT_EQ(reducer.buckets(), (4803 + a_bucket - 1) / a_bucket);
    for (std::uint64_t step = 1; step <= 3; ++step) {
      std::vector<std::vector<T>> expected;
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        std::ranges::copy(values_of_rank<T>(world.rank(), shapes[i], 10 * step + i),
                          gradients[i].begin());
        expected.push_back(gradients[i]);
        mpi::all_reduce<Wire>(world, expected.back(), 0.5f);
      }
      // Another order on each rank.
      std::vector<std::size_t> order(shapes.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::mt19937 random(static_cast<unsigned>(100 * step) + static_cast<unsigned>(world.rank()));
      std::shuffle(order.begin(), order.end(), random);
      for (const std::size_t i : order) {
        if (i == order.back()) {
          expect_error([&] { reducer.finish(); },
                       {"gradient " + std::to_string(i) + " is not ready"});
        }
        reducer.ready(i);
      }
      reducer.finish();
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        EXPECT_EQ(bits_of<T>(gradients[i]), bits_of<T>(expected[i]))
            << "gradient " << i << " in buckets of " << bucket_bytes;
      }
    }
  }
}

TEST(MpiGradientReducer, GivesTheBitsOfAllReduce) {
  buckets_give_the_same_bits<bfloat16, float>();
  buckets_give_the_same_bits<half, half>();
}

// The first buckets are summed while the last gradients are still to come.
TEST(MpiGradientReducer, SumsDuringTheBackwardPass) {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  std::vector<float> early(1000, 1.0f), late(1000, 1.0f);
  mpi::gradient_reducer<bfloat16> reducer(world, {late, early}, {.bucket_bytes = 500});
  ASSERT_EQ(reducer.buckets(), 8u);
  reducer.ready(1);
  const auto start = std::chrono::steady_clock::now();
  while (reducer.arrived() != 4 &&
         std::chrono::steady_clock::now() - start < std::chrono::seconds(30)) {
    reducer.progress();
  }
  EXPECT_EQ(reducer.arrived(), 4u);
  EXPECT_EQ(early[0], 1.0f);  // written by finish
  reducer.ready(0);
  reducer.finish();
  EXPECT_EQ(early, std::vector<float>(1000, static_cast<float>(world.size())));
  EXPECT_EQ(late, early);
}

TEST(MpiGradientReducer, RefusesBadArguments) {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  std::vector<float> g(10);
  const auto make = [&](std::vector<std::span<float>> gradients,
                        const mpi::gradient_reducer_options& options = {}) {
    mpi::gradient_reducer<half> reducer(world, std::move(gradients), options);
  };
  expect_error([&] { make({g}, {.bucket_bytes = 0}); }, {"bucket_bytes (0)"});
  expect_error([&] { make({g}, {.factor = std::numeric_limits<float>::quiet_NaN()}); },
               {"factor (nan)"});
  expect_error(
      [&] {
        make({std::span(g).first(6), std::span(g).last(5)});
      },
      {"gradient 0 and gradient 1 share memory"});
  mpi::gradient_reducer<half> reducer(world, {g});
  expect_error([&] { reducer.ready(1); }, {"gradient 1 must be below 1"});
  reducer.ready(0);
  expect_error([&] { reducer.ready(0); }, {"gradient 0 is ready already"});
  reducer.finish();
  mpi::gradient_reducer<half> none(world, {});
  none.finish();
}

// ------------------------------ shards

// The tree by its definition: halves of the next power of two.
std::vector<float> tree_sum(std::size_t first, std::size_t last, std::size_t width, std::size_t n) {
  if (width == 1) return values_of_rank<float>(static_cast<int>(first), n, 7);
  const std::size_t middle = first + width / 2;
  std::vector<float> sum = tree_sum(first, std::min(last, middle), width / 2, n);
  if (middle < last) {
    const std::vector<float> right = tree_sum(middle, last, width / 2, n);
    for (std::size_t i = 0; i < n; ++i) sum[i] += right[i];
  }
  return sum;
}

template <class Gather>
void shards_are_summed_in_the_tree() {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  for (const std::size_t shards : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 12u, 13u, 16u, 31u}) {
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{1000}}) {
      mpi::shard_reducer<Gather> reducer(world, n,
                                         {.shards = shards, .factor = 0.7f, .piece_bytes = 1200});
      std::vector<float> expected = tree_sum(0, shards, std::bit_ceil(shards), n);
      for (float& x : expected) x = static_cast<float>(Gather(x * 0.7f));
      for (int step = 0; step < 2; ++step) {
        for (const std::size_t s : reducer.own_shards()) {
          reducer.add(values_of_rank<float>(static_cast<int>(s), n, 7));
        }
        std::vector<float> total(n);
        reducer.finish(total);
        EXPECT_EQ(bits_of<float>(total), bits_of<float>(expected)) << shards << " shards of " << n;
      }
    }
  }
}

TEST(MpiShardReducer, SumsInTheTree) {
  shards_are_summed_in_the_tree<float>();
  shards_are_summed_in_the_tree<bfloat16>();
}

TEST(MpiShardReducer, RefusesBadArguments) {
  mpi::communicator world(MPI_COMM_WORLD, patient);
  expect_error([&] { mpi::shard_reducer<> r(world, 3, {.shards = 0}); }, {"shards (0)"});
  mpi::shard_reducer<> reducer(world, 3, {.shards = 4});
  std::vector<float> g(3);
  expect_error([&] { reducer.add(std::vector<float>(2)); }, {"gradient.size() (2)", "size (3)"});
  expect_error([&] { reducer.finish(g); }, {"of rank " + std::to_string(world.rank())});
  for ([[maybe_unused]] const std::size_t s : reducer.own_shards()) reducer.add(g);
  expect_error([&] { reducer.add(g); }, {"has added all of its"});
  expect_error([&] { reducer.finish(std::vector<float>(4)); }, {"total.size() (4)", "size (3)"});
}

}  // namespace

int main(int argc, char** argv) {
  int level = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  ::testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  if (result != 0) MPI_Abort(MPI_COMM_WORLD, result);  // others may wait for this rank
  MPI_Finalize();
  return result;
}
