# SPDX-License-Identifier: Apache-2.0
# A dependency provider: when a package listed here is missing, `find_package(<name> REQUIRED)` first obtains it, from the
# distribution (apt, as root) or else from the upstream release. What is there already is never touched, and packages that
# are not REQUIRED are only looked for. The presets inject this file with CMAKE_PROJECT_TOP_LEVEL_INCLUDES; without it,
# find_package alone decides.
include(${CMAKE_CURRENT_LIST_DIR}/apt.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/debian_highway.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/upstream.cmake)

set(HALFWAY_DEPENDENCY_DIR ${CMAKE_SOURCE_DIR}/build/dependencies
  CACHE PATH "Prefix of the dependencies that were built here; shared by all presets")
list(APPEND CMAKE_PREFIX_PATH ${HALFWAY_DEPENDENCY_DIR})

# The name for find_package, Debian's package, and the name for people.
set(halfway_dependencies
  "hwy|libhwy-dev|Google Highway"
  "GTest|libgtest-dev|GoogleTest"
  "benchmark|libbenchmark-dev|Google Benchmark"
  "Eigen3|libeigen3-dev|Eigen"
  "nlohmann_json|nlohmann-json3-dev|nlohmann/json"
  "CLI11|libcli11-dev|CLI11"
  "ZLIB|zlib1g-dev|zlib"
  "MPFR|libmpfr-dev|MPFR"
  "Sodium|libsodium-dev|libsodium"
  "Doxygen|doxygen|Doxygen"
  "Gnuplot|gnuplot-nox|gnuplot"
  "FashionMNIST|dataset-fashion-mnist|the Fashion-MNIST data"
  "Fortunes|fortunes|a text to train on")

# CMake calls this for every find_package and then, unless <name>_FOUND is set, carries on with its own search.
function(halfway_provide method name)
  set(entry ${halfway_dependencies})
  list(FILTER entry INCLUDE REGEX "^${name}\\|")
  if(NOT entry OR NOT "REQUIRED" IN_LIST ARGN)
    return()
  endif()
  string(REGEX MATCH "([^|]*)\\|([^|]*)$" entry "${entry}")
  set(package ${CMAKE_MATCH_1})
  set(what ${CMAKE_MATCH_2})
  set(version 0)
  if(ARGV2 MATCHES "^[0-9]+(\\.[0-9]+)*")
    set(version ${CMAKE_MATCH_0})
  endif()

  list(REMOVE_ITEM ARGN REQUIRED)
  find_package(${name} ${ARGN} QUIET BYPASS_PROVIDER)
  if(${name}_FOUND)
    return()
  endif()

  if(HALFWAY_USE_APT)
    halfway_apt_candidate(candidate ${package})
    if(NOT candidate OR candidate VERSION_GREATER_EQUAL version)
      halfway_apt_install(${package} ${what})
      return()
    elseif(name STREQUAL "hwy")
      halfway_build_debian_highway(${HALFWAY_DEPENDENCY_DIR} obtained)
      if(obtained)
        return()
      endif()
    endif()
  endif()
  message(STATUS "${what} is missing (Debian's ${package}); obtaining the upstream release")
  halfway_obtain_upstream(${name} obtained)
  set(${name}_FOUND ${obtained} PARENT_SCOPE)
endfunction()

cmake_language(SET_DEPENDENCY_PROVIDER halfway_provide SUPPORTED_METHODS FIND_PACKAGE)
