// SPDX-License-Identifier: Apache-2.0
// The program as a release would run it: what is in its files, what it says was lost, exit codes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "examples/run_command.h"
#include "halfway/fidelity/comparison.h"
#include "halfway/io/checkpoint.h"
#include "halfway/io/npy.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_writer.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/cast.h"
#include "halfway/types/half.h"
#include "halfway/types/int4.h"
#include "support/guide.h"
#include "support/temporary_folder.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::safetensors_file;
using halfway::safetensors_writer;
using halfway::testing::command_result;
using halfway::testing::run_command;

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<float> waves(std::size_t n) {
  std::vector<float> x;
  for (std::size_t i = 0; i < n; ++i) x.push_back(std::sin(static_cast<float>(i) * 0.7f + 1) / 3);
  return x;
}

class ConvertCheckpoint : public ::testing::Test {
 protected:
  command_result run(const std::vector<std::string>& more, const std::string& in = "in.safetensors",
                     const std::string& out = "out.safetensors") {
    std::vector<std::string> words = {CONVERT_CHECKPOINT_PROGRAM, folder_.file(in),
                                      folder_.file(out)};
    words.insert(words.end(), more.begin(), more.end());
    return run_command(words);
  }
  safetensors_file out() const { return safetensors_file(folder_.file("out.safetensors")); }

  // One tensor of rows of 50 values, in.safetensors.
  void write_weights(const std::vector<float>& w) {
    safetensors_writer file;
    file.add("fc1.weight", w, {w.size() / 50, 50});
    file.write(folder_.file("in.safetensors"));
  }

  // What the program says of a tensor in JSON.
  nlohmann::json report_of(const command_result& r, const std::string& tensor) {
    EXPECT_EQ(r.status, 0) << r.output;
    const auto all = nlohmann::json::parse(r.output);
    for (const auto& t : all.at("tensors")) {
      if (t.at("name") == tensor) return t;
    }
    ADD_FAILURE() << tensor << " is not in " << r.output;
    return {};
  }

  halfway::testing::temporary_folder folder_;
};

TEST_F(ConvertCheckpoint, RoundsEachTensorOnceByTheFirstRuleThatMatches) {
  const std::vector<float> w = waves(200), norm = waves(10);
  const std::vector<double> wide = {1.0 + 0x1p-11 + 0x1p-40, 0.1};
  const std::vector<std::int64_t> steps = {1, 2};
  safetensors_writer file;
  file.add("fc1.weight", w, {4, 50});
  file.add("fc1.norm", norm);
  file.add("wide", wide);
  file.add("steps", steps);
  file.set_metadata("format", "pt");
  file.write(folder_.file("in.safetensors"));
  const command_result r = run({"--to", "bf16", "--rule", ".*norm|x=keep", "--rule", "w.de=f16",
                                "--rule", "wide=f32", "--report", "json"});
  const nlohmann::json report = report_of(r, "fc1.weight");
  const safetensors_file converted = out();
  std::vector<bfloat16> expected(w.size());
  halfway::convert(w, expected);
  EXPECT_EQ(converted.load_exact<bfloat16>("fc1.weight"), expected);
  EXPECT_EQ(converted.at("fc1.weight").shape, (std::vector<std::uint64_t>{4, 50}));
  EXPECT_EQ(converted.load_exact<float>("fc1.norm"), norm);
  EXPECT_EQ(converted.load_exact<std::int64_t>("steps"), steps);
  // From double, by way of float, 1 + 2^-11 + 2^-40 would be a tie, and 1.
  EXPECT_EQ(static_cast<float>(converted.load_exact<half>("wide")[0]), 1.0f + 0x1p-10f);
  EXPECT_EQ(converted.metadata().at("format"), "pt");
  EXPECT_EQ(converted.metadata().at("halfway.weights.fc1.weight"), "role=model,format=bfloat16");
  EXPECT_EQ(converted.metadata().count("halfway.weights.fc1.norm"), 0u);

  // The library's own figures.
  halfway::comparison c;
  c.add(w, expected);
  EXPECT_EQ(report.at("from"), "F32");
  EXPECT_EQ(report.at("to"), "bfloat16");
  EXPECT_DOUBLE_EQ(report.at("max_absolute_error"), c.max_absolute_error());
  EXPECT_DOUBLE_EQ(report.at("max_relative_error"), c.max_relative_error());
  EXPECT_NEAR(report.at("sqnr_db"), c.sqnr_db(), 1e-9);  // sums in the same order, squares alike
  EXPECT_EQ(report.at("bytes_before"), 800);
  EXPECT_EQ(report.at("bytes_after"), 400);
  EXPECT_FALSE(report_of(r, "fc1.norm").at("converted"));
  EXPECT_GT(report_of(r, "wide").at("max_relative_error"), 0.0);
}

TEST_F(ConvertCheckpoint, CountsWhatIsFlushedOverflowsAndSaturates) {
  // As half: the first five become 0, 65504 stays, 65519 rounds to it, the next two do not.
  std::vector<float> w(50, 1.0f);
  const std::vector<float> hard = {1e-9f,    -1e-8f,   0x1p-25f, 0.0f,     -0.0f,        65504.0f,
                                   65519.0f, 65520.0f, -1e9f,    infinity, std::nanf("")};
  std::copy(hard.begin(), hard.end(), w.begin());
  write_weights(w);
  nlohmann::json t = report_of(run({"--to", "f16", "--report", "json"}), "fc1.weight");
  EXPECT_EQ(t.at("flushed"), 3);
  EXPECT_DOUBLE_EQ(t.at("flushed_share"), 3.0 / 46);  // 48 finite, 2 of them 0
  EXPECT_EQ(t.at("overflowed"), 2);
  EXPECT_EQ(t.at("saturated"), 0);
  EXPECT_EQ(t.at("non_finite_in"), 2);
  EXPECT_EQ(t.at("sqnr_db"), "-inf");
  EXPECT_DOUBLE_EQ(t.at("max_absolute_error"), 15);
  t = report_of(run({"--to", "f16", "--saturate", "--report", "json"}), "fc1.weight");
  EXPECT_EQ(t.at("overflowed"), 0);
  EXPECT_EQ(t.at("saturated"), 1);  // 65520 is half a step from 65504: as far as rounding goes
  EXPECT_EQ(static_cast<float>(out().load_exact<half>("fc1.weight")[8]), -65504.0f);
  // float8_e4m3fn has no infinity: 464 rounds down to 448, past it is NaN.
  w.assign(50, 1.0f);
  w[0] = 464;
  w[1] = std::nextafter(464.0f, infinity);
  write_weights(w);
  t = report_of(run({"--to", "float8_e4m3fn", "--report", "json"}), "fc1.weight");
  EXPECT_EQ(t.at("overflowed"), 1);
  EXPECT_EQ(t.at("saturated"), 0);
  EXPECT_DOUBLE_EQ(t.at("max_absolute_error"), 16);
  EXPECT_TRUE(isnan(out().load_exact<halfway::float8_e4m3fn>("fc1.weight")[1]));
}

TEST_F(ConvertCheckpoint, WritesNothingWhereALimitIsMissed) {
  write_weights(waves(100));
  std::ofstream(folder_.file("out.safetensors")) << "old";
  // bfloat16 errs by 2^-9 of a value at most: an SQNR of at least 54 dB, and by these sines below 70.
  for (const std::vector<std::string>& limit :
       std::vector<std::vector<std::string>>{{"--to", "bf16", "--min-sqnr", "70"},
                                             {"--to", "float8_e4m3fn", "--max-flushed", "0",
                                              "--rule", "none=keep", "--min-sqnr", "200"}}) {
    const command_result r = run(limit);
    EXPECT_EQ(r.status, 1) << r.output;
    EXPECT_NE(r.output.find("min-sqnr"), std::string::npos) << r.output;
    EXPECT_NE(r.output.find("nothing was written"), std::string::npos) << r.output;
    EXPECT_EQ(halfway::testing::text_of_file(folder_.file("out.safetensors")), "old");
    EXPECT_FALSE(std::filesystem::exists(folder_.file("out.safetensors.part")));
  }
  EXPECT_EQ(run({"--to", "bf16", "--min-sqnr", "54", "--max-flushed", "0"}).status, 0);
  std::vector<float> w(50, 1.0f);
  w[7] = 1e-30f;
  w[8] = 1e30f;
  write_weights(w);
  EXPECT_EQ(run({"--to", "f16", "--max-flushed", "0.01"}).status, 1);
  EXPECT_EQ(run({"--to", "f16", "--max-flushed", "0.03"}).status, 0);
  EXPECT_EQ(run({"--to", "f16", "--max-overflowed", "0"}).status, 1);
  EXPECT_EQ(run({"--to", "f16", "--saturate", "--max-overflowed", "0"}).status, 1);
  EXPECT_EQ(run({"--to", "f16", "--max-overflowed", "1"}).status, 0);
  EXPECT_EQ(run({"--to", "f16", "--min-sqnr", "0"}).status, 1);  // a value became infinite
}

TEST_F(ConvertCheckpoint, Returns2ForBadInput) {
  write_weights({std::vector<float>(50, infinity)});
  const auto refuses = [&](const std::vector<std::string>& more, const std::string& part,
                           const std::string& in = "in.safetensors",
                           const std::string& to = "out.safetensors") {
    const command_result r = run(more, in, to);
    EXPECT_EQ(r.status, 2) << r.output;
    EXPECT_NE(r.output.find(part), std::string::npos) << part << " is not in " << r.output;
    EXPECT_FALSE(std::filesystem::exists(folder_.file(to)));
  };
  refuses({"--to", "f17"}, "\"f17\" is none of");
  refuses({"--rule", "a"}, "is not pattern=type");
  refuses({"--rule", "(=f16"}, "--rule \"(=f16\": ");
  refuses({"--rule", "a=f17"}, "\"f17\" is none of");
  refuses({"--max-flushed", "2"}, "max-flushed");
  refuses({"--report", "xml"}, "--report");
  refuses({"--to", "int8"}, "\"fc1.weight\" has inf as element 0, which int8 can't hold");
  refuses({"--to", "int4"}, "which int4 can't hold");
  refuses({}, "cannot open", "none.safetensors");
  refuses({}, "cannot open", "none.npy");
  refuses({"--void-type", "x"}, "--void-type \"x\" is no type");
  refuses({"--to", "mxfp4"}, "holds one tensor, not 2", "in.safetensors", "out.npy");
  refuses({}, "cannot create", "in.safetensors", "none/out.safetensors");
  std::ofstream(folder_.file("bad.safetensors")) << "not one";
  refuses({}, "bad.safetensors\" has", "bad.safetensors");
  std::ofstream(folder_.file("bad.npy")) << "not one";
  refuses({}, "does not begin as a .npy file", "bad.npy");
  const std::vector<float> odd(3);
  safetensors_writer file;
  file.add("odd", odd);
  file.add("odd.scales", odd);
  file.write(folder_.file("odd.safetensors"));
  refuses({"--to", "mxfp4"}, "has an odd number of elements (3)", "odd.safetensors");
  refuses({"--to", "mxfp8", "--rule", "odd.scales=keep"}, "\"odd.scales\" has been added already",
          "odd.safetensors");
}

// What is written, read as docs/checkpoints.md says.
TEST_F(ConvertCheckpoint, QuantizesAsTheLibraryDoes) {
  std::vector<float> w = waves(4 * 50);
  w[0] = 7.5f / 16;  // the largest; its block's scale is 1/16 for mxfp4 and 1/1024 for mxfp8
  write_weights(w);
  const auto error_of = [&](const std::vector<double>& y) {
    double most = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      most = std::max(most, std::abs(y[i] - static_cast<double>(w[i])));
    }
    return most;
  };
  std::vector<double> y(w.size());

  nlohmann::json t = report_of(run({"--to", "int8", "--report", "json"}), "fc1.weight");
  {
    EXPECT_EQ(out().metadata().at("halfway.weights.fc1.weight"), "role=model,format=int8");
    const std::string text = out().metadata().at("halfway.affine.fc1.weight");
    const double scale = static_cast<double>(std::stof(text.substr(text.find('=') + 1)));
    EXPECT_NE(text.find(",zero_point=0"), std::string::npos);
    const auto codes = out().load_exact<std::int8_t>("fc1.weight");
    for (std::size_t i = 0; i < w.size(); ++i) y[i] = scale * codes[i];
    EXPECT_LE(error_of(y), (0.5 + 0x1p-15) * scale);  // choose_affine_params' bound
    EXPECT_DOUBLE_EQ(t.at("max_absolute_error"), error_of(y));
    EXPECT_EQ(t.at("saturated"), 0);
    EXPECT_EQ(t.at("bytes_after"), 200);
  }

  t = report_of(run({"--to", "int4", "--report", "json"}), "fc1.weight");
  {
    const auto bytes = out().load_exact<std::uint8_t>("fc1.weight");
    const auto scales = out().load_exact<float>("fc1.weight.scales");
    EXPECT_EQ(out().at("fc1.weight").shape, (std::vector<std::uint64_t>{4, 25}));
    EXPECT_EQ(out().at("fc1.weight.scales").shape, (std::vector<std::uint64_t>{4, 2}));
    EXPECT_EQ(out().metadata().at("halfway.blocks.fc1.weight"), "size=32");
    double bound = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const std::size_t row = i / 50, col = i % 50;
      const std::uint8_t byte = bytes[row * 25 + col / 2];
      const auto code = col % 2 == 0 ? halfway::low_int4<halfway::int4>(byte)
                                     : halfway::high_int4<halfway::int4>(byte);
      const double scale = static_cast<double>(scales[row * 2 + col / 32]);
      y[i] = scale * static_cast<int>(code);
      bound = std::max(bound, scale * (0.5 + 0x1p-15));
    }
    EXPECT_LE(error_of(y), bound);
    EXPECT_DOUBLE_EQ(t.at("max_absolute_error"), error_of(y));
    EXPECT_EQ(t.at("bytes_after"), 100 + 4 * 2 * 4);
  }

  const auto mx = [&](const std::string& name, std::size_t bits, double share) {
    t = report_of(run({"--to", name, "--report", "json"}), "fc1.weight");
    const safetensors_file file = out();
    const auto bytes = file.bytes("fc1.weight");
    const auto scales = file.load_exact<halfway::float8_e8m0fnu>("fc1.weight.scales");
    EXPECT_EQ(out().at("fc1.weight").shape, (std::vector<std::uint64_t>{4, 50}));
    EXPECT_EQ(out().metadata().at("halfway.weights.fc1.weight"), "role=model,format=" + name);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double scale =
          static_cast<double>(static_cast<float>(scales[i / 50 * 2 + i % 50 / 32]));
      const auto byte = static_cast<std::uint8_t>(bytes[i * bits / 8]);
      y[i] = scale * static_cast<double>(
                         bits == 8 ? static_cast<float>(halfway::float8_e4m3fn::from_bits(byte))
                                   : static_cast<float>(halfway::float4_e2m1fn::from_bits(
                                         static_cast<std::uint8_t>(byte >> (4 * (i % 2)) & 15))));
    }
    EXPECT_LE(error_of(y), share * 7.5 / 16);  // of the largest magnitude
    EXPECT_DOUBLE_EQ(t.at("max_absolute_error"), error_of(y));
  };
  mx("mxfp8", 8, 1.0 / 8);  // quantize_mx's bounds
  EXPECT_EQ(t.at("bytes_after"), 200 + 8);
  mx("mxfp4", 4, 1.0 / 4);
  EXPECT_EQ(t.at("bytes_after"), 100 + 8);
  EXPECT_EQ(t.at("saturated"), 1);  // 7.5 scales as 6, of which half a step is 1
}

TEST_F(ConvertCheckpoint, ReadsAndWritesNumpysFiles) {
  const std::vector<double> x = {0.1, -2.5, 1.0 + 0x1p-11 + 0x1p-40, 3, 4, 5};
  halfway::write_npy(folder_.file("logits.npy"), x, {2, 3},
                     {.fortran_order = true, .big_endian = true});
  ASSERT_EQ(run({"--to", "f16"}, "logits.npy").status, 0);
  const auto y = out().load_exact<half>("logits");
  EXPECT_EQ(out().at("logits").shape, (std::vector<std::uint64_t>{2, 3}));
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], halfway::ieee_cast<half>(x[i]));
  // And back, and to bfloat16, which NumPy has no name for.
  ASSERT_EQ(run({"--to", "f32"}, "out.safetensors", "again.npy").status, 0);
  const auto again = halfway::npy_file(folder_.file("again.npy")).load_exact<float>();
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(again[i], static_cast<float>(y[i]));
  ASSERT_EQ(run({"--to", "bf16"}, "logits.npy", "b.npy").status, 0);
  EXPECT_EQ(halfway::npy_file(folder_.file("b.npy")).load_exact<bfloat16>()[1], bfloat16(-2.5f));
  ASSERT_EQ(run({"--to", "float8_e4m3fn"}, "logits.npy", "e.npy").status, 0);
  EXPECT_EQ(run({"--to", "f32"}, "e.npy").status, 2);
  ASSERT_EQ(run({"--to", "f32", "--void-type", "float8_e4m3fn"}, "e.npy").status, 0);
  EXPECT_EQ(out().load_exact<float>("e")[1], -2.5f);
}

TEST_F(ConvertCheckpoint, ReadsShardsAndLeavesOptimizersAlone) {
  const std::vector<float> a = waves(10), b = waves(20);
  safetensors_writer first, second;
  first.add("a", a);
  second.add("b", b);
  first.write(folder_.file("1.safetensors"));
  second.write(folder_.file("2.safetensors"));
  std::ofstream(folder_.file("in.index.json"))
      << R"({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})";
  ASSERT_EQ(run({"--to", "bf16"}, "in.index.json").status, 0);
  EXPECT_EQ(out().tensors().size(), 2u);
  EXPECT_EQ(out().load_exact<bfloat16>("b")[19], bfloat16(b[19]));

  halfway::checkpoint_writer run_of;
  run_of.weights("fc1", a, {10});
  halfway::adam_state state;
  state.step = 3;
  state.first.assign(10, 0.1f);
  state.second.assign(10, 0.2f);
  run_of.optimizer("fc1", state);
  run_of.progress({.step = 3, .epoch = 0, .position = 1});
  run_of.write(folder_.file("run.safetensors"));
  ASSERT_EQ(run({"--to", "bf16"}, "run.safetensors").status, 0);
  const halfway::checkpoint_reader in(folder_.file("out.safetensors"));
  halfway::adam_state loaded;
  in.optimizer("fc1", loaded);
  EXPECT_EQ(loaded.second, state.second);
  EXPECT_EQ(in.role("fc1"), halfway::weight_role::model);
  std::vector<bfloat16> weights(10);
  in.weights("fc1", weights);
  EXPECT_EQ(weights[3], bfloat16(a[3]));
  ASSERT_EQ(run({"--rule", "fc1[.]optimizer[.].*=f16"}, "run.safetensors").status, 0);
  EXPECT_EQ(out().at("fc1.optimizer.first").type, "F16");  // if one insists
}

// A model of 48 MB by a program that may have 20: tensors of 4 MB pass through it.
TEST_F(ConvertCheckpoint, HasOneTensorInMemory) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the address sanitizer takes memory of its own";
#endif
  const std::vector<float> w = waves(1 << 20);
  safetensors_writer file;
  for (int i = 0; i < 12; ++i) file.add("w" + std::to_string(i), w);
  file.write(folder_.file("in.safetensors"));
  const std::string command = std::string("ulimit -d 20480; exec ") + CONVERT_CHECKPOINT_PROGRAM +
                              " " + folder_.file("in.safetensors") + " " +
                              folder_.file("out.safetensors") + " --report none --to ";
  const command_result r = run_command({"sh", "-c", command + "bf16"});
  EXPECT_EQ(r.status, 0) << r.output;
  EXPECT_EQ(out().tensors().size(), 12u);
  EXPECT_EQ(out().view<bfloat16>("w11")[77], bfloat16(w[77]));
}

}  // namespace
