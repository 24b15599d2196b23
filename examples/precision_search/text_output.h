// SPDX-License-Identifier: Apache-2.0
// Numbers and tables as text, for people and for JSON.
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_TEXT_OUTPUT_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_TEXT_OUTPUT_H_

#include <string>
#include <vector>

namespace language {

// With so many digits after the point; "-" for NaN.
std::string number(double value, int digits);

// JSON has neither infinity nor NaN: null.
std::string json_number(double value);

// Lines of equally many cells in columns: the first column to the left, the others to the right.
std::string aligned(const std::vector<std::vector<std::string>>& lines);

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_TEXT_OUTPUT_H_
