# SPDX-License-Identifier: Apache-2.0
# oneDNN, a peer of the benchmarks. Its own configuration file is not used: Debian 12's stops the configuration where
# OpenCL is missing. Imported target: oneDNN::oneDNN.
find_path(oneDNN_INCLUDE_DIR dnnl.hpp)
find_library(oneDNN_LIBRARY dnnl)
mark_as_advanced(oneDNN_INCLUDE_DIR oneDNN_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(oneDNN REQUIRED_VARS oneDNN_LIBRARY oneDNN_INCLUDE_DIR)

if(oneDNN_FOUND AND NOT TARGET oneDNN::oneDNN)
  add_library(oneDNN::oneDNN INTERFACE IMPORTED)
  target_include_directories(oneDNN::oneDNN INTERFACE ${oneDNN_INCLUDE_DIR})
  target_link_libraries(oneDNN::oneDNN INTERFACE ${oneDNN_LIBRARY})
endif()
