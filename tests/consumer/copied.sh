#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# third_party holds two folders, halfway and Highway's hwy.
. ./command_line.sh

g++ -std=c++20 -O2 -I third_party -D HWY_HEADER_ONLY -D HALFWAY_STATIC_DISPATCH -march=native app.cc -o app
./app

if [ ! -e third_party/hwy/targets.cc ]; then
  echo "Not tested: run-time dispatch (Highway's targets.cc is not here)"
  exit 0
fi
g++ -std=c++20 -O2 -I third_party -D HWY_HEADER_ONLY app.cc third_party/hwy/targets.cc -o app
./app
