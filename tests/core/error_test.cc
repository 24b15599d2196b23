// SPDX-License-Identifier: Apache-2.0
#include "halfway/core/error.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "support/expect_error.h"

namespace {

using halfway::testing::message_of;

TEST(Error, FailThrowsTheMessage) {
  EXPECT_EQ(message_of([] { halfway::fail("halfway::f: x (1) must be 2"); }),
            "halfway::f: x (1) must be 2");
  EXPECT_THROW(halfway::fail("x"), halfway::error);
  EXPECT_THROW(halfway::fail("x"), std::invalid_argument);  // what a stranger would catch
}

TEST(Error, ChecksNameBothSides) {
  using halfway::detail::check_equal;
  EXPECT_EQ(message_of([] { check_equal("f", "a", 1, "b", 2); }), "f: a (1) must equal b (2)");
  EXPECT_EQ(message_of([] { check_equal("f", "a", 2, "b", 2); }), "no error");
}

TEST(Error, NullIsAnErrorOnlyWithASize) {
  using halfway::detail::check_not_null;
  EXPECT_EQ(message_of([] { check_not_null("f", "x", nullptr, 3); }),
            "f: x is null but has 3 elements");
  EXPECT_EQ(message_of([] { check_not_null("f", "x", nullptr, 0); }), "no error");
}

TEST(Error, ConcatTakesTextAndNumbers) {
  EXPECT_EQ(halfway::detail::concat("a ", std::string("b "), 7, " ", 0.1f, " ", -1),
            "a b 7 0.1 -1");
}

}  // namespace
