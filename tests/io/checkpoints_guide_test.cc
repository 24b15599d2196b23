// SPDX-License-Identifier: Apache-2.0
// The code of docs/checkpoints.md, as it stands there.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <span>
#include <vector>

#include "halfway/io/checkpoint.h"
#include "halfway/io/npy.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_shards.h"
#include "halfway/io/safetensors_writer.h"
#include "halfway/training/adam.h"
#include "support/guide.h"
#include "support/temporary_folder.h"

namespace {

// The names in the guide are of files in the folder at hand.
class CheckpointsGuide : public ::testing::Test {
 protected:
  CheckpointsGuide() { std::filesystem::current_path(folder_.path()); }
  ~CheckpointsGuide() override { std::filesystem::current_path("/"); }

  halfway::testing::temporary_folder folder_;
};

TEST_F(CheckpointsGuide, WritesAndReads) {
  const std::vector<float> weights(256 * 128, 0.5f), norm(3, 2.0f);
  {
    halfway::safetensors_writer out;
    out.add("norm.weight", norm);
    out.write("1.safetensors");
  }
  {
    halfway::safetensors_writer out;
    out.add("fc1.weight", weights, {256, 128});  // refers to them until write()
    out.set_metadata("format", "pt");
    out.write("model.safetensors");
    out.add("norm.weight", norm);
    out.write("model.safetensors");
  }
  {
    const halfway::safetensors_file file("model.safetensors");
    for (const halfway::tensor_info& t : file.tensors())
      std::cout << t.name << ' ' << t.type << '\n';
    // Stored as F32 or F16: one rounding; as F8: exact.
    auto w = file.load_matrix<halfway::bfloat16>("fc1.weight");
    // No copy; an error if it is stored otherwise.
    std::span<const float> raw = file.view<float>("norm.weight");
    EXPECT_EQ(w(255, 127), halfway::bfloat16(0.5f));
    EXPECT_EQ(raw[2], 2.0f);
  }
  std::filesystem::rename("model.safetensors", "2.safetensors");
  std::ofstream("model.safetensors.index.json")
      << R"({"weight_map": {"fc1.weight": "2.safetensors", "norm.weight": "2.safetensors"}})";
  const halfway::safetensors_shards model("model.safetensors.index.json");
  auto w = model.file_of("fc1.weight").load_matrix<halfway::bfloat16>("fc1.weight");
  EXPECT_EQ(w(0, 0), halfway::bfloat16(0.5f));
}

TEST_F(CheckpointsGuide, Continues) {
  const std::vector<float> master(256 * 128, 0.5f);
  const std::vector<halfway::bfloat16> model(256 * 128, halfway::bfloat16(0.5f));
  const halfway::adam_state adam_state{};
  const halfway::loss_scaler scaler;
  const std::uint64_t seed = 7, words_used = 1024, step = 100, epoch = 2, samples_seen_in_it = 640;
  halfway::checkpoint_writer out;
  out.weights("fc1", master, {256, 128});                                    // FP32
  out.weights("fc1.model", model, {256, 128}, halfway::weight_role::model);  // bfloat16, say
  out.optimizer("fc1", adam_state);
  out.scaler(scaler);
  out.random("dropout", {.seed = seed, .next = words_used});  // types/philox.h
  out.progress({.step = step, .epoch = epoch, .position = samples_seen_in_it});
  out.write("run.safetensors");
  const halfway::checkpoint_reader in("run.safetensors");
  EXPECT_EQ(in.progress().position, 640u);
}

TEST_F(CheckpointsGuide, GoesToNumpyAndBack) {
  const halfway::matrix<float> logits(10, 3);
  halfway::write_npy("logits.npy", logits.elements(), {logits.rows(), logits.cols()});
  const halfway::npy_file file("logits.npy");
  auto x = file.load_matrix<halfway::half>();  // from any type and order
  EXPECT_EQ(x.rows(), 10u);
}

TEST(CheckpointsGuideText, IsTested) {
  // The sealed files' are in integrity_test.cc, which needs libsodium.
  const std::string folder = HALFWAY_IO_TESTS;
  EXPECT_GE(halfway::testing::expect_blocks_in(
                HALFWAY_CHECKPOINTS_GUIDE,
                {folder + "/checkpoints_guide_test.cc", folder + "/integrity_test.cc"}),
            6u);
}

}  // namespace
