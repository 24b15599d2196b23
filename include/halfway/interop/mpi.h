// SPDX-License-Identifier: Apache-2.0
// Data-parallel training over MPI: sums in FP32 with few bits on the wire, the same bits on every
// rank, and an error instead of a hang when a rank is lost. docs/distributed.md tells which part
// gives what.
//
//   halfway::mpi::communicator world(MPI_COMM_WORLD);
//   halfway::mpi::all_reduce<halfway::bfloat16>(world, gradients, 1.0f / world.size());
//
// Needs MPI 3.0, found by the including program (find_package(MPI), MPI::MPI_CXX); nothing else in
// halfway does.
#ifndef HALFWAY_INTEROP_MPI_H_
#define HALFWAY_INTEROP_MPI_H_

#include "halfway/interop/mpi_all_reduce.h"        // IWYU pragma: export
#include "halfway/interop/mpi_communicator.h"      // IWYU pragma: export
#include "halfway/interop/mpi_datatype.h"          // IWYU pragma: export
#include "halfway/interop/mpi_gradient_reducer.h"  // IWYU pragma: export
#include "halfway/interop/mpi_shard_reducer.h"     // IWYU pragma: export

#endif  // HALFWAY_INTEROP_MPI_H_
