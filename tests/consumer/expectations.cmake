# SPDX-License-Identifier: Apache-2.0
# What every way in must leave alone: included last by the consumer projects here; before.cmake comes first.
function(expect_equal what value expected)
  if(NOT "${value}" STREQUAL "${expected}")
    message(FATAL_ERROR "${what} is \"${value}\" instead of \"${expected}\"")
  endif()
endfunction()

# The target asks for C++20 and brings nothing else along.
get_target_property(halfway_target halfway::halfway ALIASED_TARGET)
if(NOT halfway_target)
  set(halfway_target halfway::halfway)
endif()
foreach(property IN ITEMS COMPILE_OPTIONS COMPILE_DEFINITIONS LINK_OPTIONS SOURCES PRECOMPILE_HEADERS)
  get_target_property(value ${halfway_target} INTERFACE_${property})
  expect_equal("INTERFACE_${property} of halfway" "${value}" "value-NOTFOUND")
endforeach()
get_target_property(value ${halfway_target} INTERFACE_COMPILE_FEATURES)
expect_equal("INTERFACE_COMPILE_FEATURES of halfway" "${value}" cxx_std_20)
get_target_property(value ${halfway_target} INTERFACE_LINK_LIBRARIES)
expect_equal("INTERFACE_LINK_LIBRARIES of halfway" "${value}" "hwy::hwy;Threads::Threads")

# The project's own settings are what they were.
foreach(variable IN ITEMS CMAKE_CXX_STANDARD CMAKE_CXX_EXTENSIONS CMAKE_CXX_FLAGS CMAKE_MODULE_PATH CMAKE_PREFIX_PATH
                          BUILD_SHARED_LIBS BUILD_TESTING CMAKE_POSITION_INDEPENDENT_CODE CMAKE_INSTALL_INCLUDEDIR)
  expect_equal("${variable}" "${${variable}}" "${before_${variable}}")
endforeach()
get_directory_property(options COMPILE_OPTIONS)
get_directory_property(definitions COMPILE_DEFINITIONS)
expect_equal("The folder's COMPILE_OPTIONS and COMPILE_DEFINITIONS" "${options}${definitions}" "")

# New options are named HALFWAY_; the others are those of the packages that halfway looks for.
get_cmake_property(cache_variables CACHE_VARIABLES)
list(REMOVE_ITEM cache_variables ${before_cache_variables})
list(FILTER cache_variables EXCLUDE REGEX "^(HALFWAY_|halfway_|hwy_|FETCHCONTENT_|FIND_PACKAGE_MESSAGE_|CMAKE_HAVE_|CMAKE_PROJECT_VERSION)")
expect_equal("What is new in the cache" "${cache_variables}" "")
foreach(option IN ITEMS HALFWAY_INSTALL HALFWAY_BUILD_TESTS HALFWAY_BUILD_EXAMPLES HALFWAY_BUILD_BENCH)
  if(${option})
    message(FATAL_ERROR "${option} is on in a project that only uses halfway")
  endif()
endforeach()
