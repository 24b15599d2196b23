// SPDX-License-Identifier: Apache-2.0
// A training that is killed goes on to the same bits.
#include "halfway/io/checkpoint.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/types/philox.h"
#include "support/expect_error.h"
#include "support/small_training.h"
#include "support/temporary_folder.h"

namespace {

using halfway::checkpoint_reader;
using halfway::checkpoint_writer;
using halfway::testing::expect_error;
using halfway::testing::small_network;
using halfway::testing::temporary_folder;

constexpr std::size_t batch = 32, epoch_size = 100;

// Everything that the next step depends on.
struct training {
  small_network net;
  std::array<halfway::adam_state, small_network::parameters> states;
  halfway::loss_scaler scaler{
      halfway::loss_scaler_options{.initial_scale = 1024, .growth_interval = 3}};
  halfway::random_stream noise{.seed = 5, .next = 0};
  halfway::training_progress progress;

  bool operator==(const training& other) const {
    bool same = states == other.states && scaler == other.scaler && noise == other.noise &&
                progress == other.progress;
    for (std::size_t p = 0; p < small_network::parameters; ++p) {
      same = same && std::ranges::equal(std::as_bytes(std::span(net.master[p])),
                                        std::as_bytes(std::span(other.net.master[p])));
      same = same && std::ranges::equal(std::as_bytes(std::span(net.model[p])),
                                        std::as_bytes(std::span(other.net.model[p])));
    }
    return same;
  }

  void step() {
    std::vector<std::vector<float>> gradients = small_network::make_gradients();
    net.backward({progress.epoch * epoch_size + progress.position, batch}, scaler.scale(),
                 gradients);
    for (std::vector<float>& g : gradients) {
      for (float& x : g) x *= 1.0f + 0.125f * halfway::testing::uniform(noise.seed, noise.next++);
    }
    // An overflow now and then, so that the scaler has a history.
    if (progress.step % 11 == 7) gradients[2][0] = std::numeric_limits<float>::infinity();
    {
      const auto unscale = scaler.begin_unscale();
      for (std::vector<float>& g : gradients) unscale(g);
    }
    if (scaler.should_step()) net.step(halfway::adam({.learning_rate = 0.01}), states, gradients);
    scaler.update();
    ++progress.step;
    progress.position += batch;
    if (progress.position >= epoch_size) {
      progress.position = 0;
      ++progress.epoch;
    }
  }

  void save(const std::string& path) const {
    checkpoint_writer out;
    for (std::size_t p = 0; p < small_network::parameters; ++p) {
      const std::string name = "p" + std::to_string(p);
      out.weights(name, net.master[p], {small_network::sizes[p]});
      out.weights(name + ".model", net.model[p], {small_network::sizes[p]},
                  halfway::weight_role::model);
      out.optimizer(name, states[p]);
    }
    out.scaler(scaler);
    out.random("noise", noise);
    out.progress(progress);
    out.write(path);
  }

  void load(const std::string& path) {
    const checkpoint_reader in(path);
    for (std::size_t p = 0; p < small_network::parameters; ++p) {
      const std::string name = "p" + std::to_string(p);
      in.weights(name, net.master[p]);
      in.weights(name + ".model", net.model[p]);
      in.optimizer(name, states[p]);
    }
    scaler = in.scaler();
    noise = in.random("noise");
    progress = in.progress();
  }
};

TEST(Checkpoint, AKilledRunGoesOnToTheSameBits) {
  const temporary_folder folder;
  const std::string path = folder.file("run.safetensors");
  constexpr std::uint64_t steps = 40;
  training whole;
  for (std::uint64_t i = 0; i < steps; ++i) whole.step();
  EXPECT_GT(whole.scaler.statistics().skipped, 2u);
  EXPECT_GT(whole.scaler.statistics().growths, 2u);

  // Dies with 12, 23 and 34 steps done; the checkpoints, at every third step, have 12, 21 and 33.
  for (const std::uint64_t dies_at : {12u, 23u, 34u}) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      training run;
      if (std::filesystem::exists(path)) run.load(path);
      while (run.progress.step < steps) {
        if (run.progress.step == dies_at) ::kill(::getpid(), SIGKILL);
        run.step();
        if (run.progress.step % 3 == 0) run.save(path);
      }
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }
  training resumed;
  resumed.load(path);
  EXPECT_EQ(resumed.progress.step, 33u);
  while (resumed.progress.step < steps) resumed.step();
  EXPECT_TRUE(resumed == whole);

  // Each part matters: with one of them lost, the bits are others.
  const auto differs_without = [&](auto&& lose) {
    training run;
    run.load(path);
    lose(run);
    while (run.progress.step < steps) run.step();
    return !(run == whole);
  };
  EXPECT_FALSE(differs_without([](training&) {}));
  EXPECT_TRUE(differs_without([](training& t) { t.states[0] = {}; }));
  EXPECT_TRUE(differs_without([](training& t) { t.states[1].step -= 1; }));
  EXPECT_TRUE(differs_without([](training& t) { t.noise.next = 0; }));
  EXPECT_TRUE(differs_without([](training& t) { t.progress.position = 0; }));
  EXPECT_TRUE(differs_without([](training& t) {
    for (float& x : t.net.master[0]) x = static_cast<float>(halfway::bfloat16(x));
  }));
}

// A state of the user's.
struct own_state {
  std::vector<std::int64_t> values;
};
template <class State, class Tensor, class Number>
requires std::same_as<std::remove_const_t<State>, own_state> std::string_view visit_optimizer_state(
    State& state, const Tensor& tensor, const Number&) {
  tensor("values", state.values);
  return "own";
}

TEST(Checkpoint, EveryPartComesBack) {
  const temporary_folder folder;
  const std::string path = folder.file("c");
  const std::vector<float> master = {0.1f, std::bit_cast<float>(0x7FC12345u), -0.0f};
  const std::vector<halfway::half> model(3, halfway::half(0.1f));
  const std::vector<std::int8_t> codes = {-128, 5, 127, 0};
  const halfway::affine_params params{0.1f, -7};
  const halfway::sgd_state momentum{{1.5f, -2.5f, 0x1p-149f}, 9};
  const halfway::adam_state fresh;
  checkpoint_writer out;
  out.weights("w", master, {3});
  out.weights("w16", model, {3, 1}, halfway::weight_role::model);
  out.quantized("q", codes, {2, 2}, params);
  out.optimizer("w", momentum);
  out.optimizer("fresh", fresh);
  const halfway::lion_state lion{{0.25f}, 4};
  out.optimizer("lion", lion);
  halfway::adam_8bit_state small{.seed = 77};  // as one real step leaves it
  std::vector<float> stepped(300, 0.5f);
  halfway::adam().step(small, stepped, std::vector<float>(300, -0.3f));
  out.optimizer("small", small);
  const own_state own{{3, 1, 2}};
  out.optimizer("own", own);
  out.random("dropout", {.seed = ~0ull, .next = 1ull << 40});
  out.note("author", "me");
  out.write(path);
  expect_error([&] { out.note("halfway.version", "9"); }, {"must not begin with"});

  const checkpoint_reader in(path);
  std::vector<float> w(3);
  in.weights("w", w);
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(w)), std::as_bytes(std::span(master))));
  EXPECT_EQ(in.role("w"), halfway::weight_role::master);
  EXPECT_EQ(in.role("w16"), halfway::weight_role::model);
  EXPECT_EQ(in.file().metadata().at("halfway.weights.w16"), "role=model,format=float16");
  EXPECT_EQ(in.affine("q"), params);
  EXPECT_EQ(in.file().at("q").shape, (std::vector<std::uint64_t>{2, 2}));
  halfway::sgd_state momentum_back;
  in.optimizer("w", momentum_back);
  EXPECT_EQ(momentum_back, momentum);
  halfway::adam_state fresh_back{{1.0f}, {1.0f}, 1};
  in.optimizer("fresh", fresh_back);
  EXPECT_EQ(fresh_back, fresh);
  halfway::lion_state lion_back;
  in.optimizer("lion", lion_back);
  EXPECT_EQ(lion_back, lion);
  halfway::adam_8bit_state small_back;
  in.optimizer("small", small_back);
  EXPECT_EQ(small_back, small);
  own_state own_back;
  in.optimizer("own", own_back);
  EXPECT_EQ(own_back.values, own.values);
  expect_error([&] { in.optimizer("lion", momentum_back); }, {"\"lion\" is \"lion\", not sgd"});
  EXPECT_EQ(momentum_back, momentum);
  EXPECT_EQ(in.random("dropout"), (halfway::random_stream{~0ull, 1ull << 40}));
  EXPECT_EQ(in.note("author"), "me");
  EXPECT_EQ(in.version(), HALFWAY_VERSION);  // the project's

  // Cast on loading: masters become the model of another precision.
  std::vector<halfway::bfloat16> narrow(3);
  in.file().read("w", narrow);
  EXPECT_EQ(narrow[0].bits(), halfway::bfloat16(0.1f).bits());

  halfway::adam_state untouched{{1.0f}, {2.0f}, 3};
  const halfway::adam_state before = untouched;
  expect_error([&] { in.optimizer("w", untouched); }, {"\"w.optimizer.first\""});
  expect_error([&] { in.optimizer("x", untouched); }, {"has no \"halfway.optimizer_numbers.x\""});
  EXPECT_EQ(untouched, before);
  expect_error([&] { in.weights("w", narrow); }, {"stored as F32, not BF16"});
  expect_error([&] { in.weights("w", std::vector<float>(2)); }, {"y.size() (2)", "3 elements"});
  expect_error([&] { in.scaler(); }, {"has no \"halfway.loss_scaler\" in its metadata"});
  expect_error([&] { in.progress(); }, {"has no \"halfway.progress\""});
  expect_error([&] { in.affine("w"); }, {"has no \"halfway.affine.w\""});
}

TEST(Checkpoint, RefusesOtherFiles) {
  const temporary_folder folder;
  const std::string path = folder.file("c");
  halfway::safetensors_writer out;
  out.write(path);
  expect_error([&] { checkpoint_reader in(path); }, {"has no \"halfway.checkpoint\""});
  out.set_metadata("halfway.checkpoint", "2");
  out.write(path);
  expect_error([&] { checkpoint_reader in(path); }, {"has format \"2\"", "reads 1"});
  out.set_metadata("halfway.checkpoint", "1");
  out.set_metadata("halfway.progress", "step=1,epoch=2,position=-3");
  out.set_metadata("halfway.random.r", "seed=1");
  out.set_metadata("halfway.affine.q", "scale=nan,zero_point=0");
  out.set_metadata("halfway.loss_scaler", "scale=1");
  out.set_metadata("halfway.weights.w", "format=float32");
  out.write(path);
  const checkpoint_reader in(path);
  expect_error([&] { in.progress(); }, {"position=-3 is not a whole number"});
  expect_error([&] { in.random("r"); }, {"has 1 values instead of 2"});
  expect_error([&] { in.affine("q"); }, {"is not scale=...,zero_point=..."});
  expect_error([&] { in.scaler(); }, {"is missing in"});
  expect_error([&] { static_cast<void>(in.role("w")); }, {"has no role"});
}

}  // namespace
