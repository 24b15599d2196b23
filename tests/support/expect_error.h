// SPDX-License-Identifier: Apache-2.0
// Expects an operation to refuse bad input with a message that holds given parts.
//
//   halfway::testing::expect_error([&] { halfway::unscale(x, y, 1.0f); }, {"y.size() (3)", "x.size() (4)"});
#ifndef HALFWAY_TESTS_SUPPORT_EXPECT_ERROR_H_
#define HALFWAY_TESTS_SUPPORT_EXPECT_ERROR_H_

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "halfway/core/error.h"

namespace halfway::testing {

template <class Body>
void expect_error(Body&& body, std::initializer_list<std::string_view> parts) {
  try {
    body();
  } catch (const error& e) {
    const std::string message = e.what();
    for (const std::string_view part : parts) {
      EXPECT_NE(message.find(part), std::string::npos) << "\"" << part << "\" is not in: " << message;
    }
    return;
  }
  ADD_FAILURE() << "no error";
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_EXPECT_ERROR_H_
