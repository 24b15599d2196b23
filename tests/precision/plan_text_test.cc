// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/plan_text.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/temporary_folder.h"

namespace {

using halfway::graph;
using halfway::make_plan;
namespace op = halfway::op;

graph residual_graph() {
  graph g;
  const auto x = g.input("x", {4, 8});
  const auto w = g.parameter("w", {8, 8});
  const auto h = g.add("fc \"1\"", op::linear, {x, w});
  const auto a = g.add("gelu\\2", op::gelu, {h});
  const auto r = g.add("residual", op::add, {x, g.add("fc2", op::linear, {a, w})});
  const auto n = g.add("norm", op::rmsnorm, {r});
  g.output(g.add("head", op::matmul, {n, r}, {.transposed = true}));
  return g;
}

TEST(PlanText, IsATable) {
  const graph g = residual_graph();
  auto a = halfway::assign(g, halfway::amp_bf16);
  for (std::string& why : a.why) why = why.substr(0, 5);
  EXPECT_EQ(to_string(make_plan(g, a), g),
            "layer          op           compute   reads      writes    bytes  why\n"
            "x              cast                   f32        bf16      192\n"
            "fc \"1\"+gelu\\2  linear+gelu  bfloat16  bf16,bf16  bf16      256    allow; infer\n"
            "fc2            linear       bfloat16  bf16,bf16  f32       320    allow\n"
            "residual+norm  add+rmsnorm  float32   f32,f32    f32,bf16  448    infer; deny:\n"
            "residual       cast                   f32        bf16      192\n"
            "head           matmul       bfloat16  bf16,bf16  f32       192    allow\n"
            "2 casts (384 bytes; 5 if cast on each edge), parameters 128 bytes, read and written "
            "1600 bytes in a run\n");
}

// A reader of the part of Graphviz's language that is used: statements in braces.
class dot_reader {
 public:
  explicit dot_reader(std::string text) : text_(std::move(text)) {
    expect("digraph");
    expect("plan");
    statements();
    ok_ = ok_ && token().empty();
  }
  bool ok() const { return ok_; }
  std::map<std::string, std::map<std::string, std::string>> vertices;
  std::vector<std::pair<std::string, std::string>> edges;
  std::size_t frames = 0;

 private:
  std::string token() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    if (at_ == text_.size()) return {};
    std::string t(1, text_[at_++]);
    if (t == "\"") {
      while (at_ < text_.size() && text_[at_] != '"') {
        const bool escaped = text_[at_] == '\\';
        if (escaped) ++at_;
        const char c = text_[at_++];
        t += escaped && c == 'n' ? '\n' : c;
      }
      ++at_;
      return t;  // keeps the first quotation mark
    }
    if (t == "-" && at_ < text_.size() && text_[at_] == '>') return ++at_, "->";
    const auto in_word = [&] {
      return at_ < text_.size() &&
             (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_');
    };
    if (std::isalnum(static_cast<unsigned char>(t[0])))
      while (in_word()) t += text_[at_++];
    return t;
  }
  std::string peek() {
    const std::size_t before = at_;
    std::string t = token();
    at_ = before;
    return t;
  }
  void expect(std::string_view t) { ok_ = ok_ && token() == t; }

  std::map<std::string, std::string> attributes() {
    std::map<std::string, std::string> all;
    if (peek() != "[") return all;
    token();
    while (ok_ && peek() != "]") {
      const std::string key = token();
      expect("=");
      all[key] = token();
      if (peek() == ",") token();
    }
    expect("]");
    return all;
  }
  void statements() {
    expect("{");
    while (ok_ && peek() != "}") {
      const std::string first = token();
      if (first == "subgraph") {
        ok_ = ok_ && token().starts_with("cluster_");
        ++frames;
        statements();
        continue;
      }
      if (first.empty()) ok_ = false;
      if (peek() == "=") {
        token();
        token();
      } else if (peek() == "->") {
        token();
        edges.emplace_back(first, token());
        attributes();
      } else {
        const auto a = attributes();
        if (first != "node") vertices[first] = a;
      }
      expect(";");
    }
    expect("}");
  }

  std::string text_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

TEST(PlanText, IsADrawing) {
  const graph g = residual_graph();
  const auto plan = make_plan(g, halfway::assign(g, halfway::amp_bf16));
  const dot_reader dot(to_dot(plan, g));
  ASSERT_TRUE(dot.ok()) << to_dot(plan, g);
  std::set<std::string> labels;
  for (const auto& [id, a] : dot.vertices) labels.insert(a.at("label"));
  EXPECT_TRUE(labels.contains("\"fc \"1\"\nlinear bf16"));
  EXPECT_TRUE(labels.contains("\"gelu\\2\ngelu bf16"));
  EXPECT_TRUE(labels.contains("\"residual\nadd f32"));
  EXPECT_TRUE(labels.contains("\"cast to bf16"));
  EXPECT_TRUE(labels.contains("\"head"));  // the output
  EXPECT_EQ(dot.frames, 2u);
  for (const auto& [from, to] : dot.edges) {
    EXPECT_TRUE(dot.vertices.contains(from)) << from;
    EXPECT_TRUE(dot.vertices.contains(to)) << to;
  }
  std::size_t expected = plan.outputs.size();
  for (const auto& s : plan.steps) expected += s.reads.size() + (s.nodes.size() == 2);
  EXPECT_EQ(dot.edges.size(), expected);
}

TEST(PlanText, IsWhatGraphvizReads) {
  if (std::system("dot -V >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no dot";
  const graph g = residual_graph();
  const halfway::testing::temporary_folder folder;
  const std::string file = folder.file("plan.dot");
  std::ofstream(file) << to_dot(make_plan(g, halfway::assign(g, halfway::amp_bf16)), g);
  EXPECT_EQ(std::system(("dot -Tsvg " + file + " >/dev/null 2>" + file + ".err").c_str()), 0);
  EXPECT_EQ(std::filesystem::file_size(file + ".err"), 0u);
}

}  // namespace
