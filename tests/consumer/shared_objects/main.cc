// SPDX-License-Identifier: Apache-2.0
// Asks two shared objects to compute. With LINKED they are part of the program; without, it loads them:
// load <file.so> <name> <file.so> <name>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "halfway/core/error.h"

extern "C" {
float product_one(float);
float product_two(float);
float sum_one(const float*, unsigned);
float sum_two(const float*, unsigned);
const char* target_one();
const char* target_two();
bool refuses_one();
bool refuses_two();
void throw_one();
void throw_two();
}

namespace {

int failures = 0;

void expect(bool holds, const char* what, const char* name) {
  if (holds) return;
  std::printf("%s of %s is wrong\n", what, name);
  ++failures;
}

struct shared_object {
  const char* name;
  decltype(&product_one) product;
  decltype(&sum_one) sum;
  decltype(&target_one) target;
  decltype(&refuses_one) refuses;
  decltype(&throw_one) throws;
};

#if !defined(LINKED)
shared_object load(const char* file, const char* name) {
  void* handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    std::puts(dlerror());
    std::exit(1);
  }
  const auto find = [&]<class F>(F*, const char* prefix) {
    return reinterpret_cast<F*>(dlsym(handle, (std::string(prefix) + name).c_str()));
  };
  return {name,
          find(product_one, "product_"),
          find(sum_one, "sum_"),
          find(target_one, "target_"),
          find(refuses_one, "refuses_"),
          find(throw_one, "throw_")};
}
#endif

// 300 products of v and 1/4: exact in bfloat16 and float.
void check(const shared_object& so) {
  const float x[] = {1, 2, 3, 4, 5, 6, 7};
  expect(so.product(1.0f) == 75.0f, "The product", so.name);
  expect(so.product(2.0f) == 150.0f, "The second product", so.name);
  expect(so.sum(x, 7) == 28.0f, "The sum", so.name);
  expect(so.target()[0] != 0, "The target", so.name);
  expect(so.refuses(), "The error", so.name);
  bool caught = false;
  try {
    so.throws();
  } catch (const halfway::error&) {
    caught = true;
  }
  expect(caught, "The error that leaves it", so.name);
}

}  // namespace

int main([[maybe_unused]] int argc, [[maybe_unused]] char** argv) {
#if defined(LINKED)
  const shared_object first{"one", product_one, sum_one, target_one, refuses_one, throw_one};
  const shared_object second{"two", product_two, sum_two, target_two, refuses_two, throw_two};
#else
  if (argc != 5) return 2;
  const shared_object first = load(argv[1], argv[2]);
  const shared_object second = load(argv[3], argv[4]);
#endif
  check(first);
  check(second);
  check(first);
  return failures == 0 ? 0 : 1;
}
