# SPDX-License-Identifier: Apache-2.0
# How the project's own programs (tests, examples, benchmarks) are made. Nothing here reaches a user's targets.

list(APPEND CMAKE_MODULE_PATH ${PROJECT_SOURCE_DIR}/cmake/find)

# Linked PRIVATE by our own programs: they see every warning, users see none of these flags.
# Warnings become errors with CMake's own CMAKE_COMPILE_WARNING_AS_ERROR, which the presets switch on.
add_library(halfway_warnings INTERFACE)
target_compile_options(halfway_warnings INTERFACE -Wall -Wextra -Wconversion -Wshadow)

# Each SIMD target costs a second or more in every file with kernels. With OFF our programs have two of x86's six: SSE2,
# which is always there, and the best that this machine runs. A whole program must agree, so libraries link this PUBLIC.
option(HALFWAY_ALL_SIMD_TARGETS "Compile the project's own programs for every SIMD target" ON)
add_library(halfway_simd_targets INTERFACE)
if(NOT HALFWAY_ALL_SIMD_TARGETS AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND EXISTS /proc/cpuinfo)
  file(STRINGS /proc/cpuinfo flags REGEX "^flags" LIMIT_COUNT 1)
  set(disabled HWY_SSSE3 HWY_SSE4 HWY_AVX2 HWY_AVX3 HWY_AVX3_DL HWY_AVX3_ZEN4 HWY_AVX3_SPR "(1LL<<3)") # bit 3: simd/targets.h
  if(flags MATCHES "avx512_fp16")
    list(REMOVE_ITEM disabled HWY_AVX3_SPR)
  elseif(flags MATCHES "avx512_bf16")
    list(REMOVE_ITEM disabled HWY_AVX3_ZEN4)
  elseif(flags MATCHES "avx512_vbmi2")
    list(REMOVE_ITEM disabled HWY_AVX3_DL)
  elseif(flags MATCHES "avx512vl")
    list(REMOVE_ITEM disabled HWY_AVX3)
  else()
    list(REMOVE_ITEM disabled HWY_AVX2)
  endif()
  list(JOIN disabled "|" disabled)
  target_compile_definitions(halfway_simd_targets INTERFACE "HWY_DISABLED_TARGETS=(${disabled})")
endif()

# halfway_add_executable(<name> SOURCES <file>... [LIBRARIES <target>...] [EVERY_TARGET])
#
# EVERY_TARGET: for every SIMD target, whatever HALFWAY_ALL_SIMD_TARGETS says.
function(halfway_add_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "EVERY_TARGET" "" "SOURCES;LIBRARIES")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE halfway::halfway halfway_warnings ${arg_LIBRARIES})
  if(NOT arg_EVERY_TARGET)
    target_link_libraries(${name} PRIVATE halfway_simd_targets)
  endif()
endfunction()

# halfway_add_test(<name> SOURCES <file>... [LIBRARIES <target>...] [LABEL <label>] [EVERY_TARGET])
#
# One GoogleTest program; each of its cases is a CTest test called <name>.<Suite>.<Case>. `#include "support/..."` finds
# tests/support. LABEL slow keeps the whole program out of the `test` preset (`test-all` runs it).
function(halfway_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "EVERY_TARGET" "LABEL" "SOURCES;LIBRARIES")
  if(NOT arg_LABEL)
    set(arg_LABEL ${name})
  endif()
  set(every_target "")
  if(arg_EVERY_TARGET)
    set(every_target EVERY_TARGET)
  endif()
  halfway_add_executable(${name}
    SOURCES ${arg_SOURCES} LIBRARIES GTest::gtest_main ${arg_LIBRARIES} ${every_target})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  # PRE_TEST: a cross-built or sanitized program must not run while it is built.
  gtest_discover_tests(${name}
    TEST_PREFIX ${name}.
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${arg_LABEL} TIMEOUT 300)
endfunction()
