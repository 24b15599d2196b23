# SPDX-License-Identifier: Apache-2.0
# Obtains Ninja where the presets' generator finds none. A file of its own because it must run at the start of project(),
# before CMake looks for the build program (CMAKE_PROJECT_halfway_INCLUDE_BEFORE); the dependency provider is read too late.
if(CMAKE_GENERATOR STREQUAL "Ninja" AND NOT CMAKE_MAKE_PROGRAM)
  find_program(ninja NAMES ninja-build ninja samu NO_CACHE)
  if(NOT ninja)
    include(${CMAKE_CURRENT_LIST_DIR}/apt.cmake)
    if(HALFWAY_USE_APT)
      halfway_apt_install(ninja-build "the Ninja build program")
    endif()
  endif()
endif()
