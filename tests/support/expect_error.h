// SPDX-License-Identifier: Apache-2.0
// Expects an operation to refuse bad input with a message.
//
//   expect_error([&] { halfway::unscale(x, y, 1.0f); }, {"y.size() (3)", "x.size() (4)"});
//   EXPECT_EQ(message_of([&] { halfway::fail("f: x (1) must be 2"); }), "f: x (1) must be 2");
#ifndef HALFWAY_TESTS_SUPPORT_EXPECT_ERROR_H_
#define HALFWAY_TESTS_SUPPORT_EXPECT_ERROR_H_

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "halfway/core/error.h"

namespace halfway::testing {

// The message that `body` fails with, or "no error".
template <class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const error& e) {
    return e.what();
  }
  return "no error";
}

// The message holds each of `parts`.
template <class Body>
void expect_error(Body&& body, std::initializer_list<std::string_view> parts) {
  const std::string message = message_of(body);
  EXPECT_NE(message, "no error");
  for (const std::string_view part : parts) {
    EXPECT_NE(message.find(part), std::string::npos)
        << "\"" << part << "\" is not in: " << message;
  }
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_EXPECT_ERROR_H_
