# SPDX-License-Identifier: Apache-2.0
# Keeps what expectations.cmake compares with.
foreach(variable IN ITEMS CMAKE_CXX_STANDARD CMAKE_CXX_EXTENSIONS CMAKE_CXX_FLAGS CMAKE_MODULE_PATH CMAKE_PREFIX_PATH
                          BUILD_SHARED_LIBS BUILD_TESTING CMAKE_POSITION_INDEPENDENT_CODE CMAKE_INSTALL_INCLUDEDIR)
  set(before_${variable} "${${variable}}")
endforeach()
get_cmake_property(before_cache_variables CACHE_VARIABLES)
