// SPDX-License-Identifier: Apache-2.0
#include "junit.h"

#include <algorithm>

#include "report/markup.h"

namespace validate {

using report::escaped;

std::string junit(const std::vector<verdict>& verdicts) {
  const auto failures = std::ranges::count_if(verdicts, [](const verdict& v) { return !v.met; });
  const std::string counts = " tests=\"" + std::to_string(verdicts.size()) + "\" failures=\"" +
                             std::to_string(failures) + "\"";
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites" + counts +
                    ">\n<testsuite name=\"validate_precision\"" + counts + ">\n";
  for (const verdict& v : verdicts) {
    xml += "<testcase classname=\"" + escaped(v.where) + "\" name=\"" + escaped(v.objective) + "\"";
    xml += v.met ? "/>\n"
                 : "><failure message=\"measured: " + escaped(v.measured) + "\"/></testcase>\n";
  }
  return xml + "</testsuite>\n</testsuites>\n";
}

}  // namespace validate
