// SPDX-License-Identifier: Apache-2.0
// Data that sums and products find hard.
//
//   for (const auto& data : hard_vectors(1000)) { SCOPED_TRACE(data.name); ... data.x ... }
#ifndef HALFWAY_TESTS_FIDELITY_HARD_DATA_H_
#define HALFWAY_TESTS_FIDELITY_HARD_DATA_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/exact_sum.h"

namespace halfway::testing {

struct hard_pair {
  std::string name;
  std::vector<float> x, y;
};

// The condition number of x * y is about `condition`: Algorithm 6.1 (GenDot) of Ogita, Rump and
// Oishi, "Accurate sum and dot product" (2005). Half of the elements span the exponents, the others
// cancel what has been summed so far; n >= 6.
inline hard_pair ill_conditioned(std::size_t n, double condition, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> signed_unit(-1, 1), unit(0, 1);
  const double b = std::log2(condition);
  std::vector<float> x(n), y(n);
  exact_sum sum;
  const std::size_t first = n / 2;
  for (std::size_t i = 0; i < first; ++i) {
    double e = std::rint(unit(random) * b / 2);
    if (i == 0) e = std::rint(b / 2) + 1;
    if (i == first - 1) e = 0;
    x[i] = static_cast<float>(std::ldexp(signed_unit(random), static_cast<int>(e)));
    y[i] = static_cast<float>(std::ldexp(signed_unit(random), static_cast<int>(e)));
    sum.add(static_cast<double>(x[i]) * static_cast<double>(y[i]));
  }
  for (std::size_t i = first; i < n; ++i) {
    const double left = static_cast<double>(n - 1 - i) / static_cast<double>(n - 1 - first);
    const int e = static_cast<int>(std::rint(b / 2 * left));
    x[i] = static_cast<float>(std::ldexp(signed_unit(random), e));
    y[i] = static_cast<float>((std::ldexp(signed_unit(random), e) - sum.value()) /
                              static_cast<double>(x[i]));
    sum.add(static_cast<double>(x[i]) * static_cast<double>(y[i]));
  }
  for (std::size_t i = n - 1; i > 0; --i) {
    const std::size_t j = random() % (i + 1);
    std::swap(x[i], x[j]);
    std::swap(y[i], y[j]);
  }
  return {"condition " + std::to_string(condition), x, y};
}

// Pairs of vectors to multiply; also each x is a vector to sum.
inline std::vector<hard_pair> hard_vectors(std::size_t n) {
  std::mt19937 random(static_cast<unsigned>(n) + 7);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> unit(0, 1);
  const auto make = [&](auto&& element) {
    std::vector<float> v(n);
    for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<float>(element(i));
    return v;
  };
  const auto any = [&](std::size_t) { return normal(random); };
  const auto positive = [&](std::size_t) { return unit(random); };
  const auto wide = [&](std::size_t) {
    return std::ldexp(normal(random), static_cast<int>(random() % 60) - 30);
  };
  const auto alternating = [&](std::size_t i) {
    return (i % 2 == 0 ? 1 : -1) * (1 + unit(random));
  };
  const auto subnormal = [&](std::size_t) { return std::ldexp(normal(random), -130); };
  const auto small = [&](std::size_t) { return std::ldexp(normal(random), -20); };
  std::vector<hard_pair> all = {
      {"normal", make(any), make(any)},
      {"positive", make(positive), make(positive)},
      {"wide", make(wide), make(wide)},
      {"alternating", make(alternating), make(positive)},
      {"subnormal", make(subnormal), make(subnormal)},
      {"subnormal products", make(small), make(subnormal)},
      {"one giant", make(small), make(any)},
      {"all equal", std::vector<float>(n, 0.1f), std::vector<float>(n, 0.3f)}};
  if (n != 0) all[6].x[n / 3] = 1e30f;
  // Cancellation: what the first half adds, the second takes away, but for one element.
  hard_pair cancelling = {"cancelling", make(any), std::vector<float>(n, 1.0f)};
  for (std::size_t i = 0; i < n / 2; ++i) cancelling.x[n - 1 - i] = -cancelling.x[i] * 1.0000002f;
  all.push_back(cancelling);
  if (n >= 6) {
    all.push_back(ill_conditioned(n, 1e4, 1));
    all.push_back(ill_conditioned(n, 1e8, 2));
  }
  return all;
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_FIDELITY_HARD_DATA_H_
