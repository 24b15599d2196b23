# SPDX-License-Identifier: Apache-2.0
# Puts below USER what users have:
#   prefix/                  an installation, moved from where it was written
#   halfway.tar.gz           the sources
#   add_subdirectory/third_party/halfway/  the same, unpacked
#   third_party/             folders of headers, halfway/ and hwy/
#   halfway/, first/         the checkout, and README's first project beside it
# and the projects of this folder.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${USER})
file(COPY ${CMAKE_CURRENT_LIST_DIR}/ DESTINATION ${USER})

set(sources CMakeLists.txt LICENSE cmake include)
execute_process(COMMAND ${CMAKE_COMMAND} -E tar czf ${USER}/halfway.tar.gz ${sources}
  WORKING_DIRECTORY ${SOURCE_DIR} COMMAND_ERROR_IS_FATAL ANY)
file(ARCHIVE_EXTRACT INPUT ${USER}/halfway.tar.gz DESTINATION ${USER}/add_subdirectory/third_party/halfway)
file(COPY ${SOURCE_DIR}/include/halfway DESTINATION ${USER}/third_party)
file(CREATE_LINK ${SOURCE_DIR} ${USER}/halfway SYMBOLIC)
file(COPY_FILE ${SOURCE_DIR}/examples/hello_gemm.cc ${USER}/first/first.cc)
file(COPY ${HIGHWAY_INCLUDE}/hwy DESTINATION ${USER}/third_party)
if(EXISTS "${HIGHWAY_SOURCE}" AND NOT IS_DIRECTORY "${HIGHWAY_SOURCE}")
  file(ARCHIVE_EXTRACT INPUT ${HIGHWAY_SOURCE} DESTINATION ${USER}/highway PATTERNS "*/hwy/targets.cc")
  file(GLOB targets_cc ${USER}/highway/*/hwy/targets.cc)
  file(COPY ${targets_cc} DESTINATION ${USER}/third_party/hwy)
endif()

# The library alone; Highway too, if it is part of this build.
set(components halfway)
if(IS_DIRECTORY "${HIGHWAY_SOURCE}")
  list(APPEND components Unspecified)
endif()

# Installs to `installed` and sets <result> to the names and hashes of all files there.
function(install_and_list result)
  foreach(component IN LISTS components)
    execute_process(COMMAND ${CMAKE_COMMAND} --install ${BINARY_DIR} --prefix ${USER}/installed --component ${component}
      OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
  file(GLOB_RECURSE files ${USER}/installed/*)
  set(listing "")
  foreach(path IN LISTS files)
    file(SHA256 ${path} hash)
    list(APPEND listing ${hash} ${path})
  endforeach()
  set(${result} ${listing} PARENT_SCOPE)
endfunction()
install_and_list(once)
install_and_list(twice)
if(NOT once STREQUAL twice)
  message(FATAL_ERROR "A second installation leaves other files than the first:\n${once}\n${twice}")
endif()

# No file knows where the tree was, or the sources are.
file(GLOB_RECURSE installed ${USER}/installed/*halfway*)
foreach(path IN LISTS installed)
  file(STRINGS ${path} lines REGEX "${USER}|${SOURCE_DIR}/|${BINARY_DIR}")
  if(lines)
    message(FATAL_ERROR "${path} names a folder of the machine that built it: ${lines}")
  endif()
endforeach()
file(RENAME ${USER}/installed ${USER}/prefix)
