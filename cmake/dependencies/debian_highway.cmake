# SPDX-License-Identifier: Apache-2.0
# Builds Highway from a newer Debian release's source package, for a Debian release whose own package is too old. (The
# newer release's binary package would need that release's C library.)
include_guard()

function(halfway_run_cmake)
  execute_process(COMMAND ${CMAKE_COMMAND} ${ARGV}
    RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT code EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "Building Highway failed in: cmake ${command}\n${text}")
  endif()
endfunction()

# halfway_build_debian_highway(<prefix> <result>): downloads, builds and installs Highway below <prefix>. Sets <result> to
# whether this machine has such a source package within reach; a download or a build that fails is an error.
function(halfway_build_debian_highway prefix result)
  set(script ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/debian_highway.sh)
  set(work ${prefix}/highway-work)
  file(REMOVE_RECURSE ${work})

  message(STATUS "apt: downloading the source package highway (this release's own is too old)")
  execute_process(COMMAND ${script} ${work}/package
    RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(code EQUAL 2)
    set(${result} FALSE PARENT_SCOPE)
    return()
  elseif(NOT code EQUAL 0)
    message(FATAL_ERROR "Missing: Google Highway. apt could not download the source package highway of a newer Debian "
      "release; once apt works, run the same command again, or first this one alone:\n"
      "    ${script} /tmp/highway\n"
      "What apt said:\n${text}")
  endif()
  file(GLOB tarball ${work}/package/highway_*.orig.tar.?z)
  file(ARCHIVE_EXTRACT INPUT ${tarball} DESTINATION ${work})
  file(GLOB source ${work}/highway-*)

  message(STATUS "Building Highway into ${prefix} (half a minute, once)")
  # contrib's library takes minutes to build and nothing here links it; its headers, copied below, are enough.
  halfway_run_cmake(-S ${source} -B ${work}/build -G ${CMAKE_GENERATOR}
    -D CMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} -D CMAKE_BUILD_TYPE=Release
    -D CMAKE_INSTALL_PREFIX=${prefix} -D CMAKE_INSTALL_LIBDIR=lib
    -D HWY_ENABLE_CONTRIB=OFF -D HWY_ENABLE_TESTS=OFF -D HWY_ENABLE_EXAMPLES=OFF)
  halfway_run_cmake(--build ${work}/build)
  halfway_run_cmake(--install ${work}/build)
  file(COPY_FILE ${tarball} ${prefix}/highway.tar) # tests/consumer builds it as users do
  file(COPY ${source}/hwy/contrib DESTINATION ${prefix}/include/hwy FILES_MATCHING PATTERN "*.h")
  file(REMOVE_RECURSE ${work})
  set(${result} TRUE PARENT_SCOPE)
endfunction()
