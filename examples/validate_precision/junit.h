// SPDX-License-Identifier: Apache-2.0
// Verdicts as the XML that CI servers show as test results.
#ifndef HALFWAY_EXAMPLES_VALIDATE_PRECISION_JUNIT_H_
#define HALFWAY_EXAMPLES_VALIDATE_PRECISION_JUNIT_H_

#include <string>
#include <vector>

#include "validation.h"

namespace validate {

// A test case for each verdict, the tensor its class, the objective its name.
std::string junit(const std::vector<verdict>& verdicts);

}  // namespace validate

#endif  // HALFWAY_EXAMPLES_VALIDATE_PRECISION_JUNIT_H_
