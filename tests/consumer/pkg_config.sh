#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# halfway.pc, in a tree that was moved (tests/consumer/CMakeLists.txt sets PKG_CONFIG_PATH).
. ./command_line.sh
pkg-config --validate halfway
[ "$(pkg-config --modversion halfway)" = "$VERSION" ]
[ "$(pkg-config --print-requires halfway)" = "libhwy >= 1.2" ]
! pkg-config --exists "halfway >= 1"
case "$(pkg-config --cflags halfway)" in *"/prefix/"*) ;; *) echo "The moved tree is not named"; exit 1 ;; esac

g++ -std=c++20 -O2 app.cc $(pkg-config --cflags --libs halfway) -o app
./app
