# SPDX-License-Identifier: Apache-2.0
# QEMU's emulator of one 64-bit Arm program: QemuAArch64_EXECUTABLE.
find_program(QemuAArch64_EXECUTABLE NAMES qemu-aarch64 qemu-aarch64-static
  DOC "Runs programs for 64-bit Arm")
mark_as_advanced(QemuAArch64_EXECUTABLE)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(QemuAArch64 REQUIRED_VARS QemuAArch64_EXECUTABLE)
