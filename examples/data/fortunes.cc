// SPDX-License-Identifier: Apache-2.0
#include "fortunes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "halfway/core/error.h"

namespace language {

namespace fs = std::filesystem;
using halfway::detail::concat;

std::vector<std::int32_t> tokens_of(std::string_view text) {
  std::vector<std::int32_t> tokens;
  for (const char c : text) {
    if (const std::int32_t token = token_of(c); token != unknown) tokens.push_back(token);
  }
  return tokens;
}

void add_sayings(std::string_view text, corpus& to) {
  constexpr std::string_view separator = "\n%\n";
  for (std::size_t number = 0; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find(separator), text.size());
    const std::vector<std::int32_t> saying = tokens_of(text.substr(0, end));
    auto& part = number % 10 == 9 ? to.held_out : to.train;
    part.insert(part.end(), saying.begin(), saying.end());
    part.insert(part.end(), 2, token_of('\n'));
    text.remove_prefix(std::min(end + separator.size(), text.size()));
  }
}

corpus read_fortunes(const std::string& folder) {
  constexpr std::string_view advice =
      ". Debian has them in the package fortunes; --data names another folder";
  std::error_code failed;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, failed)) {
    if (!entry.path().has_extension() && entry.is_regular_file()) files.push_back(entry.path());
  }
  if (failed) halfway::fail(concat("no sayings in ", folder, ": ", failed.message(), advice));
  std::ranges::sort(files);
  corpus all;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    if (!in) halfway::fail(concat(file.string(), ": cannot be read"));
    add_sayings(text, all);
  }
  constexpr std::size_t least = 20000;
  if (all.held_out.size() < least) {
    halfway::fail(concat("too few sayings in ", folder, ": ", files.size(),
                         " collections, of whose characters ", all.held_out.size(),
                         " are held out, but ", least, " are needed", advice));
  }
  return all;
}

double unigram_entropy(std::span<const std::int32_t> counted,
                       std::span<const std::int32_t> tested) {
  std::array<double, vocabulary> counts;
  counts.fill(1);  // so that a character that never was counted is not impossible
  for (const std::int32_t token : counted) ++counts[static_cast<std::size_t>(token)];
  const double total = static_cast<double>(counted.size() + vocabulary);
  double nats = 0;
  for (const std::int32_t token : tested)
    nats -= std::log(counts[static_cast<std::size_t>(token)] / total);
  return nats / static_cast<double>(tested.size());
}

windows windows_at(std::span<const std::int32_t> text, std::span<const std::size_t> places,
                   std::size_t length) {
  windows w;
  for (const std::size_t place : places) {
    if (place >= text.size() || length >= text.size() - place) {
      halfway::fail(concat("language::windows_at: ", length, " tokens and one more at ", place,
                           " do not lie within ", text.size()));
    }
    const auto tokens = text.subspan(place, length), next = text.subspan(place + 1, length);
    w.tokens.insert(w.tokens.end(), tokens.begin(), tokens.end());
    w.next.insert(w.next.end(), next.begin(), next.end());
  }
  return w;
}

windows windows_in_order(std::span<const std::int32_t> text, std::size_t first, std::size_t count,
                         std::size_t length) {
  std::vector<std::size_t> places;
  for (std::size_t w = first; w < first + count; ++w) places.push_back(w * length);
  return windows_at(text, places, length);
}

}  // namespace language
