// SPDX-License-Identifier: Apache-2.0
#ifndef HALFWAY_EXAMPLES_VALIDATE_PRECISION_NUMBER_TEXT_H_
#define HALFWAY_EXAMPLES_VALIDATE_PRECISION_NUMBER_TEXT_H_

#include <sstream>
#include <string>

namespace validate {

// Six digits, as people read them.
inline std::string number_text(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

}  // namespace validate

#endif  // HALFWAY_EXAMPLES_VALIDATE_PRECISION_NUMBER_TEXT_H_
