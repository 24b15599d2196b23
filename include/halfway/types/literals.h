// SPDX-License-Identifier: Apache-2.0
// Literals of the small floats, rounded once from the digits as written, at compile time.
//
//   using namespace halfway::literals;
//   constexpr halfway::half x = 0.1_h;
//   constexpr auto y = 1.5_bf16 + 0x1p-3_bf16;
//
// A literal that is past the largest finite value, or that would become zero without being zero,
// does not compile.

#ifndef HALFWAY_TYPES_LITERALS_H_
#define HALFWAY_TYPES_LITERALS_H_

#include <cstdint>
#include <string_view>

#include "halfway/types/bfloat16.h"
#include "halfway/types/decimal.h"
#include "halfway/types/float4.h"
#include "halfway/types/float6.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"

namespace halfway {
namespace detail {

// Not constexpr, so that a call ends the constant evaluation and the compiler shows the reason. (A
// throw would do so too, but not under -fno-exceptions.)
inline void reject_literal(const char* /*reason*/) {}

template <class T>
consteval T parse_literal(std::string_view text) {
  using Format = typename T::format;
  using L = layout<Format>;
  const bool hex = text.size() > 1 && text[0] == '0' && (text[1] | 0x20) == 'x';
  if (hex) text.remove_prefix(2);
  const parsed_number number = parse_number(text, hex ? 16 : 10, true, '\'');
  if (number.length != text.size())
    reject_literal("halfway: a binary integer is not a floating-point literal");
  if (!hex && text.size() > 1 && text[0] == '0' && text.find_first_of(".eE") == text.npos) {
    reject_literal("halfway: octal digits are ambiguous here; write them without the leading 0");
  }
  if (number.value.is_zero()) {
    if (!L::has_zero) reject_literal("halfway: this format has no zero");
    return T();
  }
  const std::uint64_t magnitude = scaled_magnitude<Format>(number.value);
  if (magnitude > L::max_finite)
    reject_literal("halfway: the literal is past the largest finite value");
  if (L::has_zero && magnitude == 0)
    reject_literal("halfway: the literal is not zero and would become zero");
  return T::from_bits(static_cast<typename T::storage>(magnitude));
}

}  // namespace detail

/// Literals of the small floats, such as `0.1_bf16`; a literal that is not a number of the type
/// does not compile. Visible in namespace halfway, and by `using namespace halfway::literals`.
inline namespace literals {

/// Half, as in `0.1_h`.
consteval half operator""_h(const char* text) { return detail::parse_literal<half>(text); }
/// Bfloat16, as in `0.1_bf16`.
consteval bfloat16 operator""_bf16(const char* text) {
  return detail::parse_literal<bfloat16>(text);
}
/// Float8_e4m3fn, as in `0.1_e4m3fn`.
consteval float8_e4m3fn operator""_e4m3fn(const char* text) {
  return detail::parse_literal<float8_e4m3fn>(text);
}
/// Float8_e5m2, as in `0.1_e5m2`.
consteval float8_e5m2 operator""_e5m2(const char* text) {
  return detail::parse_literal<float8_e5m2>(text);
}
/// Float8_e4m3fnuz, as in `0.1_e4m3fnuz`.
consteval float8_e4m3fnuz operator""_e4m3fnuz(const char* text) {
  return detail::parse_literal<float8_e4m3fnuz>(text);
}
/// Float8_e5m2fnuz, as in `0.1_e5m2fnuz`.
consteval float8_e5m2fnuz operator""_e5m2fnuz(const char* text) {
  return detail::parse_literal<float8_e5m2fnuz>(text);
}
/// Float8_e8m0fnu, as in `0x1p-3_e8m0fnu`.
consteval float8_e8m0fnu operator""_e8m0fnu(const char* text) {
  return detail::parse_literal<float8_e8m0fnu>(text);
}
/// Float6_e2m3fn, as in `0.1_e2m3fn`.
consteval float6_e2m3fn operator""_e2m3fn(const char* text) {
  return detail::parse_literal<float6_e2m3fn>(text);
}
/// Float6_e3m2fn, as in `0.1_e3m2fn`.
consteval float6_e3m2fn operator""_e3m2fn(const char* text) {
  return detail::parse_literal<float6_e3m2fn>(text);
}
/// Float4_e2m1fn, as in `1.5_e2m1fn`.
consteval float4_e2m1fn operator""_e2m1fn(const char* text) {
  return detail::parse_literal<float4_e2m1fn>(text);
}

}  // namespace literals
}  // namespace halfway

#endif  // HALFWAY_TYPES_LITERALS_H_
