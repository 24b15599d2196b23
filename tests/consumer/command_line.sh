# SPDX-License-Identifier: Apache-2.0
# Read by the scripts here: from now on `g++` is the compiler that is tested, with $CXXFLAGS.
set -euo pipefail
cp main.cc app.cc
g++() { command "$CXX" "$@" $CXXFLAGS; }
