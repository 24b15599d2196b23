# SPDX-License-Identifier: Apache-2.0
# halfway_find_mpi(): find_package(MPI) for those who can do without; sets MPI_CXX_FOUND and MPIEXEC_EXECUTABLE, and makes
# MPI::MPI_CXX. Where tests are built and apt may be used, a missing MPI is installed, if that can be done.
macro(halfway_find_mpi)
  set(MPI_CXX_SKIP_MPICXX ON) # the C++ interface that MPI 3 removed
  find_package(MPI QUIET COMPONENTS CXX)
  if(NOT MPI_CXX_FOUND AND HALFWAY_BUILD_TESTS AND HALFWAY_USE_APT AND NOT DEFINED CACHE{HALFWAY_MPI_OFFERED})
    set(HALFWAY_MPI_OFFERED ON CACHE INTERNAL "apt was asked for MPI") # once is enough
    halfway_apt_offer(openmpi-bin "MPI's mpirun")
    halfway_apt_offer(libopenmpi-dev "MPI")
    find_package(MPI QUIET COMPONENTS CXX)
  endif()
endmacro()
