// SPDX-License-Identifier: Apache-2.0
#include "halfway/io/safetensors_shards.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "halfway/io/safetensors_writer.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace {

using halfway::safetensors_shards;
using halfway::testing::expect_error;
using halfway::testing::message_of;
using halfway::testing::temporary_folder;
using namespace std::string_literals;

// Two shards with a and b, and c.
struct model {
  temporary_folder folder;
  std::string index = folder.file("model.safetensors.index.json");

  model() {
    const std::vector<float> one = {1.0f}, two = {2.0f}, three = {3.0f};
    halfway::safetensors_writer first, second;
    first.add("a", one);
    first.add("b", two);
    first.write(folder.file("1.safetensors"));
    second.add("c", three);
    second.write(folder.file("2.safetensors"));
  }

  void write(const std::string& json) const { std::ofstream(index, std::ios::binary) << json; }
  std::string map(const std::string& entries) const {
    return "{\"metadata\":{\"total_size\":12,\"x\":[{\"y\":null}]},\"weight_map\":{" + entries +
           "}}";
  }
};

TEST(SafetensorsShards, FindsTensorsInTheirFiles) {
  const model m;
  m.write(m.map(R"("a":"1.safetensors","b":"1.safetensors","c":"2.safetensors")"));
  safetensors_shards opened(m.index);
  const safetensors_shards shards = std::move(opened);
  EXPECT_EQ(shards.files().size(), 2u);
  EXPECT_TRUE(shards.contains("c"));
  std::vector<float> x(1);
  for (const auto& [name, value] :
       {std::pair("a", 1.0f), std::pair("b", 2.0f), std::pair("c", 3.0f)}) {
    shards.file_of(name).read(name, x);
    EXPECT_EQ(x[0], value);
  }
  expect_error([&] { shards.file_of("d"); },
               {"no tensor \"d\"; did you mean \"a\", \"b\" or \"c\"?"});
}

TEST(SafetensorsShards, RefusesBadIndexes) {
  const model m;
  const std::string good = R"("a":"1.safetensors","b":"1.safetensors","c":"2.safetensors")";
  const struct {
    std::string json, message;
  } table[] = {
      {"", "is not JSON"},
      {"[]", "has an array"},
      {"1", "has a number"},
      {"{}", "has no weight_map"},
      {m.map(good) + "x", "is not JSON"},
      {m.map(good) + "\0x"s, "has a NUL byte"},
      {R"({"weight_map":[]})", "has an array at \"weight_map\""},
      {R"({"weight_map":null})", "has null at \"weight_map\""},
      {R"({"weight_map":{},"weight_map":{}})", "has two weight_maps"},
      {m.map(R"("a":{})"), "has an object at \"a\""},
      {m.map(R"("a":7)"), "has a number at \"a\""},
      {m.map(R"("a":"1.safetensors","a":"1.safetensors")"), "names tensor \"a\" twice"},
      {m.map(R"("a":"../1.safetensors")"), "which is not the plain name of a file"},
      {m.map(R"("a":"/etc/passwd")"), "which is not the plain name of a file"},
      {m.map(R"("a":"..")"), "which is not the plain name of a file"},
      {m.map(R"("a":"")"), "which is not the plain name of a file"},
      {m.map(R"("a":"1.safetensors\u0000")"), "which is not the plain name of a file"},
      {m.map(R"("a":"3.safetensors")"), "No such file"},
      {m.map(R"("a":"2.safetensors")"), "has tensor \"a\" in \"2.safetensors\", where it is not"},
      {m.map(R"("a":"1.safetensors","c":"2.safetensors")"),
       "does not name tensor \"b\" of \"1.safetensors\""},
      {"{\"x\":" + std::string(100000, '['), "is nested deeper than 32"},
  };
  for (const auto& [json, message] : table) {
    m.write(json);
    const std::string said = message_of([&] { safetensors_shards shards(m.index); });
    EXPECT_NE(said.find(message), std::string::npos) << json.substr(0, 100) << ": " << said;
  }
  m.write(m.map(R"("a":"1.safetensors","c":"2.safetensors")"));
  const safetensors_shards shards(m.index, {.lenient = true});
  EXPECT_EQ(shards.ignored(),
            std::vector<std::string>{"does not name tensor \"b\" of \"1.safetensors\""});
  EXPECT_FALSE(shards.contains("b"));
}

}  // namespace
