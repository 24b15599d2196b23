// SPDX-License-Identifier: Apache-2.0
// Digests of what all 2^32 floats become by every conversion and elementary function, and all half and
// bfloat16 numbers. Where they are proven on one CPU (ops_convert_exact_test, ops_elementary_test,
// types_test), an equal digest proves them on another.
//
//   every_float [<case>...]                prints "<case> <digest>" of each; without names, of all
//   every_float <expected file> <case>...  compares; exit status 1 names the cases that differ
//
// A case takes seconds on a CPU, and minutes in an emulator.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "halfway/ops/activation.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/elementary.h"
#include "halfway/types/dtype.h"
#include "halfway/types/math.h"

namespace {

constexpr std::size_t chunk = std::size_t{1} << 14;

class digest {
 public:
  void add(const void* data, std::size_t bytes) {  // a multiple of 8
    for (std::size_t i = 0; i < bytes; i += 8) {
      std::uint64_t word;
      std::memcpy(&word, static_cast<const char*>(data) + i, sizeof word);
      hash_ = std::rotl((hash_ ^ word) * 0x9E3779B97F4A7C15u, 29);
    }
  }
  std::string text() const {
    char buffer[17];
    std::snprintf(buffer, sizeof buffer, "%016llx", static_cast<unsigned long long>(hash_));
    return buffer;
  }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

// run(x, first, d) for all floats x, `first` the number of the first.
template <class Run>
std::string of_every_float(const Run& run) {
  digest d;
  std::vector<float> x(chunk);
  std::uint64_t bits = 0;
  while (bits <= 0xFFFFFFFFu) {
    const std::uint64_t first = bits;
    for (float& v : x) v = std::bit_cast<float>(static_cast<std::uint32_t>(bits++));
    run(std::span<const float>(x), first, d);
  }
  return d.text();
}

template <class To>
std::string converted_to_nearest() {
  std::vector<To> y(chunk);
  return of_every_float([&](std::span<const float> x, std::uint64_t, digest& d) {
    halfway::convert(x, y);
    d.add(y.data(), y.size() * sizeof(To));
  });
}
template <class To>
std::string converted_toward_zero() {
  std::vector<To> y(chunk);
  return of_every_float([&](std::span<const float> x, std::uint64_t, digest& d) {
    halfway::convert(x, y, halfway::round_toward_zero{});
    d.add(y.data(), y.size() * sizeof(To));
  });
}
template <class To>
std::string converted_stochastically() {
  std::vector<To> y(chunk);
  return of_every_float([&](std::span<const float> x, std::uint64_t first, digest& d) {
    halfway::convert(x, y, halfway::round_stochastically{.seed = 7, .first = first});
    d.add(y.data(), y.size() * sizeof(To));
  });
}

std::string of_function(void (*f)(std::span<const float> x, std::span<float> y)) {
  std::vector<float> y(chunk);
  return of_every_float([&](std::span<const float> x, std::uint64_t, digest& d) {
    f(x, y);
    for (float& v : y) v = v == v ? v : std::bit_cast<float>(0x7FC00000u);  // all NaN count as one
    d.add(y.data(), y.size() * sizeof(float));
  });
}

// The 16-bit functions, which are correctly rounded, of all 2^16 numbers: ranges and single numbers.
template <class T>
std::string of_every_pattern() {
  constexpr std::size_t all = std::size_t{1} << 16;
  std::vector<T> x(all), y(all);
  for (std::size_t i = 0; i < all; ++i) x[i] = T::from_bits(static_cast<std::uint16_t>(i));
  digest d;
  const auto add = [&] {
    for (T& v : y) v = v == v ? v : std::numeric_limits<T>::quiet_NaN();
    d.add(y.data(), all * sizeof(T));
  };
  const auto add_both = [&](const auto& of_range, const auto& of_one) {
    of_range();
    add();
    for (std::size_t i = 0; i < all; ++i) y[i] = of_one(x[i]);
    add();
  };
#define HALFWAY_TEST_ADD(f) add_both([&] { halfway::f(x, y); }, [](T v) { return halfway::f(v); })
  HALFWAY_TEST_ADD(exp), HALFWAY_TEST_ADD(exp2), HALFWAY_TEST_ADD(log), HALFWAY_TEST_ADD(log2);
  HALFWAY_TEST_ADD(tanh), HALFWAY_TEST_ADD(sigmoid), HALFWAY_TEST_ADD(erf), HALFWAY_TEST_ADD(gelu);
  HALFWAY_TEST_ADD(gelu_tanh), HALFWAY_TEST_ADD(silu), HALFWAY_TEST_ADD(softplus);
  HALFWAY_TEST_ADD(rsqrt), HALFWAY_TEST_ADD(reciprocal), HALFWAY_TEST_ADD(sqrt);
  HALFWAY_TEST_ADD(sin), HALFWAY_TEST_ADD(cos);
#undef HALFWAY_TEST_ADD
  return d.text();
}

using cases = std::map<std::string, std::function<std::string()>>;

template <class... To>
void add_conversions(cases& all) {
  const auto name = [](const char* how, halfway::dtype type) {
    return how + std::string(halfway::name(type));
  };
  ((all[name("nearest/", halfway::dtype_of<To>)] = converted_to_nearest<To>,
    all[name("toward_zero/", halfway::dtype_of<To>)] = converted_toward_zero<To>,
    all[name("stochastic/", halfway::dtype_of<To>)] = converted_stochastically<To>),
   ...);
}

cases all_cases() {
  namespace hw = halfway;
  using in = std::span<const float>;
  using out = std::span<float>;
  cases all;
  add_conversions<hw::half, hw::bfloat16, hw::float8_e4m3fn, hw::float8_e5m2, hw::float8_e4m3fnuz,
                  hw::float8_e5m2fnuz, hw::float8_e8m0fnu, hw::float6_e2m3fn, hw::float6_e3m2fn,
                  hw::float4_e2m1fn, hw::int8, hw::uint8, hw::int4, hw::uint4>(all);
  const auto add = [&](const char* name, void (*f)(in, out)) {
    all[name] = [f] { return of_function(f); };
  };
  all["functions/float16"] = of_every_pattern<hw::half>;
  all["functions/bfloat16"] = of_every_pattern<hw::bfloat16>;
  add("exp", [](in x, out y) { hw::exp(x, y); });
  add("exp2", [](in x, out y) { hw::exp2(x, y); });
  add("log", [](in x, out y) { hw::log(x, y); });
  add("log2", [](in x, out y) { hw::log2(x, y); });
  add("tanh", [](in x, out y) { hw::tanh(x, y); });
  add("sigmoid", [](in x, out y) { hw::sigmoid(x, y); });
  add("erf", [](in x, out y) { hw::erf(x, y); });
  add("gelu", [](in x, out y) { hw::gelu(x, y); });
  add("gelu_tanh", [](in x, out y) { hw::gelu_tanh(x, y); });
  add("silu", [](in x, out y) { hw::silu(x, y); });
  add("softplus", [](in x, out y) { hw::softplus(x, y); });
  add("rsqrt", [](in x, out y) { hw::rsqrt(x, y); });
  add("reciprocal", [](in x, out y) { hw::reciprocal(x, y); });
  add("sqrt", [](in x, out y) { hw::sqrt(x, y); });
  add("sin", [](in x, out y) { hw::sin(x, y); });
  add("cos", [](in x, out y) { hw::cos(x, y); });
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const cases all = all_cases();
  std::vector<std::string> names(argv + 1, argv + argc);
  std::map<std::string, std::string> expected;
  if (!names.empty() && !all.contains(names.front())) {
    std::ifstream file(names.front());
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string name, value;
      if (words >> name >> value) expected[name] = value;
    }
    if (expected.empty()) {
      std::cerr << "every_float: neither a case nor a file of digests: " << names.front() << "\n";
      return 2;
    }
    names.erase(names.begin());
  }
  if (names.empty()) {
    for (const auto& [name, run] : all) names.push_back(name);
  }
  int different = 0;
  for (const std::string& name : names) {
    const auto found = all.find(name);
    if (found == all.end()) {
      std::cerr << "every_float: no case " << name << "\n";
      return 2;
    }
    const std::string got = found->second();
    std::cout << name << " " << got << std::endl;
    if (!expected.empty() && expected[name] != got) {
      std::cerr << name << ": " << expected[name] << " is expected\n";
      ++different;
    }
  }
  return different == 0 ? 0 : 1;
}
