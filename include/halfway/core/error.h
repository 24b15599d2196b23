// SPDX-License-Identifier: Apache-2.0
// How the library reports bad input: an exception, or without exceptions a handler that the user
// can replace.
//
//   try { halfway::gemm(a, b, c); } catch (const halfway::error& e) { std::puts(e.what()); }
//
// A message names the function, the argument and the values: "halfway::gemm: b.rows (3) must equal
// a.cols (4)". Every check comes before the first write to an output.
#ifndef HALFWAY_CORE_ERROR_H_
#define HALFWAY_CORE_ERROR_H_

#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace halfway {

/// Thrown on bad input wherever exceptions are enabled.
class error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// Receives the message in programs built without exceptions. It must not return; if it does,
/// std::abort follows.
using error_handler = void (*)(const char* message);

namespace detail {

inline void print_error(const char* message) { std::fprintf(stderr, "%s\n", message); }

inline std::atomic<error_handler>& current_error_handler() {
  static std::atomic<error_handler> handler{&print_error};
  return handler;
}

}  // namespace detail

/// Replaces the handler that `fail` calls where exceptions are disabled (-fno-exceptions) and
/// returns the old one. Null restores the default, which prints the message to stderr. Thread-safe.
inline error_handler set_error_handler(error_handler handler) {
  return detail::current_error_handler().exchange(handler != nullptr ? handler
                                                                     : &detail::print_error);
}

/// The two versions have different names for the linker, so that one program may mix files with and
/// without exceptions.
#if defined(__cpp_exceptions)
inline namespace with_exceptions {
[[noreturn]] inline void fail(const std::string& message) { throw error(message); }
}  // namespace with_exceptions
#else
inline namespace without_exceptions {
[[noreturn]] inline void fail(const std::string& message) {
  detail::current_error_handler().load()(message.c_str());
  std::abort();
}
}  // namespace without_exceptions
#endif

namespace detail {

template <class T>
std::string to_text(const T& value) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return std::string(std::string_view(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    char digits[64];  // the shortest text that reads back as the same value; std::to_string would
                      // show 1e-8 as 0.000000
    return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
  } else {
    return std::to_string(value);
  }
}

// Joins text and numbers: concat("rows ", 3).
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  (text.append(to_text(parts)), ...);
  return text;
}

// "where: left_name (left) must equal right_name (right)" unless they are equal.
inline void check_equal(std::string_view where, std::string_view left_name, std::size_t left,
                        std::string_view right_name, std::size_t right) {
  if (left != right) [[unlikely]] {
    fail(concat(where, ": ", left_name, " (", left, ") must equal ", right_name, " (", right, ")"));
  }
}

// A null pointer is allowed only where there is nothing to read or write.
inline void check_not_null(std::string_view where, std::string_view name, const void* data,
                           std::size_t size) {
  if (data == nullptr && size != 0) [[unlikely]] {
    fail(concat(where, ": ", name, " is null but has ", size, " elements"));
  }
}

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_CORE_ERROR_H_
