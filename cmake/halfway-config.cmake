# SPDX-License-Identifier: Apache-2.0
include(CMakeFindDependencyMacro)
if(NOT TARGET hwy::hwy)
  if(NOT TARGET hwy)
    find_dependency(hwy 1.2 CONFIG)
  endif()
  if(NOT TARGET hwy::hwy)
    add_library(hwy::hwy ALIAS hwy) # the parent project has Highway as a subdirectory
  endif()
endif()
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/halfway-targets.cmake)

# There are no components.
foreach(component IN LISTS halfway_FIND_COMPONENTS)
  if(halfway_FIND_REQUIRED_${component})
    set(halfway_FOUND FALSE)
    set(halfway_NOT_FOUND_MESSAGE "halfway has no component \"${component}\".")
  endif()
endforeach()
