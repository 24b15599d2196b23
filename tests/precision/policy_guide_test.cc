// SPDX-License-Identifier: Apache-2.0
// Each block of C++ in docs/precision-policy.md as it stands there: a test compares. What runs graphs
// is in runner_test.cc and adaptive_runner_test.cc.
#include <gtest/gtest.h>

#include <array>
#include <cassert>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "halfway/core/thread_pool.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/precision/autocast_executor.h"
#include "halfway/precision/cast_weights.h"
#include "halfway/precision/op_registry.h"
#include "halfway/precision/policy_file.h"
#include "halfway/precision/static_policy.h"
#include "halfway/training/optimizer.h"
#include "support/guide.h"
#include "support/temporary_folder.h"

// The guide's assertions are tests.
#undef assert
#define assert(condition) EXPECT_TRUE(condition)

namespace {

// The block that shows a policy file.
std::string file_of_the_guide() {
  for (const std::string& block : halfway::testing::blocks_of_guide(HALFWAY_GUIDE, "text")) {
    if (block.rfind("# comments", 0) == 0) return block;
  }
  ADD_FAILURE() << "no policy file in the guide";
  return "";
}

template <class T>
void dense(const halfway::matrix<float>& x, const halfway::parameter& weight,
           halfway::matrix<float>& y) {
  halfway::matrix<T> narrow(x.rows(), x.cols());
  halfway::convert(x, narrow);
  halfway::gemm(narrow, halfway::cast_weights<T>(weight), y);
}

void dense(const halfway::matrix<float>& x, const halfway::parameter& weight,
           halfway::matrix<float>& y) {
  switch (halfway::compute_dtype(halfway::op::linear)) {
    case halfway::dtype::bfloat16:
      return dense<halfway::bfloat16>(x, weight, y);
    case halfway::dtype::float16:
      return dense<halfway::half>(x, weight, y);
    default:
      return dense<float>(x, weight, y);
  }
}

template <class T>
halfway::matrix<T> ones(std::size_t rows, std::size_t cols) {
  halfway::matrix<T> m(rows, cols);
  for (T& x : m.elements()) x = T(1.0f);
  return m;
}

TEST(PolicyGuide, TwoLines) {
  const halfway::parameter weight(ones<float>(4, 3));
  const halfway::autocast scope(halfway::dtype::bfloat16);
  const auto w = halfway::cast_weights<halfway::bfloat16>(weight);
  EXPECT_EQ(w.rows(), 4u);
  const halfway::matrix<float> x = ones<float>(2, 4);
  halfway::matrix<float> y(2, 3);
  dense(x, weight, y);
  EXPECT_EQ(y(1, 2), 4.0f);
}

TEST(PolicyGuide, Scopes) {
  const halfway::autocast outer(halfway::amp_bf16);
  assert(halfway::compute_dtype(halfway::op::linear) == halfway::dtype::bfloat16);
  assert(halfway::compute_dtype(halfway::op::softmax) == halfway::dtype::float32);
  {
    const halfway::autocast off(halfway::autocast_off);  // a delicate part
    assert(halfway::compute_dtype(halfway::op::linear) == halfway::dtype::float32);
  }
  {
    const halfway::autocast inner(halfway::dtype::bfloat16,
                                  {{halfway::op::gelu, halfway::dtype::float32}});
    assert(halfway::compute_dtype(halfway::op::gelu) == halfway::dtype::float32);
  }
}

TEST(PolicyGuide, Threads) {
  halfway::thread_pool pool(4);
  const halfway::autocast_executor on(pool);
  const halfway::autocast scope(halfway::amp_bf16);
  std::vector<halfway::dtype> types(8);
  on.run(types.size(),
         [&](std::size_t i) { types[i] = halfway::compute_dtype(halfway::op::linear); });
  std::thread worker(halfway::in_current_scope(
      [] { assert(halfway::compute_dtype(halfway::op::linear) == halfway::dtype::bfloat16); }));
  worker.join();
  EXPECT_EQ(types, std::vector<halfway::dtype>(8, halfway::dtype::bfloat16));
}

TEST(PolicyGuide, Inference) {
  const halfway::autocast serving(halfway::inference, halfway::amp_fp16);
  EXPECT_EQ(halfway::compute_dtype(halfway::op::linear), halfway::dtype::float16);
}

TEST(PolicyGuide, Parameters) {
  const std::vector<float> gradient(256 * 128, 1.0f);
  halfway::parameter weight(halfway::matrix<float>(256, 128));  // owns its values
  halfway::sgd_state state;
  halfway::sgd(halfway::sgd_options{.learning_rate = 0.1}).step(state, weight.write(), gradient);
  EXPECT_EQ(weight.values()(0, 0), -0.1f);
}

TEST(PolicyGuide, Policies) {
  constexpr halfway::cast_policy policy = halfway::amp_bf16;
  assert(to_string(policy) == "params=float32,compute=bfloat16,output=float32");
  assert(halfway::parse_policy("p=f32,c=bf16,o=f32") == policy);
  assert(halfway::parse_policy("amp-bf16") == policy);
}

TEST(PolicyGuide, Presets) {
  const halfway::precision_rules o2 = halfway::preset_rules("O2");
  const halfway::autocast scope(halfway::inference, o2);
  assert(halfway::compute_dtype(halfway::op::softmax) == halfway::dtype::float16);
  assert(halfway::compute_dtype(halfway::op::batchnorm) == halfway::dtype::float32);
}

template <class Policy>
struct feed_forward {
  halfway::matrix<halfway::params_type<Policy>> weights;
  using activation = halfway::compute_type<Policy, "linear", float>;
};
static_assert(std::same_as<feed_forward<halfway::static_amp_bf16>::activation, halfway::bfloat16>);
static_assert(
    std::same_as<halfway::compute_type<halfway::static_amp_bf16, "softmax", float>, float>);

TEST(PolicyGuide, Table) {
  halfway::op_table table;
  table.set(halfway::op::gelu, halfway::op_category::float32);
  table.set(halfway::op::attention, halfway::dtype::float16);  // whatever the policy says
  table.add("gate", halfway::op_category::lower_precision, "its sums are kept in FP32");
  const halfway::autocast scope(halfway::amp_bf16, table);
  assert(halfway::compute_dtype("gate") == halfway::dtype::bfloat16);
}

TEST(PolicyGuide, Layers) {
  halfway::precision_rules rules{halfway::amp_bf16};
  rules.ops.set(halfway::op::softmax, halfway::dtype::bfloat16);
  rules.layers.add("encoder.*.softmax", halfway::dtype::float32, "long sequences");
  const halfway::autocast scope(rules);
  assert(halfway::compute_dtype(halfway::op::softmax, {}, "encoder.0.softmax") ==
         halfway::dtype::float32);
  assert(halfway::compute_dtype(halfway::op::softmax, {}, "decoder.0.softmax") ==
         halfway::dtype::bfloat16);
  assert(rules.explain(halfway::op::softmax, {}, "encoder.0.softmax").why ==
         "encoder.*.softmax=float32: long sequences");
}

TEST(PolicyGuide, Files) {
  const halfway::testing::temporary_folder folder;
  const std::string path = folder.file("encoder.policy");
  std::ofstream(path) << file_of_the_guide();
  const std::vector<std::string> names_of_layers = {"encoder.0.softmax", "head"};
  const halfway::precision_rules rules = halfway::load_policy(path);
  rules.layers.check(names_of_layers);  // every rule matches a layer
  halfway::save_policy(rules, path);    // reads back as the same rules
  const halfway::autocast scope(rules);
  EXPECT_EQ(halfway::load_policy(path), rules);
  EXPECT_EQ(halfway::compute_dtype("gate"), halfway::dtype::bfloat16);
}

TEST(PolicyGuide, CustomOperations) {
  const auto x = ones<halfway::bfloat16>(3, 4);
  halfway::matrix<halfway::bfloat16> y(3, 4);
  halfway::op_registry registry;
  registry.add("swish", [](auto inputs, halfway::matrix_view<float> out) {
    for (std::size_t i = 0; i < out.rows(); ++i) {
      for (std::size_t j = 0; j < out.cols(); ++j) {
        const float v = inputs[0](i, j);
        out(i, j) = v / (1 + std::exp(-v));
      }
    }
  });
  registry.run("swish", y, x);  // matrices or ranges of float, half, bfloat16, float8_*, ...
  assert(registry.counters("swish").fallbacks == 1);
  std::cout << registry.report();  // swish: 1 calls, 1 in fallback, 2 casts of 24 elements
  EXPECT_EQ(registry.report(), "swish: 1 calls, 1 in fallback, 2 casts of 24 elements\n");
}

TEST(PolicyGuide, EachBlockStandsInATest) {
  const std::string folder = HALFWAY_GUIDE_TESTS;
  EXPECT_GE(halfway::testing::expect_blocks_in(
                HALFWAY_GUIDE, {folder + "/policy_guide_test.cc", folder + "/runner_test.cc",
                                folder + "/adaptive_runner_test.cc"}),
            17u);
}

}  // namespace
