# SPDX-License-Identifier: Apache-2.0
# A C++ compiler for 64-bit Arm on this machine, with its C and C++ libraries: AArch64Compiler_EXECUTABLE.
find_program(AArch64Compiler_EXECUTABLE NAMES aarch64-linux-gnu-g++
  DOC "C++ compiler for 64-bit Arm")
mark_as_advanced(AArch64Compiler_EXECUTABLE)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(AArch64Compiler REQUIRED_VARS AArch64Compiler_EXECUTABLE)
