# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` writes: the headers, and a package that find_package(halfway) finds.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(halfway_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/halfway)

install(TARGETS halfway EXPORT halfway-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/halfway DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT halfway-targets NAMESPACE halfway:: DESTINATION ${halfway_package_dir})

# Before 1.0 a minor version may break users, so 0.2 does not stand in for 0.1.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/halfway-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(
  FILES cmake/halfway-config.cmake ${PROJECT_BINARY_DIR}/halfway-config-version.cmake
  DESTINATION ${halfway_package_dir})
