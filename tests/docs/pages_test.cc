// SPDX-License-Identifier: Apache-2.0
// What the pages say of files: links lead somewhere, and the floors of docs/architecture.md are those of the headers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "support/guide.h"

namespace {

namespace fs = std::filesystem;
using halfway::testing::text_of_file;

const fs::path root = HALFWAY_ROOT;

std::vector<fs::path> pages() {
  std::vector<fs::path> found = {root / "README.md"};
  for (const auto& entry : fs::recursive_directory_iterator(root / "docs")) {
    if (entry.path().extension() == ".md") found.push_back(entry.path());
  }
  return found;
}

// A page's text without its blocks of code, in which [x](y) is a lambda.
std::string prose(const fs::path& page) {
  return std::regex_replace(text_of_file(page.string()), std::regex("```[^`]*```"), "");
}

// The anchors of a page's headings, by the usual rule: lower case, blanks to hyphens, only letters, digits, - and _ stay.
std::set<std::string> anchors_of(const fs::path& page) {
  std::set<std::string> anchors;
  const std::string text = prose(page);
  const std::regex heading("(^|\n)#+ ([^\n]*)");
  for (std::sregex_iterator i(text.begin(), text.end(), heading), end; i != end; ++i) {
    std::string anchor;
    for (const char c : (*i)[2].str()) {
      const auto u = static_cast<unsigned char>(c);
      if (c == ' ') anchor += '-';
      if (std::isalnum(u) || c == '-' || c == '_') anchor += static_cast<char>(std::tolower(u));
    }
    anchors.insert(anchor);
  }
  return anchors;
}

TEST(Pages, EveryLinkLeadsSomewhere) {
  const std::regex link("\\]\\(([^) ]+)\\)");
  std::size_t checked = 0;
  for (const fs::path& page : pages()) {
    const std::string text = prose(page);
    for (std::sregex_iterator i(text.begin(), text.end(), link), end; i != end; ++i) {
      const std::string target = (*i)[1];
      if (target.find("://") != target.npos) continue;
      const std::size_t hash = std::min(target.find('#'), target.size());
      const fs::path file = hash == 0 ? page : page.parent_path() / target.substr(0, hash);
      ++checked;
      if (!fs::exists(file)) {
        ADD_FAILURE() << page << " links to " << target << ", which is not there";
      } else if (hash < target.size()) {
        EXPECT_TRUE(anchors_of(file).contains(target.substr(hash + 1)))
            << page << " links to " << target << ", which has no such heading";
      }
    }
  }
  EXPECT_GT(checked, 100u);
}

TEST(Pages, LandingPageLeadsToEveryPage) {
  const std::string landing = text_of_file((root / "docs/README.md").string());
  for (const fs::path& page : pages()) {
    const std::string name = page.lexically_relative(root / "docs").generic_string();
    if (name == "README.md" || name == "../README.md") continue;
    EXPECT_NE(landing.find('(' + name), landing.npos) << name;
  }
}

TEST(Architecture, HeadersIncludeOnlyFloorsBelow) {
  const std::string page = text_of_file((root / "docs/architecture.md").string());
  const std::size_t table = page.find("<!-- floors -->");
  ASSERT_NE(table, page.npos);
  const std::string rows = page.substr(table, page.find("\n\n", table + 20) - table);
  std::map<std::string, std::size_t> floor;
  const std::regex row("\n\\| `([a-z]+)/`");
  for (std::sregex_iterator i(rows.begin(), rows.end(), row), end; i != end; ++i) {
    floor.emplace((*i)[1], floor.size());
  }

  const std::regex include("#include \"halfway/([a-z]+)/");
  const fs::path headers = root / "include/halfway";
  std::set<std::string> seen;
  for (const auto& entry : fs::recursive_directory_iterator(headers)) {
    if (!entry.is_regular_file() || entry.path().parent_path() == headers) continue;
    const std::string room = entry.path().lexically_relative(headers).begin()->string();
    ASSERT_TRUE(floor.contains(room)) << room << " is not on the page";
    seen.insert(room);
    const std::string text = text_of_file(entry.path().string());
    for (std::sregex_iterator i(text.begin(), text.end(), include), end; i != end; ++i) {
      EXPECT_LE(floor.at((*i)[1]), floor.at(room)) << entry.path() << " includes " << (*i)[1];
    }
  }
  EXPECT_EQ(seen.size(), floor.size());
}

}  // namespace
