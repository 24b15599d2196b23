# SPDX-License-Identifier: Apache-2.0
# Writes the library as one file; needs nothing but CMake and these sources:
#
#   cmake -D OUTPUT=halfway_single.h -P cmake/amalgamate.cmake
#   cmake -D OUTPUT=halfway_single.h -D "HEADERS=halfway/ops/gemm.h;halfway/io/safetensors.h" -P cmake/amalgamate.cmake
#
# HEADERS: what the file offers, halfway/halfway.h unless given. The same sources give the same bytes.
#
# How one file can hold kernels that are compiled once per target: Highway's foreach_target.h includes the file again for
# each of them. The file is made of four parts, which of them a pass sees is said by their guards:
#   1. headers that the kernels need      once
#   2. the loop over the targets          once, in dynamic dispatch and outside a loop of the user's own
#   3. kernels-inl.h and what it includes in each pass
#   4. all other headers                  once, in the pass that comes last (HWY_ONCE)
cmake_minimum_required(VERSION 3.25)

if(NOT OUTPUT)
  message(FATAL_ERROR "Say where to: cmake -D OUTPUT=halfway_single.h -P ${CMAKE_CURRENT_LIST_FILE}")
endif()
if(NOT HEADERS)
  set(HEADERS halfway/halfway.h)
endif()
cmake_path(ABSOLUTE_PATH OUTPUT) # from where the command runs
cmake_path(GET OUTPUT FILENAME output_name)
set(include_dir ${CMAKE_CURRENT_LIST_DIR}/../include)
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/../CMakeLists.txt version REGEX "^  VERSION [0-9.]+$")
string(REGEX REPLACE ".*VERSION " "" version "${version}")

# Appends to the property HALFWAY_PART_<part> the text of <header>, each of its own includes replaced by their text. A header
# that an earlier call has appended to any part leaves nothing. -inl.h headers are appended where <inl> is true, otherwise
# only what they include.
function(append_header part header inl)
  set(is_inl FALSE)
  if(header MATCHES "-inl\\.h$")
    set(is_inl TRUE)
  endif()
  get_property(done GLOBAL PROPERTY HALFWAY_DONE_${is_inl}_${inl})
  if(header IN_LIST done)
    return()
  endif()
  if(is_inl)
    set_property(GLOBAL APPEND PROPERTY HALFWAY_DONE_TRUE_${inl} ${header})
  else()
    set_property(GLOBAL APPEND PROPERTY HALFWAY_DONE_FALSE_TRUE ${header})
    set_property(GLOBAL APPEND PROPERTY HALFWAY_DONE_FALSE_FALSE ${header})
  endif()

  if(NOT EXISTS ${include_dir}/${header})
    message(FATAL_ERROR "No such header: ${header}")
  endif()
  file(READ ${include_dir}/${header} text)
  string(REPLACE "// SPDX-License-Identifier: Apache-2.0\n" "" text "${text}")
  set(own "// ---- ${header}\n")
  while(text MATCHES "\n#include \"(halfway/[^\"]+)\"[^\n]*")
    set(line "${CMAKE_MATCH_0}")
    set(included ${CMAKE_MATCH_1})
    string(FIND "${text}" "${line}" at)
    string(SUBSTRING "${text}" 0 ${at} before)
    string(LENGTH "${line}" length)
    math(EXPR after "${at} + ${length}")
    string(SUBSTRING "${text}" ${after} -1 text)
    string(APPEND own "${before}")
    if(is_inl AND NOT inl)
      append_header(${part} ${included} ${inl})
    else()
      # In order: what stands before the include is written before the included text.
      set_property(GLOBAL APPEND_STRING PROPERTY HALFWAY_PART_${part} "${own}\n")
      set(own "")
      append_header(${part} ${included} ${inl})
    endif()
  endwhile()
  if(NOT is_inl OR inl)
    set_property(GLOBAL APPEND_STRING PROPERTY HALFWAY_PART_${part} "${own}${text}")
  endif()
endfunction()

append_header(1 halfway/simd/targets.h FALSE)
append_header(1 halfway/simd/kernels-inl.h FALSE)
append_header(3 halfway/simd/kernels-inl.h TRUE)
foreach(header IN LISTS HEADERS)
  append_header(4 ${header} TRUE)
endforeach()
foreach(part IN ITEMS 1 3 4)
  get_property(part_${part} GLOBAL PROPERTY HALFWAY_PART_${part})
endforeach()
list(JOIN HEADERS " " offered)

file(CONFIGURE OUTPUT ${OUTPUT} @ONLY NEWLINE_STYLE UNIX CONTENT
[[// SPDX-License-Identifier: Apache-2.0
// halfway @version@ in one file, written by cmake/amalgamate.cmake: @offered@
//
// Needs C++20 and Highway 1.2 or later. Run-time dispatch includes this file once per SIMD target, by its name: its folder
// must be in the include path. Where it is included as <folder/name>, or renamed, define HALFWAY_SINGLE_HEADER as that
// name in quotes first. Highway code of your own with a foreach_target.h loop includes it in the part that the loop repeats.
#ifndef HALFWAY_SINGLE_HEADER
#define HALFWAY_SINGLE_HEADER "@output_name@"
#endif

#ifndef HALFWAY_SINGLE_PART_1_H_
#define HALFWAY_SINGLE_PART_1_H_
@part_1@
#endif  // HALFWAY_SINGLE_PART_1_H_

#if !defined(HALFWAY_SINGLE_PART_2_H_)
#define HALFWAY_SINGLE_PART_2_H_
#if !defined(HALFWAY_STATIC_DISPATCH) && !defined(HIGHWAY_HWY_FOREACH_TARGET_H_)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE HALFWAY_SINGLE_HEADER
#include "hwy/foreach_target.h"
#undef HWY_TARGET_INCLUDE
#endif
#endif  // HALFWAY_SINGLE_PART_2_H_

#include "hwy/highway.h"
@part_3@

#if HWY_ONCE && !defined(HALFWAY_SINGLE_PART_4_H_)
#define HALFWAY_SINGLE_PART_4_H_
@part_4@
#endif  // HALFWAY_SINGLE_PART_4_H_
]])
