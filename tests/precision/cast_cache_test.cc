// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/cast_cache.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/precision/parameter.h"
#include "support/expect_error.h"

namespace {

using halfway::cast_cache;
using halfway::matrix;
using halfway::parameter;
using halfway::testing::expect_error;

static_assert(std::is_nothrow_move_constructible_v<parameter>);
static_assert(!std::is_copy_constructible_v<parameter::writer>);

parameter filled(float value, std::size_t cols = 3) {
  matrix<float> m(2, cols);
  for (float& x : m.elements()) x = value;
  return parameter(std::move(m));
}

// What a cast would be: the first value, as another type.
template <class T = double>
T first_in(cast_cache& cache, const parameter& p) {
  return *cache.get<T>(p, [&] { return static_cast<T>(p.values()(0, 0)); });
}

TEST(Parameter, HasAnIdentityOfItsOwn) {
  parameter a = filled(1);
  const std::uint64_t id = a.id(), version = a.version();
  const parameter copy = a;
  EXPECT_NE(copy.id(), id);
  EXPECT_NE(copy.values().data(), a.values().data());
  EXPECT_EQ(copy.values()(1, 2), 1.0f);
  parameter moved = std::move(a);
  EXPECT_EQ(moved.id(), id);
  EXPECT_EQ(moved.version(), version);
  EXPECT_EQ(a.size(), 0u);  // NOLINT(bugprone-use-after-move)
  expect_error([&] { (void)a.id(); }, {"halfway::parameter", "moved from"});
  expect_error([&] { (void)a.write(); }, {"moved from"});
  moved = filled(2);
  EXPECT_NE(moved.id(), id);
  a = filled(3);
  EXPECT_EQ(a.values()(0, 0), 3.0f);
}

TEST(Parameter, RefersToMemoryWithStrides) {
  std::vector<float> memory(8);
  parameter p(halfway::matrix_view<float>(memory.data(), 2, 3, 4));
  p.write()(1, 2) = 5;
  EXPECT_EQ(memory[6], 5.0f);
  expect_error([&] { (void)std::span<float>(p.write()); },
               {"2 x 3 with strides 4 and 1", "not dense"});
  parameter dense(halfway::matrix_view<float>(memory.data(), 2, 4));
  EXPECT_EQ(std::span<float>(dense.write()).size(), 8u);
  EXPECT_EQ(as_view(dense)(1, 2), 5.0f);
}

TEST(CastCache, MakesEachTypeOnceAndAnewAfterAWrite) {
  cast_cache cache;
  parameter p = filled(1);
  EXPECT_EQ(first_in(cache, p), 1);
  EXPECT_EQ(first_in(cache, p), 1);
  EXPECT_EQ(first_in<int>(cache, p), 1);
  EXPECT_EQ(cache.statistics(), (halfway::cast_cache_statistics{1, 2, 2}));
  p.write()(0, 0) = 2;
  EXPECT_EQ(first_in(cache, p), 2);
  EXPECT_EQ(first_in<int>(cache, p), 2);
  EXPECT_EQ(cache.statistics(), (halfway::cast_cache_statistics{1, 4, 2}));
  cache.clear();
  EXPECT_EQ(cache.statistics().entries, 0u);
  EXPECT_EQ(first_in(cache, p), 2);
}

TEST(CastCache, KeepsNothingWhileAWriterLives) {
  cast_cache cache;
  parameter p = filled(1);
  {
    const parameter::writer writer = p.write();
    EXPECT_EQ(first_in(cache, p), 1);
    writer(0, 0) = 2;  // after the cast, through a writer from before it
    EXPECT_EQ(first_in(cache, p), 2);
    const parameter::writer second = p.write();
    writer(0, 0) = 3;
  }
  EXPECT_EQ(first_in(cache, p), 3);
  EXPECT_EQ(cache.statistics().hits, 0u);
}

TEST(CastCache, AnEpochEndsEveryCast) {
  cast_cache cache;
  std::vector<float> memory = {1};
  const parameter p(halfway::matrix_view<float>(memory.data(), 1, 1));
  EXPECT_EQ(first_in(cache, p), 1);
  memory[0] = 2;  // as an optimizer does that knows only the memory
  halfway::weights_changed();
  EXPECT_EQ(first_in(cache, p), 2);
  memory[0] = 3;
  const_cast<parameter&>(p).changed();
  EXPECT_EQ(first_in(cache, p), 3);
}

// The second parameter is at the address of the first, object and values: a cache that knew it by
// either would return the first one's cast.
TEST(CastCache, AnotherParameterAtTheSameAddressIsAnother) {
  cast_cache cache;
  alignas(parameter) std::byte place[sizeof(parameter)];
  std::vector<float> memory = {1};
  const halfway::matrix_view<float> view(memory.data(), 1, 1);
  for (const float value : {1.0f, 2.0f, 3.0f}) {
    memory[0] = value;
    parameter* const p = new (place) parameter(view);
    EXPECT_EQ(first_in(cache, *p), value);
    p->~parameter();
  }
  // Memory that the allocator gives out again.
  for (int i = 0; i < 200; ++i) {
    const parameter p = filled(static_cast<float>(i), 64);
    EXPECT_EQ(first_in(cache, p), i);
  }
}

TEST(CastCache, KeepsTheCastOfAParameterThatMoves) {
  cast_cache cache;
  std::optional<parameter> a = filled(1);
  first_in(cache, *a);
  const parameter b = std::move(*a);
  a.reset();
  EXPECT_EQ(first_in(cache, b), 1);
  EXPECT_EQ(cache.statistics().hits, 1u);
}

TEST(CastCache, DropsWhatBelongedToParametersThatAreGone) {
  cast_cache cache;
  const parameter kept = filled(7);
  first_in(cache, kept);
  for (int i = 0; i < 10000; ++i) first_in(cache, filled(1));
  EXPECT_LT(cache.statistics().entries, 64u);
  EXPECT_EQ(first_in(cache, kept), 7);
  EXPECT_EQ(cache.statistics().hits, 1u);
}

TEST(CastCache, ResultsOutliveTheirEntries) {
  cast_cache cache;
  parameter p = filled(1);
  const auto make = [&] { return std::vector<float>(100, p.values()(0, 0)); };
  const auto old = cache.get<std::vector<float>>(p, make);
  p.write()(0, 0) = 2;
  const auto fresh = cache.get<std::vector<float>>(p, make);
  cache.clear();
  EXPECT_EQ((*old)[99], 1.0f);
  EXPECT_EQ((*fresh)[99], 2.0f);
}

TEST(CastCache, ForgetsWhatCouldNotBeMade) {
  cast_cache cache;
  parameter p = filled(1);
  EXPECT_EQ(first_in(cache, p), 1);
  p.write()(0, 0) = 2;
  EXPECT_THROW(cache.get<double>(p, []() -> double { throw std::runtime_error("no memory"); }),
               std::runtime_error);
  EXPECT_EQ(first_in(cache, p), 2);
}

// Threads ask for casts of all parameters; between rounds, one writes. Each round makes each cast
// once.
TEST(CastCache, ServesSeveralThreads) {
  constexpr std::size_t threads = 4, parameters = 8, rounds = 20;
  cast_cache cache;
  std::vector<parameter> all;
  for (std::size_t i = 0; i < parameters; ++i) all.push_back(filled(0));
  for (std::size_t round = 0; round < rounds; ++round) {
    for (parameter& p : all) p.write()(0, 0) = static_cast<float>(round);
    std::vector<std::size_t> stale(threads);
    std::vector<std::thread> workers;
    for (std::size_t t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] {
        for (std::size_t i = 0; i < 3 * parameters; ++i) {
          const parameter& p = all[(i + t) % parameters];
          stale[t] += first_in(cache, p) != static_cast<double>(round);
        }
      });
    }
    for (std::thread& worker : workers) worker.join();
    EXPECT_EQ(stale, std::vector<std::size_t>(threads));
  }
  EXPECT_EQ(cache.statistics().misses, rounds * parameters);
  EXPECT_EQ(cache.statistics().hits, rounds * parameters * (3 * threads - 1));
}

// A parameter of one thread is written while others read theirs through the same cache.
TEST(CastCache, ThreadsWithTheirOwnParametersDoNotDisturbEachOther) {
  cast_cache cache;
  std::vector<std::thread> workers;
  std::vector<std::size_t> stale(4);
  for (std::size_t t = 0; t < stale.size(); ++t) {
    workers.emplace_back([&, t] {
      parameter p = filled(0);
      for (int i = 0; i < 500; ++i) {
        p.write()(0, 0) = static_cast<float>(i);
        if (i % 7 == 0) halfway::weights_changed();
        stale[t] += first_in(cache, p) != i;
        if (i % 50 == 0) p = filled(-1);
        if (i % 90 == 0) cache.clear();
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(stale, std::vector<std::size_t>(4));
}

}  // namespace
