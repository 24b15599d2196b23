// SPDX-License-Identifier: Apache-2.0
// How the library warns of what is allowed but rarely meant: a handler that the user can replace.
//
//   halfway::set_warning_handler([](const char* message) { log(message); });
#ifndef HALFWAY_CORE_WARNING_H_
#define HALFWAY_CORE_WARNING_H_

#include <atomic>

#include "halfway/core/error.h"

namespace halfway {

/// Receives each message once a process. May be called from any thread, and must not throw.
using warning_handler = void (*)(const char* message);

namespace detail {

inline std::atomic<warning_handler>& current_warning_handler() {
  static std::atomic<warning_handler> handler{&print_error};
  return handler;
}

// One per warning: whether it has been given.
using warned_flag = std::atomic<bool>;

inline void warn_once(warned_flag& warned, const char* message) {
  if (warned.load(std::memory_order_relaxed) || warned.exchange(true)) return;
  current_warning_handler().load()(message);
}

}  // namespace detail

/// Replaces the handler that warnings go to and returns the old one. Null restores the default,
/// which prints the message to stderr. Thread-safe.
inline warning_handler set_warning_handler(warning_handler handler) {
  return detail::current_warning_handler().exchange(handler != nullptr ? handler
                                                                       : &detail::print_error);
}

}  // namespace halfway

#endif  // HALFWAY_CORE_WARNING_H_
