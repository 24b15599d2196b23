# SPDX-License-Identifier: Apache-2.0
include(CMakeFindDependencyMacro)
if(NOT TARGET hwy::hwy)
  find_dependency(hwy 1.2 CONFIG)
endif()
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/halfway-targets.cmake)
