#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# special_values_table.sh PROGRAM TABLE: fails unless the tests SpecialValues.* of PROGRAM and the names in the first column of
# TABLE (docs/special_values.md) are the same.
set -eu
tests=$("$1" --gtest_list_tests '--gtest_filter=SpecialValues.*' | sed -n 's/^  \([A-Za-z0-9]*\).*/\1/p' | sort)
lines=$(sed -n 's/^| `\([A-Za-z0-9]*\)` |.*/\1/p' "$2" | sort)
[ -n "$tests" ] || { echo "$1 has no such tests"; exit 1; }
status=0
for name in $tests; do
  echo "$lines" | grep -qx "$name" || { echo "no line of the table names the test $name"; status=1; }
done
for name in $lines; do
  echo "$tests" | grep -qx "$name" || { echo "no test of the line $name"; status=1; }
done
for name in $(echo "$lines" | uniq -d); do
  echo "two lines name the test $name"; status=1
done
exit $status
