// SPDX-License-Identifier: Apache-2.0
// The small floating-point formats as tag types: how many bits, which bias, which codes are
// special.
//
//   static_assert(halfway::formats::float16::exponent_bits == 5);
//
// A value is (-1)^sign * 1.mantissa * 2^(exponent - bias), or (-1)^sign * 0.mantissa * 2^(1 - bias)
// where the exponent field is zero. Sources: IEEE 754-2019 (float16); Intel's bfloat16 numerics
// definition; the OCP 8-bit floating point specification (OFP8: e4m3fn, e5m2); Noune et al. 2022,
// "8-bit numerical formats for deep neural networks" (fnuz); the OCP microscaling formats
// specification, MX v1.0 (e8m0, e2m3, e3m2, e2m1). Names are those of LLVM, ONNX, PyTorch and
// ml_dtypes.

#ifndef HALFWAY_TYPES_FORMATS_H_
#define HALFWAY_TYPES_FORMATS_H_

#include <cstdint>
#include <string_view>

namespace halfway {

/// Which bit patterns of a format are NaN.
enum class nan_encoding {
  ieee,           ///< exponent field all ones and mantissa not zero
  all_ones,       ///< every bit but the sign is one ("fn"; e8m0)
  negative_zero,  ///< the pattern that would be -0 ("fnuz": finite, NaN, unsigned zero)
  none,           ///< no pattern is NaN
};

/// The tags. Each is the `Format` of one `minifloat<Format>`.
///
/// A format without mantissa bits has no zero and no subnormals: its pattern 0 is the power of two
/// 2^-bias (as in MX's e8m0).
namespace formats {

/// IEEE 754-2019 binary16.
struct float16 {
  using storage = std::uint16_t;              ///< holds a code, right-aligned
  static constexpr int exponent_bits = 5;     ///< width of the exponent field
  static constexpr int mantissa_bits = 10;    ///< without the leading one
  static constexpr int bias = 15;             ///< what is taken from the exponent field
  static constexpr bool is_signed = true;     ///< the top bit is a sign
  static constexpr bool has_infinity = true;  ///< exponent field all ones, mantissa zero
  static constexpr nan_encoding nan = nan_encoding::ieee;  ///< which codes are NaN
  static constexpr std::string_view name = "float16";  ///< that of `dtype`, in files and messages
};

/// The upper half of binary32.
struct bfloat16 {
  /// As in formats::float16.
  /// @{
  using storage = std::uint16_t;
  static constexpr int exponent_bits = 8;
  static constexpr int mantissa_bits = 7;
  static constexpr int bias = 127;
  static constexpr bool is_signed = true;
  static constexpr bool has_infinity = true;
  static constexpr nan_encoding nan = nan_encoding::ieee;
  static constexpr std::string_view name = "bfloat16";
  /// @}
};

/// OFP8's E4M3: the codes of infinity are numbers, to 448.
struct float8_e4m3fn {
  /// As in formats::float16.
  /// @{
  using storage = std::uint8_t;
  static constexpr int exponent_bits = 4;
  static constexpr int mantissa_bits = 3;
  static constexpr int bias = 7;
  static constexpr bool is_signed = true;
  static constexpr bool has_infinity = false;
  static constexpr nan_encoding nan = nan_encoding::all_ones;
  static constexpr std::string_view name = "float8_e4m3fn";
  /// @}
};

/// OFP8's E5M2: special values as in IEEE 754.
struct float8_e5m2 {
  /// As in formats::float16.
  /// @{
  using storage = std::uint8_t;
  static constexpr int exponent_bits = 5;
  static constexpr int mantissa_bits = 2;
  static constexpr int bias = 15;
  static constexpr bool is_signed = true;
  static constexpr bool has_infinity = true;
  static constexpr nan_encoding nan = nan_encoding::ieee;
  static constexpr std::string_view name = "float8_e5m2";
  /// @}
};

/// E4M3 with one zero and one NaN, to 240 (Noune et al. 2022).
struct float8_e4m3fnuz {
  /// As in formats::float16.
  /// @{
  using storage = std::uint8_t;
  static constexpr int exponent_bits = 4;
  static constexpr int mantissa_bits = 3;
  static constexpr int bias = 8;
  static constexpr bool is_signed = true;
  static constexpr bool has_infinity = false;
  static constexpr nan_encoding nan = nan_encoding::negative_zero;
  static constexpr std::string_view name = "float8_e4m3fnuz";
  /// @}
};

/// E5M2 with one zero and one NaN (Noune et al. 2022).
struct float8_e5m2fnuz {
  /// As in formats::float16.
  /// @{
  using storage = std::uint8_t;
  static constexpr int exponent_bits = 5;
  static constexpr int mantissa_bits = 2;
  static constexpr int bias = 16;
  static constexpr bool is_signed = true;
  static constexpr bool has_infinity = false;
  static constexpr nan_encoding nan = nan_encoding::negative_zero;
  static constexpr std::string_view name = "float8_e5m2fnuz";
  /// @}
};

/// MX's E8M0, of scales: powers of two and one NaN; no zero, no sign.
struct float8_e8m0fnu {
  /// As in formats::float16.
  /// @{
  using storage = std::uint8_t;
  static constexpr int exponent_bits = 8;
  static constexpr int mantissa_bits = 0;
  static constexpr int bias = 127;
  static constexpr bool is_signed = false;
  static constexpr bool has_infinity = false;
  static constexpr nan_encoding nan = nan_encoding::all_ones;
  static constexpr std::string_view name = "float8_e8m0fnu";
  /// @}
};

/// MX's E2M3: every code is a finite number.
struct float6_e2m3fn {
  /// As in formats::float16.
  /// @{
  using storage = std::uint8_t;
  static constexpr int exponent_bits = 2;
  static constexpr int mantissa_bits = 3;
  static constexpr int bias = 1;
  static constexpr bool is_signed = true;
  static constexpr bool has_infinity = false;
  static constexpr nan_encoding nan = nan_encoding::none;
  static constexpr std::string_view name = "float6_e2m3fn";
  /// @}
};

/// MX's E3M2: every code is a finite number.
struct float6_e3m2fn {
  /// As in formats::float16.
  /// @{
  using storage = std::uint8_t;
  static constexpr int exponent_bits = 3;
  static constexpr int mantissa_bits = 2;
  static constexpr int bias = 3;
  static constexpr bool is_signed = true;
  static constexpr bool has_infinity = false;
  static constexpr nan_encoding nan = nan_encoding::none;
  static constexpr std::string_view name = "float6_e3m2fn";
  /// @}
};

/// MX's E2M1: every code is a finite number.
struct float4_e2m1fn {
  /// As in formats::float16.
  /// @{
  using storage = std::uint8_t;
  static constexpr int exponent_bits = 2;
  static constexpr int mantissa_bits = 1;
  static constexpr int bias = 1;
  static constexpr bool is_signed = true;
  static constexpr bool has_infinity = false;
  static constexpr nan_encoding nan = nan_encoding::none;
  static constexpr std::string_view name = "float4_e2m1fn";
  /// @}
};

}  // namespace formats

namespace detail {

/// Masks and landmarks that follow from a format's tag. Magnitudes are bit patterns without the
/// sign.
template <class Format>
struct layout {
  static constexpr int mantissa_bits = Format::mantissa_bits;
  static constexpr int bits = Format::exponent_bits + mantissa_bits + (Format::is_signed ? 1 : 0);
  static constexpr bool has_zero = mantissa_bits > 0;
  static constexpr bool has_nan = Format::nan != nan_encoding::none;

  static constexpr std::uint32_t sign = Format::is_signed ? std::uint32_t{1} << (bits - 1) : 0u;
  static constexpr std::uint32_t magnitude =
      (std::uint32_t{1} << (Format::exponent_bits + mantissa_bits)) - 1;
  static constexpr std::uint32_t all = magnitude | sign;
  static constexpr std::uint32_t mantissa = (std::uint32_t{1} << mantissa_bits) - 1;
  static constexpr std::uint32_t exponent = magnitude & ~mantissa;
  static constexpr std::uint32_t quiet =
      mantissa_bits > 0 ? std::uint32_t{1} << (mantissa_bits - 1) : 0u;

  static constexpr std::uint32_t infinity = exponent;  // meaningful where Format::has_infinity
  static constexpr std::uint32_t max_finite = Format::nan == nan_encoding::ieee ? exponent - 1
                                              : Format::nan == nan_encoding::all_ones
                                                  ? magnitude - 1
                                                  : magnitude;

  /// Binary exponent of the smallest normal number; the encoding of normals starts there.
  static constexpr int min_exponent = has_zero ? 1 - Format::bias : -Format::bias;
};

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_TYPES_FORMATS_H_
