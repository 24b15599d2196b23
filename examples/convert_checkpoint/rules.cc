// SPDX-License-Identifier: Apache-2.0
#include "rules.h"

#include <array>

#include "halfway/core/error.h"

namespace conversion {

using halfway::dtype;

std::optional<target> parse_target(std::string_view text) {
  if (text == "keep") return std::nullopt;
  if (text == "int4") return target{scheme::int4, dtype::int4, "int4"};
  if (text == "mxfp8") return target{scheme::mx, dtype::float8_e4m3fn, "mxfp8"};
  if (text == "mxfp4") return target{scheme::mx, dtype::float4_e2m1fn, "mxfp4"};
  const std::optional<dtype> type = halfway::parse_dtype(text);
  if (type == dtype::int8) return target{scheme::int8, dtype::int8, "int8"};
  for (const dtype plain : {dtype::float32, dtype::float16, dtype::bfloat16, dtype::float8_e4m3fn,
                            dtype::float8_e5m2, dtype::float8_e4m3fnuz, dtype::float8_e5m2fnuz}) {
    if (type == plain) return target{scheme::plain, plain, std::string(name(plain))};
  }
  halfway::fail(halfway::detail::concat(
      "\"", text, "\" is none of f32, f16, bf16, float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, ",
      "float8_e5m2fnuz, int8, int4, mxfp8, mxfp4, keep"));
}

rules::rules(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    const std::size_t sign = text.rfind('=');
    if (sign == std::string::npos || sign == 0) {
      halfway::fail(halfway::detail::concat("--rule \"", text, "\" is not pattern=type"));
    }
    auto* const compiled = new regex_t;
    const std::string pattern = "^(" + text.substr(0, sign) + ")$";
    const int code = regcomp(compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
      std::array<char, 200> problem{};
      regerror(code, compiled, problem.data(), problem.size());
      delete compiled;
      halfway::fail(halfway::detail::concat("--rule \"", text, "\": ", problem.data()));
    }
    const std::shared_ptr<regex_t> owner(compiled, [](regex_t* p) {
      regfree(p);
      delete p;
    });
    rules_.push_back({owner, parse_target(text.substr(sign + 1))});
  }
}

const rules::rule* rules::find(const std::string& tensor) const {
  if (tensor.find('\0') != std::string::npos) return nullptr;  // which C can't look past
  for (const rule& r : rules_) {
    if (regexec(r.pattern.get(), tensor.c_str(), 0, nullptr, 0) == 0) return &r;
  }
  return nullptr;
}

}  // namespace conversion
