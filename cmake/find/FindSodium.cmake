# SPDX-License-Identifier: Apache-2.0
# libsodium, for io/integrity.h. Imported target: Sodium::Sodium.
find_path(SODIUM_INCLUDE_DIR sodium.h)
find_library(SODIUM_LIBRARY sodium)
mark_as_advanced(SODIUM_INCLUDE_DIR SODIUM_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Sodium REQUIRED_VARS SODIUM_LIBRARY SODIUM_INCLUDE_DIR)

if(Sodium_FOUND AND NOT TARGET Sodium::Sodium)
  add_library(Sodium::Sodium INTERFACE IMPORTED)
  target_include_directories(Sodium::Sodium INTERFACE ${SODIUM_INCLUDE_DIR})
  target_link_libraries(Sodium::Sodium INTERFACE ${SODIUM_LIBRARY})
endif()
