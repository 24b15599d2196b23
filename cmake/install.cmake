# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` writes: the headers, a package that find_package(halfway) finds, and one that pkg-config finds.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(halfway_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/halfway)
set(halfway_pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)

install(TARGETS halfway EXPORT halfway-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/halfway DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT halfway FILES_MATCHING PATTERN "*.h")
install(EXPORT halfway-targets NAMESPACE halfway:: DESTINATION ${halfway_package_dir} COMPONENT halfway)

# Before 1.0 a minor version may break users, so 0.2 does not stand in for 0.1.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/halfway-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(
  FILES cmake/halfway-config.cmake ${PROJECT_BINARY_DIR}/halfway-config-version.cmake
  DESTINATION ${halfway_package_dir} COMPONENT halfway)

# Relative to where the file itself is, so that the tree may be moved.
cmake_path(SET halfway_pc_prefix ${CMAKE_INSTALL_PREFIX})
cmake_path(RELATIVE_PATH halfway_pc_prefix BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${halfway_pkgconfig_dir})
cmake_path(SET halfway_pc_include ${CMAKE_INSTALL_FULL_INCLUDEDIR})
cmake_path(RELATIVE_PATH halfway_pc_include BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/halfway.pc.in halfway.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/halfway.pc DESTINATION ${halfway_pkgconfig_dir} COMPONENT halfway)
