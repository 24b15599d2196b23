#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two shared objects that use the library, compiled for different SIMD targets, in one program: linked in either order, and
# loaded by it; with symbols that the linker merges (default visibility) and that it does not (hidden).
. ./command_line.sh
cd shared_objects
include="-std=c++20 -I ../third_party"

compile() { # <name> <flag>...
  local name=$1
  shift
  g++ $include -fPIC -D NAME=$name "$@" -c product.cc -o $name.o
}
g++ $include -fPIC -D LINKED -c main.cc -o main.o
g++ $include main.cc -ldl -o load

in_one_program() {
  g++ main.o one.o two.o -lhwy -o main && ./main
  g++ main.o two.o one.o -lhwy -o main && ./main
}
in_two_shared_objects() {
  g++ -shared one.o -lhwy -o libone.so
  g++ -shared two.o -lhwy -o libtwo.so
  g++ main.o -L. -lone -ltwo -Wl,-rpath,. -o main && ./main
  g++ main.o -L. -ltwo -lone -Wl,-rpath,. -o main && ./main
  ./load ./libone.so one ./libtwo.so two
  ./load ./libtwo.so two ./libone.so one
}

# The best target of the two differs, so that one's index means nothing in the other's table of kernels.
compile one -D HWY_DISABLED_TARGETS=0x7FFFFFFFFFFFBDFF # SSE2, AVX2
compile two -D HWY_DISABLED_TARGETS=0x7FFFFFFFFFFFB7FF # SSE2, SSE4
in_one_program
in_two_shared_objects

# One for this machine alone. What holds on other machines: docs/building.md.
compile two -march=native -D HALFWAY_STATIC_DISPATCH
in_one_program
in_two_shared_objects

if [ "${ALL-0}" = 1 ]; then # minutes
  compile two -march=native
  in_one_program
  in_two_shared_objects
  compile one -fvisibility=hidden
  compile two -fvisibility=hidden -march=native -D HALFWAY_STATIC_DISPATCH
  in_two_shared_objects
fi
