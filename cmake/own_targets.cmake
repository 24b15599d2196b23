# SPDX-License-Identifier: Apache-2.0
# How the project's own programs (tests, examples, benchmarks) are made. Nothing here reaches a user's targets.

list(APPEND CMAKE_MODULE_PATH ${PROJECT_SOURCE_DIR}/cmake/find)

# Linked PRIVATE by our own programs: they see every warning, users see none of these flags.
# Warnings become errors with CMake's own CMAKE_COMPILE_WARNING_AS_ERROR, which the presets switch on.
add_library(halfway_warnings INTERFACE)
target_compile_options(halfway_warnings INTERFACE -Wall -Wextra -Wconversion -Wshadow)

# halfway_add_executable(<name> SOURCES <file>... [LIBRARIES <target>...])
function(halfway_add_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBRARIES")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE halfway::halfway halfway_warnings ${arg_LIBRARIES})
endfunction()

# halfway_add_test(<name> SOURCES <file>... [LIBRARIES <target>...] [LABEL <label>])
#
# One GoogleTest program; each of its cases is a CTest test called <name>.<Suite>.<Case>. `#include "support/..."` finds
# tests/support. LABEL slow keeps the whole program out of the `test` preset (`test-all` runs it).
function(halfway_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL" "SOURCES;LIBRARIES")
  if(NOT arg_LABEL)
    set(arg_LABEL ${name})
  endif()
  halfway_add_executable(${name} SOURCES ${arg_SOURCES} LIBRARIES GTest::gtest_main ${arg_LIBRARIES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  # PRE_TEST: a cross-built or sanitized program must not run while it is built.
  gtest_discover_tests(${name}
    TEST_PREFIX ${name}.
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${arg_LABEL} TIMEOUT 300)
endfunction()
