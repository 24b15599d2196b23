# SPDX-License-Identifier: Apache-2.0
# cpp-httplib, by its own CMake package, or by pkg-config (Debian's, whose library is compiled with options that the
# header has to be told too). Imported target: httplib::httplib.
find_package(httplib CONFIG QUIET)
if(NOT TARGET httplib::httplib)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(CPPHTTPLIB QUIET IMPORTED_TARGET GLOBAL cpp-httplib)
    if(TARGET PkgConfig::CPPHTTPLIB)
      add_library(httplib::httplib ALIAS PkgConfig::CPPHTTPLIB)
    endif()
  endif()
endif()
if(TARGET httplib::httplib)
  set(cpphttplib_TARGET httplib::httplib)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(cpphttplib REQUIRED_VARS cpphttplib_TARGET)
