// SPDX-License-Identifier: Apache-2.0
// Scalar conversions for other languages: numbers in, patterns out.
//
//   convert_filter float8_e4m3fn float32 < numbers > patterns
//
// `numbers`: float32 or float64 as they lie in memory; `patterns`: of one or two bytes.

#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "types/reference.h"

namespace {

template <class T, class Number>
void filter() {
  std::vector<Number> x(1 << 16);
  std::vector<T> y(x.size());
  for (std::size_t n; (n = std::fread(x.data(), sizeof(Number), x.size(), stdin)) != 0;) {
    for (std::size_t i = 0; i < n; ++i) y[i] = T(x[i]);
    if (std::fwrite(y.data(), sizeof(T), n, stdout) != n) return;
  }
}

template <class... Types>
bool filter_by_name(::testing::Types<Types...>, std::string_view type, std::string_view number) {
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    if (type != halfway::testing::facts_of<T>.name) return false;
    number == "float64" ? filter<T, double>() : filter<T, float>();
    return true;
  };
  return (run(Types()) || ...);
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3 && filter_by_name(halfway::testing::all_formats(), arguments[1], arguments[2])) {
    return 0;
  }
  std::fprintf(stderr, "usage: convert_filter <format> float32|float64 < numbers > patterns\n");
  return 1;
}
