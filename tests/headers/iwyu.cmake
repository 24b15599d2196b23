# SPDX-License-Identifier: Apache-2.0
# Prints what include-what-you-use would add to each header and remove from it.
cmake_minimum_required(VERSION 3.25)
foreach(header IN LISTS HEADERS)
  execute_process(
    COMMAND ${IWYU} -std=c++20 -D HALFWAY_STATIC_DISPATCH -Xiwyu --no_fwd_decls -Xiwyu --no_comments
            -Xiwyu --mapping_file=${CMAKE_CURRENT_LIST_DIR}/iwyu.imp -I ${INCLUDE} ${FLAGS} -x c++ ${INCLUDE}/${header}
    OUTPUT_VARIABLE text ERROR_VARIABLE text)
  string(REGEX REPLACE "\nThe full include-list.*" "" findings "${text}")
  if(findings MATCHES "#include|error:")
    message("${findings}")
  endif()
endforeach()
