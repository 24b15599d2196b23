# SPDX-License-Identifier: Apache-2.0
# Fails if a header defines a macro that is not named HALFWAY_ and that no header of other libraries defines.
#
#   cmake -D COMPILER=g++ "-D FLAGS=-std=c++20;-isystem;/where/highway/is" -D INCLUDE=include "-D HEADERS=halfway/a.h;..." \
#         -D WORK=folder -P leaked_macros.cmake
cmake_minimum_required(VERSION 3.25)

# What has to be said to Highway before its first header, and holds for the user's own Highway code too (simd/targets.h).
set(allowed HWY_DISABLED_TARGETS HWY_WANT_AVX3_ZEN4)
list(APPEND allowed HWY_TARGET_TOGGLE) # Highway's; defined where the number of targets is odd

# Sets <result> to the names of the macros that are defined after <code>.
function(list_macros result name code)
  file(WRITE ${WORK}/${name}.cc "${code}")
  execute_process(COMMAND ${COMPILER} ${FLAGS} -I ${WORK} -I ${INCLUDE} -x c++ -dM -E ${WORK}/${name}.cc
    OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "#define [A-Za-z0-9_]+" macros "${text}")
  list(TRANSFORM macros REPLACE "#define " "")
  set(${result} ${macros} PARENT_SCOPE)
endfunction()

# What all of our headers include of others, in a file by itself.
set(others "")
file(GLOB_RECURSE all_headers ${INCLUDE}/*.h)
foreach(header IN LISTS all_headers)
  file(STRINGS ${header} lines REGEX "^ *# *include [<\"]")
  list(FILTER lines EXCLUDE REGEX "\"halfway/")
  list(APPEND others ${lines})
endforeach()
list(TRANSFORM others REPLACE "^ *# *include *([<\"][^>\"]+[>\"]).*" "\\1")
list(REMOVE_DUPLICATES others)
list(REMOVE_ITEM others "\"hwy/foreach_target.h\"")
set(theirs "#define HWY_TARGET_INCLUDE \"once_per_target.h\"\n#include \"hwy/foreach_target.h\"\n#undef HWY_TARGET_INCLUDE\n")
file(WRITE ${WORK}/once_per_target.h "#include \"hwy/highway.h\"\n")
foreach(other IN LISTS others)
  string(APPEND theirs "#if __has_include(${other})\n#include ${other}\n#endif\n") # <intrin.h> is for another compiler
endforeach()

set(ours "")
foreach(header IN LISTS HEADERS)
  string(APPEND ours "#include \"${header}\"\n")
endforeach()

list_macros(before without_halfway "${theirs}")
list_macros(after with_halfway "${ours}")
set(new ${after})
list(REMOVE_ITEM new ${before} ${allowed})
set(leaked ${new})
list(FILTER leaked EXCLUDE REGEX "^HALFWAY_")
list(FILTER new INCLUDE REGEX "^HALFWAY_[A-Z0-9_]+_H_$")
if(NOT new)
  message(FATAL_ERROR "Not even an include guard was seen: this test sees nothing")
endif()
if(leaked)
  message(FATAL_ERROR "Macros of halfway that other code may use too: ${leaked}")
endif()
list(LENGTH new guards)
message(STATUS "${guards} headers define no macro but HALFWAY_...")
