// SPDX-License-Identifier: Apache-2.0
// English text to learn from: the sayings of Debian's package fortunes, as characters with numbers.
#ifndef HALFWAY_EXAMPLES_DATA_FORTUNES_H_
#define HALFWAY_EXAMPLES_DATA_FORTUNES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace language {

// End of line and the printable characters of ASCII: what the model predicts. All else is left out of
// the text, but for tabs, which become spaces.
inline constexpr std::size_t vocabulary = 96;

// Stands for a character that the model doesn't know. No text here has it, so that training doesn't
// touch what belongs to it.
inline constexpr std::int32_t unknown = vocabulary;

// A character's number, below `vocabulary`, or `unknown`.
constexpr std::int32_t token_of(char c) {
  if (c == '\t') return 1;
  if (c == '\n') return 0;
  return c >= ' ' && c <= '~' ? c - ' ' + 1 : unknown;
}

std::vector<std::int32_t> tokens_of(std::string_view text);

struct corpus {
  std::vector<std::int32_t> train;
  std::vector<std::int32_t> held_out;  // every tenth saying
};

// Reads the collections of a folder in the order of their names: files whose sayings are separated by
// lines of "%". Errors: no such folder, with the package that brings it; too little text.
corpus read_fortunes(const std::string& folder);

// The same of one collection's text.
void add_sayings(std::string_view text, corpus& to);

// Of the characters' frequencies, in nats: the loss of a model that knows nothing but them.
double unigram_entropy(std::span<const std::int32_t> counted, std::span<const std::int32_t> tested);

// `count` windows of `length` tokens with the token that follows each: sequence s is rows
// [s * length, (s + 1) * length).
struct windows {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> next;
};

// At the given places, each of which has length + 1 tokens from there on.
windows windows_at(std::span<const std::int32_t> text, std::span<const std::size_t> places,
                   std::size_t length);

// `count` windows side by side from `first` on, counted in windows. Error: the text is too short.
windows windows_in_order(std::span<const std::int32_t> text, std::size_t first, std::size_t count,
                         std::size_t length);

}  // namespace language

#endif  // HALFWAY_EXAMPLES_DATA_FORTUNES_H_
