#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A program without exceptions and RTTI: it computes, and its handler gets the message of a bad call.
. ./command_line.sh
g++ -std=c++20 -fno-exceptions -fno-rtti -I third_party -D HWY_HEADER_ONLY -D HALFWAY_STATIC_DISPATCH \
  no_exceptions/main.cc -o without_exceptions
./without_exceptions
