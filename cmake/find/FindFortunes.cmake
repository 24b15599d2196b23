# SPDX-License-Identifier: Apache-2.0
# The collections of sayings that Debian's package fortunes brings: plain text.
# Result variable: Fortunes_FOLDER.
find_path(Fortunes_FOLDER NAMES science PATH_SUFFIXES share/games/fortunes share/fortune share/fortunes)
mark_as_advanced(Fortunes_FOLDER)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Fortunes
  REQUIRED_VARS Fortunes_FOLDER
  REASON_FAILURE_MESSAGE "install the package fortunes (Debian) or set Fortunes_FOLDER")
