// SPDX-License-Identifier: Apache-2.0
// A small transformer that predicts the next character, as sizes and named parameters in one flat
// buffer, which one call of the optimizer steps.
//
//   language::model_layout layout;
//   std::vector<float> parameters = language::initial_parameters(layout, seed);
//   layout.at("block.0.fc1.weight").in(std::span<const float>(parameters));  // a 96 x 384 view
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_MODEL_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../parameter_block.h"
#include "data/fortunes.h"

namespace language {

inline constexpr std::size_t context = 64;  // tokens that a prediction may look back on
inline constexpr std::size_t width = 96;
inline constexpr std::size_t hidden = 4 * width;
inline constexpr std::size_t heads = 4;
inline constexpr std::size_t head_size = width / heads;
inline constexpr std::size_t blocks = 2;
inline constexpr float epsilon = 1e-5f;  // of the norms

using examples::parameter_block;

// "block.1.": the beginning of the names of a block's layers.
inline std::string block_name(std::size_t block) { return "block." + std::to_string(block) + "."; }

// token.table (with a row for `unknown`) and position.table; for each block norm1, query, key, value, out, norm2, fc1, fc2; then
// norm and head. Norms have .gamma and .beta, the others .weight (inputs x outputs) and .bias.
class model_layout {
 public:
  model_layout();
  // Error: no parameter of this name.
  const parameter_block& at(std::string_view name) const;
  const std::map<std::string, parameter_block, std::less<>>& all() const { return blocks_; }
  std::size_t size() const { return size_; }

 private:
  void place(const std::string& name, std::size_t rows, std::size_t cols);
  void place_linear(const std::string& name, std::size_t inputs, std::size_t outputs);
  void place_norm(const std::string& name);

  std::map<std::string, parameter_block, std::less<>> blocks_;
  std::size_t size_ = 0;
};

// Normal weights of variance 1 / inputs, less for those that add to the residual stream; biases of
// zero, norms that change nothing. The same on every machine.
std::vector<float> initial_parameters(const model_layout& layout, std::uint64_t seed);

// The parameters of the same function (but for the norms' epsilon) whose residual stream is `factor`
// times as large: the norms that read it undo it.
std::vector<float> with_larger_residuals(const model_layout& layout,
                                         std::span<const float> parameters, float factor);

// The parameters with an embedding of `unknown` whose largest magnitude is `amax`: trained models have
// such tokens, which training hardly met.
std::vector<float> with_loud_unknown(const model_layout& layout, std::span<const float> parameters,
                                     float amax);

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_MODEL_H_
