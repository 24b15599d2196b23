# SPDX-License-Identifier: Apache-2.0
# Headers only: nothing depends on the triplet, and there is nothing to debug.
vcpkg_from_github(
  OUT_SOURCE_PATH SOURCE_PATH
  REPO halfway/halfway          # owner/repository of the copy that you build from
  REF "v${VERSION}"
  SHA512 0                      # vcpkg prints the hash of the archive that it expects here
)
set(VCPKG_BUILD_TYPE release)

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DHALFWAY_INSTALL=ON
    -DHALFWAY_BUILD_TESTS=OFF
    -DHALFWAY_BUILD_EXAMPLES=OFF
    -DHALFWAY_BUILD_BENCH=OFF
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME halfway CONFIG_PATH share/cmake/halfway)
vcpkg_fixup_pkgconfig()

file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
