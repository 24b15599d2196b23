#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One file, written by cmake/amalgamate.cmake, in a program of two files, under both ways of dispatch.
. ./command_line.sh
cmake() { "$CMAKE" "-DHEADERS=$HEADERS" "$@"; } # fewer than users have by default, since this compiles faster
cd single_header
ln -sfn ../add_subdirectory/third_party/halfway halfway

cmake -D OUTPUT=third_party/halfway_single.h -P halfway/cmake/amalgamate.cmake
g++ -std=c++20 -O2 -I third_party app.cc another_file.cc -lhwy -pthread -o app
./app

g++ -std=c++20 -O2 -D HALFWAY_STATIC_DISPATCH -I third_party app.cc another_file.cc -o app
./app

# The same bytes from another folder, in another language.
mkdir -p elsewhere
(cd elsewhere && LC_ALL=tr_TR.UTF-8 cmake -D OUTPUT=again.h -P ../halfway/cmake/amalgamate.cmake)
sed -i 's/"again.h"/"halfway_single.h"/' elsewhere/again.h
cmp elsewhere/again.h third_party/halfway_single.h
