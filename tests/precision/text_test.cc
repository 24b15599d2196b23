// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/text.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::detail::edit_distance;
using halfway::detail::nearest_names;
using halfway::detail::parse_assignments;
using halfway::testing::expect_error;

TEST(ParseAssignments, KeepsOrderAndDropsBlanks) {
  const auto a = parse_assignments("f", " b = 1,\ta=x=y ,c=2\n");
  ASSERT_EQ(a.size(), 3u);
  EXPECT_EQ(a[0].key, "b");
  EXPECT_EQ(a[0].value, "1");
  EXPECT_EQ(a[1].key, "a");
  EXPECT_EQ(a[1].value, "x=y");  // only the first "=" separates
  EXPECT_EQ(a[2].key, "c");
  EXPECT_EQ(a[2].value, "2");
}

TEST(ParseAssignments, NamesTheOffendingPart) {
  expect_error([] { parse_assignments("f", "a=1,b"); },
               {"f: \"b\" in \"a=1,b\" is not of the form key=value"});
  expect_error([] { parse_assignments("f", ""); }, {"\"\" in \"\" is not of the form key=value"});
  expect_error([] { parse_assignments("f", "a=1,"); },
               {"\"\" in \"a=1,\" is not of the form key=value"});
  expect_error([] { parse_assignments("f", "a=1, =2"); }, {"\"=2\"", "lacks a key"});
  expect_error([] { parse_assignments("f", "a= ,b=1"); }, {"\"a=\"", "lacks a value"});
  expect_error([] { parse_assignments("f", "a=1,b=2, a =3"); },
               {"\"a\" stands twice in \"a=1,b=2, a =3\""});
}

TEST(EditDistance, CountsSingleCharacterChanges) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("abc", "abc"), 0u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("sitting", "kitten"), 3u);
  EXPECT_EQ(edit_distance("flaw", "lawn"), 2u);
}

TEST(NearestNames, AreSortedByDistanceThenAlphabet) {
  const std::vector<std::string_view> names = {"softmax", "linear", "gelu", "relu", "bilinear"};
  EXPECT_EQ(nearest_names("lineer", names), "\"linear\", \"bilinear\" or \"gelu\"");
  EXPECT_EQ(nearest_names("elu", names).substr(0, 17), "\"gelu\", \"relu\" or");
  EXPECT_EQ(nearest_names("x", {"a", "b"}), "\"a\" or \"b\"");
  EXPECT_EQ(nearest_names("x", {"a"}), "\"a\"");
  EXPECT_EQ(nearest_names("x", {}), "");
}

}  // namespace
