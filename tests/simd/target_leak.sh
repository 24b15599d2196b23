#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# target_leak.sh OBJDUMP PROGRAM: fails if a function outside a target's namespace uses AVX registers. Such a function (a
# template outside HWY_NAMESPACE that a kernel instantiates) is compiled once, for whichever target came first, and would end
# the program on a CPU that lacks it.
set -eu
leaks=$("$1" -d --no-show-raw-insn -C "$2" | awk '
  /^[0-9a-f]+ <.*>:$/ { name = $0; inside = name ~ /::N_[A-Z0-9_]+::/; seen = 0 }
  /%[yz]mm/ { if (inside) targets++; else if (!seen) { seen = 1; print name } }
  END { if (!targets) print "no AVX code at all: this check sees nothing" }')
if [ -n "$leaks" ]; then
  echo "$leaks"
  exit 1
fi
