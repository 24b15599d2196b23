# SPDX-License-Identifier: Apache-2.0
include(CMakeFindDependencyMacro)
find_dependency(hwy 1.2 CONFIG)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/halfway-targets.cmake)
