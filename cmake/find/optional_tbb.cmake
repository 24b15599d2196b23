# SPDX-License-Identifier: Apache-2.0
# halfway_find_tbb(): find_package(TBB) for those who can do without; sets TBB_FOUND and makes TBB::tbb. Where tests are
# built and apt may be used, a missing oneTBB is installed, if that can be done.
macro(halfway_find_tbb)
  find_package(TBB QUIET CONFIG)
  if(NOT TBB_FOUND AND HALFWAY_BUILD_TESTS AND HALFWAY_USE_APT AND NOT DEFINED CACHE{HALFWAY_TBB_OFFERED})
    set(HALFWAY_TBB_OFFERED ON CACHE INTERNAL "apt was asked for oneTBB") # once is enough
    halfway_apt_offer(libtbb-dev "oneTBB")
    find_package(TBB QUIET CONFIG)
  endif()
endmacro()
